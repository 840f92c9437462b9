import { describe, expect, it } from 'vitest';
import {
  AuthThrottle,
  type ChannelConfig,
  ChannelRegistry,
  decodeMembership,
  encodeMembership,
  isChannelPrefix,
  type MembershipMessage,
  PAUSE_MS,
  type RejectReason,
  Roster,
  WINDOW_MS,
} from '../../src/channels/index.js';
import vectors from '../vectors/channels-membership.json';

const bytes = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
const hex = (view: Uint8Array) => Array.from(view, (b) => b.toString(16).padStart(2, '0')).join('');
const REASONS: RejectReason[] = ['none', 'unauthorized', 'unknown-channel', 'rate-limited', 'too-many-channels'];

type Recorded = {
  type: string;
  nonce: string;
  channel?: string;
  token?: string | null;
  queueGroup?: string | null;
  accepted?: boolean;
  reason?: number;
};
function messageOf(v: Recorded): MembershipMessage {
  const nonce = BigInt(v.nonce);
  const channel = v.channel ?? '';
  if (v.type === 'ack')
    return { type: 'ack', nonce, accepted: v.accepted ?? false, reason: REASONS[v.reason ?? 0] ?? 'none' };
  if (v.type === 'unsubscribe') return { type: 'unsubscribe', nonce, channel };
  return {
    type: 'subscribe',
    nonce,
    channel,
    ...(v.token ? { token: bytes(v.token) } : {}),
    ...(v.queueGroup ? { queueGroup: v.queueGroup } : {}),
  };
}

describe('membership messages', () => {
  it.each(vectors.roundTrip)('$type $nonce: the recorded bytes, both ways', (v) => {
    const message = messageOf(v as Recorded);
    expect(hex(encodeMembership(message))).toBe(v.bytes);
    expect(decodeMembership(bytes(v.bytes))).toEqual(message);
  });
  it.each(vectors.decodeOnly)('$note', (v) => {
    expect(decodeMembership(bytes(v.bytes))).toEqual(messageOf(v.decodes as Recorded));
  });
  it.each(vectors.rejected)('$name is malformed', (v) => {
    expect(decodeMembership(bytes(v.bytes))).toBeUndefined();
  });
  it('what could not be read back is not written', () => {
    expect(() => encodeMembership({ type: 'unsubscribe', nonce: 0n, channel: 'A' })).toThrow('channel: invalid name');
    const wide = { type: 'subscribe', nonce: 0n, channel: 'a' } as const;
    expect(() => encodeMembership({ ...wide, queueGroup: 'x'.repeat(256) })).toThrow(RangeError);
    expect(() => encodeMembership({ ...wide, token: new Uint8Array(65_536) })).toThrow(RangeError);
  });
});

describe('roster', () => {
  it('names every broadcast member and one of each group in turn', () => {
    const roster = new Roster();
    for (const peer of [1n, 2n]) expect(roster.add('a', peer)).toBe(true);
    for (const peer of [3n, 4n, 5n]) roster.add('a', peer, 'g');
    roster.add('a', 6n, 'h');
    const rounds = Array.from({ length: 6 }, () => roster.dispatch('a'));
    for (const round of rounds) {
      expect(round).toHaveLength(4);
      expect(round).toEqual(expect.arrayContaining([1n, 2n, 6n]));
    }
    const turns = rounds.map((round) => round.find((peer) => peer >= 3n && peer <= 5n));
    expect(turns.slice(0, 3).sort()).toEqual([3n, 4n, 5n]);
    expect(turns.slice(3)).toEqual(turns.slice(0, 3));
  });

  it('a peer is in one mode; changing it moves the peer; nothing empty stays', () => {
    const roster = new Roster();
    roster.add('a', 1n);
    roster.add('a', 1n);
    roster.add('a', 1n, 'g');
    expect(roster.membersOf('a')).toEqual([{ peer: 1n, queueGroup: 'g' }]);
    roster.add('b', 1n);
    expect(roster.channelsOf(1n)).toEqual(['a', 'b']);
    expect([roster.remove('a', 1n), roster.remove('a', 1n), roster.has('a', 1n)]).toEqual([true, false, false]);
    expect(roster.removePeer(1n)).toEqual(['b']);
    expect([roster.channelCount, roster.peerCount, roster.dispatch('a')]).toEqual([0, 0, []]);
  });

  it('holds 1024 channels a peer; members at the limit may subscribe again', () => {
    const roster = new Roster();
    for (let i = 0; i < 1024; i++) expect(roster.add(`c/${i}`, 1n)).toBe(true);
    expect([roster.add('one/more', 1n), roster.add('c/5', 1n, 'g'), roster.add('one/more', 2n)]).toEqual([
      false,
      true,
      true,
    ]);
  });
});

describe('registry', () => {
  it('finds the name, else the longest prefix; replaces by name; forgets', () => {
    const registry = new ChannelRegistry();
    registry.register({ name: 'a/b', priority: 1 });
    registry.register({ name: 'a/b', priority: 2 });
    registry.registerPrefix('a', { name: 'short' });
    registry.registerPrefix('a/', { name: 'long' });
    expect([registry.get('a/b')?.priority, registry.get('a/c')?.name, registry.get('ab')?.name]).toEqual([
      2,
      'long',
      'short',
    ]);
    expect([registry.get('b'), registry.size]).toEqual([undefined, 1]);
    expect([registry.unregister('a/b'), registry.unregister('a/b'), registry.get('a/b')?.name]).toEqual([
      true,
      false,
      'long',
    ]);
  });

  it('wildcards match whole segments', () => {
    expect(isChannelPrefix('a', 'a')).toBe(true);
    expect(isChannelPrefix('a', 'a/b')).toBe(true);
    expect(isChannelPrefix('a', 'ab')).toBe(false);
    expect(isChannelPrefix('a/b', 'a')).toBe(false);
    const registry = new ChannelRegistry();
    for (const name of ['a', 'a/b', 'ab']) registry.register({ name });
    const below = (prefix: string, after?: string) => [...registry.below(prefix, after)].map(({ name }) => name);
    expect([below('a'), below('')]).toEqual([
      ['a', 'a/b'],
      ['a', 'a/b', 'ab'],
    ]);
    registry.register({ name: 'a/b/c' });
    registry.register({ name: 'a-b' });
    registry.unregister('a/b');
    expect([below('a'), below('a', 'a'), below('a', 'a/b'), below('a', 'a/b/c'), below('b'), below('', 'a-b')]).toEqual(
      [['a', 'a/b/c'], ['a/b/c'], ['a/b/c'], [], [], ['a/b/c', 'ab']],
    );
  });

  it.each([
    [{ name: 'A' }, /^channel: invalid name: invalid channel name format: uppercase character 'A'/],
    [
      { name: 'a', visibility: 'secret' },
      'channel: invalid visibility "secret" (expected subnet-local | parent-visible | exported | global)',
    ],
    [{ name: 'a', priority: 256 }, /^channel: priority/],
    [{ name: 'a', maxRatePps: 0.5 }, /^channel: maxRatePps/],
  ])('%j is refused', (config, message) => {
    expect(() => new ChannelRegistry().register(config as ChannelConfig)).toThrow(message);
  });
});

describe('throttle', () => {
  it('the sixteenth failure of a minute starts a pause of 30 s; a success wipes', () => {
    const throttle = new AuthThrottle();
    for (let i = 0; i < 15; i++) throttle.failed(1n, i);
    expect(throttle.isPaused(1n, 15)).toBe(false);
    throttle.failed(1n, 16);
    expect([throttle.isPaused(1n, 17), throttle.isPaused(2n, 17)]).toEqual([true, false]);
    throttle.failed(1n, 20);
    expect([throttle.isPaused(1n, 15 + PAUSE_MS), throttle.isPaused(1n, 16 + PAUSE_MS)]).toEqual([true, false]);
    for (let i = 0; i < 15; i++) throttle.failed(1n, 100_000);
    throttle.clear(1n);
    for (let i = 0; i < 15; i++) throttle.failed(1n, 100_001);
    throttle.failed(1n, 100_001 + WINDOW_MS); // a new window
    expect(throttle.isPaused(1n, 100_002 + WINDOW_MS)).toBe(false);
  });
});
