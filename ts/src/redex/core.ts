import { MeshringError, wrongType } from '../errors.js';
import { type FileBounds, readConfig, u64 } from './config.js';
import { checkChannelName, checkStorageName } from './name.js';
import { Opened } from './opened.js';
import { openMemory, openPersistent, removeChannel, storageFor } from './registry.js';
import type { LogStorage } from './storage.js';
import { RedexTailIter } from './tail.js';
import type { RedexEvent, RedexFileConfig, RedexStats, TailOptions } from './types.js';

const SWEEP_MS = 1000;

function closedFile(): MeshringError {
  return new MeshringError('closed', 'redex: open_file: file closed');
}

/** Manager of append-only logs: lower-level API (`meshring/core`). */
export class Redex {
  readonly #directory: string | null;
  readonly #storage: LogStorage | null;
  readonly #open = new Map<string, Opened>();
  #closing: Promise<void> | null = null;
  #sweeper: ReturnType<typeof setInterval> | null = null;

  /** `persistentDir`: where persistent files live. `storage` (ours): a driver of your own. */
  constructor(persistentDir?: string | null, storage?: LogStorage) {
    if (persistentDir != null && typeof persistentDir !== 'string') {
      throw wrongType('Redex', 'persistentDir', persistentDir, 'a string', 'StringExpected');
    }
    this.#directory = persistentDir ?? null;
    this.#storage = this.#directory === null ? null : storageFor(this.#directory, storage);
  }

  /** Opens a log, or another handle on the one that this manager has open under the name. */
  openFile(channelName: string, config?: RedexFileConfig | null): RedexFile {
    if (this.#closing) throw closedFile();
    if (typeof channelName !== 'string') {
      throw wrongType('openFile', 'channelName', channelName, 'a string', 'StringExpected');
    }
    if (config != null && typeof config !== 'object') {
      throw wrongType('openFile', 'config', config, 'an object', 'InvalidArg');
    }
    checkChannelName(channelName);
    const bounds = readConfig(config);
    const held = this.#open.get(channelName);
    if (held) return new RedexFile(held);
    if (config?.replication != null) {
      throw new MeshringError(
        'channel',
        'redex: open_file: channel error: RedexFileConfig::replication requires Redex::enable_replication(mesh)',
      );
    }
    const opened = this.#build(channelName, bounds);
    this.#open.set(channelName, opened);
    if (bounds.maxAgeMs !== readConfig(null).maxAgeMs) this.#sweepByTimer();
    return new RedexFile(opened);
  }

  #build(name: string, bounds: FileBounds): Opened {
    const forget = () => {
      if (this.#open.get(name) === opened) this.#open.delete(name);
    };
    const { log, release } = bounds.persistent ? this.#buildPersistent(name, bounds) : openMemory(name, bounds);
    const opened: Opened = new Opened(log, () => {
      forget();
      return release();
    });
    return opened;
  }

  #buildPersistent(name: string, bounds: FileBounds) {
    if (this.#directory === null || this.#storage === null) {
      throw new MeshringError(
        'channel',
        'redex: open_file: channel error: config.persistent=true requires Redex::with_persistent_dir(...)',
      );
    }
    checkStorageName(name);
    return openPersistent(this.#storage, this.#directory, name, bounds);
  }

  #sweepByTimer(): void {
    if (this.#sweeper) return;
    const timer = setInterval(() => this.#sweepOrStop(), SWEEP_MS);
    (timer as { unref?(): void }).unref?.();
    this.#sweeper = timer;
  }

  #sweepOrStop(): void {
    if (this.#open.size === 0 && this.#sweeper) {
      clearInterval(this.#sweeper);
      this.#sweeper = null;
    }
    for (const { log } of this.#open.values()) {
      log.observe();
      if (log.raw.compactionDue()) log.compactLater();
    }
  }

  /** Ours: applies retention to every open file at once, the files on disk included. */
  async sweepRetention(): Promise<void> {
    await Promise.all([...this.#open.values()].map((opened) => sweep(opened)));
  }

  /** Ours: closes the channel and removes its own files, never those of child channels. */
  async deleteFile(name: string): Promise<void> {
    checkChannelName(name);
    await this.#open.get(name)?.close();
    if (this.#storage && this.#directory !== null) removeChannel(this.#storage, this.#directory, name);
  }

  /** Ours: state of the open files. */
  stats(): RedexStats {
    const files = [...this.#open.values()].map(({ log }) => log.stats());
    files.sort((a, b) => (a.name < b.name ? -1 : 1));
    return { storage: this.#storage?.kind ?? 'memory', files };
  }

  /** Ours: closes every file that this manager opened and ends its tails. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      if (this.#sweeper) clearInterval(this.#sweeper);
      this.#sweeper = null;
      await Promise.all([...this.#open.values()].map((opened) => opened.close()));
    })();
    return this.#closing;
  }

  /** Ours: for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

async function sweep({ log }: Opened): Promise<void> {
  log.observe();
  await log.compact();
}

function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array || Object.prototype.toString.call(value) === '[object Uint8Array]';
}

/** Handle on one log: lower-level API (`meshring/core`). All handles of one name share the log. */
export class RedexFile {
  /** Internal: the log as the manager holds it. */
  readonly opened: Opened;

  /** Made by `Redex.openFile`. */
  constructor(opened: Opened) {
    this.opened = opened;
  }

  /** Appends one event (the bytes are copied) and returns its sequence. */
  append(payload: Uint8Array): bigint {
    const { opened } = this;
    if (opened.closed) opened.check('append');
    if (!isBytes(payload)) throw wrongType('append', 'payload', payload, 'a Buffer or Uint8Array', 'InvalidArg');
    return opened.log.append(payload);
  }

  /** Appends all events or none; returns the first sequence, or null for an empty list. */
  appendBatch(payloads: readonly Uint8Array[]): bigint | null {
    this.opened.check('append_batch');
    if (!Array.isArray(payloads)) throw wrongType('appendBatch', 'payloads', payloads, 'an array', 'ArrayExpected');
    for (const payload of payloads) {
      if (!isBytes(payload)) {
        throw wrongType('appendBatch', 'payloads', payload, 'an array of Buffer or Uint8Array', 'InvalidArg');
      }
    }
    return this.opened.log.appendBatch(payloads);
  }

  /** The retained events with `start <= seq < end`, in order. */
  readRange(start: bigint, end: bigint): RedexEvent[] {
    return this.opened.log.readRange(u64('start', start), u64('end', end));
  }

  /** Ours: one event, or null when it is not retained. */
  readOne(seq: bigint): RedexEvent | null {
    const from = u64('seq', seq);
    const events: RedexEvent[] = [];
    this.opened.log.observe();
    this.opened.log.readInto(events, from, from + 1n, 1);
    return events[0] ?? null;
  }

  /** Number of retained events. */
  len(): bigint {
    return this.opened.log.observe().events;
  }

  /** Ours: the sequence that the next append gets. */
  nextSeq(): bigint {
    return this.opened.log.observe().nextSeq;
  }

  /** Every event with `seq >= fromSeq`: first the retained ones, then live ones. */
  async tail(fromSeq?: bigint | null, options?: TailOptions): Promise<RedexTailIter> {
    return new RedexTailIter(this.opened, fromSeq == null ? 0n : u64('from_seq', fromSeq), options);
  }

  /** Makes everything appended so far durable. */
  sync(): Promise<void> {
    return this.opened.sync();
  }

  /** Marks the file closed and ends its tails at once; resolves when the files are flushed and closed. */
  close(): Promise<void> {
    return this.opened.close();
  }

  /** Ours: applies retention at once, the files on disk included. */
  sweepRetention(): Promise<void> {
    return sweep(this.opened);
  }
}
