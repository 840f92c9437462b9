/** `meshring/redis-dedup`: recognises events that a consumer of Redis Streams has seen before (11 §7). */
import { wrongType } from './errors.js';

const DEFAULT_CAPACITY = 4096;
const MAX_CAPACITY = 2 ** 24;
/** Ids of one map; a single one cannot hold `MAX_CAPACITY` ids while old ones are replaced. */
const MAP_IDS = 2 ** 21;
const NONE = -1;

/**
 * Remembers the last `capacity` dedup ids; the least recently seen one is forgotten first. No I/O: usable with any
 * client. Each call takes constant time; memory grows with the ids (about their length and 60 bytes each).
 *
 * Size it for the disorder to cover: `capacity >= events per second × seconds`. The default covers 0.4 s at 10,000
 * events/s; one minute at that rate needs 600,000.
 *
 * ```ts
 * import { RedisStreamDedup } from 'meshring/redis-dedup';
 * const dedup = new RedisStreamDedup(600_000);
 * console.log(dedup.isDuplicate('29a7ab1377585449:0:0:0')); // false
 * console.log(dedup.isDuplicate('29a7ab1377585449:0:0:0')); // true
 * ```
 */
export class RedisStreamDedup {
  /** Ids remembered at most, 1..16777216. */
  readonly capacity: number;
  readonly #slots: Map<string, number>[];
  /** Ids by slot, and the slots as a list from the least to the most recently seen. */
  #ids: string[] = [];
  #older: Int32Array;
  #newer: Int32Array;
  #oldest = NONE;
  #newest = NONE;

  /**
   * @param capacity default 4096; cut to a whole number and clamped to 1..16777216
   * @throws MeshringError code `NumberExpected` when it is not a number
   * @throws RangeError when it is negative or NaN
   */
  constructor(capacity?: number | null) {
    const wanted = capacity ?? DEFAULT_CAPACITY;
    if (typeof wanted !== 'number') {
      throw wrongType('RedisStreamDedup', 'capacity', wanted, 'a number', 'NumberExpected');
    }
    if (Number.isNaN(wanted) || wanted < 0) {
      throw new RangeError(`RedisStreamDedup: capacity must be 0 or more, got ${wanted}`);
    }
    this.capacity = Math.min(MAX_CAPACITY, Math.max(1, Math.trunc(wanted)));
    this.#slots = Array.from({ length: Math.ceil(this.capacity / MAP_IDS) }, () => new Map());
    const first = Math.min(this.capacity, 1024);
    this.#older = new Int32Array(first);
    this.#newer = new Int32Array(first);
  }

  /** Ids remembered now, at most {@link capacity}. */
  get len(): number {
    return this.#ids.length;
  }

  /** Whether nothing is remembered. */
  get isEmpty(): boolean {
    return this.#ids.length === 0;
  }

  /**
   * Whether `id` is remembered; it is afterwards, as the most recent one. The empty string is an id like any other.
   *
   * @throws MeshringError code `StringExpected`
   */
  isDuplicate(id: string): boolean {
    if (typeof id !== 'string') throw wrongType('isDuplicate', 'id', id, 'a string', 'StringExpected');
    const slots = this.#map(id);
    const known = slots.get(id);
    if (known !== undefined) {
      if (known !== this.#newest) {
        this.#unlink(known);
        this.#append(known);
      }
      return true;
    }
    const slot = this.#freeSlot();
    this.#ids[slot] = id;
    slots.set(id, slot);
    this.#append(slot);
    return false;
  }

  /** Forgets everything. */
  clear(): void {
    for (const slots of this.#slots) slots.clear();
    this.#ids = [];
    this.#oldest = NONE;
    this.#newest = NONE;
  }

  /** The map in which an id is found. */
  #map(id: string): Map<string, number> {
    const count = this.#slots.length;
    let hash = 0;
    // The end of an id varies most.
    if (count > 1)
      for (let i = Math.max(0, id.length - 8); i < id.length; i++) hash = (hash * 31 + id.charCodeAt(i)) | 0;
    return this.#slots[(hash >>> 0) % count] as Map<string, number>;
  }

  /** A slot for a new id: a fresh one, or that of the oldest id. */
  #freeSlot(): number {
    const used = this.#ids.length;
    if (used === this.capacity) {
      const slot = this.#oldest;
      const id = this.#ids[slot] as string;
      this.#map(id).delete(id);
      this.#unlink(slot);
      return slot;
    }
    if (used === this.#older.length) {
      this.#older = grown(this.#older, this.capacity);
      this.#newer = grown(this.#newer, this.capacity);
    }
    return used;
  }

  #append(slot: number): void {
    this.#older[slot] = this.#newest;
    this.#newer[slot] = NONE;
    if (this.#newest === NONE) this.#oldest = slot;
    else this.#newer[this.#newest] = slot;
    this.#newest = slot;
  }

  #unlink(slot: number): void {
    const older = this.#older[slot] as number;
    const newer = this.#newer[slot] as number;
    if (older === NONE) this.#oldest = newer;
    else this.#newer[older] = newer;
    if (newer === NONE) this.#newest = older;
    else this.#older[newer] = older;
  }
}

function grown(list: Int32Array, most: number): Int32Array {
  const larger = new Int32Array(Math.min(most, 2 * list.length));
  larger.set(list);
  return larger;
}
