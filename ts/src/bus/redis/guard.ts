/**
 * The fast way to append exactly once: a transaction under a watched sequence key.
 *
 * The script decides on the server what to skip, at the price of an interpreter between the commands. Once it is known
 * which number a stream has reached, nothing needs to be decided: the transaction appends and moves the sequence key,
 * and EXEC does nothing if anybody has touched that key since it was watched. The watch stands before the transaction
 * is sent: an attempt that the server gets to late, after a retry, finds the key changed and is void. Whatever is not a
 * plain success (void, timeout, lost connection) is left to the script, which looks at the key itself.
 *
 * EXEC ends all watches of a connection, so each connection may serve one stream only.
 */
import type { RedisConnection } from './connection.js';
import { command, decodeReplies, type Reply, ReplyError } from './resp.js';

const MULTI = command('MULTI');
const EXEC = command('EXEC');
const OK = '+OK\r\n';
const QUEUED = '+QUEUED\r\n';

/** What a guarded transaction came to. */
export type GuardedOutcome =
  | { readonly kind: 'stored' }
  /** Nothing was appended: somebody else moved the sequence key. */
  | { readonly kind: 'void' }
  | { readonly kind: 'refused'; readonly text: string; readonly stored: number };

/** A watched sequence key. */
export class Guard {
  readonly #connection: RedisConnection;
  readonly #key: string;
  readonly #expiry: number;
  readonly #watch: Buffer;
  /** Number that the stream has reached; undefined when the watch does not stand. */
  #reached: bigint | undefined;

  constructor(connection: RedisConnection, key: string, expirySeconds: number) {
    this.#connection = connection;
    this.#key = key;
    this.#expiry = expirySeconds;
    this.#watch = Buffer.concat([command('WATCH', key), command('GET', key)]);
  }

  /** Whether the event numbered `first` can be appended under this guard of `connection`. */
  holds(connection: RedisConnection, key: string, first: bigint): boolean {
    const fits = this.#connection === connection && this.#key === key && connection.open;
    return fits && this.#reached !== undefined && this.#reached <= first;
  }

  /** Watches the key and learns the number; the guard does not hold if the server refuses. */
  async arm(timeoutMs: number): Promise<void> {
    const [watch, value] = await this.#connection.replies([this.#watch], 2, timeoutMs);
    this.#reached = watch === 'OK' ? number(value) : undefined;
  }

  /**
   * Appends `count` events, given as complete XADD commands, and moves the number to `next`. The guard holds again
   * after a success.
   */
  async append(xadds: Uint8Array, count: number, next: bigint, timeoutMs: number): Promise<GuardedOutcome> {
    this.#reached = undefined;
    const set = command('SET', this.#key, next.toString(), 'EX', this.#expiry);
    const parts = [MULTI, xadds, set, EXEC, this.#watch];
    const bytes = await this.#connection.request(parts, count + 5, timeoutMs);
    if (plainSuccess(bytes, count, next)) {
      this.#reached = next;
      return { kind: 'stored' };
    }
    return this.#inspect(decodeReplies(bytes), count, next);
  }

  #inspect(replies: Reply[], count: number, next: bigint): GuardedOutcome {
    const queued = replies.slice(0, count + 2).find((reply) => reply instanceof ReplyError);
    if (queued instanceof ReplyError) return { kind: 'refused', text: queued.text, stored: 0 };
    const results = replies[count + 2];
    if (results instanceof ReplyError) return { kind: 'refused', text: results.text, stored: 0 };
    if (!Array.isArray(results)) return { kind: 'void' };
    const bad = results.findIndex((reply) => reply instanceof ReplyError);
    const reply = results[bad];
    if (reply instanceof ReplyError) return { kind: 'refused', text: reply.text, stored: Math.min(bad, count) };
    // Stored; but somebody moved the number right afterwards.
    const value = number(replies[count + 4]);
    this.#reached = value !== undefined && value >= next ? value : undefined;
    return { kind: 'stored' };
  }
}

/** Whether every reply is what a success gives, told by a few comparisons instead of decoding thousands of ids. */
function plainSuccess(bytes: Buffer, count: number, next: bigint): boolean {
  const results = OK.length + QUEUED.length * (count + 1);
  const head = `*${count + 1}\r\n`;
  if (bytes.toString('latin1', results, results + head.length) !== head) return false;
  const text = next.toString();
  const tail = `${OK}${OK}$${text.length}\r\n${text}\r\n`;
  if (bytes.toString('latin1', bytes.length - tail.length) !== tail) return false;
  return bytes[0] === OK.charCodeAt(0) && bytes.indexOf('\r\n-') < 0;
}

function number(reply: Reply | undefined): bigint | undefined {
  if (reply === null) return 0n;
  return typeof reply === 'string' && /^\d{1,16}$/.test(reply) ? BigInt(reply) : undefined;
}
