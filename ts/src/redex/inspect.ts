/** Reads the directories of persistent logs without opening, locking or changing them. */
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { door } from '../backend/choose.js';

/** Bytes of a record in `idx`. */
export const RECORD = 20;
/** Bytes of a time in `ts`. */
export const TIME = 8;
const GENERATION = /^v\d{10}$/;
const INLINE = 0x8000_0000;
const CHECKSUM = 0x0fff_ffff;
/** Bytes read at a time, so that reading a large file can be told while it goes on. */
const SLICE = 16 << 20;

/** One damaged place in the files of a channel. */
export interface LogDamage {
  /** Path of the file. */
  readonly file: string;
  /** Where in it, in bytes. */
  readonly offset: number;
  /** Position of the record in `idx`, counted in records. */
  readonly record: number;
  readonly seq: string;
  readonly reason: string;
}

/** One good entry. */
export interface LogEntry {
  readonly seq: bigint;
  /** Unix ns of the append, 0 when it is not known. */
  readonly timeNs: bigint;
  readonly checksum: number;
  readonly isInline: boolean;
  readonly payload: Uint8Array;
}

/** Bytes of the three files, or of a part of them. */
export interface LogBytes {
  readonly idx: Uint8Array;
  readonly dat: Uint8Array;
  readonly ts: Uint8Array;
}

interface Verified {
  records: number;
  events: number;
  nextSeq: string;
  torn: number;
  dat: number;
  missingTimes: number;
  damage: { file: string; offset: number; record: number; seq: string; reason: string }[];
}

/** Channel directories at or below a directory. */
export function findChannels(directory: string): string[] {
  const entries = readdirSync(directory, { withFileTypes: true });
  const own = entries.some(
    (entry) => entry.name === 'manifest' || (entry.isDirectory() && isGeneration(directory, entry.name)),
  );
  const inner = entries
    .filter(
      (entry) => entry.isDirectory() && !entry.name.startsWith('~') && !(own && isGeneration(directory, entry.name)),
    )
    .flatMap((entry) => findChannels(join(directory, entry.name)));
  return own ? [directory, ...inner] : inner;
}

function isGeneration(directory: string, name: string): boolean {
  return GENERATION.test(name) && !existsSync(join(directory, name, 'manifest'));
}

/** Directory of the live generation of a channel. */
export function liveGeneration(path: string): string {
  const manifest = join(path, 'manifest');
  const named = existsSync(manifest) ? door.logReadManifest(readFileSync(manifest)) : 0;
  const live = `v${String(named).padStart(10, '0')}`;
  if (named > 0 && existsSync(join(path, live))) return join(path, live);
  const complete = readdirSync(path)
    .filter((name) => GENERATION.test(name) && ['idx', 'dat', 'ts'].every((file) => existsSync(join(path, name, file))))
    .sort();
  const highest = complete.at(-1);
  if (highest === undefined) throw new Error(`${path}: no live generation`);
  return join(path, highest);
}

/** Descriptor of a file, or undefined when it is missing: a compaction may remove it at any moment. */
function opened(file: string): number | undefined {
  try {
    return openSync(file, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Reads a part of a file: less where it ends, nothing where it is missing. `read` is told how many bytes came. */
export function content(file: string, from = 0, most = Number.MAX_VALUE, read?: (bytes: number) => void): Uint8Array {
  const fd = opened(file);
  if (fd === undefined) return new Uint8Array(0);
  try {
    const stat = fstatSync(fd);
    const bytes = Buffer.allocUnsafe(stat.isFile() ? Math.max(0, Math.min(stat.size - from, most)) : 0);
    let done = 0;
    while (done < bytes.length) {
      const count = readSync(fd, bytes, done, Math.min(SLICE, bytes.length - done), from + done);
      if (count === 0) break;
      done += count;
      read?.(count);
    }
    return bytes.subarray(0, done);
  } finally {
    closeSync(fd);
  }
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Where the payload of a record lies in `dat`; an inline one lies in none of it. */
export function extent(idx: Uint8Array, record: number): { readonly from: number; readonly length: number } {
  const words = view(idx);
  const at = record * RECORD;
  if (words.getUint32(at + 16, true) >= INLINE) return { from: 0, length: 0 };
  return { from: words.getUint32(at + 8, true), length: words.getUint32(at + 12, true) };
}

/** One entry, whose payload is at `from` in `dat`. */
export function entryAt({ idx, dat, ts }: LogBytes, record: number, from = extent(idx, record).from): LogEntry {
  const at = record * RECORD;
  const words = view(idx);
  const tag = words.getUint32(at + 16, true);
  const isInline = tag >= INLINE;
  return {
    seq: words.getBigUint64(at, true),
    timeNs: (record + 1) * TIME <= ts.byteLength ? view(ts).getBigUint64(record * TIME, true) : 0n,
    checksum: tag & CHECKSUM,
    isInline,
    payload: isInline ? idx.subarray(at + 8, at + 16) : dat.subarray(from, from + words.getUint32(at + 12, true)),
  };
}

/** What the files of a channel hold. */
export class LogFiles {
  /** Directory of the channel. */
  readonly path: string;
  /** Directory of the live generation. */
  readonly generation: string;
  /** Records in `idx`, damaged ones included. */
  readonly records: number;
  /** Good entries. */
  readonly events: number;
  readonly nextSeq: string;
  /** Records that a crash left unfinished. */
  readonly torn: number;
  /** Records without a time. */
  readonly missingTimes: number;
  readonly damage: readonly LogDamage[];
  /** Bytes of the files in use, without room ahead. */
  readonly bytes: { readonly dat: number; readonly idx: number; readonly ts: number };
  readonly #content: LogBytes;
  readonly #bad: ReadonlySet<number>;

  /** Checks every record. */
  constructor(path: string, generation: string, content: LogBytes) {
    const verified = JSON.parse(door.logVerify(content.idx, content.dat, content.ts.byteLength)) as Verified;
    this.path = path;
    this.generation = generation;
    this.records = verified.records;
    this.events = verified.events;
    this.nextSeq = verified.nextSeq;
    this.torn = verified.torn;
    this.missingTimes = verified.missingTimes;
    this.damage = verified.damage.map((damage) => ({ ...damage, file: join(generation, damage.file) }));
    const ts = (verified.records - verified.missingTimes) * TIME;
    this.bytes = { dat: verified.dat, idx: verified.records * RECORD, ts };
    this.#content = content;
    this.#bad = new Set(verified.damage.map(({ record }) => record));
  }

  /** The good entries from a sequence on, in order. */
  *entries(from = 0n): Generator<LogEntry, void, undefined> {
    for (let record = 0; record < this.records; record += 1) {
      if (this.#bad.has(record)) continue;
      const entry = entryAt(this.#content, record);
      if (entry.seq >= from) yield entry;
    }
  }

  /** The last good entries, at most `count`, in order. */
  last(count: number): LogEntry[] {
    const entries: LogEntry[] = [];
    for (let record = this.records - 1; record >= 0 && entries.length < count; record -= 1) {
      if (!this.#bad.has(record)) entries.push(entryAt(this.#content, record));
    }
    return entries.reverse();
  }
}

/**
 * Reads and checks a channel. Works beside a process that appends: what is being appended counts or does not. `read` is
 * told how many bytes of the files came.
 */
export function readLogFiles(path: string, read?: (bytes: number) => void): LogFiles {
  const generation = liveGeneration(path);
  const file = (name: string) => content(join(generation, name), 0, undefined, read);
  // The index first: the payloads of its records were there before it.
  const idx = file('idx');
  return new LogFiles(path, generation, { idx, dat: file('dat'), ts: file('ts') });
}

/** Bytes that `readLogFiles` will read. */
export function sizeOfLog(path: string): number {
  const generation = liveGeneration(path);
  const size = (name: string) => statSync(join(generation, name), { throwIfNoEntry: false })?.size ?? 0;
  return size('idx') + size('dat') + size('ts');
}

/** Name of a channel below the directory that was asked for. */
export function channelName(directory: string, path: string): string {
  return path === directory ? basename(path) : path.slice(directory.length + 1);
}
