import { describe, expect, it } from 'vitest';
import {
  AuthThrottle,
  type ChannelConfig,
  ChannelGate,
  ChannelRate,
  ChannelRegistry,
  PAUSE_MS,
  PresentedTokens,
  Roster,
} from '../../src/channels/index.js';
import { TokenCache } from '../../src/identity/index.js';
import { delegateToken, Identity, type IssueTokenOptions } from '../../src/identity.js';
import { packSubnet } from '../../src/subnets/index.js';

const owner = Identity.generate();
const [alice, bob] = [Identity.generate(), Identity.generate()];
const ALICE = 10n;
const BOB = 20n;

/** A node with its gate, two announced peers, and clocks in the test's hand. */
function node(config: Omit<ChannelConfig, 'name'> = {}, options: { unknownSubnet?: 'deny'; ownSubnet?: number } = {}) {
  const state = {
    ms: 0,
    // Ahead of the host's clock: tokens that are issued later are valid here too.
    seconds: BigInt(Math.floor(Date.now() / 1000)) + 2n,
    tags: new Map<bigint, string[]>(),
    entities: new Map<bigint, Uint8Array>([
      [ALICE, alice.entityId],
      [BOB, bob.entityId],
    ]),
    subnets: new Map<bigint, number>(),
    ownTags: [] as string[],
    granted: new Set<string>(),
    dropped: [] as string[],
    /** Grants that the guard takes. */
    room: Number.POSITIVE_INFINITY,
  };
  const registry = new ChannelRegistry();
  registry.register({ name: 'a/b', ...config });
  const roster = new Roster();
  const cache = new TokenCache({ clock: () => state.seconds });
  const gate = new ChannelGate({
    registry,
    roster,
    cache,
    throttle: new AuthThrottle(),
    peers: {
      tagsOf: (peer) => state.tags.get(peer) ?? [],
      entityOf: (peer) => state.entities.get(peer),
      subnetOf: (peer) => state.subnets.get(peer),
    },
    guard: {
      grant: (peer, channel) => {
        if (state.granted.size >= state.room) return false;
        state.granted.add(`${peer} ${channel}`);
        return true;
      },
      revoke: (peer, channel) => state.granted.delete(`${peer} ${channel}`),
    },
    ownEntity: owner.entityId,
    ownSubnet: () => options.ownSubnet ?? 0,
    ownTags: () => state.ownTags,
    unknownSubnet: options.unknownSubnet,
    onDropped: (peer, channel, reason) => state.dropped.push(`${peer} ${channel} ${reason}`),
    monotonicMs: () => state.ms,
  });
  return { gate, registry, roster, cache, state };
}

const issue = (issuer: Identity, subject: Identity, change: Partial<IssueTokenOptions> = {}) =>
  issuer.issueToken({ subject: subject.entityId, scope: ['subscribe'], channel: 'a/b', ttlSeconds: 60, ...change });

describe('registering', () => {
  it.each([
    ['Owner', 'invalid tokenIssuers'],
    [5, 'invalid tokenIssuers'],
    [bob.entityId, 'invalid tokenIssuers'],
    [[bob.entityId.subarray(1)], 'invalid tokenIssuers'],
  ])('refuses %s as issuers, before a subscriber meets them', (tokenIssuers, text) => {
    expect(() => node({ tokenIssuers: tokenIssuers as never })).toThrow(`channel: ${text}`);
    expect(() => node({ exportTo: 7 as never })).toThrow('channel: exportTo must be an array of subnets');
  });
});

describe('subscribing', () => {
  it('to an open channel: granted, listed, and again without change', () => {
    const { gate, state } = node();
    expect([gate.subscribe(ALICE, 'a/b'), gate.subscribe(ALICE, 'a/b')]).toEqual(['none', 'none']);
    expect([gate.recipients('a/b'), [...state.granted]]).toEqual([[ALICE], [`${ALICE} a/b`]]);
    gate.unsubscribe(ALICE, 'a/b');
    gate.unsubscribe(BOB, 'never');
    expect([gate.recipients('a/b'), state.granted.size]).toEqual([[], 0]);
    expect([gate.subscribe(ALICE, 'other'), gate.subscribe(0n, 'a/b')]).toEqual(['unknown-channel', undefined]);
  });

  it('with a token of the owner', () => {
    const { gate, cache } = node({ requireToken: true });
    expect(gate.subscribe(ALICE, 'a/b')).toBe('unauthorized');
    expect(gate.subscribe(ALICE, 'a/b', issue(owner, alice).bytes)).toBe('none');
    expect(gate.recipients('a/b')).toEqual([ALICE]);
    gate.unsubscribe(ALICE, 'a/b');
    // It is kept, and need not be shown again.
    expect([cache.length, gate.subscribe(ALICE, 'a/b')]).toEqual([1, 'none']);
  });

  it.each([
    ['for somebody else', () => issue(owner, bob).bytes],
    ['of another channel', () => issue(owner, alice, { channel: 'a/c' }).bytes],
    ['of another scope', () => issue(owner, alice, { scope: ['publish', 'admin'] }).bytes],
    ['signed by the subscriber', () => issue(alice, alice).bytes],
    ['that was changed', () => Uint8Array.from(issue(owner, alice).bytes, (byte, i) => (i === 96 ? 9 : byte))],
    ['of another length', () => new Uint8Array(161)],
    ['of nothing', () => new Uint8Array()],
  ])('a token %s opens nothing and is not kept', (_name, token) => {
    const { gate, cache } = node({ requireToken: true });
    expect(gate.subscribe(ALICE, 'a/b', token())).toBe('unauthorized');
    expect([cache.length, gate.recipients('a/b')]).toEqual([0, []]);
  });

  it('nobody plants tokens for others in the shared cache', () => {
    const { gate, cache } = node({ requireToken: true });
    gate.subscribe(ALICE, 'a/b', issue(owner, alice).bytes);
    gate.subscribe(ALICE, 'a/b', issue(owner, bob, { scope: ['subscribe'] }).bytes);
    expect([cache.length, gate.subscribe(BOB, 'a/b')]).toEqual([1, 'unauthorized']);
  });

  it('a delegated token counts when the owner’s delegation is known; anyone’s when that was asked for', () => {
    const delegation = issue(owner, bob, { scope: ['subscribe', 'delegate'], delegationDepth: 1 });
    const child = delegateToken(bob, delegation, alice.entityId, ['subscribe']);
    const { gate } = node({ requireToken: true });
    expect(gate.subscribe(ALICE, 'a/b', child.bytes)).toBe('unauthorized');
    expect(gate.subscribe(BOB, 'a/b', delegation.bytes)).toBe('none');
    expect(gate.subscribe(ALICE, 'a/b', child.bytes)).toBe('none');
    expect(node({ requireToken: true, tokenIssuers: [bob.entityId] }).gate.subscribe(ALICE, 'a/b', child.bytes)).toBe(
      'none',
    );
    expect(
      node({ requireToken: true, tokenIssuers: 'any' }).gate.subscribe(ALICE, 'a/b', issue(alice, alice).bytes),
    ).toBe('none');
  });

  it('needs a peer that announced itself when a token is wanted', () => {
    const { gate, state } = node({ requireToken: true });
    state.entities.clear();
    expect(gate.subscribe(ALICE, 'a/b', issue(owner, alice).bytes)).toBe('unauthorized');
    const open = node({ subscribeCaps: { requireTags: ['software.os=linux'] } });
    open.state.entities.clear();
    open.state.tags.set(ALICE, ['software.os:linux']); // by meaning, not by spelling
    expect([open.gate.subscribe(ALICE, 'a/b'), open.gate.subscribe(BOB, 'a/b')]).toEqual(['none', 'unauthorized']);
  });

  it('tokens and capabilities must hold together', () => {
    const { gate, state } = node({ requireToken: true, subscribeCaps: { requireGpu: true } });
    expect(gate.subscribe(ALICE, 'a/b', issue(owner, alice).bytes)).toBe('unauthorized');
    state.tags.set(ALICE, ['hardware.gpu']);
    expect(gate.subscribe(ALICE, 'a/b')).toBe('unauthorized');
    expect(gate.subscribe(ALICE, 'a/b', issue(owner, alice).bytes)).toBe('none');
  });

  it('sixteen failures get their true reason, then 30 seconds of silence', () => {
    const { gate, state } = node({ requireToken: true });
    for (let i = 0; i < 16; i++)
      expect(gate.subscribe(ALICE, i % 2 ? 'a/b' : 'x')).toBe(i % 2 ? 'unauthorized' : 'unknown-channel');
    expect(gate.subscribe(ALICE, 'a/b', issue(owner, alice).bytes)).toBe('rate-limited');
    state.ms = PAUSE_MS;
    expect(gate.subscribe(ALICE, 'a/b', issue(owner, alice).bytes)).toBe('none');
  });

  it('the 1025th channel is refused, a repeated one at the limit is not', () => {
    const { gate, registry } = node();
    for (let i = 0; i < 1025; i++) registry.register({ name: `c/${i}` });
    for (let i = 0; i < 1024; i++) expect(gate.subscribe(ALICE, `c/${i}`)).toBe('none');
    expect([gate.subscribe(ALICE, 'c/1024'), gate.subscribe(ALICE, 'c/7')]).toEqual(['too-many-channels', 'none']);
    expect(gate.peerFailed(ALICE)).toHaveLength(1024);
    expect(gate.subscribe(ALICE, 'c/1024')).toBe('none');
  });
});

describe('the guard', () => {
  it('is asked before anybody is listed: what it has no room for is refused', () => {
    const { gate, roster, state } = node();
    state.room = 1;
    expect([gate.subscribe(ALICE, 'a/b'), gate.subscribe(BOB, 'a/b')]).toEqual(['none', 'too-many-channels']);
    expect([roster.has('a/b', BOB), gate.recipients('a/b')]).toEqual([false, [ALICE]]);
  });

  it('recipients are steady where neither time nor turns nor subnets decide', () => {
    const { gate, registry } = node();
    gate.subscribe(ALICE, 'a/b');
    expect([gate.isSteady('a/b'), gate.isSteady('unregistered')]).toEqual([true, true]);
    gate.subscribe(BOB, 'a/b', undefined, 'workers');
    expect(gate.isSteady('a/b')).toBe(false);
    gate.unsubscribe(BOB, 'a/b');
    for (const change of [{ requireToken: true }, { visibility: 'subnet-local' as const }]) {
      registry.register({ name: 'a/b', ...change });
      expect(gate.isSteady('a/b')).toBe(false);
    }
  });
});

describe('visibility', () => {
  const us = packSubnet({ levels: [3] });
  const blue = packSubnet({ levels: [3, 7] });
  const green = packSubnet({ levels: [3, 8] });
  it.each([
    ['subnet-local', blue, 'none'],
    ['subnet-local', us, 'unauthorized'],
    ['parent-visible', us, 'none'],
    ['parent-visible', green, 'unauthorized'],
    ['parent-visible', undefined, 'none'],
    ['exported', blue, 'unauthorized'],
    ['global', green, 'none'],
  ] as const)('%s to %s: %s', (visibility, subnet, reason) => {
    const { gate, state } = node({ visibility }, { ownSubnet: blue });
    if (subnet !== undefined) state.subnets.set(ALICE, subnet);
    expect(gate.subscribe(ALICE, 'a/b')).toBe(reason);
  });

  it('is looked at again with every publish; unknown subnets can be kept off; exports have a table', () => {
    const { gate, state } = node({ visibility: 'subnet-local' }, { ownSubnet: blue });
    state.subnets.set(ALICE, blue);
    gate.subscribe(ALICE, 'a/b');
    state.subnets.set(ALICE, green);
    expect(gate.recipients('a/b')).toEqual([]);
    state.subnets.set(ALICE, blue);
    expect(gate.recipients('a/b')).toEqual([ALICE]);
    expect(node({ visibility: 'parent-visible' }, { unknownSubnet: 'deny' }).gate.subscribe(ALICE, 'a/b')).toBe(
      'unauthorized',
    );
    const exported = node({ visibility: 'exported', exportTo: [{ levels: [3] }] });
    exported.state.subnets.set(ALICE, green);
    expect([exported.gate.subscribe(ALICE, 'a/b'), exported.gate.subscribe(BOB, 'a/b')]).toEqual([
      'none',
      'unauthorized',
    ]);
  });
});

describe('members that are taken off', () => {
  it('a tightened configuration, the end of a channel: each is named with the reason, and no longer granted', () => {
    const { gate, registry, state } = node();
    state.tags.set(ALICE, ['hardware.gpu']);
    for (const peer of [ALICE, BOB]) gate.subscribe(peer, 'a/b');
    registry.register({ name: 'a/b', subscribeCaps: { requireGpu: true } });
    gate.recheck('a/b');
    expect([state.dropped, gate.recipients('a/b'), state.granted]).toEqual([
      [`${BOB} a/b unauthorized`],
      [ALICE],
      new Set([`${ALICE} a/b`]),
    ]);
    registry.unregister('a/b');
    gate.close('a/b');
    expect(state.dropped.slice(1)).toEqual([`${ALICE} a/b unknown-channel`]);
    expect([state.granted.size, gate.recipients('a/b')]).toEqual([0, []]);
  });

  it('who asked to leave is not told; who may not come back after a silence is', () => {
    const { gate, state } = node({ requireToken: true });
    gate.subscribe(ALICE, 'a/b', issue(owner, alice).bytes);
    gate.unsubscribe(ALICE, 'a/b');
    gate.peerFailed(BOB);
    expect(state.dropped).toEqual([]);
    gate.restore(ALICE, 'a/b', 'g');
    gate.restore(BOB, 'a/b', undefined);
    expect([state.dropped, gate.recipients('a/b')]).toEqual([[`${BOB} a/b unauthorized`], [ALICE]]);
  });

  it('every bit of a decision is looked at without changing anything', () => {
    const { gate, cache, state } = node({ requireToken: true });
    const presented = (...tokens: Uint8Array[]) => new PresentedTokens(tokens);
    expect(gate.admits(ALICE, 'a/b', presented())).toBe(false);
    const [foreign, own] = [issue(owner, bob).bytes, issue(owner, alice).bytes];
    for (let n = 0; n < 40; n++) gate.admits(ALICE, 'a/b', presented(foreign));
    expect(gate.admits(ALICE, 'a/b', presented(foreign, own))).toBe(true);
    expect(gate.admits(ALICE, 'unknown', presented())).toBe(false);
    expect([cache.length, state.granted.size, gate.subscribe(ALICE, 'a/b')]).toEqual([0, 0, 'unauthorized']);
  });
});

describe('as time goes by', () => {
  it('an expired token ends the membership with the next publish or sweep', () => {
    const { gate, state } = node({ requireToken: true });
    gate.subscribe(ALICE, 'a/b', issue(owner, alice, { ttlSeconds: 3 }).bytes);
    gate.subscribe(BOB, 'a/b', issue(owner, bob, { ttlSeconds: 30 }).bytes);
    expect(new Set(gate.recipients('a/b'))).toEqual(new Set([ALICE, BOB]));
    state.seconds += 4n;
    expect(gate.recipients('a/b')).toEqual([BOB]);
    expect(state.granted).toEqual(new Set([`${BOB} a/b`]));
    state.seconds += 30n;
    expect(gate.sweep()).toEqual([{ peer: BOB, channel: 'a/b' }]);
    expect([gate.sweep(), state.granted.size]).toEqual([[], 0]);
    expect(state.dropped).toEqual([`${ALICE} a/b unauthorized`, `${BOB} a/b unauthorized`]);
  });

  it('a revoked generation ends it too', () => {
    const { gate, cache } = node({ requireToken: true });
    const token = issue(owner, alice, { generation: 3 });
    gate.subscribe(ALICE, 'a/b', token.bytes);
    cache.revokeBelow(owner.entityId, 4);
    expect(gate.recipients('a/b')).toEqual([]);
    expect(gate.subscribe(ALICE, 'a/b', token.bytes)).toBe('unauthorized');
  });

  it('what the node announces decides whether it may publish', () => {
    const { gate, state } = node({ publishCaps: { requireTags: ['camera'] }, requireToken: true });
    expect([gate.mayPublish('a/b'), gate.mayPublish('unregistered')]).toEqual([false, true]);
    state.ownTags = ['camera'];
    expect(gate.mayPublish('a/b')).toBe(true);
  });

  it('a rate fills again with time, up to one second’s worth', () => {
    const rate = new ChannelRate(10, 0);
    expect([rate.take(10, 0), rate.take(1, 0), rate.take(1, 99), rate.take(1, 100)]).toEqual([
      true,
      false,
      false,
      true,
    ]);
    expect([rate.take(10, 60_000), rate.take(1, 60_000)]).toEqual([true, false]);
  });
});
