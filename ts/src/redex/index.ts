/** Append-only logs in memory and on disk. */
export { Redex as CoreRedex, RedexFile as CoreRedexFile } from './core.js';
export { Log, type LogBounds, type LogHome, TO_THE_END } from './log.js';
export { channelNameFault } from './name.js';
export { Redex, RedexFile, toRedexError } from './sdk.js';
export type { LogStorage, StorageLock, StoredEntry, StoredFile } from './storage.js';
export { MemoryStorage } from './storage-memory.js';
export { openOpfs } from './storage-opfs.js';
export { RedexTailIter } from './tail.js';
export type {
  RedexEvent,
  RedexFileConfig,
  RedexFileStats,
  RedexOptions,
  RedexStats,
  ReplicationConfigJs,
  TailOptions,
} from './types.js';
