import { describe, expect, it } from 'vitest';
import { door } from '../../src/backend/choose.js';
import { type LogStorage, Redex, type RedexEvent } from '../../src/redex/index.js';
import disk from '../vectors/storage-redex-disk.json';
import safety from '../vectors/storage-redex-safety.json';
import { hex, type Image, readImage, unhex, writeImage } from './images.js';

/** A place for persistent logs: how to look into it, and how `Redex` gets at it. */
export interface Home {
  readonly storage: LogStorage;
  /** A new, empty directory. */
  directory(): string;
  /** What to give to `new Redex` besides the directory. */
  readonly options: { storage?: LogStorage };
}

interface VectorEvent {
  seq: number;
  payload: string;
  checksum28?: number;
  inline?: boolean;
}

const plain = (events: RedexEvent[]) =>
  events.map((event) => ({
    seq: Number(event.seq),
    payload: hex(event.payload),
    checksum28: event.checksum,
    inline: event.isInline,
  }));
const short = (events: RedexEvent[]) =>
  events.map((event) => ({ seq: Number(event.seq), payload: hex(event.payload) }));
const everything = (file: { readRange(a: bigint, b: bigint): RedexEvent[] }) => file.readRange(0n, 2n ** 64n - 1n);

interface OpenCase {
  name: string;
  channel: string;
  files: Image;
  events: VectorEvent[];
  nextSeq: number;
  filesAfterOpen: Image;
  filesAfterAppendZ: Record<string, string | null | { length: number; prefix: string }>;
  eventsAfterReopen: VectorEvent[];
  oursMayDiffer?: string[];
}

/**
 * The peer leaves the times of a flat layout without `ts` unknown for ever; here the missing times are written (50
 * §5.3, step 4), which the vector does not list as a difference.
 */
const WRITES_TIMES = 'flat layout without ts';

/** Runs the vectors of the disk format on a home. */
export function describeDiskFormat(home: Home): void {
  const open = (directory: string) => new Redex({ persistentDir: directory, ...home.options });

  describe('codecs', () => {
    it.each(disk.checksums)('checksum of $payload', ({ payload, checksum28 }) => {
      expect(door.logChecksum(unhex(payload))).toBe(checksum28);
    });

    it.each(disk.manifests)('manifest of generation $generation', ({ generation, hex: bytes }) => {
      expect(hex(door.logManifest(generation))).toBe(bytes);
      expect(door.logReadManifest(unhex(bytes))).toBe(generation);
    });

    it.each(disk.entries)('$kind record $seq', ({ kind, seq, offset, payload, hex: bytes }) => {
      const record = door.logRecord(BigInt(seq), offset ?? 0, unhex(payload), kind === 'inline');
      expect(hex(record)).toBe(bytes);
    });
  });

  describe('names', () => {
    it.each(disk.channelNames)('$name', ({ name, ok, error }) => {
      const redex = new Redex();
      if (ok) expect(redex.openFile(name).len()).toBe(0n);
      else expect(() => redex.openFile(name)).toThrow(`redex: invalid channel name: ${error}`);
    });
  });

  describe('writes the files of the peer', () => {
    it.each(disk.writes)('$name', async ({ channel, ops, results, files }) => {
      const directory = home.directory();
      const redex = open(directory);
      const file = redex.openFile(channel, { persistent: true });
      const got = (ops as [string, string | string[]][]).map(([op, value]) => {
        const seq =
          op === 'append' ? file.append(unhex(value as string)) : file.appendBatch((value as string[]).map(unhex));
        return seq === null ? null : Number(seq);
      });
      expect(got).toEqual(results);
      await redex.close();
      const image = readImage(home.storage, directory);
      expect(Object.keys(image).sort()).toEqual(Object.keys(files).sort());
      for (const [path, expected] of Object.entries(files as Record<string, string | { length: number }>)) {
        if (typeof expected === 'string') expect(image[path], path).toBe(expected);
        else expect((image[path] ?? '').length / 2, path).toBe(expected.length);
      }
    });
  });

  describe('opens what the peer, a crash or damage left', () => {
    it.each(disk.open as unknown as OpenCase[])('$name', async (vector) => {
      const may = new Set(vector.oursMayDiffer ?? []);
      if (vector.name === WRITES_TIMES) may.add('filesAfterOpen').add('filesAfterAppendZ');
      const directory = home.directory();
      writeImage(home.storage, directory, vector.files);

      const first = open(directory);
      const file = first.openFile(vector.channel, { persistent: true });
      if (!may.has('events')) expect(plain(everything(file))).toEqual(vector.events);
      if (!may.has('nextSeq')) expect(file.nextSeq()).toBe(BigInt(vector.nextSeq));
      await first.close();
      if (!may.has('filesAfterOpen')) expect(readImage(home.storage, directory)).toEqual(vector.filesAfterOpen);

      const second = open(directory);
      second.openFile(vector.channel, { persistent: true }).append(unhex('5a'));
      await second.close();
      if (!may.has('filesAfterAppendZ')) {
        const image = readImage(home.storage, directory);
        expect(Object.keys(image).sort()).toEqual(Object.keys(vector.filesAfterAppendZ).sort());
        for (const [path, expected] of Object.entries(vector.filesAfterAppendZ)) {
          if (expected === null || typeof expected === 'string') expect(image[path], path).toBe(expected);
          else {
            expect((image[path] ?? '').length / 2, path).toBe(expected.length);
            expect(image[path]?.startsWith(expected.prefix), path).toBe(true);
          }
        }
      }

      const third = open(directory);
      const again = third.openFile(vector.channel, { persistent: true });
      if (!may.has('eventsAfterReopen')) expect(plain(everything(again))).toEqual(vector.eventsAfterReopen);
      await third.close();
    });
  });

  describe('keeps data where the peer loses it', () => {
    it.each(safety.cases)('$name', async (vector) => {
      const directory = home.directory();
      const files = vector.files as unknown as Image;
      writeImage(home.storage, directory, files);
      const before = readImage(home.storage, directory);
      const redex = open(directory);
      const { require } = vector;
      if (require.error) {
        expect(() => redex.openFile(vector.open, { persistent: true })).toThrow(/^redex: open_file: io: .*idx/);
        expect(readImage(home.storage, directory)).toEqual(before);
        return;
      }
      const file = redex.openFile(vector.open, { persistent: true });
      expect(short(everything(file))).toEqual(require.events);
      if (require.nextSeq !== undefined) expect(file.nextSeq()).toBe(BigInt(require.nextSeq));
      if (require.nextSeqAtLeast !== undefined) expect(file.nextSeq()).toBeGreaterThanOrEqual(require.nextSeqAtLeast);
      await redex.close();
      const image = readImage(home.storage, directory);
      const live =
        Object.keys(image)
          .filter((path) => /^orders(\/audit)?\/v\d{10}\/ts$/.test(path))
          .pop() ?? '';
      const records = require.tsRecordsAfterOpen ?? (require.tsBytesAfterOpen ?? -8) / 8;
      if (records >= 0) expect((image[live] ?? '').length).toBe(records * 16);
      if (require.childFilesUnchanged) {
        for (const [path, content] of Object.entries(files)) {
          if (path.startsWith(require.childFilesUnchanged)) expect(image[path]).toBe(content);
        }
      }
      if (require.afterAppendAndReopen) {
        const next = open(directory);
        next.openFile(vector.open, { persistent: true }).append(unhex('5a'));
        await next.close();
        const after = readImage(home.storage, directory);
        const name = Object.keys(after).filter((path) => /\/v\d{10}\/ts$/.test(path))[0] ?? '';
        const idx = after[name.replace(/ts$/, 'idx')] ?? '';
        expect(idx.length / 40).toBe((after[name] ?? '').length / 16);
        // The survivor's own time, not that of the damaged record before it.
        expect(after[name]?.slice(0, 16)).toBe((files['orders/audit/v0000000001/ts'] ?? '').slice(16, 32));
        expect(Object.keys(after).some((path) => path.includes('~damaged-1-'))).toBe(true);
      }
    });
  });
}
