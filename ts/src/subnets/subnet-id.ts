/** Subnet ids: up to four levels of a byte each, level 0 in the most significant one (33 B1, B2). */
import { MeshringError, textOf } from '../errors.js';

/** Most levels of a subnet. */
export const MAX_LEVELS = 4;

/** A subnet: 1 to 4 levels, integers of 0..255; 0 means unspecified. */
export interface SubnetId {
  levels: number[];
}

/** The subnet of everybody. */
export const GLOBAL_SUBNET: SubnetId = Object.freeze({ levels: Object.freeze([0]) as unknown as number[] });

function isByte(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 255;
}

/** A subnet of its levels, from the widest to the narrowest. Throws `subnet: …`. */
export function subnetId(...levels: number[]): SubnetId {
  if (levels.length < 1 || levels.length > MAX_LEVELS) {
    throw new MeshringError('invalid-argument', `subnet: levels must have 1–4 entries, got ${levels.length}`);
  }
  for (const [level, value] of levels.entries()) {
    if (!isByte(value)) {
      throw new MeshringError(
        'invalid-argument',
        `subnet: level ${level} value ${textOf(value)} must be an integer in [0, 255]`,
      );
    }
  }
  return { levels };
}

/** The 32-bit form of a configured subnet, checked with the texts of `MeshNode.create`. */
export function packSubnet(subnet: SubnetId): number {
  const levels: unknown = (subnet as SubnetId | null)?.levels;
  const fail = (text: string) => new MeshringError('invalid-config', `subnet: ${text}`);
  if (!Array.isArray(levels)) throw fail('levels must be an array');
  if (levels.length === 0) throw fail('levels must have at least one entry');
  if (levels.length > MAX_LEVELS) throw fail(`levels must have at most 4 entries, got ${levels.length}`);
  let packed = 0;
  for (const [level, value] of (levels as unknown[]).entries()) {
    if (!isByte(value)) {
      const shown = typeof value === 'number' && Number.isInteger(value) ? value >>> 0 : textOf(value);
      throw fail(
        typeof shown === 'number'
          ? `level ${level} value ${shown} exceeds u8 range`
          : `level ${level} value ${shown} must be an integer`,
      );
    }
    packed |= value << (24 - 8 * level);
  }
  return packed >>> 0;
}

/** All four levels of the 32-bit form. */
export function unpackSubnet(packed: number): [number, number, number, number] {
  return [(packed >>> 24) & 255, (packed >>> 16) & 255, (packed >>> 8) & 255, packed & 255];
}

/** Index of the last level that is not 0, plus one; 0 for the global subnet. */
export function subnetDepth(packed: number): number {
  return unpackSubnet(packed).findLastIndex((level) => level !== 0) + 1;
}

/** Mask of the first `depth` levels. */
function mask(depth: number): number {
  return depth === 0 ? 0 : (0xffff_ffff << (32 - 8 * depth)) >>> 0;
}

/** The subnet without its deepest level. */
export function parentSubnet(packed: number): number {
  return (packed & mask(Math.max(0, subnetDepth(packed) - 1))) >>> 0;
}

/** Whether `a` equals `b` or lies above it. The global subnet lies above everything. */
export function isAncestor(a: number, b: number): boolean {
  const bits = mask(subnetDepth(a));
  return ((a ^ b) & bits) === 0;
}

/** Whether two different subnets of the same depth have the same parent. */
export function areSiblings(a: number, b: number): boolean {
  const depth = subnetDepth(a);
  return depth > 0 && depth === subnetDepth(b) && a !== b && parentSubnet(a) === parentSubnet(b);
}

/** `global`, or the levels joined by dots. */
export function subnetText(packed: number): string {
  const depth = subnetDepth(packed);
  return depth === 0 ? 'global' : unpackSubnet(packed).slice(0, depth).join('.');
}
