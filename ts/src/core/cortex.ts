/** CortEX and NetDb of `meshring/core`. */
export { MemoriesAdapter, TasksAdapter } from '../cortex/core-adapters.js';
export { MemoriesOrderBy, type MemoryFilter, type TaskFilter, TaskStatus, TasksOrderBy } from '../cortex/filter.js';
export type { Memory } from '../cortex/memories-model.js';
export { NetDb, type NetDbBundle, type NetDbOpenConfig } from '../cortex/netdb-core.js';
export { MemoriesSnapshotAndWatch, MemoryWatchIter, TasksSnapshotAndWatch, TaskWatchIter } from '../cortex/pull.js';
export type { CortexSnapshot } from '../cortex/snapshot.js';
export type { Task } from '../cortex/tasks-model.js';
export { WriteToken } from '../cortex/token.js';
export { Memories, type Origin, Tasks, type Written } from '../cortex/tokens.js';
