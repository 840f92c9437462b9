import { afterEach, describe, expect, it } from 'vitest';
import {
  CommandResult,
  DomainError,
  defineCommand,
  defineEvent,
  defineMessage,
  MessageHandler,
  MessageProcessingFailed,
  PeerId,
  ZebusError,
} from '../../src/zebus.js';
import { Cleanup, until } from './support/buses.js';

const EchoReply = defineMessage({
  namespace: 'Test',
  name: 'EchoReply',
  fields: { msg: { tag: 1, type: 'string', required: true } },
});
const Echo = defineCommand({
  namespace: 'Test',
  name: 'Echo',
  fields: { msg: { tag: 1, type: 'string', required: true } },
  reply: EchoReply,
});
const Other = defineCommand({ namespace: 'Test', name: 'Other', fields: { n: { tag: 1, type: 'int32' } } });
const Happened = defineEvent({
  namespace: 'Test',
  name: 'Happened',
  fields: { n: { tag: 1, type: 'int32', required: true } },
});
const Placed = defineEvent({
  namespace: 'Test',
  name: 'Placed',
  fields: {
    country: { tag: 1, type: 'string', required: true },
    month: { tag: 2, type: 'string', required: true },
    day: { tag: 3, type: 'int32', required: true },
  },
  routing: ['country', 'month', 'day'],
});

const cleanup = new Cleanup();
afterEach(cleanup.run);

const echoing = () => MessageHandler.stateless().handles(Echo, ({ msg }) => EchoReply.create({ msg: `${msg}!` }));

describe('commands', () => {
  it('go to the peer that handles them, and its reply comes back typed', async () => {
    const directory = await cleanup.directory();
    await cleanup.peer('Echo.0', directory, [echoing()]);
    const client = await cleanup.peer('Client.0', directory);
    const result = await client.send(Echo.create({ msg: 'hello' }));
    expect(result.isSuccess).toBe(true);
    expect(result.reply).toEqual({ msg: 'hello!' });
    expect(result.response(EchoReply)?.msg).toBe('hello!');
    expect(result.rawResponse?.type).toBe('Test.EchoReply');
  });

  it('keep their order, thousands at once', async () => {
    const directory = await cleanup.directory();
    const seen: number[] = [];
    await cleanup.peer('Other.0', directory, [
      MessageHandler.stateless().handles(Other, ({ n }) => {
        seen.push(n ?? -1);
      }),
    ]);
    const client = await cleanup.peer('Client.0', directory);
    const results = await Promise.all(Array.from({ length: 5000 }, (_, n) => client.send(Other.create({ n }))));
    expect(results.every((result) => result.isSuccess)).toBe(true);
    expect(seen).toEqual(Array.from({ length: 5000 }, (_, n) => n));
  });

  it('every outcome of a handler reaches the sender', async () => {
    const directory = await cleanup.directory();
    const outcomes: ((context: { replyError(code: number, text?: string): void }) => unknown)[] = [
      () => undefined,
      () => EchoReply.create({ msg: 'r' }),
      (context) => context.replyError(7, 'seven'),
      () => new CommandResult(8, 'eight'),
      () => {
        throw new DomainError(9, 'nine');
      },
      () => Promise.reject(new DomainError(10, 'ten')),
      () => {
        throw new Error('boom');
      },
      () => Promise.reject(new Error('late boom')),
      () => {
        throw 'a string';
      },
      () => Promise.reject(undefined),
    ];
    await cleanup.peer('Other.0', directory, [
      MessageHandler.stateless().handles(Other, ({ n }, context) => outcomes[n ?? 0]?.(context) as undefined),
    ]);
    const client = await cleanup.peer('Client.0', directory);
    const answers = [];
    for (let n = 0; n < outcomes.length; n++) {
      const { errorCode, responseMessage } = await client.send(Other.create({ n }));
      answers.push([errorCode, responseMessage]);
    }
    expect(answers).toEqual([
      [0, undefined],
      [0, undefined],
      [7, 'seven'],
      [8, 'eight'],
      [9, 'nine'],
      [10, 'ten'],
      [-10, 'boom'],
      [-10, 'late boom'],
      [-10, 'a string'],
      [-10, 'undefined'],
    ]);
  });

  it('undecodable content is answered with -20', async () => {
    const directory = await cleanup.directory();
    await cleanup.peer('Echo.0', directory, [echoing()]);
    const Broken = defineCommand<object>({
      namespace: 'Test',
      name: 'Echo',
      codec: { encode: () => Buffer.from([0x0a, 0xff]), decode: () => ({}) },
    });
    const client = await cleanup.peer('Client.0', directory);
    const result = await client.send(Broken.create({}));
    expect(result.errorCode).toBe(-20);
    expect(result.responseMessage).toMatch(/^failed to decode message Test\.Echo: truncated varint/);
  });

  it('to nobody, to two, or after a timeout: typed errors', async () => {
    const directory = await cleanup.directory();
    const silent = () => MessageHandler.stateless().handles(Other, () => new Promise<void>(() => {}));
    const client = await cleanup.peer('Client.0', directory);
    await expect(client.send(Other.create({}))).rejects.toMatchObject({ kind: 'no-peer', messageType: 'Test.Other' });
    await cleanup.peer('Silent.0', directory, [silent()], { stopTimeoutMs: 50 });
    await until('the client knows', () => client.peersHandling(Other.create({})).length === 1);
    await expect(client.send(Other.create({}), { timeoutMs: 30 })).rejects.toMatchObject({
      kind: 'timeout',
      peer: 'Silent.0',
    });
    const abort = new AbortController();
    const cancelled = client.send(Other.create({}), { signal: abort.signal });
    abort.abort();
    await expect(cancelled).rejects.toMatchObject({ kind: 'cancelled' });
    await cleanup.peer('Silent.1', directory, [silent()], { stopTimeoutMs: 50 });
    await until('the client knows both', () => client.peersHandling(Other.create({})).length === 2);
    await expect(client.send(Other.create({}))).rejects.toMatchObject({ kind: 'multiple-peers' });
    const direct = client.sendTo(Other.create({}), new PeerId('Silent.1'), { timeoutMs: 30 });
    await expect(direct).rejects.toMatchObject({ kind: 'timeout', peer: 'Silent.1' });
    await expect(client.sendTo(Other.create({}), 'Nobody.0')).rejects.toMatchObject({ kind: 'no-peer' });
  });

  it('handled by the bus itself never touch the wire, and a handler may send to itself on another queue', async () => {
    const directory = await cleanup.directory();
    const bus = await cleanup.peer('Self.0', directory, [
      echoing(),
      MessageHandler.stateless().handles(
        Other,
        async (_, context) => {
          expect(context.isLocal).toBe(true);
          const inner = await context.bus.send(Echo.create({ msg: 'inner' }));
          return inner;
        },
        { queue: 'second' },
      ),
    ]);
    const before = bus.stats().transport.framesReceived;
    const result = await bus.send(Other.create({}));
    expect(result.response(EchoReply)).toEqual({ msg: 'inner!' });
    expect(bus.stats().transport.framesReceived).toBe(before);
  });

  it('a message of 1 MB passes, with one warning; one above the limit fails', async () => {
    const directory = await cleanup.directory();
    await cleanup.peer('Echo.0', directory, [echoing()]);
    const client = await cleanup.peer('Client.0', directory);
    const warnings: string[] = [];
    client.on('warning', (text) => warnings.push(text));
    const msg = 'x'.repeat(1_000_000);
    expect((await client.send(Echo.create({ msg }))).reply?.msg.length).toBe(1_000_001);
    expect((await client.send(Echo.create({ msg }))).isSuccess).toBe(true);
    expect(warnings.length).toBe(1);
    await expect(client.send(Echo.create({ msg: 'x'.repeat(17_000_000) }))).rejects.toMatchObject({
      kind: 'too-large',
    });
  });
});

describe('events', () => {
  it('reach every subscriber, the publisher included, and nobody is fine', async () => {
    const directory = await cleanup.directory();
    const seen: string[] = [];
    const listening = (name: string) =>
      MessageHandler.withState(name).handles(Happened, ({ n }, { state }) => {
        seen.push(`${state}:${n}`);
      });
    const a = await cleanup.peer('A.0', directory, [listening('a')]);
    await cleanup.peer('B.0', directory, [listening('b')]);
    await until('a knows b', () => a.peersHandling(Happened.create({ n: 0 })).length === 2);
    await a.publish(Happened.create({ n: 1 }));
    await until('both have it', () => seen.length === 2);
    expect(seen.sort()).toEqual(['a:1', 'b:1']);
    await a.publish(Placed.create({ country: 'x', month: 'y', day: 1 }));
  });

  it('are routed by their binding keys', async () => {
    const directory = await cleanup.directory();
    const seen: string[] = [];
    const bound = (name: string, options: Parameters<MessageHandler['handles']>[2]) =>
      MessageHandler.stateless().handles(
        Placed,
        ({ country, month, day }) => {
          seen.push(`${name} ${country}.${month}.${day}`);
        },
        options as object,
      );
    await cleanup.peer('A.0', directory, [bound('a', { bindings: [['france', 'june', '*']] })]);
    await cleanup.peer('B.0', directory, [bound('b', { bindings: [['france', '#']] })]);
    await cleanup.peer('C.0', directory, [bound('c', { bind: { day: 21 } as object })]);
    await cleanup.peer('D.0', directory, [
      bound('d', {
        bindings: [
          ['spain', '#'],
          ['*', 'may', '1'],
        ],
      }),
    ]);
    const publisher = await cleanup.peer('P.0', directory);
    await publisher.publish(Placed.create({ country: 'france', month: 'june', day: 21 }));
    await publisher.publish(Placed.create({ country: 'france', month: 'may', day: 1 }));
    await publisher.publish(Placed.create({ country: 'italy', month: 'june', day: 2 }));
    await until('five have come', () => seen.length === 5);
    expect(seen.sort()).toEqual([
      'a france.june.21',
      'b france.june.21',
      'b france.may.1',
      'c france.june.21',
      'd france.may.1',
    ]);
  });

  it('a handler may publish the event it handles', async () => {
    const directory = await cleanup.directory();
    const seen: number[] = [];
    const bus = await cleanup.peer('A.0', directory, [
      MessageHandler.stateless().handles(Happened, async ({ n }, context) => {
        seen.push(n);
        if (n < 3) await context.bus.publish(Happened.create({ n: n + 1 }));
      }),
    ]);
    await bus.publish(Happened.create({ n: 0 }));
    await until('all four are handled', () => seen.length === 4);
    expect(seen).toEqual([0, 1, 2, 3]);
  });

  it('unexpected failures of handlers are published when switched on', async () => {
    const directory = await cleanup.directory();
    const failures: string[] = [];
    await cleanup.peer('Watch.0', directory, [
      MessageHandler.stateless().handles(MessageProcessingFailed, (failed) => {
        failures.push(`${failed.exceptionMessage} ${failed.json} ${failed.failingHandlers}`);
        throw new Error('a failure of this handler is not published');
      }),
    ]);
    const failing = MessageHandler.stateless().handles(Other, function breaks({ n }) {
      if (n === 1) throw new DomainError(5, 'expected');
      throw new Error('unexpected');
    });
    await cleanup.peer('Other.0', directory, [failing], { enableErrorPublication: true });
    const client = await cleanup.peer('Client.0', directory);
    await client.send(Other.create({ n: 1 }));
    await client.send(Other.create({ n: 2 }));
    await until('the failure is published', () => failures.length > 0);
    expect(failures).toEqual(['unexpected {"n":2} breaks']);
  });
});

describe('dispatch', () => {
  it('one queue handles one message at a time; queues are independent; infrastructure passes', async () => {
    const directory = await cleanup.directory();
    const log: string[] = [];
    let open: (() => void) | undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const Urgent = defineCommand({ namespace: 'Test', name: 'Urgent', infrastructure: true, fields: {} });
    await cleanup.peer('W.0', directory, [
      MessageHandler.stateless()
        .handles(Other, async ({ n }) => {
          log.push(`start ${n}`);
          if (n === 1) await gate;
          log.push(`end ${n}`);
        })
        .handles(
          Echo,
          ({ msg }) => {
            log.push(msg);
          },
          { queue: 'second' },
        )
        .handles(Urgent, () => {
          log.push('urgent');
        }),
    ]);
    const client = await cleanup.peer('Client.0', directory);
    const slow = [client.send(Other.create({ n: 1 })), client.send(Other.create({ n: 2 }))];
    await client.send(Echo.create({ msg: 'other queue' }));
    await client.send(Urgent.create({}));
    open?.();
    await Promise.all(slow);
    expect(log).toEqual(['start 1', 'other queue', 'urgent', 'end 1', 'start 2', 'end 2']);
  });

  it('batched handlers get what has queued up, with one outcome for all', async () => {
    const directory = await cleanup.directory();
    const batches: number[][] = [];
    await cleanup.peer(
      'W.0',
      directory,
      [
        MessageHandler.stateless().handles(
          Other,
          async (messages) => {
            batches.push(messages.map(({ n }) => n ?? 0));
            if (messages.some(({ n }) => n === 0)) throw new DomainError(3, 'batch failed');
          },
          { batch: true },
        ),
      ],
      { messageBatchSize: 10 },
    );
    const client = await cleanup.peer('Client.0', directory);
    const results = await Promise.all(Array.from({ length: 200 }, (_, n) => client.send(Other.create({ n }))));
    expect(batches.flat()).toEqual(Array.from({ length: 200 }, (_, n) => n));
    expect(Math.max(...batches.map((batch) => batch.length))).toBe(10);
    const first = batches[0]?.length ?? 0;
    expect(results.map((result) => result.errorCode)).toEqual(
      Array.from({ length: 200 }, (_, n) => (n < first ? 3 : 0)),
    );
  });

  it('several handlers of one message: the first error wins, else the last reply', async () => {
    const directory = await cleanup.directory();
    let fail = true;
    await cleanup.peer('W.0', directory, [
      MessageHandler.stateless()
        .handles(Echo, () => EchoReply.create({ msg: 'one' }))
        .handles(
          Echo,
          async () => {
            if (fail) throw new DomainError(2, 'two');
            return EchoReply.create({ msg: 'two' });
          },
          { queue: 'q2' },
        )
        .handles(Echo, () => {
          if (fail) throw new DomainError(3, 'three');
        }),
    ]);
    const client = await cleanup.peer('Client.0', directory);
    expect(await client.send(Echo.create({ msg: '' }))).toMatchObject({ errorCode: 2, responseMessage: 'two' });
    fail = false;
    expect((await client.send(Echo.create({ msg: '' }))).reply?.msg).toBe('two');
  });

  it('two different types of one name are refused', async () => {
    const Twin = defineCommand({ namespace: 'Test', name: 'Echo', fields: {} });
    const handlers = MessageHandler.stateless()
      .handles(Echo, () => {})
      .handles(Twin, () => {});
    expect(() => cleanup.bus('W.0', 'tcp://127.0.0.1:1', [handlers])).toThrow(/^zebus:duplicate-type: /);
  });
});

describe('life of a bus', () => {
  it('passes its states, tells its listeners, and can start again', async () => {
    const directory = await cleanup.directory();
    const bus = cleanup.bus('A.0', directory, [echoing()]);
    const log: string[] = [];
    for (const event of ['starting', 'registering', 'registered', 'started', 'stopping', 'stopped'] as const) {
      bus.on(event, () => log.push(`${event} ${bus.state}`));
    }
    await expect(bus.send(Echo.create({ msg: '' }))).rejects.toMatchObject({ kind: 'not-running' });
    await bus.start();
    await expect(bus.start()).rejects.toMatchObject({
      kind: 'invalid-operation',
      message: 'zebus:invalid-operation: an operation was attempted while the bus was not in a valid state',
    });
    const first = bus.endpoint;
    expect(first).toMatch(/^tcp:\/\/127\.0\.0\.1:\d+$/);
    await Promise.all([bus.stop(), bus.stop()]);
    await bus.stop();
    await expect(bus.publish(Happened.create({ n: 1 }))).rejects.toMatchObject({ kind: 'not-running' });
    expect(log).toEqual([
      'starting starting',
      'registering starting',
      'registered starting',
      'started started',
      'stopping stopping',
      'stopped stopped',
    ]);
    await bus.start();
    expect(bus.endpoint).not.toBe(first);
    expect((await bus.send(Echo.create({ msg: 'again' }))).reply?.msg).toBe('again!');
  });

  it('stop lets running handlers finish, refuses what comes later, and loses no answer', async () => {
    const directory = await cleanup.directory();
    let open: (() => void) | undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const server = await cleanup.peer('W.0', directory, [
      MessageHandler.stateless().handles(Other, async () => {
        await gate;
      }),
    ]);
    const client = await cleanup.peer('Client.0', directory);
    // Not transient: a stopping peer may still answer it.
    const running = client.send(Other.create({ n: 1 }));
    const queued = client.send(Other.create({ n: 2 }));
    await until('one runs, one waits', () => server.stats().queues.DefaultQueue === 1);
    const stopped = server.stop();
    await until('the server has left', () => client.peersHandling(Other.create({})).length === 0);
    const late = client.sendTo(Other.create({ n: 3 }), {
      id: server.peerId,
      endpoint: server.endpoint,
      isUp: true,
      isResponding: true,
    });
    expect(await late).toMatchObject({ errorCode: -30, responseMessage: 'peer is stopping' });
    open?.();
    expect((await running).isSuccess).toBe(true);
    expect((await queued).isSuccess).toBe(true);
    await stopped;
  });

  it('a failed start unwinds, says what was tried, and can be repeated', async () => {
    const bus = cleanup.bus('A.0', 'tcp://127.0.0.1:9', [], { registrationTimeout: 100 });
    const error = await bus.start().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ZebusError);
    expect(error).toMatchObject({
      kind: 'registration-failed',
      message:
        'zebus:registration-failed: failed to register to directory:\n    tried Abc.Zebus.Directory.0 [tcp://127.0.0.1:9]: timeout after 100ms',
    });
    expect(bus.state).toBe('stopped');
    await expect(bus.start()).rejects.toMatchObject({ kind: 'registration-failed' });
  });

  it('pending commands end when the bus stops', async () => {
    const directory = await cleanup.directory();
    await cleanup.peer(
      'W.0',
      directory,
      [MessageHandler.stateless().handles(Other, () => new Promise<void>(() => {}))],
      { stopTimeoutMs: 50 },
    );
    const client = await cleanup.peer('Client.0', directory);
    const pending = expect(client.send(Other.create({}))).rejects.toMatchObject({ kind: 'stopped' });
    await client.stop();
    await pending;
  });
});

describe('run-time subscriptions', () => {
  it('are added and removed while events flow, counted per key', async () => {
    const directory = await cleanup.directory();
    const publisher = await cleanup.peer('P.0', directory);
    const subscriber = await cleanup.peer('S.0', directory);
    const seen: string[] = [];
    const place = (country: string) => Placed.create({ country, month: 'm', day: 1 });
    const subscribed = (country: string) => publisher.peersHandling(place(country)).length;

    const france = await subscriber.subscribe(Placed, [['france', '#']], ({ country }) => {
      seen.push(`1 ${country}`);
    });
    const both = await subscriber.subscribe(
      Placed,
      [
        ['france', '#'],
        ['spain', '#'],
      ],
      ({ country }) => {
        seen.push(`2 ${country}`);
      },
    );
    await until('the publisher knows', () => subscribed('spain') === 1 && subscribed('france') === 1);
    await publisher.publish(place('france'));
    await publisher.publish(place('spain'));
    await publisher.publish(place('italy'));
    await until('three came', () => seen.length === 3);
    expect([...seen].sort()).toEqual(['1 france', '2 france', '2 spain']);

    await both.unsubscribe();
    await both.unsubscribe();
    await until('spain is gone', () => subscribed('spain') === 0);
    expect(subscribed('france')).toBe(1);
    await publisher.publish(place('france'));
    await until('one more came', () => seen.length === 4);
    expect(seen[3]).toBe('1 france');
    await france.unsubscribe();
    await until('france is gone', () => subscribed('france') === 0);
  });

  it('before the start they become start-up subscriptions; without a handler they fail', async () => {
    const directory = await cleanup.directory();
    const seen: number[] = [];
    const early = cleanup.bus('S.0', directory);
    await early.subscribe(Happened, undefined, ({ n }) => {
      seen.push(n);
    });
    await early.start();
    const publisher = await cleanup.peer('P.0', directory);
    await publisher.publish(Happened.create({ n: 5 }));
    await until('it came', () => seen.length === 1);
    await expect(publisher.subscribe(Placed)).rejects.toMatchObject({ kind: 'invalid-operation' });
  });

  it('those made before a start that fails hold for the next one, those of a run end with it', async () => {
    const directory = await cleanup.directory();
    const { endpoint } = directory;
    const seen: string[] = [];
    const bus = cleanup.bus('S.0', 'tcp://127.0.0.1:9', [], {
      directoryEndpoints: ['tcp://127.0.0.1:9', endpoint],
      pickRandomDirectory: false,
      registrationTimeout: 100,
    });
    const early = await bus.subscribe(Happened, undefined, ({ n }) => {
      seen.push(`early ${n}`);
    });
    await directory.stop();
    await expect(bus.start()).rejects.toMatchObject({ kind: 'registration-failed' });
    const again = await cleanup.directory({ endpoint });
    await bus.start();
    const late = await bus.subscribe(Happened, undefined, ({ n }) => {
      seen.push(`late ${n}`);
    });
    await bus.publish(Happened.create({ n: 1 }));
    expect(seen).toEqual(['early 1', 'late 1']);
    await bus.stop();
    await bus.start();
    await early.unsubscribe();
    await late.unsubscribe();
    await bus.publish(Happened.create({ n: 2 }));
    expect(seen).toEqual(['early 1', 'late 1']);
    const known = again.peers().find(({ id }) => id.value === 'S.0');
    expect(known?.subscriptions.map(({ messageType }) => messageType)).not.toContain('Test.Happened');
  });

  it('manual handlers wait for their subscription', async () => {
    const directory = await cleanup.directory();
    const seen: number[] = [];
    const subscriber = await cleanup.peer('S.0', directory, [
      MessageHandler.stateless().handles(
        Happened,
        ({ n }) => {
          seen.push(n);
        },
        { subscription: 'manual' },
      ),
    ]);
    const publisher = await cleanup.peer('P.0', directory);
    await publisher.publish(Happened.create({ n: 1 }));
    await subscriber.subscribe(Happened);
    await until('known', () => publisher.peersHandling(Happened.create({ n: 0 })).length === 1);
    await publisher.publish(Happened.create({ n: 2 }));
    await until('it came', () => seen.length === 1);
    expect(seen).toEqual([2]);
  });
});
