/** What has arrived from peers, kept like the log in memory (11 §8). */
import { CounterNames, type RawBus, settingsOf } from '../../backend/bus.js';
import { door } from '../../backend/choose.js';
import type { NetNodeConfig } from '../../types.js';
import { DEFAULT_BYTES, resolveConfig } from '../config.js';
import { type InboundLog, type ShardPage, TransportError } from '../transport.js';

/** Nothing is staged in this log: the smallest ring serves. */
const RING_BYTES = 1 << 16;

/** The log of inbound events of one node, as large as its shards' rings; the oldest goes first. */
export class InboundEvents {
  readonly #raw: RawBus;
  readonly #readers = new Set<() => void>();
  readonly #begun = performance.now();
  readonly #collect: () => void;
  #closed = false;

  /** `config`: the options of the node. `collect`: appends what has arrived and was not taken yet. */
  constructor(config: NetNodeConfig, collect: () => void) {
    this.#collect = collect;
    const { settings, bufferCapacity, shards } = resolveConfig(config, door.memory === undefined);
    this.#raw = new door.Bus(
      settingsOf({
        ...settings,
        queue: false,
        mode: 'drop_oldest',
        maxEvents: bufferCapacity,
        maxBytes: Math.max(1, Math.floor(DEFAULT_BYTES / shards)),
        ringBytes: RING_BYTES,
      }),
    );
  }

  /** For the node that reads it. */
  get log(): InboundLog {
    return {
      raw: this.#raw,
      onAppend: (callback) => this.#readers.add(callback),
      collect: () => this.#collect(),
    };
  }

  /** Adds records of packets; stream n goes to shard n modulo their number. Nothing after `close`. */
  append(records: Uint8Array): void {
    if (this.#closed) return;
    this.#raw.tick?.((performance.now() - this.#begun) * 1e6);
    this.#raw.placePackets(records);
    for (const wake of this.#readers) wake();
  }

  /** Counters for `stats()`; not after `close`. */
  stats(): Record<string, unknown> {
    const counters = this.#raw.counters();
    return {
      eventsReceived: counters[CounterNames.indexOf('ingested')],
      eventsExpired: counters[CounterNames.indexOf('expired')],
    };
  }

  /** Frees it. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#raw.close();
    this.#raw.release?.();
    this.#raw.free?.();
  }
}

/** `pollShard` of a transport with such a log, which is never called. */
export async function readInLog(): Promise<ShardPage> {
  throw new TransportError('fatal', 'inbound events are in the log');
}
