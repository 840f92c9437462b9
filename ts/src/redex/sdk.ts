import { MeshringError, RedexError } from '../errors.js';
import { Redex as CoreRedex, type RedexFile as CoreRedexFile } from './core.js';
import type { RedexTailIter } from './tail.js';
import type { RedexEvent, RedexFileConfig, RedexOptions, RedexStats, TailOptions } from './types.js';

/** What starts with `redex:` becomes a RedexError with the same text; anything else is passed on as it is. */
export function toRedexError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof RedexError || !error.message.startsWith('redex:')) return error;
  const kind = error instanceof MeshringError ? error.kind : undefined;
  return new RedexError(error.message, { cause: error, ...(kind ? { kind } : {}) });
}

function convert<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw toRedexError(error);
  }
}

/** The same for a promise; a rejection that nobody awaits must not end the process. */
function convertLater<T>(work: Promise<T>): Promise<T> {
  const converted = work.catch((error: unknown) => {
    throw toRedexError(error);
  });
  converted.catch(() => {});
  return converted;
}

/**
 * Manager of append-only logs, in memory or below a directory.
 *
 * ```ts no-run
 * const redex = new Redex({ persistentDir: '/var/lib/app/redex' });
 * const file = redex.openFile('analytics/clicks', { persistent: true, fsyncIntervalMs: 100 });
 * ```
 */
export class Redex {
  /** The lower-level object behind this one. */
  readonly napi: CoreRedex;

  constructor(options?: RedexOptions | null) {
    this.napi = convert(() => new CoreRedex(options?.persistentDir, options?.storage));
  }

  /** Opens a log; all handles of one name share it, and `config` counts on the first open. */
  openFile(name: string, config?: RedexFileConfig): RedexFile {
    return new RedexFile(convert(() => this.napi.openFile(name, config)));
  }

  /** Ours: closes the channel and removes its own files, never those of child channels. */
  deleteFile(name: string): Promise<void> {
    return convertLater(this.napi.deleteFile(name));
  }

  /** Ours: applies retention to every open file at once, the files on disk included. */
  sweepRetention(): Promise<void> {
    return convertLater(this.napi.sweepRetention());
  }

  /** Ours: where persistent files live and the state of the open files. */
  stats(): RedexStats {
    return convert(() => this.napi.stats());
  }

  /** Ours: closes every file that this manager opened. Idempotent; later `openFile` fails. */
  close(): Promise<void> {
    return convertLater(this.napi.close());
  }

  /** Ours: for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** One append-only log. */
export class RedexFile {
  /** The lower-level object behind this one. */
  readonly napi: CoreRedexFile;

  constructor(napi: CoreRedexFile) {
    this.napi = napi;
  }

  /** Appends one event (the bytes are copied) and returns its sequence. Throws RedexError. */
  append(payload: Uint8Array): bigint {
    try {
      return this.napi.append(payload);
    } catch (error) {
      throw toRedexError(error);
    }
  }

  /** Appends all events or none; returns the first sequence, or null for an empty list. */
  appendBatch(payloads: readonly Uint8Array[]): bigint | null {
    return convert(() => this.napi.appendBatch(payloads));
  }

  /** The retained events with `start <= seq < end`, in order. */
  readRange(start: bigint, end: bigint): RedexEvent[] {
    return convert(() => this.napi.readRange(start, end));
  }

  /** Ours: one event, or null when it is not retained. */
  readOne(seq: bigint): RedexEvent | null {
    return convert(() => this.napi.readOne(seq));
  }

  /** Number of retained events. */
  len(): bigint {
    return convert(() => this.napi.len());
  }

  /** Ours: the sequence that the next append gets. */
  nextSeq(): bigint {
    return convert(() => this.napi.nextSeq());
  }

  /**
   * Every event with `seq >= fromSeq`: first the retained ones, then live ones. Breaking out of `for await` closes it.
   * Throws the lagged RedexError when retention has removed what comes next.
   */
  async tail(fromSeq: bigint = 0n, options?: TailOptions): Promise<AsyncIterable<RedexEvent>> {
    const tail = await convertLater(this.napi.tail(fromSeq, options));
    return { [Symbol.asyncIterator]: () => new TailIterator(tail) };
  }

  /** Makes everything appended so far durable; a no-op for memory files. */
  sync(): Promise<void> {
    return convertLater(this.napi.sync());
  }

  /** Marks the file closed and ends its tails at once; resolves when the files are flushed and closed. Idempotent. */
  close(): Promise<void> {
    return convertLater(this.napi.close());
  }

  /** Ours: applies retention at once, the files on disk included. */
  sweepRetention(): Promise<void> {
    return convertLater(this.napi.sweepRetention());
  }
}

class TailIterator implements AsyncIterator<RedexEvent> {
  readonly #tail: RedexTailIter;
  #done = false;

  constructor(tail: RedexTailIter) {
    this.#tail = tail;
  }

  async next(): Promise<IteratorResult<RedexEvent>> {
    if (this.#done) return { value: undefined, done: true };
    try {
      const event = await this.#tail.next();
      if (event !== null) return { value: event, done: false };
    } catch (error) {
      this.#done = true;
      throw toRedexError(error);
    }
    this.#done = true;
    return { value: undefined, done: true };
  }

  async return(): Promise<IteratorResult<RedexEvent>> {
    this.#done = true;
    this.#tail.close();
    return { value: undefined, done: true };
  }
}
