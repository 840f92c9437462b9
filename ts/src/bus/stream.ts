import type { StoredEvent, SubscribeOpts } from '../types.js';
import { Feed, FeedIterator, type PollSource } from './feed.js';

const unchanged = (event: StoredEvent) => event;

/**
 * Events of a bus as they arrive, beginning with the oldest that is stored (or where the options say).
 *
 * The stream owns its position: leaving a loop and iterating the stream again goes on with the next event, and two
 * loops at a time share the events. A poll that fails is thrown from the loop; iterating again tries the same position.
 */
export class EventStream implements AsyncIterable<StoredEvent> {
  readonly #feed: Feed;

  /**
   * @param bus anything with a compatible `poll`
   * @throws MeshringError kind `invalid-argument` for options out of range; a bad filter or cursor is thrown from the loop
   */
  constructor(bus: PollSource, opts: SubscribeOpts = {}) {
    this.#feed = new Feed(bus, opts ?? {});
  }

  /** + Position behind the last event yielded, for `cursor` of a later stream; undefined at the beginning of the store. */
  get cursor(): string | undefined {
    return this.#feed.cursor;
  }

  /** Ends the iteration at once; a new iteration of this stream ends at once, too. */
  stop(): void {
    this.#feed.stop();
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<StoredEvent, undefined, unknown> {
    return new FeedIterator(this.#feed, unchanged);
  }
}

/** As `EventStream`, each event parsed. An event that cannot be parsed is thrown from the loop and left behind. */
export class TypedEventStream<T> implements AsyncIterable<T> {
  readonly #feed: Feed;
  readonly #convert: (event: StoredEvent) => T;

  /** @param parse makes the value from an event's text; `JSON.parse` by default */
  constructor(bus: PollSource, opts: SubscribeOpts = {}, parse: (raw: string) => T = (raw) => JSON.parse(raw) as T) {
    this.#feed = new Feed(bus, opts ?? {});
    this.#convert = (event) => parse(event.raw);
  }

  /** + Position behind the last event yielded; undefined at the beginning of the store. */
  get cursor(): string | undefined {
    return this.#feed.cursor;
  }

  /** Ends the iteration at once; a new iteration of this stream ends at once, too. */
  stop(): void {
    this.#feed.stop();
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<T, undefined, unknown> {
    return new FeedIterator(this.#feed, this.#convert);
  }
}
