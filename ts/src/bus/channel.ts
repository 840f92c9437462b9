import type { SubscribeOpts } from '../types.js';
import type { PollSource } from './feed.js';
import { compileFilter, filterText } from './filter.js';
import { EventStream, TypedEventStream } from './stream.js';

/** What a channel publishes to: a node (`fire`) or the low-level bus (`ingestFire`). */
export type ChannelBus = PollSource &
  (
    | { fire(json: string): boolean; fireBatch(jsons: string[]): number }
    | { ingestFire(json: string): boolean; ingestBatchFire(jsons: string[]): number }
  );

/** Objects of one kind on a bus, marked with the name of the channel in `_channel`. */
export class TypedChannel<T> {
  /** Name of the channel, any string. */
  readonly name: string;
  readonly #bus: ChannelBus;
  readonly #validator: ((data: unknown) => T) | undefined;

  /** @param validator makes the value to yield from a parsed event, or throws */
  constructor(bus: ChannelBus, name: string, validator?: (data: unknown) => T) {
    this.#bus = bus;
    this.name = name;
    this.#validator = validator;
  }

  /** Publishes an event; a field `_channel` of it is replaced. Answers whether it was accepted. */
  publish(event: T): boolean {
    const json = this.#marked(event);
    return 'fire' in this.#bus ? this.#bus.fire(json) : this.#bus.ingestFire(json);
  }

  /** Publishes events; answers how many were accepted. */
  publishBatch(events: T[]): number {
    const jsons = events.map((event) => this.#marked(event));
    return 'fire' in this.#bus ? this.#bus.fireBatch(jsons) : this.#bus.ingestBatchFire(jsons);
  }

  /** The channel's events, parsed and validated; they still have `_channel`. A filter in `opts` must hold as well. */
  subscribe(opts: SubscribeOpts = {}): TypedEventStream<T> {
    const validator = this.#validator;
    const parse = (raw: string): T => {
      const data: unknown = JSON.parse(raw);
      return validator ? validator(data) : (data as T);
    };
    return new TypedEventStream(this.#bus, this.#options(opts), parse);
  }

  /** The channel's events as stored. */
  subscribeRaw(opts: SubscribeOpts = {}): EventStream {
    return new EventStream(this.#bus, this.#options(opts));
  }

  #marked(event: T): string {
    return JSON.stringify({ ...event, _channel: this.name });
  }

  #options(opts: SubscribeOpts | null): SubscribeOpts {
    const own = JSON.stringify({ path: '_channel', value: this.name });
    const { filter } = opts ?? {};
    if (filter === undefined || filter === null || filter === '') return { ...opts, filter: own };
    let text: string;
    try {
      text = filterText(filter);
      compileFilter(text);
    } catch {
      // Passed on alone: the poll says what is wrong with it, from the loop.
      return { ...opts, filter };
    }
    return { ...opts, filter: `{"$and":[${own},${text}]}` };
  }
}
