/**
 * One story of logs, CortEX and NetDb below a directory, told in every home that persistent logs have: files, memory, and
 * the browser's private file system. It gives back what it saw as values that can be posted from a worker.
 */
import { CortexError, MemoriesAdapter, NetDb, NetDbError, Redex, RedexError, TasksAdapter } from '../../src/cortex.js';

type Seen = [what: string, ...values: unknown[]][];

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (content: string) => new TextEncoder().encode(content);
const END = 2n ** 64n - 1n;

/** Class, kind and text of what a call throws. */
async function refused(work: () => unknown): Promise<unknown[]> {
  try {
    await work();
  } catch (error) {
    const known = [CortexError, NetDbError, RedexError].find((type) => error instanceof type);
    return known ? [known.name, (error as CortexError).kind, (error as Error).message] : [String(error)];
  }
  return ['nothing was thrown'];
}

async function rawLogs(directory: string, seen: Seen): Promise<void> {
  const redex = new Redex({ persistentDir: directory });
  const file = redex.openFile('raw/log', { persistent: true, retentionMaxEvents: 100n });
  seen.push(['appended', file.append(bytes('one')), file.appendBatch([bytes('two'), bytes('')]), file.appendBatch([])]);
  const tail: string[] = [];
  const stream = await file.tail(1n);
  for (let i = 3; i < 300; i++) file.append(bytes(`event ${i}`));
  seen.push(['retained', file.len(), file.readRange(0n, 202n).map(({ seq }) => seq), file.nextSeq()]);
  seen.push([
    'lagged',
    await refused(async () => {
      for await (const event of stream) tail.push(text(event.payload));
    }),
  ]);
  for await (const event of await file.tail(298n)) {
    tail.push(text(event.payload));
    if (tail.length === 2) break;
  }
  seen.push(['tail', tail]);
  await file.sweepRetention();
  await file.sync();
  const second = new Redex({ persistentDir: directory }).openFile('raw/log', { persistent: true });
  second.append(bytes('through a second manager'));
  seen.push(['shared', file.nextSeq()]);
  await second.close();
  await redex.close();
  seen.push(['closed', await refused(() => file.append(bytes('x'))), await refused(() => redex.openFile('raw/log'))]);

  const again = new Redex({ persistentDir: directory });
  const reopened = again.openFile('raw/log', { persistent: true });
  const events = reopened.readRange(0n, END);
  seen.push(['reopened', events.length, text(events.at(-1)?.payload as Uint8Array), reopened.append(bytes('y'))]);
  seen.push(['names', await refused(() => again.openFile('Upper', { persistent: true }))]);
  await again.deleteFile('raw/log');
  seen.push(['deleted', again.openFile('raw/log', { persistent: true }).len()]);
  await again.close();
}

async function models(directory: string, seen: Seen): Promise<void> {
  const config = { originHash: 7n, persistentDir: directory, persistent: true, withTasks: true, withMemories: true };
  const open = async () => {
    const db = await NetDb.open(config);
    if (!db.tasks || !db.memories) throw new Error('both models were asked for');
    return { db, tasks: db.tasks, memories: db.memories };
  };
  const { db, tasks, memories } = await open();
  const watch = (await tasks.watch({ status: 'Completed' }))[Symbol.asyncIterator]();
  const rows = async () => ((await watch.next()).value as { id: bigint }[]).map(({ id }) => id);
  seen.push(['watch', await rows()]);
  for (let i = 0n; i < 200n; i++) {
    tasks.create(i, `task ${i}`, i);
    memories.store(i, `content ${i}`, [`tag ${i % 5n}`, 'all'], 'story', i);
  }
  tasks.complete(5n, 500n);
  tasks.rename(6n, 'Größe', 501n);
  tasks.delete(7n);
  memories.pin(9n, 502n);
  memories.retag(10n, ['other'], 503n);
  await tasks.waitForSeq(202n);
  seen.push(['watch', await rows()]);
  seen.push(['tasks', tasks.count(), tasks.listTasks({ titleContains: 'GRÖß' }), tasks.get(5n)]);
  seen.push(['memories', memories.countWhere({ tag: 'all' }), memories.listMemories({ pinned: true })]);
  const bundle = db.snapshot();
  await db.compact();
  const { snapshot, updates } = await memories.snapshotAndWatch({ source: 'late' });
  const update = updates[Symbol.asyncIterator]().next();
  memories.store(1000n, 'late', [], 'late', 1n);
  seen.push(['update', snapshot, (await update).value]);
  tasks.complete(8n, 600n);
  db.close();
  await db.closed;
  seen.push(['end', await watch.next().then(({ value }) => value.length), (await watch.next()).done]);
  seen.push(['closed', await refused(() => tasks.create(1n, '', 1n)), await refused(() => tasks.waitForSeq(999n))]);

  const closing: (Promise<void> | undefined)[] = [];
  for (let round = 0n; round < 3n; round++) {
    const next = await open();
    seen.push(['reopened', next.tasks.count(), next.memories.count(), next.tasks.foldErrors()]);
    seen.push(['sequences', next.tasks.snapshot().lastSeq, next.tasks.create(2000n + round, 'again', round)]);
    if (round === 1n) await next.db.compact();
    next.db.close();
    // Without waiting: another NetDb has the files at once, and no close fails because of it.
    closing.push(next.db.closed);
  }
  const last = await open();
  seen.push(['order', last.tasks.listTasks({ orderBy: 'UpdatedDesc', limit: 3 }).map(({ id }) => id)]);
  last.db.close();
  await Promise.all([last.db.closed, ...closing]);

  const moved = await NetDb.openFromSnapshot({ originHash: 7n, withTasks: true, withMemories: true }, bundle);
  seen.push(['moved', moved.tasks?.count(), moved.tasks?.create(1n, 'goes on', 1n), moved.memories?.get(10n)]);
  moved.close();
  seen.push([
    'bad bundle',
    await refused(() => NetDb.openFromSnapshot(config, { stateBytes: bytes('\u0001') as Buffer })),
  ]);
  const redex = new Redex({ persistentDir: directory });
  seen.push([
    'bad snapshot',
    await refused(() => TasksAdapter.openFromSnapshot(redex, 1n, { stateBytes: bytes('') as Buffer })),
  ]);
  const other = await MemoriesAdapter.open(redex, 8n, { persistent: true });
  seen.push(['other', other.count(), other.delete(1000n), other.count()]);
  other.close();
  await redex.close();
}

/** Tells the story below a directory that is empty. */
export async function story(directory: string): Promise<Seen> {
  const seen: Seen = [];
  await rawLogs(directory, seen);
  await models(directory, seen);
  return seen;
}

const task5 = { id: 5n, title: 'task 5', status: 'Completed', createdNs: 5n, updatedNs: 500n };
const task6 = { id: 6n, title: 'Größe', status: 'Pending', createdNs: 6n, updatedNs: 501n };
const memory = { source: 'story', pinned: false };
const memory9 = {
  ...memory,
  id: 9n,
  content: 'content 9',
  tags: ['tag 4', 'all'],
  createdNs: 9n,
  updatedNs: 502n,
  pinned: true,
};
const memory10 = { ...memory, id: 10n, content: 'content 10', tags: ['other'], createdNs: 10n, updatedNs: 503n };
const late = { ...memory, id: 1000n, content: 'late', tags: [], source: 'late', createdNs: 1n, updatedNs: 1n };

/** What the story sees in every home. */
export const EXPECTED: Seen = [
  ['appended', 0n, 1n, null],
  ['retained', 100n, [200n, 201n], 300n],
  ['lagged', ['RedexError', 'lagged', 'redex: tail: tail subscriber lagged; stream disconnected']],
  ['tail', ['event 298', 'event 299']],
  ['shared', 301n],
  [
    'closed',
    ['RedexError', 'closed', 'redex: append: file closed'],
    ['RedexError', 'closed', 'redex: open_file: file closed'],
  ],
  ['reopened', 100, 'through a second manager', 301n],
  [
    'names',
    [
      'RedexError',
      'invalid-name',
      "redex: invalid channel name: invalid channel name format: uppercase character 'U' not allowed — channel names are lowercase only",
    ],
  ],
  ['deleted', 0n],
  ['watch', []],
  ['watch', [5n]],
  ['tasks', 199, [task6], task5],
  ['memories', 199, [memory9]],
  ['update', [], [late]],
  ['end', 2, true],
  [
    'closed',
    ['CortexError', 'closed', 'cortex: create failed: adapter closed'],
    ['CortexError', 'fold-stopped', 'cortex: wait_for_seq: fold task stopped; folded_through=Some(203)'],
  ],
  ['reopened', 199, 201, 0n],
  ['sequences', 203n, 204n],
  ['reopened', 200, 201, 0n],
  ['sequences', 204n, 205n],
  ['reopened', 201, 201, 0n],
  ['sequences', 205n, 206n],
  ['order', [8n, 6n, 5n]],
  ['moved', 199, 203n, memory10],
  [
    'bad bundle',
    ['NetDbError', 'decode', 'netdb: decode snapshot bundle: snapshot: Hit the end of buffer, expected more data'],
  ],
  [
    'bad snapshot',
    [
      'CortexError',
      'restore-failed',
      'cortex: TasksAdapter open_from_snapshot failed: redex: encode failed: tasks snapshot unwrap: Hit the end of buffer, expected more data',
    ],
  ],
  ['other', 201, 203n, 200],
];
