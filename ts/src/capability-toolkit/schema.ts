/** The built-in schema of typed tags (41 §9.1). */
import type { TaxonomyAxis } from './tag.js';

/** Type of a tag's value. */
export type ValueType = 'presence' | 'number' | 'string' | 'enumeration' | 'bool' | 'csv';

/** A known key and the type of its value. */
export interface KeyEntry {
  key: string;
  valueType: ValueType;
}

/** What follows a prefix: `<index>.<sub key>`, or any name with a value of one type. */
export type KeyShapeKind = { kind: 'indexedCollection' } | { kind: 'keyedMap'; valueType: ValueType };

/** A family of keys. */
export interface KeyShape {
  /** Ends with a dot. */
  prefix: string;
  shape: KeyShapeKind;
  /** Sub keys of an indexed collection. */
  subKeys: KeyEntry[];
}

/** Keys of one axis. */
export interface AxisEntry {
  keys: KeyEntry[];
  shapes: KeyShape[];
}

/** Keys of all axes and the metadata names that the mesh keeps to itself. */
export interface AxisSchema {
  hardware: AxisEntry;
  software: AxisEntry;
  devices: AxisEntry;
  dataforts: AxisEntry;
  metadataReserved: string[];
  metadataReservedPrefixes: string[];
}

/** Metadata keys with a meaning of their own. */
export const METADATA_RESERVED_KEYS: readonly string[] = Object.freeze([
  'intent',
  'colocate-with',
  'colocate-with-strict',
  'priority',
  'owner',
]);

/** Prefixes of metadata keys with a meaning of their own. */
export const METADATA_RESERVED_PREFIXES: readonly string[] = Object.freeze(['tool::']);

/** Keys and values of metadata beyond this many UTF-8 bytes get a warning. */
export const METADATA_SOFT_CAP_BYTES = 4096;

const entries = (valueType: ValueType, ...keys: string[]): KeyEntry[] => keys.map((key) => ({ key, valueType }));
const keyed = (prefix: string): KeyShape => ({
  prefix,
  shape: { kind: 'keyedMap', valueType: 'string' },
  subKeys: [],
});

/** The built-in schema. */
export const AXIS_SCHEMA: AxisSchema & Record<TaxonomyAxis, AxisEntry> = {
  hardware: {
    keys: [
      ...entries('number', 'cpu_cores', 'cpu_threads', 'memory_gb'),
      ...entries('presence', 'gpu'),
      ...entries('enumeration', 'gpu.vendor'),
      ...entries('string', 'gpu.model'),
      ...entries('number', 'gpu.vram_gb', 'gpu.compute_units', 'gpu.tensor_cores', 'gpu.fp16_tflops_x10'),
      ...entries('number', 'storage_gb', 'network_gbps'),
      ...entries('number', 'limits.max_concurrent_requests', 'limits.max_tokens_per_request', 'limits.rate_limit_rpm'),
      ...entries('number', 'limits.max_batch_size', 'limits.max_input_bytes', 'limits.max_output_bytes'),
    ],
    shapes: [],
  },
  software: {
    keys: entries('string', 'os', 'os_version', 'cuda_version'),
    shapes: [
      keyed('runtime.'),
      keyed('framework.'),
      keyed('driver.'),
      {
        prefix: 'model.',
        shape: { kind: 'indexedCollection' },
        subKeys: [
          ...entries('string', 'id', 'family'),
          ...entries('number', 'parameters_b_x10', 'context_length'),
          ...entries('string', 'quantization'),
          ...entries('csv', 'modalities'),
          ...entries('number', 'tokens_per_sec'),
          ...entries('bool', 'loaded'),
        ],
      },
      {
        prefix: 'tool.',
        shape: { kind: 'indexedCollection' },
        subKeys: [
          ...entries('string', 'tool_id', 'name', 'version'),
          ...entries('csv', 'requires'),
          ...entries('number', 'estimated_time_ms'),
          ...entries('bool', 'stateless'),
        ],
      },
    ],
  },
  devices: { keys: [], shapes: [] },
  dataforts: { keys: [], shapes: [] },
  metadataReserved: [...METADATA_RESERVED_KEYS],
  metadataReservedPrefixes: [...METADATA_RESERVED_PREFIXES],
};
