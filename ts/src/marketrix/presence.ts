/** A peer's own registration: written at once, renewed by heartbeats, taken back when it leaves (90 §3.2). */
import { MarketrixError } from '../errors.js';
import { Backoff } from '../flow/index.js';
import type { Counters } from './counters.js';
import type { DiscoveryLayout } from './layout.js';
import type { RedisLink } from './redis.js';
import { REGISTER, UNREGISTER } from './scripts.js';
import type { Health, PeerRecord } from './types.js';

const RETRY_MS = { baseMs: 100, maxMs: 5000, jitter: 0.2 } as const;

export interface PresenceOptions {
  redis: RedisLink;
  layout: DiscoveryLayout;
  ttlMs: number;
  heartbeatMs: number;
  counters: Counters;
  /** The record; `seq`, `health` and `load` are kept up to date here. */
  record: PeerRecord;
  /** Open calls divided by the limit. */
  load: () => number;
}

/** Keeps one record in Redis alive. */
export class Presence {
  readonly #options: PresenceOptions;
  readonly #topics = new Set<string>();
  #state: 'ok' | 'down' | 'conflict' = 'ok';
  #health: Health = 'ok';
  #reason: string | undefined;
  #seq = 0;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> | undefined;
  #following: Promise<void> | undefined;
  #changed = false;
  #left = false;
  readonly #backoff = new Backoff(RETRY_MS);
  readonly #stopReturn: () => void;

  constructor(options: PresenceOptions) {
    this.#options = options;
    this.#stopReturn = options.redis.onReturn(() => this.#beatSoon());
  }

  get state(): 'ok' | 'down' | 'conflict' {
    return this.#state;
  }

  get health(): Health {
    return this.#health;
  }

  /** First write. @throws MarketrixError `discovery`, `duplicate-instance`. */
  async join(): Promise<void> {
    await this.#write(true);
    this.#schedule(this.#interval());
  }

  /** Changes the published health at once. */
  async setHealth(health: Health, reason: string | undefined): Promise<void> {
    if (health === this.#health && reason === this.#reason) return;
    this.#health = health;
    this.#reason = reason;
    this.#changed = true;
    await this.beat();
  }

  /** Adds this instance to the subscribers of a topic. */
  async addTopic(topic: string): Promise<void> {
    this.#topics.add(topic);
    await this.beat();
  }

  /** Takes it out. */
  async removeTopic(topic: string): Promise<void> {
    this.#topics.delete(topic);
    const { redis, layout, record } = this.#options;
    await redis.run('unsubscribe', (client) =>
      client.zrem(layout.topicKey(topic), `${record.service}/${record.instance}`),
    );
  }

  /** Writes the record now: what was changed before the call is in it. @throws MarketrixError `discovery`. */
  beat(): Promise<void> {
    if (!this.#beating) return this.#begin();
    // What is being written may be older: one more write, shared by all who ask meanwhile.
    this.#following ??= this.#beating
      .catch(() => {})
      .then(() => {
        this.#following = undefined;
        return this.#begin();
      });
    return this.#following;
  }

  /** Takes the registration back. Failures are ignored: the TTL does it then. */
  async leave(): Promise<void> {
    this.#left = true;
    this.#stopReturn();
    clearTimeout(this.#timer);
    await this.#beating?.catch(() => {});
    const { redis, layout, record } = this.#options;
    const keys = this.#keys();
    const event = JSON.stringify({ type: 'down', record: this.#record() });
    const args = [record.startedAt, record.instance, record.service];
    await redis
      .eval('leave', UNREGISTER, keys.all, [...args, layout.eventChannel(record.service), keys.lead, event])
      .catch(() => {});
  }

  #begin(): Promise<void> {
    if (this.#left) return Promise.resolve();
    this.#beating = this.#write(false).finally(() => {
      this.#beating = undefined;
    });
    return this.#beating;
  }

  async #write(joining: boolean): Promise<void> {
    const { redis, layout, record, ttlMs, counters } = this.#options;
    this.#seq += 1;
    const changed = this.#changed;
    this.#changed = false;
    const current = this.#record();
    const keys = this.#keys();
    const asked = Date.now();
    const args = [
      layout.encode(current),
      ttlMs,
      record.instance,
      record.service,
      layout.eventChannel(record.service),
      record.startedAt,
      changed ? '1' : '0',
      keys.lead,
      JSON.stringify({ type: 'up', record: current }),
      JSON.stringify({ type: 'update', record: current }),
    ];
    try {
      const [written, now] = (await redis.eval('register', REGISTER, keys.all, args)) as [number, number];
      redis.learnTime(now, asked);
      if (written === 1) {
        counters.heartbeats += 1;
        this.#state = 'ok';
        this.#backoff.reset();
        return;
      }
    } catch (error) {
      this.#changed ||= changed;
      this.#state = 'down';
      throw error;
    }
    this.#state = 'conflict';
    if (joining) {
      const { service, instance } = record;
      throw new MarketrixError('duplicate-instance', `${service}/${instance} is alive elsewhere`, {
        remote: { service, instance },
      });
    }
  }

  #beatSoon(): void {
    if (!this.#left) this.#schedule(0);
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.beat().then(
        () => this.#left || this.#schedule(this.#interval()),
        () => this.#left || this.#schedule(this.#backoff.next()),
      );
    }, ms);
    this.#timer.unref();
  }

  #interval(): number {
    return this.#options.heartbeatMs * (0.9 + 0.2 * Math.random());
  }

  #record(): PeerRecord {
    const { record, load } = this.#options;
    const reason = this.#reason === undefined ? {} : { reason: this.#reason };
    return { ...record, health: this.#health, ...reason, load: load(), seq: this.#seq };
  }

  #keys(): { all: string[]; lead: number } {
    const { layout, record } = this.#options;
    const lead = [layout.recordKey(record.service, record.instance)];
    const index = layout.indexKey(record.service);
    if (index !== undefined) lead.push(index);
    if (index !== undefined && layout.servicesKey !== undefined) lead.push(layout.servicesKey);
    return { all: [...lead, ...[...this.#topics].map((topic) => layout.topicKey(topic))], lead: lead.length };
  }
}
