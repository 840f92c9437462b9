/** A stream of HTTP/2 that carries frames: outbox, inbox, and what the ways in which a stream can end mean. */
import { constants, type Http2Stream } from 'node:http2';
import { MarketrixError, type MarketrixErrorKind } from '../errors.js';
import type { Counters } from './counters.js';
import type { Endian } from './frames.js';
import { Inbox } from './inbox.js';
import { Outbox } from './outbox.js';
import type { PeerRef } from './types.js';

const { NGHTTP2_NO_ERROR, NGHTTP2_PROTOCOL_ERROR, NGHTTP2_CANCEL, NGHTTP2_REFUSED_STREAM, NGHTTP2_ENHANCE_YOUR_CALM } =
  constants;

/** How long the last frame of a cancelled stream may take. */
const LAST_FRAME_MS = 50;

export interface PipeOptions {
  remote: PeerRef;
  endian: Endian;
  /** Whether frames are envelopes: then Buffers may occur. */
  envelope: boolean;
  maxFrameBytes: number;
  maxQueuedBytes: number;
  counters: Counters;
}

/** What the other side's reset means. */
function resetError(code: number, remote: PeerRef): MarketrixError {
  const [kind, text]: [MarketrixErrorKind, string] =
    code === NGHTTP2_REFUSED_STREAM
      ? ['unavailable', 'the other side takes no new streams']
      : code === NGHTTP2_ENHANCE_YOUR_CALM
        ? ['frame-too-large', 'the other side refused a frame as too large']
        : code === NGHTTP2_PROTOCOL_ERROR
          ? ['protocol', 'the other side reset the stream because of a malformed frame']
          : ['connection-lost', `the stream to ${remote.service} broke (code ${code})`];
  return new MarketrixError(kind, text, { remote });
}

/** Frames both ways over one stream. */
export class FramePipe {
  readonly outbox: Outbox;
  readonly inbox: Inbox;
  /** Resolves when both directions have ended, rejects when the stream broke. Never an unhandled rejection. */
  readonly closed: Promise<void>;
  readonly #stream: Http2Stream;
  readonly #options: PipeOptions;
  #failure: Error | undefined;
  #local = false;
  #started = false;

  constructor(stream: Http2Stream, options: PipeOptions) {
    const { endian, maxFrameBytes, envelope, counters } = options;
    this.#stream = stream;
    this.#options = options;
    this.outbox = new Outbox(stream, { ...options });
    this.inbox = new Inbox(stream, { endian, maxFrameBytes, bytes: envelope }, counters, (e) => this.#badFrame(e));
    counters.streams += 1;
    stream.on('error', () => {}); // 'close' follows and tells the code
    const destroy = stream._destroy;
    stream._destroy = (error, callback) => {
      this.#salvage();
      destroy.call(stream, error, callback);
    };
    this.closed = new Promise((resolve, reject) => {
      const onClose = () => {
        counters.streams -= 1;
        const { rstCode = 0 } = stream;
        // A peer that has answered in full may drop the rest of what it is sent, without error.
        const whole = this.inbox.ended && (this.outbox.finished || rstCode === NGHTTP2_NO_ERROR);
        if (!whole && !this.#local) this.#fail(resetError(rstCode, options.remote));
        this.outbox.closed();
        if (this.#failure) reject(this.#failure);
        else resolve();
      };
      if (stream.destroyed) onClose();
      else stream.on('close', onClose);
    });
    this.closed.catch(() => {});
  }

  /** Begins to read: the handshake succeeded. */
  start(): void {
    this.#started = true;
    this.#stream.on('end', () => this.#onEnd());
    this.inbox.start();
  }

  /** Tells readers here the error at once, sends a last frame if it goes out soon, then resets. */
  cancel(error: Error, lastFrame: string): void {
    if (this.#local || this.#failure) return;
    this.inbox.fail(error);
    const reset = () => {
      clearTimeout(timer);
      this.close(error);
    };
    const timer = setTimeout(reset, LAST_FRAME_MS);
    if (this.outbox.ended || !this.outbox.trySend(lastFrame)) reset();
    else this.outbox.end().then(reset, reset);
  }

  /** Resets both directions. With an error, that is what readers and writers here see. */
  close(error?: Error, code: number = NGHTTP2_CANCEL): void {
    if (this.#local) return;
    this.#local = true;
    if (error) this.#fail(error);
    else this.inbox.discard();
    if (error) this.outbox.fail(error);
    else this.outbox.closed();
    if (!this.#stream.closed) {
      // Node would end the stream in order before it resets it, and the other side could not tell the difference.
      this.#stream._final = (callback) => callback();
      this.#stream.close(code);
    }
    // A paused stream would keep its buffered data, and never report its close.
    this.#stream.resume();
  }

  /** The other side sent what is no frame, or a frame too large. */
  #badFrame(error: Error): void {
    this.#options.counters.protocolErrors += 1;
    const large = error instanceof MarketrixError && error.kind === 'frame-too-large';
    this.close(error, large ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
  }

  #onEnd(): void {
    const { rstCode, aborted } = this.#stream;
    if (aborted || (rstCode !== undefined && rstCode !== NGHTTP2_NO_ERROR)) {
      if (!this.#local) this.#fail(resetError(rstCode ?? 0, this.#options.remote));
      return;
    }
    try {
      this.inbox.end();
    } catch (error) {
      this.#badFrame(error as Error);
    }
  }

  /**
   * Node drops what a paused stream holds when the connection goes. It has arrived all the same, and when the other
   * side had ended before, nothing is missing.
   */
  #salvage(): void {
    if (this.#local || !this.#started || this.inbox.ended) return;
    while (this.#stream.read() !== null);
    const { ended } = (this.#stream as unknown as { _readableState: { ended: boolean } })._readableState;
    if (!ended || this.#local) return;
    try {
      this.inbox.end();
    } catch (error) {
      this.#badFrame(error as Error);
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.inbox.fail(error);
    this.outbox.fail(error);
  }
}
