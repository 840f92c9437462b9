/** Who is alive: lookups in Redis, kept up to date by announcements while a service is in use (90 §3.3). */
import { BoundedQueue } from '../flow/index.js';
import type { Counters } from './counters.js';
import type { DiscoveryLayout } from './layout.js';
import type { RedisLink } from './redis.js';
import { LIVE } from './scripts.js';
import type { PeerChange, PeerRecord } from './types.js';

/** Changes that may wait for a watcher. */
const WATCH_CAPACITY = 4096;
/** A service is not read again earlier than this, ms. */
const MIN_REFRESH_MS = 100;

interface Snapshot {
  readonly records: Map<string, PeerRecord>;
  /** When the first record may have run out, ms from the reading. */
  readonly validMs: number;
}

/** What is known about one service. */
class ServiceView {
  records: Map<string, PeerRecord> | undefined;
  /** Read again from this moment, by the monotonic clock. */
  due = 0;
  reading: Promise<void> | undefined;
  subscribed: Promise<() => void> | undefined;
  timer: NodeJS.Timeout | undefined;
  readonly watchers = new Set<BoundedQueue<PeerChange>>();
  sorted: PeerRecord[] | undefined;
}

/** Live instances by service. */
export class Directory {
  readonly #redis: RedisLink;
  readonly #layout: DiscoveryLayout;
  readonly #ttlMs: number;
  readonly #counters: Counters;
  readonly #views = new Map<string, ServiceView>();
  readonly #stopReturn: () => void;
  #closed = false;

  constructor(redis: RedisLink, layout: DiscoveryLayout, ttlMs: number, counters: Counters) {
    this.#redis = redis;
    this.#layout = layout;
    this.#ttlMs = ttlMs;
    this.#counters = counters;
    this.#stopReturn = redis.onReturn(() => this.#refreshAll());
  }

  /**
   * Live instances, ordered by name.
   *
   * @throws MarketrixError `discovery` when Redis is out of reach and nothing is known yet.
   */
  async instances(service: string): Promise<PeerRecord[]> {
    const view = this.#view(service);
    if (!view.records || performance.now() >= view.due) await this.#refresh(service, view);
    view.sorted ??= [...(view.records ?? new Map<string, PeerRecord>()).values()].sort((a, b) =>
      a.instance < b.instance ? -1 : 1,
    );
    return view.sorted;
  }

  /** Forgets an instance that turned out to be gone, until Redis is read again. */
  drop(record: PeerRecord): void {
    const view = this.#views.get(record.service);
    const known = view?.records?.get(record.instance);
    if (!view || known?.startedAt !== record.startedAt || known.port !== record.port) return;
    this.#change(view, 'down', known);
    view.due = Math.min(view.due, performance.now() + this.#ttlMs / 2);
  }

  /** All live instances as `up`, then every change. */
  async *watch(service: string): AsyncGenerator<PeerChange, void, undefined> {
    const view = this.#view(service);
    const queue = new BoundedQueue<PeerChange>({ capacity: WATCH_CAPACITY });
    try {
      const now = await this.instances(service);
      for (const record of now) queue.tryPush({ type: 'up', record });
      view.watchers.add(queue);
      this.#schedule(service, view);
      yield* queue;
    } finally {
      view.watchers.delete(queue);
      queue.close();
    }
  }

  close(): void {
    this.#closed = true;
    this.#stopReturn();
    for (const view of this.#views.values()) {
      clearTimeout(view.timer);
      for (const queue of view.watchers) queue.close();
    }
  }

  #view(service: string): ServiceView {
    let view = this.#views.get(service);
    if (!view) {
      view = new ServiceView();
      this.#views.set(service, view);
    }
    return view;
  }

  #refreshAll(): void {
    for (const [service, view] of this.#views) {
      view.due = 0;
      if (view.watchers.size > 0) this.#refresh(service, view).catch(() => {});
    }
  }

  #refresh(service: string, view: ServiceView): Promise<void> {
    view.reading ??= this.#read(service, view).finally(() => {
      view.reading = undefined;
    });
    return view.reading;
  }

  async #read(service: string, view: ServiceView): Promise<void> {
    try {
      // Announcements first, so that nothing falls between the reading and them.
      view.subscribed ??= this.#redis.subscribe(this.#layout.eventChannel(service), (text) =>
        this.#announced(service, view, text),
      );
      await view.subscribed;
      const { records, validMs } = await this.#load(service);
      view.due = performance.now() + Math.max(MIN_REFRESH_MS, Math.min(this.#ttlMs, validMs));
      this.#replace(view, records);
    } catch (error) {
      view.subscribed?.catch(() => {
        view.subscribed = undefined;
      });
      if (!view.records) throw error;
      // What was known last serves while Redis is away; connections tell who is really there.
      view.due = performance.now() + MIN_REFRESH_MS * 10;
    } finally {
      this.#schedule(service, view);
    }
  }

  async #load(service: string): Promise<Snapshot> {
    const index = this.#layout.indexKey(service);
    let keys: string[];
    let validMs = this.#ttlMs;
    if (index === undefined) {
      keys = await this.#redis.scan('lookup', this.#layout.recordKey(service, ''));
      validMs = this.#ttlMs / 2;
    } else {
      const asked = Date.now();
      const live = (await this.#redis.eval('lookup', LIVE, [index], [])) as string[];
      const now = Number(live[0]);
      this.#redis.learnTime(now, asked);
      keys = [];
      for (let i = 1; i < live.length; i += 2) {
        keys.push(this.#layout.recordKey(service, live[i] ?? ''));
        validMs = Math.min(validMs, Number(live[i + 1]) - now + 1);
      }
    }
    const texts = keys.length > 0 ? await this.#redis.run('lookup', (client) => client.mget(keys)) : [];
    const records = new Map<string, PeerRecord>();
    for (const text of texts) {
      if (text === null) continue;
      const record = this.#layout.decode(text, service);
      if (record) records.set(record.instance, record);
      else this.#counters.malformedRecords += 1;
    }
    return { records, validMs };
  }

  #replace(view: ServiceView, records: Map<string, PeerRecord>): void {
    const before = view.records ?? new Map<string, PeerRecord>();
    view.records = new Map(before);
    view.sorted = undefined;
    for (const [instance, record] of before) if (!records.has(instance)) this.#change(view, 'down', record);
    for (const record of records.values()) {
      const old = before.get(record.instance);
      if (!old) this.#change(view, 'up', record);
      else if (differs(old, record)) this.#change(view, 'update', record);
      else view.records.set(record.instance, record);
    }
  }

  #announced(service: string, view: ServiceView, text: string): void {
    let event: { type?: unknown; record?: unknown };
    try {
      event = JSON.parse(text) as typeof event;
    } catch {
      this.#counters.malformedRecords += 1;
      return;
    }
    const record = this.#layout.decode(JSON.stringify(event?.record ?? null), service);
    if (!record) {
      this.#counters.malformedRecords += 1;
      return;
    }
    if (!view.records) return;
    const known = view.records.get(record.instance);
    if (event.type === 'down') {
      if (known && known.startedAt <= record.startedAt) this.#change(view, 'down', known);
    } else if (!known) this.#change(view, 'up', record);
    else if (record.startedAt > known.startedAt || record.seq > known.seq) this.#change(view, 'update', record);
  }

  #change(view: ServiceView, type: PeerChange['type'], record: PeerRecord): void {
    view.sorted = undefined;
    if (type === 'down') view.records?.delete(record.instance);
    else view.records?.set(record.instance, record);
    for (const queue of view.watchers) {
      // A watcher this far behind is ended rather than left with a wrong picture.
      if (!queue.tryPush({ type, record })) queue.close(new Error('watch: the reader is too far behind'));
    }
  }

  /** While somebody watches, records that run out are noticed without a lookup. */
  #schedule(service: string, view: ServiceView): void {
    clearTimeout(view.timer);
    if (this.#closed || view.watchers.size === 0) return;
    view.timer = setTimeout(
      () => {
        this.#refresh(service, view).catch(() => {});
      },
      Math.max(0, view.due - performance.now()),
    );
    view.timer.unref();
  }
}

function differs(a: PeerRecord, b: PeerRecord): boolean {
  const shape = ({ seq: _seq, load: _load, ...rest }: PeerRecord) => JSON.stringify(rest);
  return shape(a) !== shape(b);
}
