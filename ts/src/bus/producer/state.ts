/** A producer that keeps its identity and its unconfirmed batches over restarts (11 §6). */
import { MeshringError, messageOf } from '../../errors.js';
import { Backoff, delay } from '../../flow/index.js';
import { platform } from '../../platform/node.js';
import type { BatchJournal } from '../dispatch.js';
import type { ProducerState } from '../producer-state.js';
import { type Batch, type Transport, TransportError } from '../transport.js';
import { sharedAbort } from '../wire/abort.js';
import { Journal, type JournaledBatch } from './journal.js';
import { InUse, type Lock, lock } from './lock.js';
import { loadNonce } from './nonce.js';
import { SequenceFile } from './sequences.js';

/** What `NetNode.create` gives. */
export interface KeptProducerOptions {
  /** Path of the nonce file; the others stand beside it. */
  readonly path: string;
  /** Number of shards of the node. */
  readonly shards: number;
  /** Whether each journalled batch is synced to disk. */
  readonly sync: boolean;
}

const RETRY = { baseMs: 100, maxMs: 3200, jitter: 0.25 };

function failure(text: string, cause: unknown): MeshringError {
  return new MeshringError('create-failed', `Failed to create EventBus: fatal error: ${text}`, { cause });
}

/** The nonce alone, for transports that keep no ids. */
export async function keptNonce(path: string): Promise<bigint> {
  try {
    return await loadNonce(path);
  } catch (error) {
    throw failure(`failed to load/create producer-nonce file at ${path}: ${messageOf(error)}`, error);
  }
}

/**
 * Takes the lock, reads nonce, reservations and journal.
 *
 * @throws MeshringError kind `create-failed`; nothing stays locked then
 */
export async function openKeptProducer(options: KeptProducerOptions): Promise<KeptProducer> {
  const { path, shards, sync } = options;
  let held: Lock;
  try {
    held = await lock(path);
  } catch (error) {
    if (error instanceof InUse) {
      throw failure(`producer-nonce file ${path} is in use by process ${error.pid}`, error);
    }
    throw failure(`failed to load/create producer-nonce file at ${path}: ${messageOf(error)}`, error);
  }
  try {
    const nonce = await keptNonce(path);
    try {
      const sequences = await SequenceFile.open(`${path}.seq`, nonce, shards);
      const { journal, unconfirmed } = await Journal.open(`${path}.journal`, sync);
      return new KeptProducer(nonce, held, sequences, journal, unconfirmed);
    } catch (error) {
      throw failure(`failed to load/create producer state at ${path}: ${messageOf(error)}`, error);
    }
  } catch (error) {
    await held.release();
    throw error;
  }
}

/** See the file's comment. */
export class KeptProducer implements ProducerState {
  readonly nonce: bigint;
  readonly sequences: ReadonlyMap<number, bigint>;
  readonly journal: BatchJournal;
  readonly #lock: Lock;
  readonly #reservations: SequenceFile;
  readonly #journal: Journal;
  readonly #unconfirmed: Map<number, JournaledBatch[]>;
  readonly #stop = sharedAbort();
  /** Shards whose batches of the last run are being sent. */
  readonly #recovering = new Map<number, Promise<void>>();
  #closing: Promise<void> | undefined;

  constructor(
    nonce: bigint,
    held: Lock,
    reservations: SequenceFile,
    journal: Journal,
    unconfirmed: Map<number, JournaledBatch[]>,
  ) {
    this.nonce = nonce;
    this.#lock = held;
    this.#reservations = reservations;
    this.sequences = reservations.starts;
    this.#journal = journal;
    this.#unconfirmed = unconfirmed;
    this.journal = { before: (batch) => this.#before(batch), after: (batch) => this.#after(batch) };
  }

  /**
   * Sends what the last run left unconfirmed, with its old ids, per shard in order. New batches of a shard wait for it.
   *
   * @param timeoutMs limit of one attempt
   */
  recover(transport: Transport, timeoutMs: number, warn: (text: string) => void): void {
    for (const [shard, batches] of this.#unconfirmed) {
      if (batches.length === 0) continue;
      const done = this.#resend(transport, batches, timeoutMs, warn).finally(() => this.#recovering.delete(shard));
      // Whoever waits for the shard sees the failure; nobody else has to.
      done.catch(() => undefined);
      this.#recovering.set(shard, done);
    }
    this.#unconfirmed.clear();
  }

  /** Resolves when the batches of the last run are stored. */
  async recovered(): Promise<void> {
    await Promise.all(this.#recovering.values());
  }

  /** Closes the files and gives the lock up. Batches without confirmation stay in the journal for the next run. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#stop.abort();
    await Promise.allSettled(this.#recovering.values());
    try {
      await this.#journal.close();
    } finally {
      await this.#lock.release();
    }
  }

  async #before(batch: Batch): Promise<void> {
    await this.#recovering.get(batch.shardId);
    const end = batch.sequenceStart + BigInt(batch.count);
    // Earlier batches of the shard were given up: the caller knows, and sending them later would break the order.
    for (const sequence of this.#journal.openOf(batch.shardId)) {
      if (sequence < batch.sequenceStart) await this.#persist(() => this.#journal.end(batch.shardId, sequence));
    }
    if (!this.#reservations.covers(batch.shardId, end)) {
      await this.#persist(() => this.#reservations.cover(batch.shardId, end));
    }
    await this.#persist(() => this.#journal.begin(batch));
  }

  async #after(batch: Batch): Promise<void> {
    // Without this entry the batch is only sent once more, and then recognised.
    await this.#journal.end(batch.shardId, batch.sequenceStart).catch((error) => {
      platform.warnOnce(`producer journal: ${messageOf(error)}`);
    });
  }

  /** Writes to disk; a full disk is a reason to wait, not to lose a batch. */
  async #persist(write: () => Promise<void>): Promise<void> {
    const backoff = new Backoff(RETRY);
    for (;;) {
      try {
        await write();
        return;
      } catch (error) {
        if (this.#stop.signal.aborted) throw new TransportError('fatal', `producer journal: ${messageOf(error)}`);
        platform.warnOnce(`producer journal: ${messageOf(error)}; batches wait until it can be written`);
        await delay(backoff.next(), { signal: this.#stop.signal, ref: false }).catch(() => undefined);
      }
    }
  }

  async #resend(
    transport: Transport,
    batches: readonly JournaledBatch[],
    timeoutMs: number,
    warn: (text: string) => void,
  ): Promise<void> {
    for (const journaled of batches) {
      const batch: Batch = { ...journaled, nonce: this.nonce };
      const backoff = new Backoff(RETRY);
      for (;;) {
        try {
          await within(transport.onBatch(batch), timeoutMs, this.#stop.signal);
          break;
        } catch (error) {
          if (this.#stop.signal.aborted) throw new TransportError('shutdown');
          if (error instanceof TransportError && !error.retryable) {
            const { shardId, sequenceStart, count } = batch;
            warn(
              `producer journal: ${count - error.stored} events of shard ${shardId} from ${sequenceStart} on ` +
                `are given up: ${error.message}`,
            );
            break;
          }
          await delay(backoff.next(), { signal: this.#stop.signal, ref: false }).catch(() => undefined);
        }
      }
      await this.#after(batch);
    }
  }
}

/** The result of `work`, unless it takes too long or is stopped. */
function within(work: Promise<void>, timeoutMs: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => {
      clearTimeout(timer);
      stop.removeEventListener('abort', abort);
      settle();
    };
    const abort = () => end(() => reject(new TransportError('shutdown')));
    const late = () => end(() => reject(new TransportError('transient', `no answer within ${timeoutMs} ms`)));
    const timer = setTimeout(late, timeoutMs);
    timer.unref();
    stop.addEventListener('abort', abort, { once: true });
    if (stop.aborted) abort();
    work.then(
      () => end(resolve),
      (error) => end(() => reject(error)),
    );
  });
}
