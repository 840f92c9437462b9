import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import {
  AuthThrottle,
  type ChannelConfig,
  ChannelGate,
  ChannelRegistry,
  canonicalChannelHash,
  MAX_REGISTERED_CHANNELS,
  PAUSE_MS,
  PresentedTokens,
  Roster,
  WINDOW_MS,
} from '../../src/channels/index.js';
import { TokenCache } from '../../src/identity/index.js';
import { Identity } from '../../src/identity.js';
import { sameWireHash } from './names.js';

const owner = Identity.generate();
const people = Array.from({ length: 4 }, () => Identity.generate());
const peers = people.map((_, n) => BigInt(n + 1));
const CHANNELS = ['open', 'caps', 'token'] as const;
const CONFIGS: Record<(typeof CHANNELS)[number], Omit<ChannelConfig, 'name'>> = {
  open: {},
  caps: { subscribeCaps: { requireGpu: true } },
  token: { requireToken: true },
};

/** A gate over a list of grants that is written down, with clocks in the test's hand. */
function setUp() {
  const state = {
    ms: 0,
    seconds: 1_800_000_000n,
    gpu: new Set<bigint>(),
    grants: new Set<string>(),
    log: [] as string[],
  };
  const registry = new ChannelRegistry();
  const roster = new Roster();
  const throttle = new AuthThrottle();
  const cache = new TokenCache({ clock: () => state.seconds });
  const gate = new ChannelGate({
    registry,
    roster,
    cache,
    throttle,
    peers: {
      tagsOf: (peer) => (state.gpu.has(peer) ? ['hardware.gpu'] : []),
      entityOf: (peer) => people[Number(peer) - 1]?.entityId,
      subnetOf: () => undefined,
    },
    guard: {
      grant: (peer, channel) => {
        state.grants.add(`${peer} ${channel}`);
        return true;
      },
      revoke: (peer, channel) => {
        state.log.push(`revoked ${roster.has(channel, peer) ? 'before' : 'after'} the roster`);
        state.grants.delete(`${peer} ${channel}`);
      },
    },
    ownEntity: owner.entityId,
    ownSubnet: () => 0,
    ownTags: () => [],
    monotonicMs: () => state.ms,
  });
  const members = () => new Set(roster.memberships().map(({ peer, channel }) => `${peer} ${channel}`));
  return { gate, registry, roster, throttle, cache, state, members };
}

const issued = new Map<string, Uint8Array>();
/** A token of the owner for one of the four, whose life begins at 1.8e9 s and takes `ttl` seconds. */
function token(peer: bigint, channel: string, ttl: number, issuer = owner): Uint8Array {
  const key = `${peer} ${channel} ${ttl} ${issuer.nodeId}`;
  const known = issued.get(key);
  if (known) return known;
  vi.useFakeTimers({ now: 1_800_000_000_000, toFake: ['Date'] });
  const subject = people[Number(peer) - 1]?.entityId ?? Buffer.alloc(32);
  const { bytes } = issuer.issueToken({ subject, scope: ['subscribe'], channel, ttlSeconds: ttl });
  vi.useRealTimers();
  issued.set(key, bytes);
  return bytes;
}

describe('grants and the roster', () => {
  it('agree after any history; whoever receives has a token that is valid now, where one is needed', () => {
    const step = fc.record({
      what: fc.constantFrom(
        'subscribe',
        'leave',
        'fail',
        'sweep',
        'publish',
        'register',
        'close',
        'restore',
        'time',
        'gpu',
      ),
      peer: fc.constantFrom(...peers),
      channel: fc.constantFrom(...CHANNELS),
      ttl: fc.constantFrom(0, 5, 50),
      group: fc.constantFrom(undefined, 'g'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { gate, registry, state, members } = setUp();
        for (const name of CHANNELS) registry.register({ name, ...CONFIGS[name] });
        for (const { what, peer, channel, ttl, group } of steps) {
          if (what === 'subscribe') {
            const reason = gate.subscribe(peer, channel, ttl > 0 ? token(peer, channel, ttl) : undefined, group);
            if (reason === 'none') expect(members()).toContain(`${peer} ${channel}`);
          } else if (what === 'leave') gate.unsubscribe(peer, channel);
          else if (what === 'fail') gate.peerFailed(peer);
          else if (what === 'sweep') gate.sweep();
          else if (what === 'restore') gate.restore(peer, channel, group);
          else if (what === 'close') {
            registry.unregister(channel);
            gate.close(channel);
          } else if (what === 'register') {
            registry.register({ name: channel, ...CONFIGS[ttl === 5 ? 'caps' : channel] });
            gate.recheck(channel);
          } else if (what === 'time') state.seconds += BigInt(ttl);
          else if (what === 'gpu') state.gpu[ttl === 0 ? 'delete' : 'add'](peer);
          else {
            const needsToken = registry.get(channel)?.requireToken === true;
            for (const recipient of gate.recipients(channel)) {
              expect(members()).toContain(`${recipient} ${channel}`);
              // Its token is valid now.
              if (needsToken) expect(gate.admits(recipient, channel, new PresentedTokens([]))).toBe(true);
            }
          }
          expect(state.grants).toEqual(members());
        }
      }),
    );
  });

  it('who leaves is out of the grants first', () => {
    const { gate, registry, state } = setUp();
    registry.register({ name: 'open' });
    gate.subscribe(1n, 'open');
    gate.unsubscribe(1n, 'open');
    gate.subscribe(1n, 'open');
    gate.peerFailed(1n);
    gate.subscribe(1n, 'open');
    gate.close('open');
    expect(state.log).toEqual(Array(3).fill('revoked before the roster'));
  });

  it('nothing of a failed peer stays', () => {
    const { gate, registry, roster, throttle, state } = setUp();
    registry.register({ name: 'open' });
    for (const peer of peers) {
      gate.subscribe(peer, 'open', undefined, `group of ${peer}`);
      gate.subscribe(peer, 'none');
    }
    expect([throttle.size, roster.peerCount, state.grants.size]).toEqual([4, 4, 4]);
    for (const peer of peers) gate.peerFailed(peer);
    expect([throttle.size, roster.peerCount, roster.channelCount, state.grants.size]).toEqual([0, 0, 0, 0]);
  });
});

describe('the issuer rule', () => {
  it('applies to tokens that are cached already: at the request, at a publish, at the sweep', () => {
    const { gate, registry, roster } = setUp();
    registry.register({ name: 'token', requireToken: true, tokenIssuers: 'any' });
    for (const peer of [1n, 2n]) {
      const self = people[Number(peer) - 1] as Identity;
      expect(gate.subscribe(peer, 'token', token(peer, 'token', 50, self))).toBe('none');
    }
    registry.register({ name: 'token', requireToken: true });
    expect(gate.subscribe(1n, 'token')).toBe('unauthorized');
    expect(gate.sweep().map(({ peer }) => peer)).toEqual([1n, 2n]);
    registry.register({ name: 'token', requireToken: true, tokenIssuers: 'any' });
    expect(gate.subscribe(2n, 'token')).toBe('none');
    registry.register({ name: 'token', requireToken: true });
    expect([gate.recipients('token'), roster.has('token', 2n)]).toEqual([[], false]);
  });
});

describe('the limit of 1024 channels', () => {
  it('does not excuse a repeated request from the other checks', () => {
    const { gate, registry, state } = setUp();
    for (let n = 0; n < 1024; n++) registry.register({ name: `c/${n}`, subscribeCaps: { requireGpu: true } });
    state.gpu.add(1n);
    for (let n = 0; n < 1024; n++) gate.subscribe(1n, `c/${n}`);
    state.gpu.delete(1n);
    expect(gate.subscribe(1n, 'c/7')).toBe('unauthorized');
    registry.unregister('c/8');
    expect(gate.subscribe(1n, 'c/8')).toBe('unknown-channel');
  });
});

describe('the registry', () => {
  it('has room for 65,536 channels; known ones may still be changed', () => {
    const registry = new ChannelRegistry();
    for (let n = 0; n < MAX_REGISTERED_CHANNELS; n++) registry.register({ name: `c/${n}` });
    expect(() => registry.register({ name: 'one/more' })).toThrow('channel: 65536 channels are registered already');
    registry.register({ name: 'c/5', priority: 9 });
    expect([registry.get('c/5')?.priority, registry.size]).toEqual([9, MAX_REGISTERED_CHANNELS]);
    registry.unregister('c/5');
    registry.register({ name: 'one/more' });
    expect(registry.get('one/more')?.name).toBe('one/more');
  });

  it('finds a channel by its hash, also after it was replaced, and no longer when it is gone', () => {
    const registry = new ChannelRegistry();
    const hash = canonicalChannelHash('a');
    registry.register({ name: 'a', priority: 1 });
    registry.register({ name: 'a', priority: 2 });
    expect(registry.byHash(hash)?.priority).toBe(2);
    registry.unregister('a');
    expect(registry.byHash(hash)).toBeUndefined();
  });

  it('looks names up by name: those of equal wire hash are different channels', () => {
    const [one, two] = sameWireHash();
    const { gate, registry } = setUp();
    registry.register({ name: one });
    registry.register({ name: two, requireToken: true });
    expect([gate.subscribe(1n, one), gate.subscribe(1n, two)]).toEqual(['none', 'unauthorized']);
    expect([gate.recipients(one), gate.recipients(two)]).toEqual([[1n], []]);
  });
});

describe('the throttle', () => {
  it('remembers 65,536 peers at most, the latest ones', () => {
    const throttle = new AuthThrottle();
    for (let peer = 0; peer < 65_540; peer++) throttle.failed(BigInt(peer + 1), 0);
    expect(throttle.size).toBe(65_536);
  });

  it('a window begins with its first failure and ends a minute later; a pause ends after 30 s with nothing counted', () => {
    const throttle = new AuthThrottle();
    for (let n = 0; n < 15; n++) throttle.failed(1n, 1000 + n);
    throttle.failed(1n, 1000 + WINDOW_MS);
    for (let n = 0; n < 14; n++) throttle.failed(1n, 1000 + WINDOW_MS + n);
    expect(throttle.isPaused(1n, 1000 + WINDOW_MS + 20)).toBe(false);
    throttle.failed(1n, 1000 + WINDOW_MS + 20);
    const paused = 1000 + WINDOW_MS + 20;
    expect([throttle.isPaused(1n, paused + PAUSE_MS - 1), throttle.isPaused(1n, paused + PAUSE_MS)]).toEqual([
      true,
      false,
    ]);
    for (let n = 0; n < 15; n++) throttle.failed(1n, paused + PAUSE_MS);
    expect(throttle.isPaused(1n, paused + PAUSE_MS)).toBe(false);
  });
});
