/** Every error text of mesh nodes, with its kind, code and class. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type * as MeshModule from '../../src/mesh/index.js';

type NetMesh = MeshModule.NetMesh;

const PSK = '42'.repeat(32);
const KEY = '07'.repeat(32);
const CLOSED = 'MeshNode has been shut down';

interface Failure {
  name: string;
  message: string;
  kind?: string;
  code?: string;
}

async function failure(work: () => unknown): Promise<Failure> {
  try {
    await work();
  } catch (error) {
    return error as Failure;
  }
  throw new Error('it did not fail');
}

const text = async (work: () => unknown) => (await failure(work)).message;

describe.each(['addon', 'wasm'] as const)('errors of mesh nodes on %s', (backend) => {
  let mesh: typeof MeshModule;
  const open: { shutdown(opts: object): Promise<void> }[] = [];

  async function load(): Promise<void> {
    if (mesh) return;
    vi.resetModules();
    vi.stubEnv('MESHRING_BACKEND', backend);
    mesh = await import('../../src/mesh/index.js');
    vi.unstubAllEnvs();
  }

  async function make(more: object = {}): Promise<NetMesh> {
    await load();
    const config = { bindAddr: '127.0.0.1:0', psk: PSK, handshakeTimeoutMs: 60, ...more };
    const node = await mesh.NetMesh.create(config);
    open.push(node);
    return node;
  }

  afterEach(async () => {
    for (const node of open.splice(0)) await node.shutdown({ drainMs: 0 }).catch(() => {});
  });

  it.each([
    [{ bindAddr: undefined }, 'Missing field `bindAddr`', 'InvalidArg'],
    [{ psk: undefined }, 'Missing field `psk`', 'InvalidArg'],
    [{ bindAddr: 'localhost:0' }, 'invalid bind address: invalid socket address syntax'],
    [{ bindAddr: '1.2.3.4' }, 'invalid bind address: invalid socket address syntax'],
    [{ bindAddr: '1.2.3.4:65536' }, 'invalid bind address: invalid socket address syntax'],
    [{ bindAddr: '::1:5' }, 'invalid bind address: invalid socket address syntax'],
    [{ psk: '4' }, 'invalid PSK hex: Odd number of digits'],
    [{ psk: '4g' }, "invalid PSK hex: Invalid character 'g' at position 1"],
    [{ psk: '42' }, 'PSK must be 32 bytes (64 hex chars)'],
    [{ psk: `${PSK}42` }, 'PSK must be 32 bytes (64 hex chars)'],
    [{ numShards: -1 }, 'num_shards must be in [0, 65535]; got -1'],
    [{ numShards: 65_536 }, 'num_shards must be in [0, 65535]; got 65536'],
    [{ subnet: { levels: [] } }, 'subnet: levels must have at least one entry'],
    [{ subnet: { levels: [1, 2, 3, 4, 5] } }, 'subnet: levels must have at most 4 entries, got 5'],
    [{ subnet: { levels: [1, 256] } }, 'subnet: level 1 value 256 exceeds u8 range'],
    [policy(256, {}), 'subnet: rule level value 256 exceeds u8 range'],
    [policy(4, {}), 'subnet: rule level must be 0..=3, got 4'],
    [policy(0, { a: 256 }), /^subnet: rule value for .* value 256 exceeds u8 range$/],
    [
      policy(0, { a: 0 }),
      'subnet: rule value for "a": subnet rule level_value must be in 1..=255 (0 is reserved for unmatched levels)',
    ],
    [{ reflexOverride: 'example.org:1' }, 'invalid reflex_override: invalid socket address syntax'],
    [{ identitySeed: Buffer.alloc(31) }, 'identity_seed must be 32 bytes, got 31'],
    [{ staticKey: Buffer.alloc(33) }, 'staticKey must be 32 bytes, got 33'],
    // The first wrong option of the specified order is the one that is named.
    [{ bindAddr: 'x', psk: 'x' }, 'invalid bind address: invalid socket address syntax'],
    [{ psk: 'x', numShards: -1 }, 'invalid PSK hex: Odd number of digits'],
    [{ numShards: -1, subnet: { levels: [1, 2, 3, 4, 5] } }, 'num_shards must be in [0, 65535]; got -1'],
    [{ subnet: { levels: [1, 2, 3, 4, 5] }, reflexOverride: 'x' }, /^subnet: /],
    [{ reflexOverride: 'x', identitySeed: Buffer.alloc(1) }, 'invalid reflex_override: invalid socket address syntax'],
  ] as [object, string | RegExp, string?][])('create with %j', async (more, expected, code = 'GenericFailure') => {
    const error = await failure(() => make(more));
    expect(error.message).toMatch(expected instanceof RegExp ? expected : new RegExp(`^${escaped(expected)}$`));
    expect(error).toMatchObject({ name: 'Error', code });
  });

  it('create at a port in use, or at an address of another machine', async () => {
    const node = await make();
    const bound = /^MeshNode creation failed: connection error: bind failed: .+/;
    expect(await text(() => make({ bindAddr: node.localAddress() }))).toMatch(bound);
    expect(await text(() => make({ bindAddr: '203.0.113.1:1' }))).toMatch(bound);
  });

  it('connect, accept and routes: wrong arguments', async () => {
    const node = await make();
    const syntax = 'invalid peer address: invalid socket address syntax';
    expect(await text(() => node.connect('1.2.3.4', KEY, 1n))).toBe(syntax);
    expect(await text(() => node.connectVia('1.2.3.4', KEY, 1n))).toBe(syntax);
    expect(await text(() => node.pushTo('1.2.3.4', Buffer.alloc(1)))).toBe(syntax);
    expect(await text(() => node.connect('1.2.3.4:5', '0', 1n))).toBe('invalid public key hex: Odd number of digits');
    expect(await text(() => node.connect('1.2.3.4:5', 'zz', 1n))).toBe(
      "invalid public key hex: Invalid character 'z' at position 0",
    );
    expect(await text(() => node.connect('1.2.3.4:5', '00', 1n))).toBe('public key must be 32 bytes');
    const calls: ((id: bigint) => unknown)[] = [
      (id) => node.connect('1.2.3.4:5', KEY, id),
      (id) => node.connectVia('1.2.3.4:5', KEY, id),
      (id) => node.connectRouted(KEY, id),
      (id) => node.connectDirect(id, KEY, 1n),
      (id) => node.connectDirect(1n, KEY, id),
      (id) => node.accept(id),
      (id) => node.openStream(id, { streamId: 1n }),
      (id) => node.openStream(1n, { streamId: id }),
      (id) => node.closeStream(id, 1n),
      (id) => node.closeStream(1n, id),
      (id) => node.streamStats(id, 1n),
      (id) => node.streamStats(1n, id),
      (id) => node.addRoute(id, '1.2.3.4:5'),
      (id) => node.disconnect(id),
      (id) => node.peerNatType(id),
      (id) => node.probeReflex(id),
      (id) => node.subscribeChannel(id, 'a'),
      (id) => node.unsubscribeChannel(id, 'a'),
    ];
    for (const call of calls) {
      expect(await failure(() => call(5 as unknown as bigint))).toMatchObject({ code: 'BigintExpected' });
      expect(await text(() => call(-1n))).toBe('expected non-negative BigInt');
      expect(await text(() => call(1n << 64n))).toBe('BigInt value exceeds u64 range');
    }
    expect(await text(() => node.addRoute(1n, 'x'))).toBe('invalid next hop address: invalid socket address syntax');
    expect(await text(() => node.pushTo('127.0.0.1:9', Buffer.alloc(1)))).toBe(
      'connection error: no session for 127.0.0.1:9',
    );
    expect(await text(() => node.connect('127.0.0.1:9', KEY, node.nodeId()))).toBe('cannot connect to itself');
    expect(await text(() => node.connect('127.0.0.1:9', '00'.repeat(32), 1n))).toBe(
      'connect failed: connection error: handshake init failed: public key of small order',
    );
  });

  it('handshakes that come to nothing', async () => {
    const node = await make();
    const silent = createSocket('udp4').bind(0, '127.0.0.1');
    await once(silent, 'listening');
    try {
      const address = `127.0.0.1:${silent.address().port}`;
      expect(await failure(() => node.connect(address, KEY, 1n))).toMatchObject({
        message: 'connect failed: connection error: handshake timeout',
        kind: 'connection',
      });
      expect(await text(() => node.accept(1n))).toBe('accept failed: connection error: handshake timeout');
      expect(await text(() => node.connectVia(address, KEY, 1n))).toBe('connection error: handshake timeout');
      expect(await text(() => node.connectRouted(KEY, 0xabcn))).toBe(
        'connection error: connect_routed: no route to peer 0xabc',
      );
      node.addRoute(0xabcn, address);
      expect(await text(() => node.connectRouted(KEY, 0xabcn))).toBe('connection error: handshake timeout');
      const first = text(() => node.connectVia(address, KEY, 0xabcn));
      expect(await text(() => node.connectVia(address, KEY, 0xabcn))).toBe(
        'connection error: connect_via: handshake already in flight for peer 0xabc',
      );
      expect(await first).toBe('connection error: handshake timeout');
    } finally {
      silent.close();
    }
  });

  it('streams', async () => {
    const [a, b] = [await make({ handshakeTimeoutMs: 2000 }), await make()];
    await Promise.all([a.start(), b.start()]);
    await a.connect(b.localAddress(), b.publicKey(), b.nodeId());
    const to = b.nodeId();
    expect(await failure(() => a.openStream(0xabcn, { streamId: 1n }))).toMatchObject({
      message: 'open_stream failed: connection error: open_stream: no session for peer 0xabc',
      kind: 'connection',
    });
    expect(await text(() => a.openStream(to, { streamId: (1n << 64n) - 1n }))).toBe(
      'open_stream failed: connection error: open_stream: stream 0xffffffffffffffff is the control stream',
    );
    expect(await text(() => a.openStream(to, { streamId: 1n, reliability: 'maybe' as 'reliable' }))).toBe(
      'unknown reliability mode "maybe"; expected "fire_and_forget" or "reliable"',
    );
    for (const [more, expected] of [
      [{ fairnessWeight: 256 }, 'fairnessWeight must be an integer in [0, 255]; got 256'],
      [{ windowBytes: -1 }, 'windowBytes must be an integer in [0, 4294967295]; got -1'],
    ] as const) {
      expect(await text(() => a.openStream(to, { streamId: 1n, ...more }))).toBe(expected);
    }
    const stream = a.openStream(to, { streamId: 1n, windowBytes: 256 });
    const sends = [
      (events: Buffer[]) => a.sendOnStream(stream, events),
      (events: Buffer[]) => a.sendWithRetry(stream, events, 0),
      (events: Buffer[]) => a.sendBlocking(stream, events),
    ];
    for (const [n, send] of sends.entries()) {
      expect(await failure(() => send([Buffer.alloc(8109)]))).toMatchObject({
        message: 'stream transport error: event too large (8109 > 8108)',
        kind: 'too-large',
      });
      expect(await failure(() => send('x' as unknown as Buffer[]))).toMatchObject({ code: 'ArrayExpected' });
      expect(await failure(() => send([1 as unknown as Buffer]))).toMatchObject({ code: 'InvalidArg' });
      if (n === 2) continue;
      expect(await failure(() => send([Buffer.alloc(300)]))).toMatchObject({
        message: 'stream would block: stream queue full',
        kind: 'backpressure',
      });
    }
    a.closeStream(to, 1n);
    for (const send of [...sends, () => stream.ready()]) {
      expect(await failure(() => send([Buffer.alloc(1)]))).toMatchObject({
        message: 'stream not connected: peer session gone',
        kind: 'not-connected',
      });
    }
    expect(await text(() => a.poll(-1))).toBe('limit must be an integer in [0, 4294967295]; got -1');
    expect(await a.poll(0)).toEqual([]);
    expect(await text(() => a.on('nothing' as 'peer', () => {}))).toMatch(/^on: what must be /);
    expect(await text(() => a.shutdown({ drainMs: -1 }))).toBe('drainMs must be an integer in [0, 2147483647]; got -1');
    expect(a.closeStream(1n, 1n)).toBeUndefined();
  });

  /** Arguments that every method takes; the type of the first decides which are used. */
  const ARGUMENTS: Record<string, unknown[]> = {
    connect: ['127.0.0.1:9', KEY, 1n],
    connectVia: ['127.0.0.1:9', KEY, 1n],
    connectRouted: [KEY, 1n],
    connectDirect: [1n, KEY, 2n],
    accept: [1n],
    disconnect: [1n],
    openStream: [1n, { streamId: 1n }],
    closeStream: [1n, 1n],
    streamStats: [1n, 1n],
    sendOnStream: [{}, []],
    sendWithRetry: [{}, []],
    sendBlocking: [{}, []],
    pushTo: ['127.0.0.1:9', Buffer.alloc(1)],
    poll: [1],
    onEvents: [() => {}],
    on: ['peer', () => {}],
    addRoute: [1n, '127.0.0.1:9'],
    peerNatType: [1n],
    probeReflex: [1n],
    setReflexOverride: ['127.0.0.1:9'],
    announceCapabilities: [{}],
    findNodes: [{}],
    findNodesScoped: [{}, 'any'],
    peerSubnet: [1n],
    registerChannel: [{ name: 'a' }],
    unregisterChannel: ['a'],
    subscribers: ['a'],
    subscribeChannel: [1n, 'a'],
    unsubscribeChannel: [1n, 'a'],
    publish: ['a', Buffer.alloc(1)],
    publishMany: ['a', [Buffer.alloc(1)]],
    subscribe: ['a'],
    installToken: [Buffer.alloc(169)],
  };
  /** These end, or need nothing of a node. */
  const FREE = new Set([
    'constructor',
    'shutdown',
    'unref',
    '_testInjectSyntheticPeer',
    // Custom filters are the process's.
    'unregisterPlacementFilter',
    'hasPlacementFilter',
  ]);

  it.each(['NetMesh', 'MeshNode'] as const)('every method of %s after shutdown', async (name) => {
    await load();
    const node = await mesh[name].create({ bindAddr: '127.0.0.1:0', psk: PSK });
    await node.start();
    await node.shutdown();
    const wrong: string[] = [];
    for (const [method, { value }] of Object.entries(Object.getOwnPropertyDescriptors(mesh[name].prototype))) {
      if (typeof value !== 'function' || FREE.has(method)) continue;
      const error = await failure(async () => {
        const out: unknown = Reflect.apply(value, node, ARGUMENTS[method] ?? []);
        if (out && typeof out === 'object' && 'next' in out) await (out as AsyncIterator<unknown>).next();
        else await out;
      }).catch((missing: Error) => missing);
      if (error.message !== CLOSED) wrong.push(`${method}: ${error.message}`);
    }
    expect(wrong).toEqual([]);
    expect(await text(() => node.shutdown())).toBe('already shut down');
    await node[Symbol.asyncDispose]();
  });

  it('MeshNode: classes, constructor, test helpers', async () => {
    await load();
    const [a, b] = [0, 1].map(() => mesh.MeshNode.create({ bindAddr: '127.0.0.1:0', psk: PSK }));
    const [node, peer] = await Promise.all([a, b]);
    if (!node || !peer) throw new Error('unreachable');
    open.push(node, peer);
    await Promise.all([node.start(), peer.start()]);
    await node.connect(peer.localAddress(), peer.publicKey(), peer.nodeId());
    const stream = node.openStream(peer.nodeId(), { streamId: 1n, windowBytes: 256 });
    const full = { name: 'BackpressureError', message: 'stream would block: stream queue full' };
    const gone = { name: 'NotConnectedError', message: 'stream not connected: peer session gone' };
    expect(await failure(() => node.sendOnStream(stream, [Buffer.alloc(300)]))).toMatchObject(full);
    expect(await failure(() => node.sendWithRetry(stream, [Buffer.alloc(300)], 1))).toMatchObject(full);
    node.closeStream(peer.nodeId(), 1n);
    for (const send of [
      () => node.sendOnStream(stream, [Buffer.alloc(1)]),
      () => node.sendWithRetry(stream, [Buffer.alloc(1)]),
      () => node.sendBlocking(stream, [Buffer.alloc(1)]),
      () => stream.ready(),
    ]) {
      expect(await failure(send)).toMatchObject(gone);
    }
    // These are not mapped.
    expect(await failure(() => node.openStream(5n, { streamId: 1n }))).toMatchObject({ name: 'Error' });
    expect(await text(() => node._testInjectSyntheticPeer(1n))).toBe(
      'testInjectSyntheticPeer: NAPI build missing `test-helpers` feature',
    );
    expect(() => Reflect.construct(mesh.MeshNode, [])).toThrow(TypeError);
  });

  it('shutdown rejects whatever is pending', async () => {
    const [a, b] = [await make({ handshakeTimeoutMs: 60_000 }), await make()];
    await Promise.all([a.start(), b.start()]);
    await a.connect(b.localAddress(), b.publicKey(), b.nodeId());
    mesh.NetMesh.coreOf(a).raw.block(b.localAddress(), true);
    const stream = a.openStream(b.nodeId(), { streamId: 1n, windowBytes: 256 });
    await a.sendOnStream(stream, [Buffer.alloc(150)]);
    const pending = [
      a.accept(1n),
      a.acceptAny(),
      a.connect('127.0.0.1:9', KEY, 7n),
      a.subscribeChannel(b.nodeId(), 'a'),
      a.sendBlocking(stream, [Buffer.alloc(150)]),
      a.sendWithRetry(stream, [Buffer.alloc(150)], 4000),
      stream.ready(),
      a.probeReflex(b.nodeId()),
    ].map((work) => text(() => work));
    await a.shutdown({ drainMs: 0 });
    expect(await Promise.all(pending)).toEqual(new Array(pending.length).fill(CLOSED));
  });
});

/** A subnet policy of one rule. */
function policy(level: number, values: Record<string, number>): object {
  return { subnetPolicy: { rules: [{ tagPrefix: 'x:', level, values }] } };
}

function escaped(plain: string): string {
  return plain.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
