/** Reads the retained log of the memory transport and of inbound mesh events (11 §3). */
import type { RawBus } from '../backend/bus.js';
import { platform } from '../platform/node.js';
import type { CompiledFilter } from './filter.js';
import type { ReadPage, ShardReader } from './reader.js';
import { BinaryStoredEvent, StoredEvent } from './stored-event.js';

/** Bytes of payload that one read returns at most; more follow with the next read. */
const MAX_PAGE_BYTES = 8 << 20;
/** Bytes before the columns of a page (`native/src/bus/page.rs`). */
const HEADER = 24;

/** Text decoding of Node's Buffer; the standard decoder elsewhere. */
interface TextReader {
  latin1Slice?(start: number, end: number): string;
  utf8Slice?(start: number, end: number): string;
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** A position in the log: the node instance and the event's number. */
function parseId(id: string): { ms: number; n: number } | undefined {
  const match = /^(0|[1-9]\d{0,15})-(0|[1-9]\d{0,15})$/.exec(id);
  return match ? { ms: Number(match[1]), n: Number(match[2]) } : undefined;
}

/** The log of one node instance. Ids are `<ms of creation>-<number in the shard>`. */
export class LogReader implements ShardReader {
  readonly shards: number;
  private readonly prefix: string;

  /**
   * @param raw the node's handle in Rust
   * @param created Unix time of the node's creation, ms: the first part of every id
   */
  constructor(
    private readonly raw: RawBus,
    shards: number,
    private readonly created: number,
  ) {
    this.shards = shards;
    this.prefix = `${created}-`;
  }

  checkId(id: string): string | undefined {
    const position = parseId(id);
    if (!position) return `position "${id}" is not a log id (<ms>-<n>)`;
    if (position.ms > this.created) return `position "${id}" is of a later node instance`;
    return undefined;
  }

  /** Number of the event that `id` names; 0 for the beginning and for positions of earlier node instances. */
  number(id: string | undefined): number {
    if (id === undefined) return 0;
    const position = parseId(id);
    return position && position.ms === this.created ? position.n : 0;
  }

  /** Id of event `n`. */
  id(n: number): string {
    return this.prefix + n;
  }

  read(
    shard: number,
    after: string | undefined,
    limit: number,
    scan: number,
    filter: CompiledFilter | undefined,
  ): ReadPage {
    const from = this.number(after);
    const take = Math.min(limit, 0xffff_ffff);
    const look = Math.min(scan, 0xffff_ffff);
    const page = filter
      ? this.raw.readFiltered(shard, from, take, MAX_PAGE_BYTES, look, filter.raw)
      : this.raw.read(shard, from, take, MAX_PAGE_BYTES, look);
    return new LogPage(this.prefix, shard, page);
  }

  horizon(): bigint {
    return this.raw.lastStamp();
  }
}

/** Columns of a page as Rust laid them out. */
class LogPage implements ReadPage {
  readonly count: number;
  readonly stamps: Uint32Array;
  readonly position: string | undefined;
  readonly hasMore: boolean;
  readonly lost?: number;
  private readonly numbers: Float64Array;
  private readonly lengths: Uint32Array;
  private readonly kinds: Uint32Array;
  private readonly bytes: Uint8Array & TextReader;
  private at: number;

  constructor(
    private readonly prefix: string,
    private readonly shard: number,
    page: Uint8Array,
  ) {
    const { buffer, byteOffset } = page;
    const words = new Uint32Array(buffer, byteOffset, 2);
    const count = words[0] as number;
    const flags = words[1] as number;
    const [last, lost] = new Float64Array(buffer, byteOffset + 8, 2) as unknown as [number, number];
    this.count = count;
    this.stamps = new Uint32Array(buffer, byteOffset + HEADER, 2 * count);
    this.numbers = new Float64Array(buffer, byteOffset + HEADER + 8 * count, count);
    this.lengths = new Uint32Array(buffer, byteOffset + HEADER + 16 * count, count);
    this.kinds = new Uint32Array(buffer, byteOffset + HEADER + 20 * count, count);
    this.bytes = platform.bytes(page);
    this.at = HEADER + 24 * count;
    this.position = last > 0 ? prefix + last : undefined;
    this.hasMore = (flags & 1) !== 0;
    if (lost > 0) this.lost = lost;
  }

  id(i: number): string {
    return this.prefix + this.numbers[i];
  }

  event(i: number): StoredEvent {
    const start = this.at;
    const end = start + (this.lengths[i] as number);
    this.at = end;
    const id = this.prefix + this.numbers[i];
    const ts = (this.stamps[2 * i + 1] as number) * 0x1_0000_0000 + (this.stamps[2 * i] as number);
    const { bytes } = this;
    switch (this.kinds[i]) {
      case 0:
        if (bytes.latin1Slice) return new StoredEvent(id, bytes.latin1Slice(start, end), ts, this.shard);
        break;
      case 1:
        if (bytes.utf8Slice) return new StoredEvent(id, bytes.utf8Slice(start, end), ts, this.shard);
        break;
      default:
        return new BinaryStoredEvent(id, bytes.slice(start, end), ts, this.shard);
    }
    return new StoredEvent(id, decoder.decode(bytes.subarray(start, end)), ts, this.shard);
  }
}
