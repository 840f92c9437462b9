import { afterEach, describe, expect, it } from 'vitest';
import { BusLink, type BusLinkOptions, NetMesh } from '../../src/mesh/index.js';
import { LivePeer } from './live-peer.js';
import { peerMissing } from './python.js';

const PSK = '42'.repeat(32);
// X25519 key pair of the responder: any 32 bytes are a secret.
const SECRET = '07'.repeat(32);

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10));
}

async function freeAddress(): Promise<string> {
  const probe = await NetMesh.create({ bindAddr: '127.0.0.1:0', psk: PSK });
  const address = probe.localAddress();
  await probe.shutdown({ drainMs: 0 });
  return address;
}

/** Public key of a secret: that of a node which uses it. */
async function publicKey(secret: string): Promise<string> {
  const node = await NetMesh.create({ bindAddr: '127.0.0.1:0', psk: PSK, staticKey: Buffer.from(secret, 'hex') });
  const key = node.publicKey();
  await node.shutdown({ drainMs: 0 });
  return key;
}

const TEXTS = Array.from({ length: 500 }, (_, n) => `{"n":${n}}`);
const links: BusLink[] = [];
const peers: LivePeer[] = [];

async function open(options: Omit<BusLinkOptions, 'psk'>): Promise<BusLink> {
  const link = await BusLink.open({ psk: PSK, handshakeTimeoutMs: 2000, ...options });
  links.push(link);
  return link;
}

function collect(link: BusLink): string[] {
  const got: string[] = [];
  link.onEvents((events) => got.push(...events.map((event) => Buffer.from(event.bytes).toString())));
  return got;
}

afterEach(async () => {
  for (const link of links.splice(0)) await link.close();
  for (const peer of peers.splice(0)) peer.kill();
});

describe.each([true, false])('bus link between two of ours, reliable %s', (reliable) => {
  it('carries events both ways and notices the end', async () => {
    const [a, b] = [await freeAddress(), await freeAddress()];
    const [one, two] = await Promise.all([
      open({ bind: a, peer: b, peerPublicKey: await publicKey(SECRET), reliable }),
      open({ bind: b, peer: a, role: 'responder', secretKey: SECRET, reliable }),
    ]);
    expect([one.protocol, two.protocol]).toEqual(['meshring', 'meshring']);
    for (const [from, to] of [
      [one, two],
      [two, one],
    ] as const) {
      const got = collect(to);
      const events = TEXTS.map((text) => Buffer.from(text));
      expect(from.send(3, events)).toBe(500);
      await until(() => got.length === 500);
      expect(got).toEqual(TEXTS);
      await from.flush();
    }
    expect(() => one.send(0, [Buffer.alloc(8109)])).toThrow('connection error: event too large (8109 > 8108)');
    await two.close();
    await until(() => !one.connected);
    expect(() => one.send(0, [Buffer.from('x')])).toThrow('connection error: no session');
    // The initiator finds the responder again.
    await open({ bind: b, peer: a, role: 'responder', secretKey: SECRET, reliable });
    await until(() => one.connected);
  });
});

it('nobody answers: a time-out', async () => {
  const work = BusLink.open({
    bind: '127.0.0.1:0',
    peer: await freeAddress(),
    psk: PSK,
    peerPublicKey: await publicKey(SECRET),
    handshakeTimeoutMs: 60,
  });
  await expect(work).rejects.toThrow('connection error: handshake timeout');
});

describe.skipIf(peerMissing)('bus link with the published peer', () => {
  const START = `global bus
bus = net.Net(num_shards=1, net_bind_addr=given["bind"], net_peer_addr=given["peer"], net_psk=given["psk"], net_role=given["role"],
    net_peer_public_key=given.get("peerKey"), net_secret_key=given.get("secret"), net_public_key=given.get("key"),
    net_reliability=given["reliability"])`;
  const RECEIVE = `answer = []
cursor = None
end = time.time() + 10
while len(answer) < given and time.time() < end:
    answer += [e.raw for e in bus.poll(limit=1000)]
    time.sleep(0.02)`;

  it.each([
    ['initiator', 'none'],
    ['initiator', 'light'],
    ['responder', 'none'],
    ['responder', 'full'],
  ] as const)('we are %s, reliability %s', async (role, reliability) => {
    const [ours, theirs] = [await freeAddress(), await freeAddress()];
    const key = await publicKey(SECRET);
    const peer = new LivePeer();
    peers.push(peer);
    const reliable = reliability !== 'none';
    const begun = peer.run(START, {
      bind: theirs,
      peer: ours,
      psk: PSK,
      reliability,
      ...(role === 'initiator' ? { role: 'responder', secret: SECRET, key } : { role: 'initiator', peerKey: key }),
    });
    const link = await open(
      role === 'initiator'
        ? { bind: ours, peer: theirs, peerPublicKey: key, reliable }
        : { bind: ours, peer: theirs, role, secretKey: SECRET, reliable },
    );
    await begun;
    expect(link.protocol).toBe('net-0.19');
    const got = collect(link);
    expect(
      link.send(
        0,
        TEXTS.map((text) => Buffer.from(text)),
      ),
    ).toBe(500);
    expect(await peer.run<string[]>(RECEIVE, 500)).toEqual(TEXTS);
    await peer.run('for t in given: bus.ingest_raw(t)', TEXTS);
    await until(() => got.length === 500);
    expect([...got].sort()).toEqual([...TEXTS].sort());
  });
});
