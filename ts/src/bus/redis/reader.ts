/** Reads streams back in pages (11 §4.3), and waits for what arrives. */
import { door } from '../../backend/choose.js';
import { Backoff, delay } from '../../flow/index.js';
import { TransportError } from '../transport.js';
import { linked, sharedAbort } from '../wire/abort.js';
import { PackedPage } from '../wire/page.js';
import type { WireReader } from '../wire/transport.js';
import { classify } from './classify.js';
import { Lane, whileRunning } from './connection.js';
import type { RedisSettings, RedisTarget } from './options.js';
import { command, decodeReplies, type Reply, ReplyError } from './resp.js';
import { streamKey } from './writer.js';

/** Entries that one XRANGE asks for at most. */
const PAGE = 1000;
/** How long one XREAD blocks before it is made anew, so that a dead connection is noticed. */
const BLOCK_MS = 30_000;

/** Reads the streams of one node. */
export class StreamReader implements WireReader {
  readonly #settings: RedisSettings;
  readonly #target: RedisTarget;
  readonly #lane: Lane;
  /** Connections for blocking reads that nobody waits on now. */
  readonly #idle: Lane[] = [];
  readonly #warn: (text: string) => void;
  /** Unreadable entries are reported once. */
  #warned = false;
  readonly #closing = sharedAbort();

  constructor(settings: RedisSettings, target: RedisTarget, lane: Lane, warn: (text: string) => void) {
    this.#settings = settings;
    this.#target = target;
    this.#lane = lane;
    this.#warn = warn;
  }

  /** Ends waits and closes their connections. */
  close(): void {
    this.#closing.abort();
    for (const lane of this.#idle.splice(0)) lane.close();
  }

  /** The next entries behind `after`, in answers of at most {@link PAGE} entries. */
  async pages(
    shard: number,
    after: string | undefined,
    limit: number,
  ): Promise<{ pages: PackedPage[]; more: boolean }> {
    const pages: PackedPage[] = [];
    let position = after;
    let left = limit;
    for (;;) {
      const wanted = Math.min(left, PAGE);
      const page = await this.#range(shard, position, wanted);
      pages.push(page.page);
      position = page.page.lastId ?? position;
      left -= page.page.looked;
      if (!page.more || left <= 0) return { pages, more: page.more };
    }
  }

  /** Id of the newest entry of each stream that has one. */
  async tail(shards: readonly number[]): Promise<Map<number, string>> {
    const keys = shards.map((shard) => streamKey(this.#settings.prefix, shard));
    const requests = keys.map((key) => command('XREVRANGE', key, '+', '-', 'COUNT', 1));
    const tail = new Map<number, string>();
    if (requests.length === 0) return tail;
    let replies: Reply[];
    try {
      const connection = await this.#lane.connection();
      replies = await connection.replies(requests, requests.length, this.#settings.commandTimeoutMs);
    } catch (error) {
      throw whileRunning(error, this.#target);
    }
    for (const [i, reply] of replies.entries()) {
      if (reply instanceof ReplyError) throw classify(reply.text);
      const newest = Array.isArray(reply) ? reply[0] : undefined;
      if (Array.isArray(newest)) tail.set(shards[i] as number, String(newest[0]));
    }
    return tail;
  }

  async #range(shard: number, after: string | undefined, limit: number): Promise<{ page: PackedPage; more: boolean }> {
    const start = after === undefined ? '-' : `(${after}`;
    const key = streamKey(this.#settings.prefix, shard);
    const xrange = command('XRANGE', key, start, '+', 'COUNT', limit + 1);
    let bytes: Buffer;
    try {
      const connection = await this.#lane.connection();
      bytes = await connection.request([xrange], 1, this.#settings.commandTimeoutMs);
    } catch (error) {
      throw whileRunning(error, this.#target);
    }
    const packed = door.redisPage(bytes, limit);
    if (!packed) {
      const [reply] = decodeReplies(bytes);
      if (reply instanceof ReplyError) throw classify(reply.text);
      throw new TransportError('fatal', `unexpected answer to XRANGE ${key}`);
    }
    const page = new PackedPage(packed);
    if (page.firstUnreadable !== undefined && !this.#warned) {
      this.#warned = true;
      this.#warn(`redis: shard ${shard}: entry ${page.firstUnreadable} is not readable and was skipped`);
    }
    return { page, more: entries(bytes) > limit };
  }

  /**
   * Resolves when one of the shards has entries behind its position, or when `signal` aborts. Lost connections are
   * opened anew, with growing pauses, for as long as somebody waits.
   */
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
      const lane = this.#idle.pop() ?? this.#blockingLane();
      try {
        if (await this.#block(lane, positions, stop)) return;
        backoff.reset();
      } catch (error) {
        if (stop.aborted) return;
        const failure = whileRunning(error, this.#target);
        if (!(failure instanceof TransportError) || !failure.retryable) throw failure;
        await delay(backoff.next(), { signal: stop }).catch(() => undefined);
      } finally {
        if (stop.aborted) lane.close();
        else this.#idle.push(lane);
      }
    }
  }

  #blockingLane(): Lane {
    const { connectTimeoutMs, commandTimeoutMs } = this.#settings;
    return new Lane(this.#target, connectTimeoutMs, commandTimeoutMs);
  }

  /** One blocking read: whether there is something. */
  async #block(lane: Lane, positions: ReadonlyMap<number, string | undefined>, stop: AbortSignal): Promise<boolean> {
    const connection = await lane.connection();
    const keys = [...positions.keys()].map((shard) => streamKey(this.#settings.prefix, shard));
    const ids = [...positions.values()].map((id) => id ?? '0-0');
    const xread = command('XREAD', 'COUNT', 1, 'BLOCK', BLOCK_MS, 'STREAMS', ...keys, ...ids);
    const abort = () => connection.close();
    stop.addEventListener('abort', abort, { once: true });
    try {
      if (stop.aborted) return false;
      const timeoutMs = BLOCK_MS + this.#settings.commandTimeoutMs;
      const [reply] = await connection.replies([xread], 1, timeoutMs);
      if (reply instanceof ReplyError) throw classify(reply.text);
      return reply !== null;
    } finally {
      stop.removeEventListener('abort', abort);
    }
  }
}

/** Number of entries in the answer to XRANGE. */
function entries(answer: Buffer): number {
  return Number(answer.toString('latin1', 1, answer.indexOf(13)));
}
