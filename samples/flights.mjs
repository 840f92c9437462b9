// US flights and a week of earthquakes through the event bus: full-speed ingest, polling and subscribing with filters,
// and a check of every count against a direct computation over the same JSON. Exits 1 when a count differs.
//
//   node samples/flights.mjs [--passes N] [--json]
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { NetNode } from 'meshring';
import { backend } from 'meshring/backend';

const argument = (name, fallback) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
};
const json = process.argv.includes('--json');
const passes = argument('--passes', 20);
const SHARDS = 4;
/** Events a shard keeps: more than one pass needs, so that the compared pass is retained whole. */
const CAPACITY = 1 << 18;

const data = join(dirname(createRequire(import.meta.url).resolve('vega-datasets')), '..', 'data');
const load = (name) => JSON.parse(readFileSync(join(data, name), 'utf8'));
const flights = load('flights-200k.json');
const quakes = load('earthquakes.json').features;
const texts = flights.map((flight) => JSON.stringify(flight));

/** Late by an hour or more on a route of at least 1,500 miles. */
const LATE = { $and: [{ $gte: { path: 'delay', value: 60 } }, { $gte: { path: 'distance', value: 1500 } }] };
const isLate = ({ delay, distance }) => delay >= 60 && distance >= 1500;
/** Magnitude 4.5 or more, reviewed by a person, in Alaska or near it. */
const STRONG = {
  $and: [
    { $gte: { path: 'properties.mag', value: 4.5 } },
    { $eq: { path: 'properties.status', value: 'reviewed' } },
    { $lt: { path: 'geometry.coordinates.2', value: 100 } },
  ],
};
const isStrong = ({ properties, geometry }) =>
  properties.mag >= 4.5 && properties.status === 'reviewed' && geometry.coordinates[2] < 100;

const say = (text) => json || process.stdout.write(`${text}\n`);
const million = (n) => `${(n / 1e6).toFixed(2)} M`;

function bar(done, total, rate) {
  if (json || !process.stdout.isTTY) return;
  const width = 30;
  const filled = Math.round((done / total) * width);
  process.stdout.write(`\r  [${'#'.repeat(filled)}${'.'.repeat(width - filled)}] ${million(done)} events, ${million(rate)}/s `);
  if (done === total) process.stdout.write('\n');
}

say(`meshring on the ${backend.name} backend (${backend.reason}); ${texts.length} flights, ${quakes.length} earthquakes`);
const node = await NetNode.create({
  shards: SHARDS,
  bufferCapacity: CAPACITY,
  transport: { type: 'memory', maxEvents: CAPACITY },
});
const checks = [];
const check = (what, expected, got) => checks.push({ what, expected, got, ok: expected === got });

try {
  // 1. Ingest: every flight, many times over. Older passes fall out of the bounded log.
  say(`\ningest: ${passes} passes over all flights by fire(), at most ${CAPACITY} events retained in each of ${SHARDS} shards`);
  const total = texts.length * passes;
  const started = performance.now();
  for (let pass = 1; pass <= passes; pass++) {
    for (const text of texts) node.fire(text);
    bar(pass * texts.length, total, (pass * texts.length * 1000) / (performance.now() - started));
    // Lets timers and the terminal have a turn.
    await new Promise((resolve) => setImmediate(resolve));
  }
  await node.flush();
  const seconds = (performance.now() - started) / 1000;
  say(`  ${million(total)} events in ${seconds.toFixed(2)} s, ${million(total / seconds)}/s to the last readable one`);
  check('flights ingested', BigInt(total), node.stats().eventsIngested);

  // 2. Poll: one more pass, read back with a filter from where the log ended before.
  let cursor = (await node.poll({ limit: 0 })).nextId;
  for (let page; (page = await node.poll({ limit: 10_000, cursor })).hasMore || page.events.length > 0; ) cursor = page.nextId;
  for (const text of texts) node.fire(text);
  let late = 0;
  let lost = 0;
  const polled = performance.now();
  for (let more = true; more; ) {
    const page = await node.poll({ limit: 10_000, cursor, filter: LATE });
    late += page.events.length;
    lost += page.lost ?? 0;
    cursor = page.nextId;
    more = page.hasMore;
  }
  const scanned = texts.length / ((performance.now() - polled) / 1000);
  check('late long flights, polled', flights.filter(isLate).length, late);
  check('events lost while polling', 0, lost);

  // 3. Subscribe: a nested filter on the earthquakes, woken as they arrive.
  const expected = quakes.filter(isStrong).length;
  const subscription = node.subscribeTyped({ filter: STRONG, fromNow: true });
  const received = (async () => {
    const places = [];
    for await (const quake of subscription) {
      places.push(`M ${quake.properties.mag} ${quake.properties.place}`);
      if (places.length === expected) break;
    }
    return places;
  })();
  for (const quake of quakes) node.emit(quake);
  const places = await received;
  subscription.stop();
  check('strong reviewed earthquakes, subscribed', expected, places.length);

  const result = {
    backend: backend.name,
    events: total,
    eventsPerSecond: Math.round(total / seconds),
    filterEventsPerSecond: Math.round(scanned),
    checks: checks.map(({ what, expected: e, got, ok }) => ({ what, expected: Number(e), got: Number(got), ok })),
  };
  if (json) process.stdout.write(`${JSON.stringify(result)}\n`);
  else {
    say(`\nfilter: ${million(scanned)} events/s scanned and the matches delivered`);
    say(`strongest of the stream: ${places.sort((a, b) => Number(b.split(' ')[1]) - Number(a.split(' ')[1])).slice(0, 2).join('; ')}\n`);
    say(`  ${'check'.padEnd(42)} ${'expected'.padStart(10)} ${'got'.padStart(10)}`);
    for (const { what, expected: e, got, ok } of checks) {
      say(`  ${what.padEnd(42)} ${String(e).padStart(10)} ${String(got).padStart(10)}  ${ok ? 'ok' : 'DIFFERS'}`);
    }
  }
} finally {
  await node.shutdown();
}
if (checks.some(({ ok }) => !ok)) {
  process.stderr.write('meshring: a count differs from the direct computation\n');
  process.exitCode = 1;
}
