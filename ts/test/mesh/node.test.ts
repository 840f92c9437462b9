import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { NetMesh as NetMeshClass } from '../../src/mesh/index.js';

const PSK = '42'.repeat(32);

/** Waits until the condition holds. */
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
}

async function rejects(work: Promise<unknown> | (() => unknown)): Promise<string> {
  try {
    await (typeof work === 'function' ? work() : work);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('it did not reject');
}

describe.each(['addon', 'wasm'] as const)('mesh nodes on %s', (backend) => {
  let NetMesh: typeof NetMeshClass;
  const open: NetMeshClass[] = [];

  async function make(more: object = {}): Promise<NetMeshClass> {
    if (!NetMesh) {
      vi.resetModules();
      vi.stubEnv('MESHRING_BACKEND', backend);
      ({ NetMesh } = await import('../../src/mesh/index.js'));
      vi.unstubAllEnvs();
    }
    const node = await NetMesh.create({ bindAddr: '127.0.0.1:0', psk: PSK, handshakeTimeoutMs: 2000, ...more });
    open.push(node);
    return node;
  }

  async function pair(more: object = {}): Promise<[NetMeshClass, NetMeshClass]> {
    const [a, b] = [await make(more), await make(more)];
    const accepted = b.accept(a.nodeId());
    await a.connect(b.localAddress(), b.publicKey(), b.nodeId());
    expect(await accepted).toBe(a.localAddress());
    await Promise.all([a.start(), b.start()]);
    return [a, b];
  }

  afterEach(async () => {
    for (const node of open.splice(0)) await node.shutdown({ drainMs: 0 }).catch(() => {});
  });

  it('meet by accept, and a started node is reached at once too', async () => {
    const [a, b] = await pair();
    expect(a.peers()[0]).toMatchObject({ id: b.nodeId(), protocol: 'meshring', state: 'healthy', relayed: false });
    const c = await make();
    await c.connect(b.localAddress(), b.publicKey(), b.nodeId());
    expect([a.peerCount(), b.peerCount(), c.peerCount()]).toEqual([1, 2, 1]);
  });

  if (Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'))) {
    it('meet over IPv6', async () => {
      const [a, b] = await pair({ bindAddr: '[::1]:0' });
      expect(a.localAddress()).toMatch(/^\[::1\]:\d+$/);
      const largest = Buffer.alloc(8108, 7);
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const) {
        const stream = from.openStream(to.nodeId(), { streamId: 5n, reliability: 'reliable' });
        for (let n = 0; n < 20; n++) await from.sendBlocking(stream, [largest, Buffer.from('small')]);
        let received = 0;
        await until(async () => {
          received += (await to.poll(100)).length;
          return received === 40;
        });
      }
    });
  }

  it('a node id whose beacons nobody understands is told of, and never drawn', async () => {
    const warnings: string[] = [];
    const listen = ({ message }: Error) => warnings.push(message);
    process.on('warning', listen);
    try {
      const seed = Buffer.alloc(32);
      seed.writeUInt16LE(1791);
      const node = await make({ identitySeed: seed });
      expect(node.nodeId() & 0xffffn).toBe(0x4e45n);
      await vi.waitUntil(() => warnings.length > 0);
      expect(warnings[0]).toContain('ends in 4e45');
      // The first bytes that are drawn make such an id; they are not used.
      const draw = crypto.getRandomValues.bind(crypto);
      const drawn = vi.spyOn(crypto, 'getRandomValues').mockImplementationOnce((bytes) => {
        draw(bytes);
        (bytes as unknown as Uint8Array).set(seed, 64);
        return bytes;
      });
      const other = await make();
      drawn.mockRestore();
      expect(other.nodeId() & 0xffffn).not.toBe(0x4e45n);
      expect(warnings).toHaveLength(1);
    } finally {
      process.off('warning', listen);
    }
  });

  it('deliver events of all streams, binary and largest ones included', async () => {
    const [a, b] = await pair();
    const largest = Buffer.alloc(8108, 7);
    for (let stream = 0n; stream < 8n; stream++) {
      const handle = a.openStream(b.nodeId(), {
        streamId: stream,
        reliability: stream % 2n ? 'reliable' : 'fire_and_forget',
      });
      await a.sendOnStream(handle, [Buffer.from(`{"s":${stream}}`), Buffer.from([0xff, 0x00])]);
      if (stream === 7n) {
        await a.sendOnStream(handle, [largest]);
        expect(await rejects(a.sendOnStream(handle, [Buffer.alloc(8109)]))).toBe(
          'stream transport error: event too large (8109 > 8108)',
        );
      }
    }
    const got: Awaited<ReturnType<typeof b.poll>> = [];
    await until(async () => {
      got.push(...(await b.poll(100)));
      return got.length >= 17;
    });
    expect(got.filter((event) => event.raw !== '').map((event) => event.raw)).toEqual(
      expect.arrayContaining(['{"s":0}', '{"s":7}']),
    );
    expect(got.find((event) => event.rawBytes.length === 8108)).toMatchObject({ shardId: 3 });
    expect(got.filter((event) => event.rawBytes.equals(Buffer.from([0xff, 0x00])))).toHaveLength(8);
  });

  it('3000 small events of one call arrive in 4 packets, ids in order', async () => {
    const [a, b] = await pair();
    const stream = a.openStream(b.nodeId(), { streamId: 4n, reliability: 'reliable' });
    await a.sendOnStream(
      stream,
      Array.from({ length: 3000 }, (_, n) => Buffer.from(`e${n}`.padEnd(6))),
    );
    const ids: string[] = [];
    await until(async () => {
      ids.push(...(await b.poll(1000)).map((event) => event.id));
      return ids.length >= 3000;
    });
    expect(ids[0]).toBe('0:0');
    expect(ids.at(-1)).toMatch(/^3:\d+$/);
    expect(a.streamStats(b.nodeId(), 4n)).toMatchObject({ txSeq: 4n, active: true, protocol: 'meshring' });
  });

  it('single sends that follow each other arrive in order, in few packets', async () => {
    const [a, b] = await pair();
    const stream = a.openStream(b.nodeId(), { streamId: 3n, reliability: 'reliable', windowBytes: 0 });
    const got: string[] = [];
    b.onEvents((events) => {
      for (const { bytes } of events) got.push(Buffer.from(bytes).toString());
    });
    const sent: string[] = [];
    for (let n = 0; n < 2000; n++) {
      sent.push(`${n}`);
      const done = a.sendOnStream(stream, [Buffer.from(`${n}`)]);
      if (n % 3 === 0) await done;
      if (n % 500 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => got.length >= sent.length);
    expect(got).toEqual(sent);
    expect(Number(a.streamStats(b.nodeId(), 3n)?.txSeq)).toBeLessThan(1000);
  });

  it('what waits for company leaves before a goodbye, and although its thread is busy', async () => {
    const [a, b] = await pair();
    const stream = (streamId: bigint) => a.openStream(b.nodeId(), { streamId, reliability: 'reliable' });
    const [first, second] = [stream(1n), stream(2n)];
    const seen = () => b.stats().inboundEvents as number;
    for (let n = 0; n < 3; n++) void a.sendOnStream(first, [Buffer.from('busy')]);
    // Without a turn of the event loop: the node's own thread sends.
    const end = performance.now() + 10_000;
    while (backend === 'addon' && seen() < 3 && performance.now() < end);
    if (backend === 'addon') expect(seen()).toBe(3);
    await until(() => seen() === 3);
    for (let n = 0; n < 3; n++) void a.sendOnStream(second, [Buffer.from('gone')]);
    expect(a.disconnect(b.nodeId())).toBe(true);
    await until(() => b.peerCount() === 0);
    expect((await b.poll(10)).map((event) => event.raw)).toEqual(['busy', 'busy', 'busy', 'gone', 'gone', 'gone']);
  });

  it('a window refuses whole calls and opens again', async () => {
    const [a, b] = await pair();
    const stream = a.openStream(b.nodeId(), { streamId: 9n, windowBytes: 256 });
    await a.sendOnStream(stream, [Buffer.from('hello')]);
    const text = await rejects(a.sendOnStream(stream, [Buffer.alloc(300)]));
    expect(text).toBe('stream would block: stream queue full');
    await until(() => a.streamStats(b.nodeId(), 9n)?.txCreditRemaining === 256);
    expect(a.streamStats(b.nodeId(), 9n)).toMatchObject({ txSeq: 1n, backpressureEvents: 1n, txWindow: 256 });
    expect(await rejects(a.sendWithRetry(stream, [Buffer.alloc(300)], 3))).toBe(text);
  });

  it('a batch larger than the window goes through sendBlocking, each event once and in order', async () => {
    const [a, b] = await pair();
    const stream = a.openStream(b.nodeId(), { streamId: 9n, reliability: 'reliable', windowBytes: 20_000 });
    const events = Array.from({ length: 60 }, (_, n) => Buffer.alloc(4000, n));
    await a.sendBlocking(stream, events);
    const first: number[] = [];
    await until(async () => {
      first.push(...(await b.poll(100)).map((event) => event.rawBytes[0] ?? -1));
      return first.length >= 60;
    });
    expect(first).toEqual(events.map((_, n) => n));
  });

  it('handles of closed, reopened and foreign streams are refused', async () => {
    const [a, b] = await pair();
    const stream = a.openStream(b.nodeId(), { streamId: 1n });
    a.closeStream(b.nodeId(), 1n);
    a.closeStream(b.nodeId(), 1n);
    const gone = 'stream not connected: peer session gone';
    expect(await rejects(a.sendOnStream(stream, [Buffer.from('x')]))).toBe(gone);
    a.openStream(b.nodeId(), { streamId: 1n });
    expect(await rejects(a.sendOnStream(stream, [Buffer.from('x')]))).toBe(gone);
    const other = b.openStream(a.nodeId(), { streamId: 1n });
    expect(await rejects(a.sendOnStream(other, [Buffer.from('x')]))).toBe(gone);
    expect(a.streamStats(b.nodeId(), 77n)).toBeNull();
  });

  it('events() wakes on arrival and ends with its signal', async () => {
    const [a, b] = await pair();
    const stop = new AbortController();
    const got: string[] = [];
    const reading = (async () => {
      for await (const event of b.events({ streamId: 5n, signal: stop.signal })) {
        got.push(Buffer.from(event.bytes).toString());
        if (got.length === 3) stop.abort();
      }
    })();
    const five = a.openStream(b.nodeId(), { streamId: 5n, reliability: 'reliable' });
    const six = a.openStream(b.nodeId(), { streamId: 6n, reliability: 'reliable' });
    await a.sendOnStream(six, [Buffer.from('other')]);
    for (const text of ['one', 'two', 'three']) await a.sendOnStream(five, [Buffer.from(text)]);
    await reading;
    expect(got).toEqual(['one', 'two', 'three']);
    expect((await b.poll(10)).map((event) => event.raw)).toEqual(['other']);
  });

  it('onEvents() gives batches, also what had arrived before', async () => {
    const [a, b] = await pair();
    const stream = a.openStream(b.nodeId(), { streamId: 5n, reliability: 'reliable' });
    await a.sendOnStream(stream, [Buffer.from('early')]);
    await until(() => (b.stats().inboundEvents ?? 0) === 1);
    const got: string[] = [];
    const end = b.onEvents((events) => got.push(...events.map((event) => Buffer.from(event.bytes).toString())));
    expect(got).toEqual([]);
    await a.sendOnStream(stream, [Buffer.from('one'), Buffer.from('two')]);
    await until(() => got.length === 3);
    expect(got).toEqual(['early', 'one', 'two']);
    end();
    await a.sendOnStream(stream, [Buffer.from('late')]);
    await until(async () => (await b.poll(1))[0]?.raw === 'late');
  });

  it('goodbye removes the peer at once', async () => {
    const [a, b] = await pair({ heartbeatIntervalMs: 20, sessionTimeoutMs: 50 });
    const seen: string[] = [];
    a.on('peer', (event) => seen.push(event.type));
    const first = a.peerEvents().next();
    await b.shutdown();
    await until(() => seen.includes('left'));
    expect(a.peerCount()).toBe(0);
    expect((await first).value).toEqual({ type: 'left', id: expect.any(BigInt) });
    expect(seen).toEqual(['left']);
  });

  it('texts of wrong options and calls', async () => {
    const bad = (more: object) => rejects(make(more));
    expect(await bad({ bindAddr: 'localhost:1' })).toBe('invalid bind address: invalid socket address syntax');
    expect(await bad({ psk: '4' })).toBe('invalid PSK hex: Odd number of digits');
    expect(await bad({ psk: `4g${'0'.repeat(62)}` })).toBe("invalid PSK hex: Invalid character 'g' at position 1");
    expect(await bad({ psk: '42' })).toBe('PSK must be 32 bytes (64 hex chars)');
    expect(await bad({ psk: undefined })).toBe('Missing field `psk`');
    expect(await bad({ numShards: 65536 })).toBe('num_shards must be in [0, 65535]; got 65536');
    expect(await bad({ identitySeed: Buffer.alloc(31) })).toBe('identity_seed must be 32 bytes, got 31');
    const node = await make();
    expect(await bad({ bindAddr: node.localAddress() })).toMatch(
      /^MeshNode creation failed: connection error: bind failed: /,
    );
    const key = node.publicKey();
    expect(await rejects(node.connect('1.2.3.4', key, 1n))).toBe('invalid peer address: invalid socket address syntax');
    expect(await rejects(node.connect('1.2.3.4:5', 'zz', 1n))).toMatch(
      /^invalid public key hex: Invalid character 'z'/,
    );
    expect(await rejects(node.connect('1.2.3.4:5', '00', 1n))).toBe('public key must be 32 bytes');
    expect(await rejects(node.accept(-1n))).toBe('expected non-negative BigInt');
    expect(await rejects(node.accept(1n << 64n))).toBe('BigInt value exceeds u64 range');
    expect(await rejects(() => node.openStream(5n, { streamId: 1n }))).toBe(
      'open_stream failed: connection error: open_stream: no session for peer 0x5',
    );
    expect(await rejects(() => node.openStream(5n, { streamId: 1n, reliability: 'maybe' as 'reliable' }))).toBe(
      'unknown reliability mode "maybe"; expected "fire_and_forget" or "reliable"',
    );
  });

  it('nobody answers, wrong keys: a time-out on both sides', async () => {
    const [a, b] = [await make({ handshakeTimeoutMs: 60 }), await make({ handshakeTimeoutMs: 60 })];
    const silent = createSocket('udp4');
    silent.bind(0, '127.0.0.1');
    await once(silent, 'listening');
    const text = 'connect failed: connection error: handshake timeout';
    expect(await rejects(a.connect(`127.0.0.1:${silent.address().port}`, b.publicKey(), b.nodeId()))).toBe(text);
    silent.close();
    const accepting = rejects(b.accept(a.nodeId()));
    expect(await rejects(a.connect(b.localAddress(), a.publicKey(), b.nodeId()))).toBe(text);
    expect(await accepting).toBe('accept failed: connection error: handshake timeout');
    const other = await make({ psk: '43'.repeat(32), handshakeTimeoutMs: 60 });
    await b.start();
    expect(await rejects(other.connect(b.localAddress(), b.publicKey(), b.nodeId()))).toBe(text);
    expect(b.stats().handshakesRefused).toBeGreaterThan(0);
  });

  it('shutdown ends what is pending and frees the port', async () => {
    const node = await make({ handshakeTimeoutMs: 60_000 });
    const address = node.localAddress();
    const accepting = rejects(node.accept(1n));
    const reading = (async () => {
      for await (const _ of node.events());
    })();
    await node.shutdown();
    expect(await accepting).toBe('MeshNode has been shut down');
    await reading;
    expect(await rejects(() => node.peerCount())).toBe('MeshNode has been shut down');
    expect(await rejects(node.shutdown())).toBe('already shut down');
    expect((await make({ bindAddr: address })).localAddress()).toBe(address);
  });

  it('a relay carries sessions that it cannot read', async () => {
    const [a, relay, c] = [await make(), await make(), await make()];
    await Promise.all([a.start(), relay.start(), c.start()]);
    await a.connect(relay.localAddress(), relay.publicKey(), relay.nodeId());
    await c.connect(relay.localAddress(), relay.publicKey(), relay.nodeId());
    await a.connectVia(relay.localAddress(), c.publicKey(), c.nodeId());
    expect(a.peers().find((peer) => peer.id === c.nodeId())).toMatchObject({ relayed: true, protocol: 'meshring' });
    const stream = a.openStream(c.nodeId(), { streamId: 3n, reliability: 'reliable' });
    await a.sendOnStream(stream, [Buffer.from('over the relay')]);
    await until(async () => (await c.poll(1)).length === 1);
    expect(relay.stats().forwarded).toBeGreaterThan(2);
  });
});
