// RedEX: appends in memory and on disk, flushes, reads, opening; against bare writes, SQLite (when better-sqlite3 is
// installed) and the published peer (Python binding) in the same run. `--quick` shortens it, `--json` prints JSON.
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  fdatasync,
  fdatasyncSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { Redex } from 'meshring/cortex';

const { values: flags } = parseArgs({ options: { quick: { type: 'boolean' }, json: { type: 'boolean' } } });
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const python = join(root, '.cache', 'venv', 'bin', 'python');
const work = mkdtempSync(join(tmpdir(), 'redex-bench-'));
const RUNS = flags.quick ? 3 : 5;
const EVENTS = flags.quick ? 200_000 : 1_000_000;
const SIZE = 64;
/** What one event of 64 bytes is on disk: payload and record. */
const ON_DISK = SIZE + 20;
const payloads = Array.from({ length: 4096 }, (_, i) => Buffer.alloc(SIZE, i & 0xff).fill(String(i), 0, 4));
const batches = Array.from({ length: 64 }, (_, i) => payloads.slice(i * 64, i * 64 + 64));
const awaitedSync = promisify(fdatasync);
const rows = [];
const sizes = [];
let id = 0;

const sort = (numbers) => [...numbers].sort((a, b) => a - b);
const median = (numbers) => sort(numbers)[numbers.length >> 1];
const digits = (value) => Number(value.toPrecision(3));

/** Median rate of `count` operations a run, in operations a second; noise of the machine shows in min and max. */
async function rate(count, run, runs = RUNS) {
  const rates = [];
  for (let i = 0; i < runs; i += 1) {
    const start = process.hrtime.bigint();
    await run(i);
    rates.push((count * 1e9) / Number(process.hrtime.bigint() - start));
  }
  return { median: median(rates), min: Math.min(...rates), max: Math.max(...rates) };
}

function note(name, unit, ours, others = {}, target = undefined) {
  const row = { name, unit, ours: digits(ours.median), min: digits(ours.min), max: digits(ours.max) };
  for (const [other, value] of Object.entries(others)) {
    if (value === undefined) continue;
    row[other] = digits(value.median);
    row[`ratio to ${other}`] = digits(ours.median / value.median);
  }
  if (target) row.target = target;
  rows.push(row);
}

/** Appends a second of the published peer, or undefined when it is not installed. */
function peer(persistent, batch) {
  if (!existsSync(python)) return undefined;
  const count = flags.quick ? 50_000 : 200_000;
  const script = `
import net, time, json
r = net.Redex(${JSON.stringify(join(work, `peer-${++id}`))}); p = [bytes([i & 255]) * ${SIZE} for i in range(4096)]; out = []
for k in range(${RUNS}):
    f = r.open_file('c%d' % k, persistent=${persistent ? 'True' : 'False'}); a = f.append; b = f.append_batch; t = time.perf_counter()
    ${batch ? `for i in range(${count} // 64): b(p[:64])` : `for i in range(${count}): a(p[i & 4095])`}
    out.append(${count} / (time.perf_counter() - t))
    f.close()
print(json.dumps(out))`;
  const done = spawnSync(python, ['-c', script], { encoding: 'utf8' });
  if (done.status !== 0) return undefined;
  return { median: median(JSON.parse(done.stdout)) };
}

/** Rows a second of SQLite in WAL mode, or undefined when it is not installed (here, or below BENCH_MODULES). */
async function sqlite(perTransaction) {
  let Database;
  try {
    Database = createRequire(process.env.BENCH_MODULES ?? import.meta.url)('better-sqlite3');
  } catch {
    return undefined;
  }
  const db = new Database(join(work, `sqlite-${++id}.db`));
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = OFF');
  db.exec('CREATE TABLE log (seq INTEGER PRIMARY KEY, payload BLOB)');
  const insert = db.prepare('INSERT INTO log (payload) VALUES (?)');
  const many = db.transaction((from) => {
    for (let i = 0; i < perTransaction; i += 1) insert.run(payloads[(from + i) & 4095]);
  });
  const count = 64 * (flags.quick ? 300 : 3000);
  const result = await rate(count, () => {
    for (let i = 0; i < count; i += perTransaction) {
      if (perTransaction === 1) insert.run(payloads[i & 4095]);
      else many(i);
    }
  });
  db.close();
  return result;
}

const empty = join(work, 'empty');
const directory = () => join(work, `ours-${++id}`);
const bareFile = () => openSync(join(work, `bare-${++id}`), 'w');

async function memory() {
  const one = await rate(EVENTS, () => {
    const file = new Redex().openFile('a');
    for (let i = 0; i < EVENTS; i += 1) file.append(payloads[i & 4095]);
  });
  note('append, memory', 'events/s', one, { peer: peer(false, false) }, '≥ 6 M/s');
  const many = await rate(EVENTS, () => {
    const file = new Redex().openFile('a');
    for (let i = 0; i < EVENTS / 64; i += 1) file.appendBatch(batches[i & 63]);
  });
  note('appendBatch of 64, memory', 'events/s', many, { peer: peer(false, true) });
}

async function disk() {
  // The two take turns, so that a busy machine treats both alike.
  const one = [];
  const bare = [];
  const bytes = Buffer.alloc(ON_DISK, 1);
  const count = EVENTS / 2;
  for (let run = 0; run < RUNS; run += 1) {
    const redex = new Redex({ persistentDir: directory() });
    const file = redex.openFile('a', { persistent: true });
    one.push(
      await rate(
        count,
        () => {
          for (let i = 0; i < count; i += 1) file.append(payloads[i & 4095]);
        },
        1,
      ),
    );
    await redex.close();
    const fd = bareFile();
    bare.push(
      await rate(
        count,
        () => {
          for (let i = 0; i < count; i += 1) writeSync(fd, bytes);
        },
        1,
      ),
    );
    closeSync(fd);
  }
  const whole = (all) => {
    const rates = all.map((entry) => entry.median);
    return { median: median(rates), min: Math.min(...rates), max: Math.max(...rates) };
  };
  const others = { writeSync: whole(bare), peer: peer(true, false), sqlite: await sqlite(1) };
  note('append, disk, no fsync', 'events/s', whole(one), others, '≥ writeSync');

  const redex = new Redex({ persistentDir: directory() });
  const file = redex.openFile('a', { persistent: true });
  const many = await rate(count, () => {
    for (let i = 0; i < count / 64; i += 1) file.appendBatch(batches[i & 63]);
  });
  note('appendBatch of 64, disk, no fsync', 'events/s', many, { peer: peer(true, true), sqlite: await sqlite(64) });
  await redex.close();
}

async function flush() {
  const redex = new Redex({ persistentDir: directory() });
  const file = redex.openFile('a', { persistent: true });
  const fd = bareFile();
  const bytes = Buffer.alloc(64 * ON_DISK, 1);
  // Short turns: what the device does meanwhile changes by the second.
  const count = 50;
  const ours = [];
  const bare = [];
  const awaited = [];
  for (let run = 0; run < RUNS * 8; run += 1) {
    const one = await rate(
      count,
      async () => {
        for (let i = 0; i < count; i += 1) {
          file.appendBatch(batches[i & 63]);
          await file.sync();
        }
      },
      1,
    );
    const other = await rate(
      count,
      () => {
        for (let i = 0; i < count; i += 1) {
          writeSync(fd, bytes);
          fdatasyncSync(fd);
        }
      },
      1,
    );
    const third = await rate(
      count,
      async () => {
        for (let i = 0; i < count; i += 1) {
          writeSync(fd, bytes);
          await awaitedSync(fd);
        }
      },
      1,
    );
    ours.push(one.median);
    bare.push(other.median);
    awaited.push(third.median);
  }
  closeSync(fd);
  await redex.close();
  const whole = { median: median(ours), min: Math.min(...ours), max: Math.max(...ours) };
  // `sync()` gives the thread free meanwhile, as the awaited call does; the bare one blocks it.
  const others = {
    'write+fdatasync': { median: median(bare) },
    'write+awaited fdatasync': { median: median(awaited) },
  };
  note('batch of 64 and sync', 'batches/s', whole, others, 'ratio ≥ 0.83');
}

async function reading(file, length, name) {
  const window = 10_000;
  const result = await rate(
    length,
    () => {
      let read = 0;
      for (let from = 0; from < length; from += window) {
        read += file.readRange(BigInt(from), BigInt(from + window)).length;
      }
      if (read !== length) throw new Error(`${read} of ${length} events were read`);
    },
    3,
  );
  note(name, 'events/s', result, {}, '≥ 3 M/s');
  return result;
}

/** Time and processor time of `work` for each of `count` events, in ns. */
async function perEvent(count, work) {
  const before = process.cpuUsage();
  const start = process.hrtime.bigint();
  await work();
  const wall = Number(process.hrtime.bigint() - start) / count;
  const { user, system } = process.cpuUsage(before);
  return { wall, user: (user * 1000) / count, system: (system * 1000) / count };
}

/** Each of the fields' median. */
function middle(all) {
  const of = (field) => digits(median(all.map((one) => one[field])));
  return { wall: of('wall'), user: of('user'), system: of('system') };
}

/** Time of `meshring log verify` in ms, without that of the start of the process. */
function verifying(where) {
  const run = (directory) => {
    const start = performance.now();
    const done = spawnSync(process.execPath, [join(root, 'dist', 'cli.js'), 'log', 'verify', directory]);
    if (done.status !== 0) throw new Error(`verify of ${directory} ended with ${done.status}`);
    return performance.now() - start;
  };
  return Math.max(0, run(where) - run(empty));
}

/**
 * Flat cost: the same work on logs of 10^4 to 10^7 events. System time is apart: it is memory that is touched for the
 * first time and room that is written in the files, and differs between machines more than anything else here.
 */
async function growth() {
  const first = new Redex({ persistentDir: empty });
  first.openFile('a', { persistent: true }).append(payloads[0]);
  await first.close();
  for (const length of flags.quick ? [1e4, 1e5, 1e6] : [1e4, 1e5, 1e6, 1e7]) {
    const rounds = Math.min(20, Math.max(1, 1e6 / length));
    const memory = [];
    const disk = [];
    let where;
    for (let round = -1; round < rounds; round += 1) {
      const log = new Redex().openFile('a');
      const append = (file) => {
        for (let i = 0; i < length; i += 1) file.append(payloads[i & 4095]);
      };
      const inMemory = await perEvent(length, () => append(log));
      if (where) rmSync(where, { recursive: true });
      where = directory();
      const redex = new Redex({ persistentDir: where });
      const file = redex.openFile('a', { persistent: true });
      const onDisk = await perEvent(length, () => append(file));
      await redex.close();
      // The first round of a short log is that of the compiler.
      if (round < 0 && rounds > 1) continue;
      memory.push(inMemory);
      disk.push(onDisk);
      if (rounds === 1) break;
    }
    const again = new Redex({ persistentDir: where });
    let opened;
    const open = await perEvent(length, () => {
      opened = again.openFile('a', { persistent: true });
    });
    const last = BigInt(Math.max(0, length - 10_000));
    const read = await rate(10_000, () => opened.readRange(last, last + 10_000n), 5);
    if (length === 1e6) await reading(opened, length, 'readRange in windows of 10^4');
    await again.close();
    const verify = verifying(where);
    const half = new Redex({ persistentDir: where });
    const bounded = half.openFile('a', { persistent: true, retentionMaxEvents: BigInt(length / 2) });
    const sweep = await perEvent(length / 2, () => bounded.sweepRetention());
    if (Number(bounded.len()) !== length / 2) throw new Error('retention kept another number of events');
    await half.close();
    rmSync(where, { recursive: true });
    const [m, d] = [middle(memory), middle(disk)];
    sizes.push({
      events: length,
      'append, memory: ns (user + system)': `${m.wall} (${m.user} + ${m.system})`,
      'append, disk: ns (user + system)': `${d.wall} (${d.user} + ${d.system})`,
      'read of the last 10^4, ns': digits(1e9 / read.median),
      'open, ms': digits((open.wall * length) / 1e6),
      'open, ns (user + system)': `${digits(open.wall)} (${digits(open.user)} + ${digits(open.system)})`,
      'verify, ms': digits(verify),
      'retention and compaction to half, ms': digits((sweep.wall * length) / 2e6),
    });
  }
}

/** What a writer that is killed with signal 9 leaves of what its appends returned for. */
function killed() {
  const where = directory();
  const code = `import { Redex } from 'meshring/cortex';
    import { writeSync } from 'node:fs';
    const file = new Redex({ persistentDir: ${JSON.stringify(where)} }).openFile('a', { persistent: true });
    let seq = 0n; const payload = Buffer.alloc(${SIZE}, 7);
    for (let i = 0; i < ${EVENTS / 10}; i += 1) seq = file.append(payload);
    writeSync(1, String(seq)); process.kill(process.pid, 'SIGKILL');`;
  const done = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8', cwd: root });
  const redex = new Redex({ persistentDir: where });
  const found = redex.openFile('a', { persistent: true }).nextSeq();
  return { acknowledged: Number(done.stdout) + 1, found: Number(found), signal: done.signal };
}

await memory();
await disk();
await flush();
await growth();
const crash = killed();
rmSync(work, { recursive: true, force: true });

const cpu = readFileSync('/proc/cpuinfo', 'utf8').match(/model name\s*:\s*(.*)/)?.[1] ?? process.arch;
if (flags.json) {
  console.log(JSON.stringify({ bench: 'redex', cpu, node: process.version, eventBytes: SIZE, rows, sizes, crash }));
} else {
  console.log(`RedEX, ${SIZE}-byte events; ${cpu}, Node ${process.version}; medians of ${RUNS} runs`);
  for (const { name, unit, ours, min, max, target, ...others } of rows) {
    const against = Object.entries(others).map(([key, value]) => `${key} ${value.toLocaleString('en')}`);
    const words = [target ? `target ${target}` : '', ...against].filter(Boolean).join('; ');
    console.log(
      `${name}: ${ours.toLocaleString('en')} ${unit} (${min.toLocaleString('en')} – ${max.toLocaleString('en')}); ${words}`,
    );
  }
  console.table(sizes);
  console.log(`killed with signal 9: ${crash.acknowledged} appends had returned, ${crash.found} events found`);
  if (!existsSync(python)) console.log('the published peer is not installed: no comparison with it');
  if (!rows.some((row) => row.sqlite)) console.log('better-sqlite3 is not installed: no comparison with SQLite');
}
