import { describe, expect, it } from 'vitest';
import {
  CapabilityIndex,
  type CapabilitySet,
  projectCapabilities,
  requirementsOf,
  type ScopeFilter,
  tagsSatisfy,
  withChainHeat,
} from '../../src/capabilities/index.js';
import { capabilitySetToNapi, scopeFilterToNapi } from '../../src/capabilities.js';

const wrong = (input: unknown) => input as CapabilitySet;

describe('what a node offers', () => {
  it.each([
    ['loaded', { models: [{ modelId: 'm', loaded: 'true' }] }],
    ['stateless', { tools: [{ toolId: 't', stateless: 'no' }] }],
    ['stateless', { tools: [{ toolId: 't', stateless: 0 }] }],
    ['runtimes', { software: { runtimes: [['python']] } }],
    ['runtimes', { software: { runtimes: [['python', 3]] } }],
    ['metadata', { metadata: 'text' }],
    ['metadata', { metadata: { a: 1 } }],
  ])('a wrong type of %s is refused: %j', (field, caps) => {
    expect(() => projectCapabilities(wrong(caps))).toThrow(`announceCapabilities: ${field} must be`);
  });

  it.each([
    [{ cpuCores: 4 }, ['hardware.cpu_cores=4', 'hardware.cpu_threads=4']],
    [{ cpuCores: 4, cpuThreads: 0 }, ['hardware.cpu_cores=4']],
    [{ cpuCores: 0, cpuThreads: 8 }, ['hardware.cpu_threads=8']],
    [{ cpuThreads: 8 }, []],
  ])('threads follow the cores only when they are not given: %j', (hardware, tags) => {
    expect(projectCapabilities({ hardware }).tags).toEqual(tags);
  });

  it('empty fields of a tool come out as peers announce them, which differs for the last one', () => {
    const tool = { toolId: '', version: '', requires: [''] };
    expect(projectCapabilities({ tools: [tool, tool] }).tags).toEqual([
      'software.tool.0.stateless=true',
      'software.tool.0.version=1.0.0',
      'software.tool.1.requires=',
      'software.tool.1.stateless=true',
    ]);
  });

  it('of a pair only the first two count', () => {
    const caps = wrong({ software: { os: 'linux', runtimes: [['python', '3', 7]] } });
    expect(projectCapabilities(caps).tags).toEqual(['software.os=linux', 'software.runtime.python=3']);
    expect(capabilitySetToNapi(caps).software).toMatchObject({ os: 'linux', runtimes: [['python', '3']] });
  });
});

describe('queries', () => {
  const index = new CapabilityIndex();
  const announce = (nodeId: bigint, caps: CapabilitySet) =>
    index.index({
      nodeId,
      entityId: new Uint8Array(32).fill(Number(nodeId)),
      version: 1n,
      timestampNs: BigInt(Date.now()) * 1_000_000n,
      ttlSecs: 300,
      ...projectCapabilities(caps),
      metadata: new Map(),
      hopCount: 0,
    });
  announce(1n, {
    hardware: { memoryGb: 0xffff_ffff },
    models: [{ modelId: 'm', contextLength: 1 }],
    tags: ['scope:tenant:a'],
  });

  it('numbers are what a u32 makes of them; megabytes count as they are', () => {
    expect(index.findNodes({ minContextLength: 1.9 })).toEqual([1n]);
    expect(index.findNodes({ minMemoryGb: 2 ** 32 + 1.5 })).toEqual([1n]);
    expect(index.findNodes({ minMemoryMb: 0xffff_ffff * 1024 })).toEqual([1n]);
    expect(index.findNodes({ minMemoryMb: 0xffff_ffff * 1024 + 0.5 })).toEqual([]);
    expect(index.findNodes({ minMemoryMb: Number.POSITIVE_INFINITY })).toEqual([]);
    expect(index.findNodes({ minMemoryMb: -1, minVramMb: undefined as never })).toEqual([1n]);
  });

  it('a requirement of a wrong type is refused, not overlooked', () => {
    expect(() => requirementsOf({ requireGpu: 1 as never })).toThrow('findNodes: requireGpu must be a boolean');
    expect(() => requirementsOf({ requireGpu: 'false' as never })).toThrow('findNodes: requireGpu must be a boolean');
  });

  it.each([
    { kind: 'tenant', tenant: 7 },
    { kind: 'tenants', tenants: 'a' },
    { kind: 'tenants', tenants: [7] },
    { kind: 'tenants', tenants: [null] },
    { kind: 'region', region: {} },
    { kind: 'regions', regions: null },
  ])('a scope of a wrong type finds nobody: %j', (scope) => {
    expect(() => index.findNodesScoped({}, scope as unknown as ScopeFilter)).toThrow('findNodesScoped: ');
  });

  it.each([
    { kind: 'tenant' },
    { kind: 'tenant', tenant: null },
    { kind: 'tenants' },
    { kind: 'tenants', tenants: [''] },
    { kind: 'regions', regions: [] },
    { kind: 'Tenant', tenant: 'b' },
  ])('a scope without names is any: %j', (scope) => {
    expect(index.findNodesScoped({}, scope as unknown as ScopeFilter)).toEqual([1n]);
    expect(() => scopeFilterToNapi(scope as unknown as ScopeFilter)).not.toThrow();
  });

  it('without a scope, whatever is not local to a subnet is found', () => {
    announce(3n, { tags: ['scope:subnet-local'] });
    expect([index.findNodesScoped({}), index.findNodes({})]).toEqual([[1n], [1n, 3n]]);
    expect(() => index.findNodesScoped({}, null as never)).toThrow(TypeError);
    index.remove(3n);
  });

  it('texts that have no UTF-8 form compare as they are announced', () => {
    announce(2n, { tags: ['\ud800x', 'scope:tenant:\udc00'] });
    expect(index.findNodes({ requireTags: ['\ud800x'] })).toEqual([2n]);
    expect(index.findNodesScoped({ requireTags: ['\ufffdx'] }, { kind: 'tenant', tenant: '\ud801' })).toEqual([2n]);
    index.remove(2n);
  });

  it('gates: a model has an index before its id', () => {
    expect(tagsSatisfy(['software.model.id=m'], { requireModels: ['m'] })).toBe(false);
    expect(tagsSatisfy(['software.model.x.id=m'], { requireModels: ['m'] })).toBe(true);
    expect(tagsSatisfy(['software.tool.tool_id=t'], { requireTools: ['t'] })).toBe(false);
  });
});

it('a heat between two hundredths is the even one', () => {
  const shown = (rate: number) => withChainHeat([], 1n, rate)[0]?.split('=')[1];
  expect([0.125, 0.375, 0.625, 0.875].map(shown)).toEqual(['0.12', '0.38', '0.62', '0.88']);
  expect([0, 0.005, 0.25, 0.5, 0.845, 0.855, 0.995, 1].map(shown)).toEqual(
    // As peers write them.
    ['0.00', '0.01', '0.25', '0.50', '0.84', '0.85', '0.99', '1.00'],
  );
});
