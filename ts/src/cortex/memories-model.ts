import { Dispatch } from './event.js';
import type { Query } from './filter.js';
import { Model } from './model.js';
import type { Reader, Writer } from './postcard.js';
import type { Postings } from './query.js';
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
/** An inverted index stops following a tag or source that this many memories share: walking is as good then. */
const COMMON = 1 << 23;

interface Posting {
  /** The one copy of the text that all entries share. */
  readonly text: string;
  /** `null` = too common to be followed. */
  slots: Set<number> | null;
}

/** Inverted index from texts to slots. */
class Inverted {
  readonly #postings = new Map<string, Posting>();

  /** Adds a slot; returns the shared copy of the text. */
  add(text: string, slot: number): string {
    const known = this.#postings.get(text);
    if (known === undefined) {
      this.#postings.set(text, { text, slots: new Set([slot]) });
      return text;
    }
    if (known.slots !== null && known.slots.add(slot).size >= COMMON) known.slots = null;
    return known.text;
  }

  remove(text: string, slot: number): void {
    const slots = this.#postings.get(text)?.slots;
    if (slots?.delete(slot) && slots.size === 0) this.#postings.delete(text);
  }

  /** Postings of a text; undefined when it is not followed. */
  get(text: string): Postings | undefined {
    const known = this.#postings.get(text);
    if (known === undefined) return NOWHERE;
    const { slots } = known;
    return slots === null ? undefined : { size: slots.size, each: (visit) => slots.forEach(visit) };
  }

  /** Postings of any of the texts. */
  any(texts: readonly string[]): Postings | undefined {
    const [only] = texts;
    if (texts.length === 1 && only !== undefined) return this.get(only);
    const sets: Set<number>[] = [];
    let size = 0;
    for (const text of new Set(texts)) {
      const known = this.#postings.get(text);
      if (known === undefined) continue;
      if (known.slots === null) return undefined;
      sets.push(known.slots);
      size += known.slots.size;
    }
    return {
      size,
      each(visit) {
        const seen = new Set<number>();
        for (const set of sets) {
          for (const slot of set) {
            if (seen.has(slot)) continue;
            seen.add(slot);
            visit(slot);
          }
        }
      },
    };
  }
}

/** Folded state of `cortex/memories`. The table's flag is the pin. */
export class MemoriesModel extends Model<Memory> {
  readonly #contents: string[] = [];
  readonly #tags: (readonly string[])[] = [];
  readonly #sources: string[] = [];
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
    for (const tag of this.#tags[slot] as readonly string[]) this.#byTag.remove(tag, slot);
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
    this.#sources[slot] = '';
  }

  /** Takes an entry out of the inverted indexes. */
  #drop(slot: number): void {
    for (const tag of this.#tags[slot] as readonly string[]) this.#byTag.remove(tag, slot);
    this.#bySource.remove(this.#sources[slot] as string, slot);
  }

  #fill(slot: number, content: string, tags: readonly string[], source: string): void {
    this.#contents[slot] = content;
    this.#tags[slot] = this.#shared(tags, slot);
    this.#sources[slot] = this.#bySource.add(source, slot);
  }

  /** Indexes tags; the copy that is kept shares its texts with other entries. */
  #shared(tags: readonly string[], slot: number): readonly string[] {
    return tags.length === 0 ? NO_TAGS : tags.map((tag) => this.#byTag.add(tag, slot));
  }

  row(slot: number): Memory {
    const { table } = this;
    return {
      id: table.ids[slot] as bigint,
      content: this.#contents[slot] as string,
      tags: (this.#tags[slot] as readonly string[]).slice(),
      source: this.#sources[slot] as string,
      createdNs: table.created[slot] as bigint,
      updatedNs: table.updated[slot] as bigint,
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

  matchesText(slot: number, query: Query): boolean {
    if (query.source !== undefined && this.#sources[slot] !== query.source) return false;
    if (query.allTags.length > 0 || query.anyTag.length > 0) {
      const tags = this.#tags[slot] as readonly string[];
      for (const tag of query.allTags) if (!tags.includes(tag)) return false;
      if (query.anyTag.length > 0 && !query.anyTag.some((tag) => tags.includes(tag))) return false;
    }
    return query.needle === undefined || (this.#contents[slot] as string).toLowerCase().includes(query.needle);
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
    if (known >= 0) this.#remove(known);
    const slot = this.table.insert(lo, hi, pinned ? 1 : 0, createdLo, createdHi, updatedLo, updatedHi);
    this.#fill(slot, content, tags, source);
  }
}

/** Writes a list of strings. */
export function writeTags(tags: readonly string[], to: Writer): void {
  to.count(tags.length);
  for (const tag of tags) to.string(tag);
}

function readTags(from: Reader): string[] {
  const count = from.count();
  const tags: string[] = [];
  for (let i = 0; i < count; i++) tags.push(from.string());
  return tags;
}
