// Types of the public API of cortex: what the compiler must accept, and what it must refuse.
import { describe, expectTypeOf, it } from 'vitest';
import * as core from '../../src/core/cortex.js';
import {
  type CompactOptions,
  CortexError,
  type CortexSnapshot,
  type MemoriesAdapter,
  type MemoriesOrderBy,
  type Memory,
  type MemoryFilter,
  NetDb,
  type NetDbBundle,
  NetDbError,
  type NetDbOpenConfig,
  Redex,
  RedexError,
  type RedexEvent,
  type RedexFile,
  type RedexFileConfig,
  type RedexOptions,
  type SnapshotAndWatch,
  type Task,
  type TaskFilter,
  TaskStatus,
  TasksAdapter,
  type TasksOrderBy,
} from '../../src/cortex.js';
import type * as index from '../../src/index.js';

describe('types of cortex', () => {
  it('rows and filters are those of the published package', () => {
    expectTypeOf<Task>().toEqualTypeOf<{
      id: bigint;
      title: string;
      status: 'Pending' | 'Completed';
      createdNs: bigint;
      updatedNs: bigint;
    }>();
    expectTypeOf<Memory>().toEqualTypeOf<{
      id: bigint;
      content: string;
      tags: string[];
      source: string;
      createdNs: bigint;
      updatedNs: bigint;
      pinned: boolean;
    }>();
    expectTypeOf<keyof TaskFilter>().toEqualTypeOf<
      | 'status'
      | 'titleContains'
      | 'createdAfterNs'
      | 'createdBeforeNs'
      | 'updatedAfterNs'
      | 'updatedBeforeNs'
      | 'orderBy'
      | 'limit'
    >();
    expectTypeOf<keyof MemoryFilter>().toEqualTypeOf<
      | 'source'
      | 'contentContains'
      | 'tag'
      | 'anyTag'
      | 'allTags'
      | 'pinned'
      | 'createdAfterNs'
      | 'createdBeforeNs'
      | 'updatedAfterNs'
      | 'updatedBeforeNs'
      | 'orderBy'
      | 'limit'
    >();
    expectTypeOf<{ status: TaskStatus }>().toExtend<TaskFilter>();
    expectTypeOf<{ limit: bigint }>().not.toExtend<TaskFilter>();
    expectTypeOf<{ status: 'Done' }>().not.toExtend<TaskFilter>();
    expectTypeOf<{ tag: string[] }>().not.toExtend<MemoryFilter>();
  });

  it('value objects are types as well', () => {
    expectTypeOf(TaskStatus.Pending).toEqualTypeOf<'Pending'>();
    expectTypeOf<TaskStatus>().toEqualTypeOf<'Pending' | 'Completed'>();
    expectTypeOf<TasksOrderBy>().toEqualTypeOf<keyof typeof TasksOrderBy>();
    expectTypeOf<MemoriesOrderBy>().toEqualTypeOf<keyof typeof MemoriesOrderBy>();
  });

  it('adapters', () => {
    expectTypeOf(TasksAdapter.open).returns.resolves.toEqualTypeOf<TasksAdapter>();
    expectTypeOf(TasksAdapter.open).parameter(0).toEqualTypeOf<Redex>();
    expectTypeOf(TasksAdapter.openFromSnapshot).parameter(2).toEqualTypeOf<CortexSnapshot>();
    expectTypeOf<TasksAdapter['create']>().toEqualTypeOf<(id: bigint, title: string, nowNs: bigint) => bigint>();
    expectTypeOf<TasksAdapter['delete']>().toEqualTypeOf<(id: bigint) => bigint>();
    expectTypeOf<TasksAdapter['count']>().returns.toEqualTypeOf<number>();
    expectTypeOf<TasksAdapter['listTasks']>().toEqualTypeOf<(filter?: TaskFilter | null) => Task[]>();
    expectTypeOf<TasksAdapter['get']>().returns.toEqualTypeOf<Task | null>();
    expectTypeOf<TasksAdapter['watch']>().returns.resolves.toEqualTypeOf<AsyncIterable<Task[]>>();
    expectTypeOf<TasksAdapter['snapshotAndWatch']>().returns.resolves.toEqualTypeOf<SnapshotAndWatch<Task>>();
    expectTypeOf<TasksAdapter['waitForSeq']>().returns.toEqualTypeOf<Promise<void>>();
    expectTypeOf<TasksAdapter['napi']>().toEqualTypeOf<core.TasksAdapter>();
    expectTypeOf<MemoriesAdapter['store']>().parameters.toEqualTypeOf<[bigint, string, string[], string, bigint]>();
    expectTypeOf<MemoriesAdapter['listMemories']>().toEqualTypeOf<(filter?: MemoryFilter | null) => Memory[]>();
    expectTypeOf<CortexSnapshot>().toEqualTypeOf<{ stateBytes: Buffer; lastSeq?: bigint }>();
  });

  it('NetDb', () => {
    expectTypeOf(NetDb.open).parameter(0).toEqualTypeOf<NetDbOpenConfig>();
    expectTypeOf(NetDb.openFromSnapshot).returns.resolves.toEqualTypeOf<NetDb>();
    expectTypeOf<NetDb['tasks']>().toEqualTypeOf<TasksAdapter | null>();
    expectTypeOf<NetDb['memories']>().toEqualTypeOf<MemoriesAdapter | null>();
    expectTypeOf<NetDb['snapshot']>().returns.toEqualTypeOf<NetDbBundle>();
    expectTypeOf<NetDb['close']>().returns.toBeVoid();
    expectTypeOf<NetDb['napi']>().toEqualTypeOf<core.NetDb>();
    expectTypeOf<NetDbOpenConfig>().toEqualTypeOf<{
      persistentDir?: string;
      originHash: bigint | number;
      persistent?: boolean;
      withTasks?: boolean;
      withMemories?: boolean;
    }>();
  });

  it('logs and errors', () => {
    expectTypeOf<RedexFileConfig['fsyncEveryN']>().toEqualTypeOf<bigint | undefined>();
    expectTypeOf(new Redex().openFile).parameter(0).toBeString();
    for (const Class of [CortexError, NetDbError, RedexError]) expectTypeOf(new Class()).toExtend<Error>();
    expectTypeOf<CortexError['kind']>().toBeString();
  });

  it('a raw file', () => {
    expectTypeOf<RedexEvent>().toEqualTypeOf<{ seq: bigint; payload: Buffer; checksum: number; isInline: boolean }>();
    expectTypeOf<{ persistentDir: string }>().toExtend<RedexOptions>();
    expectTypeOf<Buffer>().toExtend<Parameters<RedexFile['append']>[0]>();
    expectTypeOf<RedexFile['append']>().returns.toEqualTypeOf<bigint>();
    expectTypeOf<Buffer[]>().toExtend<Parameters<RedexFile['appendBatch']>[0]>();
    expectTypeOf<RedexFile['appendBatch']>().returns.toEqualTypeOf<bigint | null>();
    expectTypeOf<RedexFile['readRange']>().toEqualTypeOf<(start: bigint, end: bigint) => RedexEvent[]>();
    expectTypeOf<RedexFile['len']>().returns.toEqualTypeOf<bigint>();
    expectTypeOf<RedexFile['tail']>().parameter(0).toEqualTypeOf<bigint | undefined>();
    expectTypeOf<RedexFile['tail']>().returns.resolves.toEqualTypeOf<AsyncIterable<RedexEvent>>();
    expectTypeOf<RedexFile['sync']>().toExtend<() => void>();
    expectTypeOf<RedexFile['close']>().toExtend<() => void>();
    expectTypeOf<Redex['openFile']>().returns.toEqualTypeOf<RedexFile>();
    expectTypeOf<keyof RedexFileConfig>().toEqualTypeOf<
      | 'persistent'
      | 'fsyncEveryN'
      | 'fsyncIntervalMs'
      | 'retentionMaxEvents'
      | 'retentionMaxBytes'
      | 'retentionMaxAgeMs'
      | 'replication'
    >();
  });

  it('our additions', () => {
    expectTypeOf<TasksAdapter['compact']>().returns.resolves.toEqualTypeOf<bigint | undefined>();
    expectTypeOf<NetDb['compact']>().returns.resolves.toBeVoid();
    expectTypeOf<{ dropSkipped: true }>().toExtend<CompactOptions>();
    expectTypeOf<{ dropSkipped: 'yes' }>().not.toExtend<CompactOptions>();
    expectTypeOf<[bigint, { signal: AbortSignal }]>().toExtend<Parameters<MemoriesAdapter['waitForSeq']>>();
  });

  it('of the index are the same', () => {
    expectTypeOf<index.TasksAdapter>().toEqualTypeOf<TasksAdapter>();
    expectTypeOf<index.MemoriesAdapter>().toEqualTypeOf<MemoriesAdapter>();
    expectTypeOf<index.NetDb>().toEqualTypeOf<NetDb>();
    expectTypeOf<index.RedexFile>().toEqualTypeOf<RedexFile>();
    expectTypeOf<index.TaskFilter>().toEqualTypeOf<TaskFilter>();
    expectTypeOf<index.MemoryFilter>().toEqualTypeOf<MemoryFilter>();
    expectTypeOf<index.NetDbOpenConfig>().toEqualTypeOf<NetDbOpenConfig>();
    expectTypeOf<index.CortexSnapshot>().toEqualTypeOf<CortexSnapshot>();
  });

  it('the lower level', () => {
    expectTypeOf(core.TasksAdapter.open).parameter(2).toEqualTypeOf<boolean | undefined>();
    expectTypeOf<core.TasksAdapter['watchTasks']>().returns.resolves.toEqualTypeOf<core.TaskWatchIter>();
    expectTypeOf<core.TaskWatchIter['next']>().returns.resolves.toEqualTypeOf<Task[] | null>();
    expectTypeOf<core.MemoriesSnapshotAndWatch['snapshot']>().toEqualTypeOf<Memory[]>();
    expectTypeOf<core.Tasks['create']>().returns.toEqualTypeOf<core.Written>();
    expectTypeOf<core.Written['token']>().toEqualTypeOf<core.WriteToken>();
    expectTypeOf(core.Tasks.open).parameter(1).toEqualTypeOf<core.Origin>();
    expectTypeOf<core.NetDb['tasks']>().toEqualTypeOf<core.TasksAdapter | null>();
  });
});
