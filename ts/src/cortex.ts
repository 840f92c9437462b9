/** `meshring/cortex`: append-only logs (RedEX), event-sourced tasks and memories (CortEX), and NetDb over both. */
export * from './cortex/index.js';
export { CortexError, NetDbError, RedexError } from './errors.js';
export {
  type LogStorage,
  MemoryStorage,
  openOpfs,
  Redex,
  type RedexEvent,
  RedexFile,
  type RedexFileConfig,
  type RedexFileStats,
  type RedexOptions,
  type RedexStats,
  type ReplicationConfigJs,
  type StorageLock,
  type StoredEntry,
  type StoredFile,
  type TailOptions,
} from './redex/index.js';
