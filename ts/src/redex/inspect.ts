import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { door } from '../backend/choose.js';

const RECORD = 20;
const GENERATION = /^v\d{10}$/;

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

/** What the files of a channel hold, read without changing them and without the lock. */
export interface LogFiles {
  /** Directory of the channel. */
  readonly path: string;
  /** Directory of the live generation. */
  readonly generation: string;
  readonly events: number;
  readonly nextSeq: string;
  /** Records that a crash left unfinished. */
  readonly torn: number;
  /** Records without a time. */
  readonly missingTimes: number;
  readonly damage: readonly LogDamage[];
  /** Bytes of the files in use, without room ahead. */
  readonly bytes: { readonly dat: number; readonly idx: number; readonly ts: number };
  readonly entries: readonly LogEntry[];
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

function liveGeneration(path: string): string {
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

function content(file: string): Uint8Array {
  return existsSync(file) && statSync(file).isFile() ? readFileSync(file) : new Uint8Array(0);
}

/** Reads and checks a channel. Works beside a process that appends: what is being appended counts or does not. */
export function readLogFiles(path: string): LogFiles {
  const generation = liveGeneration(path);
  // The index first: the payloads of its records were there before it.
  const idx = content(join(generation, 'idx'));
  const dat = content(join(generation, 'dat'));
  const ts = content(join(generation, 'ts'));
  const verified = JSON.parse(door.logVerify(idx, dat, ts.byteLength)) as Verified;
  const bad = new Set(verified.damage.map((damage) => damage.record));
  const words = new DataView(idx.buffer, idx.byteOffset, idx.byteLength);
  const times = new DataView(ts.buffer, ts.byteOffset, ts.byteLength);
  const entries: LogEntry[] = [];
  for (let record = 0; record < verified.records; record += 1) {
    if (bad.has(record)) continue;
    const at = record * RECORD;
    const tag = words.getUint32(at + 16, true);
    const isInline = tag >= 0x8000_0000;
    const from = words.getUint32(at + 8, true);
    entries.push({
      seq: words.getBigUint64(at, true),
      timeNs: record * 8 + 8 <= ts.byteLength ? times.getBigUint64(record * 8, true) : 0n,
      checksum: tag & 0x0fff_ffff,
      isInline,
      payload: isInline ? idx.subarray(at + 8, at + 16) : dat.subarray(from, from + words.getUint32(at + 12, true)),
    });
  }
  return {
    path,
    generation,
    events: verified.events,
    nextSeq: verified.nextSeq,
    torn: verified.torn,
    missingTimes: verified.missingTimes,
    damage: verified.damage.map((damage) => ({ ...damage, file: join(generation, damage.file) })),
    bytes: { dat: verified.dat, idx: verified.records * RECORD, ts: (verified.records - verified.missingTimes) * 8 },
    entries,
  };
}

/** Name of a channel below the directory that was asked for. */
export function channelName(directory: string, path: string): string {
  return path === directory ? basename(path) : path.slice(directory.length + 1);
}
