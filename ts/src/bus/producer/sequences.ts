/**
 * Reserved sequence numbers (11 §6.3): text lines `v1`, the nonce in hex, then `<shard> <reserved up to>`. Numbers are
 * reserved in blocks before they are used, and a new run begins behind the reservation: no id ever stands for two events.
 */

import { replaceFile } from './file.js';
import { readIfPresent } from './nonce.js';

/** Numbers reserved at once. */
export const BLOCK = 1_048_576n;

/** Reservations of one producer. */
export class SequenceFile {
  readonly #path: string;
  readonly #nonce: bigint;
  readonly #reserved: Map<number, bigint>;
  #writing: Promise<void> | undefined;
  /** First number of each shard in this run. */
  readonly starts: ReadonlyMap<number, bigint>;

  /** Reads the file and reserves the first block of each own shard. Throws with the reason. */
  static async open(path: string, nonce: bigint, shards: number): Promise<SequenceFile> {
    const bytes = await readIfPresent(path);
    const reserved = bytes ? decodeSequences(bytes.toString('latin1'), path, nonce) : new Map<number, bigint>();
    const file = new SequenceFile(path, nonce, reserved);
    await file.#reserve(Array.from({ length: shards }, (_, shard) => shard));
    return file;
  }

  private constructor(path: string, nonce: bigint, reserved: Map<number, bigint>) {
    this.#path = path;
    this.#nonce = nonce;
    this.#reserved = reserved;
    this.starts = new Map(reserved);
  }

  /** Whether numbers of a shard below `end` may be used; {@link cover} makes it so. */
  covers(shard: number, end: bigint): boolean {
    return end <= (this.#reserved.get(shard) ?? 0n);
  }

  /** Reserves numbers of a shard up to `end`, in blocks. */
  async cover(shard: number, end: bigint): Promise<void> {
    while (!this.covers(shard, end)) {
      if (this.#writing) await this.#writing;
      else await this.#reserve([shard]);
    }
  }

  #reserve(shards: readonly number[]): Promise<void> {
    const next = new Map(this.#reserved);
    for (const shard of shards) next.set(shard, (next.get(shard) ?? 0n) + BLOCK);
    this.#writing = replaceFile(this.#path, Buffer.from(encodeSequences(this.#nonce, next)))
      .then(() => {
        for (const shard of shards) this.#reserved.set(shard, next.get(shard) ?? 0n);
      })
      .finally(() => {
        this.#writing = undefined;
      });
    return this.#writing;
  }
}

/** Text of a sequence file. */
export function encodeSequences(nonce: bigint, reserved: ReadonlyMap<number, bigint>): string {
  const lines = [...reserved].sort(([a], [b]) => a - b).map(([shard, end]) => `${shard} ${end}`);
  return ['v1', nonce.toString(16), ...lines, ''].join('\n');
}

/** Reads the text of a sequence file. Throws with the reason. */
export function decodeSequences(text: string, path: string, nonce: bigint): Map<number, bigint> {
  const bad = (reason: string) => new Error(`producer sequence file at ${path} ${reason}`);
  const [version, hex, ...lines] = text.split('\n');
  if (version !== 'v1') throw bad(`has unknown version ${JSON.stringify(version?.slice(0, 16))} (expected "v1")`);
  if (hex !== nonce.toString(16)) throw bad('belongs to another nonce');
  if (lines.pop() !== '') throw bad('is cut off');
  const reserved = new Map<number, bigint>();
  for (const line of lines) {
    const [, shard, end] = /^(0|[1-9]\d{0,4}) (0|[1-9]\d{0,19})$/.exec(line) ?? [];
    if (shard === undefined || end === undefined || Number(shard) > 65_535 || reserved.has(Number(shard))) {
      throw bad(`has a bad line: ${JSON.stringify(line.slice(0, 64))}`);
    }
    reserved.set(Number(shard), BigInt(end));
  }
  return reserved;
}
