import { describe, expect, it } from 'vitest';
import {
  AnnouncementIntake,
  announcedTags,
  CapabilityIndex,
  type CapabilitySet,
  decodeAnnouncement,
  encodeAnnouncement,
  hasDerivedNodeId,
  type IndexClock,
  projectCapabilities,
  type ScopeFilter,
  signAnnouncement,
  signedPayload,
  verifyAnnouncement,
} from '../../src/capabilities/index.js';
import { withRegionScope, withSubnetLocalScope, withTenantScope } from '../../src/capabilities.js';
import { normalizeGpuVendor } from '../../src/core.js';
import { Identity } from '../../src/identity.js';
import announce from '../vectors/capabilities-announce.json';
import ingest from '../vectors/capabilities-announcement-ingest.json';
import facade from '../vectors/capabilities-facade.json';
import find from '../vectors/capabilities-find.json';

const bytes = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
const text = (view: Uint8Array) => new TextDecoder().decode(view);
/** Strings such as "2000n" stand for bigints. */
const revived = (value: unknown) =>
  JSON.parse(JSON.stringify(value), (_, x: unknown) =>
    typeof x === 'string' && /^-?[0-9]+n$/.test(x) ? BigInt(x.slice(0, -1)) : x,
  ) as CapabilitySet;

const clock: IndexClock = { wallNs: () => 1_795_257_500_000_000_000n, monotonicMs: () => 0 };

describe('announcements of recorded sets', () => {
  it.each(announce.cases)('$name: the same tags, signature and bytes', (v) => {
    const identity = Identity.fromSeed(bytes(v.identity_seed_hex));
    const wire = projectCapabilities(revived(v.capability_set));
    const tags = announcedTags(wire.tags, [], 'unknown');
    expect(tags).toEqual(v.tags);
    expect(wire.metadata).toEqual(v.metadata);
    const unsigned = {
      nodeId: identity.nodeId,
      entityId: identity.entityId,
      version: BigInt(v.version),
      timestampNs: BigInt(v.timestamp_ns),
      ttlSecs: v.ttl_secs,
      tags,
      metadata: new Map(Object.entries(wire.metadata)),
      hopCount: 0,
    };
    expect(text(signedPayload(unsigned))).toBe(v.signed_payload_utf8);
    const signed = signAnnouncement(unsigned, identity);
    const encoded = encodeAnnouncement(signed);
    expect(text(encoded)).toBe(v.announcement_utf8);
    const decoded = decodeAnnouncement(bytes(v.announcement_hex));
    if (!decoded) throw new Error('not decoded');
    expect([verifyAnnouncement(decoded), hasDerivedNodeId(decoded)]).toEqual([true, true]);
    expect(text(encodeAnnouncement(decoded))).toBe(v.announcement_utf8);
  });
});

describe('received announcements', () => {
  const index = new CapabilityIndex({ clock });
  const intake = new AnnouncementIntake({ ownNodeId: 1n, index, clock });
  it.each(ingest.cases)('$name', (v) => {
    const result = intake.receive(bytes(v.payload_hex), BigInt(ingest.sender_node_id));
    const forward = result.dropped === undefined ? result.forward : undefined;
    expect(forward ? text(forward) : null).toBe(v.forwarded_utf8);
    expect(index.findNodes({ requireTags: [v.probe_tag] }).includes(BigInt(v.origin_node_id))).toBe(v.indexed);
  });
});

describe('queries', () => {
  const nodeOf = (name: string) => {
    const identity = Identity.fromSeed(new Uint8Array(32).fill(name.length));
    const wire = projectCapabilities(revived(find.sets[name as keyof typeof find.sets]));
    const index = new CapabilityIndex({ clock, ownNodeId: identity.nodeId });
    index.index({
      nodeId: identity.nodeId,
      entityId: identity.entityId,
      version: 1n,
      timestampNs: clock.wallNs(),
      ttlSecs: 300,
      tags: announcedTags(wire.tags, [], 'unknown'),
      metadata: new Map(),
      hopCount: 0,
    });
    return { index, id: identity.nodeId };
  };
  const nodes = new Map(Object.keys(find.sets).map((name) => [name, nodeOf(name)]));
  type Case = { set: string; filter?: object; core_filter?: object; scope?: ScopeFilter; match: boolean };
  // The peer ignores requirements in megabytes; here they count, as documented.
  const cases = (find.cases as Case[]).filter((v) => !JSON.stringify(v.filter ?? {}).includes('Mb'));

  it.each(cases.map((v, i) => ({ ...v, name: `${i}: ${v.set} ${JSON.stringify(v.filter ?? v.core_filter)}` })))(
    '$name $scope',
    (v) => {
      const { index, id } = nodes.get(v.set) ?? nodeOf(v.set);
      const filter = v.filter ?? v.core_filter ?? {};
      const found = v.scope ? index.findNodesScoped(filter, v.scope) : index.findNodes(filter);
      expect(found).toEqual(v.match ? [id] : []);
    },
  );

  it('megabytes count: gigabytes times 1024 must reach them, and VRAM implies a GPU', () => {
    const { index, id } = nodes.get('gpu') ?? nodeOf('gpu');
    expect(index.findNodes({ minVramMb: 40_000 })).toEqual([id]);
    expect(index.findNodes({ minVramMb: 80 * 1024, minMemoryMb: 64 * 1024 })).toEqual([id]);
    expect(index.findNodes({ minVramMb: 80 * 1024 + 1 })).toEqual([]);
    expect(index.findNodes({ minMemoryMb: 64 * 1024 + 1 })).toEqual([]);
    expect(nodes.get('none')?.index.findNodes({ minVramMb: 0 })).toEqual([]);
  });
});

describe('helpers', () => {
  it.each(facade.scopeHelpers)('$fn', (v) => {
    const fn = { withTenantScope, withRegionScope, withSubnetLocalScope }[v.fn] as (...a: unknown[]) => string[];
    const args = v.args.map((arg) => arg ?? undefined);
    expect(fn(...args)).toEqual(v.result);
  });

  it('scope helpers return the same array when nothing is added', () => {
    const tags = ['scope:tenant:a'];
    expect(withTenantScope(tags, 'a')).toBe(tags);
    expect(withTenantScope(tags, '')).toBe(tags);
    expect(withRegionScope(tags, 'b')).not.toBe(tags);
    expect(tags).toEqual(['scope:tenant:a']);
  });

  it('vendors in any case, nothing else', () => {
    expect(['NVIDIA', 'Amd', 'apple', ' nvidia', 'x', ''].map(normalizeGpuVendor)).toEqual([
      'nvidia',
      'amd',
      'apple',
      'unknown',
      'unknown',
      'unknown',
    ]);
  });
});
