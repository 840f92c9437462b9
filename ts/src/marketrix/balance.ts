/** Which of several instances takes the next stream (90 §7). */
import { xxh3 } from '../hash/index.js';
import type { Balance, PeerRecord } from './types.js';

const MAX_HASH = 2 ** 53;

/** Uniform in (0, 1), the same for the same texts. */
function unit(key: string, instance: string): number {
  const hash = xxh3(Buffer.from(`${key}\0${instance}`));
  return (Number(hash >> 11n) + 0.5) / MAX_HASH;
}

/** Highest random weight: when an instance leaves, only its keys move. */
function rendezvous(records: readonly PeerRecord[], key: string): PeerRecord | undefined {
  let best: PeerRecord | undefined;
  let highest = Number.NEGATIVE_INFINITY;
  for (const record of records) {
    const score = -record.weight / Math.log(unit(key, record.instance));
    if (score > highest) [best, highest] = [record, score];
  }
  return best;
}

function weightedRandom(records: readonly PeerRecord[], random: () => number): PeerRecord | undefined {
  let left = random() * records.reduce((sum, record) => sum + record.weight, 0);
  return records.find((record) => {
    left -= record.weight;
    return left < 0;
  });
}

/** Chooses among the instances of one service. */
export class Balancer {
  readonly #balance: Balance;
  readonly #inflight: (record: PeerRecord) => number;
  readonly #random: () => number;
  /** Smooth round-robin: each choice adds its weight to everybody and takes the sum from the chosen one. */
  readonly #current = new Map<string, number>();

  constructor(balance: Balance, inflight: (record: PeerRecord) => number, random: () => number = Math.random) {
    this.#balance = balance;
    this.#inflight = inflight;
    this.#random = random;
  }

  /** One of `records`, or undefined when there is none. With a key always by hash. */
  choose(records: readonly PeerRecord[], key?: string): PeerRecord | undefined {
    if (records.length < 2) return records[0];
    if (key !== undefined) return rendezvous(records, key);
    if (this.#balance === 'random') return weightedRandom(records, this.#random) ?? records[0];
    if (this.#balance === 'least-inflight') return this.#leastInflight(records);
    return this.#roundRobin(records);
  }

  #leastInflight(records: readonly PeerRecord[]): PeerRecord | undefined {
    const burden = (record: PeerRecord) => this.#inflight(record) / record.weight;
    const least = Math.min(...records.map(burden));
    return this.#roundRobin(records.filter((record) => burden(record) === least));
  }

  #roundRobin(records: readonly PeerRecord[]): PeerRecord | undefined {
    let total = 0;
    let best: PeerRecord | undefined;
    let highest = Number.NEGATIVE_INFINITY;
    for (const record of records) {
      total += record.weight;
      const value = (this.#current.get(record.instance) ?? 0) + record.weight;
      this.#current.set(record.instance, value);
      if (value > highest) [best, highest] = [record, value];
    }
    if (best) this.#current.set(best.instance, highest - total);
    if (this.#current.size > 2 * records.length + 16) {
      const live = new Set(records.map((record) => record.instance));
      for (const instance of this.#current.keys()) if (!live.has(instance)) this.#current.delete(instance);
    }
    return best;
  }
}
