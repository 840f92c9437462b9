/** Messages of one channel as an async iterator (32 §8). */
import type { MeshEvent } from '../inbox.js';

/** A payload that was published. */
export interface ChannelMessage {
  /** Name of the channel. */
  readonly channel: string;
  /** Node id of the publisher. */
  readonly publisherNodeId: bigint;
  /** The bytes. */
  readonly payload: Buffer;
  /** Sequence of its packet: payloads of one publisher and channel come in this order. */
  readonly sequence: bigint;
}

/** What the iteration is made of. */
export interface ChannelStreamSource {
  /** Subscribes, when the iteration brings its own subscription. */
  readonly begin: Promise<void>;
  /** Events until the signal. */
  events(signal: AbortSignal): AsyncGenerator<MeshEvent, void, void>;
  shown(bytes: Uint8Array): Buffer;
  /** Called once at the end, when `begin` succeeded. */
  end(): void;
  /** Calls the listener when the publisher has taken this node off the channel and the iteration is to say so. */
  onDropped?(listener: (error: unknown) => void): () => void;
  readonly signal?: AbortSignal | undefined;
}

/** Messages of a channel as they arrive; ends with its signal, by `return()`, or at shutdown. */
export class ChannelStream implements AsyncIterableIterator<ChannelMessage> {
  /** Resolves when the publisher has accepted the subscription; rejects with the reason of a refusal. */
  readonly ready: Promise<void>;
  readonly #source: ChannelStreamSource;
  readonly #abort = new AbortController();
  readonly #events: AsyncGenerator<MeshEvent, void, void>;
  /** Why the publisher has taken this node off the channel, once it has. */
  #dropped: { readonly error: unknown } | undefined;
  /** Ends the pending `next`. */
  #onDropped: () => void = () => {};
  readonly #unlisten: (() => void) | undefined;
  #begun = false;
  #ended = false;

  /** @internal */
  constructor(source: ChannelStreamSource) {
    this.#source = source;
    this.#events = source.events(this.#abort.signal);
    this.ready = source.begin.then(
      () => {
        this.#begun = true;
        // Ended before the answer came.
        if (this.#ended) source.end();
      },
      (error: unknown) => {
        this.#finish();
        throw error;
      },
    );
    this.ready.catch(() => {});
    this.#unlisten = source.onDropped?.((error) => {
      this.#dropped ??= { error };
      this.#onDropped();
    });
    if (source.signal?.aborted) this.#finish();
    else source.signal?.addEventListener('abort', this.#finish, { once: true });
  }

  #take(): Promise<IteratorResult<MeshEvent, void>> {
    const next = this.#events.next();
    if (!this.#unlisten) return next;
    return new Promise((resolve, reject) => {
      let settled = false;
      this.#onDropped = () => {
        // What has arrived before is taken first: that needs no turn of the event loop.
        setTimeout(() => {
          if (settled) return;
          this.#finish();
          reject(this.#dropped?.error);
        }, 0);
      };
      next.then((result) => {
        settled = true;
        this.#onDropped = () => {};
        resolve(result);
      }, reject);
      if (this.#dropped) this.#onDropped();
    });
  }

  readonly #finish = (): void => {
    if (this.#ended) return;
    this.#ended = true;
    this.#abort.abort();
    this.#unlisten?.();
    this.#source.signal?.removeEventListener('abort', this.#finish);
    if (this.#begun) this.#source.end();
  };

  /** The next message. */
  async next(): Promise<IteratorResult<ChannelMessage, undefined>> {
    await this.ready;
    const { done, value } = this.#ended ? { done: true as const, value: undefined } : await this.#take();
    if (done || !value) {
      this.#finish();
      return { done: true, value: undefined };
    }
    return {
      done: false,
      value: {
        channel: value.channel ?? '',
        publisherNodeId: value.peerNodeId,
        payload: this.#source.shown(value.bytes),
        sequence: value.sequence,
      },
    };
  }

  /** Ends the iteration, and its own subscription with it. */
  async return(): Promise<IteratorResult<ChannelMessage, undefined>> {
    this.#finish();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
