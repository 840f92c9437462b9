/** The serving side of methods: finds the handler, feeds it, sends what it gives (90 §6.3). */
import { MarketrixError, messageOf } from '../errors.js';
import { BoundedQueue } from '../flow/index.js';
import { isAsyncIterable } from './calls.js';
import type { Counters } from './counters.js';
import { asFrame, type Frame, frames, HELLO, INPUT_STREAMS, OUTPUT_STREAMS, type WireError } from './envelope.js';
import type { FramePipe } from './pipe.js';
import type { CallContext, Handler, PeerRef } from './types.js';

/** Input items that may wait for a handler; beyond, the caller's `send` waits. */
const INPUT_ITEMS = 64;
const MAX_TIMER_MS = 2 ** 31 - 1;

function wireError(error: unknown): WireError {
  if (error instanceof MarketrixError) {
    const text = error.message.replace(`marketrix: ${error.kind}: `, '');
    const code = error.code ?? (error.kind === 'timeout' || error.kind === 'cancelled' ? error.kind : 'handler');
    return { code, message: text, ...(error.data === undefined ? {} : { data: error.data }) };
  }
  return { code: 'handler', message: messageOf(error) };
}

/** A request that was read. */
interface Request {
  readonly method: string;
  readonly input: unknown;
  readonly streams: number;
  /** By the clock of the mesh. */
  readonly deadline: number | undefined;
  readonly headers: Record<string, string>;
}

function readRequest(frame: Frame): Request {
  if (typeof frame.m !== 'string') throw new MarketrixError('protocol', 'req without a method');
  const { h } = frame;
  return {
    method: frame.m,
    input: frame.d,
    streams: typeof frame.s === 'number' ? frame.s : 0,
    deadline: typeof frame.dl === 'number' ? frame.dl : undefined,
    headers: typeof h === 'object' && h !== null && !Array.isArray(h) ? (h as Record<string, string>) : {},
  };
}

export class CallServer {
  readonly #handlers = new Map<string, Handler>();
  readonly #counters: Counters;
  readonly #meshNow: () => number;

  constructor(counters: Counters, meshNow: () => number) {
    this.#counters = counters;
    this.#meshNow = meshNow;
  }

  /** Registers the implementation of a method. Returns a function that takes it back. */
  handle(method: string, handler: Handler): () => void {
    if (typeof method !== 'string' || method.length === 0) {
      throw new MarketrixError('invalid-options', 'method must be a non-empty string');
    }
    if (this.#handlers.has(method)) throw new MarketrixError('invalid-options', `${method} has a handler already`);
    this.#handlers.set(method, handler);
    return () => {
      if (this.#handlers.get(method) === handler) this.#handlers.delete(method);
    };
  }

  /** Serves the call whose `req` frame is given. Never rejects. */
  async serve(pipe: FramePipe, remote: PeerRef, first: Frame): Promise<void> {
    const { outbox } = pipe;
    this.#counters.serving += 1;
    outbox.send(HELLO).catch(() => {});
    try {
      const request = readRequest(first);
      const handler = this.#handlers.get(request.method);
      if (!handler) throw new MarketrixError('no-method', `no method ${request.method}`, { code: 'no-method' });
      await this.#run(pipe, remote, request, handler);
      this.#counters.callsServed += 1;
    } catch (error) {
      if (!outbox.ended) outbox.send(this.#errorFrame(error)).catch(() => {});
    } finally {
      this.#counters.serving -= 1;
      outbox.end().catch(() => {});
    }
  }

  #errorFrame(error: unknown): string {
    const wire = wireError(error);
    try {
      return frames.err(wire);
    } catch {
      // `data` had no JSON form.
      return frames.err({ code: wire.code, message: wire.message });
    }
  }

  async #run(pipe: FramePipe, remote: PeerRef, request: Request, handler: Handler): Promise<void> {
    const { method, streams, headers } = request;
    const abort = new AbortController();
    const left = request.deadline === undefined ? undefined : request.deadline - this.#meshNow();
    const ended = new Promise<never>((_, reject) => {
      abort.signal.addEventListener('abort', () => reject(abort.signal.reason), { once: true });
    });
    ended.catch(() => {});
    const late = () => abort.abort(new MarketrixError('timeout', `${method}: the deadline has passed`));
    if (left !== undefined && left <= 0) late();
    const timer = left === undefined ? undefined : setTimeout(late, Math.min(Math.max(left, 0), MAX_TIMER_MS));
    pipe.closed.catch((error) => abort.abort(error));
    const ctx: CallContext = {
      method,
      remote,
      headers,
      signal: abort.signal,
      deadline: left === undefined ? undefined : Date.now() + left,
    };
    const items = new BoundedQueue<unknown>({ capacity: INPUT_ITEMS });
    const cancel = () => abort.abort(new MarketrixError('cancelled', `${method}: cancelled by the caller`));
    readInput(pipe, items, cancel).catch((error) => items.close(error));
    const input = streams & INPUT_STREAMS ? items : request.input;
    try {
      abort.signal.throwIfAborted();
      // What a handler does after its time is over reaches nobody.
      const result = await Promise.race([handler(input, ctx), ended]);
      await this.#answer(pipe, method, streams, result, ended);
    } finally {
      clearTimeout(timer);
      items.close();
      items.drain();
    }
  }

  async #answer(
    pipe: FramePipe,
    method: string,
    streams: number,
    result: unknown,
    ended: Promise<never>,
  ): Promise<void> {
    const { outbox } = pipe;
    if (!(streams & OUTPUT_STREAMS)) {
      if (isAsyncIterable(result)) {
        result[Symbol.asyncIterator]()
          .return?.()
          ?.catch(() => {});
        throw new MarketrixError('handler', `${method} streams its output: use stream`);
      }
      await outbox.send(frames.res(result));
      return;
    }
    if (isAsyncIterable(result)) {
      const iterator = result[Symbol.asyncIterator]();
      let finished = false;
      try {
        for (;;) {
          const next = await Promise.race([iterator.next(), ended]);
          if (next.done) break;
          await outbox.send(frames.out(next.value));
        }
        finished = true;
      } finally {
        if (!finished) iterator.return?.()?.catch(() => {});
      }
    } else await outbox.send(frames.out(result));
    await outbox.send(frames.outend);
  }
}

/** Hands input items on until the caller ends; waits while the handler is behind. */
async function readInput(pipe: FramePipe, items: BoundedQueue<unknown>, cancel: () => void): Promise<void> {
  for (;;) {
    const next = await pipe.inbox.next();
    if (next.done) break;
    const frame = asFrame(next.value);
    if (frame.t === 'in') {
      if (items.closed) continue;
      await items.push(frame.d).catch(() => {});
    } else if (frame.t === 'inend') items.close();
    else if (frame.t === 'cancel') cancel();
  }
  items.close();
}
