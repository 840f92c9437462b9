// Marketrix Mesh between two Node processes, beside node:http2 alone with the same bytes in the same run.
// Needs Redis (MESHRING_REDIS, default redis://127.0.0.1:6379) and a built dist/ (npm run build).
// --quick: a tenth of the messages. --json: one JSON document.
import { fork } from 'node:child_process';
import { connect, createServer } from 'node:http2';
import { fileURLToPath } from 'node:url';
import { encodeFrame, MeshPeer } from 'meshring/marketrix';

const REDIS = process.env.MESHRING_REDIS ?? 'redis://127.0.0.1:6379';
const quick = process.argv.includes('--quick');
const json = process.argv.includes('--json');
const LISTEN = { host: '127.0.0.1', advertiseHost: '127.0.0.1' };
const message = (i) => ({ text: `Message from Node #${i}` });

/** The other process: takes everything and says how much it was. */
async function sink(keyPrefix) {
  const mesh = await MeshPeer.join({ service: 'sink', redis: REDIS, keyPrefix, listen: LISTEN });
  mesh.handle('echo', (input) => input);
  mesh.onConnection(async (stream) => {
    let count = 0;
    for await (const first of stream) {
      if (first === 'sleep') return; // reads no further
      count += 1;
      break;
    }
    for await (const _ of stream) count += 1;
    await stream.send({ count });
    await stream.end();
  });
  const raw = createServer({ settings: { initialWindowSize: 1 << 20 } });
  raw.on('session', (session) => session.setLocalWindowSize(16 << 20));
  raw.on('stream', (stream, headers) => {
    stream.respond({ ':status': 200 });
    let bytes = 0;
    if (headers[':path'] === '/echo') stream.pipe(stream);
    else if (headers[':path'] === '/json') byHand(stream);
    else {
      stream.on('data', (chunk) => {
        bytes += chunk.length;
      });
      stream.on('end', () => stream.end(String(bytes)));
    }
  });
  raw.listen(0, '127.0.0.1', () => process.send({ port: raw.address().port }));
  process.on('disconnect', () => process.exit());
}

/** What one would write without the library: split frames, parse, count. */
function byHand(stream) {
  let [rest, count] = [Buffer.alloc(0), 0];
  stream.on('data', (chunk) => {
    rest = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    let at = 0;
    while (rest.length - at >= 4) {
      const length = rest.readUInt32BE(at);
      if (at + 4 + length > rest.length) break;
      JSON.parse(rest.toString('utf8', at + 4, at + 4 + length));
      count += 1;
      at += 4 + length;
    }
    rest = rest.subarray(at);
  });
  stream.on('end', () => stream.end(String(count)));
}

const seconds = (from) => (performance.now() - from) / 1000;
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

/** Median rate of three runs, and all of them. */
async function rate(count, run) {
  const rates = [];
  for (let i = 0; i < 3; i++) {
    const start = performance.now();
    await run();
    rates.push(count / seconds(start));
  }
  return { median: median(rates), runs: rates };
}

function body(stream) {
  return new Promise((resolve, reject) => {
    let text = '';
    stream.setEncoding('utf8');
    stream.on('data', (part) => {
      text += part;
    });
    stream.on('end', () => resolve(text));
    stream.on('error', reject);
  });
}

/** node:http2 alone: bytes made before, one write each, which Node merges; the other side only counts bytes. */
async function rawFrames(session, frames) {
  const stream = session.request({ ':path': '/', ':method': 'POST' });
  const answer = body(stream);
  for (const frame of frames) {
    if (!stream.write(frame)) await new Promise((resolve) => stream.once('drain', resolve));
  }
  stream.end();
  const total = frames.reduce((sum, frame) => sum + frame.length, 0);
  if (Number(await answer) !== total) throw new Error('raw http2 lost bytes');
}

/** node:http2, really one DATA frame per message: the next write waits until the one before is handed over. */
async function singleFrames(session, frames) {
  const stream = session.request({ ':path': '/', ':method': 'POST' });
  const answer = body(stream);
  for (const frame of frames) await new Promise((resolve) => stream.write(frame, resolve));
  stream.end();
  const total = frames.reduce((sum, frame) => sum + frame.length, 0);
  if (Number(await answer) !== total) throw new Error('raw http2 lost bytes');
}

/** node:http2 with JSON and framing by hand: the work that the mesh does, without the mesh. */
async function rawJson(session, count) {
  const stream = session.request({ ':path': '/json', ':method': 'POST' });
  const answer = body(stream);
  for (let i = 0; i < count; i++) {
    const text = Buffer.from(JSON.stringify(message(i)));
    const frame = Buffer.allocUnsafe(4 + text.length);
    frame.writeUInt32BE(text.length);
    text.copy(frame, 4);
    if (!stream.write(frame)) await new Promise((resolve) => stream.once('drain', resolve));
  }
  stream.end();
  if (Number(await answer) !== count) throw new Error('messages lost');
}

async function meshStream(mesh, count) {
  const stream = await mesh.connect('sink');
  for (let i = 0; i < count; i++) await stream.send(message(i));
  await stream.end();
  for await (const { count: got } of stream) if (got !== count) throw new Error(`${got} of ${count} messages arrived`);
}

async function latencies(count, once) {
  const times = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    await once(i);
    if (i >= count / 10) times.push((performance.now() - start) * 1000);
  }
  times.sort((a, b) => a - b);
  return { p50: times[Math.floor(times.length * 0.5)], p99: times[Math.floor(times.length * 0.99)] };
}

async function manyStreams(mesh, streams, each) {
  const before = mesh.stats().connectionsOut;
  const start = performance.now();
  const open = await Promise.all(Array.from({ length: streams }, () => mesh.connect('sink')));
  const opened = seconds(start);
  await Promise.all(
    open.map(async (stream) => {
      for (let i = 0; i < each; i++) await stream.send(message(i));
      await stream.end();
      for await (const { count } of stream) if (count !== each) throw new Error('messages lost');
    }),
  );
  const sockets = mesh.stats().connectionsOut;
  if (sockets !== before) throw new Error(`${sockets} sockets instead of ${before}`);
  return { streams, sockets, openedPerSecond: streams / opened, messagesPerSecond: (streams * each) / seconds(start) };
}

/** Writes to a reader that does not read, and looks at what that costs here. */
async function slowReader(mesh, ms) {
  const stream = await mesh.connect('sink');
  await stream.send('sleep');
  const text = 'x'.repeat(1000);
  globalThis.gc?.();
  const before = process.memoryUsage();
  let [accepted, refused, most] = [0, 0, 0];
  const end = performance.now() + ms;
  while (performance.now() < end) {
    for (let i = 0; i < 1000; i++) {
      if (stream.trySend({ text })) accepted += 1;
      else refused += 1;
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
    most = Math.max(most, process.memoryUsage().rss - before.rss);
  }
  stream.close();
  return { acceptedBytes: accepted * 1016, refused, rssGrowthBytes: most };
}

async function main() {
  const keyPrefix = `bench-${process.pid}-${Date.now()}`;
  const child = fork(fileURLToPath(import.meta.url), ['--sink', keyPrefix], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const { port } = await new Promise((resolve, reject) => {
    child.once('message', resolve);
    child.once('exit', (code) => reject(new Error(`the other process ended with ${code}; is Redis at ${REDIS}?`)));
  });
  const options = { redis: REDIS, keyPrefix, listen: false };
  const mesh = await MeshPeer.join({ service: 'bench', ...options });
  const rawMesh = await MeshPeer.join({ service: 'bench', envelope: false, ...options });
  const session = connect(`http://127.0.0.1:${port}`);
  const count = quick ? 30_000 : 300_000;
  const frames = Array.from({ length: count }, (_, i) => encodeFrame(message(i)));

  // Warm up all three, then measure.
  await rawFrames(session, frames.slice(0, 5000));
  await rawJson(session, 5000);
  await meshStream(mesh, 5000);
  await meshStream(rawMesh, 5000);
  const http2 = await rate(count, () => rawFrames(session, frames));
  const some = frames.slice(0, count / 10);
  const single = await rate(some.length, () => singleFrames(session, some));
  const http2Json = await rate(count, () => rawJson(session, count));
  const envelope = await rate(count, () => meshStream(mesh, count));
  const raw = await rate(count, () => meshStream(rawMesh, count));

  const calls = quick ? 500 : 5000;
  const once = message(1);
  const http2Call = await latencies(calls, async () => {
    const stream = session.request({ ':path': '/echo', ':method': 'POST' });
    const answer = body(stream);
    stream.end(JSON.stringify(once));
    await answer;
  });
  const meshCall = await latencies(calls, () => mesh.call('sink', 'echo', once));

  const many = await manyStreams(mesh, 1000, quick ? 20 : 200);
  const slow = await slowReader(mesh, quick ? 1000 : 5000);
  session.close();
  await Promise.all([mesh.leave(), rawMesh.leave()]);
  child.disconnect();

  const result = {
    bench: 'marketrix',
    messages: count,
    frameBytes: frames[0].length,
    messagesPerSecond: {
      http2: http2.median,
      http2SingleFrames: single.median,
      http2Json: http2Json.median,
      raw: raw.median,
      envelope: envelope.median,
    },
    runs: {
      http2: http2.runs,
      http2SingleFrames: single.runs,
      http2Json: http2Json.runs,
      raw: raw.runs,
      envelope: envelope.runs,
    },
    ratioToHttp2: { raw: raw.median / http2.median, envelope: envelope.median / http2.median },
    ratioToSingleFrames: { raw: raw.median / single.median, envelope: envelope.median / single.median },
    ratioToHttp2Json: { raw: raw.median / http2Json.median, envelope: envelope.median / http2Json.median },
    callMicroseconds: { http2: http2Call, mesh: meshCall, ratioP50: meshCall.p50 / http2Call.p50 },
    thousandStreams: many,
    slowReader: slow,
  };
  if (json) {
    console.log(JSON.stringify(result));
    return;
  }
  const k = (n) => `${(n / 1000).toFixed(0)} k/s`;
  const us = (n) => `${n.toFixed(0)} µs`;
  console.log(`one stream, one way, ${count} messages of ${frames[0].length} bytes with header`);
  const line = (name, { median, runs }) => {
    const ratio = (base) => `×${(median / base.median).toFixed(2)}`.padStart(8);
    const ratios = `${ratio(single)} ${ratio(http2Json)} ${ratio(http2)}`;
    console.log(`  ${name.padEnd(34)}${k(median).padEnd(10)}${ratios}   (${runs.map(k).join(', ')})`);
  };
  console.log(`${' '.repeat(46)}of single, of JSON, of merged`);
  line('node:http2, one DATA frame each', single);
  line('node:http2, ready bytes, merged', http2);
  line('node:http2, JSON by hand', http2Json);
  line('mesh, raw frames', raw);
  line('mesh, envelopes', envelope);
  console.log('one call after the other');
  console.log(`  node:http2 request and response   p50 ${us(http2Call.p50)}   p99 ${us(http2Call.p99)}`);
  console.log(
    `  mesh.call                         p50 ${us(meshCall.p50)}   p99 ${us(meshCall.p99)}   ×${result.callMicroseconds.ratioP50.toFixed(2)}`,
  );
  console.log(
    `1,000 streams on ${many.sockets} socket: opened ${k(many.openedPerSecond)}, ${k(many.messagesPerSecond)} messages`,
  );
  console.log(
    `reader that does not read: ${(slow.acceptedBytes / 2 ** 20).toFixed(1)} MiB accepted, ${slow.refused} sends refused, memory +${(slow.rssGrowthBytes / 2 ** 20).toFixed(1)} MiB`,
  );
}

if (process.argv[2] === '--sink') await sink(process.argv[3]);
else await main();
