// Chat with rooms: events, routing, and subscriptions that come and go.
//   node samples/zebus/chat.mjs alice room1 room2
// Each line of input: `<room> <text>` says something, `/join <room>` and `/leave <room>` do what they say, `/quit` ends.
import { createInterface } from 'node:readline/promises';
import {
  BusBuilder,
  DefaultConfigurationProvider,
  defineEvent,
  MessageHandler,
  PeerId,
  ZmqTransport,
} from 'meshring/zebus';

const text = (tag) => ({ tag, type: 'string', required: true });
// The room is the routing member: who has not joined it never gets the message.
const MessageSent = defineEvent({
  namespace: 'SimpleChat',
  name: 'MessageSent',
  fields: { target: text(1), sender: text(2), text: text(3) },
  routing: ['target'],
});
const UserConnected = defineEvent({ namespace: 'SimpleChat', name: 'UserConnected', fields: { username: text(1) } });
const UserDisconnected = defineEvent({
  namespace: 'SimpleChat',
  name: 'UserDisconnected',
  fields: { username: text(1) },
});

const [username = 'anonymous', ...rooms] = process.argv.slice(2);

const handlers = MessageHandler.withState({ username })
  .handles(UserConnected, (event, { state }) => {
    if (event.username !== state.username) console.log(`* ${event.username} is here`);
  })
  .handles(UserDisconnected, (event, { state }) => {
    if (event.username !== state.username) console.log(`* ${event.username} has left`);
  })
  .handles(
    MessageSent,
    (event, { state }) => {
      if (event.sender !== state.username) console.log(`[${event.target}] ${event.sender}: ${event.text}`);
    },
    { subscription: 'manual' },
  );

const bus = new BusBuilder()
  .configureWith(
    new PeerId(`Chat.Client.${username}`),
    'example',
    new DefaultConfigurationProvider().withFile('samples/zebus/bus.toml'),
  )
  .handles(handlers)
  .withTransport(new ZmqTransport(new DefaultConfigurationProvider().withFile('samples/zebus/zmq.toml').configure()))
  .create();

const joined = new Map();
const join = async (room) => {
  if (!joined.has(room)) joined.set(room, await bus.subscribe(MessageSent, [[room]]));
};
const leave = async (room) => {
  await joined.get(room)?.unsubscribe();
  joined.delete(room);
};

for (const room of rooms) await join(room);
await bus.start();
await bus.publish(UserConnected.create({ username }));
console.log(`${username} joined ${rooms.join(', ')}`);

const lines = createInterface({ input: process.stdin });
for await (const line of lines) {
  const [first = '', ...words] = line.trim().split(' ');
  if (first === '/quit') break;
  if (first === '/join') {
    await join(words[0]);
    console.log(`${username} joined ${words[0]}`);
  } else if (first === '/leave') {
    await leave(words[0]);
    console.log(`${username} left ${words[0]}`);
  } else if (words.length > 0) {
    await bus.publish(MessageSent.create({ target: first, sender: username, text: words.join(' ') }));
  }
}
await bus.publish(UserDisconnected.create({ username }));
await bus.stop();
process.stdin.destroy();
