/**
 * What the poll algorithm reads from (10 §5.1). The memory log implements it over Rust; stores are adapted by
 * `TransportReader`.
 */
import type { CompiledFilter } from './filter.js';
import type { StoredEvent } from './stored-event.js';

/**
 * Matching events of one shard in store order. Events are made only when they are delivered: a page holds columns.
 */
export interface ReadPage {
  /** Number of matching events, at most the `limit` asked for. */
  readonly count: number;
  /** Exact insertion time stamps as u64, two words an event: low at `2 * i`, high at `2 * i + 1`. */
  readonly stamps: Uint32Array;
  /** Event `i`, 0 <= i < count. Called at most once an event, in ascending order. */
  event(i: number): StoredEvent;
  /** Id of event `i`: the position right behind it. */
  id(i: number): string;
  /** Position behind the last entry looked at, matching or not, readable or not; undefined if there was none. */
  readonly position: string | undefined;
  /** Whether at least one more entry exists behind `position`. */
  readonly hasMore: boolean;
  /** Entries that the store had evicted between `after` and its first entry. */
  readonly lost?: number;
}

/** Reads the shards of one store. */
export interface ShardReader {
  /** Number of shards; shard numbers are below it. */
  readonly shards: number;
  /**
   * Stores behind a network: how many times its share is asked of a shard at first, so that a second round trip is
   * rarely needed. Default 1.
   */
  readonly overfetch?: number;
  /**
   * Reads the next matching events behind `after` (undefined = from the beginning).
   *
   * @param limit matching events at most, >= 1
   * @param scan entries to look at, at most, >= limit
   */
  read(
    shard: number,
    after: string | undefined,
    limit: number,
    scan: number,
    filter: CompiledFilter | undefined,
  ): ReadPage | Promise<ReadPage>;
  /** Reason why `id` cannot be a position in this store, or undefined: `position "x" is not a … id (<form>)`. */
  checkId(id: string): string | undefined;
  /**
   * Largest time stamp for which this and all smaller ones are readable now. With `insertion_ts` nothing later is
   * delivered, so that an event that arrives while the shards are read one after the other cannot be overtaken.
   */
  horizon?(): bigint;
}
