/** Frames: a 4-byte length, then that many bytes of JSON text in UTF-8 (90 §5). */
import { isAscii } from 'node:buffer';
import { MarketrixError } from '../errors.js';
import { fromJson, mayHoldBytes, toJson, toText } from './json.js';

/** Bytes of the length prefix. */
export const HEADER_BYTES = 4;
/** Default of the largest frame. */
export const DEFAULT_MAX_FRAME_BYTES = 16 * 1024 * 1024;

/** Byte order of the length prefix. */
export type Endian = 'big' | 'little';

/** How frames are read and written. */
export interface FrameOptions {
  /** Byte order of the length. Default `big`. */
  endian?: Endian;
  /** Largest payload in bytes. Default 16 MiB. */
  maxFrameBytes?: number;
  /** Whether Buffers travel as `{"$bytes": "<base64>"}`. Default false. */
  bytes?: boolean;
}

/** Error for a payload of `length` bytes where `limit` are allowed. */
export function tooLarge(length: number, limit: number): MarketrixError {
  return new MarketrixError('frame-too-large', `frame of ${length} bytes, the limit is ${limit}`);
}

/** Writes the length prefix. */
export function writeLength(target: Buffer, length: number, offset: number, endian: Endian): void {
  if (endian === 'big') target.writeUInt32BE(length, offset);
  else target.writeUInt32LE(length, offset);
}

/**
 * One message as a frame.
 *
 * @throws MarketrixError `invalid-message`, `frame-too-large`.
 */
export function encodeFrame(value: unknown, options: FrameOptions = {}): Buffer {
  return frameText(toJson(value, options.bytes ?? false), options);
}

/** A JSON text as a frame. */
export function frameText(text: string, options: FrameOptions = {}): Buffer {
  const { endian = 'big', maxFrameBytes = DEFAULT_MAX_FRAME_BYTES } = options;
  const length = Buffer.byteLength(text);
  if (length > maxFrameBytes) throw tooLarge(length, maxFrameBytes);
  const frame = Buffer.allocUnsafe(HEADER_BYTES + length);
  writeLength(frame, length, 0, endian);
  frame.write(text, HEADER_BYTES);
  return frame;
}

/** Receives each message with the bytes of its frame. */
export type FrameSink = (value: unknown, frameBytes: number) => void;

/**
 * Takes bytes as they arrive, split or merged at any point, and gives messages. Bytes of an incomplete frame are kept
 * as the chunks they came in and joined once. After an error the decoder is of no further use.
 */
export class FrameDecoder {
  readonly #endian: Endian;
  readonly #limit: number;
  readonly #bytes: boolean;
  #parts: Buffer[] = [];
  #held = 0;
  /** Bytes needed before anything can be done with what is held. */
  #need = 0;

  constructor(options: FrameOptions = {}) {
    this.#endian = options.endian ?? 'big';
    this.#limit = options.maxFrameBytes ?? DEFAULT_MAX_FRAME_BYTES;
    this.#bytes = options.bytes ?? false;
  }

  /** Bytes of an incomplete frame that are held. */
  get held(): number {
    return this.#held;
  }

  /**
   * Adds bytes and gives every message that is complete.
   *
   * @throws MarketrixError `protocol` or `frame-too-large`, after the messages before the bad frame were given.
   */
  push(chunk: Uint8Array, sink: FrameSink): void {
    let bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (this.#held > 0) {
      this.#parts.push(bytes);
      this.#held += bytes.length;
      if (this.#held < this.#need) return;
      bytes = Buffer.concat(this.#parts, this.#held);
      this.#parts = [];
      this.#held = 0;
    }
    const rest = this.#split(bytes, sink);
    if (rest < bytes.length) {
      const tail = bytes.subarray(rest);
      this.#parts.push(tail);
      this.#held = tail.length;
    }
  }

  /** Says that no more bytes come. @throws MarketrixError `protocol` when a frame is incomplete. */
  end(): void {
    if (this.#held > 0) throw new MarketrixError('protocol', `truncated frame (${this.#held} of ${this.#need} bytes)`);
  }

  /** Gives all complete frames of `bytes`; returns where the incomplete one begins. */
  #split(bytes: Buffer, sink: FrameSink): number {
    // One conversion serves all frames of the chunk as long as every byte is ASCII.
    const ascii = isAscii(bytes) ? bytes.toString('latin1') : undefined;
    const mayHold = this.#bytes && (ascii === undefined || mayHoldBytes(ascii));
    let at = 0;
    while (at + HEADER_BYTES <= bytes.length) {
      const length = this.#endian === 'big' ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at);
      if (length > this.#limit) throw tooLarge(length, this.#limit);
      const start = at + HEADER_BYTES;
      const end = start + length;
      if (end > bytes.length) {
        this.#need = HEADER_BYTES + length;
        return at;
      }
      if (length > 0) {
        const text = ascii === undefined ? toText(bytes.subarray(start, end)) : ascii.slice(start, end);
        sink(fromJson(text, mayHold), end - at);
      }
      at = end;
    }
    this.#need = HEADER_BYTES;
    return at;
  }
}
