import { afterEach, describe, expect, it } from 'vitest';
import { BusBuilder, defineCommand, defineEvent, MessageHandler } from '../../src/zebus.js';
import { Cleanup, local, until } from './support/buses.js';
import { captured, decode, encode, now, RawPeer } from './support/raw-peer.js';

const EchoCommand = defineCommand({
  namespace: 'Abc.Echo',
  name: 'EchoCommand',
  fields: { msg: { tag: 1, type: 'string', required: true } },
});
const MessageSent = defineEvent({
  namespace: 'SimpleChat',
  name: 'MessageSent',
  fields: {
    target: { tag: 1, type: 'string', required: true },
    sender: { tag: 2, type: 'string', required: true },
    text: { tag: 3, type: 'string', required: true },
  },
  routing: ['target'],
});

const cleanup = new Cleanup();
afterEach(cleanup.run);

const raw = async (id: string): Promise<RawPeer> => {
  const peer = await new RawPeer(id).listen();
  cleanup.add(() => peer.close());
  return peer;
};
const ours = (id: string, directory: string, handlers: MessageHandler[] = []) => {
  const bus = new BusBuilder()
    .configure(id, 'example', { directoryEndpoints: [directory], registrationTimeout: 3000 })
    .handles(...handlers)
    .withTransport(local())
    .create();
  cleanup.add(() => bus.stop());
  return bus;
};

describe('a Rust peer on our directory', () => {
  it('registers, is announced, answers commands in all its ways, and leaves without a word', async () => {
    const directory = await cleanup.directory({ environment: 'example' });
    const echo = await raw('Abc.Echo.0');
    const command = await echo.replay(directory.endpoint, 'RegisterPeerCommand#0', (content) => {
      content.peer.peer.endpoint = echo.endpoint;
      content.peer.timestamp_utc = now();
    });
    const registered = await echo.next('MessageExecutionCompleted');
    expect(registered.body).toMatchObject({
      command_id: command,
      error_code: 0,
      payload_type_id: { full_name: 'Abc.Zebus.Directory.RegisterPeerResponse' },
    });
    expect(registered.transport).toMatchObject({ environment: 'example', was_persisted: false });
    const { peers } = decode('RegisterPeerResponse', registered.body.payload);
    expect(peers.map((peer: { peer: { id: { value: string } } }) => peer.peer.id.value).sort()).toEqual([
      'Abc.Echo.0',
      'Abc.Zebus.Directory.0',
    ]);
    const own = peers.find((peer: { peer: { id: { value: string } } }) => peer.peer.id.value === 'Abc.Echo.0');
    expect(own.subscriptions).toEqual(captured('RegisterPeerCommand#0').content.peer.subscriptions);

    const client = ours('Abc.Echo.Client.1', directory.endpoint);
    await client.start();
    const started = await echo.next('PeerStarted');
    expect(started.body.descriptor.peer).toEqual({
      id: { value: 'Abc.Echo.Client.1' },
      endpoint: client.endpoint,
      is_up: true,
      is_responding: true,
    });

    for (const [name, expected] of [
      ['MessageExecutionCompleted#2', { errorCode: 10, responseMessage: 'message is too long to be displayed: 30' }],
      ['MessageExecutionCompleted#4', { errorCode: -20 }],
      ['MessageExecutionCompleted#6', { errorCode: 0, isSuccess: true }],
    ] as const) {
      const answer = client.send(EchoCommand.create({ msg: 'hello' }));
      const asked = await echo.next('EchoCommand');
      expect(asked.content.toString('hex')).toBe('0a0568656c6c6f');
      expect(asked.transport.originator.sender_id.value).toBe('Abc.Echo.Client.1');
      await echo.replay(client.endpoint, name, (content) => {
        content.command_id = asked.transport.id;
      });
      expect(await answer).toMatchObject(expected);
    }

    // It pings like any directory would.
    await directory.bus.sendTo(
      defineCommand({ namespace: 'Abc.Zebus.Directory', name: 'PingPeerCommand', fields: {} }).create({}),
      client.peerId,
    );

    const changes: string[] = [];
    client.on('peer', ({ change, peer }) => changes.push(`${change} ${peer.id}`));
    await echo.replay(directory.endpoint, 'UnregisterPeerCommand#26', (content) => {
      content.endpoint = echo.endpoint;
      content.timestamp = now();
    });
    expect((await echo.next('MessageExecutionCompleted')).body.error_code).toBe(0);
    await until('the client knows', () => changes.includes('decommissioned Abc.Echo.0'));
    await expect(client.send(EchoCommand.create({ msg: 'x' }))).rejects.toMatchObject({ kind: 'no-peer' });
  });

  it('a registration is refused without a time stamp, and while the same peer responds elsewhere', async () => {
    const directory = await cleanup.directory({ environment: 'example' });
    const peer = await raw('Abc.Echo.0');
    const register = async (change: (content: { peer: Record<string, object> & { peer: object } }) => void) => {
      await peer.replay(directory.endpoint, 'RegisterPeerCommand#0', (content) => {
        content.peer.peer.endpoint = peer.endpoint;
        content.peer.timestamp_utc = now();
        change(content);
      });
      const { error_code, response_message } = (await peer.next('MessageExecutionCompleted')).body;
      return [error_code, response_message];
    };
    expect(await register((content) => delete content.peer.timestamp_utc)).toEqual([
      1,
      'The TimestampUtc must be provided when registering',
    ]);
    expect(await register(() => {})).toEqual([0, undefined]);
    expect(await register((content) => Object.assign(content.peer.peer, { endpoint: 'tcp://elsewhere:1234' }))).toEqual(
      [1001, `Peer Abc.Echo.0 already exists (running on ${peer.endpoint})`],
    );
    // The same machine may come back on another port.
    expect(await register((content) => Object.assign(content.peer.peer, { endpoint: 'tcp://127.0.0.1:9' }))).toEqual([
      0,
      undefined,
    ]);
  });

  it('captured frames of real peers are taken as they are', async () => {
    const directory = await cleanup.directory({ environment: 'example' });
    const sender = await raw('Sender');
    await sender.raw(directory.endpoint, captured('RegisterPeerCommand#12').frame);
    await until('alice is known', () => directory.peers().some(({ id }) => id.value === 'Chat.Client.alice'));
    const alice = directory.peers().find(({ id }) => id.value === 'Chat.Client.alice');
    expect(alice).toMatchObject({
      endpoint: 'tcp://vm:37625',
      timestampTicks: 17952614772963530n,
      isPersistent: false,
    });
    expect(alice?.subscriptions.filter(({ messageType }) => messageType === 'SimpleChat.MessageSent')).toEqual([
      { messageType: 'SimpleChat.MessageSent', key: ['room1'] },
      { messageType: 'SimpleChat.MessageSent', key: ['room2'] },
    ]);
    await sender.raw(directory.endpoint, captured('UnregisterPeerCommand#16').frame);
    await until('alice is gone', () => directory.peers().every(({ id }) => id.value !== 'Chat.Client.alice'));
  });
});

describe('our peer on a foreign directory', () => {
  it('registers as the protocol says, is pinged, exchanges routed events, and unregisters', async () => {
    const directory = await raw('Abc.Zebus.Directory.0');
    const alice = await raw('Chat.Client.alice');
    const heard: string[] = [];
    const handlers = MessageHandler.stateless().handles(
      MessageSent,
      ({ sender, text }, { originator }) => {
        heard.push(`${sender}: ${text} (${originator.senderId})`);
      },
      { bindings: [['room1']] },
    );
    const bus = ours('Chat.Server.1', directory.endpoint, [handlers]);
    const starting = bus.start();

    const registration = await directory.next('RegisterPeerCommand');
    expect(registration.body.peer.peer).toEqual({
      id: { value: 'Chat.Server.1' },
      endpoint: expect.stringMatching(/^tcp:\/\/127\.0\.0\.1:\d+$/),
      is_up: true,
      is_responding: true,
    });
    expect(registration.body.peer.timestamp_utc).toMatchObject({ scale: 5, kind: 1 });
    const subscriptions = registration.body.peer.subscriptions.map(
      (each: { message_type_id: { full_name: string }; binding_key: { parts?: string[] } }) =>
        `${each.message_type_id.full_name} ${each.binding_key.parts ?? ''}`.trim(),
    );
    expect(subscriptions[0]).toBe('SimpleChat.MessageSent room1');
    expect(subscriptions.slice(1).sort()).toEqual(
      [
        'PeerDecommissioned',
        'PeerNotResponding',
        'PeerResponding',
        'PeerStarted',
        'PeerStopped',
        'PeerSubscriptionsForTypesUpdated',
        'PeerSubscriptionsUpdated',
        'PingPeerCommand',
      ].map((name) => `Abc.Zebus.Directory.${name}`),
    );

    // Events that come before the answer wait for it, a foreign completion disturbs nothing, a ping is answered.
    const endpoint = registration.body.peer.peer.endpoint;
    const descriptor = captured('RegisterPeerCommand#12').content.peer;
    descriptor.peer.endpoint = alice.endpoint;
    descriptor.timestamp_utc = now();
    await directory.send(endpoint, 'Abc.Zebus.Directory.PeerStarted', { descriptor });
    await directory.send(endpoint, 'Abc.Zebus.Core.MessageExecutionCompleted', {
      command_id: { value: { lo: '1', hi: '2' } },
      error_code: 5,
    });
    const ping = await directory.send(endpoint, 'Abc.Zebus.Directory.PingPeerCommand', Buffer.alloc(0));
    expect((await directory.next('MessageExecutionCompleted')).body).toMatchObject({ command_id: ping, error_code: 0 });
    await directory.complete(registration, {
      error_code: 0,
      payload_type_id: { full_name: 'Abc.Zebus.Directory.RegisterPeerResponse' },
      payload: encode('RegisterPeerResponse', { peers: [registration.body.peer] }),
    });
    await starting;

    expect(bus.peersHandling(MessageSent.create({ target: 'room2', sender: '', text: '' }))).toMatchObject([
      { id: { value: 'Chat.Client.alice' }, endpoint: alice.endpoint },
    ]);
    await bus.publish(MessageSent.create({ target: 'room3', sender: 'x', text: 'nobody listens' }));
    await bus.publish(MessageSent.create({ target: 'room2', sender: 'alice', text: 'hello' }));
    const sent = await alice.next('MessageSent');
    expect(sent.body).toEqual({ target: 'room2', sender: 'alice', text: 'hello' });
    expect(sent.transport.originator.sender_endpoint).toBe(endpoint);
    expect(alice.received.filter(({ type }) => type === 'SimpleChat.MessageSent')).toEqual([]);

    await alice.raw(endpoint, captured('MessageSent#14').frame);
    await until('the captured event is handled', () => heard.length === 1);
    expect(heard).toEqual(['alice: hello (Chat.Server.0)']);

    const stopping = bus.stop();
    const unregistration = await directory.next('UnregisterPeerCommand');
    expect(unregistration.body).toMatchObject({ peer_id: { value: 'Chat.Server.1' }, endpoint });
    await directory.complete(unregistration);
    // Alice is told that nothing more comes, but a Rust peer need not answer.
    await alice.next('EndOfStream');
    await stopping;
  });

  it('says so when the peer already exists, and goes on to the next directory on other errors', async () => {
    const first = await raw('Abc.Zebus.Directory.0');
    const second = await raw('Abc.Zebus.Directory.1');
    const bus = new BusBuilder()
      .configure('A.0', 'example', {
        directoryEndpoints: [first.endpoint, second.endpoint],
        pickRandomDirectory: false,
        registrationTimeout: 2000,
      })
      .withTransport(local())
      .create();
    let starting = bus.start().catch((error: unknown) => error);
    await first.complete(await first.next('RegisterPeerCommand'), { error_code: 5, response_message: 'not now' });
    await second.complete(await second.next('RegisterPeerCommand'), { error_code: 1001, response_message: 'exists' });
    expect(await starting).toMatchObject({ kind: 'peer-already-exists', message: 'zebus:peer-already-exists: exists' });

    starting = bus.start().catch((error: unknown) => error);
    // The one that failed before is tried last now.
    await second.complete(await second.next('RegisterPeerCommand'), { error_code: 6, response_message: 'nor now' });
    await first.complete(await first.next('RegisterPeerCommand'), { error_code: 7 });
    expect(await starting).toMatchObject({
      kind: 'registration-failed',
      message: [
        'zebus:registration-failed: failed to register to directory:',
        `    tried Abc.Zebus.Directory.1 [${second.endpoint}]: error 6 nor now`,
        `    tried Abc.Zebus.Directory.0 [${first.endpoint}]: error 7`,
      ].join('\n'),
    });
  });
});
