/** CortEX and NetDb of `meshring/core`. */
export {
  MemoriesAdapter,
  MemoriesSnapshotAndWatch,
  MemoryWatchIter,
  TasksAdapter,
  TasksSnapshotAndWatch,
  TaskWatchIter,
} from '../cortex/core-adapters.js';
export { MemoriesOrderBy, type MemoryFilter, type TaskFilter, TaskStatus, TasksOrderBy } from '../cortex/filter.js';
export type { CortexSnapshot } from '../cortex/fold.js';
export type { Memory } from '../cortex/memories-model.js';
export { NetDb, type NetDbBundle, type NetDbOpenConfig } from '../cortex/netdb-core.js';
export type { Task } from '../cortex/tasks-model.js';
export { WriteToken } from '../cortex/token.js';
export { Memories, type Origin, Tasks, type Written } from '../cortex/tokens.js';
