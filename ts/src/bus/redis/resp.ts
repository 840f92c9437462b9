/** The Redis protocol (RESP2): commands out, replies in. */

/** A decoded reply. Errors are values here: a list of replies can hold some. */
export type Reply = number | string | null | ReplyError | Reply[];

/** An error reply; `text` begins with its code, for example `WRONGTYPE`. */
export class ReplyError {
  constructor(readonly text: string) {}
}

/** Bytes of a command. */
export function command(...args: (string | number | Uint8Array)[]): Buffer {
  const parts: Uint8Array[] = [Buffer.from(`*${args.length}\r\n`)];
  for (const arg of args) {
    const bytes = typeof arg === 'object' ? arg : Buffer.from(String(arg));
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, CRLF);
  }
  return Buffer.concat(parts);
}

const CRLF = Buffer.from('\r\n');
const [CR, MINUS, PLUS, COLON, DOLLAR, STAR] = [13, 45, 43, 58, 36, 42];

/** What a scan found: enough bytes, too few, or something that is not the protocol. */
export type ScanResult = 'complete' | 'partial' | 'broken';

/** Finds where replies end without decoding them; a reply may arrive in any number of pieces. */
export class ReplyScanner {
  /** Values that are still to come before the present request is answered. */
  #values = 0;
  /** First byte that was not looked at. */
  position = 0;

  /** Expects `replies` replies from `position` on. */
  expect(replies: number): void {
    this.#values = replies;
  }

  /** Goes on in `bytes[..length]`; after `complete`, `position` is behind the last reply. */
  scan(bytes: Uint8Array, length: number): ScanResult {
    let at = this.position;
    while (this.#values > 0) {
      const kind = bytes[at];
      let end = at + 1;
      if (at >= length) return this.#stop(at);
      if (kind === DOLLAR || kind === STAR) {
        let number = 0;
        let sign = 1;
        for (; ; end++) {
          if (end >= length) return this.#stop(at);
          const byte = bytes[end] ?? 0;
          if (byte === CR) break;
          if (byte === MINUS) sign = -1;
          else if (byte >= 48 && byte <= 57) number = number * 10 + byte - 48;
          else return 'broken';
        }
        end += 2;
        number *= sign;
        if (kind === STAR) this.#values += Math.max(0, number);
        else if (number >= 0) end += number + 2;
        if (end > length) {
          if (kind === STAR) this.#values -= Math.max(0, number);
          return this.#stop(at);
        }
      } else if (kind === COLON || kind === PLUS || kind === MINUS) {
        while (end < length && bytes[end] !== CR) end++;
        end += 2;
        if (end > length) return this.#stop(at);
      } else {
        return 'broken';
      }
      this.#values--;
      at = end;
    }
    this.position = at;
    return 'complete';
  }

  #stop(at: number): 'partial' {
    this.position = at;
    return 'partial';
  }
}

/** Decodes the complete replies in `bytes`. */
export function decodeReplies(bytes: Buffer): Reply[] {
  const replies: Reply[] = [];
  let at = 0;
  const value = (): Reply => {
    const end = bytes.indexOf(CR, at);
    const kind = bytes[at];
    const line = bytes.toString('latin1', at + 1, end);
    at = end + 2;
    switch (kind) {
      case COLON:
        return Number(line);
      case DOLLAR: {
        const length = Number(line);
        if (length < 0) return null;
        const text = bytes.toString('utf8', at, at + length);
        at += length + 2;
        return text;
      }
      case STAR: {
        const length = Number(line);
        return length < 0 ? null : Array.from({ length }, value);
      }
      case MINUS:
        return new ReplyError(line);
      default:
        return line;
    }
  };
  while (at < bytes.length) replies.push(value());
  return replies;
}
