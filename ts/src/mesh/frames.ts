/** Events framed as on the wire, in a buffer that is used again and again. */

/** Longest event that fits a packet, bytes. */
export const MAX_EVENT_BYTES = 8108;

const KEPT = 1 << 20;
let buffer = new Uint8Array(1 << 16);
let view = new DataView(buffer.buffer);

/** Frames of a call; valid until the next call of `frame`. */
export interface Framed {
  /** Holds `length` bytes of frames, and rubbish behind. */
  readonly bytes: Uint8Array;
  /** Bytes in use. */
  readonly length: number;
}

/** Frames events from index `from` on. */
export function frame(events: readonly Uint8Array[], from = 0): Framed {
  let length = 0;
  for (let n = from; n < events.length; n++) length += 4 + (events[n] as Uint8Array).length;
  if (length > buffer.length || (buffer.length > KEPT && length <= KEPT)) {
    buffer = new Uint8Array(Math.max(1 << 16, 2 ** Math.ceil(Math.log2(Math.max(length, 1)))));
    view = new DataView(buffer.buffer);
  }
  let at = 0;
  for (let n = from; n < events.length; n++) {
    const event = events[n] as Uint8Array;
    view.setUint32(at, event.length, true);
    buffer.set(event, at + 4);
    at += 4 + event.length;
  }
  return { bytes: buffer, length };
}
