import { afterEach, describe, expect, it } from 'vitest';
import { type DirectoryServer, defineEvent, MessageHandler } from '../../src/zebus.js';
import { Cleanup, until } from './support/buses.js';
import { decode, encode, type Loose, now, RawPeer } from './support/raw-peer.js';

const Told = defineEvent({ namespace: 'Test', name: 'Told', fields: { n: { tag: 1, type: 'int32', required: true } } });
const told = (n: number): Buffer => Buffer.from(Told.encode(Told.create({ n })));

const cleanup = new Cleanup();
afterEach(cleanup.run);

const PERSISTENCE = 'Abc.Zebus.PersistenceService.0';

/** A scripted persistence service: two sockets, registered with the directory. */
async function persistence(directory: DirectoryServer): Promise<RawPeer> {
  const peer = await new RawPeer(PERSISTENCE, 'test').listen();
  cleanup.add(() => peer.close());
  await peer.send(directory.endpoint, 'Abc.Zebus.Directory.RegisterPeerCommand', {
    peer: {
      peer: { id: { value: PERSISTENCE }, endpoint: peer.endpoint, is_up: true, is_responding: true },
      subscriptions: ['PersistMessageCommand', 'MessageHandled'].map((name) => ({
        message_type_id: { full_name: `Abc.Zebus.Persistence.${name}` },
        binding_key: {},
      })),
      is_persistent: false,
      timestamp_utc: now(),
    },
  });
  await peer.next('MessageExecutionCompleted');
  return peer;
}

const listening = (seen: number[]) =>
  MessageHandler.stateless().handles(Told, ({ n }) => {
    seen.push(n);
  });

/** An envelope that carries `Told` with this id. */
const envelope = (id: number, n: number): Loose => ({
  id: { value: { lo: id, hi: 99 } },
  message_type_id: { full_name: 'Test.Told' },
  content: told(n),
  originator: { sender_id: { value: 'Sender.0' }, sender_endpoint: 'tcp://127.0.0.1:1' },
  environment: 'test',
});

describe('a persistent peer', () => {
  it('replays, guards against doubles, and goes on as normal', async () => {
    const directory = await cleanup.directory();
    const service = await persistence(directory);
    const seen: number[] = [];
    const bus = cleanup.bus('Kept.0', directory, [listening(seen)], { isPersistent: true, startReplayTimeout: 5000 });
    const starting = bus.start();
    const { body, transport } = await service.next('StartMessageReplayCommand');
    const to = transport.originator.sender_endpoint;
    const replay = body.replay_id;
    const other = { lo: '1', hi: '1' };
    const persistent = (type: string): string => `Abc.Zebus.Persistence.${type}`;
    const replayed = (id: number, n: number, replay_id = replay): Promise<Loose> =>
      service.send(to, persistent('MessageReplayed'), { replay_id, message: envelope(id, n) });

    // A live message waits for the end of the replay; another replay is not ours.
    await service.send(to, 'Test.Told', told(3), { id: { value: { lo: '3', hi: '99' } }, was_persisted: true });
    await replayed(1, 1);
    await replayed(9, 9, other);
    await replayed(2, 2);
    await starting;
    await until('both are handled', () => seen.length === 2);
    for (const id of ['1', '2']) {
      expect((await service.next('MessageHandled')).body.id.value).toEqual({ lo: id, hi: '99' });
    }

    await service.send(to, persistent('ReplayPhaseEnded'), { replay_id: other });
    await service.send(to, persistent('ReplayPhaseEnded'), { replay_id: replay });
    await until('the live one is released', () => seen.length === 3);
    // Safety phase: what comes twice is handled once, but acknowledged twice.
    await replayed(3, 3);
    await service.send(to, 'Test.Told', told(4), { id: { value: { lo: '4', hi: '99' } }, was_persisted: true });
    await replayed(4, 4);
    const acknowledged: string[] = [];
    for (let i = 0; i < 4; i++) acknowledged.push((await service.next('MessageHandled')).body.id.value.lo);
    expect(acknowledged.sort()).toEqual(['3', '3', '4', '4']);

    await service.send(to, persistent('SafetyPhaseEnded'), { replay_id: replay });
    await service.send(to, 'Test.Told', told(5), { was_persisted: true });
    await until('normal life goes on', () => seen.length === 5);
    expect(seen).toEqual([1, 2, 3, 4, 5]);
    // Not known whether it was persisted: taken as if it was.
    await service.next('MessageHandled');
    await service.raw(to, encode('TransportMessage', envelope(6, 6)));
    expect((await service.next('MessageHandled')).body.id.value.lo).toBe('6');
  });

  it('does not start without a persistence, or with a silent one', async () => {
    const directory = await cleanup.directory();
    const bus = cleanup.bus('Kept.0', directory, [], { isPersistent: true, startReplayTimeout: 100 });
    await expect(bus.start()).rejects.toMatchObject({ kind: 'persistence-unreachable' });
    expect(bus.state).toBe('stopped');
    const service = await persistence(directory);
    await expect(bus.start()).rejects.toMatchObject({ kind: 'persistence-unreachable', peer: PERSISTENCE });
    await service.next('StartMessageReplayCommand');
    // The failed starts have unregistered the peer.
    const kept = directory.peers().find(({ id }) => id.value === 'Kept.0');
    expect(kept).toMatchObject({ isUp: false });
  });
});

describe('sending to persistent peers', () => {
  const target = async (directory: DirectoryServer, id: string, isPersistent: boolean): Promise<RawPeer> => {
    const peer = await new RawPeer(id, 'test').listen();
    cleanup.add(() => peer.close());
    await peer.send(directory.endpoint, 'Abc.Zebus.Directory.RegisterPeerCommand', {
      peer: {
        peer: { id: { value: id }, endpoint: peer.endpoint, is_up: true, is_responding: true },
        subscriptions: [{ message_type_id: { full_name: 'Test.Told' }, binding_key: {} }],
        is_persistent: isPersistent,
        timestamp_utc: now(),
      },
    });
    await peer.next('MessageExecutionCompleted');
    return peer;
  };

  it('each target is told, and the persistence keeps a copy, for those that are down as well', async () => {
    const directory = await cleanup.directory();
    const service = await persistence(directory);
    const kept = await target(directory, 'Kept.0', true);
    const passing = await target(directory, 'Passing.0', false);
    const bus = await cleanup.peer('Sender.0', directory);
    await bus.publish(Told.create({ n: 1 }));
    expect((await kept.next('Told')).transport.was_persisted).toBe(true);
    expect((await passing.next('Told')).transport.was_persisted).toBe(false);
    const copy = await service.next('Told');
    expect(copy.transport.persistent_peer_ids).toEqual([{ value: 'Kept.0' }]);
    expect(Told.decode(copy.content)).toEqual({ n: 1 });

    await kept.send(directory.endpoint, 'Abc.Zebus.Directory.UnregisterPeerCommand', {
      peer_id: { value: 'Kept.0' },
      endpoint: kept.endpoint,
      timestamp: now(),
    });
    await kept.next('MessageExecutionCompleted');
    await until('it is down', () => bus.peersHandling(Told.create({ n: 0 })).some(({ isUp }) => !isUp));
    await bus.publish(Told.create({ n: 2 }));
    expect((await service.next('Told')).transport.persistent_peer_ids).toEqual([{ value: 'Kept.0' }]);
    await passing.next('Told');
    expect(kept.received.filter(({ type }) => type === 'Test.Told')).toEqual([]);
  });

  it('without a persistence messages wait for one, and a stopping one is left alone', async () => {
    const directory = await cleanup.directory();
    const kept = await target(directory, 'Kept.0', true);
    const bus = await cleanup.peer('Sender.0', directory);
    await bus.publish(Told.create({ n: 1 }));
    await kept.next('Told');
    const service = await persistence(directory);
    const late = await service.next('PersistMessageCommand');
    expect(late.body.targets).toEqual([{ value: 'Kept.0' }]);
    expect(Told.decode(late.body.message.content)).toEqual({ n: 1 });

    for (const namespace of ['Abc.Zebus.PersistentTransport', 'Abc.Zebus.Persistence']) {
      await service.send(bus.endpoint, `${namespace}.PersistenceStopping`, Buffer.alloc(0));
      expect((await service.next('PersistenceStoppingAck')).type).toBe(`${namespace}.PersistenceStoppingAck`);
    }
    await bus.publish(Told.create({ n: 2 }));
    await kept.next('Told');
    expect(service.received.filter(({ type }) => type === 'Test.Told')).toEqual([]);
    // It comes back: the copy follows.
    await service.send(directory.endpoint, 'Abc.Zebus.Directory.UnregisterPeerCommand', {
      peer_id: { value: PERSISTENCE },
      timestamp: now(),
    });
    await service.next('MessageExecutionCompleted');
    const again = await persistence(directory);
    const copy = await again.next('PersistMessageCommand');
    expect(Told.decode(decode('PersistMessageCommand', copy.content).message.content)).toEqual({ n: 2 });
  });
});
