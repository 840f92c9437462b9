// Zebus bus against bare ZeroMQ in one run: events of the same bytes between two processes, command round trips,
// fan-out, and what a slow peer costs. `--quick` shortens it, `--json` prints one JSON document.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { BusBuilder, DirectoryServer, defineCommand, defineEvent, MessageHandler, ZmqTransport } from 'meshring/zebus';

const quick = process.argv.includes('--quick');
const json = process.argv.includes('--json');
// Many short rounds: neighbours are compared, so that other work on the machine meets both sides alike.
const EVENTS = quick ? 50_000 : 100_000;
const ROUNDS = quick ? 5 : 15;
const COMMANDS = quick ? 3_000 : 20_000;

const Tick = defineEvent({
  namespace: 'Bench',
  name: 'Tick',
  transient: true,
  fields: { n: { tag: 1, type: 'int32', required: true }, text: { tag: 2, type: 'string', required: true } },
});
const Echo = defineCommand({
  namespace: 'Bench',
  name: 'Echo',
  transient: true,
  fields: { msg: { tag: 1, type: 'string', required: true } },
});
const Fan = defineEvent({
  namespace: 'Bench',
  name: 'Fan',
  transient: true,
  fields: { group: { tag: 1, type: 'string', required: true }, n: { tag: 2, type: 'int32', required: true } },
  routing: ['group'],
});
const Heavy = defineEvent({
  namespace: 'Bench',
  name: 'Heavy',
  transient: true,
  fields: { body: { tag: 1, type: 'bytes', required: true } },
});
const FANS = [1, 10, 50];

const bus = (peerId, directory, handlers = [], options = {}) =>
  new BusBuilder()
    .configure(peerId, 'bench', { directoryEndpoints: [directory], stopTimeoutMs: 1000 })
    .handles(...handlers)
    .withTransport(
      new ZmqTransport({ inboundEndpoint: 'tcp://127.0.0.1:*', waitForEndOfStreamAckTimeout: '1s' }, options),
    )
    .create();

/** Second process: bare PULL, subscriber, echo. */
async function child() {
  const zmq = (await import('zeromq')).default;
  const commands = {
    async bare({ count }) {
      const pull = new zmq.Pull({ receiveHighWaterMark: 40_000 });
      await pull.bind('tcp://127.0.0.1:*');
      process.send({ endpoint: pull.lastEndpoint });
      let received = 0;
      for await (const [frame] of pull) if (frame.length > 0 && ++received === count) break;
      process.send({ done: received });
      pull.close();
    },
    async subscriber({ directory, count }) {
      let received = 0;
      const handler = MessageHandler.stateless().handles(Tick, ({ n }) => {
        if (n >= 0 && ++received === count) {
          received = 0;
          process.send({ done: count });
        }
      });
      const peer = bus('Bench.Subscriber.0', directory, [handler, MessageHandler.stateless().handles(Echo, () => {})]);
      await peer.start();
      process.send({ endpoint: peer.endpoint });
    },
    async fans({ directory, deliveries }) {
      let received = 0;
      const handler = () => {
        if (++received === deliveries) {
          received = 0;
          process.send({ done: deliveries });
        }
      };
      for (let i = 0; i < Math.max(...FANS); i++) {
        const bindings = FANS.filter((size) => i < size).map((size) => [String(size)]);
        const handlers = MessageHandler.stateless().handles(Fan, handler, { bindings });
        await bus(`Bench.Fan.${i}`, directory, [handlers]).start();
      }
      process.send({ endpoint: 'ready' });
    },
    async stuck({ directory }) {
      const handler = MessageHandler.stateless().handles(Heavy, () => new Promise(() => {}));
      await bus('Bench.Stuck.0', directory, [handler]).start();
      process.send({ endpoint: 'ready' });
    },
    async quickly({ directory }) {
      let received = 0;
      // An empty event asks how many came before it.
      const handler = MessageHandler.stateless().handles(Heavy, ({ body }) => {
        if (body.length > 0) received++;
        else process.send({ done: received });
      });
      await bus('Bench.Quick.0', directory, [handler]).start();
      process.send({ endpoint: 'ready' });
    },
  };
  process.on('message', (message) => commands[message.run](message));
  process.on('disconnect', () => process.exit());
}

function spawn() {
  const process_ = fork(fileURLToPath(import.meta.url), ['child'], { stdio: 'inherit' });
  const next = async (key) => {
    for (;;) {
      const [message] = await once(process_, 'message');
      if (key in message) return message[key];
    }
  };
  return { process: process_, next };
}

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const quantile = (list, q) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * q))];

async function main() {
  const zmq = (await import('zeromq')).default;
  const directory = new DirectoryServer({ endpoint: 'tcp://127.0.0.1:*', environment: 'bench', pingInterval: 0 });
  await directory.start();
  const result = {};

  const bare = spawn();
  const subscriber = spawn();
  subscriber.process.send({ run: 'subscriber', directory: directory.endpoint, count: EVENTS });
  await subscriber.next('endpoint');
  // Rates compare what arrives: on a busy machine nothing may be given up.
  const publisher = bus('Bench.Publisher.0', directory.endpoint, [], { sendTimeout: 60_000 });
  await publisher.start();

  // Events: a text of 40 characters; the bare frames have as many bytes as ours.
  const texts = Array.from({ length: 4096 }, (_, n) => `event ${n} `.padEnd(40, 'x'));
  let frameBytes = 0;
  const rates = { bare: [], ours: [] };
  {
    const probe = new zmq.Pull();
    await probe.bind('tcp://127.0.0.1:*');
    const { id } = publisher.peers()[0];
    void publisher
      .publishTo(Tick.create({ n: -1, text: texts[0] }), {
        id: `${id}.probe`,
        endpoint: probe.lastEndpoint,
        isUp: true,
        isResponding: true,
      })
      .catch(() => {});
    const [frame] = await probe.receive();
    frameBytes = frame.length;
    probe.close();
  }
  // The first round warms up.
  for (let round = -1; round < ROUNDS; round++) {
    bare.process.send({ run: 'bare', count: EVENTS });
    const push = new zmq.Push({ sendHighWaterMark: 20_000 });
    push.connect(await bare.next('endpoint'));
    let done = bare.next('done');
    let start = performance.now();
    for (let n = 0; n < EVENTS; n++) {
      const frame = Buffer.allocUnsafe(frameBytes);
      frame.writeInt32LE(n, 0);
      await push.send(frame);
    }
    await done;
    if (round >= 0) rates.bare.push((EVENTS / (performance.now() - start)) * 1000);
    push.close();

    done = subscriber.next('done');
    start = performance.now();
    for (let n = 0; n < EVENTS; n++) await publisher.publish(Tick.create({ n, text: texts[n & 4095] }));
    await done;
    if (round >= 0) rates.ours.push((EVENTS / (performance.now() - start)) * 1000);
  }
  const ratios = rates.ours.map((rate, i) => rate / rates.bare[i]);
  result.events = {
    frameBytes,
    bare: median(rates.bare),
    ours: median(rates.ours),
    ratio: median(ratios),
    spread: [Math.min(...ratios), Math.max(...ratios)],
  };

  // Commands, one after the other, between two processes.
  for (let n = 0; n < 500; n++) await publisher.send(Echo.create({ msg: 'warm' }));
  const times = [];
  for (let n = 0; n < COMMANDS; n++) {
    const start = performance.now();
    await publisher.send(Echo.create({ msg: 'hello' }));
    times.push((performance.now() - start) * 1000);
  }
  const pipelined = performance.now();
  for (let n = 0; n < COMMANDS; n += 1000) {
    await Promise.all(Array.from({ length: 1000 }, () => publisher.send(Echo.create({ msg: 'hello' }))));
  }
  result.commands = {
    p50: quantile(times, 0.5),
    p99: quantile(times, 0.99),
    perSecond: (COMMANDS / (performance.now() - pipelined)) * 1000,
  };

  // Fan-out: the same number of deliveries to one, ten and fifty peers of another process.
  const deliveries = quick ? 50_000 : 200_000;
  const fans = spawn();
  fans.process.send({ run: 'fans', directory: directory.endpoint, deliveries });
  await fans.next('endpoint');
  const handling = (event) => publisher.peersHandling(event).length;
  await until(() => FANS.every((size) => handling(Fan.create({ group: String(size), n: 0 })) === size));
  result.fanOut = [];
  for (const size of [...FANS, ...FANS]) {
    const done = fans.next('done');
    const start = performance.now();
    for (let n = 0; n < deliveries / size; n++) await publisher.publish(Fan.create({ group: String(size), n }));
    await done;
    const perSecond = (deliveries / (performance.now() - start)) * 1000;
    // The first pass connects and warms up.
    result.fanOut = result.fanOut.filter((row) => row.peers !== size).concat({ peers: size, perSecond });
  }
  fans.process.disconnect();

  // Back-pressure: one peer that never finishes its first event, one that keeps up.
  const heavy = quick ? 60_000 : 150_000;
  const stuck = spawn();
  const keeping = spawn();
  stuck.process.send({ run: 'stuck', directory: directory.endpoint });
  keeping.process.send({ run: 'quickly', directory: directory.endpoint });
  await Promise.all([stuck.next('endpoint'), keeping.next('endpoint')]);
  const body = new Uint8Array(1024);
  await until(() => handling(Heavy.create({ body })) === 2);
  const sender = bus('Bench.Sender.0', directory.endpoint);
  await sender.start();
  const rss = process.memoryUsage.rss();
  let highest = rss;
  const delivered = keeping.next('done');
  const start = performance.now();
  for (let n = 0; n < heavy; n++) {
    await sender.publish(Heavy.create({ body }));
    if (n % 1000 === 0) highest = Math.max(highest, process.memoryUsage.rss());
  }
  await sender.publish(Heavy.create({ body: new Uint8Array(0) }));
  const received = await delivered;
  result.backPressure = {
    events: heavy,
    bytes: heavy * body.length,
    perSecond: (heavy / (performance.now() - start)) * 1000,
    memoryGrowth: highest - rss,
    receivedByTheQuickPeer: received,
    droppedForTheStuckPeer: sender.stats().dropped - (heavy - received),
  };
  await sender.stop();
  stuck.process.kill('SIGKILL');
  keeping.process.disconnect();

  await publisher.stop();
  await directory.stop();
  bare.process.disconnect();
  subscriber.process.disconnect();
  print(result);
}

async function until(condition) {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

function print(result) {
  if (json) {
    console.log(JSON.stringify({ bench: 'zebus', ...result }));
    return;
  }
  const { events, commands, fanOut, backPressure } = result;
  const number = (value) => Math.round(value).toLocaleString('en').padStart(12);
  const ratio = (value) => value.toFixed(2).padStart(8);
  const alone = fanOut[0].perSecond;
  console.log(`events of ${events.frameBytes} bytes, one process to another       per second    ratio (spread)`);
  console.log(`  bare zeromq push/pull                       ${number(events.bare)} ${ratio(1)}`);
  const spread = events.spread.map((value) => value.toFixed(2)).join('–');
  console.log(
    `  bus.publish to handler                      ${number(events.ours)} ${ratio(events.ratio)} (${spread})`,
  );
  console.log('commands, there and back');
  console.log(`  round trip p50, µs                          ${number(commands.p50)}`);
  console.log(`  round trip p99, µs                          ${number(commands.p99)}`);
  console.log(`  1000 at a time, per second                  ${number(commands.perSecond)}`);
  console.log('fan-out, deliveries');
  for (const { peers, perSecond } of fanOut) {
    console.log(
      `  to ${String(peers).padStart(2)} peers                                 ${number(perSecond)} ${ratio(perSecond / alone)}`,
    );
  }
  console.log('back-pressure: one stuck subscriber, one that keeps up');
  console.log(`  events published                            ${number(backPressure.events)}`);
  console.log(`  of them received by the other                ${number(backPressure.receivedByTheQuickPeer)}`);
  console.log(`  of them dropped for the stuck one           ${number(backPressure.droppedForTheStuckPeer)}`);
  console.log(`  growth of the publisher's memory, MB        ${number(backPressure.memoryGrowth / 1e6)}`);
  console.log(`  sent in all, MB                             ${number(backPressure.bytes / 1e6)}`);
}

if (process.argv.includes('child')) await child();
else await main();
