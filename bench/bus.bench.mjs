// The event bus against its alternatives, in one run: ingest by path and size, poll and filter, latency, idle CPU,
// several producers, flat cost, both backends. `--quick` shortens it, `--json` prints one JSON document.
//
// Rates count from the first call to the end of `flush` with every event readable; the log is allocated beforehand
// (`reserveBytes`), because touching fresh memory on a virtual machine can cost more than everything else.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values: flags } = parseArgs({
  options: { quick: { type: 'boolean' }, json: { type: 'boolean' } },
  strict: false,
});
const here = fileURLToPath(new URL('.', import.meta.url));
const rows = [];
const say = (text) => flags.json || process.stdout.write(`${text}\n`);

function child(command, args, env) {
  const done = spawnSync(command, args, {
    encoding: 'utf8',
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (done.status !== 0) throw new Error(`${args.slice(1).join(' ')} failed`);
  return JSON.parse(done.stdout.trim().split('\n').at(-1));
}

const task = (name, options, env) =>
  child(process.execPath, ['--expose-gc', join(here, 'bus', 'tasks.mjs'), name, JSON.stringify(options)], env);

const WASM = { MESHRING_BACKEND: 'wasm' };
const ADDON = { MESHRING_BACKEND: 'addon' };
const million = (value) => `${(value / 1e6).toFixed(2)} M/s`;

/** One line: what, the figure, its spread, a ratio to an alternative, the target. */
function row(name, value, { unit = 'M/s', spread, ratio, target, holds } = {}) {
  rows.push({
    name,
    value,
    unit,
    ...(spread ? { min: spread.min, max: spread.max } : {}),
    ...(ratio ? { ratio } : {}),
    ...(target ? { target, holds } : {}),
  });
  const figure = unit === 'M/s' ? million(value) : `${value.toFixed(unit === '%' ? 2 : 1)} ${unit}`;
  const range = spread?.max ? `(${(spread.min / 1e6).toFixed(1)}–${(spread.max / 1e6).toFixed(1)})` : '';
  const compared = ratio ? `${ratio.value.toFixed(2)}× ${ratio.of}` : '';
  say(
    `  ${name.padEnd(34)} ${figure.padStart(12)} ${range.padEnd(14)} ${compared.padEnd(36)} ${target ? `${target}: ${holds ? 'yes' : 'NO'}` : ''}`,
  );
}

const scale = flags.quick ? 0.25 : 1;
const rounds = flags.quick ? 3 : 5;
const count = (size) => Math.round(((size >= 500 ? 400_000 : 2_000_000) * scale) / 1000) * 1000;
const python = join(here, '..', '.cache', 'venv', 'bin', 'python');

for (const size of [9, 112, 554]) {
  const n = count(size);
  say(`\n${size}-byte events, 4 shards, one thread, addon, ${n} events, all readable at the end`);
  const rate = (path, env = ADDON) => task('ingest', { path, size, n, rounds }, env);
  const bare = {
    buffers: rate('bare set').median,
    texts: rate('bare utf8Write').median,
    objects: rate('JSON.stringify').median,
  };
  const peer = existsSync(python)
    ? child(python, [join(here, 'bus', 'peer.py'), String(size), String(n), '1']).median
    : undefined;
  const peerBatch = existsSync(python)
    ? child(python, [join(here, 'bus', 'peer.py'), String(size), String(n), '1000']).median
    : undefined;
  const against = (value, other, of) => (other ? { value: value / other, of } : undefined);
  const targets = {
    'emitBuffer/112': 15,
    'fire/112': 9,
    'emitBuffer/9': 20,
    'fire/9': 10,
    'emitRaw/112': 4,
    'fireBatch 1000/112': 9,
    'pushBatch 1000/112': 15,
  };
  for (const path of ['emitBuffer', 'fire', 'emitRaw', 'fireBatch 1000', 'pushBatch 1000']) {
    const spread = rate(path);
    const target = targets[`${path}/${size}`];
    const of = path.includes('Batch')
      ? against(spread.median, peerBatch, 'published bus, batch 1000')
      : against(spread.median, peer, 'published bus, single');
    row(path, spread.median, {
      spread,
      ratio: of,
      ...(target ? { target: `≥ ${target} M/s`, holds: spread.median >= target * 1e6 } : {}),
    });
  }
  const emit = rate('emit');
  const cost = bare.objects / emit.median;
  row('emit(object)', emit.median, {
    spread: emit,
    ratio: { value: cost, of: 'the time of JSON.stringify' },
    ...(size > 9 ? { target: '≤ 1.3×', holds: cost <= 1.3 } : {}),
  });
  row('bare Uint8Array.set', bare.buffers);
  row('bare utf8Write', bare.texts);
  for (const path of ['array push', 'EventEmitter']) row(path, rate(path).median);
  row('MessagePort', task('port', { size, n: Math.min(n, 200_000) }, ADDON).median);
  if (peer) row('published bus, single (stores nothing)', peer);
  if (peerBatch) row('published bus, batch 1000 (same)', peerBatch);
  const wasm = rate('fire', WASM);
  row('fire, WebAssembly', wasm.median, {
    spread: wasm,
    ...(size === 112 ? { target: '≥ 4 M/s', holds: wasm.median >= 4e6 } : {}),
  });
  const wasmBuffer = rate('emitBuffer', WASM);
  row('emitBuffer, WebAssembly', wasmBuffer.median, { spread: wasmBuffer });
}

say('\nreading, 112-byte events');
const read = task('poll', { size: 112, n: count(112), rounds }, ADDON);
row('poll, id and raw of each read', read.poll.median, {
  spread: read.poll,
  target: '≥ 2 M/s',
  holds: read.poll.median >= 2e6,
});
row('poll by insertion_ts', read.ordered.median, { spread: read.ordered });
const parse = read['JSON.parse and compare'].median;
row('equality filter, 1 in 7 matches', read.filter.median, {
  spread: read.filter,
  ratio: { value: read.filter.median / parse, of: 'JSON.parse and compare' },
  target: '≥ 4 M/s',
  holds: read.filter.median >= 4e6,
});
row('equality filter, none matches', read['no match'].median, { spread: read['no match'] });

say('\nwaking, idling, threads');
const latency = task('latency', { n: flags.quick ? 300 : 2000 }, ADDON);
row('wake-up of a subscriber, p50', latency.p50, {
  unit: 'µs',
  ratio: { value: latency.p50 / latency.messagePortP50, of: 'MessagePort' },
  target: '< 150 µs',
  holds: latency.p50 < 150,
});
row('wake-up of a subscriber, p99', latency.p99, {
  unit: 'µs',
  ratio: { value: latency.p99 / latency.messagePortP99, of: 'MessagePort' },
  target: '< 1000 µs',
  holds: latency.p99 < 1000,
});
const idle = task('idle', { seconds: flags.quick ? 3 : 10 }, ADDON);
row('CPU with an idle subscriber', idle.percent, { unit: '%', target: '0.0 %', holds: idle.percent < 0.05 });
const one = task('producers', { size: 112, n: count(112), producers: 1 }, ADDON).median;
const two = task('producers', { size: 112, n: count(112), producers: 2 }, ADDON).median;
row('one producer thread', one);
row('two producer threads', two, { ratio: { value: two / one, of: 'one' } });

say('\nflat cost, bounded log, 112-byte events by emitBuffer and fire');
for (const path of ['emitBuffer', 'fire']) {
  const base = {};
  for (const n of flags.quick ? [1e5, 1e6] : [1e5, 1e6, 1e7]) {
    const { rate, rssGrowthMb } = task('flat', { path, size: 112, n }, ADDON);
    base.rate ??= rate;
    row(`${path}, ${n.toExponential(0)} events, +${rssGrowthMb.toFixed(0)} MB`, rate, {
      ratio: { value: rate / base.rate, of: '1e5 events' },
    });
  }
}

say('\nBLAKE3');
const native = task('blake3', { bytes: 256 << 20 }, ADDON).gigabytesPerSecond;
const wasm = task('blake3', { bytes: 256 << 20 }, WASM).gigabytesPerSecond;
row('addon', native, { unit: 'GB/s' });
row('WebAssembly with SIMD', wasm, {
  unit: 'GB/s',
  ratio: { value: wasm / native, of: 'addon' },
  target: '≥ 0.9 GB/s',
  holds: wasm >= 0.9,
});

if (flags.json) process.stdout.write(`${JSON.stringify({ bench: 'bus', rows })}\n`);
