import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { NetMesh as NetMeshClass } from '../../src/mesh/index.js';

const PSK = '42'.repeat(32);

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
}

async function failure(work: Promise<unknown>): Promise<Error & { kind?: string; traversal?: string }> {
  try {
    await work;
  } catch (error) {
    return error as Error;
  }
  throw new Error('it did not reject');
}

describe.each(['addon', 'wasm'] as const)('NAT traversal on %s', (backend) => {
  let NetMesh: typeof NetMeshClass;
  const open: NetMeshClass[] = [];
  const sockets: Socket[] = [];

  async function make(more: object = {}): Promise<NetMeshClass> {
    if (!NetMesh) {
      vi.resetModules();
      vi.stubEnv('MESHRING_BACKEND', backend);
      ({ NetMesh } = await import('../../src/mesh/index.js'));
      vi.unstubAllEnvs();
    }
    const node = await NetMesh.create({ bindAddr: '127.0.0.1:0', psk: PSK, handshakeTimeoutMs: 2000, ...more });
    open.push(node);
    await node.start();
    return node;
  }

  async function join(a: NetMeshClass, b: NetMeshClass): Promise<void> {
    await a.connect(b.localAddress(), b.publicKey(), b.nodeId());
  }

  /** Two nodes that know a third one, and have announced themselves. */
  async function trio(more: object[] = []): Promise<[NetMeshClass, NetMeshClass, NetMeshClass]> {
    const [a, hub, c] = [await make(more[0]), await make(), await make(more[1])];
    await join(a, hub);
    await join(c, hub);
    await a.announceCapabilities({ tags: ['a'] });
    await c.announceCapabilities({ tags: ['c'] });
    await until(() => a.findNodes({}).includes(c.nodeId()) && c.findNodes({}).includes(a.nodeId()));
    return [a, hub, c];
  }

  async function silence(): Promise<string> {
    const socket = createSocket('udp4');
    sockets.push(socket);
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return `127.0.0.1:${socket.address().port}`;
  }

  afterEach(async () => {
    for (const node of open.splice(0)) await node.shutdown({ drainMs: 0 }).catch(() => {});
    for (const socket of sockets.splice(0)) socket.close();
  });

  it('a peer tells under which address it knows us, and the class follows', async () => {
    const [a, b, c] = [await make(), await make(), await make()];
    expect([a.natType(), a.reflexAddr()]).toEqual(['unknown', null]);
    await join(a, b);
    expect(await a.probeReflex(b.nodeId())).toBe(a.localAddress());
    await a.reclassifyNat();
    expect(a.natType()).toBe('unknown');
    await join(c, a);
    // A sweep on a busy machine may miss an answer.
    await until(async () => {
      await a.reclassifyNat();
      return a.natType() !== 'unknown';
    });
    expect([a.natType(), a.reflexAddr()]).toEqual(['open', a.localAddress()]);
  });

  it('a started node classifies itself and announces the result', async () => {
    const [a, hub, c] = await trio();
    await until(() => hub.natType() === 'open');
    expect(hub.reflexAddr()).toBe(hub.localAddress());
    await hub.announceCapabilities({ tags: ['nat:cone', 'hub'] });
    await until(() => a.peerNatType(hub.nodeId()) === 'open');
    expect(a.peerNatType(c.nodeId())).toBe('unknown');
    expect(a.peerNatType(4n)).toBe('unknown');
  });

  it('an override is announced, blocks sweeps, and ends', async () => {
    const [a, hub] = await trio([{ reflexOverride: '203.0.113.5:9001' }]);
    expect([a.natType(), a.reflexAddr()]).toEqual(['open', '203.0.113.5:9001']);
    expect(hub.peerNatType(a.nodeId())).toBe('open');
    const d = await make();
    await join(d, a);
    await until(() => a.peerCount() === 2);
    await a.reclassifyNat();
    expect(a.reflexAddr()).toBe('203.0.113.5:9001');
    a.setReflexOverride('[2001:db8::1]:443');
    expect(a.reflexAddr()).toBe('[2001:db8::1]:443');
    a.clearReflexOverride();
    expect([a.natType(), a.reflexAddr()]).toEqual(['unknown', null]);
    await until(() => hub.peerNatType(a.nodeId()) === 'unknown');
    hub.clearReflexOverride();
    await a.reclassifyNat();
    expect(a.reflexAddr()).toBe(a.localAddress());
  });

  it('direct: straight to the announced address', async () => {
    const [a, hub, c] = await trio();
    c.setReflexOverride(c.localAddress());
    await until(() => a.peerNatType(c.nodeId()) === 'open');
    expect(await a.connectDirect(c.nodeId(), c.publicKey(), hub.nodeId())).toEqual({ path: 'direct' });
    expect(a.peers().find((peer) => peer.id === c.nodeId())).toMatchObject({
      address: c.localAddress(),
      relayed: false,
    });
    expect(await a.connectDirect(c.nodeId(), Buffer.alloc(32, 1), hub.nodeId())).toEqual({ path: 'direct' });
    expect(a.traversalStats()).toEqual({ punchesAttempted: 0n, punchesSucceeded: 0n, relayFallbacks: 0n });
  });

  it('direct fails, the routing table knows a way', async () => {
    const quick = { heartbeatIntervalMs: 100 };
    const [a, hub, c] = await trio([quick, quick]);
    c.setReflexOverride(await silence());
    await until(() => a.peerNatType(c.nodeId()) === 'open' && a.routes().some((route) => route.id === c.nodeId()));
    expect(await a.connectDirect(c.nodeId(), c.publicKey(), hub.nodeId())).toEqual({ path: 'relayed' });
    expect(a.peers().find((peer) => peer.id === c.nodeId())).toMatchObject({ relayed: true });
    expect(a.traversalStats()).toEqual({ punchesAttempted: 0n, punchesSucceeded: 0n, relayFallbacks: 1n });
  });

  it('punch: both ends are introduced, hear each other, and meet', async () => {
    const [a, hub, c] = await trio();
    // The sweep of a node of two peers gives an address; the class that makes a punch is put in by hand.
    const classes = [
      [a, 'cone'],
      [c, 'cone'],
    ] as const;
    for (const [node, nat] of classes) {
      NetMesh.controlOf(node).capabilities.setNat(nat, node.localAddress());
    }
    await until(() => a.peerNatType(c.nodeId()) === 'cone' && hub.peerNatType(c.nodeId()) === 'cone');
    expect(await a.connectDirect(c.nodeId(), c.publicKey(), hub.nodeId())).toEqual({ path: 'punched' });
    expect(a.peers().find((peer) => peer.id === c.nodeId())).toMatchObject({
      address: c.localAddress(),
      relayed: false,
    });
    expect(a.traversalStats()).toEqual({ punchesAttempted: 1n, punchesSucceeded: 1n, relayFallbacks: 0n });
    expect(c.traversalStats()).toEqual({ punchesAttempted: 0n, punchesSucceeded: 0n, relayFallbacks: 0n });
  });

  it('a relayed session moves to the direct path with its streams', async () => {
    const [a, hub, c] = await trio();
    await a.connectVia(hub.localAddress(), c.publicKey(), c.nodeId());
    const stream = a.openStream(c.nodeId(), { streamId: 3n, reliability: 'reliable' });
    await a.sendOnStream(stream, [Buffer.from('relayed')]);
    c.setReflexOverride(c.localAddress());
    await until(() => a.peerNatType(c.nodeId()) === 'open');
    expect(await a.connectDirect(c.nodeId(), c.publicKey(), hub.nodeId())).toEqual({ path: 'direct' });
    await until(() => c.peers().some((peer) => peer.id === a.nodeId() && !peer.relayed));
    await a.sendOnStream(stream, [Buffer.from('direct')]);
    const got: string[] = [];
    await until(async () => {
      got.push(...(await c.poll(10)).map((event) => event.raw));
      return got.length === 2;
    });
    expect(got).toEqual(['relayed', 'direct']);
  });

  it('a dead punch falls back to the coordinator', async () => {
    const [a, hub, c] = await trio();
    NetMesh.controlOf(c).capabilities.setNat('cone', await silence());
    await until(() => hub.peerNatType(c.nodeId()) === 'cone' && a.peerNatType(c.nodeId()) === 'cone');
    expect(await a.connectDirect(c.nodeId(), c.publicKey(), hub.nodeId())).toEqual({ path: 'relayed' });
    expect(a.traversalStats()).toEqual({ punchesAttempted: 1n, punchesSucceeded: 0n, relayFallbacks: 1n });
  });

  it('errors have their texts, kinds and classes', async () => {
    const a = await make();
    const key = a.publicKey();
    const probe = await failure(a.probeReflex(7n));
    expect(probe).toMatchObject({ message: 'traversal: peer-not-reachable', kind: 'traversal', name: 'Error' });
    expect(probe.traversal).toBe('peer-not-reachable');
    const text = async (work: Promise<unknown>) => (await failure(work)).message;
    // No announcement of the target, so no address.
    expect(await text(a.connectDirect(7n, key, 8n))).toBe('traversal: peer-not-reachable');
    expect(await text(a.connectDirect(7n, Buffer.alloc(31), 8n))).toBe('peer_public_key must be 32 bytes, got 31');
    expect(await text(a.connectDirect(7n, '00', 8n))).toBe('public key must be 32 bytes');
    expect(await text(a.connectDirect(-1n, key, 8n))).toBe('expected non-negative BigInt');
    expect(await text(a.connectDirect(7n, key, 1n << 64n))).toBe('BigInt value exceeds u64 range');
    expect(() => a.setReflexOverride('example.org:1')).toThrow(
      'invalid reflex override: invalid socket address syntax',
    );
    expect(await text(make({ reflexOverride: '1.2.3.4' }))).toBe(
      'invalid reflex_override: invalid socket address syntax',
    );
    const b = await make();
    await join(a, b);
    const [first, second] = [failure(a.probeReflex(b.nodeId())), a.probeReflex(b.nodeId())];
    expect((await first).message).toBe('traversal: reflex-timeout');
    expect(await second).toBe(a.localAddress());
    const stop = new AbortController();
    const aborted = failure(a.probeReflex(b.nodeId(), { signal: stop.signal }));
    stop.abort(new Error('enough'));
    expect((await aborted).message).toBe('enough');
    await a.shutdown();
    expect(await text(a.probeReflex(7n))).toBe('MeshNode has been shut down');
    expect(() => a.natType()).toThrow('MeshNode has been shut down');
  });

  it('introductions that nobody asked for: few, on time, and to hosts', async () => {
    const [a, b] = [await make(), await make()];
    await join(a, b);
    const { encodeRendezvous, RENDEZVOUS_SUBPROTOCOL } = await import('../../src/mesh/nat/messages.js');
    const { parseAddress } = await import('../../src/mesh/nat/address.js');
    const target = createSocket('udp4').bind(0, '127.0.0.1');
    sockets.push(target);
    await once(target, 'listening');
    const heard: Buffer[] = [];
    target.on('message', (bytes) => heard.push(bytes));
    const introduce = (address: string, inMs: number) => {
      const reflex = parseAddress(address);
      if (!reflex) throw new Error('unreachable');
      const message = encodeRendezvous({ kind: 'introduce', peer: 5n, reflex, fireAtMs: BigInt(Date.now() + inMs) });
      NetMesh.coreOf(a).sendMessage(b.nodeId(), RENDEZVOUS_SUBPROTOCOL, message);
    };
    introduce('224.0.0.1:9', 0);
    introduce(`127.0.0.1:${target.address().port}`, 60_000);
    introduce(`127.0.0.1:${target.address().port}`, 0);
    // The second within a second is one too many, wherever it leads.
    introduce('127.0.0.1:9', 0);
    await until(() => heard.length === 3);
    await until(() => b.stats().traversalRefused === 3);
    expect(new Set(heard.map((bytes) => bytes.subarray(0, 2).toString('hex')))).toEqual(new Set(['5048']));
    expect(heard.map((bytes) => bytes.readBigUInt64LE(2))).toEqual(new Array(3).fill(b.nodeId()));
  });

  it('a shutdown ends a meeting', async () => {
    const [a, hub, c] = await trio();
    NetMesh.controlOf(c).capabilities.setNat('cone', await silence());
    await until(() => hub.peerNatType(c.nodeId()) === 'cone' && a.peerNatType(c.nodeId()) === 'cone');
    const meeting = failure(a.connectDirect(c.nodeId(), c.publicKey(), hub.nodeId()));
    await until(() => a.traversalStats().punchesAttempted === 1n);
    await a.shutdown();
    expect((await meeting).message).toBe('MeshNode has been shut down');
  });
});
