/** The connection to Redis: one client for commands, one for subscriptions, both coming back by themselves. */
import { Cluster, Redis, type RedisOptions, ReplyError } from 'ioredis';
import { MarketrixError, messageOf } from '../errors.js';
import { Backoff, delay } from '../flow/index.js';
import type { Counters } from './counters.js';
import type { Script } from './scripts.js';

/** Attempts per command before it is reported as failed. */
const TRIES = 3;
const RETRY_MS = { baseMs: 50, maxMs: 500, jitter: 0.2 } as const;
const RECONNECT_MS = { baseMs: 100, maxMs: 5000, jitter: 0.2 } as const;

type Client = Redis | Cluster;
type Listener = (message: string) => void;

function isClient(value: unknown): value is Client {
  return (
    typeof value === 'object' && value !== null && typeof (value as { duplicate?: unknown }).duplicate === 'function'
  );
}

function hasWord(error: unknown, start: string): boolean {
  return error instanceof Error && error.message.startsWith(start);
}

/** Resolves when the client can take commands, rejects when it is not connected. */
function connected(client: Client): Promise<void> {
  if (client.status === 'ready') return Promise.resolve();
  return new Promise((resolve, reject) => {
    const done = (error?: Error) => {
      client.off('ready', onReady);
      client.off('close', onClose);
      if (error) reject(error);
      else resolve();
    };
    const onReady = () => done();
    const onClose = () => done(new Error('Redis is out of reach'));
    client.on('ready', onReady);
    client.on('close', onClose);
    if (client.status === 'wait') client.connect().catch(() => {}); // lazyConnect; 'close' tells of a failure
    if (client.status === 'reconnecting' || client.status === 'close' || client.status === 'end') onClose();
  });
}

/** Commands and subscriptions of one peer. */
export class RedisLink {
  readonly #commands: Client;
  readonly #own: boolean;
  readonly #counters: Counters;
  #subscriber: Client | undefined;
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #onReturn = new Set<() => void>();
  #closed = false;
  /** Time of Redis minus time of this machine, ms. */
  #offset = 0;

  constructor(source: string | RedisOptions | Client | undefined, counters: Counters) {
    this.#counters = counters;
    this.#own = !isClient(source);
    const backoff = new Backoff(RECONNECT_MS);
    const options: RedisOptions = {
      // A command fails at once while Redis is away, instead of waiting for it in a queue; `run` tries again.
      maxRetriesPerRequest: 0,
      enableOfflineQueue: false,
      connectTimeout: 5000,
      retryStrategy: (times) => {
        if (times === 1) backoff.reset();
        return backoff.next();
      },
    };
    if (isClient(source)) this.#commands = source;
    else if (typeof source === 'object') this.#commands = new Redis({ ...options, ...source });
    else this.#commands = new Redis(source ?? 'redis://127.0.0.1:6379', options);
    this.#watch(this.#commands);
  }

  /** Whether the keys of a script must lie in one hash slot. */
  get isCluster(): boolean {
    return this.#commands instanceof Cluster;
  }

  /** Milliseconds since the epoch by the clock of Redis, as far as it is known. */
  now(): number {
    return Date.now() + this.#offset;
  }

  /** Notes what Redis said the time is, in answer to a question asked at `asked` by this machine's clock. */
  learnTime(redisNow: number, asked: number): void {
    this.#offset = redisNow - (asked + Date.now()) / 2;
  }

  /**
   * Runs commands on the client, up to three times while Redis is out of reach. `once`: what was sent is not sent
   * again, because it might have been done.
   *
   * @throws MarketrixError `discovery`.
   */
  run<T>(what: string, work: (client: Client) => Promise<T>, once = false): Promise<T> {
    return this.#on(this.#commands, what, work, once);
  }

  /** Runs a script, sending its text when Redis does not know it. */
  eval(
    what: string,
    script: Script,
    keys: readonly string[],
    args: readonly (string | number)[],
    once = false,
  ): Promise<unknown> {
    const work = async (client: Client) => {
      try {
        return await client.evalsha(script.sha, keys.length, ...keys, ...args);
      } catch (error) {
        if (!hasWord(error, 'NOSCRIPT')) throw error;
        return await client.eval(script.text, keys.length, ...keys, ...args);
      }
    };
    return this.run(what, work, once);
  }

  /** All keys that begin with `prefix`. */
  scan(what: string, prefix: string): Promise<string[]> {
    return this.run(what, async (client) => {
      const match = `${prefix.replace(/[\\*?[\]]/g, '\\$&')}*`;
      const nodes = client instanceof Cluster ? client.nodes('master') : [client];
      const keys = new Set<string>();
      for (const node of nodes) {
        let cursor = '0';
        do {
          const [next, page] = await node.scan(cursor, 'MATCH', match, 'COUNT', 500);
          for (const key of page) keys.add(key);
          cursor = next;
        } while (cursor !== '0');
      }
      return [...keys];
    });
  }

  /** Calls `listener` with each message of a channel; resolves when Redis has confirmed. */
  async subscribe(channel: string, listener: Listener): Promise<() => void> {
    const before = this.#listeners.get(channel);
    const set = before ?? new Set<Listener>();
    set.add(listener);
    this.#listeners.set(channel, set);
    const stop = () => {
      if (!set.delete(listener) || set.size > 0) return;
      this.#listeners.delete(channel);
      this.#subscriber?.unsubscribe(channel).catch(() => {});
    };
    try {
      const subscriber = this.#subscribed();
      await this.#on(
        subscriber,
        `subscribe ${channel}`,
        (client) => client.subscribe(channel) as Promise<unknown>,
        false,
      );
    } catch (error) {
      stop();
      throw error;
    }
    return stop;
  }

  /** Calls `fn` whenever Redis is back after it was lost: what was announced meanwhile is missed. */
  onReturn(fn: () => void): () => void {
    this.#onReturn.add(fn);
    return () => this.#onReturn.delete(fn);
  }

  /** Closes what this peer opened. */
  close(): void {
    this.#closed = true;
    this.#subscriber?.disconnect();
    if (this.#own) this.#commands.disconnect();
  }

  async #on<T>(client: Client, what: string, work: (client: Client) => Promise<T>, once: boolean): Promise<T> {
    const backoff = new Backoff(RETRY_MS);
    for (;;) {
      if (this.#closed) throw new MarketrixError('closed', 'the peer has left');
      let sent = false;
      try {
        // A client of the application has its own way with commands while it is not connected.
        if (this.#own || client === this.#subscriber) await connected(client);
        sent = true;
        return await work(client);
      } catch (error) {
        this.#counters.redisFailures += 1;
        const text = messageOf(error);
        // An answer of Redis is an answer; only a connection that failed is tried again.
        if (backoff.attempts + 1 === TRIES || (sent && (once || error instanceof ReplyError))) {
          throw new MarketrixError('discovery', `${what}: ${text}`, { cause: error });
        }
      }
      await delay(backoff.next());
    }
  }

  #subscribed(): Client {
    if (this.#subscriber) return this.#subscriber;
    // Subscriptions are renewed by the client after each reconnect.
    const subscriber =
      this.#commands instanceof Cluster
        ? this.#commands.duplicate()
        : this.#commands.duplicate({ maxRetriesPerRequest: 0, enableOfflineQueue: false, autoResubscribe: true });
    subscriber.on('message', (channel: string, message: string) => {
      for (const listener of this.#listeners.get(channel) ?? []) listener(message);
    });
    this.#watch(subscriber);
    this.#subscriber = subscriber;
    return subscriber;
  }

  #watch(client: Client): void {
    let lost = false;
    // An 'error' without listener would end the process; failed commands tell their callers.
    client.on('error', () => {});
    client.on('close', () => {
      lost = true;
    });
    client.on('ready', () => {
      if (!lost || this.#closed) return;
      lost = false;
      for (const fn of this.#onReturn) fn();
    });
  }
}
