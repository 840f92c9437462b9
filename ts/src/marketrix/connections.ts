/** All connections that this peer dialled, one per instance, and the way from a service name to a stream. */
import { MarketrixError } from '../errors.js';
import { Backoff, delay } from '../flow/index.js';
import { Balancer } from './balance.js';
import { Breaker } from './breaker.js';
import type { Counters } from './counters.js';
import type { Directory } from './directory.js';
import type { StreamUse } from './handshake.js';
import { Link, type Opened, WRONG_INSTANCE } from './link.js';
import type { Settings } from './options.js';
import type { PeerRecord } from './types.js';

const RECONNECT_MS = { baseMs: 100, maxMs: 10_000 } as const;
/** Breakers of instances that are gone are forgotten beyond this number. */
const MAX_BREAKERS = 10_000;

/** Which instance is wanted. */
export interface Target {
  instance?: string | undefined;
  key?: string | undefined;
  signal?: AbortSignal | undefined;
}

function idOf(record: PeerRecord): string {
  return `${record.service}/${record.instance}`;
}

/** The other end was not reached, so that another instance may be asked instead. */
function notReached(error: unknown): boolean {
  if (!(error instanceof MarketrixError)) return false;
  return (
    error.kind === 'connect' || error.kind === 'unavailable' || (error.kind === 'rejected' && error.code === '503')
  );
}

/** Waits for shared work; the signal ends the wait, not the work. */
function unless<T>(signal: AbortSignal | undefined, work: Promise<T>): Promise<T> {
  if (!signal) return work;
  if (signal.aborted) {
    work.catch(() => {});
    return Promise.reject(signal.reason);
  }
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

export class Connections {
  readonly #settings: Settings;
  readonly #directory: Directory;
  readonly #counters: Counters;
  readonly #links = new Map<string, Link>();
  readonly #dialling = new Map<string, Promise<Link>>();
  readonly #breakers = new Map<string, Breaker>();
  readonly #balancers = new Map<string, Balancer>();
  readonly #stop = new AbortController();
  /** Told when a link is gone. */
  readonly #onGone = new Set<(link: Link) => void>();
  /** All that is not closed yet, also links that are draining. */
  readonly #all = new Set<Link>();

  constructor(settings: Settings, directory: Directory, counters: Counters) {
    this.#settings = settings;
    this.#directory = directory;
    this.#counters = counters;
  }

  get count(): number {
    return this.#all.size;
  }

  /**
   * Opens a stream to an instance of the service, trying others while an instance cannot be reached.
   *
   * @param tried instances that are not asked; those asked are added.
   * @throws MarketrixError `no-instance`, `unavailable`, `connect`, `rejected`, `overloaded`, `discovery`.
   */
  async open(service: string, use: StreamUse, target: Target, tried: Set<string>, wait: boolean): Promise<Opened> {
    let last: unknown;
    for (;;) {
      const record = await unless(target.signal, this.#choose(service, target, tried, last));
      tried.add(record.instance);
      const opening = this.#openOn(record, use, wait);
      try {
        return await unless(target.signal, opening);
      } catch (error) {
        if (error instanceof MarketrixError && error.code === WRONG_INSTANCE) this.#directory.drop(record);
        if (target.signal?.aborted) {
          // Nobody waits for it any more.
          opening.then(({ pipe }) => pipe.close()).catch(() => {});
        }
        if (target.signal?.aborted || !notReached(error)) throw error;
        last = error;
      }
    }
  }

  /** Opens a stream to one known instance. */
  openTo(record: PeerRecord, use: StreamUse): Promise<Opened> {
    return this.#openOn(record, use, true);
  }

  /** Keeps a connection to the service open until `close`. */
  async keep(service: string): Promise<void> {
    const { signal } = this.#stop;
    const backoff = new Backoff(RECONNECT_MS);
    while (!signal.aborted) {
      try {
        const record = await this.#choose(service, {}, new Set(), undefined);
        const link = await this.#link(record);
        backoff.reset();
        await this.#gone(link);
      } catch {
        // No instance, or not reached: asked again after the delay, host and port may have changed.
      }
      await delay(backoff.next(), { signal, ref: false }).catch(() => {});
    }
  }

  /** Sends nothing new; open streams may finish. */
  drain(): void {
    this.#stop.abort();
    for (const link of this.#all) link.close();
  }

  /** Resolves when no stream is open any more. */
  async idle(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && [...this.#all].some((link) => link.inflight > 0)) {
      await delay(5, { signal }).catch(() => {});
    }
  }

  close(): void {
    this.#stop.abort();
    for (const link of this.#all) link.destroy();
  }

  async #openOn(record: PeerRecord, use: StreamUse, wait: boolean): Promise<Opened> {
    const link = await this.#link(record);
    return link.open(use, wait);
  }

  async #choose(service: string, target: Target, tried: Set<string>, last: unknown): Promise<PeerRecord> {
    const { instance, key } = target;
    const live = await this.#directory.instances(service);
    const wanted = instance === undefined ? live : live.filter((record) => record.instance === instance);
    const left = wanted.filter((record) => !tried.has(record.instance));
    if (left.length === 0 && last !== undefined) throw last;
    if (wanted.length === 0) {
      const name = instance === undefined ? service : `${service}/${instance}`;
      throw new MarketrixError('no-instance', `no live instance of ${name}`, {
        remote: { service, instance: instance ?? '' },
      });
    }
    const chosen = this.#balancer(service).choose(this.#candidates(left.length > 0 ? left : wanted), key);
    if (chosen) return chosen;
    if (last !== undefined) throw last;
    throw new MarketrixError('unavailable', `no instance of ${service} takes streams now`, {
      remote: { service, instance: instance ?? '' },
    });
  }

  /** Live ones that can be reached, the healthy first; this instance itself only when alone. */
  #candidates(records: readonly PeerRecord[]): PeerRecord[] {
    const { service, instance } = this.#settings;
    const open = records.filter((record) => {
      if (record.health === 'down') return false;
      const link = this.#links.get(idOf(record));
      return link ? !link.draining : (this.#breakers.get(idOf(record))?.allows ?? true);
    });
    const others = open.filter((record) => record.service !== service || record.instance !== instance);
    const some = others.length > 0 ? others : open;
    const healthy = some.filter((record) => record.health === 'ok');
    return healthy.length > 0 ? healthy : some;
  }

  #balancer(service: string): Balancer {
    let balancer = this.#balancers.get(service);
    if (!balancer) {
      balancer = new Balancer(this.#settings.balance, (record) => this.#links.get(idOf(record))?.inflight ?? 0);
      this.#balancers.set(service, balancer);
    }
    return balancer;
  }

  /** The connection to an instance, dialled when there is none; everybody who asks meanwhile shares it. */
  #link(record: PeerRecord): Promise<Link> {
    const id = idOf(record);
    const link = this.#links.get(id);
    if (link?.usable && link.record.port === record.port && link.record.host === record.host)
      return Promise.resolve(link);
    let dialling = this.#dialling.get(id);
    if (!dialling) {
      dialling = this.#dial(record, id).finally(() => this.#dialling.delete(id));
      this.#dialling.set(id, dialling);
    }
    return dialling;
  }

  async #dial(record: PeerRecord, id: string): Promise<Link> {
    if (this.#stop.signal.aborted) throw new MarketrixError('closed', 'the peer has left');
    const breaker = this.#breaker(id);
    breaker.begin();
    try {
      const link = await Link.dial(record, this.#settings, this.#counters, (closed, failed) => {
        if (this.#links.get(id) === closed) this.#links.delete(id);
        this.#all.delete(closed);
        if (failed) this.#breaker(id).failure();
        for (const fn of this.#onGone) fn(closed);
      });
      breaker.success();
      this.#breakers.delete(id);
      this.#all.add(link);
      if (this.#stop.signal.aborted) link.destroy();
      this.#links.set(id, link);
      return link;
    } catch (error) {
      breaker.failure();
      throw error;
    }
  }

  #breaker(id: string): Breaker {
    let breaker = this.#breakers.get(id);
    if (!breaker) {
      if (this.#breakers.size >= MAX_BREAKERS) this.#breakers.clear();
      breaker = new Breaker();
      this.#breakers.set(id, breaker);
    }
    return breaker;
  }

  #gone(link: Link): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#onGone.delete(onGone);
        this.#stop.signal.removeEventListener('abort', done);
        resolve();
      };
      const onGone = (gone: Link) => {
        if (gone === link) done();
      };
      this.#onGone.add(onGone);
      this.#stop.signal.addEventListener('abort', done, { once: true });
      if (!this.#all.has(link)) done();
    });
  }
}
