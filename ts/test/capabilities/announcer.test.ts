import { describe, expect, it } from 'vitest';
import {
  AnnouncementIntake,
  Announcer,
  CapabilityIndex,
  decodeAnnouncement,
  withChainTip,
} from '../../src/capabilities/index.js';
import { Identity } from '../../src/identity.js';

class FakeClock {
  ms = 0;
  bootNs = 1_800_000_000_000_000_000n;
  wallNs = () => this.bootNs + BigInt(this.ms) * 1_000_000n;
  monotonicMs = () => this.ms;
}

const identity = Identity.fromSeed(new Uint8Array(32).fill(4));
const tagsOf = (bytes: Uint8Array | undefined) => bytes && decodeAnnouncement(bytes)?.tags;

describe('a node that announces', () => {
  it('broadcasts at once, then at most every ten seconds, and never loses the last change', () => {
    const clock = new FakeClock();
    const announcer = new Announcer({ identity, clock });
    expect([announcer.poll(), announcer.deadline(), announcer.latestBytes]).toEqual([undefined, undefined, undefined]);
    announcer.announce({ tags: ['one'] });
    expect(tagsOf(announcer.poll())).toEqual(['nat:unknown', 'one']);
    announcer.announce({ tags: ['two'] });
    announcer.announce({ tags: ['three'] });
    clock.ms = 9_999;
    expect(announcer.poll()).toBeUndefined();
    expect(announcer.deadline()).toBe(10_000);
    // Who connects meanwhile gets the latest.
    expect(tagsOf(announcer.latestBytes)).toContain('three');
    clock.ms = 10_000;
    expect(tagsOf(announcer.poll())).toContain('three');
    clock.ms = 60_000;
    expect(announcer.poll()).toBeUndefined();
  });

  it('renews itself after half of its life, so nobody loses a quiet node', () => {
    const clock = new FakeClock();
    const announcer = new Announcer({ identity, clock });
    const index = new CapabilityIndex({ clock });
    const intake = new AnnouncementIntake({ ownNodeId: 1n, index, clock });
    announcer.announce({ tags: ['x'] });
    for (clock.ms = 0; clock.ms < 2_000_000; clock.ms += 1000) {
      const bytes = announcer.poll();
      if (bytes) expect(intake.receive(bytes, identity.nodeId)).toMatchObject({ indexed: true });
      intake.sweep();
      expect(index.findNodes({ requireTags: ['x'] })).toEqual([identity.nodeId]);
    }
  });

  it('is newer after a restart, even within the same millisecond later on', () => {
    const clock = new FakeClock();
    const first = new Announcer({ identity, clock });
    const versions = [1, 2, 3].map(() => first.announce({}).version);
    clock.ms = 5;
    const second = new Announcer({ identity, clock });
    versions.push(second.announce({}).version);
    expect(versions).toEqual([...versions].sort((a, b) => (a < b ? -1 : 1)));
    expect(new Set(versions).size).toBe(4);
  });

  it('a clock that goes back does not bring back old versions', () => {
    const clock = new FakeClock();
    const announcer = new Announcer({ identity, clock });
    const before = announcer.announce({}).version;
    clock.bootNs -= 3_600_000_000_000n;
    expect(announcer.announce({}).version).toBe(before + 1n);
  });

  it('tells of services and its way through NAT; a new address goes out at once', () => {
    const clock = new FakeClock();
    const announcer = new Announcer({ identity, clock });
    announcer.setServices(['early']);
    expect(announcer.latest).toBeUndefined();
    announcer.announce({ tags: ['nat:fake'] });
    announcer.poll();
    announcer.setServices(['echo', 'early']);
    expect(announcer.latest?.tags).toEqual(['nat:unknown', 'nrpc:early', 'nrpc:echo'].sort());
    expect(announcer.poll()).toBeUndefined();
    announcer.setNat('cone', '203.0.113.5:9000');
    expect(decodeAnnouncement(announcer.poll() ?? new Uint8Array())).toMatchObject({
      tags: ['nat:cone', 'nrpc:early', 'nrpc:echo'],
      reflexAddr: '203.0.113.5:9000',
    });
    const { version } = announcer.latest ?? { version: 0n };
    announcer.setNat('cone', '203.0.113.5:9000');
    announcer.setServices(['early', 'echo']);
    expect(announcer.latest?.version).toBe(version);
    announcer.editTags((tags) => withChainTip(tags, 1n, 2n));
    expect(announcer.latest?.tags).toContain('causal:0000000000000001:2');
  });

  it('refuses what would get lost on the way, and keeps what it had', () => {
    const announcer = new Announcer({ identity, clock: new FakeClock() });
    announcer.announce({ tags: ['fits'] });
    expect(() => announcer.announce({ tags: ['x'.repeat(9000)] })).toThrow(
      expect.objectContaining({
        kind: 'too-large',
        message: expect.stringMatching(/^capability: announcement is 9\d+ bytes, limit 8093$/),
      }),
    );
    expect(announcer.latest?.tags).toEqual(['fits', 'nat:unknown']);
    expect(() => announcer.announce({ tags: [1 as never] })).toThrow('tags must be a string');
  });

  it('a full announcement lives on when an address is found that no longer fits into it', () => {
    const clock = new FakeClock();
    const announcer = new Announcer({ identity, clock });
    announcer.announce({ tags: ['x'] });
    const rest = 8093 - (announcer.latestBytes?.length ?? 0);
    announcer.announce({ tags: ['x'.repeat(rest + 1)] });
    expect(announcer.latestBytes).toHaveLength(8093);
    announcer.poll();
    const { version = 0n } = announcer.latest ?? {};
    announcer.setNat('symmetric', '203.0.113.5:9000');
    expect(tagsOf(announcer.poll())).toContain('nat:unknown');
    expect(announcer.latest?.version).toBeGreaterThan(version);
    clock.ms = 150_000;
    expect(announcer.poll()).toHaveLength(8093);
    expect(announcer.shortened).toBe(2);
    expect(() => announcer.setServices(['echo'])).toThrow('capability: announcement is');
    // What fits is announced again with all that is known.
    announcer.announce({ tags: ['small'] });
    expect(announcer.latest).toMatchObject({ tags: ['nat:symmetric', 'small'], reflexAddr: '203.0.113.5:9000' });
  });
});
