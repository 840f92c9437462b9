/** Reads streams back and waits for what arrives, through consumers that are kept open (11 §5.4). */
import { door } from '../../backend/choose.js';
import { Backoff, delay } from '../../flow/index.js';
import { TransportError } from '../transport.js';
import { linked, sharedAbort } from '../wire/abort.js';
import { PackedPage } from '../wire/page.js';
import type { WireReader } from '../wire/transport.js';
import { type NatsLane, whileRunning } from './lane.js';
import type { JetStreamSettings } from './options.js';
import { api, type Streams, streamName, subjectName } from './streams.js';
import { Tail } from './tail.js';

/** Consumers of one shard that are kept for readers at different positions. */
const TAILS = 4;

/** Reads the streams of one node. */
export class StreamTails implements WireReader {
  readonly #settings: JetStreamSettings;
  readonly #streams: Streams;
  readonly #lane: NatsLane;
  readonly #warn: (text: string) => void;
  readonly #tails = new Map<number, Tail[]>();
  /** Unreadable messages are reported once. */
  #warned = false;
  readonly #closing = sharedAbort();

  constructor(settings: JetStreamSettings, streams: Streams, lane: NatsLane, warn: (text: string) => void) {
    this.#settings = settings;
    this.#streams = streams;
    this.#lane = lane;
    this.#warn = warn;
  }

  /** Ends waits. */
  close(): void {
    this.#closing.abort();
    this.#tails.clear();
  }

  /**
   * The next messages behind `after`.
   *
   * @throws TransportError
   */
  async pages(
    shard: number,
    after: string | undefined,
    limit: number,
  ): Promise<{ pages: PackedPage[]; more: boolean }> {
    const tail = await this.#tail(shard, after, false);
    const { messages, more } = await tail.read(after ?? '0', limit);
    if (messages.length === 0) return { pages: [], more };
    const packed = door.natsPage(Buffer.concat(messages.map(({ frame }) => frame)), messages.length);
    if (!packed)
      throw new TransportError('fatal', `messages of ${streamName(this.#settings.prefix, shard)} are not readable`);
    const page = new PackedPage(packed);
    if (page.firstUnreadable !== undefined && !this.#warned) {
      this.#warned = true;
      this.#warn(`jetstream: shard ${shard}: message ${page.firstUnreadable} is not readable and was skipped`);
    }
    return { pages: [page], more };
  }

  /**
   * Sequence of the newest message of each stream that has had one.
   *
   * @throws TransportError
   */
  async tail(shards: readonly number[]): Promise<Map<number, string>> {
    const connection = await this.#lane.connection();
    const newest = new Map<number, string>();
    const look = async (shard: number) => {
      await this.#streams.ensure(connection, shard);
      const subject = `STREAM.INFO.${streamName(this.#settings.prefix, shard)}`;
      const found = await api<{ state: { last_seq: number } }>(
        connection,
        subject,
        '',
        this.#settings.requestTimeoutMs,
      );
      if ('error' in found) throw new TransportError('transient', found.error.description ?? `${subject} failed`);
      if (found.state.last_seq > 0) newest.set(shard, String(found.state.last_seq));
    };
    await Promise.all(shards.map(look));
    return newest;
  }

  /** Resolves when one of the shards has messages behind its position, or when `signal` aborts. */
  async wait(positions: ReadonlyMap<number, string | undefined>, signal: AbortSignal): Promise<void> {
    const { signal: stop, release } = linked(signal, this.#closing.signal);
    try {
      await this.#waitUntil(positions, stop);
    } finally {
      release();
    }
  }

  async #waitUntil(positions: ReadonlyMap<number, string | undefined>, stop: AbortSignal): Promise<void> {
    const backoff = new Backoff({ baseMs: 100, maxMs: 3200, jitter: 0.25 });
    while (!stop.aborted) {
      const round = sharedAbort();
      const { signal: end, release } = linked(stop, round.signal);
      try {
        const arrivals = [...positions].map(async ([shard, after]) => {
          const tail = await this.#tail(shard, after, true);
          return tail.arrival(after ?? '0', end);
        });
        // One shard is enough; a consumer that is gone is opened anew.
        if (await Promise.race(arrivals)) return;
        await delay(10, { signal: stop }).catch(() => undefined);
      } catch (error) {
        if (stop.aborted) return;
        const failure = whileRunning(error);
        if (!(failure instanceof TransportError) || !failure.retryable) throw failure;
        await delay(backoff.next(), { signal: stop }).catch(() => undefined);
      } finally {
        round.abort();
        release();
      }
    }
  }

  /** A consumer that can go on behind `after`; waiting can share one, reading needs it alone. */
  async #tail(shard: number, after: string | undefined, shared: boolean): Promise<Tail> {
    const tails = this.#usable(shard);
    const position = after ?? '0';
    const known = tails.findLast((tail) => tail.covers(position) && (shared || tail.claim()));
    if (known) return known;
    const { prefix, requestTimeoutMs } = this.#settings;
    try {
      const connection = await this.#lane.connection();
      await this.#streams.ensure(connection, shard);
      const opened = await Tail.open(
        connection,
        streamName(prefix, shard),
        subjectName(prefix, shard),
        after,
        requestTimeoutMs,
      );
      if (!shared) opened.claim();
      this.#keep(shard, opened);
      return opened;
    } catch (error) {
      // The stream may have been removed: look it up again the next time.
      this.#streams.forget(shard);
      throw whileRunning(error);
    }
  }

  #usable(shard: number): Tail[] {
    const tails = this.#tails.get(shard) ?? [];
    const usable = tails.filter((tail) => !tail.stale);
    for (const tail of tails) if (tail.stale) tail.close();
    this.#tails.set(shard, usable);
    return usable;
  }

  #keep(shard: number, opened: Tail): void {
    const tails = this.#usable(shard);
    tails.push(opened);
    const spare = tails.length > TAILS ? tails.find((tail) => !tail.busy && tail !== opened) : undefined;
    if (!spare) return;
    spare.close();
    tails.splice(tails.indexOf(spare), 1);
  }
}
