import { afterEach, describe, expect, it, vi } from 'vitest';
import type * as IdentityModule from '../../src/identity.js';
import type * as MeshModule from '../../src/mesh.js';
import { failure, until } from './nodes.js';

const PSK = '42'.repeat(32);

describe.each(['addon', 'wasm'] as const)('channels and discovery on %s', (backend) => {
  let mesh: typeof MeshModule | undefined;
  let identity: typeof IdentityModule;
  const open: MeshModule.MeshNode[] = [];

  async function make(more: object = {}): Promise<MeshModule.MeshNode> {
    if (!mesh) {
      vi.resetModules();
      vi.stubEnv('MESHRING_BACKEND', backend);
      mesh = await import('../../src/mesh.js');
      identity = await import('../../src/identity.js');
      vi.unstubAllEnvs();
    }
    const node = await mesh.MeshNode.create({ bindAddr: '127.0.0.1:0', psk: PSK, handshakeTimeoutMs: 2000, ...more });
    open.push(node);
    await node.start();
    return node;
  }

  const join = (a: MeshModule.MeshNode, b: MeshModule.MeshNode) =>
    a.connect(b.localAddress(), b.publicKey(), b.nodeId());

  async function pair(
    a: object = {},
    b: object = {},
  ): Promise<[publisher: MeshModule.MeshNode, subscriber: MeshModule.MeshNode]> {
    const nodes: [MeshModule.MeshNode, MeshModule.MeshNode] = [await make(a), await make(b)];
    await join(nodes[1], nodes[0]);
    return nodes;
  }

  afterEach(async () => {
    for (const node of open.splice(0)) await node.shutdown({ drainMs: 0 }).catch(() => {});
  });

  it('a subscriber receives by poll and by iteration, on all shards, binary and empty payloads too', async () => {
    const [publisher, subscriber] = await pair();
    const names = Array.from({ length: 8 }, (_, n) => `sensors/${n}`);
    for (const name of names) publisher.registerChannel({ name });
    for (const name of names) await subscriber.subscribeChannel(publisher.nodeId(), name);
    for (const name of names) {
      const report = await publisher.publish(name, Buffer.from(name));
      expect(report).toEqual({ attempted: 1, delivered: 1, errors: [] });
    }
    const got: string[] = [];
    await until(async () => {
      got.push(...(await subscriber.poll(10)).map((event) => event.raw));
      return got.length === names.length;
    });
    expect(got.sort()).toEqual(names);
    const messages = subscriber.subscribe('sensors/3');
    const payloads = [Buffer.from([0xff, 0]), Buffer.alloc(0), Buffer.alloc(8108, 7)];
    for (const payload of payloads) await publisher.publish('sensors/3', payload, { reliability: 'reliable' });
    for (const payload of payloads) {
      const { value } = await messages.next();
      expect(value).toMatchObject({ channel: 'sensors/3', publisherNodeId: publisher.nodeId() });
      expect(value?.payload.equals(payload)).toBe(true);
    }
    await messages.return();
    expect(publisher.subscribers('sensors/3')).toEqual([{ nodeId: subscriber.nodeId(), delivered: 4, failed: 0 }]);
    expect(await subscriber.poll(10)).toEqual([]);
  });

  it('says what is wrong, with its class', async () => {
    const [publisher, subscriber] = await pair();
    publisher.registerChannel({ name: 'a' });
    const id = publisher.nodeId();
    const hex = 0xabcn.toString(16);
    const table: [work: () => unknown, name: string, kind: string, message: string][] = [
      [() => subscriber.subscribeChannel(id, 'b'), 'ChannelError', 'unknown-channel', 'channel: unknown channel'],
      [
        () => subscriber.subscribeChannel(0xabcn, 'a'),
        'ChannelError',
        'no-session',
        `channel: connection error: no session to publisher 0x${hex}`,
      ],
      [
        () => subscriber.subscribeChannel(id, 'A'),
        'ChannelError',
        'invalid-name',
        "channel: invalid name: invalid channel name format: uppercase character 'A' not allowed — channel names are lowercase only",
      ],
      [
        () => subscriber.subscribeChannel(id, 'a', { token: Buffer.alloc(12) }),
        'TokenError',
        'invalid_format',
        'token: invalid_format',
      ],
      [
        () => publisher.registerChannel({ name: 'c', visibility: 'all' as 'global' }),
        'ChannelError',
        'invalid-config',
        'channel: invalid visibility "all" (expected subnet-local | parent-visible | exported | global)',
      ],
      [
        () => publisher.publish('a', Buffer.alloc(0), { onFailure: 'x' as 'collect' }),
        'ChannelError',
        'invalid-config',
        'channel: invalid on_failure "x"',
      ],
      [
        () => publisher.publish('a', Buffer.alloc(0), { reliability: 'x' as 'reliable' }),
        'ChannelError',
        'invalid-config',
        'channel: invalid reliability "x"',
      ],
      [
        () => publisher.publish('a', Buffer.alloc(8109)),
        'ChannelError',
        'too-large',
        'channel: payload too large (8109 > 8108)',
      ],
      [() => subscriber.subscribeChannel(-1n, 'a'), 'Error', 'invalid-argument', 'expected non-negative BigInt'],
    ];
    for (const [work, name, kind, message] of table) expect(await failure(work)).toMatchObject({ name, kind, message });
    expect(await publisher.publish('nobody', Buffer.from('x'))).toEqual({ attempted: 0, delivered: 0, errors: [] });
    await subscriber.unsubscribeChannel(id, 'never-subscribed');
    await publisher.shutdown();
    expect(await failure(publisher.publish('a', Buffer.alloc(0)))).toMatchObject({
      message: 'MeshNode has been shut down',
    });
    expect((await failure(() => publisher.findNodes({}))).message).toBe('MeshNode has been shut down');
  });

  it('nodes find each other: announced before and after the session, over a third one, and in their scope', async () => {
    const [a, b, c] = [await make(), await make(), await make()];
    await a.announceCapabilities({ tags: ['early', 'scope:tenant:acme'], hardware: { memoryGb: 64 } });
    await join(a, b);
    await join(b, c);
    await until(() => c.findNodes({ requireTags: ['early'] }).length === 1);
    expect(b.findNodes({ requireTags: ['early'], minMemoryMb: 65_536 })).toEqual([a.nodeId()]);
    expect(b.findNodesScoped({}, { kind: 'tenant', tenant: 'other' })).toEqual([]);
    expect(c.findNodesScoped({}, { kind: 'tenant', tenant: 'acme' })).toEqual([a.nodeId()]);
    await c.announceCapabilities({ tags: ['late'] });
    await until(() => a.findNodes({ requireTags: ['late'] }).length === 1);
    expect(a.findNodes({}).sort()).toEqual([a.nodeId(), c.nodeId()].sort());
    expect((await failure(c.announceCapabilities({ tags: ['x'.repeat(8100)] }))).message).toMatch(
      /^capability: announcement is \d+ bytes, limit 8093$/,
    );
  });

  it('nodes are chosen by predicate and by placement, with filters that all nodes of the process share', async () => {
    const [a, b] = await pair();
    await a.announceCapabilities({ hardware: { memoryGb: 64 }, tags: ['software.os:linux'], metadata: { zone: 'x' } });
    await b.announceCapabilities({ hardware: { memoryGb: 8 }, tags: ['software.os=linux'] });
    await until(() => b.findNodes({}).length === 2);
    const key = { axis: 'hardware', key: 'memory_gb' } as const;
    expect(b.findNodesMatching({ type: 'numericAtLeast', key, threshold: 10 })).toEqual([a.nodeId()]);
    const both = [a.nodeId(), b.nodeId()].sort((x, y) => (x < y ? -1 : 1));
    expect(b.selectNodes({ requireTags: ['software.os=linux'] })).toEqual(both);
    expect(b.selectNodes({ requireMetadata: { zone: 'x' } })).toEqual([a.nodeId()]);

    const id = `ours-${backend}`;
    expect(a.registerPlacementFilter(id, ({ nodeId }) => nodeId === b.nodeId())).toBe(true);
    expect([b.registerPlacementFilter(id, () => true), b.hasPlacementFilter(id)]).toEqual([false, true]);
    expect(b.selectNodes({ customFilterId: id })).toEqual([b.nodeId()]);
    expect((await failure(() => a.registerPlacementFilter('x', 7 as never))).message).toMatch(/fn must be a function/);
    expect((await failure(() => a.registerPlacementFilter(7 as never, () => true))).message).toMatch(
      /id must be a str/,
    );
    await a.shutdown();
    expect((await failure(() => a.registerPlacementFilter('x', () => true))).message).toBe(
      'MeshNode has been shut down',
    );
    expect([a.hasPlacementFilter(id), a.unregisterPlacementFilter(id), b.hasPlacementFilter(id)]).toEqual([
      true,
      true,
      false,
    ]);
  });

  it('a forwarded announcement is a way to its maker: routed sessions along a line without any pingwave', async () => {
    // No heartbeat leaves within the test, so nothing but announcements tells of nodes behind the next one.
    const quiet = { heartbeatIntervalMs: 600_000 };
    const line = [await make(quiet), await make(quiet), await make(quiet), await make(quiet)];
    const [a, b, c, d] = line as [MeshModule.MeshNode, MeshModule.MeshNode, MeshModule.MeshNode, MeshModule.MeshNode];
    for (const [from, to] of [
      [a, b],
      [b, c],
      [c, d],
    ] as const) {
      await join(from, to);
    }
    expect((await failure(d.connectRouted(a.publicKey(), a.nodeId()))).message).toMatch(/no route to peer/);
    await a.announceCapabilities({ tags: ['a'] });
    await d.announceCapabilities({ tags: ['d'] });
    await until(() => d.findNodes({ requireTags: ['a'] }).length === 1 && b.findNodes({}).includes(d.nodeId()));
    await until(() => a.findNodes({ requireTags: ['d'] }).length === 1);
    const { MeshNode } = mesh as typeof MeshModule;
    const metrics = (node: MeshModule.MeshNode, to: MeshModule.MeshNode) =>
      (JSON.parse(MeshNode.coreOf(node).raw.routes()) as { id: string; nextHop: string; metric: number }[]).find(
        ({ id }) => id === to.nodeId().toString(),
      );
    expect(metrics(c, a)).toMatchObject({ nextHop: b.localAddress(), metric: 3 });
    expect(metrics(d, a)).toMatchObject({ nextHop: c.localAddress(), metric: 4 });
    await d.connectRouted(a.publicKey(), a.nodeId());
    expect(d.peers().find(({ id }) => id === a.nodeId())).toMatchObject({ relayed: true });
    a.registerChannel({ name: 'far' });
    await d.subscribeChannel(a.nodeId(), 'far');
  });

  it.each(['meshring', 'net-0.19'] as const)(
    'an announcement that is lost on the way arrives long before its renewal (%s)',
    async (protocol) => {
      const [from, to] = await pair({ protocol }, { protocol });
      const { MeshNode } = mesh as typeof MeshModule;
      const engine = MeshNode.coreOf(to).raw;
      const filtered = () => (JSON.parse(engine.stats()) as { filtered: number }).filtered;
      const before = filtered();
      engine.block(from.localAddress(), true);
      await from.announceCapabilities({ tags: ['unheard'] });
      await until(() => filtered() > before);
      engine.block(from.localAddress(), false);
      await until(() => to.findNodes({ requireTags: ['unheard'] }).length === 1);
    },
  );

  it('capabilities and tokens decide; the issuer must be the owner, or listed', async () => {
    const [publisher, subscriber] = await pair(
      { identitySeed: Buffer.alloc(32, 1) },
      { identitySeed: Buffer.alloc(32, 2) },
    );
    const [owner, holder, stranger] = [1, 2, 3].map((n) => identity.Identity.fromSeed(Buffer.alloc(32, n)));
    if (!owner || !holder || !stranger) throw new Error('unreachable');
    const id = publisher.nodeId();
    publisher.registerChannel({ name: 'caps', subscribeCaps: { requireTags: ['gpu'] } });
    publisher.registerChannel({ name: 'token', requireToken: true });
    publisher.registerChannel({ name: 'anyone', requireToken: true, tokenIssuers: 'any' });
    publisher.registerChannel({ name: 'closed', publishCaps: { requireTags: ['licensed'] } });
    const token = (issuer: IdentityModule.Identity, channel: string) =>
      issuer.issueToken({ subject: holder.entityId, scope: ['subscribe'], channel, ttlSeconds: 60 });
    const denied = { name: 'ChannelAuthError', kind: 'unauthorized', message: 'channel: unauthorized' };
    expect(await failure(subscriber.subscribeChannel(id, 'caps'))).toMatchObject(denied);
    // Who it is is known only from an announcement.
    expect(await failure(subscriber.subscribeChannel(id, 'token', { token: token(owner, 'token') }))).toMatchObject(
      denied,
    );
    await subscriber.announceCapabilities({ tags: ['gpu'] });
    await until(() => publisher.findNodes({ requireTags: ['gpu'] }).length === 1);
    await subscriber.subscribeChannel(id, 'caps');
    expect(await failure(subscriber.subscribeChannel(id, 'token'))).toMatchObject(denied);
    expect(await failure(subscriber.subscribeChannel(id, 'token', { token: token(stranger, 'token') }))).toMatchObject(
      denied,
    );
    expect(await failure(subscriber.subscribeChannel(id, 'token', { token: token(owner, 'caps') }))).toMatchObject(
      denied,
    );
    await subscriber.subscribeChannel(id, 'token', { token: token(owner, 'token') });
    await subscriber.subscribeChannel(id, 'anyone', { token: token(stranger, 'anyone') });
    // The owner publishes without a token of its own.
    expect((await publisher.publish('token', Buffer.from('x'))).delivered).toBe(1);
    expect((await publisher.publish('anyone', Buffer.from('x'))).delivered).toBe(1);
    await subscriber.unsubscribeChannel(id, 'token');
    expect((await publisher.publish('token', Buffer.from('x'))).attempted).toBe(0);
    // What was presented once still counts.
    await subscriber.subscribeChannel(id, 'token');
    expect(await failure(publisher.publish('closed', Buffer.from('x')))).toMatchObject({
      name: 'ChannelError',
      kind: 'publish-denied',
      message: 'channel: connection error: channel: publish denied by channel ACL',
    });
    await publisher.announceCapabilities({ tags: ['licensed'] });
    expect((await publisher.publish('closed', Buffer.from('x'))).attempted).toBe(0);
  });

  it('visibility keeps peers of other subnets out', async () => {
    const subnetPolicy = {
      rules: [
        { tagPrefix: 'region:', level: 0, values: { us: 3 } },
        { tagPrefix: 'fleet:', level: 1, values: { blue: 7, green: 8 } },
      ],
    };
    const [publisher, subscriber] = await pair({ subnet: { levels: [3, 7] }, subnetPolicy });
    const other = await make();
    await join(other, publisher);
    const id = publisher.nodeId();
    for (const visibility of ['subnet-local', 'parent-visible', 'exported', 'global'] as const) {
      publisher.registerChannel({ name: visibility, visibility });
    }
    await subscriber.announceCapabilities({ tags: ['region:us', 'fleet:blue'] });
    await other.announceCapabilities({ tags: ['region:us', 'fleet:green'] });
    await until(() => publisher.findNodes({}).length === 2);
    expect(publisher.peerSubnet(subscriber.nodeId())).toEqual({ levels: [3, 7, 0, 0] });
    for (const name of ['subnet-local', 'parent-visible', 'global']) await subscriber.subscribeChannel(id, name);
    await other.subscribeChannel(id, 'global');
    for (const [node, name] of [
      [subscriber, 'exported'],
      [other, 'subnet-local'],
      [other, 'parent-visible'],
    ] as const) {
      expect((await failure(node.subscribeChannel(id, name))).name).toBe('ChannelAuthError');
    }
    expect((await failure(make({ subnet: { levels: [] } }))).message).toBe(
      'subnet: levels must have at least one entry',
    );
  });

  it('a queue group shares the payloads; a rate is kept; many payloads go at once', async () => {
    const [publisher, one] = await pair();
    const two = await make();
    await join(two, publisher);
    const id = publisher.nodeId();
    publisher.registerChannel({ name: 'jobs' });
    publisher.registerChannel({ name: 'slow', maxRatePps: 2 });
    for (const node of [one, two]) await node.subscribeChannel(id, 'jobs', { queueGroup: 'workers' });
    for (let n = 0; n < 10; n++) {
      expect((await publisher.publish('jobs', Buffer.from(`${n}`))).attempted).toBe(1);
    }
    expect(publisher.subscribers('jobs').map(({ delivered }) => delivered)).toEqual([5, 5]);
    await one.subscribeChannel(id, 'slow');
    await publisher.publish('slow', Buffer.from('1'));
    await publisher.publish('slow', Buffer.from('2'));
    expect(await failure(publisher.publish('slow', Buffer.from('3')))).toMatchObject({
      name: 'ChannelError',
      kind: 'rate-limited',
      message: 'channel: rate limited',
    });
    const many = Array.from({ length: 100 }, (_, n) => Buffer.from(`many ${n}`));
    await two.unsubscribeChannel(id, 'jobs');
    const messages = one.subscribe('jobs');
    await publisher.publishMany('jobs', many);
    const got: string[] = [];
    for await (const { payload } of messages) {
      if (payload.toString().startsWith('many')) got.push(payload.toString());
      if (got.length === many.length) break;
    }
    expect(got).toEqual(many.map(String));
  });

  it('without credit a publish fails, or waits', async () => {
    const [publisher, subscriber] = await pair({ protocol: 'net-0.19' });
    publisher.registerChannel({ name: 'big' });
    await subscriber.subscribeChannel(publisher.nodeId(), 'big');
    const payload = Buffer.alloc(8000);
    const { MeshNode } = mesh as typeof MeshModule;
    const block = (blocked: boolean) => {
      MeshNode.coreOf(publisher).raw.block(subscriber.localAddress(), blocked);
    };
    // No grant comes back: the window holds eight packets.
    block(true);
    const reports = await Promise.all(
      Array.from({ length: 20 }, () => publisher.publish('big', payload, { onFailure: 'collect' })),
    );
    const failed = reports.filter((report) => report.delivered === 0);
    expect(failed).toHaveLength(12);
    block(false);
    expect(failed[0]?.errors[0]?.message).toMatch(/^connection error: publish: stream 0x[0-9a-f]+ backpressured$/);
    for (let n = 0; n < 20; n++) {
      expect((await publisher.publish('big', payload, { onBackpressure: 'wait' })).delivered).toBe(1);
    }
  });

  it('an iteration brings its own subscription and takes it away again', async () => {
    const [publisher, subscriber] = await pair();
    publisher.registerChannel({ name: 'news' });
    const refused = subscriber.subscribe('other', { publisher: publisher.nodeId() });
    expect(await failure(refused.next())).toMatchObject({ name: 'ChannelError', kind: 'unknown-channel' });
    const messages = subscriber.subscribe('news', { publisher: publisher.nodeId() });
    await messages.ready;
    expect(publisher.subscribers('news')).toHaveLength(1);
    await publisher.publish('news', Buffer.from('one'));
    for await (const { payload } of messages) {
      expect(payload.toString()).toBe('one');
      break;
    }
    await until(() => publisher.subscribers('news').length === 0);
    expect(subscriber.subscriptions()).toEqual([]);
    const ends = new AbortController();
    const waiting = subscriber.subscribe('news', { publisher: publisher.nodeId(), signal: ends.signal }).next();
    await until(() => publisher.subscribers('news').length === 1);
    ends.abort();
    expect(await waiting).toEqual({ done: true, value: undefined });
    await until(() => publisher.subscribers('news').length === 0);
  });

  it('what was not subscribed to reaches poll only, or nobody', async () => {
    const [publisher, lenient] = await pair();
    const strict = await make({ unsolicited: 'drop' });
    await join(strict, publisher);
    const { MeshNode } = mesh as typeof MeshModule;
    const { publisher: channels } = MeshNode.controlOf(publisher);
    publisher.registerChannel({ name: 'a' });
    const messages = lenient.subscribe('a');
    // The publisher believes that they asked.
    for (const node of [lenient, strict])
      channels.answer(node.nodeId(), { type: 'subscribe', nonce: 1n, channel: 'a' });
    await publisher.publish('a', Buffer.from('unwanted'));
    const got: string[] = [];
    await until(async () => {
      got.push(...(await lenient.poll(10)).map((event) => event.raw));
      return got.length > 0;
    });
    expect(got).toEqual(['unwanted']);
    await until(() => strict.stats().unsolicited === 1);
    await lenient.subscribeChannel(publisher.nodeId(), 'a');
    await strict.subscribeChannel(publisher.nodeId(), 'a');
    await publisher.publish('a', Buffer.from('wanted'));
    expect((await messages.next()).value?.payload.toString()).toBe('wanted');
    const strictly: string[] = [];
    await until(async () => {
      strictly.push(...(await strict.poll(10)).map((event) => event.raw));
      return strictly.includes('wanted');
    });
    expect(strictly).toEqual(['wanted']);
    for (const node of [lenient, strict]) {
      expect(node.stats().unsolicited).toBe(1);
      expect(node.peers().map((peer) => [peer.id, peer.unsolicited])).toEqual([[publisher.nodeId(), 1]]);
    }
  });

  it('subscriptions and announcements come back after a silence, and after the publisher was restarted', async () => {
    const times = { heartbeatIntervalMs: 40, sessionTimeoutMs: 150 };
    const seed = { identitySeed: Buffer.alloc(32, 9), staticKey: Buffer.alloc(32, 8) };
    const [publisher, subscriber] = await pair({ ...times, ...seed }, times);
    publisher.registerChannel({ name: 'a', subscribeCaps: { requireTags: ['x'] } });
    await subscriber.announceCapabilities({ tags: ['x'] });
    await publisher.announceCapabilities({ tags: ['publisher'] });
    await until(() => publisher.findNodes({ requireTags: ['x'] }).length === 1);
    await subscriber.subscribeChannel(publisher.nodeId(), 'a');
    const events: string[] = [];
    publisher.on('peer', ({ type }) => events.push(type));
    const { MeshNode } = mesh as typeof MeshModule;
    const block = (blocked: boolean) => {
      MeshNode.coreOf(publisher).raw.block(subscriber.localAddress(), blocked);
    };
    block(true);
    await until(() => events.includes('lost') && subscriber.subscriptions()[0]?.state === 'lost');
    expect(publisher.subscribers('a')).toEqual([]);
    expect(publisher.findNodes({ requireTags: ['x'] })).toEqual([]);
    block(false);
    await until(() => publisher.subscribers('a').length === 1 && subscriber.subscriptions()[0]?.state === 'active');
    expect(publisher.findNodes({ requireTags: ['x'] })).toEqual([subscriber.nodeId()]);
    await until(() => subscriber.findNodes({ requireTags: ['publisher'] }).length === 1);
    const messages = subscriber.subscribe('a');
    await publisher.publish('a', Buffer.from('again'));
    expect((await messages.next()).value?.payload.toString()).toBe('again');

    await publisher.shutdown();
    await until(() => subscriber.subscriptions()[0]?.state === 'lost');
    const restarted = await make({ ...times, ...seed });
    await join(subscriber, restarted);
    await until(() => (subscriber.subscriptions()[0]?.lastError ?? '') !== '');
    expect(subscriber.subscriptions()[0]?.lastError).toBe('channel: unknown channel');
    restarted.registerChannel({ name: 'a' });
    await until(() => subscriber.subscriptions()[0]?.state === 'active');
    await restarted.publish('a', Buffer.from('restarted'));
    expect((await messages.next()).value?.payload.toString()).toBe('restarted');
  });

  it('over a relay: announced, subscribed with a token, received', async () => {
    const [publisher, relay, subscriber] = [
      await make({ identitySeed: Buffer.alloc(32, 1) }),
      await make(),
      await make({ identitySeed: Buffer.alloc(32, 2) }),
    ];
    await join(publisher, relay);
    await join(subscriber, relay);
    await subscriber.announceCapabilities({});
    await subscriber.connectVia(relay.localAddress(), publisher.publicKey(), publisher.nodeId());
    const [owner, holder] = [1, 2].map((n) => identity.Identity.fromSeed(Buffer.alloc(32, n)));
    if (!owner || !holder) throw new Error('unreachable');
    publisher.registerChannel({ name: 'far', requireToken: true });
    const token = owner.issueToken({ subject: holder.entityId, scope: ['subscribe'], channel: 'far', ttlSeconds: 60 });
    await until(() => publisher.findNodes({}).includes(subscriber.nodeId()));
    await subscriber.subscribeChannel(publisher.nodeId(), 'far', { token });
    const messages = subscriber.subscribe('far');
    expect((await publisher.publish('far', Buffer.from('hello'))).delivered).toBe(1);
    expect((await messages.next()).value?.payload.toString()).toBe('hello');
  });

  it('announcements and tokens end', async () => {
    const [publisher, subscriber] = await pair(
      { identitySeed: Buffer.alloc(32, 1) },
      { identitySeed: Buffer.alloc(32, 2) },
    );
    const [owner, holder] = [1, 2].map((n) => identity.Identity.fromSeed(Buffer.alloc(32, n)));
    if (!owner || !holder) throw new Error('unreachable');
    const id = publisher.nodeId();
    publisher.registerChannel({ name: 'brief', requireToken: true });
    await subscriber.announceCapabilities({ tags: ['x'] });
    await until(() => publisher.findNodes({ requireTags: ['x'] }).length === 1);
    const token = owner.issueToken({ subject: holder.entityId, scope: ['subscribe'], channel: 'brief', ttlSeconds: 2 });
    await subscriber.subscribeChannel(id, 'brief', { token });
    await until(
      async () => (await publisher.publish('brief', Buffer.from('x'), { onFailure: 'collect' })).attempted === 0,
    );
    expect(publisher.subscribers('brief')).toEqual([]);
    expect((await failure(subscriber.subscribeChannel(id, 'brief', { token }))).name).toBe('ChannelAuthError');
    // Nobody renews what a node that is gone announced.
    const visitor = await make();
    await visitor.announceCapabilities({ tags: ['visitor'] }, { ttlSecs: 1 });
    await join(visitor, subscriber);
    await until(() => publisher.findNodes({ requireTags: ['visitor'] }).length === 1);
    await visitor.shutdown();
    await until(() => publisher.findNodes({ requireTags: ['visitor'] }).length === 0);
  });

  it('malformed and hostile messages are counted and disturb nothing', async () => {
    const [publisher, subscriber] = await pair();
    publisher.registerChannel({ name: 'a' });
    const { MeshNode } = mesh as typeof MeshModule;
    const attacker = MeshNode.coreOf(subscriber);
    const id = publisher.nodeId();
    const send = (subprotocol: number, bytes: Uint8Array) => attacker.sendMessage(id, subprotocol, bytes);
    const before = publisher.stats().membershipDropped ?? 0;
    for (let length = 0; length < 40; length++) {
      const bytes = Uint8Array.from({ length }, (_, at) => (at === 0 ? length % 5 : (at * 37) & 255));
      send(0x0a00, bytes);
      send(0x0c00, bytes);
    }
    // An answer that nobody asked for, and an announcement in the name of somebody else.
    send(0x0a00, Uint8Array.from([2, 1, 2, 3, 4, 5, 6, 7, 8, 1, 0]));
    send(0x0c00, Buffer.from('{"node_id":1,"entity_id":"00","version":1}'));
    await until(() => (publisher.stats().announcementsDropped ?? 0) >= 40);
    expect(publisher.stats().membershipDropped).toBeGreaterThan(before + 30);
    await subscriber.subscribeChannel(id, 'a');
    expect((await publisher.publish('a', Buffer.from('x'))).delivered).toBe(1);
    // The seventeenth refusal within a minute is not looked at.
    const kinds: (string | undefined)[] = [];
    for (let n = 0; n < 17; n++) kinds.push((await failure(subscriber.subscribeChannel(id, 'none'))).kind);
    expect(kinds).toEqual([...Array.from({ length: 16 }, () => 'unknown-channel'), 'rate-limited']);
  });

  it('shutdown ends what is pending', async () => {
    const [publisher, subscriber] = await pair();
    publisher.registerChannel({ name: 'a' });
    await subscriber.subscribeChannel(publisher.nodeId(), 'a');
    const { MeshNode } = mesh as typeof MeshModule;
    MeshNode.coreOf(publisher).raw.block(subscriber.localAddress(), true);
    const request = failure(subscriber.subscribeChannel(publisher.nodeId(), 'a'));
    const waiting = subscriber.subscribe('a').next();
    await subscriber.shutdown({ drainMs: 0 });
    expect((await request).message).toBe('MeshNode has been shut down');
    expect(await waiting).toEqual({ done: true, value: undefined });
  });
});
