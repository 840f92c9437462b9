/** Plain copies of sets and filters for the lower-level methods (40 §1.2). */
import type { CapabilityFilter, CapabilitySet, ScopeFilter, SoftwarePair } from './types.js';

/** Values of enumerations become `string`, pairs become lists of strings. */
type Plain<T> = T extends bigint | number | boolean
  ? T
  : T extends string
    ? string
    : T extends readonly (infer E)[]
      ? Plain<E>[]
      : T extends object
        ? { [K in keyof T]: Plain<T[K]> }
        : T;

/** A capability set for the core. */
export type NapiCapabilitySet = Plain<CapabilitySet>;
/** A filter for the core. */
export type NapiCapabilityFilter = Plain<CapabilityFilter>;
/** A scope filter for the core. */
export interface NapiScopeFilter {
  kind: string;
  tenant?: string;
  tenants?: string[];
  region?: string;
  regions?: string[];
}

function copy<T>(value: T): Plain<T> {
  if (Array.isArray(value)) return value.map((entry: unknown) => copy(entry)) as Plain<T>;
  if (value === null || typeof value !== 'object') return value as Plain<T>;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, copy(entry as unknown)])) as Plain<T>;
}

const pairs = (list: SoftwarePair[] | undefined) => list?.map(([name, version]) => [name, version]);

/** A plain copy of a capability set. */
export function capabilitySetToNapi(caps: CapabilitySet): NapiCapabilitySet {
  const { hardware, models, tools, tags, limits } = caps;
  const software = caps.software && {
    ...caps.software,
    runtimes: pairs(caps.software.runtimes),
    frameworks: pairs(caps.software.frameworks),
    drivers: pairs(caps.software.drivers),
  };
  return copy({ ...caps, hardware, software, models, tools, tags, limits }) as NapiCapabilitySet;
}

/** A plain copy of a filter. */
export function capabilityFilterToNapi(filter: CapabilityFilter): NapiCapabilityFilter {
  return copy({
    requireTags: filter.requireTags,
    requireModels: filter.requireModels,
    requireTools: filter.requireTools,
    requireGpu: filter.requireGpu,
    gpuVendor: filter.gpuVendor,
    minContextLength: filter.minContextLength,
    requireModalities: filter.requireModalities,
    minMemoryMb: filter.minMemoryMb,
    minVramMb: filter.minVramMb,
    minMemoryGb: filter.minMemoryGb,
    minVramGb: filter.minVramGb,
  });
}

/** A plain copy with only the fields of its kind. An unknown kind becomes `any`. */
export function scopeFilterToNapi(scope: ScopeFilter): NapiScopeFilter {
  switch (scope.kind) {
    case 'tenant':
      return { kind: scope.kind, tenant: scope.tenant };
    case 'tenants':
      return { kind: scope.kind, tenants: scope.tenants && [...scope.tenants] };
    case 'region':
      return { kind: scope.kind, region: scope.region };
    case 'regions':
      return { kind: scope.kind, regions: scope.regions && [...scope.regions] };
    case 'globalOnly':
    case 'sameSubnet':
      return { kind: scope.kind };
    default:
      return { kind: 'any' };
  }
}
