import { expectTypeOf, it } from 'vitest';
import {
  AXIS_SCHEMA,
  type AxisSchema,
  type CapabilityFilter,
  type CapabilitySet,
  type CapabilitySetDiff,
  type CapabilitySetWire,
  diffCapabilities,
  evaluatePredicate,
  evaluatePredicateWithTrace,
  GLOBAL_SUBNET,
  type GpuVendor,
  type Hardware,
  type Predicate,
  type PredicateNode,
  type PredicateWire,
  p,
  predicateFromWire,
  predicateToRpcHeader,
  predicateToWire,
  RESERVED_PREFIXES,
  type ScopeFilter,
  type StandardPlacement,
  type SubnetId,
  type SubnetPolicy,
  standardPlacement,
  subnetId,
  type Tag,
  type TagKey,
  type TaxonomyAxis,
  tagFromString,
  type ValidationReport,
  type ValueType,
  validateCapabilities,
  whereHeader,
  withTenantScope,
} from '../../src/index.js';

it('the capability helpers have the published types', () => {
  expectTypeOf<TaxonomyAxis>().toEqualTypeOf<'hardware' | 'software' | 'devices' | 'dataforts'>();
  expectTypeOf<Tag['kind']>().toEqualTypeOf<'axisPresent' | 'axisValue' | 'reserved' | 'legacy'>();
  expectTypeOf(tagFromString).toEqualTypeOf<(s: string) => Tag>();
  expectTypeOf(RESERVED_PREFIXES).toEqualTypeOf<readonly string[]>();
  expectTypeOf(p.equals).toEqualTypeOf<(key: TagKey, value: string) => Predicate>();
  expectTypeOf(p.and).toEqualTypeOf<(...children: Predicate[]) => Predicate>();
  expectTypeOf<PredicateWire>().toEqualTypeOf<{ nodes: PredicateNode[]; root_idx: number }>();
  expectTypeOf(predicateToWire).toEqualTypeOf<(pred: Predicate) => PredicateWire>();
  expectTypeOf(predicateFromWire).toEqualTypeOf<(wire: PredicateWire) => Predicate>();
  expectTypeOf(predicateToRpcHeader).returns.toEqualTypeOf<string>();
  expectTypeOf(whereHeader).returns.toEqualTypeOf<{ name: 'net-where'; value: Buffer }>();
  expectTypeOf(evaluatePredicate).returns.toEqualTypeOf<boolean>();
  expectTypeOf(evaluatePredicateWithTrace).returns.toHaveProperty('trace');
  expectTypeOf(diffCapabilities).toEqualTypeOf<(a: CapabilitySetWire, b: CapabilitySetWire) => CapabilitySetDiff>();
  expectTypeOf(standardPlacement().build).returns.toEqualTypeOf<StandardPlacement>();
  expectTypeOf(AXIS_SCHEMA).toExtend<AxisSchema>();
  expectTypeOf<ValueType>().toEqualTypeOf<'presence' | 'number' | 'string' | 'enumeration' | 'bool' | 'csv'>();
  expectTypeOf(validateCapabilities).parameters.toEqualTypeOf<[CapabilitySetWire, AxisSchema?]>();
  expectTypeOf(validateCapabilities).returns.toEqualTypeOf<ValidationReport>();
});

it('the capability and subnet modules have the published types', () => {
  expectTypeOf<CapabilityFilter['requireTags']>().toEqualTypeOf<string[] | undefined>();
  expectTypeOf<CapabilityFilter['gpuVendor']>().toEqualTypeOf<GpuVendor | undefined>();
  expectTypeOf<Hardware['storageGb']>().toEqualTypeOf<bigint | undefined>();
  expectTypeOf<CapabilitySet['hardware']>().toEqualTypeOf<Hardware | undefined>();
  expectTypeOf<ScopeFilter['kind']>().toEqualTypeOf<
    'any' | 'globalOnly' | 'sameSubnet' | 'tenant' | 'tenants' | 'region' | 'regions'
  >();
  expectTypeOf(withTenantScope).toEqualTypeOf<(tags: string[] | undefined, tenantId: string) => string[]>();
  expectTypeOf(subnetId).toEqualTypeOf<(...levels: number[]) => SubnetId>();
  expectTypeOf(GLOBAL_SUBNET).toEqualTypeOf<SubnetId>();
  expectTypeOf<SubnetPolicy['rules'][number]['values']>().toEqualTypeOf<Record<string, number>>();
});
