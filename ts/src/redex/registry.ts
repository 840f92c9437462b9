import { door } from '../backend/choose.js';
import type { LogDoor, RawLog } from '../backend/log.js';
import { MeshringError, messageOf, RedexError } from '../errors.js';
import { platform } from '../platform/node.js';
import { type FileBounds, U64_MAX } from './config.js';
import { flushInBackground } from './flush.js';
import { Log } from './log.js';
import type { LogStorage } from './storage.js';
import { MemoryStorage } from './storage-memory.js';

/** A log and how its holder gives it back. */
export interface Lease {
  readonly log: Log;
  release(): Promise<void>;
}

/** Persistent logs of this thread by storage and resolved path: all managers share them (50 §9.1). */
const open = new WeakMap<LogStorage, Map<string, Log>>();
/** Logs whose close is under way: opening the same path again finishes it first. */
const closing = new WeakMap<LogStorage, Map<string, Log>>();

/** The storage for a directory: the given one, the platform's, or memory with a warning. */
export function storageFor(directory: string, given: LogStorage | undefined): LogStorage {
  if (given) return given;
  const storage = platform.logStorage(directory);
  if (storage) return storage;
  platform.warnOnce(
    'no file system for persistent logs here (in a worker, await openOpfs(directory) first): they are kept in memory',
  );
  return fallback;
}

const fallback = new MemoryStorage();

/** A log in memory. */
export function openMemory(name: string, bounds: FileBounds): Lease {
  const raw = door.openLogMemory(bounds.maxEvents, bounds.maxBytes, bounds.maxAgeMs);
  const log = new Log(name, null, door, raw, bounds.maxAgeMs === U64_MAX);
  return { log, release: () => log.close() };
}

/** A log below a manager's directory: the one that is open already, or a new one recovered from the files. */
export function openPersistent(storage: LogStorage, directory: string, name: string, bounds: FileBounds): Lease {
  const root = `${directory.replace(/\/+$/, '') || '/'}/${name}`;
  const shared = logsOf(open, storage);
  const leavers = logsOf(closing, storage);
  const key = describe(() => (storage.resolve ? storage.resolve(root) : root));
  let log = shared.get(key);
  if (log && !log.raw.isLive()) {
    shared.delete(key);
    log.detach();
    log = undefined;
  }
  if (!log) {
    const leaving = leavers.get(key);
    if (leaving) describe(() => leaving.closeNow());
    const { raw, from } = openRaw(storage, root, bounds);
    log = new Log(name, { storage, root: key }, from, raw);
    log.stopFlushing = flushInBackground(log, bounds);
    shared.set(key, log);
  }
  const held = log;
  return {
    log: held,
    release: async () => {
      if (held.holders > 0) return held.sync();
      if (shared.get(key) === held) shared.delete(key);
      held.stopFlushing();
      leavers.set(key, held);
      try {
        await held.close();
      } finally {
        if (leavers.get(key) === held) leavers.delete(key);
      }
    },
  };
}

function logsOf(all: WeakMap<LogStorage, Map<string, Log>>, storage: LogStorage): Map<string, Log> {
  let logs = all.get(storage);
  if (!logs) {
    logs = new Map();
    all.set(storage, logs);
  }
  return logs;
}

function openRaw(storage: LogStorage, root: string, bounds: FileBounds): { raw: RawLog; from: LogDoor } {
  const { maxEvents, maxBytes, maxAgeMs, everyN, intervalMs } = bounds;
  return describe(() => {
    if (storage.native && door.openLogFiles) {
      return { raw: door.openLogFiles(root, maxEvents, maxBytes, maxAgeMs, everyN, intervalMs), from: door };
    }
    const from: LogDoor = door.openLogStorage ? door : platform.loadWasm();
    if (!from.openLogStorage) throw new MeshringError('unsupported', 'redex: this backend has no storage drivers');
    return { raw: from.openLogStorage(storage, root, maxEvents, maxBytes, maxAgeMs, Date.now()), from };
  });
}

/** Failures of storage become `redex: open_file: io: <system message>`. */
function describe<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof MeshringError || error instanceof RedexError) throw error;
    const text = messageOf(error);
    const detail = text.startsWith('io: ') || text.startsWith('channel error: ') ? text : `io: ${text}`;
    const kind = text.includes('in use by another process') ? 'locked' : 'io';
    throw new MeshringError(kind, `redex: open_file: ${detail}`, { cause: error });
  }
}

/** Files of a channel besides its generations; the snapshots are those of CortEX. */
const OWN_FILE = /^(manifest|manifest\.tmp|~lock|~snapshot-\d{20}(~\w+)?)$/;

/** Removes a channel's own entries and, when then empty, its folder; child channels stay. */
export function removeChannel(storage: LogStorage, directory: string, name: string): void {
  const root = `${directory.replace(/\/+$/, '') || '/'}/${name}`;
  describe(() => {
    for (const entry of storage.list(root) ?? []) {
      const path = `${root}/${entry.name}`;
      if (!entry.isDirectory && OWN_FILE.test(entry.name)) storage.remove(path);
      if (entry.isDirectory && /^(v\d{10}|~damaged-.*)$/.test(entry.name)) removeGeneration(storage, path);
    }
    if (storage.list(root)?.length === 0) storage.remove(root);
  });
}

function removeGeneration(storage: LogStorage, path: string): void {
  const entries = storage.list(path) ?? [];
  if (!entries.every((entry) => !entry.isDirectory && /^(idx|dat|ts)$/.test(entry.name))) return;
  for (const entry of entries) storage.remove(`${path}/${entry.name}`);
  storage.remove(path);
}
