/** Filters of queries (40 §9). */
import { parseWireTag, semanticTag, separatorIndex } from '../capability-toolkit/index.js';
import { wrongType } from '../errors.js';
import {
  type CapabilityFilter,
  type GpuVendor,
  modalityFromInput,
  normalizeGpuVendor,
  type WireModality,
} from './types.js';
import { sortedDistinct, wellFormed } from './utf8-order.js';
import { type CapabilityView, viewOf } from './view.js';

/** A checked filter. */
export interface Requirements {
  readonly tags: readonly string[];
  /** Any of them; empty: no condition. */
  readonly models: readonly string[];
  /** Any of them; empty: no condition. */
  readonly tools: readonly string[];
  readonly gpu: boolean;
  readonly gpuVendor: GpuVendor | undefined;
  readonly minMemoryMb: number | undefined;
  readonly minVramMb: number | undefined;
  readonly minContextLength: number | undefined;
  readonly modalities: readonly WireModality[];
}

const METHOD = 'findNodes';

function texts(value: unknown, field: string): string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw wrongType(METHOD, field, value, 'an array of strings', 'ArrayExpected');
  return value.map((entry: unknown) => {
    if (typeof entry !== 'string') throw wrongType(METHOD, field, entry, 'a string', 'StringExpected');
    return wellFormed(entry);
  });
}

function amount(value: unknown, field: string): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'number') throw wrongType(METHOD, field, value, 'a number', 'NumberExpected');
  return value >>> 0;
}

/** Megabytes cross no wire: what a u32 of gigabytes comes to, and fractions, count as they are. */
function megabytesOf(value: unknown, field: string): number | undefined {
  const whole = amount(value, field);
  return whole !== undefined && (value as number) >= 0 ? (value as number) : whole;
}

function flag(value: unknown, field: string): boolean {
  if (value === undefined) return false;
  if (typeof value !== 'boolean') throw wrongType(METHOD, field, value, 'a boolean', 'BooleanExpected');
  return value;
}

/** The larger of a requirement in megabytes and one in gigabytes. */
function megabytes(mb: number | undefined, gb: number | undefined): number | undefined {
  if (gb === undefined) return mb;
  return Math.max(mb ?? 0, gb * 1024);
}

/** Checks the types of a filter; throws `MeshringError`. */
export function requirementsOf(filter: CapabilityFilter): Requirements {
  if (filter === null || typeof filter !== 'object') {
    throw wrongType(METHOD, 'filter', filter, 'an object', 'InvalidArg');
  }
  const minVramMb = megabytes(megabytesOf(filter.minVramMb, 'minVramMb'), amount(filter.minVramGb, 'minVramGb'));
  const { gpuVendor } = filter;
  if (gpuVendor !== undefined && typeof gpuVendor !== 'string') {
    throw wrongType(METHOD, 'gpuVendor', gpuVendor, 'a string', 'StringExpected');
  }
  return {
    tags: texts(filter.requireTags, 'requireTags'),
    models: texts(filter.requireModels, 'requireModels'),
    tools: texts(filter.requireTools, 'requireTools'),
    gpu: flag(filter.requireGpu, 'requireGpu') || gpuVendor !== undefined || minVramMb !== undefined,
    gpuVendor: gpuVendor === undefined ? undefined : normalizeGpuVendor(gpuVendor),
    minMemoryMb: megabytes(megabytesOf(filter.minMemoryMb, 'minMemoryMb'), amount(filter.minMemoryGb, 'minMemoryGb')),
    minVramMb,
    minContextLength: amount(filter.minContextLength, 'minContextLength'),
    modalities: texts(filter.requireModalities, 'requireModalities').map(modalityFromInput),
  };
}

/** Conditions other than tags, models and tools. `hasGpu`: the exact tag `hardware.gpu` is there. */
export function viewSatisfies(need: Requirements, view: CapabilityView, hasGpu: boolean): boolean {
  if (need.gpu && !hasGpu) return false;
  if (need.gpuVendor !== undefined && view.gpuVendor !== need.gpuVendor) return false;
  if (need.minMemoryMb !== undefined && view.memoryGb * 1024 < need.minMemoryMb) return false;
  if (need.minVramMb !== undefined && view.vramGb * 1024 < need.minVramMb) return false;
  const { minContextLength } = need;
  if (minContextLength !== undefined && !view.models.some((model) => model.contextLength >= minContextLength)) {
    return false;
  }
  return need.modalities.every((modality) => view.models.some((model) => model.modalities.includes(modality)));
}

/** Whether some `<prefix><anything>.<field>` has one of the values. */
function hasMember(tags: readonly string[], prefix: string, field: string, values: readonly string[]): boolean {
  return tags.some((tag) => {
    if (!tag.startsWith(prefix)) return false;
    const cut = separatorIndex(tag);
    return cut >= 0 && tag.slice(prefix.length, cut).endsWith(`.${field}`) && values.includes(tag.slice(cut + 1));
  });
}

/**
 * Whether a set of tags satisfies a filter, as gates of channels ask it: tags compare by meaning, so the separator of a
 * value does not matter. (Queries of the index compare spellings.)
 */
export function tagsSatisfy(tags: readonly string[], filter: CapabilityFilter): boolean {
  const need = requirementsOf(filter);
  const have = new Set(tags.map((tag) => (tag === '' ? '' : semanticTag(parseWireTag(tag)))));
  return (
    need.tags.every((tag) => tag !== '' && have.has(semanticTag(parseWireTag(tag)))) &&
    (need.models.length === 0 || hasMember(tags, 'software.model.', 'id', need.models)) &&
    (need.tools.length === 0 || hasMember(tags, 'software.tool.', 'tool_id', need.tools)) &&
    viewSatisfies(need, viewOf(sortedDistinct(tags)), tags.includes('hardware.gpu'))
  );
}
