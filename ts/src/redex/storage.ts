/**
 * The storage below persistent logs: one interface, three homes (files in Node, the origin private file system in
 * browsers, memory). All calls are synchronous; failures are thrown as `Error` whose message ends up in `io: <message>`.
 * Paths are `/`-separated and start with the manager's `persistentDir`.
 */
export interface LogStorage {
  /** Where bytes end up: `files`, `opfs`, `memory`, or a name of your own. */
  readonly kind: string;
  /** True for plain files of the operating system: the addon then does the input and output itself. */
  readonly native?: boolean;
  /** The path that two names of one directory have in common (real path); the directory may be missing. */
  resolve?(path: string): string;
  /** Creates a directory and its parents; an existing one is fine. */
  makeDirectory(path: string): void;
  /** Entries of a directory, or null when there is none. */
  list(path: string): StoredEntry[] | null;
  /** Opens a file for reading and writing, or null when it is missing and `create` is false or it is no regular file. */
  open(path: string, create: boolean): StoredFile | null;
  /** Renames a file or directory; an existing file is replaced in one step. */
  rename(from: string, to: string): void;
  /** Removes a file or an empty directory; a missing one is fine. */
  remove(path: string): void;
  /** Makes the names in a directory durable. */
  syncDirectory(path: string): void;
  /** Takes an exclusive lock that vanishes with the process, or returns null when another holds it. */
  lock(path: string): StorageLock | null;
}

/** One entry of a directory. */
export interface StoredEntry {
  readonly name: string;
  readonly isDirectory: boolean;
}

/** An open file. */
export interface StoredFile {
  /** Length in bytes. */
  length(): number;
  /** Reads up to `into.length` bytes at `offset`; returns how many (0 at the end). */
  read(offset: number, into: Uint8Array): number;
  /** Writes all bytes at `offset`, extending the file. */
  write(offset: number, bytes: Uint8Array): void;
  /** Cuts the file, or extends it with zeros. */
  truncate(length: number): void;
  /** Makes content and length durable. */
  sync(): void;
  /** The same away from the caller's thread, where the platform can. */
  syncLater?(): Promise<void>;
  /** Closes the file. */
  close(): void;
}

/** A held lock. */
export interface StorageLock {
  release(): void;
}
