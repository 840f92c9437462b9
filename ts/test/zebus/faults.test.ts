import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { Pull } from 'zeromq';
import { decodeTransport, defineCommand, defineEvent, MessageHandler, PeerId, ZebusError } from '../../src/zebus.js';
import vectors from '../vectors/zebus-messages.json' with { type: 'json' };
import { Cleanup, local, until } from './support/buses.js';
import { bundle, Program } from './support/programs.js';
import { now, RawPeer } from './support/raw-peer.js';

const Ask = defineCommand({ namespace: 'Test', name: 'Ask', fields: { n: { tag: 1, type: 'int32' } } });
const Told = defineEvent({
  namespace: 'Test',
  name: 'Told',
  fields: { n: { tag: 1, type: 'int32', required: true }, body: { tag: 2, type: 'bytes' } },
});

const cleanup = new Cleanup();
afterEach(cleanup.run);

/** Frames near what real peers send: cut, with bytes changed, doubled, or random throughout. */
const damaged = fc.oneof(
  fc.uint8Array({ maxLength: 120 }).map((bytes) => Buffer.from(bytes)),
  fc
    .tuple(
      fc.constantFrom(...vectors.messages),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 5 }),
      fc.nat(),
      fc.boolean(),
    )
    .map(([{ hex }, changes, cut, whole]) => {
      const bytes = Buffer.from(hex.replaceAll('6578616d706c65', '74657374'), 'hex');
      for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
      return whole ? bytes : bytes.subarray(0, cut % bytes.length);
    }),
);

describe('malformed input', () => {
  it('an envelope decodes or gives a codec error, and nothing else', () => {
    fc.assert(
      fc.property(damaged, (frame) => {
        try {
          const message = decodeTransport(frame);
          expect(message.messageType).not.toBe('');
        } catch (error) {
          expect(error).toBeInstanceOf(ZebusError);
          expect((error as ZebusError).kind).toBe('codec');
        }
      }),
      { numRuns: process.env.MESHRING_SOAK ? 100_000 : 3000 },
    );
  });

  it('thousands of damaged frames at a peer and at the directory disturb nobody', async () => {
    const directory = await cleanup.directory();
    const server = await cleanup.peer('Server.0', directory, [
      MessageHandler.stateless().handles(Ask, ({ n }, context) => context.replyError(n ?? 0)),
    ]);
    const client = await cleanup.peer('Client.0', directory);
    const errors: Error[] = [];
    server.on('error', (error) => errors.push(error));
    const hostile = await new RawPeer('Hostile.0', 'test').listen();
    cleanup.add(() => hostile.close());
    const frames = fc.sample(damaged, process.env.MESHRING_SOAK ? 20_000 : 2000);
    const attack = (async () => {
      for (const frame of frames) {
        await hostile.raw(server.endpoint, frame);
        await hostile.raw(directory.endpoint, frame);
      }
      await hostile.raw(server.endpoint, [Buffer.from('two'), Buffer.from('parts')]);
      await hostile.send(server.endpoint, 'Test.Nobody', Buffer.alloc(0));
      await hostile.send(server.endpoint, 'Test.Ask', Buffer.from([0x0a, 0xff]));
      await hostile.send(server.endpoint, 'Test.Ask', Buffer.alloc(0), { environment: 'elsewhere' });
    })();
    for (let n = 1; n <= 200; n++) expect((await client.send(Ask.create({ n }))).errorCode).toBe(n);
    await attack;
    const undecodable = await hostile.next('MessageExecutionCompleted');
    expect(undecodable.body.error_code).toBe(-20);
    await until('the stranger is counted', () => server.stats().otherEnvironment > 0);
    expect(server.stats().malformed).toBeGreaterThan(0);
    expect(server.stats().unhandled).toBeGreaterThan(0);
    expect(server.stats().transport.framesRejected).toBe(1);
    expect(errors.every((error) => error instanceof ZebusError)).toBe(true);
    // The directory still takes registrations.
    await cleanup.peer('Late.0', directory);
    expect((await client.send(Ask.create({ n: 5 }))).errorCode).toBe(5);
  });
});

describe('slow peers', () => {
  it('a peer that takes nothing is dropped, reported and tried again later; the others get everything', async () => {
    const directory = await cleanup.directory();
    let received = 0;
    await cleanup.peer('Quick.0', directory, [
      MessageHandler.stateless().handles(Told, () => {
        received++;
      }),
    ]);
    const stuck = new Pull({ receiveHighWaterMark: 1 });
    await stuck.bind('tcp://127.0.0.1:*');
    cleanup.add(() => stuck.close());
    const admin = await new RawPeer('Stuck.0', 'test').listen();
    cleanup.add(() => admin.close());
    await admin.send(directory.endpoint, 'Abc.Zebus.Directory.RegisterPeerCommand', {
      peer: {
        peer: { id: { value: 'Stuck.0' }, endpoint: stuck.lastEndpoint, is_up: true, is_responding: true },
        subscriptions: ['Test.Told', 'Test.Ask'].map((full_name) => ({
          message_type_id: { full_name },
          binding_key: {},
        })),
        is_persistent: false,
        timestamp_utc: now(),
      },
    });
    const transport = local({ sendHighWaterMark: 50, maxWaitingFrames: 50, closedAfterSendFailure: 1000 });
    const publisher = await cleanup.peer('Publisher.0', directory, [], {}, transport);
    await until('both are known', () => publisher.peersHandling(Told.create({ n: 0 })).length === 2);
    const errors: ZebusError[] = [];
    publisher.on('error', (error) => errors.push(error as ZebusError));
    const body = Buffer.alloc(64 * 1024);
    const events = 400;
    for (let n = 0; n < events; n++) await publisher.publish(Told.create({ n, body }));
    const lost = (peer: string): number => errors.filter((error) => error.peer === peer).length;
    await until('the quick one has all', () => received + lost('Quick.0') === events);
    expect(lost('Stuck.0')).toBeGreaterThan(lost('Quick.0'));
    expect(publisher.stats().dropped).toBeGreaterThan(0);
    expect(new Set(errors.map(({ kind }) => kind))).toEqual(new Set(['transport']));
    expect(errors.some(({ message }) => message.includes('messages to it are dropped'))).toBe(true);
    await expect(publisher.send(Ask.create({}))).rejects.toMatchObject({ kind: 'transport', peer: 'Stuck.0' });

    // It wakes up: after the time-out it gets messages again.
    let taken = 0;
    void (async () => {
      for await (const _ of stuck) taken++;
    })();
    await until('it is tried again', () => publisher.stats().transport.closedPeers === 0);
    const before = taken;
    await until('it takes messages', async () => {
      await publisher.publish(Told.create({ n: 1 }));
      return taken > before;
    });
  });

  it('a producer that does not wait is bounded too', async () => {
    const directory = await cleanup.directory();
    const stuck = new Pull({ receiveHighWaterMark: 1 });
    await stuck.bind('tcp://127.0.0.1:*');
    cleanup.add(() => stuck.close());
    const transport = local({ sendHighWaterMark: 10, sendTimeout: 50, maxWaitingFrames: 20 });
    const bus = await cleanup.peer('Sender.0', directory, [], {}, transport);
    const target = { id: new PeerId('Stuck.0'), endpoint: stuck.lastEndpoint ?? '', isUp: true, isResponding: true };
    const body = Buffer.alloc(256 * 1024);
    const sent = Array.from({ length: 500 }, (_, n) => bus.publishTo(Told.create({ n, body }), target));
    await Promise.all(sent);
    expect(bus.stats().dropped).toBeGreaterThan(400);
  });

  it('a full queue stops the reading, loses nothing, and answers to its own handlers still come', async () => {
    const directory = await cleanup.directory();
    await cleanup.peer('Helper.0', directory, [MessageHandler.stateless().handles(Ask, () => {})]);
    let open: (() => void) | undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const seen: number[] = [];
    const slow = await cleanup.peer(
      'Slow.0',
      directory,
      [
        MessageHandler.stateless().handles(Told, async ({ n }, context) => {
          if (n === 0) await gate;
          // The answer to this lies behind everything that was not read.
          if (n === 1) await context.bus.send(Ask.create({}), { timeoutMs: 10_000 });
          seen.push(n);
        }),
      ],
      { maxQueuedMessages: 100 },
    );
    const publisher = await cleanup.peer('Publisher.0', directory);
    await until('known', () => publisher.peersHandling(Told.create({ n: 0 })).length === 1);
    await until('the helper is known', () => slow.peersHandling(Ask.create({})).length === 1);
    const events = 1000;
    for (let n = 0; n < events; n++) await publisher.publish(Told.create({ n }));
    await until('the queue is full', () => (slow.stats().queues.DefaultQueue ?? 0) >= 100);
    expect(slow.stats().transport.framesReceived).toBeLessThan(events);
    open?.();
    await until('all are handled', () => seen.length === events);
    expect(seen).toEqual(Array.from({ length: events }, (_, n) => n));
    expect(slow.stats().dropped).toBe(0);
  });

  it('beyond all bounds commands are answered with -30 and events are counted', async () => {
    const directory = await cleanup.directory();
    const slow = await cleanup.peer(
      'Slow.0',
      directory,
      [
        MessageHandler.stateless()
          .handles(Told, () => new Promise<void>(() => {}))
          .handles(Ask, () => {}),
      ],
      { maxQueuedMessages: 10, stopTimeoutMs: 50 },
    );
    // Local messages do not come through a socket that could wait.
    const events = Array.from({ length: 1100 }, (_, n) => slow.publish(Told.create({ n })));
    void Promise.allSettled(events);
    expect(await slow.send(Ask.create({}))).toMatchObject({ errorCode: -30, responseMessage: 'server busy' });
    expect(slow.stats().dropped).toBeGreaterThan(0);
  });
});

describe('connections', () => {
  it('are bounded: the one not used for longest makes room', async () => {
    const directory = await cleanup.directory();
    const bus = await cleanup.peer('Sender.0', directory, [], {}, local({ maxSockets: 3 }));
    const peers = await Promise.all([1, 2, 3, 4, 5].map((n) => new RawPeer(`Peer.${n}`, 'test').listen()));
    for (const round of [1, 2]) {
      for (const peer of peers) {
        const to = { id: new PeerId(peer.id), endpoint: peer.endpoint, isUp: true, isResponding: true };
        await bus.publishTo(Told.create({ n: round }), to);
        expect(Told.decode((await peer.next('Told')).content).n).toBe(round);
        expect(bus.stats().transport.connections).toBeLessThanOrEqual(3);
      }
    }
    for (const peer of peers) peer.close();
  });

  it('a name that does not resolve closes its peer, and holds up nobody else', async () => {
    const directory = await cleanup.directory();
    const bus = await cleanup.peer('Sender.0', directory, [MessageHandler.stateless().handles(Ask, () => {})]);
    const client = await cleanup.peer('Client.0', directory);
    const errors: Error[] = [];
    bus.on('error', (error) => errors.push(error));
    const nowhere = {
      id: new PeerId('Nowhere.0'),
      endpoint: 'tcp://no-such-host.invalid:5',
      isUp: true,
      isResponding: true,
    };
    const lost = expect(bus.sendTo(Ask.create({}), nowhere)).rejects.toMatchObject({
      kind: 'transport',
      peer: 'Nowhere.0',
    });
    expect((await client.send(Ask.create({}))).isSuccess).toBe(true);
    await lost;
    expect(errors[0]?.message).toMatch(/Nowhere\.0 .* is closed for 120000ms after a failed connect: /);
    await expect(bus.sendTo(Ask.create({}), nowhere)).rejects.toMatchObject({ kind: 'transport' });
    await expect(bus.sendTo(Ask.create({}), { ...nowhere, endpoint: 'nonsense' })).rejects.toMatchObject({
      kind: 'transport',
      message: expect.stringMatching(/cannot connect to Nowhere\.0 \[nonsense\]: /),
    });
  });

  it('names are resolved before they are connected to', async () => {
    const directory = await cleanup.directory();
    const named = directory.endpoint.replace('127.0.0.1', 'localhost');
    const bus = await cleanup.peer('Sender.0', named);
    expect(
      bus
        .peers()
        .map(({ id }) => id.value)
        .sort(),
    ).toEqual(['Abc.Zebus.Directory.0', 'Sender.0']);
  });
});

describe('sudden death', () => {
  it('kill -9 of a peer: its successor on another port is found', async () => {
    const file = await bundle('samples/zebus/echo.mjs');
    const directory = await cleanup.directory({ environment: 'example' });
    const EchoCommand = defineCommand({
      namespace: 'Echo',
      name: 'EchoCommand',
      fields: { msg: { tag: 1, type: 'string', required: true } },
    });
    const env = { ZEBUS_DIRECTORY_ENDPOINTS: directory.endpoint, ZEBUS_INBOUND_ENDPOINT: 'tcp://127.0.0.1:*' };
    const start = async (): Promise<Program> => {
      const program = new Program(file, [], env);
      cleanup.add(() => program.kill());
      await program.printed('Press a key to exit');
      return program;
    };
    const first = await start();
    await directory.bus.send(EchoCommand.create({ msg: 'one' }));
    await first.printed('ECHO one');
    first.kill();
    await first.exit;
    await expect(directory.bus.send(EchoCommand.create({ msg: 'lost' }), { timeoutMs: 100 })).rejects.toMatchObject({
      kind: 'timeout',
    });
    const second = await start();
    expect((await directory.bus.send(EchoCommand.create({ msg: 'two' }))).isSuccess).toBe(true);
    await second.printed('ECHO two');
    expect(second.lines).not.toContain('ECHO lost');
  });
});
