/** Event-sourced state: tasks, memories, NetDb. */
export type { CompactOptions } from './adapter.js';
export { MemoriesOrderBy, type MemoryFilter, type TaskFilter, TaskStatus, TasksOrderBy } from './filter.js';
export type { Memory } from './memories-model.js';
export type { NetDbBundle, NetDbOpenConfig } from './netdb-core.js';
export { type FoldOptions, openFold, StateFold } from './open-fold.js';
export { type AdapterOptions, MemoriesAdapter, NetDb, type SnapshotAndWatch, TasksAdapter } from './sdk.js';
export type { CortexSnapshot } from './snapshot.js';
export type { Task } from './tasks-model.js';
export { WriteToken } from './token.js';
export type { WatchOptions } from './watch.js';
