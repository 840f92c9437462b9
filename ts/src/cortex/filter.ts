/** Filters of `listTasks`, `listMemories` and the watches: checked and translated once, then tested per entry. */
import { MeshringError, wrongType } from '../errors.js';
import { wellFormed } from './postcard.js';
import { Needle } from './signatures.js';
import type { Flag, Key } from './table.js';
import { high, low, u64 } from './u64.js';

/** State of a task. */
export type TaskStatus = 'Pending' | 'Completed';
/** Sort orders of task queries. */
export type TasksOrderBy = 'IdAsc' | 'IdDesc' | 'CreatedAsc' | 'CreatedDesc' | 'UpdatedAsc' | 'UpdatedDesc';
/** Sort orders of memory queries. */
export type MemoriesOrderBy = TasksOrderBy;

/** State of a task: `TaskStatus.Pending === 'Pending'`. */
export const TaskStatus = Object.freeze({ Pending: 'Pending', Completed: 'Completed' } as const);
const ORDERS = {
  IdAsc: 'IdAsc',
  IdDesc: 'IdDesc',
  CreatedAsc: 'CreatedAsc',
  CreatedDesc: 'CreatedDesc',
  UpdatedAsc: 'UpdatedAsc',
  UpdatedDesc: 'UpdatedDesc',
} as const;
/** Sort orders of task queries. */
export const TasksOrderBy = Object.freeze({ ...ORDERS });
/** Sort orders of memory queries. */
export const MemoriesOrderBy = Object.freeze({ ...ORDERS });

/** Conditions on times; all bounds are inclusive. Sorting and cutting come after all conditions. */
interface CommonFilter {
  /** createdNs at least this. */
  createdAfterNs?: bigint;
  /** createdNs at most this. */
  createdBeforeNs?: bigint;
  /** updatedNs at least this. */
  updatedAfterNs?: bigint;
  /** updatedNs at most this. */
  updatedBeforeNs?: bigint;
  /** At most so many entries, after sorting (0 gives none; default: no limit). */
  limit?: number;
}

/** Query of `listTasks` and the task watches; all given conditions must hold. */
export interface TaskFilter extends CommonFilter {
  /** Exactly this status. */
  status?: TaskStatus;
  /** The title contains this text, both lower-cased. */
  titleContains?: string;
  /** Default: ids ascending. Entries with equal values come with ids ascending. */
  orderBy?: TasksOrderBy;
}

/** Query of `listMemories` and the memory watches; all given conditions must hold. */
export interface MemoryFilter extends CommonFilter {
  /** Exactly this source. */
  source?: string;
  /** The content contains this text, both lower-cased. */
  contentContains?: string;
  /** The tags contain this one. */
  tag?: string;
  /** The tags contain at least one of these (`[]` = no condition). */
  anyTag?: string[];
  /** The tags contain every one of these (`[]` = no condition). */
  allTags?: string[];
  /** Pinned or not. */
  pinned?: boolean;
  /** Default: ids ascending. Entries with equal values come with ids ascending. */
  orderBy?: MemoriesOrderBy;
}

/** A bound in halves. */
export interface Bound {
  lo: number;
  hi: number;
}

/** A filter ready for testing and planning. */
export interface Query {
  /** Only entries with this flag. */
  readonly flag: Flag | undefined;
  readonly createdFrom: Bound | undefined;
  readonly createdTo: Bound | undefined;
  readonly updatedFrom: Bound | undefined;
  readonly updatedTo: Bound | undefined;
  readonly key: Key;
  readonly descending: boolean;
  /** `Infinity` = none. */
  readonly limit: number;
  /** Text to find in title or content, or undefined. */
  readonly needle: Needle | undefined;
  readonly source: string | undefined;
  /** Every one of these must be among the tags. */
  readonly allTags: readonly string[];
  /** At least one of these must be among the tags; empty = no condition. */
  readonly anyTag: readonly string[];
}

const KEYS: Record<TasksOrderBy, readonly [Key, boolean]> = {
  IdAsc: ['id', false],
  IdDesc: ['id', true],
  CreatedAsc: ['created', false],
  CreatedDesc: ['created', true],
  UpdatedAsc: ['updated', false],
  UpdatedDesc: ['updated', true],
};

function bound(value: bigint | number | null | undefined): Bound | undefined {
  if (value === undefined || value === null) return undefined;
  const checked = u64(value);
  return { lo: low(checked), hi: high(checked) };
}

function text(filter: string, field: string, value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw wrongType(filter, field, value, 'a string', 'StringExpected');
  return wellFormed(value);
}

function texts(filter: string, field: string, value: unknown): string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw wrongType(filter, field, value, 'an array of strings', 'ArrayExpected');
  return value.map((item) => text(filter, field, item) ?? '');
}

function noSuchVariant(value: unknown, type: string, place: string): MeshringError {
  return new MeshringError(
    'invalid-argument',
    `value \`${typeof value === 'bigint' ? value : JSON.stringify(value)}\` does not match any variant of enum \`${type}\` on ${place}`,
    { code: 'InvalidArg' },
  );
}

function order(value: unknown, type: string, place: string): readonly [Key, boolean] {
  if (value === undefined || value === null) return KEYS.IdAsc;
  const known = typeof value === 'string' && Object.hasOwn(KEYS, value) ? KEYS[value as TasksOrderBy] : undefined;
  if (known === undefined) throw noSuchVariant(value, type, place);
  return known;
}

function limit(filter: string, value: unknown): number {
  if (value === undefined || value === null) return Number.POSITIVE_INFINITY;
  if (typeof value !== 'number') throw wrongType(filter, 'limit', value, 'a number', 'NumberExpected');
  // The 32-bit value of the number; what wraps from a negative one means no limit.
  const wrapped = value >>> 0;
  return wrapped >= 2 ** 31 || value >= 2 ** 31 ? Number.POSITIVE_INFINITY : wrapped;
}

function common(
  name: string,
  filter: CommonFilter,
): Pick<Query, 'createdFrom' | 'createdTo' | 'updatedFrom' | 'updatedTo' | 'limit'> {
  return {
    createdFrom: bound(filter.createdAfterNs),
    createdTo: bound(filter.createdBeforeNs),
    updatedFrom: bound(filter.updatedAfterNs),
    updatedTo: bound(filter.updatedBeforeNs),
    limit: limit(name, filter.limit),
  };
}

function needle(value: string | undefined): Needle | undefined {
  return value === undefined || value === '' ? undefined : new Needle(value);
}

function objectOf<F extends object>(name: string, filter: F | null | undefined): Partial<F> {
  if (filter === undefined || filter === null) return {};
  if (typeof filter !== 'object') throw wrongType(name, 'filter', filter, 'an object', 'InvalidArg');
  return filter;
}

/** Checks a task filter. */
export function taskQuery(given?: TaskFilter | null): Query {
  const filter: TaskFilter = objectOf('TaskFilter', given);
  const { status } = filter;
  if (status !== undefined && status !== null && status !== 'Pending' && status !== 'Completed') {
    throw noSuchVariant(status, 'TaskStatus', 'TaskFilter.status');
  }
  const [key, descending] = order(filter.orderBy, 'TasksOrderBy', 'TaskFilter.orderBy');
  return {
    ...common('TaskFilter', filter),
    flag: status === 'Pending' ? 0 : status === 'Completed' ? 1 : undefined,
    key,
    descending,
    needle: needle(text('TaskFilter', 'titleContains', filter.titleContains)),
    source: undefined,
    allTags: [],
    anyTag: [],
  };
}

/** Checks a memory filter. */
export function memoryQuery(given?: MemoryFilter | null): Query {
  const filter: MemoryFilter = objectOf('MemoryFilter', given);
  const { pinned } = filter;
  if (pinned !== undefined && pinned !== null && typeof pinned !== 'boolean') {
    throw wrongType('MemoryFilter', 'pinned', pinned, 'a boolean', 'InvalidArg');
  }
  const [key, descending] = order(filter.orderBy, 'MemoriesOrderBy', 'MemoryFilter.orderBy');
  const tag = text('MemoryFilter', 'tag', filter.tag);
  const all = texts('MemoryFilter', 'allTags', filter.allTags);
  return {
    ...common('MemoryFilter', filter),
    flag: pinned === true ? 1 : pinned === false ? 0 : undefined,
    key,
    descending,
    needle: needle(text('MemoryFilter', 'contentContains', filter.contentContains)),
    source: text('MemoryFilter', 'source', filter.source),
    allTags: tag === undefined ? all : [tag, ...all],
    anyTag: texts('MemoryFilter', 'anyTag', filter.anyTag),
  };
}
