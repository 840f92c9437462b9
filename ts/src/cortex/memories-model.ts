import { Dispatch } from './event.js';
import type { Query } from './filter.js';
import { Model } from './model.js';
import type { Reader, Writer } from './postcard.js';
import type { Postings } from './query.js';
import { Signatures } from './signatures.js';
import type { Key } from './table.js';

/** Stored memory record. Times are Unix nanoseconds of whoever wrote; tags keep order and repetitions. */
export interface Memory {
  id: bigint;
  content: string;
  tags: string[];
  source: string;
  createdNs: bigint;
  updatedNs: bigint;
  pinned: boolean;
}

const PINNED = 1;
const NO_TAGS: readonly string[] = Object.freeze([]);
const NOWHERE: Postings = { size: 0, each: () => undefined };
/** Left-over slots that a posting bears before it is cleaned. */
const SPARE = 32;

/** Slots of the entries with one text. What was taken out stays in the list until there is more of it than of the rest. */
class Posting implements Postings {
  /** The one copy of the text that all entries share. */
  readonly text: string;
  #slots = new Int32Array(4);
  #length = 0;
  #stale = 0;

  constructor(text: string) {
    this.text = text;
  }

  /** Number of entries. */
  get size(): number {
    return this.#length - this.#stale;
  }

  add(slot: number): void {
    if (this.#length === this.#slots.length) {
      const larger = new Int32Array(this.#length * 2);
      larger.set(this.#slots);
      this.#slots = larger;
    }
    this.#slots[this.#length++] = slot;
  }

  /** Takes one entry out; `has` says which slots belong here still. */
  remove(has: (slot: number) => boolean): void {
    if (++this.#stale <= this.size + SPARE) return;
    const kept = Int32Array.from(new Set(this.#slots.subarray(0, this.#length).filter(has)));
    this.#slots = kept.length < 4 ? new Int32Array([...kept, 0, 0, 0, 0]) : kept;
    this.#length = kept.length;
    this.#stale = 0;
  }

  /** Visits all entries once each, and perhaps some that were taken out. */
  each(visit: (slot: number) => void): void {
    const slots = this.#slots.subarray(0, this.#length);
    if (this.#stale === 0) slots.forEach(visit);
    else new Set(slots).forEach(visit);
  }
}

/** Inverted index from texts to slots. */
class Inverted {
  readonly #postings = new Map<string, Posting>();

  /** Adds a slot, which must not be there yet; returns the shared copy of the text. */
  add(text: string, slot: number): string {
    let posting = this.#postings.get(text);
    if (posting === undefined) {
      posting = new Posting(text);
      this.#postings.set(text, posting);
    }
    posting.add(slot);
    return posting.text;
  }

  /** The shared copy of a text that is there. */
  shared(text: string): string {
    return this.#postings.get(text)?.text ?? text;
  }

  /** Takes a slot out; `has` says which slots have the text still, this one not counted. */
  remove(text: string, has: (slot: number) => boolean): void {
    const posting = this.#postings.get(text);
    if (posting?.size === 1) this.#postings.delete(text);
    else posting?.remove(has);
  }

  /** Postings of a text. */
  get(text: string): Postings {
    return this.#postings.get(text) ?? NOWHERE;
  }

  /** Postings of any of the texts. */
  any(texts: readonly string[]): Postings {
    const all = [...new Set(texts)].map((text) => this.get(text));
    const [only] = all;
    if (all.length === 1 && only !== undefined) return only;
    return {
      size: all.reduce((sum, { size }) => sum + size, 0),
      each(visit) {
        const seen = new Set<number>();
        for (const postings of all) postings.each((slot) => seen.add(slot));
        seen.forEach(visit);
      },
    };
  }
}

/** Folded state of `cortex/memories`. The table's flag is the pin. */
export class MemoriesModel extends Model<Memory> {
  readonly #contents: string[] = [];
  readonly #signatures = new Signatures();
  readonly #tags: (readonly string[])[] = [];
  /** Undefined in free slots, so that an inverted index may still name them. */
  readonly #sources: (string | undefined)[] = [];
  readonly #byTag = new Inverted();
  readonly #bySource = new Inverted();

  apply(dispatch: number, tail: Reader): void {
    switch (dispatch) {
      case Dispatch.MemoryStored: {
        tail.u64();
        const { lo, hi } = tail;
        const content = tail.string();
        const tags = readTags(tail);
        const source = tail.string();
        tail.u64();
        this.stored(lo, hi, content, tags, source, tail.lo, tail.hi);
        break;
      }
      case Dispatch.MemoryRetagged: {
        tail.u64();
        const { lo, hi } = tail;
        const tags = readTags(tail);
        tail.u64();
        this.retagged(lo, hi, tags, tail.lo, tail.hi);
        break;
      }
      case Dispatch.MemoryPinned:
      case Dispatch.MemoryUnpinned: {
        tail.u64();
        const { lo, hi } = tail;
        tail.u64();
        this.pinned(lo, hi, dispatch === Dispatch.MemoryPinned, tail.lo, tail.hi);
        break;
      }
      case Dispatch.MemoryDeleted:
        tail.u64();
        this.deleted(tail.lo, tail.hi);
        break;
      default:
    }
  }

  /** Inserts, or replaces content, tags and source of a known memory, which keeps its pin and createdNs. */
  stored(
    lo: number,
    hi: number,
    content: string,
    tags: readonly string[],
    source: string,
    nowLo: number,
    nowHi: number,
  ): void {
    const { table } = this;
    const known = table.find(lo, hi);
    if (known < 0) {
      const slot = table.insert(lo, hi, 0, nowLo, nowHi, nowLo, nowHi);
      this.#fill(slot, content, tags, source);
      this.observer?.changed(slot);
      return;
    }
    this.observer?.changing(known);
    this.#drop(known);
    this.#fill(known, content, tags, source);
    table.update(known, table.flags[known] === PINNED ? 1 : 0, nowLo, nowHi);
    this.observer?.changed(known);
  }

  /** Replaces the tags of a known memory. */
  retagged(lo: number, hi: number, tags: readonly string[], nowLo: number, nowHi: number): void {
    const { table } = this;
    const slot = table.find(lo, hi);
    if (slot < 0) return;
    this.observer?.changing(slot);
    this.#dropTags(slot);
    this.#tags[slot] = this.#shared(tags, slot);
    table.update(slot, table.flags[slot] === PINNED ? 1 : 0, nowLo, nowHi);
    this.observer?.changed(slot);
  }

  /** Sets the pin of a known memory. */
  pinned(lo: number, hi: number, pinned: boolean, nowLo: number, nowHi: number): void {
    const slot = this.table.find(lo, hi);
    if (slot < 0) return;
    this.observer?.changing(slot);
    this.table.update(slot, pinned ? 1 : 0, nowLo, nowHi);
    this.observer?.changed(slot);
  }

  /** Removes a known memory. */
  deleted(lo: number, hi: number): void {
    const slot = this.table.find(lo, hi);
    if (slot < 0) return;
    this.observer?.changing(slot);
    this.#remove(slot);
  }

  #remove(slot: number): void {
    this.#drop(slot);
    this.table.remove(slot);
    this.#contents[slot] = '';
    this.#tags[slot] = NO_TAGS;
    this.#sources[slot] = undefined;
  }

  /** Takes an entry out of the inverted indexes. */
  #drop(slot: number): void {
    this.#dropTags(slot);
    const source = this.#sources[slot] as string;
    this.#bySource.remove(source, (other) => other !== slot && this.#sources[other] === source);
  }

  #dropTags(slot: number): void {
    const tags = this.#tags[slot] as readonly string[];
    for (const [i, tag] of tags.entries()) {
      if (tags.indexOf(tag) < i) continue;
      this.#byTag.remove(tag, (other) => other !== slot && (this.#tags[other] as readonly string[]).includes(tag));
    }
  }

  #fill(slot: number, content: string, tags: readonly string[], source: string): void {
    this.#contents[slot] = content;
    this.#signatures.forget(slot);
    this.#tags[slot] = this.#shared(tags, slot);
    this.#sources[slot] = this.#bySource.add(source, slot);
  }

  /** Indexes tags; the copy that is kept shares its texts with other entries. */
  #shared(tags: readonly string[], slot: number): readonly string[] {
    if (tags.length === 0) return NO_TAGS;
    return tags.map((tag, i) => (tags.indexOf(tag) < i ? this.#byTag.shared(tag) : this.#byTag.add(tag, slot)));
  }

  row(slot: number): Memory {
    const { table } = this;
    const createdNs = table.created[slot] as bigint;
    return {
      id: table.ids[slot] as bigint,
      content: this.#contents[slot] as string,
      tags: (this.#tags[slot] as readonly string[]).slice(),
      source: this.#sources[slot] as string,
      createdNs,
      updatedNs: table.updatedOf(slot, createdNs),
      pinned: table.flags[slot] === PINNED,
    };
  }

  frozenRow(slot: number): Memory {
    const row = this.row(slot);
    Object.freeze(row.tags);
    return Object.freeze(row);
  }

  sortValue(row: Memory, key: Key): bigint {
    return key === 'id' ? row.id : key === 'created' ? row.createdNs : row.updatedNs;
  }

  sameRow(a: Memory, b: Memory): boolean {
    return (
      a.id === b.id &&
      a.content === b.content &&
      a.source === b.source &&
      a.createdNs === b.createdNs &&
      a.updatedNs === b.updatedNs &&
      a.pinned === b.pinned &&
      a.tags.length === b.tags.length &&
      a.tags.every((tag, i) => tag === b.tags[i])
    );
  }

  postings(query: Query): Postings | undefined {
    const all = [
      ...(query.source === undefined ? [] : [this.#bySource.get(query.source)]),
      ...query.allTags.map((tag) => this.#byTag.get(tag)),
      ...(query.anyTag.length === 0 ? [] : [this.#byTag.any(query.anyTag)]),
    ];
    let best: Postings | undefined;
    for (const postings of all) {
      if (postings !== undefined && (best === undefined || postings.size < best.size)) best = postings;
    }
    return best;
  }

  eachText({ needle }: Query, visit: (slot: number) => void): void {
    if (needle !== undefined) this.#signatures.each(this.table.used, needle, visit);
  }

  matchesText(slot: number, query: Query): boolean {
    if (query.source !== undefined && this.#sources[slot] !== query.source) return false;
    if (query.allTags.length > 0 || query.anyTag.length > 0) {
      const tags = this.#tags[slot] as readonly string[];
      for (const tag of query.allTags) if (!tags.includes(tag)) return false;
      if (query.anyTag.length > 0 && !query.anyTag.some((tag) => tags.includes(tag))) return false;
    }
    const { needle } = query;
    return needle === undefined || this.#signatures.contains(slot, this.#contents[slot] as string, needle);
  }

  protected encodeRow(slot: number, to: Writer): void {
    const { id32, created32, updated32, flags } = this.table;
    to.u64(id32[2 * slot] as number, id32[2 * slot + 1] as number);
    to.string(this.#contents[slot] as string);
    writeTags(this.#tags[slot] as readonly string[], to);
    to.string(this.#sources[slot] as string);
    to.u64(created32[2 * slot] as number, created32[2 * slot + 1] as number);
    to.u64(updated32[2 * slot] as number, updated32[2 * slot + 1] as number);
    to.byte(flags[slot] as number);
  }

  protected decodeRow(from: Reader): void {
    from.u64();
    const { lo, hi } = from;
    const content = from.string();
    const tags = readTags(from);
    const source = from.string();
    from.u64();
    const createdLo = from.lo;
    const createdHi = from.hi;
    from.u64();
    const updatedLo = from.lo;
    const updatedHi = from.hi;
    const pinned = from.bool();
    const known = this.table.find(lo, hi);
    if (known >= 0) {
      this.observer?.changing(known);
      this.#remove(known);
    }
    const slot = this.table.insert(lo, hi, pinned ? 1 : 0, createdLo, createdHi, updatedLo, updatedHi);
    this.#fill(slot, content, tags, source);
    this.observer?.changed(slot);
  }
}

/** Writes a list of strings; returns it as it was written. */
export function writeTags(tags: readonly string[], to: Writer): string[] {
  to.count(tags.length);
  return tags.map((tag) => to.string(tag));
}

function readTags(from: Reader): string[] {
  const count = from.count();
  const tags: string[] = [];
  for (let i = 0; i < count; i++) tags.push(from.string());
  return tags;
}
