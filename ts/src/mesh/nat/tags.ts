/** The class that a node announces (33 A1). */
import type { NatClass } from '../../capabilities/index.js';
import type { NatDirectory } from './host.js';

const CLASSES = new Set<string>(['open', 'cone', 'symmetric', 'unknown'] satisfies NatClass[]);

/** From the `nat:` tag of the last announcement; `unknown` without one. */
export function peerNatClass(directory: NatDirectory, node: bigint): NatClass {
  const tag = directory.get(node)?.tags.find((one) => one.startsWith('nat:'));
  const word = tag?.slice(4) ?? '';
  return CLASSES.has(word) ? (word as NatClass) : 'unknown';
}
