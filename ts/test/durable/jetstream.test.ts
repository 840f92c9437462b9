import { readFileSync } from 'node:fs';
import { connect, headers, type NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { JetStreamTransport, jetStreamSettings, natsTargets } from '../../src/bus/jetstream/index.js';
import { differences, streamConfig } from '../../src/bus/jetstream/streams.js';
import type { JetStreamOptions } from '../../src/types.js';
import { batch, deliver, numbered, readAll, seeded, started, uniquePrefix } from './batches.js';
import { FaultyProxy, noNats, startNats, type TestServer } from './servers.js';

const vector = JSON.parse(readFileSync(new URL('../vectors/bus-jetstream.json', import.meta.url), 'utf8'));

describe('options of the JetStream transport', () => {
  const url = 'nats://127.0.0.1:4222';
  const refused = (options: Partial<JetStreamOptions>, text: string) =>
    expect(() => jetStreamSettings({ url, ...options })).toThrow(
      `Invalid configuration: invalid configuration: jetstream adapter: invalid configuration: jetstream ${text}`,
    );

  it('refuses what cannot work', () => {
    refused({ url: '' }, 'url must be non-empty');
    refused({ connectTimeoutMs: 0 }, 'connect_timeout must be > 0');
    refused({ requestTimeoutMs: 0 }, 'request_timeout must be > 0');
    refused({ maxMessages: -1 }, 'max_messages must be non-negative (got -1)');
    refused({ maxBytes: -2 }, 'max_bytes must be non-negative (got -2)');
    refused({ replicas: 0 }, 'replicas must be >= 1');
    refused({ storage: 'disk' as 'file' }, "storage must be 'file' or 'memory'");
    for (const prefix of ['a.b', 'a*', '>', 'a b', 'a/b', 'a\\b', '', 'a\n']) {
      expect(() => jetStreamSettings({ url, prefix })).toThrow('is not usable in a stream name');
    }
  });

  it('reads URLs, and never repeats them in an error', () => {
    expect(natsTargets('nats://u:p%40s@h:1,tls://t@[::1],h2:80')).toMatchObject([
      { host: 'h', port: 1, user: 'u', password: 'p@s', token: undefined, secure: false },
      { host: '::1', port: 4222, user: undefined, token: 't', secure: true },
      { host: 'h2', port: 80, token: undefined, secure: false },
    ]);
    for (const bad of ['redis://secret@h', 'nats://', 'nats://h:x']) {
      expect(() => natsTargets(bad)).toThrow('connection error: JetStream URL did not parse (nats://host:port)');
    }
  });

  it('makes streams as the format says, with a window that fits the age', () => {
    const { prefix, shard, config } = vector.streamConfig;
    expect(streamConfig(jetStreamSettings({ url, prefix }), shard)).toMatchObject(config);
    const window = (options: Partial<JetStreamOptions>) =>
      streamConfig(jetStreamSettings({ url, ...options }), 0).duplicate_window;
    expect(window({ maxAgeMs: 60_000 })).toBe(60_000_000_000);
    expect(window({ maxAgeMs: 10 })).toBe(100_000_000);
    expect(window({ dedupWindowMs: 1000, maxAgeMs: 60_000 })).toBe(1_000_000_000);
  });

  it('names the fields in which a stream differs', () => {
    const wanted = streamConfig(jetStreamSettings({ url, maxMessages: 5 }), 0);
    expect(differences(wanted, wanted)).toEqual([]);
    expect(differences({ ...wanted, max_msgs: 6, storage: 'memory' }, wanted)).toEqual([
      'storage=memory (wanted file)',
      'max_msgs=6 (wanted 5)',
    ]);
  });
});

describe.skipIf(noNats)(`NATS JetStream${noNats ? ` (${noNats})` : ''}`, () => {
  let server: TestServer;
  let client: NatsConnection;
  beforeAll(async () => {
    server = await startNats();
    client = await connect({ servers: `127.0.0.1:${server.port}` });
  });
  afterAll(async () => {
    await client?.close();
    await server?.stop();
  });

  const open: JetStreamTransport[] = [];
  afterAll(() => Promise.all(open.map((transport) => transport.shutdown())));
  async function transport(options: Partial<JetStreamOptions> = {}, warnings: string[] = [], shards = 2) {
    const made = new JetStreamTransport({ url: `nats://127.0.0.1:${server.port}`, prefix: uniquePrefix(), ...options });
    open.push(made);
    return started(made, shards, warnings);
  }
  const stream = async (name: string) => (await client.jetstreamManager()).streams.info(name);

  it('publishes subjects, ids and payloads of the format', async () => {
    for (const { batch: given, stream: name, publishes } of vector.batches) {
      const { prefix, shard, nonce, sequenceStart, events } = given;
      const jet = await transport({ prefix }, [], shard + 1);
      const texts = events.map(({ raw }: { raw: string }) => raw);
      // The time stamp of the second batch is 2^64-1, which JSON.parse cannot hold.
      const timestamps = events.map(({ ts }: { ts: number }) => (ts > 2 ** 53 ? 2n ** 64n - 1n : ts));
      await jet.onBatch(batch(shard, sequenceStart, texts, { nonce: BigInt(nonce), timestamps }));
      const jsm = await client.jetstreamManager();
      for (const [i, { subject, headers: wanted, payload }] of publishes.entries()) {
        const message = await jsm.streams.getMessage(name, { seq: i + 1 });
        expect(message.subject).toBe(subject);
        expect(message.header.get('Nats-Msg-Id')).toBe(wanted['Nats-Msg-Id']);
        expect(message.string()).toBe(payload);
      }
    }
  });

  it('creates streams once, uses existing ones as they are, and says what differs', async () => {
    const prefix = uniquePrefix();
    await transport({ prefix, maxMessages: 100, maxAgeMs: 60_000, storage: 'memory' });
    expect((await stream(`${prefix}_shard_1`)).config).toMatchObject({
      subjects: [`${prefix}.shard.1`],
      max_msgs: 100,
      max_age: 60_000_000_000,
      duplicate_window: 60_000_000_000,
      storage: 'memory',
      allow_direct: true,
    });
    const warnings: string[] = [];
    await transport({ prefix, maxMessages: 200, maxAgeMs: 60_000, storage: 'memory' }, warnings, 1);
    expect(warnings).toEqual([
      `jetstream: stream ${prefix}_shard_0 differs: max_msgs=100 (wanted 200); it is used as it is`,
      `jetstream: stream ${prefix}_shard_1 exists, but only shards below 1 are read; set readShards`,
    ]);
    const strict = transport({ prefix, existingStream: 'error', storage: 'memory' }, [], 1);
    await expect(strict).rejects.toThrow(
      new RegExp(
        `^connection error: stream ${prefix}_shard_0 differs: duplicate_window=.*max_msgs=100 \\(wanted -1\\)`,
      ),
    );
    await expect(transport({ replicas: 3 })).rejects.toThrow(/^connection error: .*replicas/i);
  });

  it('adds nothing when a batch is sent again', async () => {
    const prefix = uniquePrefix();
    const jet = await transport({ prefix });
    const sent = batch(0, 0, numbered(0, 3000));
    await jet.onBatch(sent);
    await jet.onBatch({ ...sent });
    const other = await transport({ prefix });
    await Promise.all([other.onBatch(sent), jet.onBatch(batch(0, 3000, numbered(3000, 3500)))]);
    expect(await readAll(jet, 0)).toEqual(numbered(0, 3500));
    expect((await stream(`${prefix}_shard_0`)).state.messages).toBe(3500);
  });

  it('reads records of others, skips what is not readable, and gaps cost nothing', async () => {
    const prefix = uniquePrefix();
    const warnings: string[] = [];
    const jet = await transport({ prefix }, warnings);
    const js = client.jetstream();
    const payloads = ['{"r":null}', 'junk', '{"r":{"a":1},"t":7,"s":70000}', '{"r":[1, 2],"t":9}', '{"r":"é"}'];
    for (const payload of payloads) await js.publish(`${prefix}.shard.0`, payload);
    const withId = headers();
    withId.set('Nats-Msg-Id', 'ff:0:0:0');
    await js.publish(`${prefix}.shard.0`, '{"r":1}', { headers: withId });
    const jsm = await client.jetstreamManager();
    await jsm.streams.deleteMessage(`${prefix}_shard_0`, 4);
    const { events, nextId, hasMore } = await jet.pollShard(0, undefined, 10);
    expect(events.map(({ id, raw, dedupId }) => [id, String(raw), dedupId])).toEqual([
      ['1', 'null', undefined],
      ['5', '"é"', undefined],
      ['6', '1', 'ff:0:0:0'],
    ]);
    expect([nextId, hasMore]).toEqual(['6', false]);
    expect(warnings).toEqual(['jetstream: shard 0: message 2 is not readable and was skipped']);
    // The same position again, in other sizes, forward and back.
    for (const [after, limit, ids, more] of [
      ['1', 2, [], true],
      ['3', 1, ['5'], true],
      ['5', 1, ['6'], false],
      [undefined, 1, ['1'], true],
      ['18446744073709551615', 5, [], false],
    ] as const) {
      const page = await jet.pollShard(0, after, limit);
      expect([page.events.map(({ id }) => id), page.hasMore], String(after)).toEqual([ids, more]);
    }
  });

  it('pages through a stream, at several positions at once', async () => {
    const jet = await transport();
    await jet.onBatch(batch(0, 0, numbered(0, 5000)));
    for (let round = 0; round < 5; round++) {
      const all = await Promise.all([7000, 1000, 333, 999, 333, 500, 1000].map((page) => readAll(jet, 0, page)));
      for (const events of all) expect(events).toEqual(numbered(0, 5000));
    }
    expect(await readAll(jet, 1)).toEqual([]);
  });

  it('starts later in a stream that was trimmed', async () => {
    const jet = await transport({ maxMessages: 10 });
    await jet.onBatch(batch(0, 0, numbered(0, 25)));
    expect(await readAll(jet, 0, 4)).toEqual(numbered(15, 25));
  });

  it('wakes a waiting reader on arrival and lets it go when told', async () => {
    const prefix = uniquePrefix();
    const jet = await transport({ prefix });
    const writer = await transport({ prefix });
    await writer.onBatch(batch(0, 0, ['1']));
    await jet.waitForData(new Map([[0, undefined]]), new AbortController().signal);
    for (let round = 1; round <= 20; round++) {
      const { nextId } = await jet.pollShard(0, String(round - 1), 10);
      expect(nextId).toBe(String(round));
      const arrival = jet.waitForData(
        new Map([
          [0, nextId],
          [1, undefined],
        ]),
        new AbortController().signal,
      );
      await writer.onBatch(batch(0, round, [String(round)]));
      await arrival;
    }
    const stop = new AbortController();
    const idle = jet.waitForData(new Map([[1, undefined]]), stop.signal);
    stop.abort();
    await idle;
    const end = jet.waitForData(new Map([[1, undefined]]), new AbortController().signal);
    await jet.shutdown();
    await end;
  });

  it('takes the events around one that the server refuses', async () => {
    const jet = await transport();
    const large = `"${'x'.repeat(1_100_000)}"`;
    const failure = jet.onBatch(batch(0, 0, ['1', large, '2', '3']));
    await expect(failure).rejects.toMatchObject({ kind: 'fatal', stored: 3 });
    await expect(failure).rejects.toThrow(/1 events were not stored: an event of 1100002 bytes needs .*max_payload/);
    expect(await readAll(jet, 0)).toEqual(['1', '2', '3']);
    const fits = `"${'x'.repeat(1_000_000)}"`;
    await jet.onBatch(batch(0, 4, [fits]));
    expect((await jet.pollShard(0, '3', 1)).events[0]?.raw.length).toBe(fits.length);
  });

  it('answers a full stream with backpressure', async () => {
    const prefix = uniquePrefix();
    const jsm = await client.jetstreamManager();
    const full = { name: `${prefix}_shard_0`, subjects: [`${prefix}.shard.0`], max_msgs: 5, discard: 'new' };
    await jsm.streams.add(full as Parameters<typeof jsm.streams.add>[0]);
    const jet = await transport({ prefix }, [], 1);
    const sent = batch(0, 0, numbered(0, 8));
    await expect(jet.onBatch(sent)).rejects.toMatchObject({ kind: 'backpressure', message: 'backend backpressure' });
    await jsm.streams.update(`${prefix}_shard_0`, { max_msgs: 100 });
    await jet.onBatch(sent);
    expect(await readAll(jet, 0)).toEqual(numbered(0, 8));
  });

  it('makes a stream anew that somebody removed', async () => {
    const prefix = uniquePrefix();
    const jet = await transport({ prefix });
    await jet.onBatch(batch(0, 0, ['1']));
    await (await client.jetstreamManager()).streams.delete(`${prefix}_shard_0`);
    await deliver(jet, batch(0, 1, ['2']));
    expect(await readAll(jet, 0)).toEqual(['2']);
  });

  it('rides out lost connections: nothing missing, nothing twice, in order', async () => {
    const random = seeded(7);
    const proxy = await FaultyProxy.start(server.port, { cutAfter: () => 500 + Math.floor(random() * 300_000) });
    const prefix = uniquePrefix();
    const jet = await transport({ url: `nats://127.0.0.1:${proxy.port}`, prefix, requestTimeoutMs: 1000 });
    for (let round = 0; round < 10; round++) {
      await deliver(jet, batch(0, round * 500, numbered(round * 500, round * 500 + 500)));
    }
    expect(proxy.cuts).toBeGreaterThan(0);
    const reader = await transport({ prefix });
    expect(await readAll(reader, 0)).toEqual(numbered(0, 5000));
    await proxy.stop();
  });

  it('gives up on a server that does not answer', async () => {
    const jet = await transport({ requestTimeoutMs: 200 });
    await jet.onBatch(batch(0, 0, ['1']));
    await server.signal('SIGSTOP');
    await expect(jet.onBatch(batch(0, 1, ['2']))).rejects.toThrow(
      'transient error: JetStream publish ack phase timed out',
    );
    await server.signal('SIGCONT');
    await deliver(jet, batch(0, 1, ['2']));
    expect(await readAll(jet, 0)).toEqual(['1', '2']);
  });

  it('says at the start what is wrong with a server, without the password', async () => {
    const fails = async (url: string) => {
      const made = new JetStreamTransport({ url, connectTimeoutMs: 500, requestTimeoutMs: 500 });
      const error = await started(made).then(
        () => new Error('no failure'),
        (caught: Error) => caught,
      );
      await made.shutdown();
      return error.message;
    };
    expect(await fails('nats://127.0.0.1:1')).toBe('connection error: connect ECONNREFUSED 127.0.0.1:1');
    const locked = await startNats(['--user', 'u', '--pass', 'hunter2']);
    const wrong = await fails(`nats://u:hunter3@127.0.0.1:${locked.port}`);
    expect(wrong).toBe('connection error: Authorization Violation');
    const made = new JetStreamTransport({ url: `nats://u:hunter2@127.0.0.1:${locked.port}` });
    await (await started(made, 1)).onBatch(batch(0, 0, ['1']));
    await made.shutdown();
    await locked.stop();
    expect(await fails(`tls://127.0.0.1:${server.port}`)).toMatch(/^connection error: /);
  });

  it('knows its positions', () => {
    const jet = new JetStreamTransport({ url: 'nats://h' });
    expect(jet.checkId('18446744073709551615')).toBeUndefined();
    for (const id of ['5-0', 'abc', '-1', '01', '', '18446744073709551616']) {
      expect(jet.checkId(id)).toBe(`position ${JSON.stringify(id)} is not a JetStream sequence (<n>)`);
    }
  });
});
