import { describe, expect, it } from 'vitest';
import { CALL, RELIABILITY } from '../../src/backend/mesh.js';
import { canonicalChannelHash, publishStreamId, wireChannelHash } from '../../src/channels/index.js';
import { type Packet, readPackets } from '../../src/mesh/batch.js';
import { PUBLISHED } from '../../src/mesh/control/fanout.js';
import { frame } from '../../src/mesh/frames.js';
import { EngineNet, type NetEngine } from './engine-net.js';

const bytes = (value: string) => new TextEncoder().encode(value);
const RELIABLE = 0x100;
const STOPS = 0x200;
const streamOf = (channel: string) => publishStreamId(canonicalChannelHash(channel));

/** A publisher and its subscribers, connected one by one. */
class Channels extends EngineNet {
  readonly publisher: NetEngine;
  readonly subscribers: NetEngine[] = [];

  constructor(subscribers: number, extension = 1) {
    super();
    this.publisher = this.add(0x1111n, extension);
    for (let n = 0; n < subscribers; n++) {
      const one = this.add(0x2000n + BigInt(n), extension);
      this.link(`link:${n}`, this.publisher, one);
      this.connect(this.publisher, one, `link:${n}`);
      this.subscribers.push(one);
    }
  }

  get first(): NetEngine {
    return this.subscribers[0] as NetEngine;
  }

  /** Grants the channel to all. */
  grant(channel: string): number {
    const numbers = this.subscribers.map(({ id }) => this.publisher.raw.grantChannel(id, channel));
    expect(new Set(numbers).size).toBe(1);
    return numbers[0] as number;
  }

  publish(channel: number, payloads: string[], flags = 0, to = this.subscribers.map(({ id }) => id)): number[] {
    const { bytes: frames, length } = frame(payloads.map(bytes));
    const outcomes = new Int8Array(to.length).fill(99);
    const { raw } = this.publisher;
    const ids = BigUint64Array.from(to);
    const sent = raw.publish(this.now, channel, ids, frames, length, payloads.length, flags, outcomes);
    expect(sent).toBe(outcomes.filter((outcome) => outcome === PUBLISHED.sent).length);
    return [...outcomes];
  }

  /** What a subscriber received: the number of the channel and the payload of each event. */
  received({ raw }: NetEngine): [number, string][] {
    this.settle();
    return readPackets(raw.takeDeliveries(1000)).flatMap(({ channel, events }) =>
      events.map((event): [number, string] => [channel, new TextDecoder().decode(event)]),
    );
  }
}

describe('outbound publishes', () => {
  it('reach those who are granted the channel, in one call, and nobody else', () => {
    const net = new Channels(4);
    const [a, b, c, d] = net.subscribers.map(({ id }) => id);
    const news = net.grant('news');
    expect(net.publisher.raw.grantChannel(a as bigint, 'news')).toBe(news);
    expect(net.publisher.raw.revokeChannel(c as bigint, 'news')).toBe(true);
    expect(net.publisher.raw.revokeChannel(c as bigint, 'news')).toBe(false);
    net.publisher.raw.disconnect(net.now, d as bigint);
    expect(net.publish(news, ['x', 'y'])).toEqual([0, 0, PUBLISHED.notGranted, PUBLISHED.noSession]);
    for (const subscriber of net.subscribers) {
      const plain = subscriber.id === a || subscriber.id === b ? ['x', 'y'] : [];
      expect(net.received(subscriber).map(([, event]) => event)).toEqual(plain);
    }
    expect(net.publish(news + 1, ['x'])).toEqual(Array(4).fill(PUBLISHED.notGranted));
    for (const id of [a, b, d]) net.publisher.raw.revokeChannel(id as bigint, 'news');
    // A number that nobody holds any more is never used again.
    expect(net.publish(news, ['x'])).toEqual(Array(4).fill(PUBLISHED.notGranted));
    expect(net.grant('news')).toBeGreaterThan(news);
  });

  it('carry stream, hash, origin, priority and reliability in their header; subnet and hops only between our nodes', () => {
    for (const extension of [1, 0]) {
      const net = new Channels(1, extension);
      net.publisher.raw.identify(0x0307_0000, 0xdead_beef);
      const channel = net.grant('sensors/temp');
      const packets: DataView[] = [];
      net.drop = (_, datagram) => {
        packets.push(new DataView(datagram.slice().buffer));
        return false;
      };
      for (const flags of [0, 200 | RELIABLE]) net.publish(channel, ['x'], flags);
      net.publisher.raw.sendTo(net.now, net.first.id, 0, frame([bytes('push')]).bytes, 8, 1);
      net.settle();
      const stream = streamOf('sensors/temp');
      const published = packets.filter(
        (packet) => packet.getBigUint64(32, true) === stream && packet.getUint16(8) === 0,
      );
      expect(published).toHaveLength(2);
      for (const [n, packet] of published.entries()) {
        expect([packet.getUint8(4), packet.getUint16(10, true), packet.getUint32(52, true)]).toEqual([
          n === 0 ? 0 : 200,
          0x172d,
          0xdead_beef,
        ]);
        // Its stream was opened by the first publish, which was not reliable.
        expect(packet.getUint8(3) & 1).toBe(0);
        expect([packet.getUint32(48, true), packet.getUint8(5)]).toEqual(extension ? [0x0307_0000, 8] : [0, 0]);
      }
      const push = packets.find((packet) => packet.getBigUint64(32, true) === 0n && packet.getUint16(62, true) === 1);
      expect([push?.getUint8(4), push?.getUint16(10), push?.getUint32(52)]).toEqual([0, 0, 0]);
    }
  });

  it('reliable ones carry the flag', () => {
    const net = new Channels(1);
    const flags: number[] = [];
    net.drop = (_, datagram) => {
      if (new DataView(datagram.buffer).getBigUint64(32, true) === streamOf('a')) flags.push((datagram[3] ?? 0) & 1);
      return false;
    };
    net.publish(net.grant('a'), ['x'], RELIABLE);
    net.settle();
    expect(flags[0]).toBe(1);
  });

  it('without credit: the outcome says so, and stops the others when asked', () => {
    const net = new Channels(3, 0);
    const channel = net.grant('big');
    const full = net.first;
    net.drop = () => true;
    const payload = 'x'.repeat(8000);
    for (let n = 0; n < 8; n++) expect(net.publish(channel, [payload], 0, [full.id])).toEqual([0]);
    net.settle();
    const { backpressure, notTried, sent } = PUBLISHED;
    expect(net.publish(channel, [payload])).toEqual([backpressure, sent, sent]);
    expect(net.publish(channel, [payload], STOPS)).toEqual([backpressure, notTried, notTried]);
    expect(() =>
      net.publisher.raw.publish(net.now, channel, new BigUint64Array(1), bytes('ab'), 3, 1, 0, new Int8Array(1)),
    ).toThrow('length beyond the frames');
    expect(net.publish(channel, ['x'.repeat(9000)])).toEqual([-4, -4, -4]);
  });
});

describe('inbound publishes', () => {
  it('carry the number that they are expected under; others are counted for their sender', () => {
    const net = new Channels(1);
    const { raw } = net.first;
    const [wanted, other] = [net.grant('wanted'), net.grant('other')];
    expect(raw.expectChannel(0x1111n, streamOf('wanted'), 7)).toBe(true);
    expect(raw.expectChannel(0x9999n, streamOf('other'), 8)).toBe(true);
    expect(raw.expectChannel(0x1111n, streamOf('wanted'), 0)).toBe(false);
    net.publish(wanted, ['a', 'b']);
    net.publish(other, ['not asked for']);
    expect(net.received(net.first)).toEqual([
      [7, 'a'],
      [7, 'b'],
      [0, 'not asked for'],
    ]);
    const unsolicited = () => [
      JSON.parse(raw.stats()).unsolicited,
      JSON.parse(raw.peers()).map((peer: { unsolicited: number }) => peer.unsolicited),
    ];
    expect(unsolicited()).toEqual([1, [1]]);
    raw.expectChannel(0x1111n, streamOf('wanted'), 9);
    net.publish(wanted, ['c']);
    expect(net.received(net.first)).toEqual([[9, 'c']]);
    expect([raw.forgetChannel(0x1111n, streamOf('wanted')), raw.forgetChannel(0x1111n, streamOf('wanted'))]).toEqual([
      true,
      false,
    ]);
    raw.dropUnsolicited(true);
    net.publish(wanted, ['d'], RELIABLE);
    expect(net.received(net.first)).toEqual([]);
    expect(unsolicited()).toEqual([2, [2]]);
    net.pass(100_000);
    // What was dropped is acknowledged all the same.
    expect(net.publisher.raw.isDrained()).toBe(true);
  });

  it('a service is open to every peer; a peer’s own number comes first', () => {
    const net = new Channels(1);
    const { raw } = net.first;
    const channel = net.grant('echo.requests');
    raw.expectChannel(0n, streamOf('echo.requests'), 5);
    net.publish(channel, ['call']);
    expect(net.received(net.first)).toEqual([[5, 'call']]);
    raw.expectChannel(0x1111n, streamOf('echo.requests'), 6);
    net.publish(channel, ['mine']);
    expect(net.received(net.first)).toEqual([[6, 'mine']]);
    expect(JSON.parse(raw.stats()).unsolicited).toBe(0);
  });

  it('a channel hash that was left in another packet says nothing', () => {
    const net = new Channels(1);
    const { raw } = net.publisher;
    net.first.raw.dropUnsolicited(true);
    const stale = wireChannelHash(canonicalChannelHash('a'));
    const stream = streamOf('a');
    net.first.raw.expectChannel(0x1111n, stream, 7);
    // Another stream; the right stream with another hash; a stream whose number ends like the hash.
    for (const [id, hash] of [
      [5n, stale],
      [stream, stale ^ 1],
      [BigInt(stale), stale],
    ] as const) {
      const { bytes: frames, length } = frame([bytes('x')]);
      raw.send(
        net.now,
        raw.openStream(net.now, net.first.id, id, RELIABILITY.once, 65_536, 1),
        frames,
        length,
        1,
        false,
        hash,
        1,
      );
    }
    net.settle();
    const packets: Packet[] = readPackets(net.first.raw.takeDeliveries(10));
    expect(packets.map(({ channel, isPublish }) => [channel, isPublish])).toEqual(Array(3).fill([0, false]));
    expect(JSON.parse(net.first.raw.stats()).unsolicited).toBe(0);
  });
});

describe('gateways', () => {
  const [LOCAL, UPWARD, EXPORTED, GLOBAL, UNKNOWN] = [0, 1, 2, 3, 4];

  /** Two nodes with a relay between them, of which the first publishes to the second. */
  function relayed(extension = 1) {
    const net = new EngineNet();
    const [from, relay, to] = [net.add(1n, extension), net.add(2n), net.add(3n, extension)];
    net.link('link:1', from, relay);
    net.link('link:2', relay, to);
    net.connect(from, relay, 'link:1');
    net.connect(to, relay, 'link:2');
    net.connect(from, to, 'link:1', CALL.via);
    from.raw.identify(0x0307_0000, 0);
    const channel = from.raw.grantChannel(to.id, 'a');
    const hash = wireChannelHash(canonicalChannelHash('a'));
    const { bytes: frames, length } = frame([bytes('x')]);
    /** Whether a publish arrives. */
    const arrives = () => {
      const outcomes = new Int8Array(1);
      from.raw.publish(net.now, channel, BigUint64Array.of(to.id), frames.slice(), length, 1, 0, outcomes);
      expect([...outcomes]).toEqual([0]);
      net.settle();
      return readPackets(to.raw.takeDeliveries(10)).length === 1;
    };
    const counts = () => {
      const { gatewayForwarded, gatewayDropped } = JSON.parse(relay.raw.stats());
      return [gatewayForwarded, gatewayDropped];
    };
    return { net, from, relay: relay.raw, to, hash, arrives, counts };
  }

  it('relay what a channel’s visibility lets out of the sender’s subnet', () => {
    const { relay, to, hash, arrives, counts } = relayed();
    const none = new Uint32Array(0);
    expect([arrives(), counts()]).toEqual([true, [0, 0]]);
    relay.setGateway(true, false);
    const table: [visibility: number, exports: number[], dest: number | undefined, passes: boolean][] = [
      [UNKNOWN as number, [], 0x0307_0000, false],
      [GLOBAL as number, [], 0x0400_0000, true],
      [LOCAL as number, [], 0x0307_0000, false],
      [UPWARD as number, [], 0x0307_0000, true],
      [UPWARD as number, [], 0x0300_0000, true],
      [UPWARD as number, [], 0x0308_0000, false],
      [UPWARD as number, [], 0x0307_0200, false],
      [UPWARD as number, [], undefined, true],
      [EXPORTED as number, [], 0x0400_0000, false],
      [EXPORTED as number, [0x0400_0000], 0x0405_0000, true],
      [EXPORTED as number, [0x0400_0000], undefined, false],
    ];
    for (const [visibility, exports, dest, passes] of table) {
      relay.gatewayRule(hash, visibility, exports.length > 0 ? Uint32Array.from(exports) : none);
      relay.gatewaySubnet(to.id, dest);
      expect([visibility, exports, dest, arrives()]).toEqual([visibility, exports, dest, passes]);
    }
    expect(counts()).toEqual([5, 6]);
    relay.setGateway(true, true);
    relay.gatewayRule(hash, UPWARD as number, none);
    expect(arrives()).toBe(false);
    relay.gatewayRule(hash, GLOBAL as number, none);
    expect(arrives()).toBe(true);
    relay.setGateway(false, false);
    relay.gatewayRule(hash, LOCAL as number, none);
    expect([arrives(), counts()]).toEqual([true, [0, 0]]);
  });

  it('count themselves in the packet, and end one whose hops are used up', () => {
    const { net, relay, hash, arrives } = relayed();
    relay.setGateway(true, false);
    relay.gatewayRule(hash, GLOBAL as number, new Uint32Array(0));
    const hops: number[][] = [];
    net.drop = (_, datagram) => {
      // Packets behind a routing header: hop ttl and hop count.
      if (datagram[0] === 0x52 && datagram[18 + 10] === (hash & 255)) hops.push([...datagram.subarray(23, 25)]);
      return false;
    };
    expect(arrives()).toBe(true);
    expect(hops).toEqual([
      [8, 0],
      [8, 1],
    ]);
    net.drop = (_, datagram) => {
      // The count is not authenticated: whoever sets it high ends the packet.
      if (datagram[0] === 0x52 && datagram[18 + 10] === (hash & 255)) datagram[24] = 8;
      return false;
    };
    expect(arrives()).toBe(false);
  });

  it('publishes of nodes that allow no hop stay where they are; everything else passes', () => {
    const { net, from, relay, to, hash, arrives, counts } = relayed(0);
    relay.setGateway(true, false);
    relay.gatewayRule(hash, GLOBAL as number, new Uint32Array(0));
    expect([arrives(), counts()]).toEqual([false, [0, 1]]);
    const { bytes: frames, length } = frame([bytes('x')]);
    from.raw.send(
      net.now,
      from.raw.openStream(net.now, to.id, 5n, RELIABILITY.once, 0, 1),
      frames,
      length,
      1,
      false,
      0,
      0,
    );
    net.settle();
    expect(readPackets(to.raw.takeDeliveries(10))).toHaveLength(1);
  });
});
