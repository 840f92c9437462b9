// Filtered polling of the log in memory against doing it in JavaScript, in one run: events scanned per second.
// `--quick` shortens it, `--json` prints one JSON document. The WebAssembly figures come from a child process.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Filter, NetNode } from 'meshring';
import { backend } from 'meshring/backend';

const { values: flags } = parseArgs({ options: { quick: { type: 'boolean' }, json: { type: 'boolean' } } });
const EVENTS = flags.quick ? 50_000 : 400_000;
const ROUNDS = flags.quick ? 3 : 7;
/** Rounds of the slow way. */
const YARDSTICK_ROUNDS = 2;
const NEEDED = 4e6;

/** 4096 distinct events of `size` bytes; one in ten has the token `hello`. */
function events(size) {
  return Array.from({ length: 4096 }, (_, i) => {
    const event = {
      id: 10_000_000_000_000 + i,
      token: i % 10 === 0 ? 'hello' : 'world',
      origin: ['ABQ', 'BOS', 'JFK'][i % 3],
      delay: (i * 37) % 90,
      tag: `sensor/${String(i).padStart(4, '0')}`,
      pad: '',
    };
    const text = JSON.stringify(event);
    return JSON.stringify({ ...event, pad: 'x'.repeat(Math.max(0, size - text.length)) });
  });
}

async function walk(node, request, visit) {
  let count = 0;
  let cursor;
  for (;;) {
    const page = await node.poll({ limit: 10_000, cursor, ...request });
    for (const event of page.events) if (visit(event)) count += 1;
    cursor = page.nextId;
    if (!page.hasMore) return count;
  }
}

/** Events per second: the rounds sorted; before ours one that is not counted. */
async function rates(work, rounds = ROUNDS) {
  if (rounds === ROUNDS) await work();
  const found = [];
  for (let i = 0; i < rounds; i++) {
    const start = performance.now();
    await work();
    found.push((EVENTS * 1000) / (performance.now() - start));
  }
  return found.sort((a, b) => a - b);
}

const rows = [];
for (const size of [112, 554]) {
  const texts = events(size);
  const node = await NetNode.create({
    shards: 4,
    bufferCapacity: 1 << 20,
    transport: { type: 'memory', maxBytes: 2 ** 30 },
  });
  for (let i = 0; i < EVENTS; i++) node.fire(texts[i & 4095]);
  await node.flush();
  const cases = [
    ['equality', Filter.eq('token', 'hello'), (event) => event.token === 'hello'],
    ['equality, nothing matches', Filter.eq('token', 'nobody'), (event) => event.token === 'nobody'],
    [
      'two conditions',
      new Filter().gte('delay', 60).startsWith('tag', 'sensor/00'),
      (event) => event.delay >= 60 && event.tag.startsWith('sensor/00'),
    ],
  ];
  for (const [name, filter, predicate] of cases) {
    let matched;
    let expected;
    const ours = await rates(async () => {
      matched = await walk(node, { filter }, () => true);
    });
    const theirs = await rates(async () => {
      expected = await walk(node, {}, (event) => predicate(JSON.parse(event.raw)));
    }, YARDSTICK_ROUNDS);
    if (matched !== expected) throw new Error(`${name}: ${matched} events match, JavaScript finds ${expected}`);
    const [median, other] = [ours, theirs].map((sorted) => sorted[sorted.length >> 1]);
    rows.push({
      name: `${name}, ${texts[0].length} bytes`,
      backend: backend.name,
      median: Math.round(median),
      min: Math.round(ours[0]),
      max: Math.round(ours.at(-1)),
      against: 'poll everything, JSON.parse, JavaScript predicate',
      other: Math.round(other),
      ratio: Number((median / other).toPrecision(3)),
      ...(name === 'equality' && size === 112 ? { needed: NEEDED, ok: median >= NEEDED } : {}),
    });
  }
  await node.shutdown();
}

if (backend.name === 'addon') {
  const args = [fileURLToPath(import.meta.url), '--json', ...(flags.quick ? ['--quick'] : [])];
  const env = { ...process.env, MESHRING_BACKEND: 'wasm' };
  const child = spawnSync(process.execPath, args, { env, encoding: 'utf8', maxBuffer: 1 << 24 });
  if (child.status === 0)
    for (const row of JSON.parse(child.stdout).results) rows.push({ ...row, needed: undefined, ok: undefined });
}

if (flags.json) {
  console.log(JSON.stringify({ bench: 'filter', events: EVENTS, results: rows }));
} else {
  console.log(
    `filtered polling, ${EVENTS} events in 4 shards; M events scanned per second, median (spread) of ${ROUNDS} rounds`,
  );
  for (const { name, backend: on, median, min, max, other, ratio, needed, ok } of rows) {
    const m = (rate) => (rate / 1e6).toFixed(2);
    const verdict = needed === undefined ? '' : ok ? `  needs ${m(needed)}: yes` : `  needs ${m(needed)}: NO`;
    console.log(
      `  ${on.padEnd(6)} ${name.padEnd(38)} ${m(median).padStart(6)} (${m(min)}–${m(max)})  in JavaScript ${m(other)}  ${ratio}×${verdict}`,
    );
  }
}
