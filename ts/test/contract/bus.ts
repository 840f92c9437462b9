import { encodeCursor } from '../../src/bus/cursor.js';
import type { PollSource } from '../../src/bus/feed.js';
import { Poller } from '../../src/bus/poll.js';
import { TAIL, WAIT } from '../../src/bus/wait.js';
import { MeshringError } from '../../src/errors.js';
import type { PollRequest, PollResponseData } from '../../src/types.js';
import { type Entry, idOf, SyncReader } from './store.js';

/** A bus of another maker: `poll` and nothing else. One or more shards in memory. */
export class ForeignBus implements PollSource {
  readonly entries: Entry[][];
  /** Requests so far. */
  readonly requests: PollRequest[] = [];
  /** Thrown by the next poll. */
  failure: Error | undefined;
  closed = false;
  /** Polls wait for this. */
  gate: Promise<void> | undefined;
  readonly #poller: Poller;
  #clock = 0n;

  constructor(shards = 1) {
    this.entries = Array.from({ length: shards }, () => []);
    this.#poller = new Poller(new SyncReader(this.entries));
  }

  emit(...events: unknown[]): void {
    for (const event of events) {
      this.#clock += 1n;
      this.entries[Number(this.#clock) % this.entries.length]?.push({ raw: JSON.stringify(event), ts: this.#clock });
    }
  }

  fire(json: string): boolean {
    this.emit(JSON.parse(json));
    return true;
  }

  fireBatch(jsons: string[]): number {
    return jsons.filter((json) => this.fire(json)).length;
  }

  async poll(request: PollRequest): Promise<PollResponseData> {
    this.requests.push(request);
    await this.gate;
    const { failure } = this;
    this.failure = undefined;
    if (failure) throw failure;
    if (this.closed) throw new MeshringError('closed', 'EventBus has been shut down');
    return this.#poller.poll(request);
  }
}

/** A bus that wakes its streams. */
export class WakingBus extends ForeignBus {
  readonly #sleepers = new Set<() => void>();

  /** How many streams wait. */
  get sleeping(): number {
    return this.#sleepers.size;
  }

  override emit(...events: unknown[]): void {
    super.emit(...events);
    for (const wake of this.#sleepers) wake();
  }

  shutdown(): void {
    this.closed = true;
    for (const wake of this.#sleepers) wake();
  }

  async [WAIT](cursor: string | undefined, signal: AbortSignal): Promise<void> {
    const unread = cursor === this[TAIL]() ? 0 : 1;
    if (signal.aborted || this.closed || unread > 0) return;
    await new Promise<void>((resolve) => {
      const wake = () => {
        this.#sleepers.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#sleepers.add(wake);
      signal.addEventListener('abort', wake);
    });
  }

  [TAIL](): string | undefined {
    const ends = this.entries.flatMap((entries, shard): [number, string][] =>
      entries.length > 0 ? [[shard, idOf(entries.length - 1)]] : [],
    );
    return ends.length > 0 ? encodeCursor(new Map(ends)) : undefined;
  }
}
