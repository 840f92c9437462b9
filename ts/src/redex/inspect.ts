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
/** Bytes of payloads that are read at a time. */
export const SLICE = 16 << 20;
/** Records that are read at a time. */
export const PAGE = 64 * 1024;

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

/** Reads a part of an open file: less where it ends. */
function part(fd: number, from: number, most: number): Uint8Array {
  const stat = fstatSync(fd);
  const bytes = Buffer.allocUnsafe(stat.isFile() ? Math.max(0, Math.min(stat.size - from, most)) : 0);
  let done = 0;
  while (done < bytes.length) {
    const count = readSync(fd, bytes, done, Math.min(SLICE, bytes.length - done), from + done);
    if (count === 0) break;
    done += count;
  }
  return bytes.subarray(0, done);
}

/** Reads a part of a file: less where it ends, nothing where it is missing. */
export function content(file: string, from = 0, most = Number.MAX_VALUE): Uint8Array {
  const fd = opened(file);
  if (fd === undefined) return new Uint8Array(0);
  try {
    return part(fd, from, most);
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

/** Open files of a generation; a missing one is empty. Compaction may remove them meanwhile: what is open stays whole. */
class Generation {
  readonly #idx: number | undefined;
  readonly #dat: number | undefined;
  readonly #ts: number | undefined;
  /** Complete records, and bytes of the other two, when they were opened. */
  readonly records: number;
  readonly datLength: number;
  readonly tsLength: number;

  constructor(directory: string) {
    const length = (fd: number | undefined) => (fd === undefined ? 0 : fstatSync(fd).size);
    // The index first: the payloads of its records were there before it.
    this.#idx = opened(join(directory, 'idx'));
    this.records = Math.floor(length(this.#idx) / RECORD);
    this.#dat = opened(join(directory, 'dat'));
    this.datLength = length(this.#dat);
    this.#ts = opened(join(directory, 'ts'));
    this.tsLength = length(this.#ts);
  }

  close(): void {
    for (const fd of [this.#idx, this.#dat, this.#ts]) if (fd !== undefined) closeSync(fd);
  }

  idx(from: number, count: number): Uint8Array {
    const bytes = this.#idx === undefined ? NOTHING : part(this.#idx, from * RECORD, count * RECORD);
    return bytes.subarray(0, bytes.length - (bytes.length % RECORD));
  }

  /** Records from the `from`-th to before the `to`-th in runs, each with the bytes of its payloads and its times. */
  *runs(from: number, to: number): Generator<Run, void, undefined> {
    for (let at = from; at < to; at += PAGE) {
      const page = this.idx(at, Math.min(PAGE, to - at));
      const count = page.length / RECORD;
      const ts = this.#ts === undefined ? NOTHING : part(this.#ts, at * TIME, count * TIME);
      for (let first = 0; first < count; ) {
        const { end, low, high } = this.#span(page, first, count);
        const dat = this.#dat === undefined || high <= low ? NOTHING : part(this.#dat, low, high - low);
        yield {
          first: at + first,
          count: end - first,
          idx: page.subarray(first * RECORD, end * RECORD),
          ts: ts.subarray(first * TIME, end * TIME),
          dat,
          from: low,
        };
        first = end;
      }
    }
  }

  /** As many records as have their payloads within one slice of `dat`, at least one. */
  #span(page: Uint8Array, first: number, count: number): { end: number; low: number; high: number } {
    let [low, high] = [Number.MAX_SAFE_INTEGER, 0];
    let end = first;
    for (; end < count; end += 1) {
      const { from, length } = extent(page, end);
      if (length === 0 || from + length > this.datLength) continue;
      const [lower, higher] = [Math.min(low, from), Math.max(high, from + length)];
      if (high > 0 && higher - lower > SLICE) break;
      [low, high] = [lower, higher];
    }
    return { end, low: high === 0 ? 0 : low, high };
  }
}

/** Opens the live generation. One that a compaction replaces meanwhile may lack files: then it is opened anew. */
function openLive(path: string): { readonly directory: string; readonly files: Generation } {
  for (;;) {
    const directory = liveGeneration(path);
    const files = new Generation(directory);
    if (liveGeneration(path) === directory) return { directory, files };
    files.close();
  }
}

const NOTHING = new Uint8Array(0);

/** Some records, with what belongs to them. */
interface Run extends LogBytes {
  /** Position of the first one in `idx`. */
  readonly first: number;
  readonly count: number;
  /** Where `dat` begins in its file. */
  readonly from: number;
}

/**
 * What the files of a channel hold. It has them open until `close`, and reads its entries from them in pieces: of the
 * payloads it holds some megabytes at a time, or one event.
 */
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
  readonly #files: Generation;
  readonly #bad: ReadonlySet<number>;

  /** Checks every record. `read` is told how many bytes of the files were done. */
  constructor(path: string, read?: (bytes: number) => void) {
    this.path = path;
    const { directory, files } = openLive(path);
    this.generation = directory;
    this.#files = files;
    try {
      const verified = verify(this.#files, read);
      this.records = verified.records;
      this.events = verified.events;
      this.nextSeq = verified.nextSeq;
      this.torn = verified.torn;
      this.missingTimes = verified.missingTimes;
      this.damage = verified.damage.map((damage) => ({ ...damage, file: join(this.generation, damage.file) }));
      const ts = (verified.records - verified.missingTimes) * TIME;
      this.bytes = { dat: verified.dat, idx: verified.records * RECORD, ts };
      this.#bad = new Set(verified.damage.map(({ record }) => record));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The good entries from a sequence on, in order. */
  *entries(from = 0n): Generator<LogEntry, void, undefined> {
    for (const entry of this.#entries(0)) if (entry.seq >= from) yield entry;
  }

  *#entries(start: number): Generator<LogEntry, void, undefined> {
    for (const run of this.#files.runs(start, this.records)) {
      for (let i = 0; i < run.count; i += 1) {
        if (this.#bad.has(run.first + i)) continue;
        const { from, length } = extent(run.idx, i);
        yield entryAt(run, i, length === 0 ? 0 : from - run.from);
      }
    }
  }

  /** The last good entries, at most `count`, in order. */
  last(count: number): LogEntry[] {
    let start = this.records;
    for (let good = 0; start > 0 && good < count; ) {
      start -= 1;
      if (!this.#bad.has(start)) good += 1;
    }
    return [...this.#entries(start)];
  }

  /** Closes the files; entries cannot be read any more. */
  close(): void {
    this.#files.close();
  }
}

function verify(files: Generation, read?: (bytes: number) => void): Verified {
  const verifier = door.logVerifier(files.datLength, files.tsLength);
  for (let at = 0; at < files.records; at += PAGE) {
    verifier.take(files.idx(at, Math.min(PAGE, files.records - at)));
  }
  for (const { idx, dat, ts, from } of files.runs(0, files.records)) {
    verifier.check(idx, dat, from);
    read?.(idx.length + dat.length + ts.length);
  }
  const result = JSON.parse(verifier.result()) as Verified;
  verifier.free?.();
  return result;
}

/** Bytes of the files that are checked. */
export function sizeOfLog(path: string): number {
  const generation = liveGeneration(path);
  const size = (name: string) => statSync(join(generation, name), { throwIfNoEntry: false })?.size ?? 0;
  return size('idx') + size('dat') + size('ts');
}

/** Name of a channel below the directory that was asked for. */
export function channelName(directory: string, path: string): string {
  return path === directory ? basename(path) : path.slice(directory.length + 1);
}
