import { describe, expect, it } from 'vitest';
import {
  areSiblings,
  assignSubnet,
  compilePolicy,
  isAncestor,
  isVisible,
  packSubnet,
  parentSubnet,
  type SubnetPolicy,
  subnetDepth,
  subnetText,
  unpackSubnet,
  type Visibility,
} from '../../src/subnets/index.js';
import { GLOBAL_SUBNET, subnetId } from '../../src/subnets.js';
import vectors from '../vectors/subnets.json';

describe('subnet ids', () => {
  it.each(vectors.ids)('$display', (v) => {
    const packed = packSubnet(subnetId(...v.levels));
    expect(packed).toBe(v.raw);
    expect(subnetDepth(packed)).toBe(v.depth);
    expect(parentSubnet(packed)).toBe(v.parent);
    expect(subnetText(packed)).toBe(v.display);
    expect(packed === 0).toBe(v.global);
  });
  it.each(vectors.relations)('$source and $dest', (v) => {
    const [source, dest] = [packSubnet({ levels: v.source }), packSubnet({ levels: v.dest })];
    expect(isAncestor(source, dest)).toBe(v.sourceIsAncestorOfDest);
    expect(areSiblings(source, dest)).toBe(v.siblings);
    for (const [visibility, seen] of Object.entries(v.visible)) {
      expect([visibility, isVisible(visibility as Visibility, source, dest)]).toEqual([visibility, seen]);
    }
  });
  it('errors of subnetId', () => {
    expect(() => subnetId()).toThrow('subnet: levels must have 1–4 entries, got 0');
    expect(() => subnetId(1, 2, 3, 4, 5)).toThrow('subnet: levels must have 1–4 entries, got 5');
    expect(() => subnetId(1, 256)).toThrow('subnet: level 1 value 256 must be an integer in [0, 255]');
    expect(() => subnetId(1.5)).toThrow('subnet: level 0 value 1.5 must be an integer in [0, 255]');
    expect(GLOBAL_SUBNET).toEqual({ levels: [0] });
    expect(() => GLOBAL_SUBNET.levels.push(1)).toThrow(TypeError);
  });
  it.each([
    [[], 'subnet: levels must have at least one entry'],
    [[1, 2, 3, 4, 5], 'subnet: levels must have at most 4 entries, got 5'],
    [[1, 256], 'subnet: level 1 value 256 exceeds u8 range'],
    [[-1], 'subnet: level 0 value 4294967295 exceeds u8 range'],
    [[0.5], 'subnet: level 0 value 0.5 must be an integer'],
    ['x', 'subnet: levels must be an array'],
  ])('configured levels %j', (levels, message) => {
    expect(() => packSubnet({ levels: levels as number[] })).toThrow(message);
  });
});

describe('policies', () => {
  it.each(vectors.assign)('$tags', (v) => {
    const packed = assignSubnet(compilePolicy({ rules: v.rules as unknown as SubnetPolicy['rules'] }), v.tags);
    expect(packed).toBe(v.raw);
    expect(unpackSubnet(packed)).toEqual(v.subnet);
  });
  const rule = (level: number, values: Record<string, number> = { a: 1 }) => ({
    rules: [{ tagPrefix: 'x:', level, values }],
  });
  it.each([
    [rule(256), 'subnet: rule level value 256 exceeds u8 range'],
    [rule(4), 'subnet: rule level must be 0..=3, got 4'],
    [rule(-1), 'subnet: rule level value 4294967295 exceeds u8 range'],
    [rule(1.9), 'subnet: rule level must be an integer, got 1.9'],
    [rule(0, { us: 256 }), 'subnet: rule value for us value 256 exceeds u8 range'],
    [
      rule(0, { us: 0 }),
      'subnet: rule value for "us": subnet rule level_value must be in 1..=255 (0 is reserved for unmatched levels)',
    ],
    [{}, 'subnet: policy rules must be an array'],
  ])('%j', (policy, message) => {
    expect(() => compilePolicy(policy as SubnetPolicy)).toThrow(message);
  });
});
