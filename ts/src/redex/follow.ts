import { statSync } from 'node:fs';
import { join } from 'node:path';
import { door } from '../backend/choose.js';
import {
  content,
  entryAt,
  extent,
  type LogDamage,
  type LogEntry,
  LogFiles,
  liveGeneration,
  PAGE,
  RECORD,
  SLICE,
  TIME,
} from './inspect.js';

/** What was appended to a channel. */
export interface Appended {
  readonly entries: LogEntry[];
  readonly damage: LogDamage[];
}

/** Follows the files of a channel that another process appends to; each call reads only what is new. */
export class LogFollower {
  #files: { readonly path: string; readonly generation: string };
  /** Records of the generation that were read. */
  #records: number;
  #next: bigint;

  /** Goes on after what was read. */
  constructor(files: LogFiles) {
    this.#files = files;
    this.#records = files.records;
    this.#next = BigInt(files.nextSeq);
  }

  /** What came since the last call. After a compaction, or when the files were cut, everything is read and checked anew. */
  more(): Appended {
    const { path, generation } = this.#files;
    const idx = join(generation, 'idx');
    const size = statSync(idx, { throwIfNoEntry: false })?.size ?? 0;
    if (liveGeneration(path) === generation && size >= this.#records * RECORD) {
      const [records, next] = [this.#records, this.#next];
      const found = this.#page(generation);
      if (liveGeneration(path) === generation) return found;
      // A compaction has removed the files while they were read.
      [this.#records, this.#next] = [records, next];
    }
    const files = new LogFiles(path);
    try {
      const entries = [...files.entries(this.#next)];
      this.#files = files;
      this.#records = files.records;
      this.#next = BigInt(files.nextSeq);
      return { entries, damage: [...files.damage] };
    } finally {
      files.close();
    }
  }

  #page(generation: string): Appended {
    const [idxFile, datFile, tsFile] = [join(generation, 'idx'), join(generation, 'dat'), join(generation, 'ts')];
    const idx = content(idxFile, this.#records * RECORD, PAGE * RECORD);
    const datEnd = statSync(datFile, { throwIfNoEntry: false })?.size ?? 0;
    // Complete records: room ahead, and what is being appended, point behind the end of `dat`.
    let count = 0;
    let [low, high] = [Number.MAX_VALUE, 0];
    for (; (count + 1) * RECORD <= idx.length; count += 1) {
      const { from, length } = extent(idx, count);
      if (from + length > datEnd) break;
      if (length === 0) continue;
      const [lower, higher] = [Math.min(low, from), Math.max(high, from + length)];
      // The rest comes with the next call.
      if (high > 0 && higher - lower > SLICE) break;
      [low, high] = [lower, higher];
    }
    const found: Appended = { entries: [], damage: [] };
    if (count === 0) return found;
    const dat = high > 0 ? content(datFile, low, high - low) : new Uint8Array(0);
    const ts = content(tsFile, this.#records * TIME, count * TIME);
    for (let i = 0; i < count; i += 1) {
      const { from, length } = extent(idx, i);
      const entry = entryAt({ idx, dat, ts }, i, length === 0 ? 0 : from - low);
      if (door.logChecksum(entry.payload) === entry.checksum) {
        if (entry.seq >= this.#next) found.entries.push(entry);
      } else {
        const record = this.#records + i;
        const [file, offset] = entry.isInline ? [idxFile, record * RECORD] : [datFile, from];
        found.damage.push({ file, offset, record, seq: String(entry.seq), reason: 'checksum' });
      }
      if (entry.seq >= this.#next) this.#next = entry.seq + 1n;
    }
    this.#records += count;
    return found;
  }
}
