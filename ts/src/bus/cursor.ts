/** Cursors (10 §5.2): standard Base64 with padding of `{"<shard>":"<id>", …}`. */
import { MeshringError } from '../errors.js';

/** Longest cursor, characters. Holds 65536 shards, so it bounds the number of keys as well. */
const MAX_TEXT = 4 << 20;
const MAX_SHARD = 65535;

/** Id of the last event consumed in each shard; a shard without progress is absent. */
export type Positions = Map<number, string>;

/** The error of every bad cursor. */
export function invalidCursor(reason: string, cause?: unknown): MeshringError {
  return new MeshringError('invalid-cursor', `Poll failed: invalid cursor: ${reason}`, { cause });
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$/;
const ASCII = /^[\0-\x7f]*$/;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function jsonText(cursor: string): string {
  if (cursor.length > MAX_TEXT) throw invalidCursor(`${cursor.length} characters, the limit is ${MAX_TEXT}`);
  if (cursor === '') throw invalidCursor('it is empty; leave it out to start at the beginning');
  if (cursor.length % 4 !== 0) throw invalidCursor('not Base64: the length with padding must be a multiple of 4');
  if (!BASE64.test(cursor)) throw invalidCursor('not standard Base64 with padding');
  const binary = atob(cursor);
  if (ASCII.test(binary)) return binary;
  try {
    return utf8.decode(Uint8Array.from(binary, (c) => c.charCodeAt(0)));
  } catch (error) {
    throw invalidCursor('not UTF-8', error);
  }
}

function shardOf(key: string): number {
  const shard = Number(key);
  if (!/^\d{1,7}$/.test(key) || shard > MAX_SHARD) {
    throw invalidCursor(`shard key ${JSON.stringify(key.slice(0, 32))} is not a valid u16`);
  }
  if (String(shard) !== key) {
    throw invalidCursor(`non-canonical shard key "${key}" (parses to ${shard}, canonical form is ${shard})`);
  }
  return shard;
}

/**
 * Positions of a cursor.
 *
 * @throws MeshringError kind `invalid-cursor`, `Poll failed: invalid cursor: <reason>`
 */
export function decodeCursor(cursor: string): Positions {
  const text = jsonText(cursor);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalidCursor(error instanceof Error ? error.message : 'not JSON', error);
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw invalidCursor('it must hold an object of shard positions');
  }
  const positions: Positions = new Map();
  for (const [key, id] of Object.entries(value)) {
    const shard = shardOf(key);
    if (typeof id !== 'string') throw invalidCursor(`shard ${shard}: the position must be a string`);
    positions.set(shard, id);
  }
  return positions;
}

/** Cursor of positions: keys ascending, no white space. */
export function encodeCursor(positions: ReadonlyMap<number, string>): string {
  let text = '{';
  for (const shard of [...positions.keys()].sort((a, b) => a - b)) {
    text += `${text.length > 1 ? ',' : ''}"${shard}":${JSON.stringify(positions.get(shard))}`;
  }
  text += '}';
  if (ASCII.test(text)) return btoa(text);
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(''));
}
