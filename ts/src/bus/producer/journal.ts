/**
 * Batches that were cut and are not confirmed yet, on disk (11 §6.3). Entries are
 * `u32 length | u32 CRC-32C | body`, little endian; a body is a batch (kind 1) or the end of one (kind 2).
 */
import { type FileHandle, open, rename } from 'node:fs/promises';
import { door } from '../../backend/choose.js';
import type { Batch } from '../transport.js';
import { syncDirectory } from './file.js';

const [BATCH, DONE] = [1, 2];
const HEADER = 8;
const BATCH_HEAD = 15;
/** The file is emptied or rewritten when it is larger and little of it is still open. */
const COMPACT_BYTES = 64 << 20;

/** A batch as the journal keeps it. */
export type JournaledBatch = Omit<Batch, 'nonce'>;

interface Write {
  readonly bytes: Uint8Array;
  resolve(): void;
  reject(error: unknown): void;
}

/** Journal of one producer. */
export class Journal {
  readonly #path: string;
  readonly #sync: boolean;
  #file: FileHandle;
  /** Length of the valid part; writes go there. */
  #size: number;
  /** Entries of open batches by shard, in order. */
  readonly #open: Map<number, Map<bigint, Uint8Array>>;
  #openBytes = 0;
  #queue: Write[] = [];
  #writing: Promise<void> | undefined;

  /** Opens the file, cuts a torn end off, and returns what is not confirmed, per shard in order. */
  static async open(
    path: string,
    sync: boolean,
  ): Promise<{ journal: Journal; unconfirmed: Map<number, JournaledBatch[]> }> {
    const file = await open(path, 'a+', 0o600).then(async (made) => {
      await made.close();
      return open(path, 'r+');
    });
    try {
      const { size, entries } = await scan(file);
      await file.truncate(size);
      await syncDirectory(path);
      const unconfirmed = new Map<number, JournaledBatch[]>();
      for (const [shard, batches] of entries) {
        unconfirmed.set(
          shard,
          [...batches.values()].map((entry) => decodeBatch(entry.subarray(HEADER))),
        );
      }
      return { journal: new Journal(path, sync, file, size, entries), unconfirmed };
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  private constructor(
    path: string,
    sync: boolean,
    file: FileHandle,
    size: number,
    entries: Map<number, Map<bigint, Uint8Array>>,
  ) {
    this.#path = path;
    this.#sync = sync;
    this.#file = file;
    this.#size = size;
    this.#open = entries;
    for (const batches of entries.values()) for (const entry of batches.values()) this.#openBytes += entry.length;
  }

  /** Number of batches without confirmation. */
  get unconfirmed(): number {
    let count = 0;
    for (const batches of this.#open.values()) count += batches.size;
    return count;
  }

  /** Length of the file, bytes. */
  get size(): number {
    return this.#size;
  }

  /** Writes a batch before its first attempt. The file is unchanged when this fails. */
  async begin(batch: Batch): Promise<void> {
    const { data, ends, timestamps, shardId, sequenceStart } = batch;
    const entry = door.journalEntry(data, ends, timestamps, shardId, sequenceStart);
    const batches = this.#open.get(shardId) ?? new Map<bigint, Uint8Array>();
    this.#open.set(shardId, batches.set(sequenceStart, entry));
    this.#openBytes += entry.length;
    // Open before it is written: rewriting the file in between keeps it.
    try {
      await this.#write(entry);
    } catch (error) {
      if (batches.delete(sequenceStart)) this.#openBytes -= entry.length;
      throw error;
    }
  }

  /** Whether a batch is open. */
  has(shard: number, sequenceStart: bigint): boolean {
    return this.#open.get(shard)?.has(sequenceStart) ?? false;
  }

  /** Sequence starts of a shard's open batches. */
  openOf(shard: number): bigint[] {
    return [...(this.#open.get(shard)?.keys() ?? [])];
  }

  /** Writes that a batch is confirmed, or given up for good. */
  async end(shard: number, sequenceStart: bigint): Promise<void> {
    const batches = this.#open.get(shard);
    const entry = batches?.get(sequenceStart);
    if (!entry) return;
    const body = Buffer.alloc(HEADER + 11);
    body.writeUInt8(DONE, HEADER);
    body.writeUInt16LE(shard, HEADER + 1);
    body.writeBigUInt64LE(sequenceStart, HEADER + 3);
    body.writeUInt32LE(11, 0);
    body.writeUInt32LE(door.crc32c(body.subarray(HEADER)), 4);
    batches?.delete(sequenceStart);
    this.#openBytes -= entry.length;
    await this.#write(body);
  }

  /** Empties the file when nothing is open, and closes it. */
  async close(): Promise<void> {
    await this.#writing?.catch(() => undefined);
    try {
      if (this.unconfirmed === 0) await this.#file.truncate(0);
    } finally {
      await this.#file.close();
    }
  }

  #write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ bytes, resolve, reject });
      this.#writing ??= this.#drain().finally(() => {
        this.#writing = undefined;
      });
    });
  }

  /** Writes what is queued, all shards together, until the queue is empty. */
  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const writes = this.#queue.splice(0);
      try {
        await this.#append(writes.map(({ bytes }) => bytes));
        for (const { resolve } of writes) resolve();
      } catch (error) {
        for (const { reject } of writes) reject(error);
      }
      if (this.#size > COMPACT_BYTES && this.#openBytes < this.#size / 4) await this.#compact().catch(() => undefined);
    }
  }

  async #append(parts: Uint8Array[]): Promise<void> {
    const bytes = parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, at, bytes.length - at, this.#size + at);
      at += bytesWritten;
    }
    if (this.#sync) await this.#file.datasync();
    this.#size += bytes.length;
  }

  /** Leaves only open batches in the file. Runs between appends; what is being appended is open or queued. */
  async #compact(): Promise<void> {
    const entries = [...this.#open.values()].flatMap((batches) => [...batches.values()]);
    if (entries.length === 0) {
      await this.#file.truncate(0);
      this.#size = 0;
      return;
    }
    const temporary = `${this.#path}.${process.pid}.tmp`;
    const bytes = Buffer.concat(entries);
    const file = await open(temporary, 'w+', 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
      await rename(temporary, this.#path);
      await syncDirectory(this.#path);
    } catch (error) {
      await file.close();
      throw error;
    }
    await this.#file.close();
    this.#file = file;
    this.#size = bytes.length;
  }
}

/** Reads entries up to the first that is torn. */
async function scan(file: FileHandle): Promise<{ size: number; entries: Map<number, Map<bigint, Uint8Array>> }> {
  const { size: total } = await file.stat();
  const entries = new Map<number, Map<bigint, Uint8Array>>();
  const header = Buffer.alloc(HEADER);
  let at = 0;
  while (at + HEADER < total) {
    await file.read(header, 0, HEADER, at);
    const length = header.readUInt32LE(0);
    if (length < 11 || at + HEADER + length > total) break;
    const entry = Buffer.allocUnsafe(HEADER + length);
    const { bytesRead } = await file.read(entry, 0, entry.length, at);
    const body = entry.subarray(HEADER);
    if (bytesRead !== entry.length || door.crc32c(body) !== header.readUInt32LE(4)) break;
    const [kind, shard, sequence] = [body[0], body.readUInt16LE(1), body.readBigUInt64LE(3)];
    if (kind === BATCH && wholeBatch(body)) {
      const batches = entries.get(shard) ?? new Map<bigint, Uint8Array>();
      entries.set(shard, batches.set(sequence, entry));
    } else if (kind === DONE) {
      entries.get(shard)?.delete(sequence);
    } else {
      break;
    }
    at += entry.length;
  }
  return { size: at, entries };
}

/** Whether the events of a batch body fill it exactly. */
function wholeBatch(body: Buffer): boolean {
  if (body.length < BATCH_HEAD) return false;
  let at = BATCH_HEAD;
  for (let left = body.readUInt32LE(11); left > 0; left--) {
    if (at + 12 > body.length) return false;
    at += 12 + body.readUInt32LE(at + 8);
  }
  return at === body.length;
}

function decodeBatch(bytes: Uint8Array): JournaledBatch {
  const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const count = body.readUInt32LE(11);
  const data = Buffer.allocUnsafe(body.length - BATCH_HEAD - 12 * count);
  const ends = new Uint32Array(count);
  const timestamps = new BigUint64Array(count);
  let at = BATCH_HEAD;
  let end = 0;
  for (let i = 0; i < count; i++) {
    timestamps[i] = body.readBigUInt64LE(at);
    const length = body.readUInt32LE(at + 8);
    body.copy(data, end, at + 12, at + 12 + length);
    at += 12 + length;
    end += length;
    ends[i] = end;
  }
  return { shardId: body.readUInt16LE(1), sequenceStart: body.readBigUInt64LE(3), count, data, ends, timestamps };
}
