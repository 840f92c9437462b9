/** Frames of the NATS protocol in a receive buffer. */

const [CR, LF, BLANK] = [13, 10, 32];
const [UPPER_H, UPPER_M] = [72, 77];

/** A message in the receive buffer. Valid while the callback runs: one object serves all frames. */
export class Frame {
  /** Receive buffer. */
  buffer: Buffer = Buffer.alloc(0);
  /** Start of the frame. */
  start = 0;
  /** Behind the frame's last line end. */
  end = 0;
  /** Number of the subscription. */
  sid = 0;
  subjectStart = 0;
  subjectEnd = 0;
  replyStart = 0;
  /** Equal to `replyStart` when there is no answer subject. */
  replyEnd = 0;
  /** Start of the headers, or of the payload when there are none. */
  body = 0;
  payload = 0;
  payloadEnd = 0;

  /** Subject of the message. */
  subject(): string {
    return this.buffer.toString('latin1', this.subjectStart, this.subjectEnd);
  }

  /** Answer subject, `''` if there is none. */
  reply(): string {
    return this.buffer.toString('latin1', this.replyStart, this.replyEnd);
  }

  /** Payload as text. */
  payloadText(): string {
    return this.buffer.toString('utf8', this.payload, this.payloadEnd);
  }

  /** A copy of the whole frame. */
  copy(): Buffer {
    return Buffer.from(this.buffer.subarray(this.start, this.end));
  }

  /** Number in the status line of the headers (`NATS/1.0 503`), if there is one. */
  get status(): number | undefined {
    if (this.payload - this.body < 12 || this.buffer[this.body + 8] !== BLANK) return undefined;
    const number = Number(this.buffer.toString('latin1', this.body + 9, this.body + 12));
    return Number.isInteger(number) ? number : undefined;
  }

  /** Text behind the status number. */
  get statusText(): string {
    const end = this.buffer.indexOf(CR, this.body);
    return this.buffer.toString('latin1', this.body + 12, end).trim();
  }

  /** Decimal number at the end of the subject, behind the last dot. */
  lastToken(): number {
    let number = 0;
    let scale = 1;
    for (let at = this.subjectEnd - 1; at >= this.subjectStart; at--) {
      const digit = (this.buffer[at] ?? 0) - 48;
      if (digit < 0 || digit > 9) break;
      number += digit * scale;
      scale *= 10;
    }
    return number;
  }
}

/** Who takes what a {@link FrameReader} finds. */
export interface FrameSink {
  /** A message; the frame is valid during the call. */
  message(frame: Frame): void;
  /** A line of the protocol that is no message: INFO, PING, PONG, +OK, -ERR. */
  line(text: string): void;
}

/** Cuts a stream of bytes into frames, in pieces of any size. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);
  #restLength = 0;
  readonly #frame = new Frame();

  /** Takes the next bytes; true when they are not the protocol. */
  read(chunk: Buffer, sink: FrameSink): boolean {
    let bytes = chunk;
    let length = chunk.length;
    if (this.#restLength > 0) {
      length += this.#restLength;
      if (this.#rest.length < length) {
        const grown = Buffer.allocUnsafeSlow(Math.max(length, 2 * this.#restLength));
        this.#rest.copy(grown, 0, 0, this.#restLength);
        this.#rest = grown;
      }
      chunk.copy(this.#rest, this.#restLength);
      bytes = this.#rest;
    }
    let at = 0;
    while (at < length) {
      const line = bytes.indexOf(CR, at);
      if (line < 0 || line + 1 >= length) {
        if (length - at > 1 << 20) return true;
        break;
      }
      if (bytes[line + 1] !== LF) return true;
      const kind = bytes[at];
      if (kind !== UPPER_M && kind !== UPPER_H) {
        sink.line(bytes.toString('utf8', at, line));
        at = line + 2;
        continue;
      }
      const frame = this.#frame;
      frame.buffer = bytes;
      frame.start = at;
      if (!parseLine(frame, bytes, at, line, kind === UPPER_H)) return true;
      if (frame.end > length) break;
      if (bytes[frame.end - 2] !== CR) return true;
      at = frame.end;
      sink.message(frame);
    }
    this.#keep(bytes, at, length);
    return false;
  }

  #keep(bytes: Buffer, at: number, length: number): void {
    this.#restLength = length - at;
    if (this.#restLength === 0) {
      if (this.#rest.length > 1 << 20) this.#rest = Buffer.alloc(0);
      return;
    }
    if (bytes === this.#rest) {
      if (at > 0) bytes.copyWithin(0, at, length);
      return;
    }
    if (this.#rest.length < this.#restLength) this.#rest = Buffer.allocUnsafeSlow(Math.max(65_536, this.#restLength));
    bytes.copy(this.#rest, 0, at, length);
  }
}

// Words of the line being read; reused, as a frame is read for each acknowledgement.
const starts = new Int32Array(5);
const ends = new Int32Array(5);

/** Reads `[H]MSG subject sid [reply] [header] total`; false when it is not such a line. */
function parseLine(frame: Frame, bytes: Buffer, start: number, end: number, headers: boolean): boolean {
  let at = start + (headers ? 5 : 4);
  let words = 0;
  while (at < end) {
    if (words === 5) return false;
    starts[words] = at;
    while (at < end && bytes[at] !== BLANK) at++;
    ends[words] = at;
    words += 1;
    at += 1;
  }
  const least = headers ? 4 : 3;
  if (words !== least && words !== least + 1) return false;
  frame.subjectStart = starts[0] as number;
  frame.subjectEnd = ends[0] as number;
  frame.sid = decimal(bytes, starts[1] as number, ends[1] as number);
  const reply = words > least;
  frame.replyStart = reply ? (starts[2] as number) : 0;
  frame.replyEnd = reply ? (ends[2] as number) : 0;
  const total = decimal(bytes, starts[words - 1] as number, ends[words - 1] as number);
  const header = headers ? decimal(bytes, starts[words - 2] as number, ends[words - 2] as number) : 0;
  if (!(total >= header) || Number.isNaN(frame.sid)) return false;
  frame.body = end + 2;
  frame.payload = frame.body + header;
  frame.payloadEnd = frame.body + total;
  frame.end = frame.payloadEnd + 2;
  return true;
}

function decimal(bytes: Buffer, start: number, end: number): number {
  if (start === end) return Number.NaN;
  let number = 0;
  for (let at = start; at < end; at++) {
    const digit = (bytes[at] ?? 0) - 48;
    if (digit < 0 || digit > 9) return Number.NaN;
    number = number * 10 + digit;
  }
  return number;
}
