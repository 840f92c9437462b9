// CortEX: writes, queries, watches and snapshots, against plain JavaScript and, when it is installed, the published
// peer (Python binding) in the same run. `--quick` shortens it, `--full` goes to 10^7 tasks, `--json` prints JSON.
// On a machine that is busy with other work the CPU time of a create says more than its rate.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MemoriesAdapter, Redex, TasksAdapter } from 'meshring/cortex';

const { values: flags } = parseArgs({
  options: { quick: { type: 'boolean' }, full: { type: 'boolean' }, json: { type: 'boolean' } },
});
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const python = join(root, '.cache', 'venv', 'bin', 'python');
const results = [];
const TITLES = Array.from({ length: 4096 }, (_, i) => `write the docs of part ${i}`);
const TAGS = Array.from({ length: 1000 }, (_, i) => `tag ${i}`);
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

const sort = (numbers) => [...numbers].sort((a, b) => a - b);
const median = (numbers) => sort(numbers)[numbers.length >> 1];
const round = (value) => Number(value.toPrecision(3));

/** Notes the median of several runs with its spread, and the ratio to something else (above 1 = faster). */
function note(name, unit, runs, against) {
  const sorted = sort(runs);
  const middle = median(runs);
  const row = { name, unit, median: round(middle), min: round(sorted[0]), max: round(sorted.at(-1)) };
  if (against !== undefined) {
    row.against = against.name;
    row.other = round(against.value);
    row.ratio = round(unit.endsWith('/s') ? middle / against.value : against.value / middle);
  }
  results.push(row);
  return middle;
}

/** Milliseconds of a call. */
function time(work) {
  const start = performance.now();
  work();
  return performance.now() - start;
}

/** Microseconds of one call out of many, several times. */
function micros(work, calls, rounds = 5) {
  work();
  const many = () => {
    for (let i = 0; i < calls; i++) work();
  };
  return Array.from({ length: rounds }, () => (time(many) * 1000) / calls);
}

/** Resident memory after a collection: the log lives outside of the JavaScript heap. */
function used() {
  collect();
  return process.memoryUsage.rss();
}

async function fill(count) {
  const tasks = await TasksAdapter.open(new Redex(), 1n);
  const before = process.cpuUsage();
  const ms = time(() => {
    for (let i = 0; i < count; i++) tasks.create(BigInt(i), TITLES[i & 4095], BigInt(i) * 1000n);
  });
  const { user, system } = process.cpuUsage(before);
  if (tasks.count() !== count) throw new Error(`${tasks.count()} of ${count} tasks are there`);
  return { tasks, ms, cpu: user + system };
}

/** What one would write without this package: objects in a Map, scanned. */
class Plain {
  rows = new Map();
  create(id, title, now) {
    this.rows.set(id, { id, title, status: 'Pending', createdNs: now, updatedNs: now });
  }
  list(keep, by, limit) {
    const found = [...this.rows.values()].filter(keep);
    return found.sort((a, b) => (b[by] < a[by] ? -1 : b[by] > a[by] ? 1 : 0)).slice(0, limit);
  }
}

/** The published peer, written to in bursts as it bears them. */
const PEER = `
import json, net, sys, time
n = int(sys.argv[1])
t = net.TasksAdapter.open(net.Redex(), 1)
start = time.perf_counter()
for i in range(n):
    s = t.create(i, "write the docs of part %d" % (i % 4096), i * 1000)
    if i % 400 == 399: t.wait_for_seq(s)
t.wait_for_seq(s)
create = n / (time.perf_counter() - start) / 1e6
def us(calls, **kw):
    t.list_tasks(**kw)
    start = time.perf_counter()
    for _ in range(calls): t.list_tasks(**kw)
    return (time.perf_counter() - start) * 1e6 / calls
listed = us(10, status="pending", order_by="created_desc", limit=10)
contains = us(10, title_contains="part 77", limit=10)
start = time.perf_counter(); t.snapshot(); snapshot = (time.perf_counter() - start) * 1e3
print(json.dumps({"create": create, "list": listed, "contains": contains, "snapshot": snapshot}))
`;

const sizes = [10_000, 100_000, ...(flags.quick ? [] : [1_000_000]), ...(flags.full ? [10_000_000] : [])];
const size = flags.quick ? 20_000 : 100_000;

let peer;
if (existsSync(python)) {
  const done = spawnSync(python, ['-c', PEER, String(size)], { encoding: 'utf8', timeout: 120_000 });
  if (done.status === 0) peer = JSON.parse(done.stdout);
}
const peerOf = (key) => peer && { name: 'peer (Python binding)', value: peer[key] };

async function writes() {
  await fill(50_000);
  for (const count of sizes) {
    const rates = [];
    const cpuTimes = [];
    for (let i = 0; i < (count <= 10_000 ? 25 : count <= 100_000 ? 7 : count <= 1_000_000 ? 3 : 1); i++) {
      collect();
      const { tasks, ms, cpu } = await fill(count);
      rates.push(count / ms / 1000);
      cpuTimes.push((cpu * 1000) / count);
      tasks.close();
    }
    note(`tasks.create, folded, to ${count}`, 'M/s', rates, peerOf('create'));
    note(`tasks.create, CPU time of one, to ${count}`, 'ns', cpuTimes);
  }
}

async function memory() {
  const count = sizes.at(-1);
  const before = used();
  const { tasks } = await fill(count);
  note(`memory of a task, its log record included (${count}, shared titles)`, 'bytes', [(used() - before) / count]);
  tasks.close();
}

async function queries() {
  const { tasks } = await fill(size);
  const plain = new Plain();
  for (let i = 0; i < size; i++) plain.create(BigInt(i), TITLES[i & 4095], BigInt(i) * 1000n);
  // The adverse case of a walk: all that is wanted lies at the far end.
  for (let i = size / 2; i < size; i++) {
    tasks.complete(BigInt(i), BigInt(size + i) * 1000n);
    plain.rows.get(BigInt(i)).status = 'Completed';
  }
  const scan = (keep, limit) => ({
    name: 'Map and scan',
    value: median(micros(() => plain.list(keep, 'createdNs', limit), 2, 3)),
  });
  const compared = (name, filter, keep, other) => {
    const runs = micros(() => tasks.listTasks(filter), 200);
    note(`list ${name}, of ${size}`, 'µs', runs, scan(keep, filter.limit));
    if (other) note(`list ${name}, of ${size}`, 'µs', runs, other);
  };
  const pending = (task) => task.status === 'Pending';
  const status = { status: 'Pending', orderBy: 'CreatedDesc', limit: 10 };
  compared('status, CreatedDesc, limit 10', status, pending, peerOf('list'));
  compared('UpdatedDesc, limit 10', { orderBy: 'UpdatedDesc', limit: 10 }, () => true);
  const [from, to] = [BigInt(size) * 500n, BigInt(size) * 510n];
  const range = { createdAfterNs: from, createdBeforeNs: to, limit: 100 };
  compared('created in 1 % of the time, limit 100', range, (t) => t.createdNs >= from && t.createdNs <= to);
  const part = { titleContains: 'part 77', limit: 10 };
  compared('titleContains, limit 10', part, (t) => t.title.toLowerCase().includes('part 77'), peerOf('contains'));
  const absent = { titleContains: 'absent', limit: 10 };
  compared('titleContains of nothing, limit 10', absent, (t) => t.title.toLowerCase().includes('absent'));
  const all = micros(() => tasks.listTasks({ status: 'Pending' }), 1);
  note(`list all ${size / 2} pending`, 'µs', all, scan(pending));
  note(
    'get(id)',
    'µs',
    micros(() => tasks.get(777n), 10_000),
  );
  note(
    'count()',
    'µs',
    micros(() => tasks.count(), 100_000),
  );
  note(
    `countWhere status, of ${size}`,
    'µs',
    micros(() => tasks.countWhere({ status: 'Pending' }), 10_000),
  );
  await watches(tasks, median(all));
  await snapshots(tasks);
}

async function watches(tasks, listing) {
  const change = () => tasks.rename(BigInt(size - 1), TITLES[0], 1n);
  const bare = note('rename, no watch', 'µs', micros(change, 5000));
  const iterators = [];
  for (let i = 0; i < 10; i++) iterators.push((await tasks.watch({ status: 'Pending' }))[Symbol.asyncIterator]());
  for (const iterator of iterators) await iterator.next();
  const outside = `rename outside of 10 watches of ${size / 2} rows`;
  note(outside, 'µs', micros(change, 5000), { name: 'no watch', value: bare });
  const [first, ...others] = iterators;
  for (const iterator of others) await iterator.return();
  const delivered = [];
  for (let i = 0; i < 60; i++) {
    const start = performance.now();
    const next = first.next();
    tasks.rename(BigInt(i), `renamed ${i}`, 1n);
    await next;
    delivered.push((performance.now() - start) * 1000);
  }
  await first.return();
  const listed = { name: 'listing anew', value: listing };
  note(`change to next() of a watch of ${size / 2} rows`, 'µs', delivered, listed);
}

async function snapshots(tasks) {
  let snapshot;
  const take = () => {
    snapshot = tasks.snapshot();
  };
  const taken = micros(take, 1).map((us) => us / 1000);
  note(`snapshot of ${size}`, 'ms', taken, peerOf('snapshot'));
  const restores = [];
  for (let i = 0; i < 3; i++) {
    const start = performance.now();
    (await TasksAdapter.openFromSnapshot(new Redex(), 1n, snapshot)).close();
    restores.push(performance.now() - start);
  }
  note(`openFromSnapshot of ${size}`, 'ms', restores);
}

async function replay() {
  const redex = new Redex();
  const first = await TasksAdapter.open(redex, 1n);
  for (let i = 0; i < size; i++) first.create(BigInt(i), TITLES[i & 4095], BigInt(i));
  const rates = [];
  for (let i = 0; i < 3; i++) {
    const start = performance.now();
    (await TasksAdapter.open(redex, 1n)).close();
    rates.push(size / (performance.now() - start) / 1000);
  }
  note(`open: fold of a log of ${size} events`, 'M/s', rates);
}

async function compaction() {
  const redex = new Redex();
  const tasks = await TasksAdapter.open(redex, 1n);
  for (let i = 0; i < 10 * size; i++) tasks.create(BigInt(i % size), TITLES[i & 4095], BigInt(i));
  const open = async () => {
    const start = performance.now();
    (await TasksAdapter.open(redex, 1n)).close();
    return performance.now() - start;
  };
  const replayed = await open();
  const start = performance.now();
  await tasks.compact();
  note(`compact of ${10 * size} events to ${size} tasks`, 'ms', [performance.now() - start]);
  const against = { name: 'replay of all events', value: replayed };
  note('open after it', 'ms', [await open(), await open(), await open()], against);
}

async function memories() {
  const adapter = await MemoriesAdapter.open(new Redex(), 1n);
  const ms = time(() => {
    for (let i = 0; i < size; i++) {
      const tags = [TAGS[i % 1000], TAGS[(i * 7) % 1000], TAGS[(i * 13) % 10]];
      adapter.store(BigInt(i), TITLES[i & 4095], tags, `source ${i % 7}`, BigInt(i));
    }
  });
  note(`memories.store with 3 tags, folded, to ${size}`, 'M/s', [size / ms / 1000]);
  const list = (filter) => micros(() => adapter.listMemories(filter), 200);
  note(
    `list tag, CreatedDesc, limit 10, of ${size}`,
    'µs',
    list({ tag: 'tag 555', orderBy: 'CreatedDesc', limit: 10 }),
  );
  const any = { anyTag: ['tag 5', 'tag 700'], source: 'source 3', limit: 10 };
  note(`list anyTag of 2, source, limit 10, of ${size}`, 'µs', list(any));
}

const load = [loadavg()[0]];
for (const part of [writes, memory, queries, replay, compaction, memories]) await part();
load.push(loadavg()[0]);

if (flags.json) {
  process.stdout.write(
    `${JSON.stringify({ bench: 'cortex', node: process.version, cpus: cpus().length, load, results }, null, 2)}\n`,
  );
} else {
  for (const { name, unit, median, min, max, against, other, ratio } of results) {
    const compared = against === undefined ? '' : `   ${ratio}× ${against} (${other} ${unit})`;
    console.log(`${name.padEnd(66)} ${String(median).padStart(8)} ${unit.padEnd(5)} [${min} … ${max}]${compared}`);
  }
  console.log(
    `load average before and after: ${load.map((value) => value.toFixed(1)).join(', ')} on ${cpus().length} CPUs`,
  );
  if (!peer) console.log('(the published peer is not installed in .cache/venv: no comparison with it)');
}
