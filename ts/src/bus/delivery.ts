/** What flush and shutdown of a node wait for: events on their way to a store (10 §4). */
import type { RawBus } from '../backend/bus.js';
import { MeshringError, messageOf } from '../errors.js';
import { delay } from '../flow/backoff.js';
import { countersOf } from './counters.js';
import { type Dispatcher, notDelivered, within } from './dispatch.js';
import type { ProducerState } from './producer-state.js';
import type { Transport } from './transport.js';

/** The way of a node's events to its store. */
export interface Delivery {
  /** Sends what is due. */
  poke(): void;
  /** Sends nothing more until the store has answered `question`. */
  holdFor(question: Promise<unknown>): void;
  /** Resolves when everything queued so far is acknowledged; rejects when some of it was given up. */
  flush(): Promise<void>;
  /** Delivers what is queued and closes the transport. */
  close(): Promise<void>;
  /** Whether no batch is with the transport. */
  readonly settled: boolean;
}

/** Limits and counters that both ways need. */
export interface DeliveryOptions {
  /** Limit of one operation, ms. */
  readonly timeoutMs: number;
  /** Number of events that are not delivered yet. */
  pending(): number;
}

/** Waits for `work` within the limit; failures become those of `flush`. */
async function acknowledged(work: Promise<unknown>, { timeoutMs, pending }: DeliveryOptions): Promise<void> {
  try {
    await within(work, timeoutMs, () => new Error(`not acknowledged within ${timeoutMs} ms`));
  } catch (error) {
    if (error instanceof MeshringError && error.kind === 'closed') throw error;
    throw notDelivered('Flush', pending(), messageOf(error));
  }
}

/** On the thread that owns the node: its dispatcher delivers. */
export class OwnDelivery implements Delivery {
  readonly #transport: Transport;
  readonly #dispatcher: Dispatcher;
  readonly #producer: ProducerState;
  readonly #options: DeliveryOptions;
  /** Losses that a finished flush has told of. */
  #reported = 0;

  constructor(transport: Transport, dispatcher: Dispatcher, producer: ProducerState, options: DeliveryOptions) {
    this.#transport = transport;
    this.#dispatcher = dispatcher;
    this.#producer = producer;
    this.#options = options;
  }

  get settled(): boolean {
    return this.#dispatcher.settled;
  }

  poke(): void {
    this.#dispatcher.poke();
  }

  holdFor(question: Promise<unknown>): void {
    this.#dispatcher.holdFor(question);
  }

  async flush(): Promise<void> {
    // Flushes that run at the same time all tell of the same losses.
    const reported = this.#reported;
    const drained = Promise.all([this.#dispatcher.drained(), this.#producer.recovered?.()]);
    await acknowledged(
      drained.then(() => this.#transport.flush()),
      this.#options,
    );
    const { count, reason } = this.#dispatcher.losses;
    this.#reported = Math.max(this.#reported, count);
    const lost = count - reported;
    if (lost > 0) throw notDelivered('Flush', lost, `${lost} events were given up: ${reason}`);
  }

  async close(): Promise<void> {
    const { timeoutMs } = this.#options;
    const failures: string[] = [];
    const step = async (what: string, work: Promise<unknown>) => {
      try {
        await within(work, timeoutMs, () => new Error(`${what} took longer than ${timeoutMs} ms`));
      } catch (error) {
        failures.push(messageOf(error));
      }
    };
    await step('delivery', Promise.all([this.#dispatcher.drained(), this.#producer.recovered?.()]));
    this.#dispatcher.stop();
    await step('transport flush', this.#transport.flush());
    await step('transport close', this.#transport.shutdown());
    await step('the last batches', this.#dispatcher.lastAttempts());
    await step('producer state', Promise.resolve(this.#producer.close()));
    this.#dispatcher.giveUp();
    const { count, reason } = this.#dispatcher.losses;
    // What a transport still has, without an answer, was not delivered either.
    const lost = count - this.#reported + this.#options.pending();
    if (lost > 0) failures.unshift(`${lost} events were not delivered${reason ? `: ${reason}` : ''}`);
    if (failures.length > 0) throw notDelivered('Shutdown', lost, failures.join('; '));
  }
}

/** On a thread that is attached: the owner's dispatcher delivers, this one looks on. */
export class AttachedDelivery implements Delivery {
  readonly settled = true;
  readonly #raw: RawBus;
  readonly #transport: Transport;
  readonly #options: DeliveryOptions & { assertOpen(): void };
  #reported: number;

  constructor(raw: RawBus, transport: Transport, options: DeliveryOptions & { assertOpen(): void }) {
    this.#raw = raw;
    this.#transport = transport;
    this.#options = options;
    this.#reported = this.#failed();
  }

  poke(): void {}

  holdFor(): void {}

  async flush(): Promise<void> {
    const reported = this.#reported;
    const end = new AbortController();
    try {
      await acknowledged(this.#drained(end.signal), this.#options);
    } finally {
      end.abort();
    }
    const failed = this.#failed();
    this.#reported = Math.max(this.#reported, failed);
    const lost = failed - reported;
    if (lost > 0) throw notDelivered('Flush', lost, `${lost} events were given up`);
  }

  close(): Promise<void> {
    return this.#transport.shutdown();
  }

  #failed(): number {
    return Number(countersOf(this.#raw, false).eventsFailed);
  }

  async #drained(signal: AbortSignal): Promise<void> {
    const positions = this.#raw.positions();
    const shards = this.#raw.shape()[0] as number;
    const targets = Array.from({ length: shards }, (_, shard) => positions[2 * shard + 1] as number);
    while (!signal.aborted) {
      const done = this.#raw.acknowledged();
      if (targets.every((target, shard) => (done[shard] as number) >= target)) return;
      this.#options.assertOpen();
      await delay(2);
    }
  }
}
