import { afterEach, describe, expect, it } from 'vitest';
import { decodeExtension, decodeMembership, encodeExtension, encodeMembership } from '../../src/channels/index.js';
import type { MeshNode } from '../../src/mesh.js';
import { failure, Nodes, until } from './nodes.js';

const MEMBERSHIP = 0x0a00;
const seed = (n: number) => Buffer.alloc(32, n);
const states = (node: MeshNode) => node.subscriptions().map(({ channel, state }) => `${channel} ${state}`);

describe.each(['addon', 'wasm'] as const)('subscriptions that several ask for, on %s', (backend) => {
  const nodes = new Nodes(backend);
  afterEach(() => nodes.close());

  /** Two nodes, the publisher with channels. */
  async function pair(names: readonly string[], more: object = {}): Promise<[MeshNode, MeshNode, bigint]> {
    const [publisher, subscriber] = await nodes.pair(more, more);
    for (const name of names) publisher.registerChannel({ name });
    return [publisher, subscriber, publisher.nodeId()];
  }

  /** Once the publisher has handled everything that was sent before. */
  async function caughtUp(publisher: MeshNode, subscriber: MeshNode): Promise<void> {
    const before = publisher.stats().membershipDropped ?? 0;
    (await nodes.below(subscriber)).core.sendMessage(publisher.nodeId(), MEMBERSHIP, Uint8Array.from([99]));
    await until(() => (publisher.stats().membershipDropped ?? 0) > before);
  }

  it.each(['a', '*'])(
    'an iteration over %s that outlives its subscription does not end that of another',
    async (what) => {
      const [publisher, subscriber, id] = await pair(['a']);
      const first = subscriber.subscribe(what, { publisher: id });
      await first.ready;
      await subscriber.unsubscribeChannel(id, what);
      await until(() => publisher.subscribers('a').length === 0);
      const second = subscriber.subscribe(what, { publisher: id });
      await second.ready;
      await first.return();
      await caughtUp(publisher, subscriber);
      expect(publisher.subscribers('a')).toHaveLength(1);
      await publisher.publish('a', Buffer.from('x'));
      expect((await second.next()).value?.payload.toString()).toBe('x');
      await second.return();
      await until(() => publisher.subscribers('a').length === 0);
      expect(subscriber.subscriptions()).toEqual([]);
    },
  );

  it.each(['a', '*'])(
    'an iteration over %s that ends while another begins leaves it its subscription',
    async (what) => {
      const [publisher, subscriber, id] = await pair(['a']);
      const first = subscriber.subscribe(what, { publisher: id });
      await first.ready;
      const second = subscriber.subscribe(what, { publisher: id });
      await first.return();
      await second.ready;
      await caughtUp(publisher, subscriber);
      expect((await publisher.publish('a', Buffer.from('x'))).delivered).toBe(1);
      expect((await second.next()).value?.payload.toString()).toBe('x');
      // One that is refused while the last one ends leaves nothing behind.
      const token = () => Promise.reject(new Error('no token'));
      const third = failure(subscriber.subscribe(what, { publisher: id, token }).next());
      await second.return();
      expect((await third).message).toBe('no token');
      await until(() => publisher.subscribers('a').length === 0 && subscriber.subscriptions().length === 0);
    },
  );

  it('who unsubscribes while the answer is on its way is not subscribed afterwards', async () => {
    const [publisher, subscriber, id] = await pair(['a', 'b']);
    const asked = subscriber.subscribeChannel(id, 'a');
    await subscriber.unsubscribeChannel(id, 'a');
    await asked;
    expect(subscriber.subscriptions()).toEqual([]);

    // The same while the token is not even there: the request leaves after the other one.
    let give = (_: undefined) => {};
    const token = () => new Promise<undefined>((resolve) => (give = resolve));
    const late = subscriber.subscribeChannel(id, 'b', { token });
    await subscriber.unsubscribeChannel(id, 'b');
    give(undefined);
    await late;
    await caughtUp(publisher, subscriber);
    expect([publisher.subscribers('a'), publisher.subscribers('b'), subscriber.subscriptions()]).toEqual([[], [], []]);
  });

  it('a wildcard leaves queue groups alone, also after a silence', async () => {
    const times = { heartbeatIntervalMs: 40, sessionTimeoutMs: 150 };
    const names = Array.from({ length: 60 }, (_, n) => `a/${n}`);
    const [publisher, subscriber, id] = await pair(names, times);
    for (const name of names) await subscriber.subscribeChannel(id, name, { queueGroup: 'workers' });
    await subscriber.subscribeChannel(id, 'a/*');
    const { core } = await nodes.below(publisher);
    core.raw.block(subscriber.localAddress(), true);
    await until(() => subscriber.subscriptions().every(({ state }) => state === 'lost'));
    core.raw.block(subscriber.localAddress(), false);
    await until(() => subscriber.subscriptions().every(({ state }) => state === 'active'));
    await caughtUp(publisher, subscriber);
    const groups = new Set(names.map((name) => publisher.subscribers(name)[0]?.queueGroup));
    expect(groups).toEqual(new Set(['workers']));
  });

  it('a request that is repeated in a new session is not answered with the answer of the old one', async () => {
    const [publisher, subscriber, id] = await pair(['a']);
    const { core } = await nodes.below(publisher);
    const send = core.sendMessage.bind(core);
    let muted = true;
    Object.assign(core, {
      sendMessage: (peer: bigint, subprotocol: number, bytes: Uint8Array) =>
        (muted && subprotocol === MEMBERSHIP) || send(peer, subprotocol, bytes),
    });
    const asked = subscriber.subscribeChannel(id, 'a');
    await until(() => publisher.subscribers('a').length === 1);
    publisher.disconnect(subscriber.nodeId());
    await until(() => subscriber.peerCount() === 0 && publisher.subscribers('a').length === 0);
    muted = false;
    await nodes.join(subscriber, publisher);
    await asked;
    expect(publisher.subscribers('a')).toHaveLength(1);
  });

  it('what a silent member says counts more than what is remembered of it', async () => {
    const [publisher, subscriber, id] = await pair(['a', 'b']);
    for (const name of ['a', 'b']) await subscriber.subscribeChannel(id, name);
    const { control } = await nodes.below(publisher);
    const member = subscriber.nodeId();
    control.publisher.peerFailed(member);
    control.publisher.answer(member, { type: 'unsubscribe', nonce: 1n, channel: 'a' });
    control.publisher.peerRecovered(member);
    expect(['a', 'b'].map((name) => publisher.subscribers(name).length)).toEqual([0, 1]);
  });

  it('a publisher that names channels without end gets no more than 1024 of them asked for', async () => {
    const [publisher, subscriber, id] = await pair([]);
    const { core } = await nodes.below(publisher);
    const member = subscriber.nodeId();
    let named = 0;
    core.onMessage(MEMBERSHIP, ({ events }) => {
      for (const event of events) {
        const message = decodeMembership(event) ?? decodeExtension(event);
        if (message?.type === 'list') {
          const names = Array.from({ length: 60 }, () => `c${String(named++).padStart(6, '0')}`);
          const listed = { type: 'listed', nonce: message.nonce, reason: 'none', more: false, names } as const;
          core.sendMessage(member, MEMBERSHIP, encodeExtension(listed));
          core.sendMessage(member, MEMBERSHIP, encodeExtension({ type: 'changed', nonce: BigInt(named), prefix: '' }));
        } else if (message?.type === 'subscribe') {
          const { nonce } = message;
          core.sendMessage(
            member,
            MEMBERSHIP,
            encodeMembership({ type: 'ack', nonce, accepted: true, reason: 'none' }),
          );
        }
      }
    });
    subscriber.subscribeChannel(id, '*').catch(() => {});
    await until(() => named > 1500);
    expect(subscriber.subscriptions().length).toBeLessThanOrEqual(1025);
    await until(() => subscriber.subscriptions().some(({ lastError }) => lastError === 'channel: too many channels'));
  });

  it('a publisher that accepts and drops again and again is not followed at its pace', async () => {
    const [publisher, subscriber, id] = await pair([]);
    const { core } = await nodes.below(publisher);
    const member = subscriber.nodeId();
    const asked: number[] = [];
    core.onMessage(MEMBERSHIP, ({ events }) => {
      for (const event of events) {
        const message = decodeMembership(event);
        if (message?.type !== 'subscribe') continue;
        const { channel, nonce } = message;
        asked.push(performance.now());
        core.sendMessage(member, MEMBERSHIP, encodeMembership({ type: 'ack', nonce, accepted: true, reason: 'none' }));
        const notice = { type: 'dropped', nonce: nonce ^ 1n, channel, reason: 'unauthorized' } as const;
        setImmediate(() => core.sendMessage(member, MEMBERSHIP, encodeExtension(notice)));
      }
    });
    await subscriber.subscribeChannel(id, 'a', { token: () => undefined }).catch(() => {});
    if (states(subscriber).length === 0) await subscriber.subscribeChannel(id, 'a', { token: () => undefined });
    const from = asked.length;
    await until(() => asked.length >= from + 2);
    expect((asked[from + 1] ?? 0) - (asked[from - 1] ?? 0)).toBeGreaterThan(800);
  });

  it('shutdown ends a subscription that waits for its token', async () => {
    const [, subscriber, id] = await pair(['a']);
    const never = () => new Promise<undefined>(() => {});
    const waiting = ['a', 'b/*'].map((name) => failure(subscriber.subscribeChannel(id, name, { token: never })));
    await subscriber.shutdown({ drainMs: 0 });
    for (const { message } of await Promise.all(waiting)) expect(message).toBe('MeshNode has been shut down');
  });

  it('is not remembered as a grant for which there was no room', async () => {
    const [publisher, subscriber, id] = await pair(['a']);
    await subscriber.subscribeChannel(id, 'a');
    const { control, core } = await nodes.below(publisher);
    const member = subscriber.nodeId();
    control.publisher.peerFailed(member);
    const grant = core.raw.grantChannel;
    Object.assign(core.raw, { grantChannel: () => 0 });
    try {
      control.publisher.peerRecovered(member);
    } finally {
      Object.assign(core.raw, { grantChannel: grant });
    }
    expect(publisher.subscribers('a')).toEqual([]);
    await until(() => states(subscriber).includes('a active') && publisher.subscribers('a').length === 1);
  });

  it('requests that arrive while the publisher shuts down are left alone', async () => {
    const seen: unknown[] = [];
    const others = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', (error) => seen.push(error));
    try {
      const [publisher, subscriber, id] = await pair(['a'], { identitySeed: undefined });
      const silent = await nodes.make();
      await nodes.join(publisher, silent);
      const stream = publisher.openStream(silent.nodeId(), { streamId: 1n, reliability: 'reliable' });
      (await nodes.below(silent)).core.raw.block(publisher.localAddress(), true);
      await publisher.sendOnStream(stream, [Buffer.from('never acknowledged')]);
      const closing = publisher.shutdown({ drainMs: 700 });
      const asked = failure(subscriber.subscribeChannel(id, 'a'));
      await closing;
      await subscriber.shutdown({ drainMs: 0 });
      expect(await asked).toMatchObject({ message: 'MeshNode has been shut down' });
      expect(seen).toEqual([]);
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const listener of others) process.on('uncaughtException', listener);
    }
  });

  it('listeners that throw cut off neither others nor what else has arrived', async () => {
    const seen: string[] = [];
    const others = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', (error) => seen.push(error.message));
    try {
      const [a, b] = [await nodes.make({ identitySeed: seed(1) }), await nodes.make()];
      const told: string[] = [];
      for (const name of ['first', 'second']) {
        b.on('peer', ({ type }) => {
          told.push(`${name} ${type}`);
          throw new Error(`peer ${name}`);
        });
        b.onEvents((events) => {
          told.push(`${name} ${events.length}`);
          throw new Error(`events ${name}`);
        });
      }
      await nodes.join(a, b);
      await until(() => told.length >= 2);
      const stream = a.openStream(b.nodeId(), { streamId: 1n, reliability: 'reliable' });
      const reading = b.events()[Symbol.asyncIterator]().next();
      await a.sendOnStream(stream, [Buffer.from('x')]);
      expect((await reading).value?.streamId).toBe(1n);
      await until(() => seen.length >= 4);
      expect(told).toEqual(['first joined', 'second joined', 'first 1', 'second 1']);
      expect(seen).toEqual(['peer first', 'peer second', 'events first', 'events second']);
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const listener of others) process.on('uncaughtException', listener);
    }
  });
});
