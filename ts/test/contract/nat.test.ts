import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { NatClass } from '../../src/capabilities/index.js';
import type { Packet } from '../../src/mesh/batch.js';
import {
  decodeAddress,
  encodeAddress,
  formatAddress,
  isSendable,
  linkOf,
  parseAddress,
  type SocketAddress,
} from '../../src/mesh/nat/address.js';
import { classify, pairAction } from '../../src/mesh/nat/classify.js';
import type { NatHost } from '../../src/mesh/nat/host.js';
import { decodeRendezvous, encodeRendezvous, type Rendezvous } from '../../src/mesh/nat/messages.js';
import { Traversal } from '../../src/mesh/nat/traversal.js';
import { Waiters } from '../../src/mesh/nat/waiters.js';
import nat from '../vectors/nat-messages.json';

const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
const unhex = (text: string) => Uint8Array.from(text.match(/../g) ?? [], (two) => Number.parseInt(two, 16));

function address(text: string): SocketAddress {
  const found = parseAddress(text);
  if (!found) throw new Error(`${text} is no address`);
  return found;
}

function holds(message: Rendezvous, bytes: string): void {
  expect(hex(encodeRendezvous(message))).toBe(bytes);
  expect(decodeRendezvous(unhex(bytes))).toEqual(message);
}

describe('messages of NAT traversal', () => {
  it.each(nat.reflexResponse)('address $address', ({ address: text, bytes }) => {
    expect(hex(encodeAddress(address(text)))).toBe(bytes);
    expect(decodeAddress(unhex(bytes))).toEqual(address(text));
    expect(formatAddress(address(text))).toBe(text);
  });

  it.each(nat.punchRequest)('request for $target', ({ target, selfReflex, bytes }) => {
    holds({ kind: 'request', target: BigInt(target), reflex: address(selfReflex) }, bytes);
  });

  it.each(nat.punchIntroduce)('introduction of $peer', ({ peer, peerReflex, fireAtMs, bytes }) => {
    const reflex = address(peerReflex);
    holds({ kind: 'introduce', peer: BigInt(peer), reflex, fireAtMs: BigInt(fireAtMs) }, bytes);
  });

  it.each(nat.punchAck)('acknowledgement of $fromPeer', ({ fromPeer, toPeer, punchId, bytes }) => {
    holds({ kind: 'ack', from: BigInt(fromPeer), to: BigInt(toPeer), punchId }, bytes);
  });

  it.each(nat.malformed.filter(({ on }) => on !== 'keepalive'))('malformed $on $bytes', ({ on, bytes }) => {
    const read = on === 'reflex' ? decodeAddress : decodeRendezvous;
    expect(read(unhex(bytes))).toBeUndefined();
  });

  it('any bytes are read as the same message again, or not at all', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const message = decodeRendezvous(bytes);
        if (message) expect(decodeRendezvous(encodeRendezvous(message))).toEqual(message);
      }),
    );
  });

  it('addresses of IPv6 are canonical, and IPv4 within IPv6 is IPv4', () => {
    expect(formatAddress(address('[2001:DB8:0:0:1:0:0:1]:7'))).toBe('[2001:db8::1:0:0:1]:7');
    expect(formatAddress(address('[::ffff:192.0.2.1]:7'))).toBe('192.0.2.1:7');
    expect(linkOf(address('192.0.2.1:7'), address('[::]:1'))).toBe('[::ffff:192.0.2.1]:7');
    expect(linkOf(address('192.0.2.1:7'), address('0.0.0.0:1'))).toBe('192.0.2.1:7');
    expect(['1.2.3.4', '1.2.3.4:65536', 'localhost:1', '[::1]', '::1:5'].map(parseAddress)).toEqual(
      new Array(5).fill(undefined),
    );
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.integer({ min: 0, max: 65_535 }), (ip, port) => {
        const text = formatAddress({ ip, port });
        expect(formatAddress(address(text))).toBe(
          text.startsWith('[::ffff:') ? formatAddress({ ip: ip.slice(12), port }) : text,
        );
      }),
    );
  });

  it('nobody is made to send to groups, to nowhere or to itself', () => {
    const [outside, inside] = [address('10.0.0.1:1'), address('127.0.0.1:1')];
    for (const text of ['0.0.0.0:1', '224.0.0.1:1', '255.255.255.255:1', '203.0.113.5:0', '[::]:1', '[ff02::1]:1']) {
      expect(isSendable(address(text), outside)).toBe(false);
    }
    for (const text of ['127.0.0.1:1', '[::1]:1']) {
      expect([isSendable(address(text), outside), isSendable(address(text), inside)]).toEqual([false, true]);
    }
    expect(isSendable(address('203.0.113.5:9'), outside)).toBe(true);
    // On the wire an address of IPv4 can come as one of IPv6.
    const [ipv6, mapped] = [address('[2001:db8::5]:1'), new Uint8Array(19)];
    mapped.set([6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
    for (const ip of [
      [127, 0, 0, 1],
      [224, 0, 0, 1],
      [255, 255, 255, 255],
      [0, 0, 0, 0],
    ]) {
      mapped.set([...ip, 0x23, 0x29], 13);
      const read = decodeAddress(mapped);
      expect(read && { text: formatAddress(read), sendable: isSendable(read, ipv6) }).toEqual({
        text: `${ip.join('.')}:9001`,
        sendable: false,
      });
    }
  });
});

describe('classes', () => {
  it.each(nat.classify)('bound to $bind and seen as $probes: $class', ({ bind, probes, class: expected }) => {
    expect(classify(bind, new Map(probes.map(([peer, seen]) => [BigInt(peer as number), seen as string])))).toBe(
      expected,
    );
  });

  it.each(nat.pairAction)('$local and $remote: $action', ({ local, remote, action }) => {
    expect(pairAction(local as NatClass, remote as NatClass)).toBe(action.replace('single-', '').replace('-punch', ''));
  });
});

describe('without datagrams', () => {
  const id = 7n;
  const nothing = () => () => {};
  const host: NatHost = {
    nodeId: 1n,
    raw: { sendKeepAlive: () => {}, expectKeepAlive: () => false, tryPath: () => false },
    driver: { address: 'link:1', datagrams: false, now: () => 0, flush: () => {} },
    closed: false,
    check: () => {},
    catchUp: () => {},
    hold: nothing,
    sendMessage: () => false,
    onMessage: nothing,
    onPeer: nothing,
    onKeepAlive: nothing,
    onClose: nothing,
    connect: () => Promise.reject(new Error('not to be called')),
  };
  let rendezvous = (_: Packet) => {};
  const listening: NatHost = {
    ...host,
    onMessage: (subprotocol, handler) => {
      if (subprotocol === 0x0d01) rendezvous = handler;
      return () => {};
    },
  };
  const traversal = new Traversal(listening, { setNat: () => {}, get: () => undefined });

  it('a sender of id 0 is unknown and not listened to', () => {
    const reflex = address('203.0.113.5:9');
    const message = { kind: 'introduce', peer: 5n, reflex, fireAtMs: BigInt(Date.now()) } as const;
    let asked = 0;
    host.raw.expectKeepAlive = () => {
      asked += 1;
      return false;
    };
    for (const peer of [0n, 9n]) rendezvous({ peer, events: [encodeRendezvous(message)] } as unknown as Packet);
    expect([asked, traversal.stats().traversalRefused]).toEqual([1, 2]);
  });

  it('what is known can be asked, all else is unsupported', async () => {
    traversal.start();
    expect([traversal.natType(), traversal.reflexAddr(), traversal.peerNatType(id)]).toEqual([
      'unknown',
      null,
      'unknown',
    ]);
    expect(traversal.traversalStats()).toEqual({ punchesAttempted: 0n, punchesSucceeded: 0n, relayFallbacks: 0n });
    const calls: (() => unknown)[] = [
      () => traversal.probeReflex(id),
      () => traversal.reclassifyNat(),
      () => traversal.connectDirect(id, new Uint8Array(32), id),
      () => traversal.setReflexOverride('192.0.2.1:1'),
      () => traversal.clearReflexOverride(),
    ];
    for (const call of calls) {
      await expect((async () => call())()).rejects.toMatchObject({
        message: 'traversal: unsupported',
        kind: 'traversal',
        traversal: 'unsupported',
      });
    }
  });
});

describe('waiting for a coordinator', () => {
  it('only the one that was asked is believed', async () => {
    const waiters = new Waiters<string>();
    const wait = waiters.wait(1n, 7n);
    expect(waiters.complete(1n, 8n, 'forged')).toBe(false);
    expect(waiters.complete(2n, 7n, 'other')).toBe(false);
    expect(waiters.complete(1n, 7n, 'right')).toBe(true);
    expect(await wait.value(60_000)).toBe('right');
    expect(waiters.complete(1n, 7n, 'again')).toBe(false);
  });

  it('a newer wait takes the place, and the older one cleans up only after itself', async () => {
    const waiters = new Waiters<string>();
    const older = waiters.wait(1n, 7n);
    const newer = waiters.wait(1n, 8n);
    expect(await older.value(60_000)).toBeUndefined();
    older.cancel();
    expect(waiters.complete(1n, 8n, 'right')).toBe(true);
    expect(await newer.value(60_000)).toBe('right');
    const late = waiters.wait(1n, 7n);
    expect(await late.value(0)).toBeUndefined();
    expect(waiters.has(1n)).toBe(false);
  });
});
