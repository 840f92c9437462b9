import { afterEach, describe, expect, it } from 'vitest';
import { canonicalChannelHash, wireChannelHash } from '../../src/channels/index.js';
import type { MeshNode } from '../../src/mesh.js';
import { failure, Nodes, until } from './nodes.js';

const POLICY = {
  rules: [
    { tagPrefix: 'region:', level: 0, values: { us: 3 } },
    { tagPrefix: 'fleet:', level: 1, values: { blue: 7, green: 8 } },
    { tagPrefix: 'unit:', level: 2, values: { alpha: 2 } },
  ],
};
const VISIBILITIES = ['global', 'subnet-local', 'parent-visible', 'exported'] as const;
const SUBNET = { levels: [3, 7] };
const [US, BLUE, GREEN, ALPHA] = ['region:us', 'fleet:blue', 'fleet:green', 'unit:alpha'];

describe.each(['addon', 'wasm'] as const)('subnets on %s', (backend) => {
  const nodes = new Nodes(backend);
  afterEach(() => nodes.close());

  /** Names of the channels, one of each visibility, that a node may subscribe to. */
  async function sees(node: MeshNode, publisher: MeshNode): Promise<string[]> {
    const seen: string[] = [];
    for (const name of VISIBILITIES) {
      try {
        await node.subscribeChannel(publisher.nodeId(), name);
        seen.push(name);
      } catch (error) {
        expect((error as Error).message).toBe('channel: unauthorized');
      }
    }
    return seen;
  }

  /** A node that announced these tags to the publisher, or nothing. */
  async function peer(publisher: MeshNode, tags: string[] | undefined): Promise<MeshNode> {
    const node = await nodes.make();
    await nodes.join(node, publisher);
    if (!tags) return node;
    await node.announceCapabilities({ tags });
    await until(() => publisher.findNodes({}).includes(node.nodeId()));
    return node;
  }

  const all = { global: true, 'subnet-local': true, 'parent-visible': true };
  it.each([
    ['global, no policy', {}, [US, BLUE], all],
    ['3.7, no policy', { subnet: SUBNET }, [US, BLUE], { ...all, 'subnet-local': false }],
    ['3.7 and a policy', { subnet: SUBNET, subnetPolicy: POLICY }, [US, BLUE], all],
    ['3.7 and a policy', { subnet: SUBNET, subnetPolicy: POLICY }, [US], { ...all, 'subnet-local': false }],
    ['3.7 and a policy', { subnet: SUBNET, subnetPolicy: POLICY }, [US, GREEN], { global: true }],
    ['3.7 and a policy', { subnet: SUBNET, subnetPolicy: POLICY }, [US, BLUE, ALPHA], { global: true }],
    ['3.7 and a policy', { subnet: SUBNET, subnetPolicy: POLICY }, [], { ...all, 'subnet-local': false }],
    ['3.7 and a policy', { subnet: SUBNET, subnetPolicy: POLICY }, undefined, { ...all, 'subnet-local': false }],
    ['global and a policy', { subnetPolicy: POLICY }, [US, BLUE], { global: true }],
    [
      '3.7 and a policy, strict',
      { subnet: SUBNET, subnetPolicy: POLICY, unknownSubnet: 'deny' as const },
      undefined,
      { global: true },
    ],
  ])('owner %s %j, peer %j', async (_, config, tags, expected: Partial<Record<string, boolean>>) => {
    const publisher = await nodes.make(config);
    for (const name of VISIBILITIES) publisher.registerChannel({ name, visibility: name });
    const node = await peer(publisher, tags as string[] | undefined);
    expect(await sees(node, publisher)).toEqual(VISIBILITIES.filter((name) => expected[name]));
    for (const name of VISIBILITIES) {
      const report = await publisher.publish(name, Buffer.from('x'));
      expect([name, report.attempted]).toEqual([name, expected[name] ? 1 : 0]);
    }
  });

  it('exports go to the listed subnets and below; tightened channels reach nobody any more', async () => {
    const publisher = await nodes.make({ subnet: SUBNET, subnetPolicy: POLICY });
    publisher.registerChannel({ name: 'out', visibility: 'exported', exportTo: [{ levels: [3, 8] }] });
    const [green, blue] = [
      await peer(publisher, [US as string, GREEN as string]),
      await peer(publisher, [US as string]),
    ];
    await green.subscribeChannel(publisher.nodeId(), 'out');
    expect((await failure(blue.subscribeChannel(publisher.nodeId(), 'out'))).name).toBe('ChannelAuthError');
    expect((await publisher.publish('out', Buffer.from('x'))).attempted).toBe(1);
    publisher.registerChannel({ name: 'out', visibility: 'exported', exportTo: [{ levels: [4] }] });
    expect((await publisher.publish('out', Buffer.from('x'))).attempted).toBe(0);
  });

  it('the own subnet follows from the own tags when none is given, and nothing else sets it', async () => {
    const [derived, given] = [
      await nodes.make({ subnetPolicy: POLICY }),
      await nodes.make({ subnetPolicy: POLICY, subnet: { levels: [0] } }),
    ];
    for (const publisher of [derived, given]) {
      publisher.registerChannel({ name: 'local', visibility: 'subnet-local' });
      await publisher.announceCapabilities({ tags: [US as string, BLUE as string] });
      const node = await peer(publisher, [US as string, BLUE as string]);
      const subscribed = node.subscribeChannel(publisher.nodeId(), 'local');
      if (publisher === derived) await subscribed;
      else expect((await failure(subscribed)).name).toBe('ChannelAuthError');
    }
  });

  it('a relayed announcement does not move the relay, nor its maker', async () => {
    const publisher = await nodes.make({ subnet: SUBNET, subnetPolicy: POLICY });
    const relay = await peer(publisher, [US as string]);
    const far = await nodes.make();
    await nodes.join(far, relay);
    await far.announceCapabilities({ tags: [US as string, BLUE as string] });
    await until(() => publisher.findNodes({ requireTags: [BLUE as string] }).includes(far.nodeId()));
    expect(publisher.peerSubnet(relay.nodeId())).toEqual({ levels: [3, 0, 0, 0] });
    expect(publisher.peerSubnet(far.nodeId())).toBeUndefined();
  });

  it('a gateway keeps relayed publishes within the visibility that it registered', async () => {
    const gateway = await nodes.make({ subnetPolicy: POLICY, subnetGateway: true });
    const publisher = await nodes.make({ subnet: SUBNET });
    await nodes.join(publisher, gateway);
    const [blue, green] = [
      await peer(gateway, [US as string, BLUE as string]),
      await peer(gateway, [US as string, GREEN as string]),
    ];
    // Two names of one 16-bit hash, which a gateway cannot tell apart.
    const hash = wireChannelHash(canonicalChannelHash('twin'));
    let twin = 0;
    while (wireChannelHash(canonicalChannelHash(`twin/${twin}`)) !== hash) twin++;
    gateway.registerChannel({ name: 'open' });
    gateway.registerChannel({ name: 'upward', visibility: 'parent-visible' });
    gateway.registerChannel({ name: 'twin' });
    const names = ['open', 'upward', 'twin', 'unknown'];
    for (const name of names) publisher.registerChannel({ name });
    const got = new Map<MeshNode, string[]>();
    for (const node of [blue, green]) {
      await node.connectVia(gateway.localAddress(), publisher.publicKey(), publisher.nodeId());
      const received: string[] = [];
      got.set(node, received);
      node.onEvents((events) => {
        for (const { bytes } of events) received.push(new TextDecoder().decode(bytes));
      });
      for (const name of names) await node.subscribeChannel(publisher.nodeId(), name);
    }
    const counts = () => {
      const { gatewayForwarded = 0, gatewayDropped = 0 } = gateway.stats();
      return [gatewayForwarded, gatewayDropped];
    };
    for (const name of names) {
      // Delivered means handed to the socket: the publisher does not learn what a gateway does.
      expect((await publisher.publish(name, Buffer.from(name))).delivered).toBe(2);
    }
    await until(() => counts().reduce((sum, count) => sum + count) === 8);
    expect(counts()).toEqual([5, 3]);
    await until(() => got.get(blue)?.length === 3 && got.get(green)?.length === 2);
    expect([got.get(blue), got.get(green)]).toEqual([
      ['open', 'upward', 'twin'],
      ['open', 'twin'],
    ]);
    gateway.registerChannel({ name: `twin/${twin}` });
    await publisher.publish('twin', Buffer.from('ambiguous'));
    await until(() => counts()[1] === 5);
    gateway.unregisterChannel(`twin/${twin}`);
    gateway.unregisterChannel('open');
    await publisher.publish('open', Buffer.from('no longer known'));
    await until(() => counts()[1] === 7);
    await publisher.publish('twin', Buffer.from('alone again'));
    await until(() => got.get(green)?.at(-1) === 'alone again');
    expect(got.get(green)).toEqual(['open', 'twin', 'alone again']);
  });
});
