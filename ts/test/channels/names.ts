import { canonicalChannelHash, wireChannelHash } from '../../src/channels/index.js';

/** Two names whose hashes agree in their low 16 bits. */
export function sameWireHash(): [string, string] {
  const seen = new Map<number, string>();
  for (let n = 0; ; n++) {
    const name = `collision/${n}`;
    const wire = wireChannelHash(canonicalChannelHash(name));
    const before = seen.get(wire);
    if (before !== undefined) return [before, name];
    seen.set(wire, name);
  }
}
