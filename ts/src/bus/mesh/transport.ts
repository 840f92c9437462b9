/** The mesh transport: shard n of this node on stream n to the peer; what the peer sends into a log of its own. */
import { REFUSED, RELIABILITY } from '../../backend/mesh.js';
import type { MeshOptions, NetNodeConfig } from '../../types.js';
import { type Batch, type InboundLog, type Transport, type TransportContext, TransportError } from '../transport.js';
import { InboundEvents, readInLog } from './inbound-events.js';
import { MESH_EVENT_BYTES, MESH_SHARDS } from './limits.js';
import { MeshLink } from './link.js';

/** How long a sender without acknowledgements waits for room, ms. */
const ROOM_MS = 2;

/** What a stream is opened with. */
const RELIABILITIES = { none: RELIABILITY.once, light: RELIABILITY.light, full: RELIABILITY.full };

/** The last batch of a shard, under way or done. */
interface Job {
  readonly sequence: bigint;
  readonly done: Promise<void>;
  cancelled: boolean;
}

/** Transport `{ type: 'mesh' }` (11 §8). */
export class MeshTransport implements Transport {
  readonly name = 'net';
  readonly maxEventBytes = MESH_EVENT_BYTES;
  readonly pollShard = readInLog;
  readonly #options: MeshOptions;
  readonly #config: NetNodeConfig;
  readonly #reliability: number;
  readonly #jobs = new Map<number, Job>();
  readonly #streams = new Map<number, number>();
  /** Shards whose batch waits for the peer. */
  readonly #waiting = new Map<number, () => void>();
  #link: MeshLink | undefined;
  #events: InboundEvents | undefined;
  #closed = false;
  #final: Record<string, unknown> | undefined;

  constructor(options: MeshOptions, config: NetNodeConfig) {
    this.#options = options;
    this.#config = config;
    this.#reliability = RELIABILITIES[options.reliability ?? 'none'];
  }

  get inbound(): InboundLog | undefined {
    return this.#events?.log;
  }

  async init(context: TransportContext): Promise<void> {
    if (context.shards > MESH_SHARDS) {
      throw new TransportError('fatal', `invalid config: num_shards must be <= ${MESH_SHARDS}, got ${context.shards}`);
    }
    const inbound = new InboundEvents(this.#config, () => this.#link?.collect());
    this.#events = inbound;
    const link = await MeshLink.open(this.#options, {
      packets: (batch) => inbound.append(batch),
      session: () => this.#onSession(),
      flushed: (shard) => this.#waiting.get(shard)?.(),
    });
    // Opening took longer than the node waits.
    if (this.#closed) {
      await link.close();
      throw new TransportError('shutdown');
    }
    this.#link = link;
    await link.meet();
  }

  #onSession(): void {
    this.#streams.clear();
    for (const wake of this.#waiting.values()) wake();
  }

  onBatch(batch: Batch): Promise<void> {
    const before = this.#jobs.get(batch.shardId);
    // The same batch again: the attempt that took too long is still under way, or was done before the next one.
    if (before?.sequence === batch.sequenceStart) return before.done;
    if (before) {
      before.cancelled = true;
      this.#waiting.get(batch.shardId)?.();
    }
    const job = { sequence: batch.sequenceStart, cancelled: false } as { -readonly [K in keyof Job]: Job[K] };
    job.done = this.#deliver(batch, job);
    this.#jobs.set(batch.shardId, job);
    return job.done;
  }

  /** Sends the batch, again from its start when the session is lost in between, until the peer has it. */
  async #deliver(batch: Batch, job: Job): Promise<void> {
    // `onBatch` registers the job before anything is sent.
    await undefined;
    for (;;) {
      if (this.#closed) throw new TransportError('shutdown');
      if (job.cancelled) throw new TransportError('fatal', 'given up');
      const stream = this.#stream(batch.shardId);
      if (stream === undefined) await this.#wait(batch.shardId);
      else if (await this.#sendOn(stream, batch, job)) return;
    }
  }

  #stream(shard: number): number | undefined {
    let stream = this.#streams.get(shard);
    if (stream === undefined && this.#link?.up) {
      stream = this.#link.stream(shard, this.#reliability);
      if (stream !== undefined) this.#streams.set(shard, stream);
    }
    return stream;
  }

  /** Resolves with false when the stream is gone. */
  async #sendOn(stream: number, batch: Batch, job: Job): Promise<boolean> {
    for (let from = 0; from < batch.count; ) {
      const link = this.#link;
      if (!link || this.#closed || job.cancelled) return false;
      const taken = link.raw.sendBatch(link.now(), stream, batch.data, batch.ends, from);
      link.send();
      if (taken > 0) from += taken;
      else if (taken === REFUSED.backpressure)
        await this.#wait(batch.shardId, this.#reliability === RELIABILITY.once ? ROOM_MS : undefined);
      else if (taken === REFUSED.notConnected) return this.#forget(batch.shardId, stream);
      else throw new TransportError('fatal', `an event is larger than ${MESH_EVENT_BYTES} bytes`);
    }
    for (;;) {
      const link = this.#link;
      if (!link || this.#closed || job.cancelled) return false;
      const state = link.raw.flushed(stream);
      if (state > 0) return true;
      if (state < 0) return this.#forget(batch.shardId, stream);
      await this.#wait(batch.shardId, this.#reliability === RELIABILITY.once ? ROOM_MS : undefined);
    }
  }

  #forget(shard: number, stream: number): false {
    if (this.#streams.get(shard) === stream) this.#streams.delete(shard);
    return false;
  }

  /** Resolves when something has happened to the shard's stream or to the session. */
  #wait(shard: number, limitMs?: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = limitMs === undefined ? undefined : setTimeout(() => wake(), limitMs);
      const wake = () => {
        clearTimeout(timer);
        if (this.#waiting.get(shard) === wake) this.#waiting.delete(shard);
        resolve();
      };
      this.#waiting.set(shard, wake);
    });
  }

  /** Batches are confirmed one by one: nothing is left to wait for. */
  async flush(): Promise<void> {}

  async shutdown(): Promise<void> {
    if (this.#closed) return;
    await this.#link?.close();
    this.#final = this.stats();
    this.#closed = true;
    for (const wake of this.#waiting.values()) wake();
    this.#events?.close();
  }

  checkId(): string | undefined {
    return undefined;
  }

  healthy(): boolean {
    return this.#link?.up === true;
  }

  stats(): Record<string, unknown> {
    if (this.#final || !this.#events || !this.#link) return this.#final ?? {};
    const engine = JSON.parse(this.#link.raw.stats()) as { inboundDropped: number; lost: number };
    return {
      ...this.#events.stats(),
      eventsLost: BigInt(engine.inboundDropped),
      lost: BigInt(engine.lost),
    };
  }
}
