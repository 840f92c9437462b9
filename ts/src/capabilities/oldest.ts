/** Room in maps that are kept in order of insertion. */

/** Part of a full map that goes at once. */
const SHARE = 32;

/**
 * Removes the oldest entries of a map that is full, a thirty-second of `max` at a time: a map that gives up its first entry
 * for each new one has to step over the places of all that went before, which costs more than everything else.
 */
export function makeRoom<K, V>(map: Map<K, V>, max: number, removed?: (key: K, value: V) => void): void {
  if (map.size < max) return;
  let left = Math.max(1, Math.floor(max / SHARE));
  for (const [key, value] of map) {
    if (left-- === 0) break;
    map.delete(key);
    removed?.(key, value);
  }
}
