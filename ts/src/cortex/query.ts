/**
 * Planning of queries over a table. Two ways lead to a result: walk an order index and test each entry until the limit
 * is reached, or gather the entries of the rarest condition (a tag, a source, a time range), test and sort those. The
 * walk is tried first with a budget in proportion to what gathering would cost, so that a query never costs much more
 * than the cheaper way. Texts are looked for in the same manner: a short walk, then the signatures of all texts.
 */
import type { Bound, Query } from './filter.js';
import type { Cursor, Range } from './order.js';
import type { Flag, Key, Table } from './table.js';

/** Entries that an inverted index yields for a query: an upper bound of the result, in any order, without repetition. */
export interface Postings {
  readonly size: number;
  /** Calls `visit` for each slot. */
  each(visit: (slot: number) => void): void;
}

/** What the planner needs of a model. */
export interface Searchable {
  readonly table: Table;
  /** Rarest inverted index that covers all results, or undefined when no condition has one. */
  postings(query: Query): Postings | undefined;
  /** Calls `visit` for a superset of the slots whose text contains the query's needle; free slots may be among them. */
  eachText(query: Query, visit: (slot: number) => void): void;
  /** Tests on texts and tags; false for free slots. */
  matchesText(slot: number, query: Query): boolean;
}

/** A gathered set of at most this many entries is always sorted rather than walked to. */
const SMALL = 64;
const FLAGS: readonly Flag[] = [0, 1];

function outside(column: Uint32Array, slot: number, from: Bound | undefined, to: Bound | undefined): boolean {
  const lo = column[2 * slot] as number;
  const hi = column[2 * slot + 1] as number;
  if (from !== undefined && (hi < from.hi || (hi === from.hi && lo < from.lo))) return true;
  return to !== undefined && (hi > to.hi || (hi === to.hi && lo > to.lo));
}

/** Whether an entry meets all conditions. */
export function matches(model: Searchable, slot: number, query: Query): boolean {
  const { table } = model;
  if (query.flag !== undefined && table.flags[slot] !== query.flag) return false;
  if (
    (query.createdFrom !== undefined || query.createdTo !== undefined) &&
    outside(table.created32, slot, query.createdFrom, query.createdTo)
  ) {
    return false;
  }
  if (
    (query.updatedFrom !== undefined || query.updatedTo !== undefined) &&
    outside(table.updated32, slot, query.updatedFrom, query.updatedTo)
  ) {
    return false;
  }
  return model.matchesText(slot, query);
}

/** Sign of the order of two slots in results of the query. */
export function comparator(table: Table, query: Query): (a: number, b: number) => number {
  const ids = table.orders[0].id;
  const order = table.orders[0][query.key];
  if (!query.descending) return (a, b) => order.compare(a, b);
  if (query.key === 'id') return (a, b) => ids.compare(b, a);
  const column = query.key === 'created' ? table.created32 : table.updated32;
  return (a, b) => {
    const hi = (column[2 * b + 1] as number) - (column[2 * a + 1] as number);
    if (hi !== 0) return hi;
    const lo = (column[2 * b] as number) - (column[2 * a] as number);
    return lo !== 0 ? lo : ids.compare(a, b);
  };
}

function rangeOf(query: Query, key: Key): Range | undefined {
  if (key === 'created' && (query.createdFrom ?? query.createdTo)) {
    return { from: query.createdFrom, to: query.createdTo };
  }
  if (key === 'updated' && (query.updatedFrom ?? query.updatedTo)) {
    return { from: query.updatedFrom, to: query.updatedTo };
  }
  return undefined;
}

function flagsOf(query: Query): readonly Flag[] {
  return query.flag === undefined ? FLAGS : [query.flag];
}

/** The range of another column than the one sorted by, as postings. */
function rangePostings(table: Table, query: Query, key: Key): Postings | undefined {
  const range = rangeOf(query, key);
  if (range === undefined) return undefined;
  const orders = flagsOf(query).map((flag) => table.orders[flag][key]);
  return {
    size: orders.reduce((sum, order) => sum + order.rangeSize(range), 0),
    each(visit) {
      for (const order of orders) {
        const cursor = order.ascending(range);
        for (let slot = cursor.next(); slot >= 0; slot = cursor.next()) visit(slot);
      }
    },
  };
}

function rarest(all: readonly (Postings | undefined)[]): Postings | undefined {
  let best: Postings | undefined;
  for (const postings of all) {
    if (postings !== undefined && (best === undefined || postings.size < best.size)) best = postings;
  }
  return best;
}

/** Merges the walks over both flags. */
function merged(first: Cursor, second: Cursor, compare: (a: number, b: number) => number): Cursor {
  let a = first.next();
  let b = second.next();
  return {
    next() {
      const takeFirst = b < 0 || (a >= 0 && compare(a, b) < 0);
      const slot = takeFirst ? a : b;
      if (takeFirst) a = first.next();
      else b = second.next();
      return slot;
    },
  };
}

function walker(table: Table, query: Query): Cursor {
  const range = rangeOf(query, query.key);
  const cursors = flagsOf(query).map((flag) => {
    const order = table.orders[flag][query.key];
    return query.descending ? order.descending(range) : order.ascending(range);
  });
  const [first, second] = cursors as [Cursor, Cursor | undefined];
  return second === undefined ? first : merged(first, second, comparator(table, query));
}

/** Slots of the entries that meet the query, sorted and cut. */
export function select(model: Searchable, query: Query): number[] {
  const { table } = model;
  const { limit } = query;
  if (limit === 0 || table.size === 0) return [];
  const other =
    query.key === 'created'
      ? (['updated'] as const)
      : query.key === 'updated'
        ? (['created'] as const)
        : (['created', 'updated'] as const);
  const postings = rarest([model.postings(query), ...other.map((key) => rangePostings(table, query, key))]);
  if (postings?.size === 0) return [];
  const total = flagsOf(query).reduce<number>((sum, flag) => sum + table.orders[flag].id.size, 0);

  if (query.needle?.selective && (postings === undefined || postings.size > total / 8)) {
    return search(model, query, total) ?? walk(model, query, Number.POSITIVE_INFINITY) ?? [];
  }
  if (postings === undefined) return walk(model, query, Number.POSITIVE_INFINITY) ?? [];
  if (postings.size <= SMALL) return gather(model, query, postings);
  // Sorting costs a few steps more per entry than walking.
  const gatherCost = postings.size * 4;
  if (limit === Number.POSITIVE_INFINITY) {
    return gatherCost < total ? gather(model, query, postings) : (walk(model, query, Number.POSITIVE_INFINITY) ?? []);
  }
  return walk(model, query, Math.max(SMALL, gatherCost)) ?? gather(model, query, postings);
}

/** Walks the order index; undefined when the budget is used up before the result is complete. */
function walk(model: Searchable, query: Query, budget: number): number[] | undefined {
  const found: number[] = [];
  const cursor = walker(model.table, query);
  const walked = walkedOnly(query);
  let left = budget;
  for (let slot = cursor.next(); slot >= 0; slot = cursor.next()) {
    if (walked || matches(model, slot, query)) {
      found.push(slot);
      if (found.length >= query.limit) break;
    } else if (--left < 0) return undefined;
  }
  return found;
}

/** Finds a text: a short walk for frequent ones, then the signatures of all; undefined when walking is better. */
function search(model: Searchable, query: Query, total: number): number[] | undefined {
  if (query.limit < Number.POSITIVE_INFINITY) {
    const near = walk(model, query, Math.max(SMALL, total / 32));
    if (near !== undefined) return near;
  }
  const found: number[] = [];
  model.eachText(query, (slot) => {
    if (matches(model, slot, query)) found.push(slot);
  });
  return found.length > total / 8 && total > SMALL ? undefined : sorted(model, query, found);
}

function gather(model: Searchable, query: Query, postings: Postings): number[] {
  const found: number[] = [];
  postings.each((slot) => {
    if (matches(model, slot, query)) found.push(slot);
  });
  return sorted(model, query, found);
}

function sorted(model: Searchable, query: Query, found: number[]): number[] {
  found.sort(comparator(model.table, query));
  if (found.length > query.limit) found.length = query.limit;
  return found;
}

/** Whether a walk meets no other entries than those of the result. */
function walkedOnly(query: Query): boolean {
  const other = query.key === 'created' ? rangeOf(query, 'updated') : rangeOf(query, 'created');
  const both = query.key === 'id' ? rangeOf(query, 'updated') : undefined;
  return other === undefined && both === undefined && withoutTexts(query);
}

function withoutTexts(query: Query): boolean {
  return (
    query.needle === undefined && query.source === undefined && query.allTags.length === 0 && query.anyTag.length === 0
  );
}

/** Number of entries that meet the conditions; order and limit do not count. */
export function countMatches(model: Searchable, query: Query): number {
  const { table } = model;
  const ranges = (['created', 'updated'] as const).map((key) => rangePostings(table, query, key));
  const postings = rarest([model.postings(query), ...ranges]);
  const flagged = flagsOf(query).reduce<number>((sum, flag) => sum + table.orders[flag].id.size, 0);
  const bare = withoutTexts(query);
  if (bare && postings === undefined) return flagged;
  const [created, updated] = ranges;
  if (bare && (created === undefined || updated === undefined)) return postings?.size ?? 0;
  let count = 0;
  const visit = (slot: number) => {
    if (matches(model, slot, query)) count++;
  };
  if (postings !== undefined && postings.size < flagged) postings.each(visit);
  else if (query.needle?.selective) model.eachText(query, visit);
  else {
    for (const flag of flagsOf(query)) {
      const cursor = table.orders[flag].id.ascending();
      for (let slot = cursor.next(); slot >= 0; slot = cursor.next()) visit(slot);
    }
  }
  return count;
}
