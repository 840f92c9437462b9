/** Channel names and their hashes (32 §1). */
import { xxh3 } from '../hash/index.js';

/** Longest name, in bytes. */
export const MAX_CHANNEL_NAME_BYTES = 255;

const encoder = new TextEncoder();

/** Why a name is not a channel name, or `undefined` when it is one. The caller puts its prefix before the text. */
export function channelNameProblem(name: string): string | undefined {
  if (name.length === 0) return 'channel name is empty';
  // Every UTF-16 unit takes at least one byte: long input is not encoded before it is refused.
  const bytes = name.length > 4 * MAX_CHANNEL_NAME_BYTES ? utf8Length(name) : encoder.encode(name).length;
  if (bytes > MAX_CHANNEL_NAME_BYTES) return `channel name too long (${bytes} > ${MAX_CHANNEL_NAME_BYTES})`;
  if (name.startsWith('/') || name.endsWith('/')) {
    return "invalid channel name format: must not start or end with '/'";
  }
  if (name.includes('//')) return "invalid channel name format: must not contain '//'";
  for (const character of name) {
    if (character >= 'A' && character <= 'Z') {
      return `invalid channel name format: uppercase character '${character}' not allowed — channel names are lowercase only`;
    }
    if (!/[a-z0-9\-_./]/.test(character)) return `invalid character '${character}' in channel name`;
  }
  for (const segment of name.split('/')) {
    if (segment === '.' || segment === '..') return `invalid channel name format: segment "${segment}" is reserved`;
  }
  return undefined;
}

/** Canonical 64-bit hash: tokens, guard, index of configurations, stream id. The name is taken as it is. */
export function canonicalChannelHash(name: string): bigint {
  return xxh3(encoder.encode(name));
}

/** Hint of 16 bits in the packet header; collisions are normal. */
export function wireChannelHash(hash: bigint): number {
  return Number(hash & 0xffffn);
}

/** Stream on which the publishes of a channel travel. */
export function publishStreamId(hash: bigint): bigint {
  return hash | 0x0001_0000_0000_0000n;
}

/** Whether `prefix` equals `name` or names a parent segment of it. */
export function isChannelPrefix(prefix: string, name: string): boolean {
  return name === prefix || (name.startsWith(prefix) && name.charCodeAt(prefix.length) === 0x2f);
}

function utf8Length(text: string): number {
  let length = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    length += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return length;
}
