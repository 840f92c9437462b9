import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { DirectoryClient } from '../../src/zebus/directory-client.js';
import { peerDescriptor } from '../../src/zebus/peer.js';
import { defineCommand, defineEvent, MemoryTransport, MessageHandler } from '../../src/zebus.js';
import { Cleanup, local, until } from './support/buses.js';
import { now, RawPeer } from './support/raw-peer.js';

const Ask = defineCommand({
  namespace: 'Test',
  name: 'Ask',
  transient: true,
  fields: { n: { tag: 1, type: 'int32' } },
});
const Told = defineEvent({ namespace: 'Test', name: 'Told', fields: { n: { tag: 1, type: 'int32', required: true } } });

const cleanup = new Cleanup();
afterEach(cleanup.run);

describe('copy of the directory', () => {
  const descriptor = (at: bigint, keys: string[], endpoint = 'tcp://a:1') =>
    peerDescriptor(
      { id: 'P.0', endpoint, isUp: true, isResponding: true },
      { subscriptions: keys.map((key) => ({ messageType: 'T', key: [key] })), timestampTicks: at },
    );
  const keysOf = (client: DirectoryClient, messageType = 'T') =>
    [...(client.get('P.0')?.types.get(messageType)?.keys.keys() ?? [])].sort();

  type Step = [name: string, run: (client: DirectoryClient) => void, check: (client: DirectoryClient) => void];
  const steps: Record<string, Step[]> = {
    'newer news win, older are ignored': [
      ['started at 10', (c) => c.started(descriptor(10n, ['a'])), (c) => expect(keysOf(c)).toEqual(['a'])],
      ['started at 9', (c) => c.started(descriptor(9n, ['old'])), (c) => expect(keysOf(c)).toEqual(['a'])],
      ['stopped at 9', (c) => c.stopped('P.0', 9n), (c) => expect(c.get('P.0')?.isUp).toBe(true)],
      ['stopped at 11', (c) => c.stopped('P.0', 11n), (c) => expect(c.get('P.0')).toMatchObject({ isUp: false })],
      ['started at 10 again', (c) => c.started(descriptor(10n, [])), (c) => expect(c.get('P.0')?.isUp).toBe(false)],
      [
        'started at 12 elsewhere',
        (c) => c.started(descriptor(12n, ['b'], 'tcp://b:2')),
        (c) => expect(c.lookup('T', ['b'])).toMatchObject([{ endpoint: 'tcp://b:2', isUp: true }]),
      ],
    ],
    'keys by type: the new set replaces the old one, each type has its own time': [
      ['started', (c) => c.started(descriptor(10n, ['a', 'b'])), (c) => expect(keysOf(c)).toEqual(['a', 'b'])],
      [
        'keys at 20',
        (c) => c.keysUpdated('P.0', [{ messageType: 'T', keys: [['b'], ['c']] }], 20n),
        (c) => expect(keysOf(c)).toEqual(['b', 'c']),
      ],
      ['a is gone', () => {}, (c) => expect(c.lookup('T', ['a'])).toEqual([])],
      [
        'keys at 15',
        (c) => c.keysUpdated('P.0', [{ messageType: 'T', keys: [['x']] }], 15n),
        (c) => expect(keysOf(c)).toEqual(['b', 'c']),
      ],
      [
        'another type at 15',
        (c) => c.keysUpdated('P.0', [{ messageType: 'U', keys: [[]] }], 15n),
        (c) => expect(c.lookup('U', [])).toHaveLength(1),
      ],
      [
        'no keys at 30',
        (c) => c.keysUpdated('P.0', [{ messageType: 'T', keys: [] }], 30n),
        (c) => expect(c.lookup('T', [])).toEqual([]),
      ],
      [
        'before the registration',
        (c) => c.keysUpdated('P.0', [{ messageType: 'V', keys: [[]] }], 9n),
        (c) => expect(c.lookup('V', [])).toEqual([]),
      ],
    ],
    'a decommissioned peer leaves nothing behind': [
      ['started', (c) => c.started(descriptor(10n, ['a', '*'])), (c) => expect(c.lookup('T', ['z'])).toHaveLength(1)],
      ['not responding', (c) => c.responding('P.0', false), (c) => expect(c.get('P.0')?.isResponding).toBe(false)],
      ['responding', (c) => c.responding('P.0', true), (c) => expect(c.get('P.0')?.isResponding).toBe(true)],
      ['decommissioned', (c) => c.decommissioned('P.0'), (c) => expect(c.lookup('T', ['a'])).toEqual([])],
      ['again', (c) => c.decommissioned('P.0'), (c) => expect(c.all()).toEqual([])],
      ['stopped', (c) => c.stopped('P.0', 99n), (c) => expect(c.all()).toEqual([])],
    ],
    'all subscriptions at once': [
      ['started', (c) => c.started(descriptor(10n, ['a'])), () => {}],
      ['updated', (c) => c.subscriptionsUpdated(descriptor(11n, ['b'])), (c) => expect(keysOf(c)).toEqual(['b'])],
      ['outdated', (c) => c.subscriptionsUpdated(descriptor(10n, ['c'])), (c) => expect(keysOf(c)).toEqual(['b'])],
    ],
  };
  for (const [story, list] of Object.entries(steps)) {
    it(story, () => {
      const client = new DirectoryClient();
      for (const [, run, check] of list) {
        run(client);
        check(client);
      }
    });
  }

  it('is bounded, and says so', () => {
    const said: string[] = [];
    const client = new DirectoryClient(
      () => {},
      (text) => said.push(text),
      () => 0n,
      { maxPeers: 1, maxSubscriptions: 2 },
    );
    client.started(descriptor(1n, ['a', 'b', 'c']));
    expect(keysOf(client)).toEqual(['a', 'b']);
    client.started({
      ...descriptor(1n, []),
      id: peerDescriptor({ id: 'Q', endpoint: '', isUp: true, isResponding: true }, { subscriptions: [] }).id,
    });
    expect(client.all()).toHaveLength(1);
    expect(said).toEqual([
      'subscriptions of P.0 above 2 ignored',
      "peer Q ignored: the directory's copy holds 1 peers",
    ]);
  });
});

describe('directory server', () => {
  it('fifty peers find each other, and an event reaches all of them', async () => {
    const directory = await cleanup.directory();
    let received = 0;
    const listening = MessageHandler.stateless().handles(Told, () => {
      received++;
    });
    const peers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => cleanup.peer(`Many.${i}`, directory, [listening])),
    );
    for (const peer of peers) {
      await until('everyone is known', () => peer.peersHandling(Told.create({ n: 1 })).length === 50);
    }
    await peers[7]?.publish(Told.create({ n: 1 }));
    await until('all have it', () => received === 50);
    expect(directory.peers()).toHaveLength(51);
  });

  it('a peer that falls silent is removed; one that answers again responds again', async () => {
    const directory = await cleanup.directory({
      pingInterval: 30,
      transientPeerTimeout: 150,
      persistentPeerTimeout: 150,
    });
    const watcher = await cleanup.peer('Watcher.0', directory);
    const changes: string[] = [];
    watcher.on('peer', ({ change, peer }) => changes.push(`${change} ${peer.id} ${peer.isResponding}`));

    const make = async (id: string, isPersistent: boolean): Promise<RawPeer> => {
      const peer = await new RawPeer(id, 'test').listen();
      cleanup.add(() => peer.close());
      await peer.send(directory.endpoint, 'Abc.Zebus.Directory.RegisterPeerCommand', {
        peer: {
          peer: { id: { value: id }, endpoint: peer.endpoint, is_up: true, is_responding: true },
          is_persistent: isPersistent,
          timestamp_utc: now(),
        },
      });
      await peer.next('MessageExecutionCompleted');
      return peer;
    };
    await make('Silent.0', false);
    const persistent = await make('Silent.1', true);
    await until('one is removed', () => changes.includes('decommissioned Silent.0 false'));
    await until('one does not respond', () => changes.includes('updated Silent.1 false'));
    await until('it responds again', async () => {
      await persistent.complete(await persistent.next('PingPeerCommand'));
      return changes.includes('updated Silent.1 true');
    });
    await until('who answers stays', () => directory.peers().some(({ id }) => id.value === 'Watcher.0'));
  });

  it('persistent peers and their subscriptions outlive a restart of the directory with a file', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'zebus-'));
    cleanup.add(() => rmSync(folder, { recursive: true }));
    const store = join(folder, 'peers.json');
    const directory = await cleanup.directory({ store });
    const { endpoint } = directory;
    const peer = await new RawPeer('Kept.0', 'test').listen();
    cleanup.add(() => peer.close());
    await peer.send(endpoint, 'Abc.Zebus.Directory.RegisterPeerCommand', {
      peer: {
        peer: { id: { value: 'Kept.0' }, endpoint: peer.endpoint, is_up: true, is_responding: true },
        subscriptions: [{ message_type_id: { full_name: 'Test.Told' }, binding_key: { parts: ['a'] } }],
        is_persistent: true,
        timestamp_utc: now(),
      },
    });
    await peer.next('MessageExecutionCompleted');
    const passing = await cleanup.peer('Passing.0', directory, [], { registrationTimeout: 100 });
    await directory.stop();
    expect(JSON.parse(readFileSync(store, 'utf8')).peers).toHaveLength(2);
    await passing.stop();
    const again = await cleanup.directory({ store, endpoint });
    const kept = again.peers().find(({ id }) => id.value === 'Kept.0');
    expect(kept).toMatchObject({
      isUp: false,
      isPersistent: true,
      subscriptions: [{ messageType: 'Test.Told', key: ['a'] }],
    });
    expect(
      again
        .peers()
        .map(({ id }) => id.value)
        .sort(),
    ).toEqual(['Abc.Zebus.Directory.0', 'Kept.0']);
  });

  it('two directories tell each other: peers of one reach those of the other', async () => {
    const first = await cleanup.directory({ peerId: 'Abc.Zebus.Directory.0' });
    const early = await cleanup.peer('Early.0', first, [MessageHandler.stateless().handles(Ask, () => {})]);
    const second = await cleanup.directory({ peerId: 'Abc.Zebus.Directory.1', replicateTo: [first.endpoint] });
    const client = await cleanup.peer('Client.0', second);
    expect((await client.send(Ask.create({}))).isSuccess).toBe(true);
    await until('the first knows', () => first.peers().some(({ id }) => id.value === 'Client.0'));
    await until('its peers know', () => early.peers().some(({ id }) => id.value === 'Client.0'));
    await client.stop();
    await until('it is gone from both', () => early.peers().every(({ id }) => id.value !== 'Client.0'));
  });

  it('runs in process, without sockets', async () => {
    const directory = await cleanup.directory({ transport: new MemoryTransport({ endpoint: 'tcp://directory:1' }) });
    await cleanup.peer(
      'Echo.0',
      directory,
      [MessageHandler.stateless().handles(Ask, (_, context) => context.replyError(4, 'four'))],
      {},
      new MemoryTransport(),
    );
    const client = await cleanup.peer('Client.0', directory, [], {}, new MemoryTransport());
    expect(await client.send(Ask.create({}))).toMatchObject({ errorCode: 4, responseMessage: 'four' });
    await expect(
      cleanup.directory({ transport: new MemoryTransport({ endpoint: 'tcp://directory:1' }) }),
    ).rejects.toMatchObject({
      kind: 'transport',
    });
  });
});

describe('restarts', () => {
  it('a peer that comes back on another port is found there', async () => {
    const directory = await cleanup.directory();
    const serving = (answer: number) =>
      MessageHandler.stateless().handles(Ask, (_, context) => context.replyError(answer));
    const client = await cleanup.peer('Client.0', directory);
    const first = await cleanup.peer('Server.0', directory, [serving(1)]);
    await until('known', () => client.peersHandling(Ask.create({})).length === 1);
    expect((await client.send(Ask.create({}))).errorCode).toBe(1);
    await first.stop();
    await until('gone', () => client.peersHandling(Ask.create({})).length === 0);
    const second = await cleanup.peer('Server.0', directory, [serving(2)]);
    expect(second.endpoint).not.toBe(first.endpoint);
    await until('known again', () => client.peersHandling(Ask.create({}))[0]?.endpoint === second.endpoint);
    expect((await client.send(Ask.create({}))).errorCode).toBe(2);
  });

  it('peers register again with a directory that has forgotten them, and keep working meanwhile', async () => {
    const directory = await cleanup.directory({ pingInterval: 40 });
    const { endpoint } = directory;
    const settings = { directoryPingInterval: 100, registrationTimeout: 300 };
    const server = await cleanup.peer(
      'Server.0',
      directory,
      [MessageHandler.stateless().handles(Ask, () => {})],
      settings,
    );
    const client = await cleanup.peer('Client.0', directory, [], settings);
    const seen: number[] = [];
    await server.subscribe(Told, undefined, ({ n }) => {
      seen.push(n);
    });
    await until('known', () => client.peersHandling(Told.create({ n: 0 })).length === 1);
    await directory.stop();
    expect((await client.send(Ask.create({}))).isSuccess).toBe(true);
    await client.publish(Told.create({ n: 1 }));
    await until('events flow without a directory', () => seen.length === 1);

    const again = await cleanup.directory({ endpoint, pingInterval: 40 });
    await until('both have registered again', () => again.peers().length === 3);
    const late = await cleanup.peer('Late.0', again);
    await late.publish(Told.create({ n: 2 }));
    await until('run-time subscriptions came along', () => seen.length === 2);
    expect((await late.send(Ask.create({}))).isSuccess).toBe(true);
  });

  it('a peer that the directory gave up although it lives registers again', async () => {
    const directory = await cleanup.directory();
    const peer = await cleanup.peer('Lives.0', directory);
    const raw = await new RawPeer('Admin', 'test').listen();
    cleanup.add(() => raw.close());
    let registered = 0;
    peer.on('registered', () => registered++);
    await raw.send(peer.endpoint, 'Abc.Zebus.Directory.PeerDecommissioned', { id: { value: 'Lives.0' } });
    await until('it is back', () => registered === 1);
    expect(directory.peers().map(({ id }) => id.value)).toContain('Lives.0');
  });

  it('commands to a peer that stops fail at once when they are transient', async () => {
    const directory = await cleanup.directory({ pingInterval: 20, transientPeerTimeout: 100 });
    const client = await cleanup.peer('Client.0', directory);
    const dying = await new RawPeer('Dying.0', 'test').listen();
    await dying.send(directory.endpoint, 'Abc.Zebus.Directory.RegisterPeerCommand', {
      peer: {
        peer: { id: { value: 'Dying.0' }, endpoint: dying.endpoint, is_up: true, is_responding: true },
        subscriptions: [{ message_type_id: { full_name: 'Test.Ask' }, binding_key: {} }],
        is_persistent: false,
        timestamp_utc: now(),
      },
    });
    await until('known', () => client.peersHandling(Ask.create({})).length === 1);
    const pending = client.send(Ask.create({}));
    await dying.next('Ask');
    dying.close();
    await expect(pending).rejects.toMatchObject({ kind: 'peer-stopped', peer: 'Dying.0', messageType: 'Test.Ask' });
  });

  it('a stop does not hang on a directory or a peer that died', async () => {
    const directory = await cleanup.directory();
    const peer = await cleanup.peer('Last.0', directory, [], { registrationTimeout: 100 }, local());
    await directory.stop();
    const errors: Error[] = [];
    peer.on('error', (error) => errors.push(error));
    await peer.stop();
    expect(peer.state).toBe('stopped');
    expect(errors[0]?.message).toMatch(/^failed to unregister from directory:\n {4}tried /);
  });
});
