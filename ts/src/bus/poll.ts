/** The poll algorithm (10 §5.1) over any store: fair pages, or one merged by time stamp. */
import { MeshringError, wrongType } from '../errors.js';
import type { RedisStreamDedup } from '../redis-dedup.js';
import type { PollRequest, PollResponseData } from '../types.js';
import { decodeCursor, encodeCursor, invalidCursor, type Positions } from './cursor.js';
import { dedupMemory, unseen } from './dedup.js';
import { type CompiledFilter, compileFilter } from './filter.js';
import { FairPage } from './poll-fair.js';
import { MergedPage } from './poll-merged.js';
import type { ShardReader } from './reader.js';
import { ShardProgress } from './shard-progress.js';

/** A page being put together: says what to read next, until it has enough. */
export interface PagePlan {
  /** Sets `want` of the shards to read next; false when the page is complete. */
  next(): boolean;
  /** Events of the page. Called once, after `next` said false. */
  events(): PollResponseData['events'];
}

interface Checked {
  readonly limit: number;
  readonly filter: CompiledFilter | undefined;
  readonly ordering: 'none' | 'insertion_ts';
  readonly shards: readonly number[];
  readonly positions: Positions;
  readonly dedup: RedisStreamDedup | undefined;
}

/** Polls one store. Keeps nothing between polls except the positions of the last cursor it gave out. */
export class Poller {
  readonly #reader: ShardReader;
  /** Consumers mostly come back with the cursor of the page before; with `dedup` they go on with the same memory. */
  #last: { cursor: string; positions: Positions; dedup: RedisStreamDedup | undefined } | undefined;

  constructor(reader: ShardReader) {
    this.#reader = reader;
  }

  /**
   * One page. Synchronous when the reader is; a synchronous failure is thrown.
   *
   * @throws MeshringError kinds `invalid-argument`, `invalid-filter`, `invalid-cursor`, `poll-failed`, `closed`
   */
  poll(request: PollRequest): PollResponseData | Promise<PollResponseData> {
    const checked = this.#check(request);
    if (!checked || checked.shards.length === 0) {
      return { events: [], nextId: request.cursor ?? undefined, hasMore: false };
    }
    const shards = checked.shards.map((shard) => new ShardProgress(shard, checked.positions.get(shard)));
    const plan =
      checked.ordering === 'none'
        ? new FairPage(shards, checked.limit, this.#reader.overfetch ?? 1)
        : new MergedPage(shards, checked.limit, this.#reader.overfetch ?? 1, this.#reader.horizon?.());
    return this.#run(request, checked, shards, plan);
  }

  #check(request: PollRequest): Checked | undefined {
    if (request === null || typeof request !== 'object') {
      throw wrongType('poll', 'request', request, 'an object', 'InvalidArg');
    }
    const { limit, ordering = 'none' } = request;
    if (limit === undefined || limit === null) {
      throw new MeshringError('invalid-argument', 'Missing field `limit`', { code: 'InvalidArg' });
    }
    if (typeof limit !== 'number') throw wrongType('poll', 'limit', limit, 'a number', 'NumberExpected');
    if (!Number.isInteger(limit) || limit < 0) {
      throw new MeshringError('invalid-argument', `Poll failed: invalid limit: ${limit}`);
    }
    if (ordering !== null && ordering !== 'none' && ordering !== 'insertion_ts') {
      throw new MeshringError(
        'invalid-argument',
        `Invalid ordering: ${String(ordering)}. Use 'none' or 'insertion_ts'`,
      );
    }
    const filter = compileFilter(request.filter ?? undefined);
    const shards = this.#shards(request.shards);
    if (limit === 0) return undefined;
    const positions = this.#positions(request.cursor ?? undefined);
    for (const shard of shards) {
      const id = positions.get(shard);
      const reason = id === undefined ? undefined : this.#reader.checkId(id);
      if (reason !== undefined) throw invalidCursor(`shard ${shard}: ${reason}`);
    }
    const wanted = dedupMemory(request.dedup);
    const known = request.cursor !== undefined && this.#last?.cursor === request.cursor ? this.#last.dedup : undefined;
    const dedup = wanted && known?.capacity === wanted.capacity ? known : wanted;
    return { limit, filter, ordering: ordering ?? 'none', shards, positions, dedup };
  }

  #shards(asked: number[] | undefined): number[] {
    const count = this.#reader.shards;
    if (asked === undefined || asked === null) return Array.from({ length: count }, (_, shard) => shard);
    if (!Array.isArray(asked)) throw wrongType('poll', 'shards', asked, 'a list of shard numbers', 'ArrayExpected');
    for (const shard of asked) {
      if (!Number.isInteger(shard) || shard < 0 || shard >= count) {
        throw new MeshringError('invalid-argument', `Poll failed: invalid shard: ${shard} (there are ${count})`);
      }
    }
    return [...new Set(asked)].sort((a, b) => a - b);
  }

  #positions(cursor: string | undefined): Positions {
    if (cursor === undefined) return new Map();
    if (typeof cursor !== 'string') throw wrongType('poll', 'cursor', cursor, 'a string', 'StringExpected');
    return this.#last?.cursor === cursor ? this.#last.positions : decodeCursor(cursor);
  }

  #run(
    request: PollRequest,
    checked: Checked,
    shards: ShardProgress[],
    plan: PagePlan,
  ): PollResponseData | Promise<PollResponseData> {
    while (plan.next()) {
      const pending: Promise<void>[] = [];
      for (const shard of shards) {
        if (shard.want === 0) continue;
        const reading = shard.read(this.#reader, checked.filter);
        if (reading) pending.push(reading);
      }
      if (pending.length > 0) return Promise.all(pending).then(() => this.#run(request, checked, shards, plan));
    }
    return this.#finish(request, checked, shards, plan);
  }

  #finish(request: PollRequest, checked: Checked, shards: ShardProgress[], plan: PagePlan): PollResponseData {
    if (shards.every((shard) => shard.failure !== undefined)) throw allFailed(shards);
    const events = plan.events();
    let positions: Positions | undefined;
    let unread = false;
    let truncated = false;
    let lost = 0;
    const failedShards: number[] = [];
    for (const shard of shards) {
      if (shard.failure !== undefined) failedShards.push(shard.shard);
      unread ||= shard.unread;
      truncated ||= shard.stalled && events.length < checked.limit;
      const reached = shard.reached();
      if (reached === undefined || reached === shard.start) continue;
      positions ??= new Map(checked.positions);
      positions.set(shard.shard, reached);
      lost += shard.lost;
    }
    let nextId = request.cursor ?? undefined;
    if (positions) {
      nextId = encodeCursor(positions);
      this.#last = { cursor: nextId, positions, dedup: checked.dedup };
    }
    const response: PollResponseData = {
      events: unseen(events, checked.dedup),
      nextId,
      hasMore: unread && positions !== undefined,
    };
    if (failedShards.length > 0) response.failedShards = failedShards;
    if (lost > 0) response.lost = lost;
    if (truncated) response.truncated = true;
    return response;
  }
}

function allFailed(shards: ShardProgress[]): MeshringError {
  const cause = shards[0]?.failure;
  const text = cause instanceof Error ? cause.message : String(cause);
  const known =
    /^(transient error|connection error|fatal error|serialization error): |^backend backpressure|^adapter is/;
  return new MeshringError(
    'poll-failed',
    `Poll failed: adapter error: ${known.test(text) ? '' : 'fatal error: '}${text}`,
    {
      cause,
    },
  );
}
