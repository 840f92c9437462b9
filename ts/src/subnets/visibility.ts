/** Who may see a channel, and what a gateway lets through (33 B5, B6). */
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

/** What a gateway reads in a packet's header. */
export interface GatewayHeader {
  readonly source: number;
  readonly dest: number;
  readonly channelHash: number;
  readonly hopTtl: number;
  readonly hopCount: number;
}

/** What a gateway knows of the channels behind a 16-bit hash. */
export interface GatewayChannel {
  readonly visibility: Visibility;
  readonly exports?: readonly number[];
}

/** Why a gateway keeps a packet back. */
export type GatewayReason = 'subnet-local' | 'not-ancestor' | 'not-exported' | 'unknown-subnet' | 'ttl-expired';

/** What becomes of a packet. */
export type GatewayVerdict = { readonly forward: true } | { readonly forward: false; readonly reason: GatewayReason };

const FORWARD: GatewayVerdict = { forward: true };
const drop = (reason: GatewayReason): GatewayVerdict => ({ forward: false, reason });

/**
 * Decides from the header alone. `channels` are all channels of the hash: none or several count as `subnet-local`, since
 * a hash of 16 bits does not name a channel.
 */
export function gatewayVerdict(header: GatewayHeader, channels: readonly GatewayChannel[]): GatewayVerdict {
  // The hop count is not authenticated: a limit of 0 means expired, not unlimited.
  if (header.hopTtl === 0 || header.hopCount >= header.hopTtl) return drop('ttl-expired');
  const [only, second] = channels;
  const channel: GatewayChannel = only && !second ? only : { visibility: 'subnet-local' };
  switch (channel.visibility) {
    case 'global':
      return FORWARD;
    case 'subnet-local':
      return drop('subnet-local');
    case 'parent-visible':
      return isAncestor(header.dest, header.source) ? FORWARD : drop('not-ancestor');
    case 'exported':
      return isVisible('exported', header.source, header.dest, channel.exports) ? FORWARD : drop('not-exported');
  }
}
