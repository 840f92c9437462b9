import { afterEach, describe, expect, it } from 'vitest';
import type { SubscriptionEvent } from '../../src/mesh.js';
import { failure, Nodes, until } from './nodes.js';

const seed = (n: number) => Buffer.alloc(32, n);

describe.each(['addon', 'wasm'] as const)('channels between nodes of ours on %s', (backend) => {
  const nodes = new Nodes(backend);
  afterEach(() => nodes.close());

  /** A publisher that owns tokens for a subscriber that it knows. */
  async function ownerAndHolder() {
    const [publisher, subscriber] = await nodes.pair({ identitySeed: seed(1) }, { identitySeed: seed(2) });
    const { identity } = await nodes.modules();
    const [owner, holder] = [identity.Identity.fromSeed(seed(1)), identity.Identity.fromSeed(seed(2))];
    await subscriber.announceCapabilities({ tags: ['known'] });
    await until(() => publisher.findNodes({ requireTags: ['known'] }).length === 1);
    const token = (channel: string, ttlSeconds = 60) =>
      owner.issueToken({ subject: holder.entityId, scope: ['subscribe'], channel, ttlSeconds });
    return { publisher, subscriber, id: publisher.nodeId(), token };
  }

  function events(node: Awaited<ReturnType<Nodes['make']>>): SubscriptionEvent[] {
    const all: SubscriptionEvent[] = [];
    node.on('subscription', (event) => all.push(event));
    return all;
  }

  describe('a member that is taken off', () => {
    it('hears of it when the channel is unregistered, and is back when it is registered again', async () => {
      const [publisher, subscriber] = await nodes.pair();
      publisher.registerChannel({ name: 'a' });
      const id = publisher.nodeId();
      const seen = events(subscriber);
      await subscriber.subscribeChannel(id, 'a');
      expect(publisher.unregisterChannel('a')).toBe(true);
      expect([publisher.unregisterChannel('a'), publisher.channels()]).toEqual([false, []]);
      await until(() => subscriber.subscriptions()[0]?.state === 'dropped');
      expect(subscriber.subscriptions()).toEqual([
        { publisherNodeId: id, channel: 'a', state: 'dropped', lastError: 'channel: unknown channel' },
      ]);
      publisher.registerChannel({ name: 'a' });
      await until(() => subscriber.subscriptions()[0]?.state === 'active');
      expect(publisher.subscribers('a')).toEqual([{ nodeId: subscriber.nodeId(), delivered: 0, failed: 0 }]);
      expect(seen.map(({ type }) => type).filter((type) => type !== 'failed')).toEqual(['active', 'dropped', 'active']);
      const dropped = seen.find(({ type }) => type === 'dropped');
      expect(dropped).toMatchObject({
        publisherNodeId: id,
        channel: 'a',
        error: { message: 'channel: unknown channel' },
      });
    });

    it('hears of it when the configuration is tightened; an iteration goes on, or says so', async () => {
      const [publisher, subscriber] = await nodes.pair();
      const id = publisher.nodeId();
      publisher.registerChannel({ name: 'a' });
      const patient = subscriber.subscribe('a', { publisher: id });
      const strict = subscriber.subscribe('a', { publisher: id, onDrop: 'throw' });
      await Promise.all([patient.ready, strict.ready]);
      for (const text of ['before', 'before too']) await publisher.publish('a', Buffer.from(text));
      expect((await patient.next()).value?.payload.toString()).toBe('before');
      publisher.registerChannel({ name: 'a', subscribeCaps: { requireTags: ['gpu'] } });
      expect(publisher.subscribers('a')).toEqual([]);
      // What had arrived comes first.
      expect((await strict.next()).value?.payload.toString()).toBe('before');
      expect((await patient.next()).value?.payload.toString()).toBe('before too');
      await until(() => subscriber.subscriptions()[0]?.state === 'dropped');
      expect((await strict.next()).value?.payload.toString()).toBe('before too');
      expect(await failure(strict.next())).toMatchObject({ name: 'ChannelAuthError', kind: 'unauthorized' });
      expect(await strict.next()).toEqual({ done: true, value: undefined });
      await subscriber.announceCapabilities({ tags: ['gpu'] });
      await until(() => subscriber.subscriptions()[0]?.state === 'active');
      await publisher.publish('a', Buffer.from('after'));
      expect((await patient.next()).value?.payload.toString()).toBe('after');
      expect(publisher.channelStats('a')).toMatchObject({ subscribers: 1, dropped: 1, published: 3, delivered: 3 });
      expect(await failure(() => subscriber.subscribe('a', { onDrop: 'x' as 'throw' }))).toMatchObject({
        name: 'ChannelError',
        kind: 'invalid-config',
      });
    });

    it('hears of it when its token ends, and a function that gives tokens brings it back', async () => {
      const { publisher, subscriber, id, token } = await ownerAndHolder();
      publisher.registerChannel({ name: 'a', requireToken: true });
      const seen = events(subscriber);
      await subscriber.subscribeChannel(id, 'a', { token: token('a', 2) });
      await until(
        async () => (await publisher.publish('a', Buffer.from('x'), { onFailure: 'collect' })).attempted === 0,
      );
      await until(() => subscriber.subscriptions()[0]?.state === 'dropped');
      expect(seen.map(({ type }) => type)).toEqual(['active', 'dropped']);
      const asked: string[] = [];
      await subscriber.subscribeChannel(id, 'a', {
        token: (channel) => {
          asked.push(channel);
          return token(channel, 60);
        },
      });
      publisher.unregisterChannel('a');
      await until(() => subscriber.subscriptions()[0]?.state === 'dropped');
      publisher.registerChannel({ name: 'a', requireToken: true });
      await until(() => subscriber.subscriptions()[0]?.state === 'active');
      expect(new Set(asked)).toEqual(new Set(['a']));
    });

    it('presents a new token before the old one ends', async () => {
      const { publisher, subscriber, id, token } = await ownerAndHolder();
      publisher.registerChannel({ name: 'a', requireToken: true });
      const seen = events(subscriber);
      let given = 0;
      const old = token('a', 3);
      const source = async () => (++given === 1 ? old : token('a', 60));
      await subscriber.subscribeChannel(id, 'a', { token: source });
      await until(() => given === 2);
      expect((await publisher.publish('a', Buffer.from('x'))).attempted).toBe(1);
      expect(seen.map(({ type }) => type)).toEqual(['active']);
      await until(() => old.isExpired());
      expect((await publisher.publish('a', Buffer.from('x'))).attempted).toBe(1);
      expect(subscriber.subscriptions()).toEqual([{ publisherNodeId: id, channel: 'a', state: 'active' }]);
    });

    it('a function that fails is asked again', async () => {
      const { publisher, subscriber, id, token } = await ownerAndHolder();
      publisher.registerChannel({ name: 'a', requireToken: true });
      const seen = events(subscriber);
      let calls = 0;
      const source = () => {
        calls += 1;
        if (calls === 2) throw new Error('no token today');
        return token('a', calls === 1 ? 2 : 60);
      };
      await subscriber.subscribeChannel(id, 'a', { token: source });
      await until(() => seen.some(({ type }) => type === 'failed'));
      expect(seen.find(({ type }) => type === 'failed')?.error?.message).toBe('no token today');
      await until(() => calls === 3 && subscriber.subscriptions()[0]?.lastError === undefined);
      expect(await failure(subscriber.subscribeChannel(id, 'a', { token: () => Buffer.alloc(3) }))).toMatchObject({
        name: 'TokenError',
        kind: 'invalid_format',
      });
      expect(await failure(subscriber.subscribeChannel(id, 'b', { token: [5] as never }))).toMatchObject({
        kind: 'invalid-argument',
      });
    });

    it('believes only the publisher, and each notice once', async () => {
      const [publisher, subscriber] = await nodes.pair();
      const stranger = await nodes.make();
      await nodes.join(stranger, subscriber);
      publisher.registerChannel({ name: 'a' });
      await subscriber.subscribeChannel(publisher.nodeId(), 'a');
      const seen = events(subscriber);
      const notice = Uint8Array.from([3, 1, 2, 3, 4, 5, 6, 7, 8, 2, 1, 97]);
      const drop = async (node: typeof publisher) =>
        (await nodes.below(node)).core.sendMessage(subscriber.nodeId(), 0x0a00, notice);
      await drop(stranger);
      // An answer that nobody asked for is the next thing it handles.
      const before = subscriber.stats().membershipDropped ?? 0;
      (await nodes.below(stranger)).core.sendMessage(subscriber.nodeId(), 0x0a00, Uint8Array.from([9]));
      await until(() => (subscriber.stats().membershipDropped ?? 0) > before);
      expect(subscriber.subscriptions()[0]?.state).toBe('active');
      await drop(publisher);
      await until(() => seen.filter(({ type }) => type === 'active').length === 1);
      await drop(publisher);
      const after = subscriber.stats().membershipDropped ?? 0;
      (await nodes.below(publisher)).core.sendMessage(subscriber.nodeId(), 0x0a00, Uint8Array.from([9]));
      await until(() => (subscriber.stats().membershipDropped ?? 0) > after);
      expect(seen.map(({ type }) => type)).toEqual(['dropped', 'active']);
      expect(publisher.subscribers('a')).toHaveLength(1);
    });

    it('hears of it although the answer to its request was lost', async () => {
      const [publisher, subscriber] = await nodes.pair();
      publisher.registerChannel({ name: 'a' });
      const { core } = await nodes.below(publisher);
      const send = core.sendMessage.bind(core);
      let lost = 0;
      Object.assign(core, {
        sendMessage: (peer: bigint, subprotocol: number, bytes: Uint8Array) => {
          if (subprotocol === 0x0a00 && bytes[0] === 2 && lost++ === 0) {
            publisher.unregisterChannel('a');
            return true;
          }
          return send(peer, subprotocol, bytes);
        },
      });
      expect(await failure(subscriber.subscribeChannel(publisher.nodeId(), 'a'))).toMatchObject({
        kind: 'unknown-channel',
      });
      expect([subscriber.subscriptions(), publisher.subscribers('a')]).toEqual([[], []]);
    });

    it('a listener that throws is the application’s defect, and cuts off nothing', async () => {
      const [publisher, subscriber] = await nodes.pair();
      for (const name of ['a', 'b']) publisher.registerChannel({ name });
      const others = process.listeners('uncaughtException');
      process.removeAllListeners('uncaughtException');
      const seen: string[] = [];
      process.on('uncaughtException', (error) => seen.push(error.message));
      try {
        subscriber.on('subscription', ({ channel, type }) => {
          throw new Error(`${channel} ${type}`);
        });
        for (const name of ['a', 'b']) await subscriber.subscribeChannel(publisher.nodeId(), name);
        for (const name of ['a', 'b']) publisher.unregisterChannel(name);
        await until(() => seen.length >= 4);
        expect(seen.slice(0, 4)).toEqual(['a active', 'b active', 'a dropped', 'b dropped']);
      } finally {
        process.removeAllListeners('uncaughtException');
        for (const listener of others) process.on('uncaughtException', listener);
      }
    });

    it('a node that speaks only 0.19.0 is sent no notice', async () => {
      const [publisher, subscriber] = await nodes.pair({}, { protocol: 'net-0.19' });
      publisher.registerChannel({ name: 'a' });
      await subscriber.subscribeChannel(publisher.nodeId(), 'a');
      publisher.unregisterChannel('a');
      expect(publisher.subscribers('a')).toEqual([]);
      expect(await failure(subscriber.subscribeChannel(publisher.nodeId(), 'a'))).toMatchObject({
        kind: 'unknown-channel',
      });
      expect([subscriber.subscriptions()[0]?.state, publisher.stats().noticesLost]).toEqual(['active', 0]);
    });
  });

  describe('a wildcard', () => {
    it('joins what is below its prefix, now and later, and nothing else', async () => {
      const [publisher, subscriber] = await nodes.pair();
      const id = publisher.nodeId();
      for (const name of ['sensors', 'sensors/a', 'sensors/b/c', 'sensorsx', 'other'])
        publisher.registerChannel({ name });
      const messages = subscriber.subscribe('sensors/*', { publisher: id });
      await messages.ready;
      const joined = () => publisher.channels().filter(({ name }) => publisher.subscribers(name).length > 0);
      expect(joined().map(({ name }) => name)).toEqual(['sensors', 'sensors/a', 'sensors/b/c']);
      publisher.registerChannel({ name: 'sensors/late' });
      publisher.registerChannel({ name: 'sensors-late' });
      await until(() => joined().some(({ name }) => name === 'sensors/late'));
      const names = ['sensors/a', 'sensors/late', 'sensors'];
      for (const name of names) await publisher.publish(name, Buffer.from(name));
      expect((await publisher.publish('sensorsx', Buffer.from('x'))).attempted).toBe(0);
      const got: [string, string][] = [];
      for await (const { channel, payload } of messages) {
        got.push([channel, payload.toString()]);
        if (got.length === names.length) break;
      }
      expect(got.sort()).toEqual(names.map((name) => [name, name]).sort());
      await until(() => joined().length === 0);
      expect(subscriber.subscriptions()).toEqual([]);
    });

    it('shows nothing that would refuse this node, nor hints at it', async () => {
      const { publisher, subscriber, id, token } = await ownerAndHolder();
      publisher.registerChannel({ name: 'p/open' });
      publisher.registerChannel({ name: 'p/caps', subscribeCaps: { requireTags: ['gpu'] } });
      publisher.registerChannel({ name: 'p/token', requireToken: true });
      publisher.registerChannel({ name: 'p/other', requireToken: true });
      publisher.registerChannel({ name: 'p/hidden', visibility: 'exported' });
      const { control } = await nodes.below(subscriber);
      const sent: string[] = [];
      const { core } = await nodes.below(publisher);
      const send = core.sendMessage.bind(core);
      Object.assign(core, {
        sendMessage: (peer: bigint, subprotocol: number, bytes: Uint8Array) => {
          if (subprotocol === 0x0a00) sent.push(Buffer.from(bytes).toString('latin1'));
          return send(peer, subprotocol, bytes);
        },
      });
      await subscriber.subscribeChannel(id, 'p/*', { token: [token('p/token'), token('elsewhere')] });
      const mine = () =>
        control
          .listSubscriptions()
          .map(({ channel }) => channel)
          .sort();
      expect(mine()).toEqual(['p/*', 'p/open', 'p/token']);
      for (const hidden of ['p/caps', 'p/other', 'p/hidden']) {
        expect(sent.some((message) => message.includes(hidden))).toBe(false);
      }
      // A new channel that it may not join is not even hinted at.
      const before = sent.length;
      const hints = () => sent.slice(before).filter((message) => message.startsWith('\x06')).length;
      publisher.registerChannel({ name: 'p/other/new', requireToken: true });
      await subscriber.subscribeChannel(id, 'p/open');
      expect(hints()).toBe(0);
      publisher.registerChannel({ name: 'p/open/new' });
      await until(() => mine().includes('p/open/new'));
      expect(hints()).toBeGreaterThan(0);
      expect(sent.slice(before).some((message) => message.includes('p/other/new'))).toBe(false);
      expect(publisher.subscribers('p/other')).toEqual([]);
      expect((await publisher.publish('p/other', Buffer.from('x'))).attempted).toBe(0);
      publisher.registerChannel({ name: 'p/caps' });
      await until(() => mine().includes('p/caps'));
    });

    it('without a publisher reads what was subscribed to below its prefix, of all publishers', async () => {
      const [one, subscriber] = await nodes.pair();
      const two = await nodes.make();
      await nodes.join(subscriber, two);
      for (const node of [one, two]) for (const name of ['a/b', 'ab', 'a']) node.registerChannel({ name });
      for (const name of ['a/b', 'ab', 'a']) await subscriber.subscribeChannel(one.nodeId(), name);
      await subscriber.subscribeChannel(two.nodeId(), 'a/*');
      const messages = subscriber.subscribe('a/*');
      for (const name of ['ab', 'a/b', 'a']) await one.publish(name, Buffer.from(`one ${name}`));
      await two.publish('a/b', Buffer.from('two a/b'));
      const got = new Set<string>();
      for await (const { channel, payload } of messages) {
        expect(payload.toString().endsWith(` ${channel}`)).toBe(true);
        got.add(payload.toString());
        if (got.size === 3) break;
      }
      expect(got).toEqual(new Set(['one a/b', 'one a', 'two a/b']));
      // Ending it ends no subscription.
      expect(one.subscribers('a/b')).toHaveLength(1);
    });

    it('looks again when this node has announced more', async () => {
      const [publisher, subscriber] = await nodes.pair();
      publisher.registerChannel({ name: 'caps', subscribeCaps: { requireTags: ['gpu'] } });
      await subscriber.subscribeChannel(publisher.nodeId(), '*');
      expect(publisher.subscribers('caps')).toEqual([]);
      await subscriber.announceCapabilities({ tags: ['gpu'] });
      await until(() => publisher.subscribers('caps').length === 1);
    });

    it('ends with its prefix, but not what others subscribed to; what was left by name stays left', async () => {
      const [publisher, subscriber] = await nodes.pair();
      const id = publisher.nodeId();
      for (const name of ['a/1', 'a/2', 'a/3']) publisher.registerChannel({ name });
      await subscriber.subscribeChannel(id, 'a/1');
      await subscriber.subscribeChannel(id, 'a/*', { queueGroup: 'workers' });
      await subscriber.subscribeChannel(id, '*');
      // The group counts for what the wildcard joined itself.
      expect(publisher.subscribers('a/1')[0]?.queueGroup).toBeUndefined();
      expect(publisher.subscribers('a/2')[0]?.queueGroup).toBe('workers');
      await subscriber.unsubscribeChannel(id, 'a/2');
      publisher.registerChannel({ name: 'a/4' });
      await until(() => publisher.subscribers('a/4').length === 1);
      expect(publisher.subscribers('a/2')).toEqual([]);
      await subscriber.unsubscribeChannel(id, 'a/*');
      await subscriber.unsubscribeChannel(id, '*');
      await until(() => publisher.subscribers('a/4').length === 0);
      expect(subscriber.subscriptions()).toEqual([{ publisherNodeId: id, channel: 'a/1', state: 'active' }]);
      await subscriber.unsubscribeChannel(id, 'a/*');
    });

    it('is not answered to a peer that is paused', async () => {
      const [publisher, subscriber] = await nodes.pair();
      const id = publisher.nodeId();
      publisher.registerChannel({ name: 'a' });
      for (let n = 0; n < 16; n++) await failure(subscriber.subscribeChannel(id, 'none'));
      expect(await failure(subscriber.subscribeChannel(id, '*'))).toMatchObject({ kind: 'rate-limited' });
      expect(subscriber.subscriptions()).toEqual([]);
    });

    it('is back after the publisher was', async () => {
      const times = { heartbeatIntervalMs: 40, sessionTimeoutMs: 150 };
      const [publisher, subscriber] = await nodes.pair(times, times);
      const id = publisher.nodeId();
      publisher.registerChannel({ name: 'a/1' });
      await subscriber.subscribeChannel(id, 'a/*');
      const { core } = await nodes.below(publisher);
      core.raw.block(subscriber.localAddress(), true);
      await until(() => subscriber.subscriptions().every(({ state }) => state === 'lost'));
      await until(() => publisher.subscribers('a/1').length === 0);
      publisher.registerChannel({ name: 'a/2' });
      core.raw.block(subscriber.localAddress(), false);
      await until(() => publisher.subscribers('a/2').length === 1 && publisher.subscribers('a/1').length === 1);
      await until(() => subscriber.subscriptions().every(({ state }) => state === 'active'));
      expect(subscriber.subscriptions()).toHaveLength(3);
    });

    it('of many channels comes page by page, up to the channels that a peer may have', async () => {
      const [publisher, subscriber] = await nodes.pair();
      const id = publisher.nodeId();
      for (let n = 0; n < 1100; n++) publisher.registerChannel({ name: `many/of/them/${n}` });
      await subscriber.subscribeChannel(id, 'many/*');
      const all = subscriber.subscriptions();
      expect(all.filter(({ state }) => state === 'active')).toHaveLength(1025);
      expect(all.find(({ channel }) => channel === 'many/*')?.lastError).toBe('channel: too many channels');
      expect(await failure(subscriber.subscribeChannel(id, 'many/of/them/999'))).toMatchObject({
        kind: 'too-many-channels',
      });
    });

    it('is an error where the publisher has none', async () => {
      const [publisher, subscriber] = await nodes.pair({ protocol: 'net-0.19' });
      const id = publisher.nodeId();
      expect(await failure(subscriber.subscribeChannel(id, 'a/*'))).toMatchObject({
        name: 'ChannelError',
        kind: 'unsupported',
        message: `channel: publisher 0x${id.toString(16)} has no wildcards (a/*): subscribe to its channels one by one`,
      });
      expect(await failure(subscriber.subscribe('*', { publisher: id }).next())).toMatchObject({ kind: 'unsupported' });
      for (const name of ['/*', 'a*', 'a/*/b', 'A/*', '**', 'a//*']) {
        expect(await failure(subscriber.subscribeChannel(id, name))).toMatchObject({ kind: 'invalid-name' });
      }
      expect(await failure(subscriber.subscribeChannel(5n, 'a/*'))).toMatchObject({ kind: 'no-session' });
      expect(subscriber.subscriptions()).toEqual([]);
      expect(await failure(() => publisher.registerChannel({ name: 'a/*' }))).toMatchObject({ kind: 'invalid-name' });
      expect(await failure(publisher.publish('a/*', Buffer.from('x')))).toMatchObject({ kind: 'invalid-name' });
    });
  });
});
