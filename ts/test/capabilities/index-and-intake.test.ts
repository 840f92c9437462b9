import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Announcement,
  AnnouncementIntake,
  type CapabilityFilter,
  CapabilityIndex,
  encodeAnnouncement,
  type IndexClock,
  projectCapabilities,
  SEEN_MS,
  scopeFilterToNapi,
  signAnnouncement,
  tagsSatisfy,
  viewOf,
  withBlobHeat,
  withChainHeat,
  withChainRange,
  withChainTip,
  withoutChain,
} from '../../src/capabilities/index.js';
import { capabilityFilterToNapi, capabilitySetToNapi } from '../../src/capabilities.js';
import { p } from '../../src/capability-enhancements.js';
import { Identity } from '../../src/identity.js';

class FakeClock implements IndexClock {
  ms = 0;
  wallNs = () => 1_800_000_000_000_000_000n + BigInt(Math.floor(this.ms)) * 1_000_000n;
  monotonicMs = () => this.ms;
}

const people = Array.from({ length: 6 }, (_, i) => Identity.fromSeed(new Uint8Array(32).fill(i + 1)));
function announce(who: number, version: number, tags: string[], change: Partial<Announcement> = {}): Announcement {
  const identity = people[who] as Identity;
  return {
    nodeId: identity.nodeId,
    entityId: identity.entityId,
    version: BigInt(version),
    timestampNs: 1_800_000_000_000_000_000n,
    ttlSecs: 300,
    tags: [...new Set(tags)].sort(),
    metadata: new Map(),
    hopCount: 0,
    ...change,
  };
}
const idOf = (who: number) => (people[who] as Identity).nodeId;

describe('index', () => {
  it('answers like a scan, through any history of announcements, removals and time', () => {
    const tag = fc.constantFrom(
      'a',
      'b',
      'hardware.gpu',
      'hardware.memory_gb=8',
      'software.model.0.id=m',
      'software.tool.1.tool_id=t',
      'hardware.gpu.vendor=amd',
    );
    const step = fc.oneof(
      fc.record({
        op: fc.constant('announce' as const),
        who: fc.nat(5),
        version: fc.nat(5),
        tags: fc.array(tag),
        ttl: fc.constantFrom(0, 1, 300),
      }),
      fc.record({ op: fc.constant('remove' as const), who: fc.nat(5) }),
      fc.record({ op: fc.constant('wait' as const), ms: fc.constantFrom(500, 1500) }),
      fc.record({ op: fc.constant('sweep' as const) }),
    );
    const filter: fc.Arbitrary<CapabilityFilter> = fc.record(
      {
        requireTags: fc.array(tag, { maxLength: 3 }),
        requireModels: fc.array(fc.constantFrom('m', 'n'), { maxLength: 2 }),
        requireTools: fc.array(fc.constantFrom('t', 'u'), { maxLength: 2 }),
        requireGpu: fc.boolean(),
        gpuVendor: fc.constantFrom('amd', 'unknown'),
        minMemoryMb: fc.constantFrom(0, 8192, 8193),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), fc.array(filter, { maxLength: 6 }), (steps, filters) => {
        const clock = new FakeClock();
        const index = new CapabilityIndex({ clock });
        const model = new Map<bigint, { a: Announcement; at: number; life: number }>();
        for (const s of steps) {
          if (s.op === 'wait') clock.ms += s.ms;
          else if (s.op === 'remove') {
            index.remove(idOf(s.who));
            model.delete(idOf(s.who));
          } else if (s.op === 'sweep') {
            index.sweep();
            for (const [id, e] of model) if (clock.ms - e.at >= e.life) model.delete(id);
          } else {
            const a = announce(s.who, s.version, s.tags, { ttlSecs: s.ttl });
            const left = s.ttl * 1000 - Math.floor(clock.ms / 1000) * 1000;
            const known = model.get(a.nodeId);
            const fresh = (s.ttl === 0 || left > 0) && (!known || a.version > known.a.version);
            expect(index.index(a)).toBe(fresh);
            if (fresh) model.set(a.nodeId, { a, at: clock.ms, life: s.ttl === 0 ? 0 : left });
          }
        }
        expect(index.size).toBe(model.size);
        for (const f of filters) {
          const wanted = [...model.values()]
            .filter((e) => (e.life === 0 || clock.ms - e.at < e.life) && tagsSatisfy(e.a.tags, f))
            .map((e) => e.a.nodeId);
          expect(new Set(index.findNodes(f))).toEqual(new Set(wanted));
        }
        for (const id of [...model.keys()]) index.remove(id);
        expect([index.size, index.termCount]).toEqual([0, 0]);
      }),
      { numRuns: 200 },
    );
  });

  it('a replay does not live longer than the original; the future adds nothing', () => {
    const clock = new FakeClock();
    const index = new CapabilityIndex({ clock });
    clock.ms = 200_000;
    index.index(announce(0, 1, ['x']));
    index.index(announce(1, 1, ['x'], { timestampNs: 1_900_000_000_000_000_000n }));
    clock.ms = 299_999;
    expect(index.findNodes({ requireTags: ['x'] })).toHaveLength(2);
    clock.ms = 300_000;
    expect(index.findNodes({ requireTags: ['x'] })).toEqual([idOf(1)]);
    expect(index.sweep()).toEqual([idOf(0)]);
    expect(index.index(announce(0, 1, ['x']))).toBe(false); // expired at its origin
    clock.ms = 500_000;
    expect(index.findNodes({})).toEqual([]);
  });

  it('is bounded: relayed nodes go first, direct ones last', () => {
    const index = new CapabilityIndex({ clock: new FakeClock(), maxNodes: 3 });
    index.index(announce(0, 1, []), true);
    index.index(announce(1, 1, []));
    index.index(announce(2, 1, []));
    index.index(announce(1, 2, [])); // refreshed
    index.index(announce(3, 1, []));
    expect(new Set(index.findNodes({}))).toEqual(new Set([idOf(0), idOf(1), idOf(3)]));
    index.index(announce(4, 1, []));
    index.index(announce(5, 1, []));
    expect(new Set(index.findNodes({}))).toEqual(new Set([idOf(0), idOf(4), idOf(5)]));
  });

  it('finds by predicate, picks the best, tells who an origin hash belongs to', () => {
    const index = new CapabilityIndex({ clock: new FakeClock() });
    index.index(
      announce(0, 1, ['hardware.memory_gb=64', 'software.model.0.id=m', 'software.model.0.tokens_per_sec=50']),
    );
    index.index(announce(1, 1, ['hardware.memory_gb=128'], { metadata: new Map([['zone', 'a']]) }));
    expect(index.findNodesMatching(p.metadataEquals('zone', 'a'))).toEqual([idOf(1)]);
    expect(index.findBestNode({}, { memory: 1 })?.nodeId).toBe(idOf(1));
    expect(index.findBestNode({}, { speed: 2 })).toEqual({ nodeId: idOf(0), score: 1.05 });
    expect(index.findBestNode({})?.nodeId).toBe([idOf(0), idOf(1)].sort((a, b) => (a < b ? -1 : 1))[0]);
    expect(index.findBestNode({ requireTags: ['none'] })).toBeUndefined();
    const origin = Number((people[0] as Identity).originHash & 0xffff_ffffn);
    expect(index.byOrigin(origin)).toMatchObject({ nodeId: idOf(0) });
    index.index({ ...announce(1, 9, []), nodeId: 5n, entityId: (people[0] as Identity).entityId });
    expect([index.byOrigin(origin), index.originCollisions]).toEqual(['ambiguous', 1]);
    expect(index.mutationVersion).toBe(3n);
    // Other tags are no further claim; a claim that was given up and made again is.
    const again = (version: number, tags: string[]) =>
      index.index({ ...announce(1, version, tags), nodeId: 5n, entityId: (people[0] as Identity).entityId });
    again(10, ['other']);
    expect([index.byOrigin(origin), index.originCollisions]).toEqual(['ambiguous', 1]);
    index.remove(5n);
    again(11, []);
    expect([index.byOrigin(origin), index.originCollisions]).toEqual(['ambiguous', 2]);
  });

  it('views: the greatest of several values, indices as numbers', () => {
    const view = viewOf(
      [
        'hardware.memory_gb=1',
        'hardware.memory_gb=9',
        'software.model.0.id=a',
        'software.model.00.family=f',
        'software.model.x.id=no',
        'hardware.gpu.vram_gb=4294967296',
      ].sort(),
    );
    expect(view).toMatchObject({
      memoryGb: 9,
      hasGpuView: true,
      vramGb: 0,
      models: [{ id: 'a', family: 'f', modalities: [] }],
    });
  });

  it('views: any field makes a model, only an id tag makes an id', () => {
    expect(viewOf(['software.model.0.loaded', 'software.tool.0.name=x']).models).toHaveLength(1);
    expect(viewOf(['software.model.0.family=f', 'software.tool.0.name=x'])).toMatchObject({
      modelIds: [],
      toolIds: [],
    });
    expect(viewOf(['software.model.0.id=', 'software.tool.0.tool_id='])).toMatchObject({
      modelIds: [''],
      toolIds: [''],
    });
    expect(viewOf(['software.model.0.id', 'software.tool.0.tool_id'])).toMatchObject({ modelIds: [], toolIds: [] });
    expect(viewOf(['software.model.0.id=a', 'software.model.00.id'])).toMatchObject({ modelIds: [] });
    expect(viewOf(['software.model.0.modalities=']).models[0]?.modalities).toEqual(['text']);
  });

  it('an empty model or tool name finds only what announces an empty id', () => {
    const index = new CapabilityIndex({ clock: new FakeClock() });
    const some = projectCapabilities({ models: [{ modelId: '', contextLength: 5 }], tools: [{ toolId: '' }] });
    const tags = ['software.model.0.id=', 'software.tool.0.tool_id='];
    index.index(announce(0, 1, some.tags));
    index.index(announce(1, 1, tags));
    expect(index.findNodes({ requireModels: [''] })).toEqual([idOf(1)]);
    expect(index.findNodes({ requireTools: [''] })).toEqual([idOf(1)]);
    expect(index.findNodes({ minContextLength: 0 })).toHaveLength(2);
  });
});

describe('intake', () => {
  const make = (clock = new FakeClock(), requireSigned = true) => {
    const index = new CapabilityIndex({ clock });
    return { index, clock, intake: new AnnouncementIntake({ ownNodeId: 1n, index, clock, requireSigned }) };
  };
  const signed = (who: number, version: number, tags: string[], change: Partial<Announcement> = {}) => {
    const { hopCount = 0, ...rest } = change;
    const a = signAnnouncement(announce(who, version, tags, rest), people[who] as Identity);
    return encodeAnnouncement({ ...a, hopCount });
  };

  it('a relayed copy first does not hide the direct one; both are taken once', () => {
    const { intake, index } = make();
    const relayed = signed(0, 1, ['x'], { hopCount: 3 });
    const direct = signed(0, 1, ['x']);
    expect(intake.receive(relayed, idOf(1))).toMatchObject({ indexed: true, pins: false });
    expect(intake.entityOf(idOf(0))).toBeUndefined();
    expect(intake.receive(direct, idOf(0))).toMatchObject({ indexed: false, pins: true });
    expect(intake.entityOf(idOf(0))).toEqual(new Uint8Array((people[0] as Identity).entityId));
    expect(intake.receive(direct, idOf(0))).toEqual({ dropped: 'seen' });
    expect(intake.receive(relayed, idOf(2))).toEqual({ dropped: 'seen' });
    expect(index.findNodes({ requireTags: ['x'] })).toEqual([idOf(0)]);
    expect(intake.drops).toEqual(new Map([['seen', 2]]));
  });

  it('a forgery does not block the genuine one', () => {
    const { intake } = make();
    const genuine = signed(0, 7, ['x'], { hopCount: 1 });
    const forged = new TextEncoder().encode(new TextDecoder().decode(genuine).replace('["x"]', '["y"]'));
    expect(intake.receive(forged, idOf(1))).toEqual({ dropped: 'bad-signature' });
    expect(intake.receive(genuine, idOf(1))).toMatchObject({ indexed: true });
  });

  it('a failed peer is forgotten, and found again by a newer version only', () => {
    const { intake, index, clock } = make();
    intake.receive(signed(0, 1, ['x']), idOf(0));
    intake.peerFailed(idOf(0));
    expect([index.findNodes({}), intake.entityOf(idOf(0))]).toEqual([[], undefined]);
    expect(intake.receive(signed(0, 1, ['x']), idOf(0))).toEqual({ dropped: 'seen' });
    expect(intake.receive(signed(0, 2, ['x']), idOf(0))).toMatchObject({ indexed: true });
    clock.ms = SEEN_MS;
    intake.sweep();
    expect(intake.receive(signed(0, 1, ['x']), idOf(0))).toMatchObject({ dropped: undefined, indexed: false });
  });

  it('unsigned ones only when asked for; reserved metadata stays out of the index but is passed on', () => {
    const open = make(new FakeClock(), false);
    const a = announce(0, 1, ['x'], {
      metadata: new Map([
        ['owner', 'me'],
        ['zone', 'a'],
        ['tool::t::input_schema', '{}'],
      ]),
    });
    const result = open.intake.receive(encodeAnnouncement(a), idOf(0));
    expect(result).toMatchObject({ indexed: true, verified: false, pins: false });
    expect(open.index.get(idOf(0))?.metadata).toEqual({ zone: 'a' });
    expect(result.dropped === undefined && new TextDecoder().decode(result.forward)).toContain('"owner":"me"');
    expect(make().intake.receive(encodeAnnouncement(a), idOf(0))).toEqual({ dropped: 'unsigned' });
  });

  it('memory is bounded under a flood', () => {
    const clock = new FakeClock();
    const index = new CapabilityIndex({ clock, maxNodes: 10 });
    const intake = new AnnouncementIntake({ ownNodeId: 1n, index, clock, maxSeen: 50, requireSigned: false });
    for (let i = 0; i < 500; i++) intake.receive(encodeAnnouncement(announce(i % 6, i, [`t${i}`])), idOf(i % 6));
    expect([index.size, index.termCount]).toEqual([6, 6]);
  });
});

describe('chains and heat', () => {
  it('one form a chain, one heat a chain', () => {
    const held = withChainTip(['x'], 0xabn, 7n);
    expect(held).toEqual(['x', 'causal:00000000000000ab:7']);
    expect(withChainRange(held, 0xabn, 1n, 4n)).toEqual(['x', 'causal:00000000000000ab[1..4]']);
    expect(withChainRange(held, 0xabn, 4n, 4n)).toEqual(held);
    expect(withoutChain(held, 0xabn)).toEqual(['x']);
    expect(withoutChain(held, 0xan)).toEqual(held);
    const hot = withChainHeat(withChainHeat([], 0xabn, 0.854), 0xabn, 3);
    expect(hot).toEqual(['heat:00000000000000ab=1.00']);
    expect(() => withChainHeat([], 1n, Number.NaN)).toThrow('heat rate must be finite');
    expect(() => withBlobHeat([], 'aa', Number.POSITIVE_INFINITY)).toThrow('blob heat rate must be finite');
  });
});

describe('conversions for the core', () => {
  it('are plain copies', () => {
    const caps = { tags: ['a'], hardware: { gpu: { model: 'm', vramGb: 1 }, storageGb: 5n } };
    const copy = capabilitySetToNapi(caps);
    expect(copy).toMatchObject(caps);
    expect(copy.tags).not.toBe(caps.tags);
    expect(capabilityFilterToNapi({ requireTags: ['a'] })).toMatchObject({ requireTags: ['a'], gpuVendor: undefined });
    expect(scopeFilterToNapi({ kind: 'tenant', tenant: 'a', region: 'b' } as never)).toEqual({
      kind: 'tenant',
      tenant: 'a',
    });
    expect(scopeFilterToNapi({ kind: 'Tenant' } as never)).toEqual({ kind: 'any' });
  });
});
