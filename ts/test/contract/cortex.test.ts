// CortEX and NetDb as their users see them: writes, waits, watches, snapshots, errors, ends.
import { describe, expect, it } from 'vitest';
import {
  CortexError,
  MemoriesAdapter,
  MemoriesOrderBy,
  NetDb,
  NetDbError,
  Redex,
  type Task,
  TaskStatus,
  TasksAdapter,
  TasksOrderBy,
  WriteToken,
} from '../../src/cortex.js';

const ORIGIN = 0xabcdef01n;
const EMPTY = new Uint8Array([0, 1, 0]) as Buffer;
const titles = (rows: readonly Task[]) => rows.map(({ title }) => title);
const iterate = <T>(source: AsyncIterable<T>) => source[Symbol.asyncIterator]();

/** What a call throws. */
function thrown(work: () => unknown): Error {
  try {
    work();
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
}

async function pending(promise: Promise<unknown>): Promise<boolean> {
  const marker = {};
  for (let i = 0; i < 20; i++) await Promise.resolve();
  return (await Promise.race([promise, Promise.resolve(marker)])) === marker;
}

describe('writes', () => {
  it('are folded when the call returns, and every waiting reader sees them', async () => {
    const tasks = await TasksAdapter.open(new Redex(), ORIGIN);
    const waiting = tasks.waitForSeq(1n);
    expect(tasks.create(1n, 'write docs', 100n)).toBe(0n);
    expect(await pending(waiting)).toBe(true);
    expect(tasks.rename(1n, 'write the docs', 200n)).toBe(1n);
    await waiting;
    expect(tasks.complete(1n, 300n)).toBe(2n);
    const row = { id: 1n, title: 'write the docs', status: TaskStatus.Completed, createdNs: 100n, updatedNs: 300n };
    expect(tasks.listTasks()).toEqual([row]);
    expect(tasks.get(1n)).toEqual(row);
    expect(tasks.count()).toBe(1);
    expect(tasks.delete(1n)).toBe(3n);
    expect(tasks.exists(1n)).toBe(false);
  });

  it('survive a burst of any size in one tick', async () => {
    const tasks = await TasksAdapter.open(new Redex(), ORIGIN);
    const events = 200_000;
    for (let i = 0; i < events; i++) tasks.create(BigInt(i), `task ${i}`, BigInt(i));
    await tasks.waitForSeq(BigInt(events - 1));
    expect(tasks.count()).toBe(events);
    expect(tasks.isRunning()).toBe(true);
    expect(tasks.listTasks({ orderBy: 'CreatedDesc', limit: 2 }).map(({ id }) => id)).toEqual([199_999n, 199_998n]);
  });

  it('take lone surrogates as U+FFFD, and texts of any length', async () => {
    const redex = new Redex();
    const tasks = await TasksAdapter.open(redex, ORIGIN);
    const texts = [
      'a\ud800b',
      '\udc00',
      'grün 日本 😀',
      '',
      'x'.repeat(47),
      'x'.repeat(48),
      'x'.repeat(49),
      'é'.repeat(300),
      'y'.repeat(70_000),
    ];
    for (const [i, text] of texts.entries()) tasks.create(BigInt(i), text, 0n);
    expect(titles(tasks.listTasks())).toEqual(['a\ufffdb', '\ufffd', ...texts.slice(2)]);
    const again = await TasksAdapter.open(redex, ORIGIN);
    expect(again.listTasks()).toEqual(tasks.listTasks());
  });

  it('of other adapters and of raw appends on the same log are folded too', async () => {
    const redex = new Redex();
    const ours = await TasksAdapter.open(redex, ORIGIN);
    const theirs = await TasksAdapter.open(redex, 7n);
    for (let i = 0; i < 3000; i++) (i % 2 ? ours : theirs).create(BigInt(i), `t${i}`, 1n);
    expect(ours.count()).toBe(3000);
    expect(theirs.listTasks()).toEqual(ours.listTasks());
    const file = redex.openFile('cortex/tasks');
    const [first] = file.readRange(0n, 1n);
    file.append(new Uint8Array([1, 2, 3]));
    file.append(first?.payload as Uint8Array);
    await ours.waitForSeq(3001n);
    expect(ours.foldErrors()).toBe(1n);
    expect(ours.snapshot().lastSeq).toBe(2999n);
    expect(ours.isRunning()).toBe(true);
    // Its counter goes on after its own events only.
    const seq = theirs.create(9999n, 'x', 1n);
    const [event] = file.readRange(seq, seq + 1n);
    expect(event?.payload.at(12)).toBe(1500 & 0xff);
  });

  it('keep pin and createdNs of a stored memory', async () => {
    const memories = await MemoriesAdapter.open(new Redex(), ORIGIN);
    memories.store(1n, 'notes', ['a', 'a', 'b'], 'alice', 10n);
    memories.pin(1n, 20n);
    memories.store(1n, 'other', ['c'], 'bob', 30n);
    const row = { id: 1n, content: 'other', tags: ['c'], source: 'bob', createdNs: 10n, updatedNs: 30n, pinned: true };
    expect(memories.listMemories({ pinned: true })).toEqual([row]);
    expect(memories.listMemories({ tag: 'a' })).toEqual([]);
    memories.retag(1n, ['d', 'd'], 40n);
    memories.unpin(1n, 50n);
    expect(memories.listMemories({ anyTag: [], allTags: ['d'] })).toEqual([
      { ...row, tags: ['d', 'd'], updatedNs: 50n, pinned: false },
    ]);
    memories.delete(1n);
    expect(memories.count()).toBe(0);
  });
});

describe('arguments', () => {
  it('are 64-bit: bigint, or a safe number', async () => {
    const tasks = await TasksAdapter.open(new Redex(), 0xabcdef01 as unknown as bigint);
    tasks.create(5 as unknown as bigint, 'five', 6 as unknown as bigint);
    expect(tasks.get(5n)?.createdNs).toBe(6n);
    const plain = { name: 'Error', kind: 'invalid-argument' };
    for (const [work, message] of [
      [() => tasks.create(-1n, 'x', 0n), 'expected non-negative BigInt'],
      [() => tasks.complete(1n, 2n ** 64n), 'BigInt value exceeds u64 range'],
      [() => tasks.listTasks({ createdAfterNs: -1n }), 'expected non-negative BigInt'],
    ] as const) {
      expect(thrown(work)).toMatchObject({ ...plain, message });
      expect(thrown(work)).not.toBeInstanceOf(CortexError);
    }
    await expect(TasksAdapter.open(new Redex(), -1n)).rejects.toMatchObject({
      ...plain,
      message: 'expected non-negative BigInt',
    });
    await expect(tasks.watch({ updatedBeforeNs: -1n })).rejects.toMatchObject(plain);
    expect(thrown(() => tasks.listTasks({ status: 'Nope' as 'Pending' }))).toMatchObject({
      code: 'InvalidArg',
      message: 'value `"Nope"` does not match any variant of enum `TaskStatus` on TaskFilter.status',
    });
    expect(thrown(() => tasks.create(1n, 7 as unknown as string, 1n))).toMatchObject({ code: 'StringExpected' });
  });

  it('limit 0 gives nothing, a negative limit everything', async () => {
    const tasks = await TasksAdapter.open(new Redex(), ORIGIN);
    for (let i = 0n; i < 5n; i++) tasks.create(i, 't', i);
    expect(tasks.listTasks({ limit: 0 })).toEqual([]);
    expect(tasks.listTasks({ limit: -1 })).toHaveLength(5);
    expect(tasks.listTasks(null)).toHaveLength(5);
    expect(tasks.countWhere({ limit: 1, createdAfterNs: 2n })).toBe(3);
  });

  it('of the wrong kind are refused by name', async () => {
    const tasks = await TasksAdapter.open(new Redex(), ORIGIN);
    const file = new Redex(null).openFile('a');
    for (const [work, message] of [
      [() => WriteToken.fromString(5 as unknown as string), 'WriteToken.fromString: text must be a string, got number'],
      [() => new Redex().openFile('a', 'x' as never), 'openFile: config must be an object, got string'],
      [() => file.readRange(-1 as never, 2n), 'redex: config.start: expected non-negative BigInt'],
      [() => file.readRange('x' as never, 2n), 'Redex: start must be a bigint, got string'],
      [() => tasks.get(1.5 as never), 'Expected BigInt, got number'],
    ] as const) {
      expect(thrown(work)).toMatchObject({ message });
    }
    expect(await tasks.compact(null)).toBeUndefined();
    expect(file.len()).toBe(0n);
  });

  it('have value objects', () => {
    expect(Object.isFrozen(TaskStatus)).toBe(true);
    expect({ ...TaskStatus }).toEqual({ Pending: 'Pending', Completed: 'Completed' });
    expect(Object.keys(TasksOrderBy)).toEqual(Object.keys(MemoriesOrderBy));
  });
});

describe('watches', () => {
  it('give the current result, then one for each change, and nothing for a hidden one', async () => {
    const tasks = await TasksAdapter.open(new Redex(), ORIGIN);
    tasks.create(1n, 'one', 1n);
    const watch = iterate(await tasks.watch({ status: TaskStatus.Pending }));
    expect((await watch.next()).value).toEqual(tasks.listTasks());
    const next = watch.next();
    tasks.rename(99n, 'unknown', 2n);
    tasks.complete(99n, 2n);
    expect(await pending(next)).toBe(true);
    tasks.create(2n, 'two', 2n);
    expect(titles((await next).value)).toEqual(['one', 'two']);
    tasks.complete(1n, 3n);
    expect(titles((await watch.next()).value)).toEqual(['two']);
    const quiet = watch.next();
    tasks.rename(1n, 'completed ones are hidden', 4n);
    expect(await pending(quiet)).toBe(true);
    tasks.delete(2n);
    expect((await quiet).value).toEqual([]);
    tasks.close();
    expect(await watch.next()).toEqual({ value: undefined, done: true });
  });

  it('first give the result of their creation, then the newest', async () => {
    const tasks = await TasksAdapter.open(new Redex(), ORIGIN);
    tasks.create(1n, 'one', 1n);
    const watches = await Promise.all([tasks.watch(), tasks.watch({ limit: 1, orderBy: 'IdDesc' })]);
    for (let i = 2n; i < 5n; i++) tasks.create(i, `${i}`, i);
    tasks.rename(1n, 'uno', 9n);
    const [all, last] = watches.map(iterate);
    expect(titles((await all?.next())?.value)).toEqual(['one']);
    expect(titles((await all?.next())?.value)).toEqual(['uno', '2', '3', '4']);
    expect(titles((await last?.next())?.value)).toEqual(['one']);
    expect(titles((await last?.next())?.value)).toEqual(['4']);
  });

  it('give one result for the changes of a tick, and none for a change and its reversal', async () => {
    const tasks = await TasksAdapter.open(new Redex(), ORIGIN);
    const watch = iterate(await tasks.watch());
    await watch.next();
    const next = watch.next();
    tasks.create(1n, 'x', 1n);
    tasks.delete(1n);
    expect(await pending(next)).toBe(true);
    for (let i = 0n; i < 5000n; i++) tasks.create(i, 'x', 1n);
    expect((await next).value).toHaveLength(5000);
  });

  it('serve pending calls in order and end by return, abort and close', async () => {
    const tasks = await TasksAdapter.open(new Redex(), ORIGIN);
    const watch = iterate(await tasks.watch());
    await watch.next();
    const both = [watch.next(), watch.next()];
    tasks.create(1n, 'one', 1n);
    expect((await both[0])?.value).toHaveLength(1);
    await watch.return?.();
    expect(await both[1]).toEqual({ value: undefined, done: true });
    expect((await watch.next()).done).toBe(true);

    const control = new AbortController();
    const results: Task[][] = [];
    for await (const result of await tasks.watch(null, { signal: control.signal })) {
      results.push(result);
      control.abort();
    }
    expect(results).toHaveLength(1);

    const ending = (async () => {
      const seen: number[] = [];
      for await (const result of await tasks.watch()) seen.push(result.length);
      return seen;
    })();
    await Promise.resolve();
    tasks.create(2n, 'two', 1n);
    tasks.close();
    expect((await ending).at(-1)).toBe(2);
  });

  it('of a snapshot begin with the first difference', async () => {
    const tasks = await TasksAdapter.open(new Redex(), ORIGIN);
    tasks.create(1n, 'one', 1n);
    const { snapshot, updates } = await tasks.snapshotAndWatch({ titleContains: 'O' });
    expect(titles(snapshot)).toEqual(['one']);
    const watch = iterate(updates);
    const next = watch.next();
    expect(await pending(next)).toBe(true);
    tasks.create(2n, 'two', 1n);
    expect(titles((await next).value)).toEqual(['one', 'two']);
  });

  it('keep limited results right when rows leave, move and come', async () => {
    const tasks = await TasksAdapter.open(new Redex(), ORIGIN);
    for (let i = 0n; i < 50n; i++) tasks.create(i, `${i}`, i);
    const filter = { status: TaskStatus.Pending, orderBy: TasksOrderBy.UpdatedDesc, limit: 3 };
    const watch = iterate(await tasks.watch(filter));
    await watch.next();
    let random = 7;
    for (let step = 0; step < 400; step++) {
      random = (Math.imul(random, 1103515245) + 12345) >>> 0;
      const id = BigInt((random >>> 8) % 60);
      const before = tasks.listTasks(filter);
      if (random % 3 === 0) tasks.complete(id, BigInt(step));
      else if (random % 3 === 1) tasks.rename(id, `s${step}`, BigInt((random >>> 4) % 600));
      else tasks.create(id, `c${step}`, BigInt((random >>> 4) % 600));
      const after = tasks.listTasks(filter);
      if (JSON.stringify(before, big) === JSON.stringify(after, big)) continue;
      expect((await watch.next()).value).toEqual(after);
    }
  });
});

const big = (_: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value);

describe('the end of an adapter', () => {
  it('leaves the state readable and fails writes and waits', async () => {
    const tasks = await TasksAdapter.open(new Redex(), ORIGIN);
    tasks.create(1n, 'one', 1n);
    const waiting = tasks.waitForSeq(5n);
    const refused = expect(waiting).rejects.toMatchObject({
      name: 'CortexError',
      kind: 'fold-stopped',
      message: 'cortex: wait_for_seq: fold task stopped; folded_through=Some(0)',
    });
    tasks.close();
    tasks.close();
    await refused;
    expect(tasks.isRunning()).toBe(false);
    expect(tasks.count()).toBe(1);
    expect(tasks.listTasks()).toHaveLength(1);
    expect(tasks.snapshot().lastSeq).toBe(0n);
    await tasks.waitForSeq(0n);
    for (const [op, work] of Object.entries({
      create: () => tasks.create(1n, '', 1n),
      rename: () => tasks.rename(1n, '', 1n),
      complete: () => tasks.complete(1n, 1n),
      delete: () => tasks.delete(1n),
    })) {
      expect(thrown(work)).toMatchObject({
        name: 'CortexError',
        kind: 'closed',
        message: `cortex: ${op} failed: adapter closed`,
      });
      expect(thrown(work)).toBeInstanceOf(CortexError);
    }
    expect((await iterate(await tasks.watch()).next()).value).toHaveLength(1);

    const memories = await MemoriesAdapter.open(new Redex(), ORIGIN);
    memories.close();
    for (const [op, work] of Object.entries({
      store: () => memories.store(1n, '', [], '', 1n),
      retag: () => memories.retag(1n, [], 1n),
      pin: () => memories.pin(1n, 1n),
      unpin: () => memories.unpin(1n, 1n),
      delete: () => memories.delete(1n),
    })) {
      expect(thrown(work).message).toBe(`cortex: ${op} failed: adapter closed`);
    }
    await expect(memories.waitForSeq(0n)).rejects.toThrow(
      'cortex: wait_for_seq: fold task stopped; folded_through=None',
    );
  });

  it('of a wait may come before the sequence does: by a signal', async () => {
    const tasks = await TasksAdapter.open(new Redex(), ORIGIN);
    const control = new AbortController();
    const waits = [1n, 0n, 5n].map((seq) => tasks.waitForSeq(seq, { signal: control.signal }));
    const outcomes = Promise.allSettled(waits);
    tasks.create(1n, 'one', 1n);
    control.abort(new Error('enough'));
    tasks.create(2n, 'two', 1n);
    expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'rejected']);
    await expect(waits[0]).rejects.toThrow('enough');
    await expect(tasks.waitForSeq(99n, { signal: control.signal })).rejects.toThrow('enough');
    await tasks.waitForSeq(1n, { signal: control.signal });
  });

  it('comes with its log', async () => {
    const redex = new Redex();
    const tasks = await TasksAdapter.open(redex, ORIGIN);
    tasks.create(1n, 'one', 1n);
    const watch = iterate(await tasks.watch());
    await watch.next();
    const next = watch.next();
    redex.openFile('cortex/tasks').close();
    expect((await next).done).toBe(true);
    expect(tasks.isRunning()).toBe(false);
    expect(thrown(() => tasks.create(2n, 'two', 1n))).toMatchObject({
      name: 'CortexError',
      kind: 'append-failed',
      message: 'cortex: create failed: redex: file closed',
    });
    expect(tasks.count()).toBe(1);
  });
});

describe('tokens', () => {
  it('have a text form', () => {
    expect(String(new WriteToken(7n, 0n))).toBe('0000000000000007:0');
    const token = WriteToken.fromString('00000000ABCDEF01:18446744073709551615');
    expect([token.originHash, token.seq]).toEqual([ORIGIN, 2n ** 64n - 1n]);
    for (const [text, message] of [
      ['7', 'expected `<origin_hex>:<seq>`'],
      ['7:1', 'origin must be 16 lowercase hex chars'],
      ['000000000000000g:1', 'origin must be 16 lowercase hex chars'],
      ['0000000000000007:', 'seq must be a decimal u64'],
      ['0000000000000007:1:2', 'seq must be a decimal u64'],
      ['0000000000000007:18446744073709551616', 'seq must be a decimal u64'],
    ] as const) {
      expect(() => WriteToken.fromString(text)).toThrow(`WriteToken parse: ${message}`);
    }
  });

  it('wait for the applied watermark', async () => {
    const redex = new Redex();
    const tasks = await TasksAdapter.open(redex, ORIGIN);
    const early = tasks.waitForToken(new WriteToken(ORIGIN, 0n), 10_000);
    tasks.create(1n, 'one', 1n);
    await early;
    await tasks.waitForToken(new WriteToken(ORIGIN, 0n), 0);
    await expect(tasks.waitForToken(new WriteToken(7n, 0n), 10)).rejects.toThrow(
      'cortex: wait_for_token: token origin 0000000000000007 != adapter origin 00000000abcdef01',
    );
    const timedOut = {
      name: 'CortexError',
      kind: 'timeout',
      message: 'cortex: wait_for_token: read-your-writes wait timed out',
    };
    await expect(tasks.waitForToken(new WriteToken(ORIGIN, 5n), 0)).rejects.toMatchObject(timedOut);
    await expect(tasks.waitForToken(new WriteToken(ORIGIN, 5n), 5)).rejects.toMatchObject(timedOut);
    const many = Array.from({ length: 1024 }, () => tasks.waitForToken(new WriteToken(ORIGIN, 5n), 60_000));
    const outcomes = Promise.allSettled(many);
    await expect(tasks.waitForToken(new WriteToken(ORIGIN, 5n), 60_000)).rejects.toThrow(
      'cortex: wait_for_token: read-your-writes wait-queue saturated; retry later',
    );
    tasks.close();
    for (const outcome of await outcomes) {
      expect(outcome.status === 'rejected' && outcome.reason.message).toBe(
        'cortex: wait_for_token: fold task stopped before reaching token seq (applied through 0)',
      );
    }
    const fresh = await TasksAdapter.open(new Redex(), ORIGIN);
    fresh.close();
    await expect(fresh.waitForToken(new WriteToken(ORIGIN, 0n), 10)).rejects.toThrow(
      'cortex: wait_for_token: fold task stopped before applying any event',
    );
  });
});

describe('snapshots', () => {
  it('go on where they were taken, over the same log and over an empty one', async () => {
    const redex = new Redex();
    const tasks = await TasksAdapter.open(redex, ORIGIN);
    for (let i = 0n; i < 10n; i++) tasks.create(i, `t${i}`, i);
    const snapshot = tasks.snapshot();
    tasks.complete(3n, 99n);
    const same = await TasksAdapter.openFromSnapshot(redex, ORIGIN, snapshot);
    expect(same.listTasks()).toEqual(tasks.listTasks());
    await same.waitForSeq(2n);

    const elsewhere = await TasksAdapter.openFromSnapshot(new Redex(), ORIGIN, snapshot);
    expect(elsewhere.count()).toBe(10);
    const seq = elsewhere.create(100n, 'new', 100n);
    expect(seq).toBe(10n);
    await elsewhere.waitForSeq(seq);
    expect(elsewhere.get(100n)?.title).toBe('new');
    expect(elsewhere.snapshot().lastSeq).toBe(10n);
  });

  it('at the end of all sequences leave room for what there is', async () => {
    const end = { stateBytes: EMPTY, lastSeq: 2n ** 64n - 2n };
    const tasks = await TasksAdapter.openFromSnapshot(new Redex(), 1n, end);
    expect(tasks.create(1n, 'last', 1n)).toBe(2n ** 64n - 1n);
    expect(tasks.count()).toBe(1);
    expect(thrown(() => tasks.create(2n, 'more', 1n)).message).toBe(
      'cortex: create failed: redex: no sequence is left',
    );
    const counter = { stateBytes: Uint8Array.from([...Array(9).fill(255), 1, 1, 0]) as Buffer };
    const wrapped = await TasksAdapter.openFromSnapshot(new Redex(), 1n, counter);
    for (let i = 0n; i < 3n; i++) wrapped.create(i, 'x', 1n);
    expect(wrapped.count()).toBe(3);
  });

  it('are equal bytes for equal states, whatever led there', async () => {
    const [one, two] = [await TasksAdapter.open(new Redex(), 1n), await TasksAdapter.open(new Redex(), 1n)];
    one.create(2n, 'b', 1n);
    one.create(1n, 'a', 1n);
    two.create(1n, 'a', 1n);
    two.create(2n, 'b', 1n);
    expect(one.snapshot()).toEqual(two.snapshot());
  });

  it('refuse what does not decode', async () => {
    const none = undefined as unknown as Buffer;
    await expect(TasksAdapter.openFromSnapshot(new Redex(), 1n, { stateBytes: none })).rejects.toThrow(
      'openFromSnapshot: stateBytes must be a Buffer, got undefined',
    );
    await expect(
      TasksAdapter.openFromSnapshot(new Redex(), 1n, { stateBytes: new Uint8Array() as Buffer }),
    ).rejects.toThrow(
      'cortex: TasksAdapter open_from_snapshot failed: redex: encode failed: tasks snapshot unwrap: Hit the end of buffer, expected more data',
    );
    const max = { stateBytes: EMPTY, lastSeq: 2n ** 64n - 1n };
    await expect(MemoriesAdapter.openFromSnapshot(new Redex(), 1n, max)).rejects.toThrow(
      'cortex: MemoriesAdapter open_from_snapshot failed: redex: encode failed: snapshot last_seq at u64::MAX; cannot resume',
    );
  });
});

describe('NetDb', () => {
  it('opens what is asked for and restores bundles', async () => {
    const db = await NetDb.open({ originHash: ORIGIN, withTasks: true, withMemories: true });
    expect(db.tasks).toBe(db.tasks);
    for (let i = 1n; i <= 3n; i++) db.tasks?.create(i, `t${i}`, 100n + i);
    const bundle = db.snapshot();
    const digits = Array.from(bundle.stateBytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
    expect(digits).toBe('011b0319030101027431006565020202743200666603030274330067670102' + '010300010000');
    db.memories?.store(1n, 'later', [], 's', 1n);
    db.close();
    db.close();

    const again = await NetDb.openFromSnapshot({ originHash: ORIGIN, withTasks: true, withMemories: true }, bundle);
    expect(again.tasks?.count()).toBe(3);
    expect(again.memories?.count()).toBe(0);
    expect(again.tasks?.create(4n, 't4', 1n)).toBe(3n);
    expect(again.tasks?.count()).toBe(4);
    again.close();

    const none = await NetDb.open({ originHash: 1n });
    expect([none.tasks, none.memories]).toEqual([null, null]);
    expect([...none.snapshot().stateBytes]).toEqual([0, 0]);
    none.close();
  });

  it('names the model that could not be opened', async () => {
    const config = { originHash: 1n, persistent: true };
    const text = 'redex: channel error: config.persistent=true requires Redex::with_persistent_dir(...)';
    await expect(NetDb.open({ ...config, withTasks: true })).rejects.toMatchObject({
      name: 'CortexError',
      message: `cortex: NetDb open tasks: ${text}`,
    });
    await expect(NetDb.open({ ...config, withMemories: true })).rejects.toThrow(`cortex: NetDb open memories: ${text}`);
    await expect(TasksAdapter.open(new Redex(), 1n, { persistent: true })).rejects.toThrow(
      `cortex: TasksAdapter open failed: ${text}`,
    );
    const bad = { stateBytes: new Uint8Array([9]) as Buffer };
    await expect(NetDb.openFromSnapshot(config, bad)).rejects.toBeInstanceOf(NetDbError);
    const damaged = { stateBytes: new Uint8Array([1, 1, 0, 0, 0]) as Buffer };
    await expect(NetDb.openFromSnapshot({ originHash: 1n, withTasks: true }, damaged)).rejects.toThrow(
      'cortex: NetDb restore tasks: redex: encode failed: tasks snapshot unwrap: Hit the end of buffer, expected more data',
    );
  });

  it('has default messages', () => {
    expect(new CortexError()).toMatchObject({ name: 'CortexError', message: 'cortex adapter error' });
    expect(new NetDbError()).toMatchObject({ name: 'NetDbError', message: 'netdb error' });
  });
});
