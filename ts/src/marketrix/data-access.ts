/** Values that all peers share, in Redis, with versions (90 §8). */
import { MarketrixError } from '../errors.js';
import { BoundedQueue } from '../flow/index.js';
import { fromJson, toJson } from './json.js';
import type { DiscoveryLayout } from './layout.js';
import { checkName, type Settings } from './options.js';
import type { RedisLink } from './redis.js';
import { DATA_DEL, DATA_SET } from './scripts.js';

const MAX_KEY = 512;
const WATCH_CAPACITY = 4096;

/** A stored value. */
export interface DataEntry<T = unknown> {
  readonly value: T;
  /** 1 for the first write, one more with each. Starts again after the value was deleted or ran out. */
  readonly version: number;
  /** Who wrote it: `service/instance`. */
  readonly by: string;
  /** When, milliseconds since the epoch by the clock of Redis. */
  readonly at: number;
}

/** A change of a stored value. Values that run out are not reported. */
export interface DataChange<T = unknown> {
  readonly type: 'set' | 'del';
  readonly key: string;
  /** Undefined when deleted. */
  readonly value: T | undefined;
  readonly version: number;
  readonly by: string;
  readonly at: number;
}

/** Options of `set`. */
export interface SetOptions {
  /** The value runs out after this time, ms. Default: never. */
  ttlMs?: number;
  /** Write only if this is the current version; 0: only if there is no value. */
  ifVersion?: number;
}

/** Options of `del`. */
export interface DeleteOptions {
  /** Delete only if this is the current version. */
  ifVersion?: number;
}

/** Shared values, in namespaces. */
export class DataAccess {
  readonly #redis: RedisLink;
  readonly #layout: DiscoveryLayout;
  readonly #by: string;

  /** @internal */
  constructor(redis: RedisLink, layout: DiscoveryLayout, settings: Settings) {
    this.#redis = redis;
    this.#layout = layout;
    this.#by = `${settings.service}/${settings.instance}`;
  }

  /** A namespace: 1…64 characters of `A-Za-z0-9._-`. */
  ns(name: string): DataNamespace {
    return new DataNamespace(this.#redis, this.#layout, this.#by, checkName('namespace', name));
  }
}

interface StoredEntry {
  v?: unknown;
  ver?: unknown;
  by?: unknown;
  at?: unknown;
}

function entryOf(stored: StoredEntry): Omit<DataEntry, 'value'> {
  return {
    version: typeof stored.ver === 'number' ? stored.ver : 0,
    by: typeof stored.by === 'string' ? stored.by : '',
    at: typeof stored.at === 'number' ? stored.at : 0,
  };
}

function parse(text: string, what: string): StoredEntry {
  const value = fromJson(text, true);
  if (typeof value !== 'object' || value === null) throw new MarketrixError('protocol', `${what} holds no entry`);
  return value;
}

/** Values below one name. */
export class DataNamespace {
  readonly #redis: RedisLink;
  readonly #layout: DiscoveryLayout;
  readonly #by: string;
  readonly #name: string;

  /** @internal */
  constructor(redis: RedisLink, layout: DiscoveryLayout, by: string, name: string) {
    this.#redis = redis;
    this.#layout = layout;
    this.#by = by;
    this.#name = name;
  }

  /** The value and its version, or null. */
  async get<T = unknown>(key: string): Promise<DataEntry<T> | null> {
    const text = await this.#redis.run('data get', (client) => client.get(this.#key(key)));
    if (text === null) return null;
    const stored = parse(text, key);
    return { value: stored.v as T, ...entryOf(stored) };
  }

  /**
   * Writes a value; resolves with its version.
   *
   * @throws MarketrixError `conflict` (`data`: the current version), `invalid-message`, `discovery`.
   */
  async set(key: string, value: unknown, { ttlMs, ifVersion }: SetOptions = {}): Promise<number> {
    if (ttlMs !== undefined && !(Number.isInteger(ttlMs) && ttlMs > 0)) {
      throw new MarketrixError('invalid-options', `ttlMs must be a positive integer, got ${ttlMs}`);
    }
    const args = [
      toJson(value, true, 1),
      JSON.stringify(this.#by),
      ttlMs === undefined ? '' : String(ttlMs),
      version(ifVersion),
      this.#layout.dataChannel(this.#name),
      JSON.stringify(key),
    ];
    const reply = await this.#redis.eval('data set', DATA_SET, [this.#key(key)], args, true);
    return settled(key, reply, ifVersion);
  }

  /** Deletes a value; resolves with whether there was one. @throws MarketrixError `conflict`, `discovery`. */
  async del(key: string, { ifVersion }: DeleteOptions = {}): Promise<boolean> {
    const args = [
      JSON.stringify(this.#by),
      version(ifVersion),
      this.#layout.dataChannel(this.#name),
      JSON.stringify(key),
    ];
    const reply = await this.#redis.eval('data del', DATA_DEL, [this.#key(key)], args, true);
    return settled(key, reply, ifVersion) > 0;
  }

  /** All keys that begin with `prefix`, in order. */
  async keys(prefix = ''): Promise<string[]> {
    const start = this.#layout.dataKey(this.#name, '');
    const found = await this.#redis.scan('data keys', start + prefix);
    return found.map((key) => key.slice(start.length)).sort();
  }

  /**
   * Changes from now on: of one key, or of all keys that begin with what stands before a `*` at the end (`'*'`: all).
   * The loop ends when it is left.
   */
  async watch<T = unknown>(keyOrPrefix = '*'): Promise<AsyncIterableIterator<DataChange<T>, undefined>> {
    const prefix = keyOrPrefix.endsWith('*') ? keyOrPrefix.slice(0, -1) : undefined;
    const queue = new BoundedQueue<DataChange<T>>({ capacity: WATCH_CAPACITY });
    const stop = await this.#redis.subscribe(this.#layout.dataChannel(this.#name), (text) => {
      const change = readChange<T>(text);
      if (!change || (prefix === undefined ? change.key !== keyOrPrefix : !change.key.startsWith(prefix))) return;
      if (!queue.tryPush(change)) queue.close(new MarketrixError('overloaded', 'watch: the reader is too far behind'));
    });
    return watched(queue, stop);
  }

  #key(key: string): string {
    if (typeof key !== 'string' || key.length === 0 || key.length > MAX_KEY) {
      throw new MarketrixError('invalid-options', `key must be 1 to ${MAX_KEY} characters`);
    }
    return this.#layout.dataKey(this.#name, key);
  }
}

function watched<T>(queue: BoundedQueue<T>, stop: () => void): AsyncIterableIterator<T, undefined> {
  return {
    next: () => queue.next(),
    return() {
      stop();
      return queue.return();
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

function readChange<T>(text: string): DataChange<T> | undefined {
  try {
    const stored = parse(text, 'change') as StoredEntry & { type?: unknown; key?: unknown };
    if ((stored.type !== 'set' && stored.type !== 'del') || typeof stored.key !== 'string') return undefined;
    return { type: stored.type, key: stored.key, value: stored.v as T | undefined, ...entryOf(stored) };
  } catch {
    return undefined; // written by something else
  }
}

function version(ifVersion: number | undefined): string {
  if (ifVersion === undefined) return '';
  if (!Number.isInteger(ifVersion) || ifVersion < 0) {
    throw new MarketrixError('invalid-options', `ifVersion must be a non-negative integer, got ${ifVersion}`);
  }
  return String(ifVersion);
}

function settled(key: string, reply: unknown, ifVersion: number | undefined): number {
  const [written, current] = reply as [number, number];
  if (written === 1) return current;
  throw new MarketrixError('conflict', `${key} has version ${current}, not ${ifVersion}`, { data: current });
}
