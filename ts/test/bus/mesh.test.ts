/** Two nodes over one encrypted UDP link (11 §8). */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { generateNetKeypair } from '../../src/core.js';
import type { NetNode } from '../../src/node.js';
import type { MeshOptions, NetNodeConfig, PollResponseData, StoredEvent } from '../../src/types.js';

const PSK = '5a'.repeat(32);
const keys = generateNetKeypair();

const nodes: NetNode[] = [];
const proxies: LossyPath[] = [];

afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.shutdown().catch(() => undefined)));
  for (const proxy of proxies.splice(0)) proxy.close();
});

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
}

async function freePorts(count: number): Promise<number[]> {
  const sockets = await Promise.all(
    Array.from({ length: count }, async () => {
      const socket = createSocket('udp4');
      await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
      return socket;
    }),
  );
  const ports = sockets.map((socket) => socket.address().port);
  await Promise.all(sockets.map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))));
  return ports;
}

function end(bind: number, peer: number, role: 'initiator' | 'responder', more: Partial<MeshOptions>): MeshOptions {
  const own = role === 'initiator' ? { peerPublicKey: keys.publicKey } : keys;
  return { bind: `127.0.0.1:${bind}`, peer: `127.0.0.1:${peer}`, psk: PSK, role, ...own, ...more };
}

/** The class on the backend under test. */
let Node: typeof NetNode;

async function open(options: MeshOptions, config: NetNodeConfig = {}): Promise<NetNode> {
  const node = await Node.create({ shards: 4, ...config, transport: { type: 'mesh', ...options } });
  nodes.push(node);
  return node;
}

async function pair(more: Partial<MeshOptions> = {}, config: NetNodeConfig = {}): Promise<[NetNode, NetNode]> {
  const [a, b] = (await freePorts(2)) as [number, number];
  return Promise.all([open(end(a, b, 'initiator', more), config), open(end(b, a, 'responder', more), config)]);
}

async function pollAll(node: NetNode, count: number, limit = 1000): Promise<StoredEvent[]> {
  const out: StoredEvent[] = [];
  let cursor: string | undefined;
  while (out.length < count) {
    const page: PollResponseData = await node.poll(cursor === undefined ? { limit } : { limit, cursor });
    out.push(...page.events);
    cursor = page.nextId ?? cursor;
    if (page.events.length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return out;
}

const numbered = (count: number, tag: string) => Array.from({ length: count }, (_, n) => `{"${tag}":${n}}`);

/** Where a packet has its flags, and the flag of handshakes. */
const [FLAGS, HANDSHAKE] = [3, 0x10];

/** A path between two ends that loses, repeats and reorders datagrams, by a fixed plan. */
class LossyPath {
  readonly #front: Socket = createSocket('udp4');
  readonly #back: Socket = createSocket('udp4');
  #client: number | undefined;
  #count = 0;
  lost = 0;
  /** First messages of handshakes that came while the path was cut. */
  vain = 0;
  cut = false;
  lossy = false;

  private constructor() {}

  static async between(server: number): Promise<{ path: LossyPath; front: number; back: number }> {
    const path = new LossyPath();
    proxies.push(path);
    await new Promise<void>((resolve) => path.#front.bind(0, '127.0.0.1', resolve));
    await new Promise<void>((resolve) => path.#back.bind(0, '127.0.0.1', resolve));
    path.#front.on('message', (bytes, from) => {
      path.#client = from.port;
      if (path.cut && ((bytes[FLAGS] ?? 0) & HANDSHAKE) !== 0) path.vain += 1;
      path.#pass(() => path.#back.send(bytes, server, '127.0.0.1'));
    });
    path.#back.on('message', (bytes) => path.#pass(() => path.#front.send(bytes, path.#client ?? 0, '127.0.0.1')));
    return { path, front: path.#front.address().port, back: path.#back.address().port };
  }

  #pass(send: () => void): void {
    if (this.cut) return;
    this.#count += 1;
    if (!this.lossy) {
      send();
      return;
    }
    if (this.#count % 5 === 0) {
      this.lost += 1;
      return;
    }
    if (this.#count % 7 === 0) send();
    if (this.#count % 11 === 0) setTimeout(() => this.cut || send(), 3);
    else send();
  }

  close(): void {
    this.cut = true;
    this.#front.close();
    this.#back.close();
  }
}

describe.each(['addon', 'wasm'] as const)('mesh transport on %s', (backend) => {
  beforeAll(async () => {
    vi.resetModules();
    vi.stubEnv('MESHRING_BACKEND', backend);
    ({ NetNode: Node } = await import('../../src/node.js'));
    vi.unstubAllEnvs();
  });

  describe('events both ways', () => {
    for (const reliability of ['none', 'light', 'full'] as const) {
      it(`with reliability ${reliability}: bytes, order, shards, ids`, async () => {
        const [a, b] = await pair({ reliability });
        const forth = numbered(300, 'forth');
        const back = numbered(200, 'back');
        expect(a.emitRawBatch(forth)).toBe(300);
        expect(b.emitRawBatch(back)).toBe(200);
        await Promise.all([a.flush(), b.flush()]);
        const atB = await pollAll(b, 300, 7);
        const atA = await pollAll(a, 200, 1000);
        expect(atB.map((event) => event.raw).sort()).toEqual([...forth].sort());
        expect(atA.map((event) => event.raw).sort()).toEqual([...back].sort());
        for (const shard of [0, 1, 2, 3]) {
          const mine = atB.filter((event) => event.shardId === shard);
          expect(mine.map((event) => Number(event.id.split('-')[1]))).toEqual(mine.map((_, n) => n + 1));
          const order = mine.map((event) => JSON.parse(event.raw).forth as number);
          expect(order).toEqual([...order].sort((x, y) => x - y));
        }
        // A node never sees its own events, and polling consumes nothing.
        expect((await b.poll({ limit: 1000 })).events).toHaveLength(300);
        expect(b.stats().eventsReceived).toBe(300n);
        expect(a.stats()).toMatchObject({ eventsIngested: 300n, eventsDispatched: 300n, eventsPending: 0n });
      });
    }

    it('what the peer has acknowledged is there for its next poll', async () => {
      const [a, b] = await pair({ reliability: 'full' });
      for (let n = 1; n <= 300; n++) {
        a.fire(`{"n":${n}}`);
        await a.flush();
        expect((await b.poll({ limit: 1000 })).events).toHaveLength(n);
      }
    });

    it('a subscriber is woken, filters where the bytes are, and starts from now', async () => {
      const [a, b] = await pair({ reliability: 'full' });
      a.emit({ kind: 'old' });
      await a.flush();
      expect(b.stats().eventsReceived).toBe(1n);
      const stream = b.subscribe({ fromNow: true, filter: { path: 'kind', value: 'new' }, pollIntervalMs: 60_000 });
      const first = stream[Symbol.asyncIterator]().next();
      a.emitBatch([{ kind: 'other' }, { kind: 'new', n: 1 }]);
      const { value } = await first;
      expect(JSON.parse((value as StoredEvent).raw)).toEqual({ kind: 'new', n: 1 });
      stream.stop();
      await a.flush();
    });

    it('8108 bytes pass and 8109 are refused at ingest', async () => {
      const [a, b] = await pair({ reliability: 'full' });
      const largest = 'é'.repeat(4054);
      expect(a.fire(largest)).toBe(true);
      expect(a.emitBuffer(Buffer.alloc(8108, 0x61))).toBe(true);
      expect(a.fire(`${largest}x`)).toBe(false);
      expect(a.emitBuffer(Buffer.alloc(8109))).toBe(false);
      expect(() => a.emitRaw(`${largest}x`)).toThrow('Ingestion failed: event too large: 8109 bytes, limit 8108');
      expect(a.emitBuffer(Buffer.alloc(0))).toBe(true);
      await a.flush();
      const events = await pollAll(b, 3);
      expect(events.map((event) => event.rawBytes?.length).sort()).toEqual([0, 8108, 8108]);
    });

    it('a receiver with other shards takes every stream', async () => {
      const [p, q] = (await freePorts(2)) as [number, number];
      const [a, b] = await Promise.all([
        open(end(p, q, 'initiator', { reliability: 'light' }), { shards: 8 }),
        open(end(q, p, 'responder', { reliability: 'light' }), { shards: 3 }),
      ]);
      const texts = numbered(500, 'n');
      a.fireBatch(texts);
      await a.flush();
      const events = await pollAll(b, 500);
      expect(events.map((event) => event.raw).sort()).toEqual([...texts].sort());
      expect(new Set(events.map((event) => event.shardId))).toEqual(new Set([0, 1, 2]));
    });
  });

  describe('a bad path', () => {
    for (const reliability of ['light', 'full'] as const) {
      it(`${reliability}: each event once${reliability === 'full' ? ' and in order' : ''} in spite of loss, repetition and reordering`, async () => {
        const [a, b] = (await freePorts(2)) as [number, number];
        const { path, front, back } = await LossyPath.between(b);
        const [one, two] = await Promise.all([
          open(end(a, front, 'initiator', { reliability }), { shards: 2 }),
          open(end(b, back, 'responder', { reliability }), { shards: 2 }),
        ]);
        path.lossy = true;
        const texts = Array.from({ length: 3000 }, (_, n) => `{"n":${n},"pad":"${'x'.repeat(n % 700)}"}`);
        one.fireBatch(texts);
        await one.flush();
        expect(path.lost).toBeGreaterThan(20);
        const events = await pollAll(two, 3000);
        expect(two.stats().eventsReceived).toBe(3000n);
        for (const shard of [0, 1]) {
          const order = events.filter((e) => e.shardId === shard).map((e) => JSON.parse(e.raw).n as number);
          const sorted = [...order].sort((x, y) => x - y);
          // A light stream does not wait for what is being repaired.
          if (reliability === 'full') expect(order).toEqual(sorted);
          else expect(order).not.toEqual(sorted);
        }
        expect(one.stats().lost).toBe(0n);
        expect(new Set(events.map((event) => event.raw)).size).toBe(3000);
      });
    }

    it('a cut path: batches wait, what came stays readable, and all arrives when it heals', async () => {
      const [a, b] = (await freePorts(2)) as [number, number];
      const { path, front, back } = await LossyPath.between(b);
      const more = { reliability: 'full', heartbeatIntervalMs: 50, sessionTimeoutMs: 400 } as const;
      const [one, two] = await Promise.all([
        open(end(a, front, 'initiator', more)),
        open(end(b, back, 'responder', more)),
      ]);
      one.emit({ n: 'before' });
      await one.flush();
      path.cut = true;
      one.emitBatch(Array.from({ length: 100 }, (_, n) => ({ n })));
      let flushed = false;
      const flush = one.flush().then(() => {
        flushed = true;
      });
      // While it has the session the initiator calls a few times; so many calls mean that it has given the session up.
      await until(() => path.vain >= 8);
      expect(flushed).toBe(false);
      expect((await two.poll({ limit: 10 })).events.map((event) => event.raw)).toEqual(['{"n":"before"}']);
      path.cut = false;
      await flush;
      const events = await pollAll(two, 101);
      expect(new Set(events.map((event) => event.raw)).size).toBe(101);
      two.emit({ back: true });
      await two.flush();
      expect((await pollAll(one, 1))[0]?.raw).toBe('{"back":true}');
    });

    it('a batch that takes longer than its time limit is not sent twice', async () => {
      const { MeshTransport } = await import('../../src/bus/mesh/transport.js');
      const onBatch = vi.spyOn(MeshTransport.prototype, 'onBatch');
      const [a, b] = (await freePorts(2)) as [number, number];
      const { path, front, back } = await LossyPath.between(b);
      const config = { shards: 1, adapterTimeoutMs: 500 };
      const [one, two] = await Promise.all([
        open(end(a, front, 'initiator', { reliability: 'full' }), config),
        open(end(b, back, 'responder', { reliability: 'full' }), config),
      ]);
      path.cut = true;
      one.emit({ n: 1 });
      const flush = one.flush().catch((error: unknown) => error);
      await until(() => onBatch.mock.calls.length > 1);
      path.cut = false;
      expect(await flush).toMatchObject({ kind: 'flush-failed' });
      // Done long before the next attempt, which comes the later the more there were.
      await until(async () => (await two.poll({ limit: 10 })).events.length > 0);
      one.emit({ n: 2 });
      await pollAll(two, 2);
      await one.flush();
      const calls = onBatch.mock.calls.length;
      onBatch.mockRestore();
      expect(calls).toBeGreaterThan(2);
      expect((await two.poll({ limit: 10 })).events.map(({ raw }) => raw)).toEqual(['{"n":1}', '{"n":2}']);
    });
  });

  describe('ends that come and go', () => {
    it('an initiator that is early or late meets its responder', async () => {
      const [a, b] = (await freePorts(2)) as [number, number];
      const nobody = createSocket('udp4').bind(b, '127.0.0.1');
      await once(nobody, 'listening');
      const early = open(end(a, b, 'initiator', {}));
      // Its call is there before anybody could answer.
      await once(nobody, 'message');
      await new Promise<void>((resolve) => nobody.close(() => resolve()));
      const [one, two] = await Promise.all([early, open(end(b, a, 'responder', {}))]);
      one.emit({ hello: 1 });
      expect((await pollAll(two, 1))[0]?.raw).toBe('{"hello":1}');
    });

    it('either end is restarted: the other goes on with the new one', async () => {
      const more = { reliability: 'full' } as const;
      const [a, b] = (await freePorts(2)) as [number, number];
      const first = await Promise.all([open(end(a, b, 'initiator', more)), open(end(b, a, 'responder', more))]);
      first[0].emit({ n: 1 });
      await first[0].flush();
      await first[1].shutdown();
      first[0].emit({ n: 2 });
      const responder = await open(end(b, a, 'responder', more));
      expect((await pollAll(responder, 1)).map((event) => event.raw)).toEqual(['{"n":2}']);
      await first[0].shutdown();
      const initiator = await open(end(a, b, 'initiator', more));
      responder.emit({ n: 3 });
      expect((await pollAll(initiator, 1)).map((event) => event.raw)).toEqual(['{"n":3}']);
      await responder.flush();
    });

    it('a port in use and a key that does not fit are said at once', async () => {
      const [a, b] = (await freePorts(2)) as [number, number];
      const taken = createSocket('udp4');
      await new Promise<void>((resolve) => taken.bind(a, '127.0.0.1', resolve));
      await expect(open(end(a, b, 'initiator', {}))).rejects.toThrow(
        /^Failed to create EventBus: connection error: bind failed: .*(in use|EADDRINUSE)/,
      );
      taken.close();
      await expect(open(end(b, a, 'responder', { publicKey: '11'.repeat(32) }))).rejects.toThrow(
        'Failed to create EventBus: fatal error: invalid config: public_key does not belong to secret_key',
      );
      await expect(open(end(b, a, 'responder', {}), { shards: 5000 })).rejects.toThrow('num_shards must be <= 4096');
    });

    it('a create that is given less time than the handshake leaves nothing behind', async () => {
      const [a, b] = (await freePorts(2)) as [number, number];
      for (let round = 0; round < 2; round++) {
        await expect(open(end(a, b, 'initiator', {}), { adapterTimeoutMs: 100 })).rejects.toThrow(
          'Failed to create EventBus: fatal error: adapter init timed out',
        );
      }
    });

    // Fifteen seconds of waiting for timers that both backends share: one of them is enough.
    if (backend !== 'addon') return;
    it('nobody there: handshake timeout after three attempts, and the port is free again', async () => {
      const [a, b] = (await freePorts(2)) as [number, number];
      const ends = [end(a, b, 'initiator', { peerPublicKey: '09'.repeat(32) }), end(b, a, 'responder', {})];
      const results = await Promise.allSettled(ends.map((options) => open(options)));
      for (const result of results) {
        expect(String((result as PromiseRejectedResult).reason.message)).toBe(
          'Failed to create EventBus: connection error: handshake timeout',
        );
      }
      await Promise.all(
        ends.map((options) => open({ ...options, ...(options.secretKey ? {} : { peerPublicKey: keys.publicKey }) })),
      );
    }, 40_000);
  });
});
