import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NetNode } from '../../src/node.js';
import type { NetNodeConfig } from '../../src/types.js';
import { noRedis, startRedis, type TestServer } from '../durable/servers.js';
import { peerMissing, runPeer } from './python.js';

const WRITE = `
import time, net
a = given
bus = net.Net(num_shards=a["shards"], redis_url=a["url"], redis_prefix=a["prefix"])
receipts = []
for raw in a["events"]:
    r = bus.ingest_raw(raw)
    receipts.append([raw, r.shard_id, r.timestamp])
end = time.time() + 10
while time.time() < end:
    if len(bus.poll(limit=5000).events) >= len(receipts): break
    time.sleep(0.02)
bus.shutdown()
answer = receipts
`;
const READ = `
import net
a = given
bus = net.Net(num_shards=a["shards"], redis_url=a["url"], redis_prefix=a["prefix"])
p = bus.poll(limit=a["limit"], cursor=a.get("cursor"), filter=a.get("filter"))
answer = {"events": [[e.raw, e.shard_id, e.insertion_ts, e.id] for e in p.events], "next": p.next_id, "more": p.has_more}
bus.shutdown()
`;

interface Page {
  events: [string, number, number, string][];
  next: string | null;
  more: boolean;
}

const EVENTS = [
  '{"a":1}',
  '{"b":  1.0, "z":"é"}',
  '1',
  '"x"',
  '[1, {"c":null}]',
  'null',
  '{"t":5,"s":9,"r":1}',
  '-0.5e3',
  '"\\ud83d\\ude00 😀"',
  ...Array.from({ length: 200 }, (_, n) => `{"n":${n}}`),
];

describe.skipIf(peerMissing || noRedis)('Redis Streams shared with the published peer', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server?.stop());
  const url = () => `redis://127.0.0.1:${server.port}`;
  const config = (prefix: string): NetNodeConfig => ({ shards: 2, transport: { type: 'redis', url: url(), prefix } });
  const peer = <T>(script: string, input: object) => runPeer(script, { url: url(), shards: 2, ...input }) as T;

  it('what the peer writes is read here: same text, shard, time stamp and order', async () => {
    const receipts = peer<[string, number, number][]>(WRITE, { prefix: 'peer', events: EVENTS });
    const node = await NetNode.create(config('peer'));
    const { events, hasMore } = await node.poll({ limit: 1000 });
    expect(hasMore).toBe(false);
    for (const shard of [0, 1]) {
      const wanted = receipts.filter((receipt) => receipt[1] === shard);
      const found = events.filter(({ shardId }) => shardId === shard);
      expect(found.map(({ raw, shardId, insertionTs }) => [raw, shardId, insertionTs])).toEqual(wanted);
    }
    for (const { dedupId } of events) expect(dedupId).toMatch(/^[1-9a-f][0-9a-f]{0,15}:\d+:\d+:\d+$/);
    await node.shutdown();
  });

  it('what is written here is read by the peer, and both route alike', async () => {
    const node = await NetNode.create(config('ours'));
    const receipts = EVENTS.map((raw) => ({ raw, ...node.emitRaw(raw) }));
    await node.flush();
    const { events } = peer<Page>(READ, { prefix: 'ours', limit: 1000 });
    for (const shard of [0, 1]) {
      const wanted = receipts.filter(({ shardId }) => shardId === shard);
      const found = events.filter(([, shardId]) => shardId === shard);
      expect(found.map(([raw, , timestamp]) => [raw, timestamp])).toEqual(
        wanted.map(({ raw, timestamp }) => [raw, timestamp]),
      );
    }
    const routed = peer<[string, number, number][]>(WRITE, { prefix: 'routed', events: EVENTS });
    expect(routed.map(([, shard]) => shard)).toEqual(receipts.map(({ shardId }) => shardId));
    await node.shutdown();
  });

  it('a cursor taken by one continues in the other', async () => {
    const node = await NetNode.create(config('cursor'));
    node.emitRawBatch(EVENTS);
    await node.flush();
    const seen: string[] = [];
    let cursor: string | undefined;
    for (let turn = 0; ; turn++) {
      let more: boolean;
      if (turn % 2 === 0) {
        const page = await node.poll({ limit: 17, ...(cursor === undefined ? {} : { cursor }) });
        seen.push(...page.events.map(({ shardId, id }) => `${shardId}/${id}`));
        [cursor, more] = [page.nextId, page.hasMore];
      } else {
        const page = peer<Page>(READ, { prefix: 'cursor', limit: 17, cursor });
        seen.push(...page.events.map(([, shard, , id]) => `${shard}/${id}`));
        [cursor, more] = [page.next ?? cursor, page.more];
      }
      if (!more) break;
    }
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen.length).toBe(EVENTS.length);
    await node.shutdown();
  });

  it('bytes that are not JSON come back here, and do not stop the peer', async () => {
    const node = await NetNode.create({ ...config('bytes'), shards: 1 });
    node.emitBuffer(Buffer.from([0xff, 1, 2]));
    node.emitRaw('{"after":1}');
    await node.flush();
    const { events } = await node.poll({ limit: 10 });
    expect(events.map(({ raw, rawBytes }) => [raw, [...(rawBytes ?? [])].length])).toEqual([
      ['', 3],
      ['{"after":1}', 11],
    ]);
    const page = peer<Page>(READ, { prefix: 'bytes', limit: 10, shards: 1 });
    expect(page.events.map(([raw]) => raw)).toEqual(['{"$bytes":"/wEC"}', '{"after":1}']);
    await node.shutdown();
  });
});
