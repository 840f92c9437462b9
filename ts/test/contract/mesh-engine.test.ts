import { describe, expect, it } from 'vitest';
import { CALL, type RawMesh, REFUSED, RELIABILITY, WAITS } from '../../src/backend/mesh.js';
import { readHappenings, readPackets } from '../../src/mesh/batch.js';
import { frame } from '../../src/mesh/frames.js';
import { EngineNet } from './engine-net.js';

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (value: string) => new TextEncoder().encode(value);

/** Two engines and the link between them. */
class Pair extends EngineNet {
  readonly a: RawMesh;
  readonly b: RawMesh;

  constructor(extension = 1) {
    super();
    const [a, b] = [this.add(0x1111n, extension), this.add(0x2222n, extension)];
    this.link('link:7', a, b);
    [this.a, this.b] = [a.raw, b.raw];
  }

  join(): void {
    const [a, b] = this.engines;
    if (!a || !b) throw new Error('unreachable');
    expect(this.connect(a, b, 'link:7')).toMatchObject([
      { kind: 'peer', peer: 0x2222n, change: 'joined' },
      { kind: 'handshake', peer: 0x2222n, link: 'link:7' },
    ]);
  }
}

describe('the mesh engine', () => {
  it('connects, sends, receives; numbers and texts of its door', () => {
    const pair = new Pair();
    pair.join();
    expect(readHappenings(pair.b.takeEvents())).toEqual([{ kind: 'peer', peer: 0x1111n, change: 'joined' }]);
    const stream = pair.a.openStream(pair.now, 0x2222n, 5n, RELIABILITY.full, 65_536, 1);
    const { bytes: frames, length } = frame(['one', '', 'three'].map(bytes));
    expect(pair.a.send(pair.now, stream, frames, length, 3, false, 0, 0)).toBe(3);
    pair.settle();
    const packets = readPackets(pair.b.takeDeliveries(10));
    expect(packets.map((packet) => [packet.peer, packet.streamId, packet.sequence, packet.events.map(text)])).toEqual([
      [0x1111n, 5n, 0n, ['one', '', 'three']],
    ]);
    pair.pass(10_000);
    expect([...(pair.a.streamStats(0x2222n, 5n) ?? [])].slice(0, 2)).toEqual([1n, 0n]);
    expect(pair.a.streamStats(0x2222n, 6n) ?? null).toBeNull();
    expect(pair.a.isDrained()).toBe(true);
    expect(JSON.parse(pair.a.peers())).toMatchObject([{ id: '8738', protocol: 'meshring', relayed: false }]);
    expect(JSON.parse(pair.a.stats())).toMatchObject({ handshakes: 1, forged: 0 });
    expect(JSON.parse(pair.a.routes())).toEqual([{ id: '8738', nextHop: 'link:7', metric: 1 }]);
    expect([pair.a.peerCount(), pair.a.discoveredNodes(), pair.a.peerAt('link:7')]).toEqual([1, 1, 0x2222n]);
  });

  it('sends of one moment share a packet: order, ids and credit to the byte', () => {
    const pair = new Pair();
    pair.join();
    const window = 1000;
    const stream = pair.a.openStream(pair.now, 0x2222n, 5n, RELIABILITY.full, window, 1);
    const send = (event: Uint8Array) => {
      const { bytes: frames, length } = frame([event]);
      return pair.a.sendSoon(pair.now, stream, frames, length, 1, false);
    };
    const credit = () => Number(pair.a.streamStats(0x2222n, 5n)?.[4]);
    const sent: string[] = [];
    for (let n = 0; n < 9; n++) {
      sent.push(`event ${n} `.padEnd(90, '.'));
      expect(send(bytes(sent[n] as string))).toBe(1 + WAITS);
      // One header, then four bytes of length and the event.
      expect(credit()).toBe(window - 80 - (n + 1) * 94);
    }
    expect(send(new Uint8Array(71))).toBe(REFUSED.backpressure);
    expect([credit(), pair.a.streamStats(0x2222n, 5n)?.[3]]).toEqual([74, 1n]);
    sent.push('.'.repeat(70));
    expect(send(bytes(sent[9] as string))).toBe(1 + WAITS);
    expect([credit(), send(new Uint8Array(0))]).toEqual([0, REFUSED.backpressure]);
    pair.settle();
    const packets = readPackets(pair.b.takeDeliveries(100));
    expect(packets.map((packet) => [packet.sequence, packet.events.map(text)])).toEqual([[0n, sent]]);
    pair.pass(10_000);
    expect([credit(), pair.a.isDrained()]).toEqual([window, true]);
    // A packet that is full, or has left, takes no more in.
    for (let n = 0; n < 3; n++) send(bytes(`${n}`.padEnd(200, '.')));
    pair.settle();
    send(bytes('last'));
    pair.settle();
    expect(readPackets(pair.b.takeDeliveries(100)).map((packet) => [packet.sequence, packet.events.length])).toEqual([
      [1n, 3],
      [2n, 1],
    ]);
    expect(send(new Uint8Array(8109))).toBe(REFUSED.tooLarge);
  });

  it('what nobody acknowledges has a packet of its own and never waits', () => {
    for (const [extension, reliability] of [
      [1, RELIABILITY.once],
      [0, RELIABILITY.full],
      [0, RELIABILITY.once],
    ] as const) {
      const pair = new Pair(extension);
      pair.join();
      const stream = pair.a.openStream(pair.now, 0x2222n, 5n, reliability, 65_536, 1);
      for (let n = 0; n < 3; n++) {
        const { bytes: frames, length } = frame([bytes(`event ${n}`)]);
        expect(pair.a.sendSoon(pair.now, stream, frames, length, 1, false)).toBe(1);
      }
      pair.settle();
      const packets = readPackets(pair.b.takeDeliveries(100));
      expect(packets.map((packet) => [packet.sequence, packet.events.map(text)])).toEqual([
        [0n, ['event 0']],
        [1n, ['event 1']],
        [2n, ['event 2']],
      ]);
    }
  });

  it('loses nothing on a reliable stream when every third datagram is lost', () => {
    const pair = new Pair();
    pair.join();
    pair.drop = (index) => index % 3 === 0;
    const stream = pair.a.openStream(pair.now, 0x2222n, 5n, RELIABILITY.full, 0, 1);
    const got: string[] = [];
    for (let n = 0; n < 100; n++) {
      const { bytes: frames, length } = frame([bytes(`event ${n}`)]);
      expect(pair.a.send(pair.now, stream, frames, length, 1, false, 0, 0)).toBe(1);
      pair.pass(1000);
    }
    for (let round = 0; round < 200 && got.length < 100; round++) {
      pair.pass(100_000);
      for (const packet of readPackets(pair.b.takeDeliveries(100))) got.push(...packet.events.map(text));
    }
    expect(got).toEqual(Array.from({ length: 100 }, (_, n) => `event ${n}`));
  });

  it('hands messages of subprotocols up as happenings, and refuses in numbers', () => {
    const pair = new Pair(0);
    pair.join();
    pair.b.takeEvents();
    const { bytes: frames, length } = frame([bytes('subscribe')]);
    expect(pair.a.sendTo(pair.now, 0x2222n, 0x0a00, frames, length, 1)).toBe(1);
    pair.settle();
    const [message] = readHappenings(pair.b.takeEvents());
    expect(message).toMatchObject({ kind: 'message', packet: { subprotocol: 0x0a00, peer: 0x1111n } });
    expect(pair.a.sendTo(pair.now, 0x9999n, 0, frames, length, 1)).toBe(REFUSED.notConnected);
    const stream = pair.a.openStream(pair.now, 0x2222n, 5n, RELIABILITY.once, 50, 1);
    expect(pair.a.send(pair.now, stream, frames, length, 1, false, 0, 0)).toBe(REFUSED.backpressure);
    expect(pair.a.send(pair.now, stream, frames, length, 2, false, 0, 0)).toBe(REFUSED.badFrames);
    expect(() => pair.a.openStream(pair.now, 0x9999n, 1n, RELIABILITY.once, 0, 1)).toThrow('no-session');
    expect(() => pair.a.openStream(pair.now, 0x2222n, 2n ** 64n - 1n, RELIABILITY.once, 0, 1)).toThrow('reserved');
    expect(() => pair.a.connect(pair.now, CALL.routed, '', pair.b.publicKey(), 0x9999n)).toThrow('no-route');
  });

  it('a learned route replaces a worse one, never one of a session, and never leads to the node itself', () => {
    const pair = new Pair();
    pair.join();
    const routes = () => JSON.parse(pair.a.routes()) as { id: string; nextHop: string; metric: number }[];
    const far = () => routes().find(({ id }) => id === '13107');
    pair.a.learnRoute(pair.now, 0x3333n, 'link:8', 4);
    expect(far()).toMatchObject({ nextHop: 'link:8', metric: 4 });
    pair.a.learnRoute(pair.now, 0x3333n, 'link:9', 5);
    expect(far()).toMatchObject({ nextHop: 'link:8', metric: 4 });
    pair.a.learnRoute(pair.now, 0x3333n, 'link:9', 3);
    expect(far()).toMatchObject({ nextHop: 'link:9', metric: 3 });
    pair.a.learnRoute(pair.now, 0x2222n, 'link:9', 2);
    pair.a.learnRoute(pair.now, 0x1111n, 'link:9', 2);
    expect(routes().filter(({ id }) => id !== '13107')).toEqual([{ id: '8738', nextHop: 'link:7', metric: 1 }]);
    expect(() => pair.a.learnRoute(pair.now, 0x3333n, 'nowhere', 3)).toThrow('bad-address');
  });

  it('shutdown says goodbye', () => {
    const pair = new Pair();
    pair.join();
    pair.b.takeEvents();
    pair.a.shutdown(pair.now);
    pair.settle();
    expect(readHappenings(pair.b.takeEvents())).toEqual([{ kind: 'peer', peer: 0x1111n, change: 'left' }]);
    expect(pair.b.peerCount()).toBe(0);
  });
});
