/** Policies: which subnet follows from a node's tags (33 B3). */
import { sortedDistinct } from '../capabilities/index.js';
import { MeshringError, textOf } from '../errors.js';
import { MAX_LEVELS, packSubnet } from './subnet-id.js';

/** Tags `<tagPrefix><key>` put a node into `values[key]` of one level. */
export interface SubnetRule {
  /** May be empty; plain, case-sensitive. */
  tagPrefix: string;
  /** 0..3. */
  level: number;
  /** 1..255 each. */
  values: Record<string, number>;
}

/** Rules, applied in their order. */
export interface SubnetPolicy {
  rules: SubnetRule[];
}

interface CompiledRule {
  readonly prefix: string;
  readonly level: number;
  readonly values: ReadonlyMap<string, number>;
}

/** A checked policy. */
export interface CompiledPolicy {
  readonly rules: readonly CompiledRule[];
}

function fail(text: string): MeshringError {
  return new MeshringError('invalid-config', `subnet: ${text}`);
}

function integer(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value)) {
    throw fail(`${what} must be an integer, got ${textOf(value)}`);
  }
  // Negative numbers show as the unsigned ones that they would become.
  return value < 0 ? value >>> 0 : value;
}

function compileRule(rule: SubnetRule): CompiledRule {
  if (rule === null || typeof rule !== 'object' || typeof rule.tagPrefix !== 'string') {
    throw fail('rule tagPrefix must be a string');
  }
  const level = integer(rule.level, 'rule level');
  if (level > 255) throw fail(`rule level value ${level} exceeds u8 range`);
  if (level >= MAX_LEVELS) throw fail(`rule level must be 0..=3, got ${level}`);
  if (rule.values === null || typeof rule.values !== 'object') throw fail('rule values must be an object');
  const values = new Map<string, number>();
  for (const [key, raw] of Object.entries(rule.values)) {
    const value = integer(raw, `rule value for ${key}`);
    if (value > 255) throw fail(`rule value for ${key} value ${value} exceeds u8 range`);
    if (value === 0) {
      throw fail(
        `rule value for "${key}": subnet rule level_value must be in 1..=255 (0 is reserved for unmatched levels)`,
      );
    }
    values.set(key, value);
  }
  return { prefix: rule.tagPrefix, level, values };
}

/** Checks a policy with the texts of `MeshNode.create`. */
export function compilePolicy(policy: SubnetPolicy): CompiledPolicy {
  if (policy === null || typeof policy !== 'object' || !Array.isArray(policy.rules)) {
    throw fail('policy rules must be an array');
  }
  return { rules: policy.rules.map(compileRule) };
}

/** Subnet (32-bit form) of a node with these tags. Within a rule the first mapped tag counts, in bytewise order. */
export function assignSubnet(policy: CompiledPolicy, tags: readonly string[]): number {
  const levels = [0, 0, 0, 0];
  const sorted = sortedDistinct(tags);
  for (const { prefix, level, values } of policy.rules) {
    for (const tag of sorted) {
      const value = tag.startsWith(prefix) ? values.get(tag.slice(prefix.length)) : undefined;
      if (value === undefined) continue;
      levels[level] = value;
      break;
    }
  }
  return packSubnet({ levels });
}
