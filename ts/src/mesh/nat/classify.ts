/** What kind of NAT a node is behind, and what that means for a pair of nodes (33 A4, A5). */
import type { NatClass } from '../../capabilities/index.js';
import { isUnspecified, parseAddress } from './address.js';

function hostOf(text: string): string {
  return text.slice(0, text.lastIndexOf(':'));
}

/** `bound`: the local address; `seen`: under which address each probed peer knows this node. */
export function classify(bound: string, seen: ReadonlyMap<bigint, string>): NatClass {
  if (seen.size < 2) return 'unknown';
  const own = parseAddress(bound);
  const addresses = [...seen.values()];
  const ports = addresses.map((text) => parseAddress(text)?.port);
  const isOwn = (text: string, at: number) =>
    own !== undefined && ports[at] === own.port && (isUnspecified(own) || hostOf(text) === hostOf(bound));
  if (addresses.some(isOwn)) return 'open';
  return new Set(ports).size === 1 ? 'cone' : 'symmetric';
}

/** How two nodes come together: straight, by a punch, or over the coordinator without trying. */
export type PairAction = 'direct' | 'punch' | 'skip';

const ACTIONS: Record<NatClass, Record<NatClass, PairAction>> = {
  open: { open: 'direct', cone: 'direct', symmetric: 'punch', unknown: 'direct' },
  cone: { open: 'direct', cone: 'punch', symmetric: 'punch', unknown: 'punch' },
  symmetric: { open: 'punch', cone: 'punch', symmetric: 'skip', unknown: 'skip' },
  unknown: { open: 'direct', cone: 'punch', symmetric: 'skip', unknown: 'direct' },
};

/** The action for this node's class and the announced class of the other. */
export function pairAction(own: NatClass, other: NatClass): PairAction {
  return ACTIONS[own][other];
}
