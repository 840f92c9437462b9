/**
 * JSON as it goes over the wire (90 §5): UTF-8 without BOM, nesting up to 128, integers within ± 2^53, and bytes as
 * `{"$bytes": "<base64>"}`. An application object that looks like that, or like its escape, gets one more `$`.
 */
import { isUtf8 } from 'node:buffer';
import { MarketrixError, messageOf } from '../errors.js';

/** Deepest nesting of arrays and objects in one frame. */
export const MAX_NESTING = 128;
/** A payload shorter than this cannot be nested too deep. */
const MIN_DEEP_BYTES = 2 * MAX_NESTING;
const ESCAPED = /^\$+bytes$/;
const DOLLAR = 36;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function invalid(text: string, cause?: unknown): MarketrixError {
  return new MarketrixError('invalid-message', text, { cause });
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

/**
 * The value as `JSON.stringify` may take it: the same object where nothing has to change, else a changed copy.
 * `bytes`: whether Buffers are allowed.
 */
function prepare(value: unknown, bytes: boolean, depth: number): unknown {
  switch (typeof value) {
    case 'number':
      if (!Number.isFinite(value)) throw invalid(`${value} has no JSON form`);
      if (value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER) {
        throw invalid(`number ${value} is beyond 2^53: send it as a string`);
      }
      return value;
    case 'bigint':
      throw invalid('a bigint has no JSON form: send it as a string');
    case 'object':
      break;
    default:
      return value;
  }
  if (value === null) return value;
  if (value instanceof Uint8Array) {
    if (!bytes) throw invalid('bytes need the envelope (option `envelope`), a raw stream carries JSON only');
    return { $bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64') };
  }
  if (depth >= MAX_NESTING) throw invalid(`nested deeper than ${MAX_NESTING}, or circular`);
  const { toJSON } = value as { toJSON?: unknown };
  if (typeof toJSON === 'function') return prepare(toJSON.call(value, ''), bytes, depth);
  if (Array.isArray(value)) return prepareArray(value, bytes, depth + 1);
  return prepareObject(value as Record<string, unknown>, bytes, depth + 1);
}

function prepareArray(value: unknown[], bytes: boolean, depth: number): unknown[] {
  let copy: unknown[] | undefined;
  for (let i = 0; i < value.length; i++) {
    const item = value[i];
    const prepared = prepare(item, bytes, depth);
    if (prepared !== item) {
      copy ??= value.slice();
      copy[i] = prepared;
    }
  }
  return copy ?? value;
}

function prepareObject(value: Record<string, unknown>, bytes: boolean, depth: number): unknown {
  let changed: Map<string, unknown> | undefined;
  let count = 0;
  let last = '';
  for (const key in value) {
    if (!Object.hasOwn(value, key)) continue;
    count += 1;
    last = key;
    const item = value[key];
    const prepared = prepare(item, bytes, depth);
    if (prepared !== item) {
      changed ??= new Map();
      changed.set(key, prepared);
    }
  }
  if (count === 0 && !isPlain(value) && (value instanceof Map || value instanceof Set)) {
    throw invalid(`a ${value.constructor.name} has no JSON form: send an array or an object`);
  }
  const escaped = bytes && count === 1 && last.charCodeAt(0) === DOLLAR && ESCAPED.test(last);
  if (!changed && !escaped) return value;
  // `fromEntries` defines properties, so that a key `__proto__` stays plain data.
  return Object.fromEntries(
    Object.keys(value).map((key) => [escaped ? `$${key}` : key, changed?.has(key) ? changed.get(key) : value[key]]),
  );
}

/**
 * JSON text of a value.
 *
 * @param bytes whether Buffers may occur.
 * @throws MarketrixError `invalid-message` when the value has no JSON form.
 */
export function toJson(value: unknown, bytes: boolean, depth = 0): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(prepare(value, bytes, depth));
  } catch (error) {
    if (error instanceof MarketrixError) throw error;
    throw invalid(messageOf(error), error);
  }
  if (text === undefined) throw invalid(`${typeof value} has no JSON form`);
  return text;
}

function protocol(text: string, cause?: unknown): MarketrixError {
  return new MarketrixError('protocol', text, { cause });
}

/** @throws MarketrixError `protocol` when the payload is not UTF-8. */
export function toText(payload: Buffer): string {
  if (!isUtf8(payload)) throw protocol('frame is not UTF-8');
  return payload.toString('utf8');
}

/** Whether a text may hold a key `$bytes`, escaped or not. */
export function mayHoldBytes(text: string): boolean {
  return text.includes('$') || text.includes('\\u');
}

/**
 * Value of a JSON text.
 *
 * @param bytes whether `{"$bytes": …}` stands for a Buffer.
 * @throws MarketrixError `protocol` when it is not one JSON value, or nested too deep.
 */
export function fromJson(text: string, bytes: boolean): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw protocol('frame is not JSON', error);
  }
  if (typeof value !== 'object' || value === null) return value;
  const restore = bytes && mayHoldBytes(text);
  if (restore || text.length > MIN_DEEP_BYTES) return inspect(value, restore, 1);
  return value;
}

/** Checks the nesting, and with `restore` puts Buffers back in place. */
function inspect(value: object, restore: boolean, depth: number): unknown {
  if (depth > MAX_NESTING) throw protocol(`nested deeper than ${MAX_NESTING}`);
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const item: unknown = value[i];
      if (typeof item === 'object' && item !== null) value[i] = inspect(item, restore, depth + 1);
    }
    return value;
  }
  const fields = value as Record<string, unknown>;
  let count = 0;
  let last = '';
  for (const key in fields) {
    count += 1;
    last = key;
    const item = fields[key];
    if (typeof item !== 'object' || item === null) continue;
    const inspected = inspect(item, restore, depth + 1);
    if (inspected !== item) Object.defineProperty(fields, key, { ...WRITABLE, value: inspected });
  }
  if (restore && count === 1 && ESCAPED.test(last)) {
    const only = fields[last];
    if (last !== '$bytes') return { [last.slice(1)]: only };
    if (typeof only !== 'string' || !BASE64.test(only)) throw protocol('$bytes is not base64');
    return Buffer.from(only, 'base64');
  }
  return value;
}

const WRITABLE = { writable: true, enumerable: true, configurable: true };
