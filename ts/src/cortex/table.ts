/**
 * Columns common to both models: id, createdNs, updatedNs and one flag (a task's status, a memory's pin), with a hash
 * index over ids and order indexes for each value of the flag. An entry is a slot number; 64-bit values stay in typed
 * arrays, so that an entry costs a few dozen bytes and no object of its own.
 */
import { type Halves, OrderIndex } from './order.js';

/** Columns that queries sort by. */
export type Key = 'id' | 'created' | 'updated';

/** Value of the flag column. */
export type Flag = 0 | 1;

const FIRST_CAPACITY = 64;
const FREE = 0;
/** Low bits of an id that its hash keeps. */
const NEAR = 4;
const ORDERS: readonly Key[] = ['id', 'created', 'updated'];

interface Orders {
  readonly id: OrderIndex;
  readonly created: OrderIndex;
  readonly updated: OrderIndex;
}

/** See the head of this file. */
export class Table {
  #capacity = FIRST_CAPACITY;
  /** Columns; the halves are views of the same memory. */
  ids = new BigUint64Array(FIRST_CAPACITY);
  created = new BigUint64Array(FIRST_CAPACITY);
  updated = new BigUint64Array(FIRST_CAPACITY);
  id32: Halves = new Uint32Array(this.ids.buffer);
  created32: Halves = new Uint32Array(this.created.buffer);
  updated32: Halves = new Uint32Array(this.updated.buffer);
  flags = new Uint8Array(FIRST_CAPACITY);
  /** Order indexes of the entries with flag 0 and with flag 1. */
  readonly orders: readonly [Orders, Orders] = [this.#newOrders(), this.#newOrders()];
  #size = 0;
  #used = 0;
  readonly #free: number[] = [];
  /** Slot + 1 by hash of the id, linear probing; 0 is free. */
  #hash = new Int32Array(FIRST_CAPACITY * 2);
  #mask = FIRST_CAPACITY * 2 - 1;

  #newOrders(): Orders {
    return {
      id: new OrderIndex(this.id32, this.id32),
      created: new OrderIndex(this.created32, this.id32),
      updated: new OrderIndex(this.updated32, this.id32),
    };
  }

  /** Number of entries. */
  get size(): number {
    return this.#size;
  }

  /** One past the highest slot that was ever used. */
  get used(): number {
    return this.#used;
  }

  /** Slot of an id, or −1. */
  find(lo: number, hi: number): number {
    const hash = this.#hash;
    const mask = this.#mask;
    const ids = this.id32;
    for (let at = mix(lo, hi) & mask; ; at = (at + 1) & mask) {
      const slot = (hash[at] as number) - 1;
      if (slot < 0) return -1;
      if (ids[2 * slot] === lo && ids[2 * slot + 1] === hi) return slot;
    }
  }

  /** updatedNs of an entry; the given createdNs is reused when they are equal, which they mostly are. */
  updatedOf(slot: number, created: bigint): bigint {
    const { created32, updated32 } = this;
    const at = 2 * slot;
    return created32[at] === updated32[at] && created32[at + 1] === updated32[at + 1]
      ? created
      : (this.updated[slot] as bigint);
  }

  /** Adds an entry with flag 0 or 1; the id must not be there. Returns its slot. */
  insert(
    lo: number,
    hi: number,
    flag: Flag,
    createdLo: number,
    createdHi: number,
    updatedLo: number,
    updatedHi: number,
  ): number {
    const slot = this.#free.pop() ?? this.#used++;
    if (slot >= this.#capacity) this.#grow();
    this.id32[2 * slot] = lo;
    this.id32[2 * slot + 1] = hi;
    this.created32[2 * slot] = createdLo;
    this.created32[2 * slot + 1] = createdHi;
    this.updated32[2 * slot] = updatedLo;
    this.updated32[2 * slot + 1] = updatedHi;
    this.flags[slot] = flag;
    if (++this.#size * 2 > this.#mask) this.#rehash();
    this.#link(lo, hi, slot);
    const orders = this.orders[flag];
    orders.id.add(slot);
    orders.created.add(slot);
    orders.updated.add(slot);
    return slot;
  }

  /** Sets flag and updatedNs of an entry. */
  update(slot: number, flag: Flag, updatedLo: number, updatedHi: number): void {
    const from = this.orders[this.flags[slot] as Flag];
    const to = this.orders[flag];
    const moved = this.updated32[2 * slot] !== updatedLo || this.updated32[2 * slot + 1] !== updatedHi;
    if (moved || from !== to) {
      from.updated.remove(slot);
      this.updated32[2 * slot] = updatedLo;
      this.updated32[2 * slot + 1] = updatedHi;
      to.updated.add(slot);
    }
    if (from !== to) {
      for (const order of ['id', 'created'] as const) {
        from[order].remove(slot);
        to[order].add(slot);
      }
      this.flags[slot] = flag;
    }
  }

  /** Removes an entry; its slot will be used again. */
  remove(slot: number): void {
    const orders = this.orders[this.flags[slot] as Flag];
    for (const order of ORDERS) orders[order].remove(slot);
    this.#unlink(this.id32[2 * slot] as number, this.id32[2 * slot + 1] as number);
    this.#size--;
    this.#free.push(slot);
  }

  #link(lo: number, hi: number, slot: number): void {
    let at = mix(lo, hi) & this.#mask;
    while (this.#hash[at] !== FREE) at = (at + 1) & this.#mask;
    this.#hash[at] = slot + 1;
  }

  /** Takes an id out of the hash index and closes the gap, so that no probe ends early. */
  #unlink(lo: number, hi: number): void {
    const hash = this.#hash;
    const mask = this.#mask;
    const ids = this.id32;
    let gap = mix(lo, hi) & mask;
    for (; ; gap = (gap + 1) & mask) {
      const slot = (hash[gap] as number) - 1;
      if (ids[2 * slot] === lo && ids[2 * slot + 1] === hi) break;
    }
    for (let at = (gap + 1) & mask; hash[at] !== FREE; at = (at + 1) & mask) {
      const slot = (hash[at] as number) - 1;
      const home = mix(ids[2 * slot] as number, ids[2 * slot + 1] as number) & mask;
      if (((at - home) & mask) >= ((at - gap) & mask)) {
        hash[gap] = slot + 1;
        gap = at;
      }
    }
    hash[gap] = FREE;
  }

  #rehash(): void {
    const old = this.#hash;
    this.#hash = new Int32Array(old.length * 2);
    this.#mask = this.#hash.length - 1;
    for (const entry of old) {
      if (entry === FREE) continue;
      const slot = entry - 1;
      this.#link(this.id32[2 * slot] as number, this.id32[2 * slot + 1] as number, slot);
    }
  }

  #grow(): void {
    this.#capacity *= 2;
    const larger = (column: BigUint64Array<ArrayBuffer>): BigUint64Array<ArrayBuffer> => {
      const copy = new BigUint64Array(this.#capacity);
      copy.set(column);
      return copy;
    };
    this.ids = larger(this.ids);
    this.created = larger(this.created);
    this.updated = larger(this.updated);
    this.id32 = new Uint32Array(this.ids.buffer);
    this.created32 = new Uint32Array(this.created.buffer);
    this.updated32 = new Uint32Array(this.updated.buffer);
    const flags = new Uint8Array(this.#capacity);
    flags.set(this.flags);
    this.flags = flags;
    for (const { id, created, updated } of this.orders) {
      id.rebind(this.id32, this.id32);
      created.rebind(this.created32, this.id32);
      updated.rebind(this.updated32, this.id32);
    }
  }
}

/**
 * Hash of an id: the finisher of MurmurHash3 over all but the low four bits, which stay in place, so that consecutive
 * ids share a cache line of the index.
 */
function mix(lo: number, hi: number): number {
  let h = (lo >>> NEAR) ^ Math.imul(hi, 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) << NEAR) | (lo & ((1 << NEAR) - 1));
}
