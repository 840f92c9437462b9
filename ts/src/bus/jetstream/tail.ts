/**
 * A consumer that stays open behind the last message read, so that the next page costs one round trip (11 §5.4). It is
 * ephemeral and acknowledges nothing; the server removes it some seconds after its last use.
 */
import { TransportError } from '../transport.js';
import type { NatsConnection } from './connection.js';
import type { Frame } from './frame.js';
import { api, apiFailure } from './streams.js';

/** The server forgets a consumer that nobody has used for so long. */
const UNUSED_MS = 5000;
/** We stop using it a little earlier. */
const STALE_MS = 4000;
/** How long one request waits on the server for the next message. */
const PARK_MS = 30_000;
/** How long a read waits for a message that the stream has and the consumer has not heard of yet. */
const WAIT_MS = 1000;
const WAITS = 3;
/** Messages asked for at once. */
const PULL = 1000;
const MAX_U64 = 2n ** 64n - 1n;

/** A message as it came. */
export interface Delivered {
  /** Stream sequence, decimal. */
  readonly sequence: string;
  readonly frame: Buffer;
}

/** Whether decimal `a` is larger than `b`; both without leading zeros. */
export function larger(a: string, b: string): boolean {
  return a.length === b.length ? a > b : a.length > b.length;
}

/** See the file's comment. */
export class Tail {
  readonly #connection: NatsConnection;
  readonly #stream: string;
  readonly #subject: string;
  readonly #consumer: string;
  readonly #inbox: string;
  readonly #timeoutMs: number;
  /** Position behind which {@link #messages} begin. */
  #start: string;
  /** Position of the last message delivered. */
  #last: string;
  #messages: Delivered[] = [];
  /** Messages behind the last one delivered, as the server counted then; undefined: unknown. */
  #behind: number | undefined;
  #used = Date.now();
  #requests = 0;
  #parked: { readonly token: number; readonly timer: NodeJS.Timeout } | undefined;
  #listeners = new Set<(event: 'message' | 'gone' | number) => void>();
  #gone = false;
  #reading = false;
  readonly #unsubscribe: () => void;
  readonly #ignoreClose: () => void;

  /**
   * Opens a consumer behind `after` (undefined = from the beginning).
   *
   * @throws TransportError
   */
  static async open(
    connection: NatsConnection,
    stream: string,
    subject: string,
    after: string | undefined,
    timeoutMs: number,
  ): Promise<Tail> {
    const next = BigInt(after ?? 0) >= MAX_U64 ? MAX_U64 : BigInt(after ?? 0) + 1n;
    // The number is written by hand: beyond 2^53 JSON.stringify cannot say it.
    const config =
      `{"deliver_policy":"by_start_sequence","opt_start_seq":${next},"ack_policy":"none","replay_policy":"instant",` +
      `"filter_subject":${JSON.stringify(subject)},"inactive_threshold":${UNUSED_MS * 1_000_000},"mem_storage":true,` +
      `"num_replicas":1}`;
    const body = `{"stream_name":${JSON.stringify(stream)},"config":${config}}`;
    const made = await api<{ name: string }>(connection, `CONSUMER.CREATE.${stream}`, body, timeoutMs);
    if ('error' in made) {
      const failure = apiFailure(made.error, 0);
      throw new TransportError('transient', failure.message.replace(/^[a-z]+ error: /, ''), { cause: failure });
    }
    return new Tail(connection, stream, subject, made.name, after ?? '0', timeoutMs);
  }

  private constructor(
    connection: NatsConnection,
    stream: string,
    subject: string,
    consumer: string,
    after: string,
    timeoutMs: number,
  ) {
    this.#connection = connection;
    this.#stream = stream;
    this.#subject = subject;
    this.#consumer = consumer;
    this.#start = after;
    this.#last = after;
    this.#timeoutMs = timeoutMs;
    this.#inbox = `${connection.inbox}.c.${consumer}`;
    this.#unsubscribe = connection.subscribe(`${this.#inbox}.*`, (frame) => this.#receive(frame));
    this.#ignoreClose = connection.onClose(() => this.#end());
  }

  /** Whether this consumer can go on behind `after`. */
  covers(after: string): boolean {
    return !this.stale && !larger(this.#start, after) && !larger(after, this.#last);
  }

  /**
   * Takes the consumer for one {@link read}, at the moment in which it is chosen; false when it is taken. Two reads at
   * different positions would drop each other's messages.
   */
  claim(): boolean {
    if (this.#reading) return false;
    this.#reading = true;
    return true;
  }

  /** Whether somebody reads or waits. */
  get busy(): boolean {
    return this.#reading || this.#listeners.size > 0;
  }

  /** Stops using the consumer; the server removes it by itself. */
  close(): void {
    this.#unsubscribe();
    this.#ignoreClose();
    this.#end();
  }

  /** Whether the server may have removed it. */
  get stale(): boolean {
    return this.#gone || !this.#connection.open || (!this.#parked && Date.now() - this.#used > STALE_MS);
  }

  /**
   * At most `limit` messages behind `after`, and whether more follow. Messages before `after` are forgotten. The caller
   * has claimed the consumer; afterwards it is free again.
   *
   * @throws TransportError
   */
  async read(after: string, limit: number): Promise<{ messages: Delivered[]; more: boolean }> {
    this.#used = Date.now();
    const release = this.#connection.hold();
    try {
      this.#forget(after);
      for (let waits = 0; ; waits++) {
        while (this.#messages.length < limit && (await this.#pull(limit - this.#messages.length))) {
          this.#used = Date.now();
        }
        const messages = this.#messages.slice(0, limit);
        if (this.#messages.length > limit || (this.#behind ?? 0) > 0) return { messages, more: true };
        // A consumer hears of a message a little after the stream has it: the end is where the stream says.
        if (!(await this.#streamGoesOn())) return { messages, more: false };
        if (messages.length === limit) return { messages, more: true };
        if (waits === WAITS) {
          this.#end();
          throw new TransportError('transient', `the consumer of ${this.#stream} does not deliver`);
        }
        await this.#pull(limit - messages.length, WAIT_MS);
      }
    } finally {
      this.#reading = false;
      release();
    }
  }

  /** Resolves with true when there is a message behind `after`, with false when the consumer is gone or `signal` aborts. */
  async arrival(after: string, signal: AbortSignal): Promise<boolean> {
    const release = this.#connection.hold();
    try {
      return await new Promise<boolean>((resolve) => {
        const done = (found: boolean) => {
          this.#listeners.delete(listen);
          signal.removeEventListener('abort', abort);
          resolve(found);
        };
        const abort = () => done(false);
        const listen = (event: 'message' | 'gone' | number) => {
          if (event === 'gone') done(false);
          else if (this.#has(after)) done(true);
          else if (!this.#parked) this.#park();
        };
        this.#listeners.add(listen);
        signal.addEventListener('abort', abort, { once: true });
        if (signal.aborted || this.#gone) done(false);
        else if (this.#has(after)) done(true);
        else if (!this.#parked) this.#park();
      });
    } finally {
      release();
    }
  }

  #has(after: string): boolean {
    const last = this.#messages.at(-1);
    return last !== undefined && larger(last.sequence, after);
  }

  #forget(after: string): void {
    let keep = 0;
    while (keep < this.#messages.length && !larger((this.#messages[keep] as Delivered).sequence, after)) keep++;
    if (keep === 0) return;
    this.#messages.splice(0, keep);
    this.#start = after;
  }

  /** Whether the stream has a message behind the last one delivered. */
  async #streamGoesOn(): Promise<boolean> {
    const last = BigInt(this.#last);
    if (last >= MAX_U64) return false;
    const body = `{"seq":${last + 1n},"next_by_subj":${JSON.stringify(this.#subject)}}`;
    const found = await api<object>(this.#connection, `STREAM.MSG.GET.${this.#stream}`, body, this.#timeoutMs);
    if (!('error' in found)) return true;
    if (found.error.code === 404) return false;
    throw apiFailure(found.error, 0);
  }

  /**
   * Asks for messages, at most `most` and {@link PULL}; false when the consumer has nothing more.
   *
   * @param waitMs how long the server waits for the first one; 0 = only what is there now
   */
  async #pull(most: number, waitMs = 0): Promise<boolean> {
    const batch = Math.min(PULL, most);
    const mode = waitMs === 0 ? '"no_wait":true' : `"expires":${waitMs * 1_000_000}`;
    this.#requests += 1;
    const token = this.#requests;
    const wanted = this.#messages.length + batch;
    const before = this.#messages.length;
    await new Promise<void>((resolve, reject) => {
      const done = (error?: TransportError) => {
        clearTimeout(timer);
        this.#listeners.delete(listen);
        if (error) reject(error);
        else resolve();
      };
      const timer = setTimeout(() => {
        const error = new TransportError('transient', `JetStream read of ${this.#stream} timed out`);
        this.#connection.fail(error);
        done(error);
      }, this.#timeoutMs + waitMs);
      const listen = (event: 'message' | 'gone' | number) => {
        if (event === 'gone') done(new TransportError('transient', 'the connection to JetStream was lost'));
        else if (event === token) done();
        else if (event === 'message') {
          if (this.#messages.length >= wanted || this.#behind === 0) done();
          else timer.refresh();
        }
      };
      this.#listeners.add(listen);
      if (this.#gone) listen('gone');
      else this.#ask(token, `{"batch":${batch},${mode}}`);
    });
    return this.#messages.length > before && this.#behind !== 0;
  }

  /** One request that the server answers when the next message arrives. */
  #park(): void {
    this.#requests += 1;
    const token = this.#requests;
    this.#ask(token, `{"batch":1,"expires":${PARK_MS * 1_000_000}}`);
    const timer = setTimeout(
      () => this.#connection.fail(new TransportError('transient', `JetStream does not answer on ${this.#stream}`)),
      PARK_MS + this.#timeoutMs,
    );
    timer.unref();
    this.#parked = { token, timer };
  }

  /** The parked request is answered. A message does not say to which request it belongs; the oldest one gets it. */
  #unpark(token?: number): void {
    if (!this.#parked || (token !== undefined && token !== this.#parked.token)) return;
    clearTimeout(this.#parked.timer);
    this.#parked = undefined;
    this.#used = Date.now();
  }

  #ask(token: number, body: string): void {
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${this.#stream}.${this.#consumer}`;
    this.#connection.write(Buffer.from(`PUB ${subject} ${this.#inbox}.${token} ${body.length}\r\n${body}\r\n`));
  }

  #receive(frame: Frame): void {
    const status = frame.status;
    if (status !== undefined && frame.payload === frame.payloadEnd && frame.replyStart === frame.replyEnd) {
      // 100 = heartbeat, 404 and 408 = nothing (more) there; the consumer itself is gone in the other cases.
      if (status === 503 || (status === 409 && /deleted|leadership/i.test(frame.statusText))) this.#end();
      else if (status !== 100) {
        this.#unpark(frame.lastToken());
        this.#tell(frame.lastToken());
      }
      return;
    }
    const place = position(frame.reply());
    if (!place || !larger(place.sequence, this.#last)) return;
    this.#last = place.sequence;
    this.#behind = place.pending;
    this.#messages.push({ sequence: place.sequence, frame: frame.copy() });
    this.#unpark();
    this.#tell('message');
  }

  #tell(event: 'message' | 'gone' | number): void {
    for (const listener of [...this.#listeners]) listener(event);
  }

  #end(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#unpark();
    this.#tell('gone');
  }
}

/** Stream sequence and number of messages behind it, from `$JS.ACK.…` (two forms, see `native/src/record/page.rs`). */
function position(reply: string): { sequence: string; pending: number } | undefined {
  const tokens = reply.split('.');
  const at = tokens.length === 9 ? 5 : tokens.length >= 11 ? 7 : -1;
  const [sequence, pending] = [tokens[at], tokens[at + 3]];
  if (at < 0 || sequence === undefined || pending === undefined || tokens[1] !== 'ACK') return undefined;
  return { sequence, pending: Number(pending) };
}
