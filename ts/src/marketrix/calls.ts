/** The calling side of methods: one stream per call, deadlines, cancellation, retries (90 §6.3). */
import { MarketrixError, type MarketrixErrorKind } from '../errors.js';
import type { Connections } from './connections.js';
import type { Counters } from './counters.js';
import { asFrame, type Frame, frames, HELLO, INPUT_STREAMS, OUTPUT_STREAMS } from './envelope.js';
import type { Opened } from './link.js';
import type { Settings } from './options.js';
import type { CallOptions, PeerRef } from './types.js';

const MAX_TIMER_MS = 2 ** 31 - 1;
const DEFAULT_RETRIES = 2;
/** Codes of `err` frames that mean the kind of the same name. */
const CODE_KINDS: readonly string[] = [
  'no-method',
  'timeout',
  'cancelled',
  'overloaded',
  'unavailable',
] satisfies MarketrixErrorKind[];

export function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

/** The error that an `err` frame tells. */
function remoteError(frame: Frame, remote: PeerRef): MarketrixError {
  const e = (frame.e ?? {}) as { code?: unknown; message?: unknown; data?: unknown };
  const code = typeof e.code === 'string' ? e.code : 'handler';
  const kind = CODE_KINDS.includes(code) ? (code as MarketrixErrorKind) : 'handler';
  const text = typeof e.message === 'string' ? e.message : 'failed';
  return new MarketrixError(kind, text, { remote, code, data: e.data });
}

/** When a call must stop, whoever wants it: the time limit or the caller. */
class Limit {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #stop: () => void;
  /** Deadline by the monotonic clock, or undefined. */
  readonly until: number | undefined;

  constructor(timeoutMs: number, signal: AbortSignal | undefined, what: string) {
    const onAbort = () => this.#controller.abort(new MarketrixError('cancelled', what, { cause: signal?.reason }));
    if (Number.isFinite(timeoutMs)) {
      this.until = performance.now() + timeoutMs;
      this.#timer = setTimeout(
        () => this.#controller.abort(new MarketrixError('timeout', `${what}: no result after ${timeoutMs} ms`)),
        Math.min(timeoutMs, MAX_TIMER_MS),
      );
    }
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
    this.#stop = () => {
      clearTimeout(this.#timer);
      signal?.removeEventListener('abort', onAbort);
    };
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  done(): void {
    this.#stop();
  }
}

/** What one attempt got out: whether something of a result was seen, after which nothing may be retried. */
interface Progress {
  answered: boolean;
}

export class Caller {
  readonly #settings: Settings;
  readonly #connections: Connections;
  readonly #counters: Counters;
  readonly #meshNow: () => number;

  constructor(settings: Settings, connections: Connections, counters: Counters, meshNow: () => number) {
    this.#settings = settings;
    this.#connections = connections;
    this.#counters = counters;
    this.#meshNow = meshNow;
  }

  async call<O>(service: string, method: string, input: unknown, options: CallOptions): Promise<O> {
    const streams = isAsyncIterable(input) ? INPUT_STREAMS : 0;
    for await (const result of this.#run(service, method, input, streams, options, this.#settings.callTimeoutMs)) {
      return result as O;
    }
    throw new MarketrixError('protocol', `${service}.${method} ended without a result`);
  }

  stream<O>(service: string, method: string, input: unknown, options: CallOptions): AsyncGenerator<O, void, undefined> {
    const streams = OUTPUT_STREAMS | (isAsyncIterable(input) ? INPUT_STREAMS : 0);
    const run = this.#run(service, method, input, streams, options, Infinity);
    return run as AsyncGenerator<O, void, undefined>;
  }

  async *#run(
    service: string,
    method: string,
    input: unknown,
    streams: number,
    options: CallOptions,
    defaultTimeoutMs: number,
  ): AsyncGenerator<unknown, void, undefined> {
    const limit = new Limit(options.timeoutMs ?? defaultTimeoutMs, options.signal, `${service}.${method}`);
    const tried = new Set<string>();
    // Input that was streamed is gone: such a call can only be tried once.
    let retries = options.idempotent && !(streams & INPUT_STREAMS) ? (options.retries ?? DEFAULT_RETRIES) : 0;
    this.#counters.callsStarted += 1;
    this.#counters.calling += 1;
    try {
      for (;;) {
        const progress: Progress = { answered: false };
        try {
          yield* this.#attempt(service, method, input, streams, options, limit, tried, progress);
          return;
        } catch (error) {
          if (retries === 0 || progress.answered || limit.signal.aborted || !retriable(error)) throw error;
          retries -= 1;
          this.#counters.retries += 1;
        }
      }
    } finally {
      limit.done();
      this.#counters.calling -= 1;
    }
  }

  async *#attempt(
    service: string,
    method: string,
    input: unknown,
    streams: number,
    options: CallOptions,
    limit: Limit,
    tried: Set<string>,
    progress: Progress,
  ): AsyncGenerator<unknown, void, undefined> {
    const target = { instance: options.instance, key: options.key, signal: limit.signal };
    const opened = await this.#connections.open(service, 'call', target, tried, false);
    const { pipe, agreement } = opened;
    const { remote } = agreement;
    if (!agreement.envelope) {
      pipe.close();
      throw new MarketrixError('protocol', `${service} speaks raw frames only: use connect`, { remote });
    }
    const onAbort = () => {
      const reason = limit.signal.reason as MarketrixError;
      pipe.cancel(reason, frames.cancel(reason.kind));
    };
    limit.signal.addEventListener('abort', onAbort, { once: true });
    try {
      this.#begin(opened, method, input, streams, options.headers ?? {}, limit);
      for (;;) {
        const next = await pipe.inbox.next();
        if (next.done) throw new MarketrixError('protocol', `${service}.${method} ended without a result`, { remote });
        const frame = asFrame(next.value);
        if (frame.t === 'res' || frame.t === 'out') {
          progress.answered = true;
          yield frame.d;
          if (frame.t === 'res') return;
        } else if (frame.t === 'outend') return;
        else if (frame.t === 'err') throw remoteError(frame, remote);
        else if (frame.t === 'bye') opened.link.markDraining();
      }
    } finally {
      limit.signal.removeEventListener('abort', onAbort);
      settle(opened);
    }
  }

  #begin(
    { pipe }: Opened,
    method: string,
    input: unknown,
    streams: number,
    headers: Record<string, string>,
    limit: Limit,
  ): void {
    const streamed = (streams & INPUT_STREAMS) !== 0;
    const deadline = limit.until === undefined ? undefined : this.#meshNow() + (limit.until - performance.now());
    const request = frames.req(method, streamed ? undefined : input, streams, deadline, headers);
    // Waiting for room is of no use here: the result, or the end of the stream, comes by the inbox.
    pipe.outbox.send(HELLO).catch(() => {});
    const sent = pipe.outbox.send(request);
    sent.catch((error) => pipe.close(error));
    if (!streamed) {
      pipe.outbox.end().catch(() => {});
      return;
    }
    this.#feed(pipe, input as AsyncIterable<unknown>).catch((error) => {
      // An input that fails ends the call with its error.
      pipe.cancel(error, frames.cancel('input failed'));
    });
  }

  async #feed(pipe: Opened['pipe'], input: AsyncIterable<unknown>): Promise<void> {
    const iterator = input[Symbol.asyncIterator]();
    let open = true;
    const closed = pipe.closed.then(
      () => undefined,
      () => undefined,
    );
    try {
      for (;;) {
        // The input may never give anything again: the end of the stream ends the wait.
        const next = await Promise.race([iterator.next(), closed]);
        if (!next || next.done) break;
        const text = frames.in(next.value);
        await pipe.outbox.send(text).catch(() => {
          open = false;
        });
        if (!open) break;
      }
      if (open && !pipe.outbox.ended) {
        await pipe.outbox.send(frames.inend);
        await pipe.outbox.end();
      }
    } catch (error) {
      if (!pipe.outbox.ended) throw error;
    } finally {
      iterator.return?.()?.catch(() => {});
    }
  }
}

/** After the result nothing more is wanted: what is still open is reset, what is finished ends by itself. */
function settle({ pipe }: Opened): void {
  if (pipe.outbox.ended && pipe.inbox.ended) return;
  // The result has just arrived and END_STREAM comes right behind it; only an unfinished stream needs a reset.
  if (pipe.outbox.ended) setImmediate(() => pipe.inbox.ended || pipe.close());
  else pipe.close();
}

function retriable(error: unknown): boolean {
  if (!(error instanceof MarketrixError)) return false;
  if (error.kind === 'rejected') return error.code === '503';
  return error.kind === 'connection-lost' || error.kind === 'unavailable' || error.kind === 'connect';
}
