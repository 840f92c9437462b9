/** Filters in TypeScript: the builder of 10 §6.4, and the way from what users pass to a compiled filter in Rust. */
import { door } from '../backend/choose.js';
import type { RawFilter } from '../backend/filter.js';
import { describeType, MeshringError, messageOf } from '../errors.js';
import type { FilterInput, FilterValue } from '../types.js';

/** Longest filter text, UTF-16 units; Rust checks the exact limit in bytes. */
const MAX_TEXT = 1 << 20;
/** Deepest nesting of a filter's JSON. */
const MAX_DEPTH = 128;

/** Filter as an object of the language, as `Filter.toJSON()` gives it. */
export type FilterJson = { readonly [operator: string]: unknown };

const MATCH_ALL: FilterJson = { $not: { $and: [] } };

/**
 * Builds filters. Each method returns a new filter; several chained conditions must all hold. Paths are as in the
 * language: `user.name`, `tags.0`, `a\.b` for a key with a dot.
 *
 * ```ts
 * import { Filter } from 'meshring';
 * const late = new Filter().eq('origin', 'ABQ').gte('delay', 30);
 * console.log(JSON.stringify(late));
 * ```
 */
export class Filter {
  readonly #conditions: readonly FilterJson[];

  constructor();
  /** @internal */
  constructor(conditions: readonly FilterJson[]);
  constructor(conditions: readonly FilterJson[] = []) {
    this.#conditions = conditions;
  }

  /** An empty filter to chain on; it matches every event that is JSON. */
  static new(): Filter {
    return new Filter();
  }
  /** Field deep-equals `value`. */
  static eq(path: string, value: FilterValue): Filter {
    return new Filter().eq(path, value);
  }
  /** Field is missing or differs from `value`. */
  static ne(path: string, value: FilterValue): Filter {
    return new Filter().ne(path, value);
  }
  /** Number field > number, or string field > string by UTF-8 bytes. */
  static gt(path: string, value: number | bigint | string): Filter {
    return new Filter().gt(path, value);
  }
  /** As `gt`, or equal. */
  static gte(path: string, value: number | bigint | string): Filter {
    return new Filter().gte(path, value);
  }
  /** Number field < number, or string field < string by UTF-8 bytes. */
  static lt(path: string, value: number | bigint | string): Filter {
    return new Filter().lt(path, value);
  }
  /** As `lt`, or equal. */
  static lte(path: string, value: number | bigint | string): Filter {
    return new Filter().lte(path, value);
  }
  /** Field deep-equals one of `values`. */
  static in(path: string, values: readonly FilterValue[]): Filter {
    return new Filter().in(path, values);
  }
  /** Field is missing or deep-equals none of `values`. */
  static nin(path: string, values: readonly FilterValue[]): Filter {
    return new Filter().nin(path, values);
  }
  /** Field is present (null counts), or with `false` missing. */
  static exists(path: string, present = true): Filter {
    return new Filter().exists(path, present);
  }
  /** String field contains the string, or list field has an element that deep-equals `value`. */
  static contains(path: string, value: FilterValue): Filter {
    return new Filter().contains(path, value);
  }
  /** String field begins with `prefix`. */
  static startsWith(path: string, prefix: string): Filter {
    return new Filter().startsWith(path, prefix);
  }
  /** String field ends with `suffix`. */
  static endsWith(path: string, suffix: string): Filter {
    return new Filter().endsWith(path, suffix);
  }
  /** String field matches wholly: `*` any run, `?` one character, `\c` the character c. */
  static matches(path: string, pattern: string): Filter {
    return new Filter().matches(path, pattern);
  }
  /** String field is a version that satisfies the requirement, for example `^1.2 || >=3`. */
  static semver(path: string, requirement: string): Filter {
    return new Filter().semver(path, requirement);
  }
  /** All of the filters hold; of none: false. */
  static and(...filters: FilterInput[]): Filter {
    return new Filter().and(...filters);
  }
  /** At least one of the filters holds. */
  static or(...filters: FilterInput[]): Filter {
    return new Filter().or(...filters);
  }
  /** The filter does not hold. What is not JSON matches neither a filter nor its negation. */
  static not(filter: FilterInput): Filter {
    return new Filter().not(filter);
  }

  /** Adds a condition, see the static method. */
  eq(path: string, value: FilterValue): Filter {
    return this.#where('$eq', path, value);
  }
  /** Adds a condition, see the static method. */
  ne(path: string, value: FilterValue): Filter {
    return this.#where('$ne', path, value);
  }
  /** Adds a condition, see the static method. */
  gt(path: string, value: number | bigint | string): Filter {
    return this.#where('$gt', path, value);
  }
  /** Adds a condition, see the static method. */
  gte(path: string, value: number | bigint | string): Filter {
    return this.#where('$gte', path, value);
  }
  /** Adds a condition, see the static method. */
  lt(path: string, value: number | bigint | string): Filter {
    return this.#where('$lt', path, value);
  }
  /** Adds a condition, see the static method. */
  lte(path: string, value: number | bigint | string): Filter {
    return this.#where('$lte', path, value);
  }
  /** Adds a condition, see the static method. */
  in(path: string, values: readonly FilterValue[]): Filter {
    return this.#with({ $in: { path, values } });
  }
  /** Adds a condition, see the static method. */
  nin(path: string, values: readonly FilterValue[]): Filter {
    return this.#with({ $nin: { path, values } });
  }
  /** Adds a condition, see the static method. */
  exists(path: string, present = true): Filter {
    return this.#where('$exists', path, present);
  }
  /** Adds a condition, see the static method. */
  contains(path: string, value: FilterValue): Filter {
    return this.#where('$contains', path, value);
  }
  /** Adds a condition, see the static method. */
  startsWith(path: string, prefix: string): Filter {
    return this.#where('$startsWith', path, prefix);
  }
  /** Adds a condition, see the static method. */
  endsWith(path: string, suffix: string): Filter {
    return this.#where('$endsWith', path, suffix);
  }
  /** Adds a condition, see the static method. */
  matches(path: string, pattern: string): Filter {
    return this.#where('$matches', path, pattern);
  }
  /** Adds a condition, see the static method. */
  semver(path: string, requirement: string): Filter {
    return this.#where('$semver', path, requirement);
  }
  /** Adds the condition that all of `filters` hold. */
  and(...filters: FilterInput[]): Filter {
    return this.#with({ $and: filters.map(filterJson) });
  }
  /** Adds the condition that one of `filters` holds. */
  or(...filters: FilterInput[]): Filter {
    return this.#with({ $or: filters.map(filterJson) });
  }
  /** Adds the condition that `filter` does not hold. */
  not(filter: FilterInput): Filter {
    return this.#with({ $not: filterJson(filter) });
  }

  /** Whether an event (its JSON text or bytes) matches. Throws when the filter is not valid. */
  test(event: string | Uint8Array): boolean {
    return compileFilter(this)?.test(typeof event === 'string' ? encoder.encode(event) : event) ?? true;
  }

  /** The object form. `JSON.stringify` of a filter with a bigint value fails; `toString` writes it. */
  toJSON(): FilterJson {
    const [first] = this.#conditions;
    if (!first) return MATCH_ALL;
    return this.#conditions.length === 1 ? first : { $and: this.#conditions };
  }

  /** The filter text. */
  toString(): string {
    return write(this.toJSON(), 0);
  }

  #where(operator: string, path: string, value: unknown): Filter {
    return this.#with({ [operator]: { path, value } });
  }

  #with(condition: FilterJson): Filter {
    return new Filter([...this.#conditions, condition]);
  }
}

const encoder = new TextEncoder();

function invalid(reason: string, cause?: unknown): MeshringError {
  return new MeshringError('invalid-filter', `Invalid filter: ${reason}`, { cause });
}

/** The object form of a filter; a text is parsed, its numbers beyond 2^53 keep their spelling through {@link filterText}. */
function filterJson(input: FilterInput): FilterJson {
  if (input instanceof Filter) return input.toJSON();
  if (typeof input === 'string') return new Verbatim(input) as unknown as FilterJson;
  if (input === null || typeof input !== 'object')
    throw invalid(`a filter must be an object, got ${describeType(input)}`);
  return input;
}

/** Filter text inside an object form: written as it is, once it has proved to be a filter. */
class Verbatim {
  readonly text: string;

  constructor(text: string) {
    compile(text);
    this.text = text;
  }

  toJSON(): unknown {
    return JSON.parse(this.text);
  }
}

/** JSON text of a value: as `JSON.stringify`, and bigints as integers. What JSON cannot say is refused instead of changed. */
function write(value: unknown, depth: number): string {
  if (depth > MAX_DEPTH) throw invalid(`nesting is deeper than ${MAX_DEPTH}`);
  switch (typeof value) {
    case 'bigint':
      return value.toString();
    case 'number':
      if (!Number.isFinite(value)) throw invalid(`${value} is not a JSON number`);
      return Object.is(value, -0) ? '-0' : String(value);
    case 'string':
    case 'boolean':
      return JSON.stringify(value);
    case 'object':
      break;
    default:
      throw invalid(`a value must be JSON, got ${describeType(value)}`);
  }
  if (value === null) return 'null';
  if (value instanceof Verbatim) return value.text;
  if (Array.isArray(value)) return `[${value.map((item) => write(item, depth + 1)).join(',')}]`;
  if ('toJSON' in value && typeof value.toJSON === 'function') return write(value.toJSON(), depth + 1);
  const members: string[] = [];
  for (const [key, item] of Object.entries(value)) {
    if (item !== undefined) members.push(`${JSON.stringify(key)}:${write(item, depth + 1)}`);
  }
  return `{${members.join(',')}}`;
}

/** The text of a filter given as text, object or builder. The text itself is not checked here. */
export function filterText(input: FilterInput): string {
  return typeof input === 'string' ? input : write(filterJson(input), 0);
}

/** A filter ready to be evaluated in Rust. */
export interface CompiledFilter {
  /** Text it was made from. */
  readonly text: string;
  /** Handle in Rust, also for calls that scan there. */
  readonly raw: RawFilter;
  /** Whether an event matches; one call into Rust. */
  test(event: Uint8Array): boolean;
}

class Compiled implements CompiledFilter {
  readonly text: string;
  readonly raw: RawFilter;

  constructor(text: string) {
    this.text = text;
    this.raw = new door.Filter(text);
  }

  test(event: Uint8Array): boolean {
    return this.raw.matches(event);
  }
}

/** Streams poll with the same text again and again: the last compiled filters, the newest at the end. */
const recent = new Map<string, CompiledFilter>();
const RECENT = 64;
const RECENT_TEXT = 4096;

function compile(text: string): CompiledFilter {
  const known = recent.get(text);
  if (known) return known;
  if (text.length > MAX_TEXT) throw invalid(`the text is longer than ${MAX_TEXT} bytes`);
  let filter: CompiledFilter;
  try {
    filter = new Compiled(text);
  } catch (error) {
    throw invalid(messageOf(error), error);
  }
  if (text.length <= RECENT_TEXT) {
    if (recent.size >= RECENT) {
      for (const oldest of recent.keys()) {
        recent.delete(oldest);
        break;
      }
    }
    recent.set(text, filter);
  }
  return filter;
}

/**
 * Compiles a filter; undefined stays undefined (no filter).
 *
 * @throws MeshringError kind `invalid-filter`, `Invalid filter: <reason>`
 */
export function compileFilter(input: FilterInput | undefined): CompiledFilter | undefined {
  return input === undefined ? undefined : compile(filterText(input));
}
