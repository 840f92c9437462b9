/** Who may see a channel (33 B5). What a gateway lets through is decided in the engine. */
import { isAncestor } from './subnet-id.js';

/** Visibility of a channel. */
export type Visibility = 'subnet-local' | 'parent-visible' | 'exported' | 'global';

/** All visibilities, in the order of the error text. */
export const VISIBILITIES: readonly Visibility[] = ['subnet-local', 'parent-visible', 'exported', 'global'];

/**
 * Whether a subscriber's subnet sees a channel of the owner's subnet. `exports` are the subnets to which an `exported`
 * channel goes (an addition of ours); without them it is closed.
 */
export function isVisible(
  visibility: Visibility,
  owner: number,
  subscriber: number,
  exports: readonly number[] = [],
): boolean {
  switch (visibility) {
    case 'global':
      return true;
    case 'subnet-local':
      return owner === subscriber;
    case 'parent-visible':
      return isAncestor(subscriber, owner);
    case 'exported':
      return exports.some((target) => isAncestor(target, subscriber));
  }
}
