/**
 * Sorted slots: the order indexes behind queries (51 §8). An index holds the slots of a table ordered by one 64-bit
 * column and, among equal values, by id. Slots lie in blocks of some hundred, so that an insertion moves little
 * whatever the size, and appending at the end (the usual case for times and ids) compares once.
 */

/** Most slots of a block. */
const BLOCK = 1024;
/** Slots that a new index has room for. */
const FIRST = 32;

/** 64-bit columns as pairs of 32-bit halves: low half at 2 × slot, high half behind it. */
export type Halves = Uint32Array;

interface Block {
  slots: Int32Array;
  length: number;
}

/** A place in an index: block number and place within it. */
interface Place {
  block: number;
  at: number;
}

/** Slots of one table sorted by a column, then by id. */
export class OrderIndex {
  #blocks: Block[] = [];
  #size = 0;
  #key: Halves;
  #id: Halves;

  constructor(key: Halves, id: Halves) {
    this.#key = key;
    this.#id = id;
  }

  /** Number of slots. */
  get size(): number {
    return this.#size;
  }

  /** The table's columns moved to larger arrays. */
  rebind(key: Halves, id: Halves): void {
    this.#key = key;
    this.#id = id;
  }

  /** Sign of the order of two slots. */
  compare(a: number, b: number): number {
    const key = this.#key;
    const x = 2 * a;
    const y = 2 * b;
    const hi = (key[x + 1] as number) - (key[y + 1] as number);
    if (hi !== 0) return hi;
    const lo = (key[x] as number) - (key[y] as number);
    if (lo !== 0) return lo;
    const id = this.#id;
    const idHi = (id[x + 1] as number) - (id[y + 1] as number);
    return idHi !== 0 ? idHi : (id[x] as number) - (id[y] as number);
  }

  /** Adds a slot whose columns are set. */
  add(slot: number): void {
    this.#size++;
    const blocks = this.#blocks;
    const last = blocks[blocks.length - 1];
    if (last === undefined || this.compare(last.slots[last.length - 1] as number, slot) < 0) {
      if (last !== undefined && last.length < BLOCK) {
        if (last.length === last.slots.length) widen(last);
        last.slots[last.length++] = slot;
      } else blocks.push(blockOf(slot, last === undefined ? FIRST : BLOCK));
      return;
    }
    const { block: number, at } = this.#place(slot);
    const block = blocks[number] as Block;
    if (block.length < BLOCK) {
      insert(block, at, slot);
      return;
    }
    const half = BLOCK / 2;
    const upper: Block = { slots: new Int32Array(BLOCK), length: BLOCK - half };
    upper.slots.set(block.slots.subarray(half));
    block.length = half;
    blocks.splice(number + 1, 0, upper);
    if (at <= half) insert(block, at, slot);
    else insert(upper, at - half, slot);
  }

  /** Removes a slot whose columns still have the values that it was added with. */
  remove(slot: number): void {
    const { block: number, at } = this.#place(slot);
    const block = this.#blocks[number];
    if (block === undefined || block.slots[at] !== slot) throw new Error(`order index: slot ${slot} is not there`);
    this.#size--;
    block.slots.copyWithin(at, at + 1, block.length);
    block.length--;
    if (block.length < BLOCK / 4) this.#merge(number);
  }

  /** Joins a thin block with a neighbour, so that memory follows the number of slots. */
  #merge(number: number): void {
    const blocks = this.#blocks;
    const block = blocks[number] as Block;
    if (block.length === 0) {
      blocks.splice(number, 1);
      return;
    }
    for (const first of [number - 1, number]) {
      const left = blocks[first];
      const right = blocks[first + 1];
      if (left === undefined || right === undefined || left.length + right.length > (BLOCK * 3) / 4) continue;
      while (left.slots.length < left.length + right.length) widen(left);
      left.slots.set(right.slots.subarray(0, right.length), left.length);
      left.length += right.length;
      blocks.splice(first + 1, 1);
      return;
    }
  }

  /** Place of the first slot that is not below `slot`. */
  #place(slot: number): Place {
    const blocks = this.#blocks;
    let from = 0;
    let to = blocks.length - 1;
    while (from < to) {
      const middle = (from + to) >>> 1;
      const block = blocks[middle] as Block;
      if (this.compare(block.slots[block.length - 1] as number, slot) < 0) from = middle + 1;
      else to = middle;
    }
    const block = blocks[from];
    if (block === undefined) return { block: 0, at: 0 };
    let low = 0;
    let high = block.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.compare(block.slots[middle] as number, slot) < 0) low = middle + 1;
      else high = middle;
    }
    return { block: from, at: low };
  }

  /** Place of the first slot whose column is at least (`after`: above) the value, whatever its id. */
  #bound(lo: number, hi: number, after: boolean): Place {
    const key = this.#key;
    const below = (slot: number): boolean => {
      const h = key[2 * slot + 1] as number;
      if (h !== hi) return h < hi;
      const l = key[2 * slot] as number;
      return after ? l <= lo : l < lo;
    };
    const blocks = this.#blocks;
    let from = 0;
    let to = blocks.length;
    while (from < to) {
      const middle = (from + to) >>> 1;
      const block = blocks[middle] as Block;
      if (below(block.slots[block.length - 1] as number)) from = middle + 1;
      else to = middle;
    }
    const block = blocks[from];
    if (block === undefined) return { block: from, at: 0 };
    let low = 0;
    let high = block.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (below(block.slots[middle] as number)) low = middle + 1;
      else high = middle;
    }
    return { block: from, at: low };
  }

  /** Number of slots from the range's start to its end, both inclusive. Costs a look at every block in between. */
  rangeSize(range: Range): number {
    const first = range.from ? this.#bound(range.from.lo, range.from.hi, false) : { block: 0, at: 0 };
    const end = range.to ? this.#bound(range.to.lo, range.to.hi, true) : { block: this.#blocks.length, at: 0 };
    if (first.block > end.block) return 0;
    let size = end.at - first.at;
    for (let i = first.block; i < end.block; i++) size += (this.#blocks[i] as Block).length;
    return Math.max(0, size);
  }

  /** Walks a range upwards. */
  ascending(range: Range = {}): Cursor {
    const start = range.from ? this.#bound(range.from.lo, range.from.hi, false) : { block: 0, at: 0 };
    return new Ascending(this.#blocks, start, range.to ? this.#bound(range.to.lo, range.to.hi, true) : undefined);
  }

  /** Walks a range downwards by column; equal values still come with ids ascending. */
  descending(range: Range = {}): Cursor {
    const end = range.to ? this.#bound(range.to.lo, range.to.hi, true) : { block: this.#blocks.length, at: 0 };
    const floor = range.from ? this.#bound(range.from.lo, range.from.hi, false) : { block: 0, at: 0 };
    return new Descending(this.#blocks, this.#key, end, floor, (slot) =>
      this.#bound(this.#key[2 * slot] as number, this.#key[2 * slot + 1] as number, false),
    );
  }
}

/** Bounds of a column, both inclusive. */
export interface Range {
  from?: { lo: number; hi: number } | undefined;
  to?: { lo: number; hi: number } | undefined;
}

/** Yields slots; −1 at the end. Invalid after a change of the index. */
export interface Cursor {
  next(): number;
}

class Ascending implements Cursor {
  readonly #blocks: readonly Block[];
  readonly #endBlock: number;
  readonly #endAt: number;
  #block: number;
  #at: number;

  constructor(blocks: readonly Block[], start: Place, end: Place | undefined) {
    this.#blocks = blocks;
    this.#block = start.block;
    this.#at = start.at;
    this.#endBlock = end?.block ?? blocks.length;
    this.#endAt = end?.at ?? 0;
  }

  next(): number {
    let block = this.#blocks[this.#block];
    if (block !== undefined && this.#at >= block.length) {
      block = this.#blocks[++this.#block];
      this.#at = 0;
    }
    if (block === undefined) return -1;
    if (this.#block > this.#endBlock || (this.#block === this.#endBlock && this.#at >= this.#endAt)) return -1;
    return block.slots[this.#at++] as number;
  }
}

class Descending implements Cursor {
  readonly #blocks: readonly Block[];
  readonly #key: Halves;
  readonly #floor: Place;
  readonly #runStart: (slot: number) => Place;
  /** Everything below this place is still to come. */
  #block: number;
  #at: number;
  /** What is left of the run of equal values that is being yielded. */
  #run: Ascending | undefined;

  constructor(blocks: readonly Block[], key: Halves, end: Place, floor: Place, runStart: (slot: number) => Place) {
    this.#blocks = blocks;
    this.#key = key;
    this.#floor = floor;
    this.#runStart = runStart;
    this.#block = end.block;
    this.#at = end.at;
  }

  /** Steps one place down; false at the start of the range. */
  #down(): boolean {
    if (this.#block < this.#floor.block || (this.#block === this.#floor.block && this.#at <= this.#floor.at))
      return false;
    if (this.#at === 0) {
      if (this.#block === 0) return false;
      this.#block--;
      this.#at = (this.#blocks[this.#block] as Block).length;
      return this.#down();
    }
    this.#at--;
    return true;
  }

  #peekBelow(): number {
    if (this.#block === this.#floor.block && this.#at <= this.#floor.at) return -1;
    if (this.#at > 0) return (this.#blocks[this.#block] as Block).slots[this.#at - 1] as number;
    const below = this.#blocks[this.#block - 1];
    return below === undefined ? -1 : (below.slots[below.length - 1] as number);
  }

  next(): number {
    if (this.#run !== undefined) {
      const slot = this.#run.next();
      if (slot >= 0) return slot;
      this.#run = undefined;
    }
    const end = { block: this.#block, at: this.#at };
    if (!this.#down()) return -1;
    const slot = (this.#blocks[this.#block] as Block).slots[this.#at] as number;
    const below = this.#peekBelow();
    if (
      below < 0 ||
      this.#key[2 * below] !== this.#key[2 * slot] ||
      this.#key[2 * below + 1] !== this.#key[2 * slot + 1]
    ) {
      return slot;
    }
    const start = this.#runStart(slot);
    this.#run = new Ascending(this.#blocks, start, end);
    this.#block = start.block;
    this.#at = start.at;
    return this.#run.next();
  }
}

function blockOf(slot: number, capacity: number): Block {
  const slots = new Int32Array(capacity);
  slots[0] = slot;
  return { slots, length: 1 };
}

function widen(block: Block): void {
  const slots = new Int32Array(block.slots.length * 2);
  slots.set(block.slots);
  block.slots = slots;
}

function insert(block: Block, at: number, slot: number): void {
  if (block.length === block.slots.length) widen(block);
  block.slots.copyWithin(at + 1, at, block.length);
  block.slots[at] = slot;
  block.length++;
}
