/** Scope tags: who shall find a node (40 §10). */
import { wrongType } from '../errors.js';
import type { ScopeFilter } from './types.js';
import { wellFormed } from './utf8-order.js';

/** Prefix of tags that bind a node to a tenant. */
export const SCOPE_TENANT_PREFIX = 'scope:tenant:';
/** Prefix of tags that bind a node to a region. */
export const SCOPE_REGION_PREFIX = 'scope:region:';
/** Tag of a node that only its own subnet shall find. */
export const SCOPE_SUBNET_LOCAL = 'scope:subnet-local';

function withTag(tags: string[] | undefined, tag: string): string[] {
  if (tags?.includes(tag)) return tags;
  return [...(tags ?? []), tag];
}

/** The tags with the tenant's scope tag, added once; unchanged for an empty id. The input is not modified. */
export function withTenantScope(tags: string[] | undefined, tenantId: string): string[] {
  return tenantId ? withTag(tags, SCOPE_TENANT_PREFIX + tenantId) : (tags ?? []);
}

/** The tags with the region's scope tag, added once; unchanged for an empty name. The input is not modified. */
export function withRegionScope(tags: string[] | undefined, region: string): string[] {
  return region ? withTag(tags, SCOPE_REGION_PREFIX + region) : (tags ?? []);
}

/** The tags with `scope:subnet-local`, added once. The input is not modified. */
export function withSubnetLocalScope(tags: string[] | undefined): string[] {
  return withTag(tags, SCOPE_SUBNET_LOCAL);
}

/** Scope of a node, read from its tags. */
export type NodeScope =
  | { readonly kind: 'global' }
  | { readonly kind: 'subnet-local' }
  | { readonly kind: 'scoped'; readonly tenants: ReadonlySet<string>; readonly regions: ReadonlySet<string> };

const GLOBAL: NodeScope = { kind: 'global' };
const LOCAL: NodeScope = { kind: 'subnet-local' };

/** Reads the scope tags; unknown ones and empty names mean nothing. */
export function scopeOf(tags: readonly string[]): NodeScope {
  const tenants = new Set<string>();
  const regions = new Set<string>();
  for (const tag of tags) {
    if (!tag.startsWith('scope:')) continue;
    if (tag === SCOPE_SUBNET_LOCAL) return LOCAL;
    if (tag.startsWith(SCOPE_TENANT_PREFIX)) tenants.add(tag.slice(SCOPE_TENANT_PREFIX.length));
    else if (tag.startsWith(SCOPE_REGION_PREFIX)) regions.add(tag.slice(SCOPE_REGION_PREFIX.length));
  }
  tenants.delete('');
  regions.delete('');
  return tenants.size === 0 && regions.size === 0 ? GLOBAL : { kind: 'scoped', tenants, regions };
}

/** Decides whether a node of a scope is in reach of a query. */
export type ScopeTest = (scope: NodeScope, nodeId: bigint) => boolean;

const METHOD = 'findNodesScoped';

/** The name, unless it is missing or empty. */
function oneName(value: unknown, field: string): string[] {
  if (value === undefined || value === null || value === '') return [];
  if (typeof value !== 'string') throw wrongType(METHOD, field, value, 'a string', 'StringExpected');
  return [wellFormed(value)];
}

function names(value: unknown, field: string): string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw wrongType(METHOD, field, value, 'an array of strings', 'ArrayExpected');
  return value.flatMap((entry) => oneName(entry ?? 0, field));
}

/**
 * The test of a filter. Empty names and unknown kinds ask for anything that is not local to a subnet. Throws for names
 * that are no texts: a query must not become a wider one by mistake.
 */
export function scopeTest(filter: ScopeFilter, sameSubnet: (nodeId: bigint) => boolean): ScopeTest {
  const any: ScopeTest = (scope) => scope.kind !== 'subnet-local';
  const oneOf = (axis: 'tenants' | 'regions', wanted: string[]): ScopeTest =>
    wanted.length === 0
      ? any
      : (scope) => scope.kind === 'global' || (scope.kind === 'scoped' && wanted.some((name) => scope[axis].has(name)));
  switch (filter.kind) {
    case 'globalOnly':
      return (scope) => scope.kind === 'global';
    case 'sameSubnet':
      return (_, nodeId) => sameSubnet(nodeId);
    case 'tenant':
      return oneOf('tenants', oneName(filter.tenant, 'tenant'));
    case 'tenants':
      return oneOf('tenants', names(filter.tenants, 'tenants'));
    case 'region':
      return oneOf('regions', oneName(filter.region, 'region'));
    case 'regions':
      return oneOf('regions', names(filter.regions, 'regions'));
    default:
      return any;
  }
}
