/** Streams as the application sees them: messages, raw or in `msg` envelopes (90 §6.1). */
import { MarketrixError } from '../errors.js';
import { frames, unwrapMessage } from './envelope.js';
import { toJson } from './json.js';
import type { FramePipe } from './pipe.js';
import type { PeerRef, PeerStream } from './types.js';

export class PipeStream implements PeerStream {
  readonly remote: PeerRef;
  readonly #pipe: FramePipe;
  readonly #envelope: boolean;

  constructor(pipe: FramePipe, remote: PeerRef, envelope: boolean) {
    this.remote = remote;
    this.#pipe = pipe;
    this.#envelope = envelope;
    if (envelope) pipe.inbox.unwrapWith(unwrapMessage);
  }

  get closed(): Promise<void> {
    return this.#pipe.closed;
  }

  send(message: unknown): Promise<void> {
    try {
      return this.#pipe.outbox.send(this.#text(message));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  trySend(message: unknown): boolean {
    return this.#pipe.outbox.trySend(this.#text(message));
  }

  end(): Promise<void> {
    return this.#pipe.outbox.end();
  }

  close(error?: Error): void {
    this.#pipe.close(error);
  }

  /** Leaving a loop early leaves the stream open: the next loop goes on behind the last message taken. */
  [Symbol.asyncIterator](): AsyncIterator<unknown, undefined> {
    const { inbox } = this.#pipe;
    return { next: () => inbox.next(), return: () => Promise.resolve({ value: undefined, done: true }) };
  }

  #text(message: unknown): string {
    if (message === undefined) throw new MarketrixError('invalid-message', 'undefined has no JSON form');
    return this.#envelope ? frames.msg(message) : toJson(message, false);
  }
}
