import type { LogStorage, StorageLock, StoredEntry, StoredFile } from './storage.js';

/** What this file needs of the origin private file system, in a worker. */
interface SyncAccessHandle {
  getSize(): number;
  read(into: Uint8Array, options: { at: number }): number;
  write(bytes: Uint8Array, options: { at: number }): number;
  truncate(length: number): void;
  flush(): void;
  close(): void;
}

interface FileHandle {
  readonly kind: 'file';
  createSyncAccessHandle(): Promise<SyncAccessHandle>;
}

interface DirectoryHandle {
  readonly kind: 'directory';
  getDirectoryHandle(name: string, options?: { create: boolean }): Promise<DirectoryHandle>;
  getFileHandle(name: string, options?: { create: boolean }): Promise<FileHandle>;
  removeEntry(name: string, options?: { recursive: boolean }): Promise<void>;
  entries(): AsyncIterable<[string, DirectoryHandle | FileHandle]>;
}

const prepared = new Map<string, OpfsStorage>();

/** The storage that was opened for a directory, or null. */
export function preparedStorage(directory: string): LogStorage | null {
  return prepared.get(directory) ?? null;
}

function root(): Promise<DirectoryHandle> | null {
  const { navigator, FileSystemSyncAccessHandle } = globalThis as unknown as {
    navigator?: { storage?: { getDirectory?(): Promise<DirectoryHandle> } };
    FileSystemSyncAccessHandle?: unknown;
  };
  if (!FileSystemSyncAccessHandle || !navigator?.storage?.getDirectory) return null;
  return navigator.storage.getDirectory();
}

/**
 * Opens a directory of the origin private file system for persistent logs, in a worker. After that
 * `new Redex({ persistentDir: directory })` keeps its files there. Resolves to null where there is no such file system
 * (or outside of a worker): persistent logs are then kept in memory. Rejects when another tab or worker has it open.
 */
export async function openOpfs(directory: string): Promise<LogStorage | null> {
  const known = prepared.get(directory);
  if (known) return known;
  const top = await root();
  if (!top) return null;
  const storage = await OpfsStorage.open(top, directory);
  prepared.set(directory, storage);
  return storage;
}

const parts = (path: string) => path.split('/').filter((part) => part !== '');

/**
 * The file system hands out its handles asynchronously, logs open synchronously: this keeps the tree of one directory
 * with a handle for every file. Changes of names take effect in the tree at once and in the file system in their
 * order; a new file holds its bytes in memory until its handle is there.
 */
class OpfsStorage implements LogStorage {
  readonly kind = 'opfs';
  readonly #top: DirectoryHandle;
  readonly #folders = new Set<string>();
  readonly #files = new Map<string, OpfsFile>();
  readonly #locks = new Set<string>();
  #work: Promise<void> = Promise.resolve();
  #failure: unknown = null;

  private constructor(top: DirectoryHandle) {
    this.#top = top;
  }

  static async open(top: DirectoryHandle, directory: string): Promise<OpfsStorage> {
    const storage = new OpfsStorage(top);
    const base = parts(directory);
    let folder = top;
    let path = '';
    for (const part of base) {
      folder = await folder.getDirectoryHandle(part, { create: true });
      path = `${path}/${part}`;
      storage.#folders.add(path);
    }
    await storage.#read(folder, path);
    return storage;
  }

  async #read(folder: DirectoryHandle, path: string): Promise<void> {
    for await (const [name, handle] of folder.entries()) {
      const full = `${path}/${name}`;
      if (handle.kind === 'directory') {
        this.#folders.add(full);
        await this.#read(handle, full);
      } else {
        const file = new OpfsFile(this);
        file.attach(await handle.createSyncAccessHandle());
        this.#files.set(full, file);
      }
    }
  }

  /** Runs `work` after everything before it; a failure is raised by the next flush. */
  #later(work: () => Promise<void>): void {
    this.#work = this.#work.then(work).catch((error: unknown) => {
      this.#failure ??= error;
    });
  }

  /** Resolves when every change is in the file system. */
  async settled(): Promise<void> {
    await this.#work;
    this.raise();
  }

  /** Throws what failed behind a caller's back, once. */
  raise(): void {
    const failure = this.#failure;
    this.#failure = null;
    if (failure !== null) throw failure;
  }

  async #parent(path: string, create: boolean): Promise<{ folder: DirectoryHandle; name: string }> {
    const all = parts(path);
    const name = all.pop() ?? '';
    let folder = this.#top;
    for (const part of all) folder = await folder.getDirectoryHandle(part, { create });
    return { folder, name };
  }

  #key(path: string): string {
    return `/${parts(path).join('/')}`;
  }

  makeDirectory(path: string): void {
    let at = '';
    for (const part of parts(path)) {
      at = `${at}/${part}`;
      if (this.#files.has(at)) throw new Error('Not a directory (os error 20)');
      this.#folders.add(at);
    }
    this.#later(async () => {
      const { folder, name } = await this.#parent(path, true);
      await folder.getDirectoryHandle(name, { create: true });
    });
  }

  list(path: string): StoredEntry[] | null {
    const key = this.#key(path);
    if (!this.#folders.has(key)) return null;
    const inside = (full: string) => full.startsWith(`${key}/`) && !full.slice(key.length + 1).includes('/');
    const entry = (isDirectory: boolean) => (full: string) => ({ name: full.slice(key.length + 1), isDirectory });
    return [
      ...[...this.#folders].filter(inside).map(entry(true)),
      ...[...this.#files.keys()].filter(inside).map(entry(false)),
    ];
  }

  open(path: string, create: boolean): StoredFile | null {
    const key = this.#key(path);
    const known = this.#files.get(key);
    if (known) return known;
    if (!create || this.#folders.has(key)) return null;
    const file = new OpfsFile(this);
    this.#files.set(key, file);
    this.#create(key, file);
    return file;
  }

  /** Gives a file its handle, or that of `before`, whose place it takes. */
  #create(key: string, file: OpfsFile, before?: OpfsFile): void {
    this.#later(async () => {
      const known = before?.release();
      if (known) {
        known.truncate(0);
        file.attach(known);
        return;
      }
      const { folder, name } = await this.#parent(key, true);
      const handle = await folder.getFileHandle(name, { create: true });
      file.attach(await handle.createSyncAccessHandle());
    });
  }

  /** Files are renamed by writing them anew: a handle that is in use cannot be moved everywhere. */
  rename(from: string, to: string): void {
    const [source, target] = [this.#key(from), this.#key(to)];
    const file = this.#files.get(source);
    if (file) {
      this.#moveFile(source, target, file);
      return;
    }
    if (!this.#folders.has(source)) throw new Error('No such file or directory (os error 2)');
    this.makeDirectory(to);
    for (const [path, inner] of [...this.#files]) {
      if (path.startsWith(`${source}/`)) this.#moveFile(path, `${target}${path.slice(source.length)}`, inner);
    }
    this.remove(from);
  }

  #moveFile(source: string, target: string, file: OpfsFile): void {
    const before = this.#files.get(target);
    const moved = new OpfsFile(this);
    moved.write(0, file.content());
    this.#files.set(target, moved);
    // In its turn even when the handle is there: what the new content names must be in the file system before it.
    this.#create(target, moved, before);
    this.#remove(source, file);
  }

  remove(path: string): void {
    const key = this.#key(path);
    const file = this.#files.get(key);
    if (file) {
      this.#remove(key, file);
      return;
    }
    if (!this.#folders.has(key)) return;
    if ((this.list(path) ?? []).length > 0) throw new Error('Directory not empty (os error 39)');
    this.#folders.delete(key);
    this.#later(() => this.#removeEntry(key));
  }

  #remove(key: string, file: OpfsFile): void {
    this.#files.delete(key);
    this.#later(async () => {
      file.detach();
      await this.#removeEntry(key);
    });
  }

  async #removeEntry(key: string): Promise<void> {
    try {
      const { folder, name } = await this.#parent(key, false);
      await folder.removeEntry(name);
    } catch (error) {
      if ((error as { name?: string }).name !== 'NotFoundError') throw error;
    }
  }

  syncDirectory(): void {
    this.raise();
  }

  /** Handles are exclusive already: nobody else has these files open. */
  lock(path: string): StorageLock | null {
    const key = this.#key(path);
    if (this.#locks.has(key)) return null;
    this.#locks.add(key);
    return { release: () => this.#locks.delete(key) };
  }
}

class OpfsFile implements StoredFile {
  readonly #storage: OpfsStorage;
  #handle: SyncAccessHandle | null = null;
  /** Content until the handle is there; the first `#length` bytes count. */
  #waiting = new Uint8Array(0);
  #length = 0;
  #gone = false;

  constructor(storage: OpfsStorage) {
    this.#storage = storage;
  }

  attach(handle: SyncAccessHandle): void {
    if (this.#gone) {
      handle.close();
      return;
    }
    if (this.#length > 0) {
      handle.truncate(this.#length);
      writeAll(handle, 0, this.#waiting.subarray(0, this.#length));
      handle.flush();
    }
    this.#handle = handle;
    this.#waiting = new Uint8Array(0);
  }

  detach(): void {
    this.#gone = true;
    this.#handle?.close();
    this.#handle = null;
  }

  /** Gives the handle away. */
  release(): SyncAccessHandle | null {
    const handle = this.#handle;
    this.#gone = true;
    this.#handle = null;
    return handle;
  }

  content(): Uint8Array {
    const bytes = new Uint8Array(this.length());
    this.read(0, bytes);
    return bytes;
  }

  length(): number {
    return this.#handle ? this.#handle.getSize() : this.#length;
  }

  read(offset: number, into: Uint8Array): number {
    // The file system does not read into WebAssembly memory that may grow: it gets a buffer of its own.
    if (this.#handle) {
      const bytes = new Uint8Array(into.length);
      const count = this.#handle.read(bytes, { at: offset });
      into.set(bytes.subarray(0, count));
      return count;
    }
    const bytes = this.#waiting.subarray(offset, Math.min(offset + into.length, this.#length));
    into.set(bytes);
    return bytes.length;
  }

  write(offset: number, bytes: Uint8Array): void {
    if (this.#handle) {
      writeAll(this.#handle, offset, bytes.slice());
      return;
    }
    const end = offset + bytes.length;
    if (end > this.#length) this.truncate(end);
    this.#waiting.set(bytes, offset);
  }

  truncate(length: number): void {
    if (this.#handle) {
      this.#handle.truncate(length);
      return;
    }
    if (length > this.#waiting.length) {
      const grown = new Uint8Array(Math.max(length, this.#waiting.length * 2));
      grown.set(this.#waiting.subarray(0, this.#length));
      this.#waiting = grown;
    } else if (length < this.#length) {
      this.#waiting.fill(0, length, this.#length);
    }
    this.#length = length;
  }

  flush(): void {
    this.#handle?.flush();
  }

  sync(): void {
    this.#storage.raise();
    this.flush();
  }

  async syncLater(): Promise<void> {
    await this.#storage.settled();
    this.flush();
  }

  /** The handle stays with the storage: the next open of the log must not wait for it. */
  close(): void {}
}

function writeAll(handle: SyncAccessHandle, offset: number, bytes: Uint8Array): void {
  const count = handle.write(bytes, { at: offset });
  if (count !== bytes.length) throw new Error('No space left on device (os error 28)');
}
