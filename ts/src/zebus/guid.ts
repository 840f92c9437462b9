import { randomFillSync } from 'node:crypto';
import { ZebusError } from '../errors.js';

/** Random bytes drawn at once; sixteen go into each identifier. */
const POOL = Buffer.allocUnsafeSlow(16 * 512);
let used = POOL.length;

/** Writes a fresh UUID v4 (layout of `guidText`), its halves to two places. Never all zero. */
export function fillGuid(target: Uint8Array, lo: number, hi: number): void {
  if (used === POOL.length) {
    randomFillSync(POOL);
    used = 0;
  }
  for (let i = 0; i < 8; i++) {
    target[lo + i] = POOL[used + i] as number;
    target[hi + i] = POOL[used + 8 + i] as number;
  }
  used += 16;
  target[lo + 7] = ((target[lo + 7] as number) & 0x0f) | 0x40;
  target[hi] = ((target[hi] as number) & 0x3f) | 0x80;
}

/** A fresh identifier of 16 bytes, in wire order (`lo` then `hi`, little-endian). */
export function newGuid(): Buffer {
  const bytes = Buffer.allocUnsafe(16);
  fillGuid(bytes, 0, 8);
  return bytes;
}

/** Wire position of each byte of the text form: the first three groups are little-endian (71 §5). */
const TEXT_ORDER = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15] as const;

/** Text of an identifier, as the .NET peer prints it. */
export function guidText(bytes: Uint8Array): string {
  let hex = '';
  for (let i = 0; i < 16; i++) {
    if (i === 4 || i === 6 || i === 8 || i === 10) hex += '-';
    hex += (bytes[TEXT_ORDER[i] as number] as number).toString(16).padStart(2, '0');
  }
  return hex;
}

/** Bytes of an identifier's text. Throws `codec` for anything else. */
export function guidBytes(text: string): Buffer {
  if (!/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(text)) {
    throw new ZebusError('codec', `not a GUID: ${JSON.stringify(text)}`);
  }
  const plain = Buffer.from(text.replaceAll('-', ''), 'hex');
  const bytes = Buffer.allocUnsafe(16);
  for (let i = 0; i < 16; i++) bytes[TEXT_ORDER[i] as number] = plain[i] as number;
  return bytes;
}
