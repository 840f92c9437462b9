/** What the engine lets through as a channel's messages: publish streams of publishers that this node asked (32 §6). */
import { canonicalChannelHash, publishStreamId } from '../../channels/index.js';
import { channelFailure } from './failure.js';
import type { ControlHost } from './host.js';

/** Expected channels by the numbers that the engine puts on their packets. */
export class ExpectedChannels {
  readonly #host: ControlHost;
  readonly #names = new Map<number, string>();
  /** By publisher and channel. */
  readonly #tags = new Map<string, number>();
  #last = 0;

  constructor(host: ControlHost) {
    this.#host = host;
  }

  /** Lets publishes through from now on; again changes nothing. Throws when the engine's table is full. */
  expect(publisher: bigint, channel: string): void {
    const key = `${publisher}:${channel}`;
    if (this.#tags.has(key)) return;
    // A number is not used again while its packets may still wait in the queue.
    do this.#last = (this.#last % 0xffff_ffff) + 1;
    while (this.#names.has(this.#last));
    const stream = publishStreamId(canonicalChannelHash(channel));
    if (!this.#host.raw.expectChannel(publisher, stream, this.#last)) {
      throw channelFailure('limit', 'this node has 1048576 subscriptions already');
    }
    this.#tags.set(key, this.#last);
    this.#names.set(this.#last, channel);
  }

  /** What arrives from now on was not asked for, nor what waits to be taken. */
  forget(publisher: bigint, channel: string): void {
    const key = `${publisher}:${channel}`;
    const tag = this.#tags.get(key);
    if (tag === undefined) return;
    this.#tags.delete(key);
    this.#names.delete(tag);
    const stream = publishStreamId(canonicalChannelHash(channel));
    if (!this.#host.closed) this.#host.raw.forgetChannel(publisher, stream);
  }

  /** The channel of a packet by its number; 0 is none. */
  nameOf(tag: number): string | undefined {
    return this.#names.get(tag);
  }
}
