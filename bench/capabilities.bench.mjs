// Identity, tokens, predicates and the capability index, each against the obvious alternative in the same run.
// `--quick` shortens it, `--json` prints one JSON document. The WebAssembly figures come from a child process.
import { spawnSync } from 'node:child_process';
import { createPublicKey, verify as nodeVerify } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { backend } from 'meshring/backend';
import {
  CapabilityIndex,
  decodeAnnouncement,
  encodeAnnouncement,
  signAnnouncement,
  verifyAnnouncement,
} from 'meshring/capabilities';
import {
  compilePredicate,
  diffCapabilities,
  evaluatePredicate,
  evaluatePredicateWithTrace,
  p,
  predicateDebugReport,
  predicateFromRpcHeader,
  predicateToRpcHeader,
  prepareCapabilities,
  standardPlacement,
} from 'meshring/capability-enhancements';
import { validateCapabilities } from 'meshring/capability-schema';
import { verifyToken } from 'meshring/core';
import { nobleVerify } from 'meshring/dist/identity/ed25519-noble';
import { Identity } from 'meshring/identity';

const { values: flags } = parseArgs({
  options: { quick: { type: 'boolean' }, json: { type: 'boolean' }, 'tokens-only': { type: 'boolean' } },
});
const ROUNDS = flags.quick ? 3 : 7;
const ROUND_MS = flags.quick ? 60 : 200;
const results = [];

/**
 * Calls per second of CPU time, so that other work on the machine does not count: `ROUNDS` rounds of about `ROUND_MS`,
 * after a warm-up. `work(i)` gets a running number.
 */
function rates(work) {
  let calls = 0;
  const until = (ms) => {
    const cpu = process.cpuUsage();
    const start = performance.now();
    const first = calls;
    while (performance.now() - start < ms) for (let i = 0; i < 32; i++) work(calls++);
    const { user, system } = process.cpuUsage(cpu);
    return ((calls - first) * 1e6) / (user + system);
  };
  until(ROUND_MS);
  return Array.from({ length: ROUNDS }, () => until(ROUND_MS)).sort((a, b) => a - b);
}

const median = (sorted) => sorted[sorted.length >> 1];
const round = (value) => Number(value.toPrecision(3));

/** Notes a rate with its spread, the ratio to an alternative, and the figure to reach. */
function note(name, sorted, { against, needed } = {}) {
  const row = { name, unit: '/s', median: round(median(sorted)), min: round(sorted[0]), max: round(sorted.at(-1)) };
  if (against)
    Object.assign(row, {
      against: against.name,
      other: round(against.value),
      ratio: round(row.median / against.value),
    });
  if (needed) Object.assign(row, { needed, ok: row.median >= needed });
  results.push(row);
  return row.median;
}

// --- tokens -----------------------------------------------------------------------------------------------------------
{
  const issuer = Identity.generate();
  const tokens = Array.from({ length: 256 }, () =>
    issuer.issueToken({ subject: issuer.entityId, scope: ['subscribe'], channel: 'sensors/temp', ttlSeconds: 3600 }),
  );
  const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), issuer.entityId]);
  const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  const other = median(
    rates((i) => {
      const { bytes } = tokens[i & 255];
      if (!nodeVerify(null, bytes.subarray(0, 105), key, bytes.subarray(105))) throw new Error('not verified');
    }),
  );
  const against = { name: 'node:crypto', value: other };
  const verify = (i) => {
    if (!verifyToken(tokens[i & 255].bytes)) throw new Error('not verified');
  };
  note(`token verify, ${backend.name}`, rates(verify), { against, needed: backend.name === 'addon' ? 10_000 : 1000 });
  if (flags['tokens-only']) {
    process.stdout.write(JSON.stringify(results));
    process.exit(0);
  }
  const child = spawnSync(
    process.execPath,
    [fileURLToPath(import.meta.url), '--tokens-only', ...(flags.quick ? ['--quick'] : [])],
    { env: { ...process.env, MESHRING_BACKEND: 'wasm' }, encoding: 'utf8' },
  );
  if (child.status === 0) results.push(...JSON.parse(child.stdout));
  else process.stderr.write(`the wasm figures failed: ${child.stderr}\n`);
  const typescript = rates((i) => {
    const { bytes } = tokens[i & 255];
    if (!nobleVerify(bytes.subarray(0, 32), bytes.subarray(0, 105), bytes.subarray(105))) throw new Error('no');
  });
  note('token verify, TypeScript (no published build reaches it)', typescript, { against });
  const sign = rates(() => issuer.issueToken({ subject: issuer.entityId, scope: [], channel: 'a', ttlSeconds: 60 }));
  note('token issue', sign);
}

// --- predicates -------------------------------------------------------------------------------------------------------
const SETS = Array.from({ length: 1024 }, (_, n) => ({
  tags: [
    `hardware.cpu_cores=${n % 128}`,
    `hardware.memory_gb=${n % 512}`,
    ...(n % 2 ? ['hardware.gpu', `hardware.gpu.vram_gb=${n % 96}`] : []),
    'software.os=linux',
    `software.runtime.python=3.${n % 14}.${n % 7}`,
    ...Array.from({ length: 24 }, (_, i) => `pool.${i}:${(n * 31 + i) % 97}`),
  ],
  metadata: { region: n % 3 ? 'eu' : 'us', owner: `team-${n % 9}` },
}));
{
  const key = (axis, name) => ({ axis, key: name });
  const pred = p.and(
    p.exists(key('hardware', 'gpu')),
    p.numericAtLeast(key('hardware', 'memory_gb'), 64),
    p.or(p.metadataEquals('region', 'eu'), p.semverAtLeast(key('software', 'runtime.python'), '3.11')),
  );
  const byHand = (tags, metadata) => {
    const value = (name) => tags.find((tag) => tag.startsWith(`${name}=`))?.slice(name.length + 1);
    return (
      tags.some((tag) => tag === 'hardware.gpu' || tag.startsWith('hardware.gpu=')) &&
      Number(value('hardware.memory_gb')) >= 64 &&
      (metadata.region === 'eu' || Number(value('software.runtime.python')?.split('.')[1]) >= 11)
    );
  };
  const other = median(rates((i) => byHand(SETS[i & 1023].tags, SETS[i & 1023].metadata)));
  const against = { name: 'written by hand', value: other };
  const plain = rates((i) => evaluatePredicate(pred, SETS[i & 1023].tags, SETS[i & 1023].metadata));
  note('predicate, plain, 30 tags', plain, { against, needed: 200_000 });
  const compiled = compilePredicate(pred);
  const prepared = SETS.map(({ tags, metadata }) => prepareCapabilities(tags, metadata));
  note(
    'predicate, compiled, prepared sets',
    rates((i) => compiled.matches(prepared[i & 1023])),
    {
      against,
      needed: 1_000_000,
    },
  );
  const header = predicateToRpcHeader(pred);
  note(
    'predicate from header',
    rates(() => predicateFromRpcHeader(header)),
  );
  const nodes = [{ kind: 'numeric_at_least', key: key('hardware', 'memory_gb'), threshold: 1 }];
  for (let i = 0; i < 90; i++) nodes.push({ kind: 'and', children: [i, i] });
  const hostile = predicateFromRpcHeader(JSON.stringify({ nodes, root_idx: 90 }));
  note(
    'hostile predicate (2^90 paths in 4 KB)',
    rates((i) => evaluatePredicate(hostile, SETS[i & 1023].tags, {})),
  );
}

// --- index ------------------------------------------------------------------------------------------------------------
const seedOf = (n) => {
  const seed = Buffer.alloc(32);
  seed.writeUInt32LE(n + 1);
  return seed;
};
{
  const NODES = 10_000;
  const announcements = Array.from({ length: NODES }, (_, n) => {
    const tags = new Set(['fleet', `zone:${n % 10}`, `rack:${n % 100}`, n % 4 ? 'hardware.gpu' : 'cpu-only']);
    for (let i = 0; tags.size < 30; i++) tags.add(`t${(n * 7919 + i * 104_729) % 400}`);
    return {
      nodeId: BigInt(n + 1),
      entityId: Buffer.alloc(32, n & 255),
      version: 1n,
      timestampNs: BigInt(Date.now()) * 1_000_000n,
      ttlSecs: 300,
      tags: [...tags].sort(),
      metadata: new Map(),
      hopCount: 0,
    };
  });
  const index = new CapabilityIndex();
  for (const announcement of announcements) index.index(announcement);
  const sets = announcements.map(({ nodeId, tags }) => ({ nodeId, tags: new Set(tags) }));
  const scan = (wanted) => sets.filter(({ tags }) => wanted.every((tag) => tags.has(tag))).map(({ nodeId }) => nodeId);
  const micros = (work, calls) => {
    const times = Array.from({ length: calls }, (_, i) => {
      const start = performance.now();
      work(i);
      return (performance.now() - start) * 1000;
    }).sort((a, b) => a - b);
    return { p50: times[calls >> 1], p99: times[Math.floor(calls * 0.99)] };
  };
  const queries = [
    ['3 tags, 75 found of 10,000', (i) => [`rack:${i % 100}`, 'fleet', 'hardware.gpu']],
    ['3 tags, common ones (750 found)', (i) => ['fleet', `zone:${i % 10}`, 'hardware.gpu']],
    ['3 tags, rare ones', (i) => [`t${i % 400}`, `t${(i + 129) % 400}`, 'fleet']],
  ];
  for (const [name, tagsOf] of queries) {
    const calls = flags.quick ? 400 : 4000;
    if (index.findNodes({ requireTags: tagsOf(7) }).length !== scan(tagsOf(7)).length)
      throw new Error('index is wrong');
    micros((i) => index.findNodes({ requireTags: tagsOf(i) }), calls);
    const ours = micros((i) => index.findNodes({ requireTags: tagsOf(i) }), calls);
    const other = micros((i) => scan(tagsOf(i)), calls >> 3);
    results.push({
      name: `findNodes ${name}`,
      unit: 'µs',
      median: round(ours.p50),
      max: round(ours.p99),
      against: 'scan of sets',
      other: round(other.p50),
      ratio: round(other.p50 / ours.p50),
      needed: 150,
      ok: ours.p50 < 150,
    });
  }

  // Ingest: decode, verify, index. A newer version of 500 nodes each round.
  const identities = Array.from({ length: 500 }, (_, n) => Identity.fromSeed(seedOf(n)));
  const payloads = identities.map((identity, n) =>
    encodeAnnouncement(
      signAnnouncement({ ...announcements[n], nodeId: identity.nodeId, entityId: identity.entityId }, identity),
    ),
  );
  note(
    `announcement decode + verify (${payloads[0].length} bytes)`,
    rates((i) => {
      const announcement = decodeAnnouncement(payloads[i % 500]);
      if (!announcement || !verifyAnnouncement(announcement)) throw new Error('not verified');
    }),
  );
  let version = 2n;
  const ingest = (change) =>
    rates((i) => {
      const announcement = decodeAnnouncement(payloads[i % 500]);
      if (!announcement || !verifyAnnouncement(announcement)) throw new Error('not verified');
      if (i % 500 === 0) version += 1n;
      if (!index.index({ ...announcement, ...change(announcement), version })) throw new Error('not indexed');
    });
  note(
    'announcement ingest incl. signature, renewals',
    ingest(() => ({})),
    { needed: 5000 },
  );
  const changed = ingest(({ tags }) => ({ tags: version % 2n ? tags : tags.slice(1) }));
  note('announcement ingest incl. signature, tags change', changed, { needed: 5000 });
}

// --- growth -----------------------------------------------------------------------------------------------------------
// The same work on 1, 10 and 100 times as much: CPU time per item, and how many times that of the smallest it is.
function growth(name, item, sizes, prepare) {
  let first;
  for (const size of sizes) {
    const work = prepare(size);
    const spent = (calls) => {
      const before = process.cpuUsage();
      for (let i = 0; i < calls; i++) work(i);
      const { user, system } = process.cpuUsage(before);
      return user + system;
    };
    globalThis.gc?.();
    let calls = 1;
    while (spent(calls) < ROUND_MS * 250) calls *= 2;
    const sorted = Array.from({ length: ROUNDS }, () => (spent(calls) * 1000) / calls / item(size)).sort(
      (a, b) => a - b,
    );
    first ??= median(sorted);
    results.push({
      name: `${name} × ${size.toLocaleString('en')}`,
      unit: 'ns each',
      median: round(median(sorted)),
      min: round(sorted[0]),
      max: round(sorted.at(-1)),
      against: 'smallest',
      other: round(first),
      ratio: round(median(sorted) / first),
    });
  }
}
{
  const each = (size) => size;
  const NODES = [1000, 10_000, 100_000];
  const indexes = new Map(
    NODES.map((size) => {
      const index = new CapabilityIndex({ maxNodes: size });
      for (let n = 0; n < size; n++) {
        index.index({
          nodeId: BigInt(n + 1),
          entityId: Buffer.from(seedOf(n)),
          version: 1n,
          timestampNs: BigInt(Date.now()) * 1_000_000n,
          ttlSecs: 3600,
          tags: ['fleet', `hardware.memory_gb=${n % 512}`, `rack:${Math.floor(n / 100)}`, `zone:${n % 10}`].sort(),
          metadata: new Map([['region', n % 3 ? 'eu' : 'us']]),
          hopCount: 0,
        });
      }
      return [size, index];
    }),
  );
  const memory = { axis: 'hardware', key: 'memory_gb' };
  const large = p.and(p.numericAtLeast(memory, 256), p.metadataEquals('region', 'eu'));
  const placement = standardPlacement().requireMetadata('region', 'eu').withPredicate(large).withLimit(10).build();
  growth(
    'findNodes, 100 found of nodes (per query)',
    () => 1,
    NODES,
    (size) => {
      const index = indexes.get(size);
      return (i) => index.findNodes({ requireTags: [`rack:${i % (size / 100)}`, 'fleet'] });
    },
  );
  growth('findNodes, a tenth found, nodes', each, NODES, (size) => {
    const index = indexes.get(size);
    return (i) => index.findNodes({ requireTags: [`zone:${i % 10}`, 'fleet'] });
  });
  growth('findNodesScoped, a tenth found, nodes', each, NODES, (size) => {
    const index = indexes.get(size);
    return (i) => index.findNodesScoped({ requireTags: [`zone:${i % 10}`] }, { kind: 'tenant', tenant: 'a' });
  });
  growth('findNodesMatching, nodes', each, NODES, (size) => {
    const index = indexes.get(size);
    return () => index.findNodesMatching(large);
  });
  growth('selectNodes, nodes', each, NODES, (size) => {
    const index = indexes.get(size);
    return () => index.selectNodes(placement);
  });
  indexes.clear();

  const TAGS = [30, 300, 3000];
  const tagsOf = (size) => Array.from({ length: size }, (_, i) => `hardware.key_${String(i).padStart(6, '0')}=${i}`);
  growth('evaluatePredicate, tags', each, TAGS, (size) => {
    const tags = tagsOf(size);
    return () => evaluatePredicate(large, tags, {});
  });
  growth('validateCapabilities, tags', each, TAGS, (size) => {
    const caps = { tags: tagsOf(size), metadata: {} };
    return () => validateCapabilities(caps);
  });
  growth('diffCapabilities, tags', each, TAGS, (size) => {
    const before = { tags: tagsOf(size), metadata: {} };
    const after = { tags: [...before.tags.slice(1), 'new'], metadata: {} };
    return () => diffCapabilities(before, after);
  });

  const CLAUSES = [30, 300, 3000];
  const wide = (size) => p.or(...Array.from({ length: size }, (_, i) => p.metadataEquals(`k${i}`, 'v')));
  growth('evaluatePredicate, clauses', each, CLAUSES, (size) => {
    const pred = wide(size);
    return () => evaluatePredicate(pred, [], {});
  });
  growth('compilePredicate, clauses', each, CLAUSES, (size) => {
    const pred = wide(size);
    return () => compilePredicate(pred);
  });
  growth('evaluatePredicateWithTrace, clauses', each, CLAUSES, (size) => {
    const pred = wide(size);
    return () => evaluatePredicateWithTrace(pred, [], {});
  });
  growth('predicateDebugReport, sets', each, [100, 1000, 10_000], (size) => {
    const contexts = Array.from({ length: size }, (_, i) => SETS[i & 1023]);
    return () => predicateDebugReport(large, contexts);
  });
}

if (flags.json) process.stdout.write(`${JSON.stringify({ bench: 'capabilities', backend: backend.name, results })}\n`);
else {
  const cell = (value) => (value === undefined ? '' : value.toLocaleString('en'));
  const rows = results.map((r) => [
    r.name,
    `${cell(r.median)} ${r.unit}`,
    r.unit === 'µs' ? `p99 ${cell(r.max)}` : `${cell(r.min)} – ${cell(r.max)}`,
    r.against ? `${r.ratio}× ${r.against} (${cell(r.other)})` : '',
    r.needed ? `${r.ok ? 'ok' : 'MISSED'} (${r.unit === 'µs' ? '<' : '≥'} ${cell(r.needed)})` : '',
  ]);
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  console.log('Rates are per second of CPU time.');
  for (const row of rows)
    console.log(
      row
        .map((text, i) => text.padEnd(widths[i]))
        .join('  ')
        .trimEnd(),
    );
}
