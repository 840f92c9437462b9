/** The field `_channel`, by which events on a bus belong to a channel (10 §8), read and written without parsing where possible. */

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const KEY = '"_channel":"';
const [QUOTE, OPEN, CLOSE, COMMA] = [0x22, 0x7b, 0x7d, 0x2c];
const KEY_BYTES = encoder.encode(KEY);
/** Longest name of a channel, bytes. */
const MAX_NAME = 255;

/** JSON white space. */
function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** The bytes as a JSON object, else `undefined`. */
function parsed(bytes: Uint8Array): Record<string, unknown> | undefined {
  let first = 0;
  while (isSpace(bytes[first])) first += 1;
  if (bytes[first] !== OPEN) return undefined;
  try {
    return JSON.parse(decoder.decode(bytes)) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/**
 * Where the name begins when the object ends `"_channel":"<name>"}`, as `TypedChannel` writes it; −1 otherwise. Nothing but
 * a key of the outermost object can stand there in valid JSON.
 */
function nameAtEnd(bytes: Uint8Array): number {
  const end = bytes.length - 2;
  if (bytes[end + 1] !== CLOSE || bytes[end] !== QUOTE) return -1;
  let start = end;
  while (start > 0 && end - start <= MAX_NAME && bytes[start - 1] !== QUOTE) start -= 1;
  const key = start - KEY_BYTES.length;
  const before = bytes[key - 1];
  if (key < 1 || (before !== OPEN && before !== COMMA)) return -1;
  return KEY_BYTES.every((byte, n) => bytes[key + n] === byte) ? start : -1;
}

function hasKey(bytes: Uint8Array): boolean {
  const [first] = KEY_BYTES;
  const length = KEY_BYTES.length - 2;
  for (let at = bytes.indexOf(first as number); at >= 0; at = bytes.indexOf(first as number, at + 1)) {
    let n = 1;
    while (n < length && bytes[at + n] === KEY_BYTES[n]) n += 1;
    if (n === length) return true;
  }
  return false;
}

/** The channel that an event names; `undefined` when it is no JSON object or names none. */
export function channelOf(bytes: Uint8Array): string | undefined {
  const start = nameAtEnd(bytes);
  if (start >= 0) {
    const name = String.fromCharCode(...bytes.subarray(start, bytes.length - 2));
    // Escapes and other letters: read as JSON below.
    if (/^[\w./-]*$/.test(name)) return name;
  }
  if (!hasKey(bytes)) return undefined;
  const channel = parsed(bytes)?._channel;
  return typeof channel === 'string' ? channel : undefined;
}

/** The event with `channel` as its `_channel`; what is no JSON object stays as it is. A name has no character to escape. */
export function withChannel(bytes: Uint8Array, channel: string): Uint8Array {
  const tail = encoder.encode(`${KEY}${channel}"}`);
  const start = nameAtEnd(bytes);
  if (start >= 0 && start + channel.length + 2 === bytes.length) {
    const from = bytes.length - tail.length;
    if (tail.every((byte, n) => bytes[from + n] === byte)) return bytes;
  }
  const object = parsed(bytes);
  if (!object) return bytes;
  // The last of several equal keys counts, so nothing has to be taken out, and no number loses digits.
  let end = bytes.length - 1;
  while (bytes[end] !== CLOSE) end -= 1;
  const comma = Object.keys(object).length > 0 ? 1 : 0;
  const out = new Uint8Array(end + comma + tail.length);
  out.set(bytes.subarray(0, end));
  if (comma) out[end] = COMMA;
  out.set(tail, end + comma);
  return out;
}
