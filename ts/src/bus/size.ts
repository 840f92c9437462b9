/** Sizes of events. */
import { MeshringError } from '../errors.js';

/** Length of a text in UTF-8, a lone surrogate counting as the three bytes of U+FFFD. */
export function utf8Length(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    length += unit < 0x800 ? 1 : 2;
    const next = text.charCodeAt(i + 1);
    // Two units of a pair make four bytes.
    if (unit >= 0xd800 && unit < 0xdc00 && next >= 0xdc00 && next < 0xe000) i += 1;
  }
  return length;
}

/** An event above the limit (10 §3.1). */
export function tooLarge(bytes: number, limit: number): MeshringError {
  return new MeshringError('too-large', `Ingestion failed: event too large: ${bytes} bytes, limit ${limit}`);
}
