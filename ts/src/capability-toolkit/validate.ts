/** Validation of a set against a schema (41 §9.2, §9.3). */
import type { CapabilitySetWire } from './capability-set.js';
import { AXIS_SCHEMA, type AxisSchema, type KeyEntry, METADATA_SOFT_CAP_BYTES, type ValueType } from './schema.js';
import { type TaxonomyAxis, tagFromString } from './tag.js';

/** Something that receivers would misread. */
export type SchemaError =
  | { kind: 'unknown_axis'; axis_prefix: string; tag: string }
  | { kind: 'type_mismatch'; axis: TaxonomyAxis; key: string; expected: ValueType; actual: string }
  | { kind: 'index_malformed'; axis: TaxonomyAxis; prefix: string; index: string; tag: string };

/** Something that is allowed but may be a mistake. */
export type ValidationWarning =
  | { kind: 'unknown_key'; axis: TaxonomyAxis; key: string }
  | { kind: 'metadata_oversize'; soft_cap_bytes: number; actual_bytes: number }
  | { kind: 'legacy_tag'; tag: string }
  | { kind: 'metadata_reserved_key'; key: string }
  | { kind: 'metadata_reserved_prefix'; key: string; prefix: string };

/** What a validation found. */
export interface ValidationReport {
  errors: SchemaError[];
  warnings: ValidationWarning[];
}

/** No errors and no warnings. */
export function isReportClean(report: ValidationReport): boolean {
  return report.errors.length === 0 && report.warnings.length === 0;
}

/** No errors. */
export function isReportValid(report: ValidationReport): boolean {
  return report.errors.length === 0;
}

const U64_MAX = 0xffff_ffff_ffff_ffffn;

/** A decimal unsigned number with an optional `+` that does not exceed `max`. */
function isUnsigned(text: string, max: bigint, plus: boolean): boolean {
  const digits = plus && text.startsWith('+') ? text.slice(1) : text;
  if (!/^[0-9]+$/.test(digits)) return false;
  const significant = digits.replace(/^0+(?=.)/, '');
  return significant.length <= 20 && BigInt(significant) <= max;
}

function fits(type: ValueType, value: string | undefined): boolean {
  if (type === 'presence') return value === undefined;
  if (value === undefined) return false;
  if (type === 'number') return isUnsigned(value, U64_MAX, true);
  if (type === 'bool') return value === 'true' || value === 'false';
  return value !== '';
}

function checkTag(
  report: ValidationReport,
  schema: AxisSchema,
  axis: TaxonomyAxis,
  key: string,
  value: string | undefined,
  tag: string,
): void {
  const check = (entry: KeyEntry) => {
    if (fits(entry.valueType, value)) return;
    const actual = value ?? '<no value>';
    report.errors.push({ kind: 'type_mismatch', axis, key: entry.key, expected: entry.valueType, actual });
  };
  const entry = schema[axis].keys.find((known) => known.key === key);
  if (entry) {
    check(entry);
    return;
  }
  for (const { prefix, shape, subKeys } of schema[axis].shapes) {
    if (!key.startsWith(prefix)) continue;
    const rest = key.slice(prefix.length);
    if (shape.kind === 'keyedMap') {
      if (rest === '') continue;
      check({ key: prefix, valueType: shape.valueType });
      return;
    }
    const dot = rest.indexOf('.');
    if (dot < 0) continue;
    const index = rest.slice(0, dot);
    if (!isUnsigned(index, 0xffff_ffffn, false)) {
      report.errors.push({ kind: 'index_malformed', axis, prefix, index, tag });
      return;
    }
    const sub = rest.slice(dot + 1);
    const known = subKeys.find((candidate) => candidate.key === sub);
    if (known) check(known);
    else report.warnings.push({ kind: 'unknown_key', axis, key });
    return;
  }
  report.warnings.push({ kind: 'unknown_key', axis, key });
}

/** Checks every tag in order, then the metadata. Throws only for an empty tag. */
export function validateCapabilities(caps: CapabilitySetWire, schema: AxisSchema = AXIS_SCHEMA): ValidationReport {
  const report: ValidationReport = { errors: [], warnings: [] };
  for (const text of caps.tags) {
    const tag = tagFromString(text);
    if (tag.kind === 'legacy') report.warnings.push({ kind: 'legacy_tag', tag: text });
    else if (tag.kind === 'axisPresent') checkTag(report, schema, tag.axis, tag.key, undefined, text);
    else if (tag.kind === 'axisValue') checkTag(report, schema, tag.axis, tag.key, tag.value, text);
  }
  const encoder = new TextEncoder();
  let bytes = 0;
  for (const [key, value] of Object.entries(caps.metadata)) {
    bytes += encoder.encode(key).length + encoder.encode(value).length;
    if (schema.metadataReserved.includes(key)) report.warnings.push({ kind: 'metadata_reserved_key', key });
    else {
      const prefix = schema.metadataReservedPrefixes.find((reserved) => key.startsWith(reserved));
      if (prefix !== undefined) report.warnings.push({ kind: 'metadata_reserved_prefix', key, prefix });
    }
  }
  if (bytes > METADATA_SOFT_CAP_BYTES) {
    report.warnings.push({
      kind: 'metadata_oversize',
      soft_cap_bytes: METADATA_SOFT_CAP_BYTES,
      actual_bytes: bytes,
    });
  }
  return report;
}
