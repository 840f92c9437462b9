/** What channels have beyond the published package, as far as it needs no socket. */
import { describe, expect, it } from 'vitest';
import { channelOf, withChannel } from '../../src/bus/mesh/channel-mark.js';
import {
  AuthThrottle,
  ChannelGate,
  ChannelRegistry,
  decodeExtension,
  decodeMembership,
  type ExtensionMessage,
  encodeExtension,
  PresentedTokens,
  Roster,
} from '../../src/channels/index.js';
import { TokenCache } from '../../src/identity/index.js';
import { Identity } from '../../src/identity.js';
import { patternMatcher } from '../../src/mesh/index.js';
import { NetNode } from '../../src/node.js';

const bytes = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
const hex = (view: Uint8Array) => Array.from(view, (b) => b.toString(16).padStart(2, '0')).join('');
const NONCE = '0807060504030201';
const nonce = 0x0102030405060708n;

describe('membership messages between nodes of ours', () => {
  it.each<[string, ExtensionMessage]>([
    [`03${NONCE}0203612f62`, { type: 'dropped', nonce, reason: 'unknown-channel', channel: 'a/b' }],
    [`04${NONCE}016100${'00'}`, { type: 'list', nonce, prefix: 'a', after: '', tokens: [] }],
    [
      `04${NONCE}000361${'2f62'}01${'ab'.repeat(169)}`,
      { type: 'list', nonce, prefix: '', after: 'a/b', tokens: [new Uint8Array(169).fill(0xab)] },
    ],
    [`05${NONCE}0000020001610162`, { type: 'listed', nonce, reason: 'none', more: false, names: ['a', 'b'] }],
    [`05${NONCE}04010000`, { type: 'listed', nonce, reason: 'too-many-channels', more: true, names: [] }],
    [`06${NONCE}0161`, { type: 'changed', nonce, prefix: 'a' }],
    [`07${NONCE}00`, { type: 'unlist', nonce, prefix: '' }],
  ])('%s, both ways', (wire, message) => {
    expect(hex(encodeExtension(message))).toBe(wire);
    expect(decodeExtension(bytes(wire))).toEqual(message);
    expect(decodeMembership(bytes(wire))).toBeUndefined();
  });

  it.each([
    ['nothing', ''],
    ['a type of the published package', `00${NONCE}0161`],
    ['an unknown type', `08${NONCE}0161`],
    ['half a nonce', '0308070605'],
    ['a reason beyond the last', `03${NONCE}050161`],
    ['a name beyond the end', `03${NONCE}000561`],
    ['an empty name', `03${NONCE}0000`],
    ['a name in upper case', `03${NONCE}000141`],
    ['a name that is no UTF-8', `03${NONCE}0001ff`],
    ['a byte left over', `03${NONCE}00016100`],
    ['half a token', `04${NONCE}00000155`],
    ['nine tokens', `04${NONCE}000009${'00'.repeat(9 * 169)}`],
    ['more than fits', `05${NONCE}0000ffff0161`],
    ['a third truth', `05${NONCE}00020000`],
    ['names in the wrong order', `05${NONCE}0000020001620161`],
    ['a prefix that is no name', `06${NONCE}012f`],
  ])('%s is malformed', (_what, wire) => {
    expect(decodeExtension(bytes(wire))).toBeUndefined();
  });
});

describe('wildcards', () => {
  it.each([
    ['a/*', ['a', 'a/b', 'a/b/c'], ['ab', 'b/a', 'b']],
    ['*', ['a', 'a/b', 'z.9'], []],
    ['a/b', ['a/b'], ['a', 'a/b/c']],
  ])('%s stands for %j, not for %j', (pattern, inside, outside) => {
    const matches = patternMatcher(pattern);
    expect(inside.map(matches)).toEqual(inside.map(() => true));
    expect(outside.map(matches)).toEqual(outside.map(() => false));
  });

  it.each(['/*', 'a*', '**', 'A/*', 'a/*/b', ''])('%j is none', (pattern) => {
    expect(() => patternMatcher(pattern)).toThrow('channel: invalid name');
  });
});

describe('the gate', () => {
  const owner = Identity.generate();
  const guest = Identity.generate();
  const told: string[] = [];
  const registry = new ChannelRegistry();
  const roster = new Roster();
  const cache = new TokenCache();
  const gate = new ChannelGate({
    registry,
    roster,
    cache,
    throttle: new AuthThrottle(),
    peers: { tagsOf: () => [], entityOf: () => guest.entityId, subnetOf: () => undefined },
    guard: { grant: () => true, revoke: () => {} },
    ownEntity: owner.entityId,
    ownSubnet: () => 0,
    ownTags: () => [],
    onDropped: (_peer, channel, reason) => told.push(`${channel} ${reason}`),
  });
  const token = (channel: string) =>
    owner.issueToken({ subject: guest.entityId, scope: ['subscribe'], channel, ttlSeconds: 60 }).bytes;

  it('says what it would admit, with several tokens, and keeps none of them', () => {
    for (const name of ['a', 'b', 'c']) registry.register({ name, requireToken: true });
    const presented = new PresentedTokens([token('a'), token('c'), new Uint8Array(169), new Uint8Array(3)]);
    expect(['a', 'b', 'c', 'd'].map((name) => gate.admits(1n, name, presented))).toEqual([true, false, true, false]);
    expect([cache.length, roster.peerCount]).toEqual([0, 0]);
  });

  it('tells members that are taken off', () => {
    expect(gate.subscribe(1n, 'a', token('a'))).toBe('none');
    registry.register({ name: 'b' });
    expect(gate.subscribe(1n, 'b')).toBe('none');
    registry.register({ name: 'b', requireToken: true });
    gate.recheck('b');
    registry.unregister('a');
    gate.close('a');
    expect([told, roster.peerCount]).toEqual([['b unauthorized', 'a unknown-channel'], 0]);
  });
});

describe('a channel on a bus', () => {
  const raw = (text: string) => new TextEncoder().encode(text);

  it('is named in the event', () => {
    expect(channelOf(raw('{"n":1,"_channel":"a/b"}'))).toBe('a/b');
    expect(channelOf(raw('{"n":{"_channel":"a/b"}}'))).toBeUndefined();
    expect(new TextDecoder().decode(withChannel(raw('{"n":1.10}'), 'a'))).toBe('{"n":1.10,"_channel":"a"}');
  });

  it('needs a mesh node', async () => {
    const transport = { type: 'channels', node: {} } as never;
    await expect(NetNode.create({ transport })).rejects.toThrow(/node must be a MeshNode|needs sockets/);
  });
});
