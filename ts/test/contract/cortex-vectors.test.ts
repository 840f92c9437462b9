// CortEX event bytes, folds, snapshots, bundles and queries against vectors recorded from the published peer.
import { describe, expect, it } from 'vitest';
import {
  type CortexSnapshot,
  MemoriesAdapter,
  type Memory,
  type MemoryFilter,
  NetDb,
  Redex,
  type Task,
  type TaskFilter,
  TasksAdapter,
} from '../../src/cortex.js';
import events from '../vectors/storage-cortex-events.json';
import queries from '../vectors/storage-cortex-queries.json';
import { bytes, hex, memoryOf, plain, snapshotBytes, taskOf } from './cortex-vectors.js';

type Model = 'tasks' | 'memories';
type Op = (string | string[])[];

const list = (adapter: TasksAdapter | MemoriesAdapter): (Task | Memory)[] =>
  adapter instanceof TasksAdapter ? adapter.listTasks() : adapter.listMemories();

function open(model: Model, redex: Redex, origin: bigint): Promise<TasksAdapter | MemoriesAdapter> {
  return model === 'tasks' ? TasksAdapter.open(redex, origin) : MemoriesAdapter.open(redex, origin);
}

/** Runs one recorded call: ids and times are decimal strings. */
function run(adapter: TasksAdapter | MemoriesAdapter, [name, id, ...rest]: Op): bigint {
  const number = (value: unknown) => BigInt(value as string);
  const key = number(id);
  if (adapter instanceof TasksAdapter) {
    if (name === 'create') return adapter.create(key, rest[0] as string, number(rest[1]));
    if (name === 'rename') return adapter.rename(key, rest[0] as string, number(rest[1]));
    if (name === 'complete') return adapter.complete(key, number(rest[0]));
    return adapter.delete(key);
  }
  if (name === 'store') {
    return adapter.store(key, rest[0] as string, rest[1] as string[], rest[2] as string, number(rest[3]));
  }
  if (name === 'retag') return adapter.retag(key, rest[0] as string[], number(rest[1]));
  if (name === 'pin') return adapter.pin(key, number(rest[0]));
  if (name === 'unpin') return adapter.unpin(key, number(rest[0]));
  return adapter.delete(key);
}

describe('operations', () => {
  for (const [number, { model, originHash, ops, payloads, state, snapshot }] of events.ops.entries()) {
    it(`${model} ${number}: event bytes, state and snapshot bytes are the peer's`, async () => {
      const redex = new Redex();
      const adapter = await open(model as Model, redex, BigInt(originHash));
      for (const [seq, op] of ops.entries()) expect(run(adapter, op as Op)).toBe(BigInt(seq));
      const log = redex.openFile(`cortex/${model}`).readRange(0n, 1000n);
      expect(log.map(({ payload }) => hex(payload))).toEqual(payloads);
      expect(list(adapter).map(plain)).toEqual(sortById(state as { id: string }[]));
      const taken = adapter.snapshot();
      expect(String(taken.lastSeq)).toBe(snapshot.lastSeq);
      if ('stateBytes' in snapshot) expect(hex(taken.stateBytes)).toBe(snapshot.stateBytes);
      adapter.close();
    });
  }
});

function sortById<T extends { id: string }>(rows: T[]): T[] {
  return [...rows].sort((a, b) => (BigInt(a.id) < BigInt(b.id) ? -1 : 1));
}

describe('folds', () => {
  for (const vector of events.folds) {
    it(`${vector.model}: ${vector.name}`, async () => {
      const redex = new Redex();
      const file = redex.openFile(`cortex/${vector.model}`);
      for (const payload of vector.payloads) file.append(bytes(payload));
      const adapter = await open(vector.model as Model, redex, BigInt(vector.originHash));
      await adapter.waitForSeq(BigInt(vector.payloads.length - 1));
      expect(list(adapter).map(plain)).toEqual(sortById(vector.state as unknown as { id: string }[]));
      expect(adapter.snapshot().lastSeq ?? null).toBe(
        vector.snapshotLastSeq === null ? null : BigInt(vector.snapshotLastSeq),
      );
      expect(adapter.isRunning()).toBe(true);
      if ('nextAppSeq' in vector) {
        const seq = adapter instanceof TasksAdapter ? adapter.create(1n, 'x', 1n) : adapter.pin(1n, 1n);
        const [event] = file.readRange(seq, seq + 1n);
        const payload = event?.payload as Uint8Array;
        expect(new DataView(payload.buffer, payload.byteOffset).getBigUint64(12, true)).toBe(
          BigInt(vector.nextAppSeq as string),
        );
      }
      adapter.close();
    });

    it(`${vector.model}: ${vector.name} (appended while the adapter is open)`, async () => {
      const redex = new Redex();
      const adapter = await open(vector.model as Model, redex, BigInt(vector.originHash));
      const file = redex.openFile(`cortex/${vector.model}`);
      for (const payload of vector.payloads) file.append(bytes(payload));
      await adapter.waitForSeq(BigInt(vector.payloads.length - 1));
      expect(list(adapter).map(plain)).toEqual(sortById(vector.state as unknown as { id: string }[]));
      adapter.close();
    });
  }
});

describe('restores', () => {
  for (const vector of events.restores) {
    it(`${vector.model}: ${vector.name}`, async () => {
      const redex = new Redex();
      const snapshot = { stateBytes: bytes(vector.stateBytes) } as CortexSnapshot;
      if (vector.lastSeq !== null) snapshot.lastSeq = BigInt(vector.lastSeq);
      const opening =
        vector.model === 'tasks'
          ? TasksAdapter.openFromSnapshot(redex, 1n, snapshot)
          : MemoriesAdapter.openFromSnapshot(redex, 1n, snapshot);
      if ('error' in vector) {
        await expect(opening).rejects.toThrow(`cortex: ${vector.error}`);
        await expect(opening).rejects.toMatchObject({ name: 'CortexError', kind: 'restore-failed' });
        return;
      }
      const adapter = await opening;
      expect(list(adapter).map(plain)).toEqual(sortById(vector.state as unknown as { id: string }[]));
      // A fresh log goes on after the snapshot, so that nothing is lost and no sequence is given out twice.
      const seq = adapter instanceof TasksAdapter ? adapter.create(77n, 'new', 1n) : adapter.store(77n, '', [], '', 1n);
      expect(seq).toBe(vector.lastSeq === null ? 0n : BigInt(vector.lastSeq) + 1n);
      expect(adapter.exists(77n)).toBe(true);
      expect(adapter.snapshot().lastSeq).toBe(seq);
      adapter.close();
    });
  }
});

describe('bundles', () => {
  for (const vector of events.bundles) {
    it(vector.name, async () => {
      const { withTasks, withMemories } = vector;
      const config = { originHash: 7n, withTasks, withMemories };
      const opening = NetDb.openFromSnapshot(config, { stateBytes: bytes(vector.stateBytes) as Buffer });
      if ('error' in vector) {
        const text = `netdb: ${(vector.error as string).replace('decode bundle', 'decode snapshot bundle')}`;
        await expect(opening).rejects.toThrow(text);
        await expect(opening).rejects.toMatchObject({ name: 'NetDbError', kind: 'decode' });
        return;
      }
      const db = await opening;
      expect(db.tasks?.listTasks().map(plain) ?? null).toEqual(vector.tasks);
      expect(db.memories?.listMemories().map(plain) ?? null).toEqual(vector.memories);
      expect(hex(db.snapshot().stateBytes)).toBe(vector.reencoded);
      db.close();
    });
  }
});

describe('queries', () => {
  it('of tasks give what the peer gives', async () => {
    const { state } = queries.tasks;
    const tasks = await TasksAdapter.openFromSnapshot(new Redex(), 1n, {
      stateBytes: snapshotBytes(state.map((task) => taskOf(task))) as Buffer,
    });
    for (const { filter, setOnly, tiesArbitrary, ids } of queries.tasks.queries) {
      const given = { ...filter } as Record<string, unknown>;
      for (const key of Object.keys(given)) if (key.endsWith('Ns')) given[key] = BigInt(given[key] as string);
      const rows = tasks.listTasks(given as TaskFilter);
      compare(rows, ids, setOnly, tiesArbitrary, given);
    }
  });

  it('of memories give what the peer gives', async () => {
    const { state } = queries.memories;
    const memories = await MemoriesAdapter.openFromSnapshot(new Redex(), 1n, {
      stateBytes: snapshotBytes(state.map((memory) => memoryOf(memory))) as Buffer,
    });
    for (const { filter, setOnly, tiesArbitrary, ids } of queries.memories.queries) {
      const given = { ...filter } as Record<string, unknown>;
      for (const key of Object.keys(given)) if (key.endsWith('Ns')) given[key] = BigInt(given[key] as string);
      const rows = memories.listMemories(given as MemoryFilter);
      compare(rows, ids, setOnly, tiesArbitrary, given);
    }
  });
});

function compare(
  rows: (Task | Memory)[],
  ids: string[],
  setOnly: boolean,
  tiesArbitrary: boolean,
  filter: Record<string, unknown>,
): void {
  const got = rows.map(({ id }) => String(id));
  if (!setOnly && !tiesArbitrary) expect(got, JSON.stringify(filter, text)).toEqual(ids);
  else if (filter.limit === undefined) {
    expect([...got].sort(), JSON.stringify(filter, text)).toEqual([...ids].sort());
  } else expect(got.length).toBe(ids.length);
  if (tiesArbitrary) {
    const key = String(filter.orderBy).startsWith('Created') ? 'createdNs' : 'updatedNs';
    const values = rows.map((row) => row[key]);
    const sorted = [...values].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    expect(values).toEqual(String(filter.orderBy).endsWith('Desc') ? sorted.reverse() : sorted);
  }
}

const text = (_: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value);
