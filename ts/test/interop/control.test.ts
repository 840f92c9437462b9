/** Channels and discovery with the published peer, each story in both roles. */
import { afterEach, describe, expect, it } from 'vitest';
import { Identity, Token } from '../../src/identity.js';
import { MeshNode } from '../../src/mesh.js';
import { NetNode } from '../../src/node.js';
import { LivePeer } from './live-peer.js';
import { peerMissing } from './python.js';
import { Tap } from './tap.js';

const PSK = '42'.repeat(32);
const SEED = 7;

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10));
}

async function message(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
  throw new Error('it did not fail');
}

interface Theirs {
  peer: LivePeer;
  address: string;
  key: string;
  id: bigint;
}

describe.skipIf(peerMissing)('channels and discovery with the published peer', () => {
  const nodes: MeshNode[] = [];
  const peers: LivePeer[] = [];
  const us = Identity.fromSeed(Buffer.alloc(32, SEED));

  async function ours(more: object = {}): Promise<MeshNode> {
    const node = await MeshNode.create({ bindAddr: '127.0.0.1:0', psk: PSK, handshakeTimeoutMs: 1000, ...more });
    nodes.push(node);
    await node.start();
    return node;
  }

  /** `options`: further ones of its constructor, in its own words. */
  async function theirs(seed = 9, options: object = {}): Promise<Theirs> {
    const peer = new LivePeer();
    peers.push(peer);
    const probe = await MeshNode.create({ bindAddr: '127.0.0.1:0', psk: PSK });
    const address = probe.localAddress();
    await probe.shutdown();
    const made = await peer.run<{ key: string; id: string }>(
      `global node, ident
ident = net.Identity.from_seed(bytes([given["seed"]]) * 32)
node = net.NetMesh(given["address"], given["psk"], num_shards=1, identity_seed=bytes([given["seed"]]) * 32, **given["options"])
answer = {"key": node.public_key, "id": str(node.node_id)}`,
      { address, psk: PSK, seed, options },
    );
    return { peer, address, key: made.key, id: BigInt(made.id) };
  }

  /** It waits for each of ours in turn, and is started then: only so does it take them for direct peers. */
  async function join(them: Theirs, ...callers: MeshNode[]): Promise<void> {
    for (const node of callers) {
      const accepted = them.peer.run('answer = node.accept(int(given))', `${node.nodeId()}`);
      await node.connect(them.address, them.key, them.id);
      await accepted;
    }
    await them.peer.run('node.start()');
  }

  async function pair(more: object = {}): Promise<[MeshNode, Theirs]> {
    const pairOf: [MeshNode, Theirs] = [await ours({ identitySeed: Buffer.alloc(32, SEED), ...more }), await theirs()];
    await join(pairOf[1], pairOf[0]);
    return pairOf;
  }

  const theyFind = (them: Theirs, tag: string) =>
    them.peer
      .run<string[]>('answer = [str(i) for i in node.find_nodes({"require_tags": [given]})]', tag)
      .then((ids) => ids.map(BigInt));

  const theySubscribe = (them: Theirs, to: MeshNode, channel: string, token?: Buffer) =>
    them.peer.run(
      `t = bytes.fromhex(given["token"]) if given["token"] else None
node.subscribe_channel(int(given["id"]), given["channel"], t)`,
      { id: `${to.nodeId()}`, channel, token: token?.toString('hex') ?? null },
    );

  const theyPublish = (them: Theirs, channel: string, text: string) =>
    them.peer.run<{ attempted: number; delivered: number }>(
      'answer = node.publish(given["channel"], given["text"].encode())\nanswer.pop("errors")',
      { channel, text },
    );

  const theyPoll = (them: Theirs, count: number) =>
    them.peer.run<string[]>(
      `answer = []
end = time.time() + 10
while len(answer) < given and time.time() < end:
    answer += [e.raw for e in node.poll(1000)]
    time.sleep(0.01)`,
      count,
    );

  const theyAnnounce = (them: Theirs, tags: string[]) =>
    them.peer.run('node.announce_capabilities({"tags": given})', tags);

  afterEach(async () => {
    for (const peer of peers.splice(0)) peer.kill();
    for (const node of nodes.splice(0)) await node.shutdown({ drainMs: 0 }).catch(() => {});
  });

  it('announcements are found by both, made before the session and after it', async () => {
    const node = await ours();
    await node.announceCapabilities({ tags: ['early-ours'], hardware: { cpuCores: 8, memoryGb: 32 } });
    const them = await theirs();
    await theyAnnounce(them, ['early-theirs']);
    await join(them, node);
    await until(async () => (await theyFind(them, 'early-ours'))[0] === node.nodeId());
    expect(await theyFind(them, 'hardware.memory_gb=32')).toEqual([node.nodeId()]);
    const [other, late] = [await ours(), await theirs(10)];
    await join(late, other);
    await other.announceCapabilities({ tags: ['late-ours'] });
    await theyAnnounce(late, ['late-theirs']);
    await until(async () => (await theyFind(late, 'late-ours')).length === 1);
    await until(() => other.findNodes({ requireTags: ['late-theirs'] })[0] === late.id);
  });

  it('over a node of either kind in the middle', async () => {
    const [a, c, relay] = [await ours(), await ours(), await theirs()];
    await join(relay, a, c);
    await a.announceCapabilities({ tags: ['far-ours'] });
    await until(() => c.findNodes({ requireTags: ['far-ours'] })[0] === a.nodeId());
    await theyAnnounce(relay, ['middle']);
    await until(() => a.findNodes({ requireTags: ['middle'] })[0] === relay.id);
    await a.connectVia(relay.address, c.publicKey(), c.nodeId());
    c.registerChannel({ name: 'far', subscribeCaps: { requireTags: ['far-ours'] } });
    const messages = a.subscribe('far', { publisher: c.nodeId() });
    await messages.ready;
    expect(await c.publish('far', Buffer.from('over the relay'))).toMatchObject({ attempted: 1, delivered: 1 });
    expect((await messages.next()).value?.payload.toString()).toBe('over the relay');
    await messages.return();
  });

  it('it subscribes to us: unknown, open, by capability, by token', async () => {
    const [node, them] = await pair();
    node.registerChannel({ name: 'open/a' });
    node.registerChannel({ name: 'caps', subscribeCaps: { requireTags: ['gpu'] } });
    node.registerChannel({ name: 'token', requireToken: true });
    expect(await message(theySubscribe(them, node, 'nothing'))).toMatch(/ChannelError: channel: unknown channel/);
    await theySubscribe(them, node, 'open/a');
    for (let n = 0; n < 20; n++) {
      expect(await node.publish('open/a', Buffer.from(`{"n":${n}}`))).toMatchObject({ attempted: 1, delivered: 1 });
    }
    expect(await theyPoll(them, 20)).toEqual(Array.from({ length: 20 }, (_, n) => `{"n":${n}}`));
    expect(await message(theySubscribe(them, node, 'caps'))).toMatch(/ChannelAuthError: channel: unauthorized/);
    await theyAnnounce(them, ['gpu']);
    await until(() => node.findNodes({ requireTags: ['gpu'] }).length === 1);
    await theySubscribe(them, node, 'caps');
    expect(await message(theySubscribe(them, node, 'token'))).toMatch(/ChannelAuthError/);
    const holder = Identity.fromSeed(Buffer.alloc(32, 9));
    const grant = { subject: holder.entityId, scope: ['subscribe' as const], channel: 'token', ttlSeconds: 60 };
    // The peer would take a token that the subscriber signed for itself.
    expect(await message(theySubscribe(them, node, 'token', holder.issueToken(grant).toBuffer()))).toMatch(
      /ChannelAuthError/,
    );
    await theySubscribe(them, node, 'token', us.issueToken(grant).toBuffer());
    expect(await node.publish('token', Buffer.from('"secret"'))).toMatchObject({ attempted: 1, delivered: 1 });
    expect(await theyPoll(them, 1)).toEqual(['"secret"']);
    await them.peer.run('node.unsubscribe_channel(int(given), "open/a")', `${node.nodeId()}`);
    expect(node.subscribers('open/a')).toEqual([]);
  });

  it('we subscribe to it: unknown, open, by capability, by token', async () => {
    const [node, them] = await pair();
    await them.peer.run(`node.register_channel("open/b")
node.register_channel("caps", subscribe_caps={"require_tags": ["gpu"]})
node.register_channel("token", require_token=True)`);
    expect(await message(node.subscribeChannel(them.id, 'nothing'))).toBe('ChannelError: channel: unknown channel');
    await node.subscribeChannel(them.id, 'open/b');
    const messages = node.subscribe('open/b');
    for (let n = 0; n < 20; n++) expect(await theyPublish(them, 'open/b', `${n}`)).toMatchObject({ delivered: 1 });
    for (let n = 0; n < 20; n++) {
      expect((await messages.next()).value).toMatchObject({ channel: 'open/b', publisherNodeId: them.id });
    }
    expect(await message(node.subscribeChannel(them.id, 'caps'))).toBe('ChannelAuthError: channel: unauthorized');
    await node.announceCapabilities({ tags: ['gpu'] });
    await until(async () => (await theyFind(them, 'gpu')).length === 1);
    await node.subscribeChannel(them.id, 'caps');
    await theyPublish(them, 'caps', 'for gpus');
    expect(await message(node.subscribeChannel(them.id, 'token'))).toBe('ChannelAuthError: channel: unauthorized');
    const token = await them.peer.run<string>(
      'answer = bytes(ident.issue_token(bytes.fromhex(given), ["subscribe"], "token", 60)).hex()',
      us.entityId.toString('hex'),
    );
    await node.subscribeChannel(them.id, 'token', { token: Buffer.from(token, 'hex') });
    await node.unsubscribeChannel(them.id, 'open/b');
    expect(await theyPublish(them, 'open/b', 'nobody')).toEqual({ attempted: 0, delivered: 0 });
  });

  it('what only nodes of ours know disturbs it not', async () => {
    const [node, them] = await pair();
    node.registerChannel({ name: 'a' });
    expect(await message(node.subscribeChannel(them.id, 'a/*'))).toBe(
      `ChannelError: channel: publisher 0x${them.id.toString(16)} has no wildcards (a/*): subscribe to its channels one by one`,
    );
    await theySubscribe(them, node, 'a');
    // Several events in a packet, and messages of types that it does not know.
    const core = MeshNode.coreOf(node);
    for (const first of [3, 4, 5, 6, 7, 200]) {
      core.sendMessage(them.id, 0x0a00, Uint8Array.from([first, 1, 2, 3, 4, 5, 6, 7, 8, 1, 97, 0, 0]));
    }
    const many = Array.from({ length: 300 }, (_, n) => `many ${n}`);
    expect(
      await node.publishMany(
        'a',
        many.map((text) => Buffer.from(text)),
      ),
    ).toMatchObject({ delivered: 1 });
    expect(await theyPoll(them, 300)).toEqual(many);
    expect(node.unregisterChannel('a')).toBe(true);
    expect(await node.publish('a', Buffer.from('nobody'))).toMatchObject({ attempted: 0 });
    node.registerChannel({ name: 'a' });
    await theySubscribe(them, node, 'a');
    expect(await node.publish('a', Buffer.from('again'))).toMatchObject({ delivered: 1 });
    expect(await theyPoll(them, 1)).toEqual(['again']);
  });

  it('a token from a function is presented to it before the last one ends', async () => {
    const [node, them] = await pair();
    await them.peer.run('node.register_channel("token", require_token=True)');
    await node.announceCapabilities({ tags: ['x'] });
    await until(async () => (await theyFind(them, 'x')).length === 1);
    const tokens: Token[] = [];
    const token = async (channel: string) => {
      const bytes = await them.peer.run<string>(
        'answer = bytes(ident.issue_token(bytes.fromhex(given["to"]), ["subscribe"], given["channel"], given["ttl"])).hex()',
        { to: us.entityId.toString('hex'), channel, ttl: tokens.length === 0 ? 3 : 60 },
      );
      tokens.push(Token.parse(Buffer.from(bytes, 'hex')));
      return tokens.at(-1);
    };
    await node.subscribeChannel(them.id, 'token', { token });
    const [first] = tokens;
    await until(() => tokens.length >= 2 && first?.isExpired() === true);
    expect(node.subscriptions()).toEqual([{ publisherNodeId: them.id, channel: 'token', state: 'active' }]);
    // Nothing is presented here: it goes by the second token, which it has by now.
    await node.subscribeChannel(them.id, 'token', { token: [] });
  });

  it('a bus over channels: typed events to it, and from it', async () => {
    const [node, them] = await pair();
    node.registerChannel({ name: 'ours' });
    await them.peer.run('node.register_channel("theirs")');
    await theySubscribe(them, node, 'ours');
    await node.subscribeChannel(them.id, 'theirs');
    const bus = await NetNode.create({ transport: { type: 'channels', node } });
    try {
      bus.channel<{ n: number }>('ours').publishBatch([{ n: 1 }, { n: 2 }]);
      await bus.flush();
      expect((await theyPoll(them, 2)).sort()).toEqual(['{"n":1,"_channel":"ours"}', '{"n":2,"_channel":"ours"}']);
      await theyPublish(them, 'theirs', '{"n":3}');
      for await (const event of bus.channel<{ n: number }>('theirs').subscribe()) {
        expect(event).toEqual({ n: 3, _channel: 'theirs' });
        break;
      }
    } finally {
      await bus.shutdown();
    }
  });

  it('subnets: it is kept out of what its tags do not let it see', async () => {
    const [node, them] = await pair({
      subnet: { levels: [3] },
      subnetPolicy: { rules: [{ tagPrefix: 'region:', level: 0, values: { us: 3, eu: 4 } }] },
    });
    node.registerChannel({ name: 'local', visibility: 'subnet-local' });
    expect(await message(theySubscribe(them, node, 'local'))).toMatch(/ChannelAuthError/);
    await theyAnnounce(them, ['region:us']);
    await until(() => node.peerSubnet(them.id)?.levels[0] === 3);
    await theySubscribe(them, node, 'local');
    expect(await node.publish('local', Buffer.from('x'))).toMatchObject({ delivered: 1 });
  });

  it('subnets: it keeps us out of what our tags do not let us see', async () => {
    const policy = { rules: [{ tag_prefix: 'region:', level: 0, values: { us: 3, eu: 4 } }] };
    const [local, foreign] = [await ours(), await ours()];
    const them = await theirs(9, { subnet: [3], subnet_policy: policy });
    await join(them, local, foreign);
    const names = ['subnet-local', 'parent-visible', 'exported', 'global'];
    for (const name of names) {
      await them.peer.run('node.register_channel(given, visibility=given)', name);
    }
    await local.announceCapabilities({ tags: ['region:us'] });
    await foreign.announceCapabilities({ tags: ['region:eu'] });
    for (const tag of ['region:us', 'region:eu']) await until(async () => (await theyFind(them, tag)).length === 1);
    const seenBy = async (node: MeshNode) => {
      const seen: string[] = [];
      for (const name of names) {
        await node.subscribeChannel(them.id, name).then(
          () => seen.push(name),
          (error: Error) => expect(error.message).toBe('channel: unauthorized'),
        );
      }
      return seen;
    };
    expect(await seenBy(local)).toEqual(['subnet-local', 'parent-visible', 'global']);
    expect(await seenBy(foreign)).toEqual(['global']);
    const messages = local.subscribe('subnet-local');
    expect(await theyPublish(them, 'subnet-local', 'near')).toEqual({ attempted: 1, delivered: 1 });
    expect((await messages.next()).value?.payload.toString()).toBe('near');
    expect(await theyPublish(them, 'global', 'all')).toEqual({ attempted: 2, delivered: 2 });
  });

  it('a publish has the same header from both, priority apart', async () => {
    const node = await ours({ identitySeed: Buffer.alloc(32, SEED) });
    const them = await theirs();
    const tap = await Tap.open(them.address);
    try {
      await join({ ...them, address: tap.address }, node);
      await them.peer.run('node.register_channel("sensors/temp", priority=9)');
      node.registerChannel({ name: 'sensors/temp', priority: 9, reliable: true });
      await node.subscribeChannel(them.id, 'sensors/temp');
      await theySubscribe(them, node, 'sensors/temp');
      await theyPublish(them, 'sensors/temp', 'theirs');
      await node.publish('sensors/temp', Buffer.from('ours'));
      const stream = 0xe477434ef307172dn;
      const publishesIn = (list: Buffer[]) =>
        list.filter(
          (bytes) => bytes.length > 64 && bytes.readUInt16LE(8) === 0 && bytes.readBigUInt64LE(32) === stream,
        );
      await until(() => publishesIn(tap.fromTarget).length > 0 && publishesIn(tap.toTarget).length > 0);
      const head = ([bytes]: Buffer[]) => ({
        flags: bytes?.readUInt8(3),
        priority: bytes?.readUInt8(4),
        hops: bytes?.readUInt16LE(5),
        channel: bytes?.readUInt16LE(10),
        sequence: bytes?.readBigUInt64LE(40),
        subnet: bytes?.readUInt32LE(48),
        origin: bytes?.readUInt32LE(52),
        fragments: bytes?.readUInt32LE(56),
        events: bytes?.readUInt16LE(62),
      });
      const common = { hops: 0, channel: 0x172d, sequence: 0n, subnet: 0, fragments: 0, events: 1 };
      const origin = (seed: number) => Number(Identity.fromSeed(Buffer.alloc(32, seed)).originHash & 0xffff_ffffn);
      expect(head(publishesIn(tap.fromTarget))).toEqual({ ...common, flags: 0, priority: 0, origin: origin(9) });
      expect(head(publishesIn(tap.toTarget))).toEqual({ ...common, flags: 1, priority: 9, origin: origin(SEED) });
    } finally {
      tap.close();
    }
  });
});
