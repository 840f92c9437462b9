/** What `MeshNode` offers beyond the published package: waiting for credit, signals, names, calling again. */
import { setMaxListeners } from 'node:events';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type * as MeshModule from '../../src/mesh.js';

type MeshNode = MeshModule.MeshNode;

const PSK = '42'.repeat(32);

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
}

async function message(work: Promise<unknown> | (() => unknown)): Promise<string> {
  try {
    await (typeof work === 'function' ? work() : work);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('it did not fail');
}

describe.each(['addon', 'wasm'] as const)('mesh nodes on %s', (backend) => {
  let mesh: typeof MeshModule | undefined;
  const open: MeshNode[] = [];

  async function make(more: object = {}): Promise<MeshNode> {
    if (!mesh) {
      vi.resetModules();
      vi.stubEnv('MESHRING_BACKEND', backend);
      mesh = await import('../../src/mesh.js');
      vi.unstubAllEnvs();
    }
    const node = await mesh.MeshNode.create({ bindAddr: '127.0.0.1:0', psk: PSK, handshakeTimeoutMs: 2000, ...more });
    open.push(node);
    return node;
  }

  async function pair(): Promise<[MeshNode, MeshNode]> {
    const nodes: [MeshNode, MeshNode] = [await make(), await make()];
    await Promise.all(nodes.map((node) => node.start()));
    await nodes[0].connect(nodes[1].localAddress(), nodes[1].publicKey(), nodes[1].nodeId());
    return nodes;
  }

  afterEach(async () => {
    for (const node of open.splice(0)) await node.shutdown({ drainMs: 0 }).catch(() => {});
  });

  it('ready waits for the credit that a send needs', async () => {
    const [a, b] = await pair();
    const stream = a.openStream(b.nodeId(), { streamId: 5n, reliability: 'reliable', windowBytes: 1000 });
    await stream.ready();
    for (let n = 0; n < 50; n++) {
      // Each call takes the whole window.
      await a.sendOnStream(stream, [Buffer.alloc(900, n)]);
      await stream.ready({ bytes: 904 });
    }
    expect(a.streamStats(b.nodeId(), 5n)).toMatchObject({ backpressureEvents: 0n, txSeq: 50n });
  });

  /** Nothing reaches the other node any more, and nothing comes from it. */
  function cut(from: MeshNode, to: MeshNode): void {
    mesh?.MeshNode.coreOf(from).raw.block(to.localAddress(), true);
  }

  it('ready ends with the stream, the signal, the session and the node', async () => {
    const [a, b] = await pair();
    cut(a, b);
    const stuck = async (streamId: bigint) => {
      const stream = a.openStream(b.nodeId(), { streamId, windowBytes: 1000 });
      await a.sendOnStream(stream, [Buffer.alloc(900)]);
      return stream;
    };
    const gone = { name: 'NotConnectedError', message: 'stream not connected: peer session gone' };
    const streams = await Promise.all([1n, 2n, 3n, 4n].map(stuck));
    const [closed, aborted, left] = streams.map((stream) => stream.ready().catch((error: unknown) => error));
    a.closeStream(b.nodeId(), 1n);
    expect(await closed).toMatchObject(gone);
    const stop = new AbortController();
    const given = message(streams[1]?.ready({ signal: stop.signal }) ?? Promise.resolve());
    stop.abort(new Error('enough'));
    expect(await given).toBe('enough');
    a.disconnect(b.nodeId());
    expect(await left).toMatchObject(gone);
    expect(await aborted).toMatchObject(gone);
    await expect(streams[0]?.ready()).rejects.toMatchObject(gone);
    const c = await make();
    await c.start();
    await a.connect(c.localAddress(), c.publicKey(), c.nodeId());
    cut(a, c);
    const last = a.openStream(c.nodeId(), { streamId: 1n, windowBytes: 1000 });
    await a.sendOnStream(last, [Buffer.alloc(900)]);
    const ended = message(last.ready());
    await a.shutdown({ drainMs: 0 });
    expect(await ended).toBe('MeshNode has been shut down');
  });

  it('a packet costs its events, four bytes for each and eighty for itself', async () => {
    const [a, b] = await pair();
    cut(a, b);
    const stream = a.openStream(b.nodeId(), { streamId: 9n, windowBytes: 256 });
    await a.sendOnStream(stream, [Buffer.from('hello')]);
    expect(a.streamStats(b.nodeId(), 9n)).toMatchObject({ txCreditRemaining: 256 - 89, txSeq: 1n });
    await expect(a.sendOnStream(stream, [Buffer.alloc(84)])).rejects.toThrow('stream would block');
    await a.sendOnStream(stream, [Buffer.alloc(83)]);
    expect(a.streamStats(b.nodeId(), 9n)).toMatchObject({ txCreditRemaining: 0, txSeq: 2n, backpressureEvents: 1n });
  });

  it('a blocked send takes the credit when it comes, and the events as they were at the call', async () => {
    const [a, b] = await pair();
    const stream = a.openStream(b.nodeId(), { streamId: 5n, reliability: 'reliable', windowBytes: 10_000 });
    const event = Buffer.alloc(4000, 1);
    const sends = Array.from({ length: 30 }, () => a.sendBlocking(stream, [event]));
    event.fill(9);
    await Promise.all(sends);
    const got: number[] = [];
    await until(async () => {
      got.push(...(await b.poll(100)).map(({ rawBytes }) => rawBytes[0] ?? -1));
      return got.length === 30;
    });
    expect(new Set(got)).toEqual(new Set([1]));
  });

  it('signals end what waits', async () => {
    const [a, b] = await pair();
    const other = await make();
    const stop = new AbortController();
    const { signal } = stop;
    // More calls than Node finds usual wait for this one signal; each takes its listener off again.
    setMaxListeners(0, signal);
    cut(a, b);
    const stream = a.openStream(b.nodeId(), { streamId: 5n, windowBytes: 1000 });
    await a.sendOnStream(stream, [Buffer.alloc(900)]);
    const event = [Buffer.alloc(900)];
    const accepting = other.accept(1n).catch(() => {});
    const waiting = [
      a.sendBlocking(stream, event, { signal }),
      a.sendWithRetry(stream, event, 4000, { signal }),
      a.connect('127.0.0.1:9', b.publicKey(), 7n, { signal }),
      a.connectVia('127.0.0.1:9', b.publicKey(), 8n, { signal }),
      a.connectDirect(b.nodeId(), b.publicKey(), b.nodeId(), { signal }),
      a.accept(9n, { signal }),
      a.acceptAny({ signal }),
      a.subscribeChannel(b.nodeId(), 'a/b', { signal }),
      a.unsubscribeChannel(b.nodeId(), 'a/b', { signal }),
      a.probeReflex(b.nodeId(), { signal }),
      other.start({ signal }),
    ].map(message);
    const before = await Promise.all([a.peerEvents({ signal }), a.events({ signal })].map((one) => one.next.bind(one)));
    const iterations = before.map((next) => next());
    stop.abort(new Error('enough'));
    const reached = ['traversal: peer-not-reachable'];
    for (const [n, text] of (await Promise.all(waiting)).entries()) {
      // The target announced no address, so that call ended by itself.
      expect(n === 4 ? reached : ['enough'], `number ${n}`).toContain(text);
    }
    expect((await Promise.all(iterations)).map(({ done }) => done)).toEqual([true, true]);
    expect(await message(a.connect(b.localAddress(), b.publicKey(), b.nodeId(), { signal }))).toBe('enough');
    expect(await message(a.sendBlocking(stream, event, { signal }))).toBe('enough');
    await other.shutdown({ drainMs: 0 });
    await accepting;
  });

  it('a host may have a name, in calls only', async () => {
    const b = await make();
    await b.start();
    const a = await make();
    const [, port] = b.localAddress().split(':');
    await a.connect(`localhost:${port}`, b.publicKey(), b.nodeId());
    expect(a.peers()[0]).toMatchObject({ id: b.nodeId(), address: b.localAddress() });
    const wrong = 'invalid peer address: invalid socket address syntax';
    for (const text of ['no-such-host.invalid:1', 'localhost', 'localhost:65536', 'a b:1', '1.2.3:4', '300.1.1.1:4']) {
      expect(await message(a.connect(text, b.publicKey(), b.nodeId()))).toBe(wrong);
    }
    await expect(a.connectVia('no-such-host.invalid:1', b.publicKey(), 9n)).rejects.toHaveProperty('cause.code');
    expect(await message(make({ bindAddr: 'localhost:0' }))).toBe(
      'invalid bind address: invalid socket address syntax',
    );
  });

  it('a peer that left is called again', async () => {
    const keys = { identitySeed: Buffer.alloc(32, 1), staticKey: Buffer.alloc(32, 2) };
    const [a, b] = [await make(), await make(keys)];
    await Promise.all([a.start(), b.start()]);
    const [bindAddr, id] = [b.localAddress(), b.nodeId()];
    await a.connect(bindAddr, b.publicKey(), id, { reconnect: true });
    const seen: string[] = [];
    a.on('peer', ({ type }) => seen.push(type));
    await b.shutdown();
    await until(() => seen.includes('left'));
    const again = await make({ ...keys, bindAddr });
    await again.start();
    await until(() => seen.includes('joined'));
    expect(a.peers()[0]).toMatchObject({ id, address: bindAddr });
    // Who is sent away is not called again.
    a.disconnect(id);
    expect(a.peerCount()).toBe(0);
  });

  it('the WebSocket gateway says that it is not there yet', async () => {
    expect(await message(make({ bindAddr: undefined, gateway: 'wss://example.org/mesh' }))).toBe(
      'MeshNode creation failed: the gateway option is not available in this version; give bindAddr instead',
    );
  });
});
