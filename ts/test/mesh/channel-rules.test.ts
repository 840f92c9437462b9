import { afterEach, describe, expect, it } from 'vitest';
import { canonicalChannelHash, encodeMembership, publishStreamId } from '../../src/channels/index.js';
import { frame } from '../../src/mesh/frames.js';
import type { MeshNode } from '../../src/mesh.js';
import { sameWireHash } from '../channels/names.js';
import { failure, Nodes, until } from './nodes.js';

const MEMBERSHIP = 0x0a00;
const seed = (n: number) => Buffer.alloc(32, n);
const subscribe = (nonce: bigint, channel: string) => encodeMembership({ type: 'subscribe', nonce, channel });

describe.each(['addon', 'wasm'] as const)('the rules of channels on %s', (backend) => {
  const nodes = new Nodes(backend);
  afterEach(() => nodes.close());

  /** Sends membership messages in one packet. */
  async function flood(from: MeshNode, to: MeshNode, messages: readonly Uint8Array[]): Promise<void> {
    const { core } = await nodes.below(from);
    const { bytes, length } = frame(messages);
    core.raw.sendTo(core.driver.now(), to.nodeId(), MEMBERSHIP, bytes, length, messages.length);
    core.driver.flush();
  }

  it('an answer counts only from the publisher that was asked, and only for what was asked', async () => {
    const [publisher, subscriber] = await nodes.pair();
    const stranger = await nodes.make();
    await nodes.join(stranger, subscriber);
    publisher.registerChannel({ name: 'a' });
    const { core } = await nodes.below(publisher);
    core.raw.block(subscriber.localAddress(), true);
    const below = await nodes.below(subscriber);
    const nonces: bigint[] = [];
    const send = below.core.sendMessage.bind(below.core);
    Object.assign(below.core, {
      sendMessage: (peer: bigint, subprotocol: number, bytes: Uint8Array) => {
        if (bytes[0] === 0) nonces.push(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(1, true));
        return send(peer, subprotocol, bytes);
      },
    });
    let settled = false;
    const asked = subscriber.subscribeChannel(publisher.nodeId(), 'a').finally(() => {
      settled = true;
    });
    const [nonce = 0n] = nonces;
    const yes = (of: bigint) => encodeMembership({ type: 'ack', nonce: of, accepted: true, reason: 'none' });
    await flood(stranger, subscriber, [yes(nonce), yes(nonce + 1n)]);
    await until(() => (subscriber.stats().membershipDropped ?? 0) >= 2);
    expect(settled).toBe(false);
    core.raw.block(subscriber.localAddress(), false);
    await asked;
    // Late and repeated answers change nothing.
    await flood(publisher, subscriber, [yes(nonce), yes(nonce)]);
    await until(() => (subscriber.stats().membershipDropped ?? 0) >= 4);
    expect(subscriber.subscriptions()).toHaveLength(1);
  });

  it('a packet of several messages is handled to its end, in order, malformed ones left out', async () => {
    const [publisher, subscriber] = await nodes.pair();
    for (const name of ['a', 'b', 'c']) publisher.registerChannel({ name });
    const leave = encodeMembership({ type: 'unsubscribe', nonce: 9n, channel: 'a' });
    await flood(subscriber, publisher, [
      subscribe(1n, 'a'),
      Uint8Array.from([0, 1, 2]),
      subscribe(2n, 'b'),
      leave,
      Uint8Array.from([77]),
      subscribe(3n, 'c'),
    ]);
    await until(() => publisher.subscribers('c').length === 1);
    expect(['a', 'b', 'c'].map((name) => publisher.subscribers(name).length)).toEqual([0, 1, 1]);
    expect(publisher.stats().membershipDropped).toBe(2);
  });

  it('names of equal wire hash stay apart, and data of a stream is no publish', async () => {
    const [one, two] = sameWireHash();
    const [publisher, subscriber] = await nodes.pair();
    publisher.registerChannel({ name: one });
    publisher.registerChannel({ name: two });
    await subscriber.subscribeChannel(publisher.nodeId(), one);
    const messages = subscriber.subscribe(one);
    expect((await publisher.publish(two, Buffer.from('x'))).attempted).toBe(0);
    // A publisher that believes otherwise.
    const { control } = await nodes.below(publisher);
    control.publisher.answer(subscriber.nodeId(), { type: 'subscribe', nonce: 1n, channel: two });
    await publisher.publish(two, Buffer.from('not asked for'));
    await publisher.publish(one, Buffer.from('asked for'));
    // The stream that the publisher would have used for another channel, without a channel's mark.
    const stream = publisher.openStream(subscriber.nodeId(), {
      streamId: publishStreamId(canonicalChannelHash('other')),
      reliability: 'fire_and_forget',
    });
    await publisher.sendOnStream(stream, [Buffer.from('stream data')]);
    await publisher.publish(one, Buffer.from('asked for too'));
    const got = [await messages.next(), await messages.next()].map(({ value }) => value?.payload.toString());
    expect(got).toEqual(['asked for', 'asked for too']);
    const polled: string[] = [];
    await until(async () => {
      polled.push(...(await subscriber.poll(10)).map(({ raw }) => raw));
      return polled.length === 2;
    });
    expect(polled).toEqual(['not asked for', 'stream data']);
    expect(subscriber.stats().unsolicited).toBe(1);
  });

  it('what happens when some or all subscribers cannot be reached', async () => {
    const [publisher, full] = await nodes.pair({ protocol: 'net-0.19' });
    const fine = await nodes.make();
    await nodes.join(fine, publisher);
    publisher.registerChannel({ name: 'a' });
    publisher.registerChannel({ name: 'b' });
    for (const name of ['a', 'b']) await full.subscribeChannel(publisher.nodeId(), name);
    await fine.subscribeChannel(publisher.nodeId(), 'a');
    const { core } = await nodes.below(publisher);
    core.raw.block(full.localAddress(), true);
    const payload = Buffer.alloc(8000);
    for (let n = 0; n < 8; n++) {
      await publisher.publish('b', payload);
      await publisher.publish('a', payload, { onFailure: 'collect' });
      await until(async () => (await fine.poll(10)).length > 0);
    }
    const partly = await publisher.publish('a', payload);
    expect(partly).toMatchObject({ attempted: 2, delivered: 1, errors: [{ nodeId: full.nodeId() }] });
    const first = `0x${full.nodeId().toString(16)}`;
    const stream = `0x${publishStreamId(canonicalChannelHash('b')).toString(16)}`;
    expect(await failure(publisher.publish('b', payload))).toMatchObject({
      name: 'ChannelError',
      kind: 'all-failed',
      message: `channel: connection error: all 1 peers failed (first: ${first}: connection error: publish: stream ${stream} backpressured)`,
    });
    expect(await publisher.publish('b', payload, { onFailure: 'collect' })).toMatchObject({
      attempted: 1,
      delivered: 0,
    });
    // It resolves, with what was done so far.
    const stopped = await publisher.publish('a', payload, { onFailure: 'fail_fast' });
    expect(stopped.attempted).toBe(2);
    expect(stopped.errors).toHaveLength(1);
    const [info] = publisher.subscribers('b');
    expect(info).toMatchObject({ delivered: 8, failed: 2 });
    expect(info?.lastError).toMatch(/backpressured$/);
    expect(publisher.channelStats('b')).toMatchObject({ subscribers: 1, published: 10, delivered: 8, failed: 2 });
  });

  it('a payload list larger than a window fails, or waits and goes in parts', async () => {
    const [publisher, subscriber] = await nodes.pair({ protocol: 'net-0.19' });
    publisher.registerChannel({ name: 'a' });
    await subscriber.subscribeChannel(publisher.nodeId(), 'a');
    const many = Array.from({ length: 40 }, (_, n) => Buffer.alloc(4000, n));
    expect(await failure(publisher.publishMany('a', many))).toMatchObject({ kind: 'all-failed' });
    const messages = subscriber.subscribe('a');
    const report = publisher.publishMany('a', many, { onBackpressure: 'wait' });
    const got: number[] = [];
    for await (const { payload } of messages) {
      expect(payload).toHaveLength(4000);
      got.push(payload[0] ?? -1);
      if (got.length === many.length) break;
    }
    expect(got).toEqual(many.map((_, n) => n));
    expect(await report).toEqual({ attempted: 1, delivered: 1, errors: [] });
  });

  it('a publish that waits for credit ends with its signal, or with the node', async () => {
    const [publisher, stuck] = await nodes.pair({ protocol: 'net-0.19' });
    publisher.registerChannel({ name: 'a' });
    await stuck.subscribeChannel(publisher.nodeId(), 'a');
    const { core } = await nodes.below(publisher);
    core.raw.block(stuck.localAddress(), true);
    const payload = Buffer.alloc(8000);
    for (let n = 0; n < 8; n++) await publisher.publish('a', payload);
    const stop = new AbortController();
    const signal = stop.signal;
    const waiting = failure(publisher.publish('a', payload, { onBackpressure: 'wait', signal }));
    stop.abort(new Error('enough'));
    expect((await waiting).message).toBe('enough');
    expect((await failure(publisher.publish('a', payload, { signal }))).message).toBe('enough');
    const last = failure(publisher.publish('a', payload, { onBackpressure: 'wait' }));
    await publisher.shutdown({ drainMs: 0 });
    expect((await last).message).toBe('MeshNode has been shut down');
  });

  it('a subscriber that waits for credit holds up nobody else', async () => {
    const [publisher, stuck] = await nodes.pair({ protocol: 'net-0.19' });
    const fine = await nodes.make();
    await nodes.join(fine, publisher);
    publisher.registerChannel({ name: 'a' });
    await stuck.subscribeChannel(publisher.nodeId(), 'a');
    await fine.subscribeChannel(publisher.nodeId(), 'a');
    const { core } = await nodes.below(publisher);
    core.raw.block(stuck.localAddress(), true);
    const reports = Array.from({ length: 20 }, () =>
      publisher.publish('a', Buffer.alloc(8000), { onBackpressure: 'wait' }),
    );
    const messages = fine.subscribe('a');
    for (let n = 0; n < 8; n++) expect((await messages.next()).value?.payload).toHaveLength(8000);
    expect(publisher.subscribers('a').find(({ nodeId }) => nodeId === stuck.nodeId())?.delivered).toBe(8);
    core.raw.block(stuck.localAddress(), false);
    await until(async () => {
      await stuck.poll(100);
      await fine.poll(100);
      return publisher.subscribers('a').every(({ delivered }) => delivered === 20);
    });
    for (const report of await Promise.all(reports)) expect(report).toMatchObject({ attempted: 2, delivered: 2 });
  });

  it('wrong tokens of every kind open nothing, a right one does', async () => {
    const [publisher, subscriber] = await nodes.pair({ identitySeed: seed(1) }, { identitySeed: seed(2) });
    const { identity } = await nodes.modules();
    const [owner, holder, other] = [1, 2, 3].map((n) => identity.Identity.fromSeed(seed(n)));
    if (!owner || !holder || !other) throw new Error('unreachable');
    publisher.registerChannel({ name: 'a', requireToken: true });
    await subscriber.announceCapabilities({ tags: ['known'] });
    await until(() => publisher.findNodes({ requireTags: ['known'] }).length === 1);
    const issue = (change: object = {}) =>
      owner.issueToken({ subject: holder.entityId, scope: ['subscribe'], channel: 'a', ttlSeconds: 60, ...change });
    const short = issue({ ttlSeconds: 1 });
    await until(() => short.isExpired());
    const changed = issue().toBuffer();
    changed[96] = (changed[96] ?? 0) + 1;
    const wrong = [
      issue({ subject: other.entityId }),
      issue({ channel: 'b' }),
      issue({ scope: ['publish', 'admin'] }),
      changed,
      short,
    ];
    for (const token of wrong) {
      expect((await failure(subscriber.subscribeChannel(publisher.nodeId(), 'a', { token }))).name).toBe(
        'ChannelAuthError',
      );
    }
    await subscriber.subscribeChannel(publisher.nodeId(), 'a', { token: [...wrong, issue()] });
    expect((await publisher.publish('a', Buffer.from('x'))).delivered).toBe(1);
    expect(publisher.channelStats('a')?.refused).toBe(wrong.length);
  });

  it('installed tokens need not be presented, and prove those to whom was delegated', async () => {
    const [publisher, subscriber] = await nodes.pair({ identitySeed: seed(1) }, { identitySeed: seed(2) });
    const { identity } = await nodes.modules();
    const [owner, holder, deputy] = [1, 2, 3].map((n) => identity.Identity.fromSeed(seed(n)));
    if (!owner || !holder || !deputy) throw new Error('unreachable');
    for (const name of ['a', 'b']) publisher.registerChannel({ name, requireToken: true });
    await subscriber.announceCapabilities({ tags: ['known'] });
    await until(() => publisher.findNodes({ requireTags: ['known'] }).length === 1);
    const base = { scope: ['subscribe'] as const, ttlSeconds: 60 };
    publisher.installToken(owner.issueToken({ ...base, subject: holder.entityId, channel: 'a' }));
    await subscriber.subscribeChannel(publisher.nodeId(), 'a');
    const delegation = owner.issueToken({
      scope: ['subscribe', 'delegate'],
      subject: deputy.entityId,
      channel: 'b',
      ttlSeconds: 60,
      delegationDepth: 1,
    });
    const token = identity.delegateToken(deputy, delegation, holder.entityId, ['subscribe']);
    const ask = () => subscriber.subscribeChannel(publisher.nodeId(), 'b', { token });
    expect((await failure(ask())).name).toBe('ChannelAuthError');
    publisher.installToken(delegation.toBuffer());
    await ask();
    const forged = delegation.toBuffer();
    forged[100] = (forged[100] ?? 0) ^ 1;
    expect(await failure(() => publisher.installToken(forged))).toMatchObject({ name: 'TokenError' });
    expect(await failure(() => publisher.installToken(Buffer.alloc(3)))).toMatchObject({ kind: 'invalid_format' });
  });

  it('who is throttled may still leave; what it never joined is left too', async () => {
    const [publisher, subscriber] = await nodes.pair();
    const id = publisher.nodeId();
    publisher.registerChannel({ name: 'a' });
    await subscriber.subscribeChannel(id, 'a');
    for (let n = 0; n < 16; n++) await failure(subscriber.subscribeChannel(id, 'none'));
    expect(await failure(subscriber.subscribeChannel(id, 'a'))).toMatchObject({ kind: 'rate-limited' });
    await subscriber.unsubscribeChannel(id, 'a');
    await subscriber.unsubscribeChannel(id, 'never/registered');
    expect(publisher.subscribers('a')).toEqual([]);
  });

  it('4096 requests wait for answers, one more is refused', async () => {
    const [publisher, subscriber] = await nodes.pair();
    const { core } = await nodes.below(publisher);
    core.raw.block(subscriber.localAddress(), true);
    const ask = (n: number) => subscriber.subscribeChannel(publisher.nodeId(), `c/${n}`);
    const pending = Array.from({ length: 4096 }, (_, n) => failure(ask(n)));
    expect(await failure(ask(4096))).toMatchObject({ name: 'ChannelError', kind: 'limit' });
    await subscriber.shutdown({ drainMs: 0 });
    const messages = new Set((await Promise.all(pending)).map(({ message }) => message));
    expect([...messages]).toEqual(['MeshNode has been shut down']);
  });

  it('a flood of requests from one peer is cut off and harms no other', async () => {
    const [publisher, attacker] = await nodes.pair();
    const subscriber = await nodes.make();
    await nodes.join(subscriber, publisher);
    for (let n = 0; n < 1100; n++) publisher.registerChannel({ name: `c/${n}` });
    publisher.registerChannel({ name: 'a' });
    let nonce = 1n;
    for (let round = 0; round < 60; round++) {
      const messages = Array.from({ length: 100 }, (_, n) => subscribe(nonce++, `c/${(round * 100 + n) % 1100}`));
      await flood(attacker, publisher, messages);
    }
    await until(() => (publisher.stats().membershipDropped ?? 0) > 0);
    await subscriber.subscribeChannel(publisher.nodeId(), 'a');
    expect((await publisher.publish('a', Buffer.from('x'))).delivered).toBe(1);
    const taken = publisher.channels().filter(({ name }) => publisher.subscribers(name).length > 0).length;
    expect(taken).toBeLessThanOrEqual(1025);
    // Prefixes, too.
    const prefix = (n: number) =>
      Uint8Array.from([4, ...Array(7).fill(n & 255), n >> 8, 2, 0x61 + (n % 26), 0x61 + Math.floor(n / 26), 0, 0]);
    const before = publisher.stats().membershipDropped ?? 0;
    for (let n = 0; n < 200; n++) await flood(attacker, publisher, [prefix(n)]);
    await until(() => (publisher.stats().membershipDropped ?? 0) >= before + 150);
    await subscriber.subscribeChannel(publisher.nodeId(), 'c/*');
    expect(publisher.subscribers('c/1099').some(({ nodeId }) => nodeId === subscriber.nodeId())).toBe(true);
  });
});
