/** Publishes batches and counts their acknowledgements (11 §5.3). */
import { door } from '../../backend/choose.js';
import { type Batch, TransportError } from '../transport.js';
import type { WireWriter } from '../wire/transport.js';
import type { NatsConnection } from './connection.js';
import type { Frame } from './frame.js';
import { type NatsLane, whileRunning } from './lane.js';
import type { JetStreamSettings } from './options.js';
import { type ApiError, type Streams, subjectName } from './streams.js';

/** Publishes encoded at once. */
const SLICE = 1024;
/** Unacknowledged publishes of one batch: below the 10,000 that newer servers hold per stream before they refuse. */
const WINDOW = 4096;
/** Room that headers, record and Base64 may need besides the event. */
const FRAME_ROOM = 512;

/** How far a batch got; kept until the next batch of the shard. */
interface Progress {
  readonly sequenceStart: bigint;
  readonly nonce: bigint;
  /** Events at the start that are all acknowledged. */
  prefix: number;
}

/** Writes the streams of one node. */
export class StreamPublisher implements WireWriter {
  readonly #settings: JetStreamSettings;
  readonly #streams: Streams;
  readonly #lane: (shard: number) => NatsLane;
  readonly #progress = new Map<number, Progress>();
  readonly #running = new Map<number, Promise<void>>();
  readonly #listening = new WeakMap<NatsConnection, Map<number, Attempt>>();
  #attempts = 0;

  constructor(settings: JetStreamSettings, streams: Streams, lane: (shard: number) => NatsLane) {
    this.#settings = settings;
    this.#streams = streams;
    this.#lane = lane;
  }

  /**
   * Publishes a batch from its first event without acknowledgement on.
   *
   * @throws TransportError; `stored` is the number of acknowledged events
   */
  async write(batch: Batch): Promise<void> {
    const before = this.#running.get(batch.shardId) ?? Promise.resolve();
    const attempt = before.catch(() => undefined).then(() => this.#attempt(batch));
    this.#running.set(batch.shardId, attempt);
    try {
      await attempt;
    } finally {
      if (this.#running.get(batch.shardId) === attempt) this.#running.delete(batch.shardId);
    }
  }

  async #attempt(batch: Batch): Promise<void> {
    const { shardId, sequenceStart, nonce } = batch;
    const known = this.#progress.get(shardId);
    const same = known?.sequenceStart === sequenceStart && known.nonce === nonce;
    const progress: Progress = same ? known : { sequenceStart, nonce, prefix: 0 };
    this.#progress.set(shardId, progress);
    let connection: NatsConnection;
    try {
      connection = await this.#lane(shardId).connection();
      await this.#streams.ensure(connection, shardId);
    } catch (error) {
      throw whileRunning(error);
    }
    this.#attempts += 1;
    const attempt = new Attempt(connection, batch, progress.prefix, this.#settings, this.#attempts);
    const attempts = this.#routes(connection);
    attempts.set(this.#attempts, attempt);
    const release = connection.hold();
    try {
      await attempt.run();
    } catch (error) {
      if (error instanceof TransportError && /503|no responders/.test(error.message)) this.#streams.forget(shardId);
      throw error;
    } finally {
      release();
      progress.prefix = attempt.prefix;
      attempts.delete(attempt.number);
    }
  }

  /** Attempts that wait for acknowledgements on a connection, by the number in the answer subject. */
  #routes(connection: NatsConnection): Map<number, Attempt> {
    let routes = this.#listening.get(connection);
    if (!routes) {
      const created = new Map<number, Attempt>();
      routes = created;
      this.#listening.set(connection, created);
      connection.subscribe(`${connection.inbox}.a.*.*`, (frame) => {
        const [attempt, index] = lastTwo(frame);
        created.get(attempt)?.acknowledged(index, frame);
      });
    }
    return routes;
  }
}

/** One run over what is left of a batch. */
class Attempt {
  readonly #connection: NatsConnection;
  readonly #batch: Batch;
  readonly #settings: JetStreamSettings;
  /** One byte an event: 1 = acknowledged. */
  readonly #acks: Uint8Array;
  /** Number in the answer subject. */
  readonly number: number;
  /** Events at the start of the batch that are all acknowledged. */
  prefix: number;
  #acknowledged: number;
  #sent: number;
  /** Events that no server takes; the others of the batch are stored. */
  #refused: { readonly index: number; readonly text: string }[] = [];
  #wake: (() => void) | undefined;
  #failure: TransportError | undefined;

  constructor(connection: NatsConnection, batch: Batch, prefix: number, settings: JetStreamSettings, number: number) {
    this.#connection = connection;
    this.#batch = batch;
    this.#settings = settings;
    this.#acks = new Uint8Array(batch.count);
    this.prefix = prefix;
    this.#acknowledged = prefix;
    this.#sent = prefix;
    this.number = number;
  }

  /** An answer to publish `index`. */
  acknowledged(index: number, frame: Frame): void {
    const failure = refusal(frame);
    if (failure) this.#fail(failure);
    else this.#mark(index);
  }

  #mark(index: number): void {
    if (index >= this.#sent || index < this.prefix || this.#acks[index] === 1) return;
    this.#acks[index] = 1;
    this.#acknowledged += 1;
    if (index === this.prefix) {
      let end = index + 1;
      while (end < this.#sent && this.#acks[end] === 1) end++;
      this.prefix = end;
    }
    this.#wake?.();
  }

  #fail(error: TransportError): void {
    this.#failure ??= error;
    this.#wake?.();
  }

  /** Publishes and waits; resolves when every event is acknowledged. */
  async run(): Promise<void> {
    const { count } = this.#batch;
    const forget = this.#connection.onClose((error) => this.#fail(error));
    const subject = subjectName(this.#settings.prefix, this.#batch.shardId);
    const ignore = this.#connection.onRefusal((text) => {
      if (text.includes(`"${subject}"`)) this.#fail(new TransportError('fatal', text));
    });
    try {
      while (this.#sent < count && !this.#failure) {
        if (this.#sent - this.#acknowledged >= WINDOW || this.#connection.unsent > 4 << 20) {
          await this.#progress('enqueue');
          continue;
        }
        this.#send(Math.min(count, this.#sent + SLICE));
      }
      while (this.#acknowledged < count && !this.#failure) await this.#progress('ack');
    } finally {
      ignore();
      forget();
    }
    if (this.#failure) {
      const { kind, message, cause } = this.#failure;
      const text = message.replace(/^[a-z ]+ error: /, '');
      throw new TransportError(kind, text, { cause, stored: this.#acknowledged - this.#refused.length });
    }
    const [refused] = this.#refused;
    if (refused) {
      const text = `${this.#refused.length} events were not stored: ${refused.text}`;
      throw new TransportError('fatal', text, { stored: count - this.#refused.length });
    }
  }

  /** Waits for an answer, at most `requestTimeoutMs` since the last one. */
  #progress(phase: 'enqueue' | 'ack'): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        const error = new TransportError('transient', `JetStream publish ${phase} phase timed out`);
        this.#fail(error);
        // What is still on its way here would only be sent again.
        this.#connection.fail(error);
      }, this.#settings.requestTimeoutMs);
      this.#wake = () => {
        this.#wake = undefined;
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #send(to: number): void {
    const from = this.#sent;
    this.#sent = to;
    const limit = this.#connection.info.max_payload;
    let start = from;
    for (let i = from; i < to; i++) {
      const size = (this.#batch.ends[i] ?? 0) - (i === 0 ? 0 : (this.#batch.ends[i - 1] ?? 0));
      if (1.4 * size + FRAME_ROOM <= limit) continue;
      const single = this.#encode(i, i + 1);
      const line = single.indexOf('\r\n');
      const payload = Number(single.toString('latin1', single.lastIndexOf(' ', line) + 1, line));
      if (payload <= limit) continue;
      this.#write(start, i);
      start = i + 1;
      const text = `an event of ${size} bytes needs ${payload} bytes, the server takes ${limit} (max_payload)`;
      this.#refused.push({ index: i, text });
      this.#mark(i);
    }
    this.#write(start, to);
  }

  #write(from: number, to: number): void {
    if (to > from) this.#connection.write(this.#encode(from, to));
  }

  #encode(from: number, to: number): Buffer {
    const { data, ends, timestamps, shardId, nonce, sequenceStart } = this.#batch;
    const id = `${nonce.toString(16)}:${shardId}:${sequenceStart}:`;
    const subject = subjectName(this.#settings.prefix, shardId);
    const reply = `${this.#connection.inbox}.a.${this.number}.`;
    const bytes = door.natsRecords(data, ends, timestamps, shardId, from, to, subject, reply, id);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
}

/** The two numbers at the end of an answer's subject. */
function lastTwo(frame: Frame): [number, number] {
  const index = frame.lastToken();
  const { buffer, subjectStart } = frame;
  let at = frame.subjectEnd - 1;
  while (at > subjectStart && buffer[at] !== 46) at--;
  let number = 0;
  let scale = 1;
  for (at -= 1; at > subjectStart && buffer[at] !== 46; at--) {
    number += ((buffer[at] ?? 0) - 48) * scale;
    scale *= 10;
  }
  return [number, index];
}

/** `{"s…` begins every positive acknowledgement. */
const LETTER_S = 115;

/** What an answer says against a publish, if anything. */
function refusal(frame: Frame): TransportError | undefined {
  if (frame.payloadEnd === frame.payload) {
    return new TransportError('transient', `JetStream does not answer (${frame.status ?? 'empty'} no responders)`);
  }
  if (frame.buffer[frame.payload + 2] === LETTER_S) return undefined;
  let answer: { error?: ApiError; seq?: number };
  try {
    answer = JSON.parse(frame.payloadText());
  } catch (cause) {
    return new TransportError('transient', 'an acknowledgement is not readable', { cause });
  }
  return answer.error ? publishFailure(answer.error) : undefined;
}

/** Stream full or server out of resources: the ring behind must wait. */
const FULL = new Set([10077, 10023, 10047, 10122, 10054]);

function publishFailure(error: ApiError): TransportError {
  const text = `${error.description ?? 'error'} (code ${error.err_code ?? error.code})`;
  if (error.err_code !== undefined && FULL.has(error.err_code)) return new TransportError('backpressure');
  return new TransportError(error.code >= 500 || error.code === 429 ? 'transient' : 'fatal', text);
}
