import {
  closeSync,
  constants,
  existsSync,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  realpathSync,
  renameSync,
  rmdirSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { LogStorage, StorageLock, StoredEntry, StoredFile } from './storage.js';

/** Text of a failed system call as the addon words it: `Not a directory (os error 20)`. */
function described<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    const { code, errno, message } = error as NodeJS.ErrnoException;
    if (code === undefined || errno === undefined) throw error;
    const words = message.slice(code.length + 2).split(',')[0] ?? message;
    throw new Error(`${words.charAt(0).toUpperCase()}${words.slice(1)} (os error ${Math.abs(errno)})`, {
      cause: error,
    });
  }
}

function code(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

/** Files of the operating system through `node:fs`. The addon does the same without crossing into JavaScript. */
export class NodeStorage implements LogStorage {
  readonly kind = 'files';
  readonly native: boolean;

  /** `native`: whether the addon may do the input and output itself. */
  constructor(native = true) {
    this.native = native;
  }

  resolve(path: string): string {
    let known = resolve(path);
    const missing: string[] = [];
    while (!existsSync(known) && dirname(known) !== known) {
      missing.unshift(basename(known));
      known = dirname(known);
    }
    return join(
      described(() => realpathSync(known)),
      ...missing,
    );
  }

  makeDirectory(path: string): void {
    described(() => mkdirSync(path, { recursive: true }));
  }

  list(path: string): StoredEntry[] | null {
    return described(() => {
      try {
        return readdirSync(path, { withFileTypes: true }).map((entry) => ({
          name: entry.name,
          isDirectory: entry.isDirectory(),
        }));
      } catch (error) {
        if (code(error) === 'ENOENT' || code(error) === 'ENOTDIR') return null;
        throw error;
      }
    });
  }

  open(path: string, create: boolean): StoredFile | null {
    return described(() => {
      try {
        const fd = openSync(path, constants.O_RDWR | (create ? constants.O_CREAT : 0), 0o644);
        if (fstatSync(fd).isFile()) return new NodeFile(fd);
        closeSync(fd);
        return null;
      } catch (error) {
        if (!create && (code(error) === 'ENOENT' || code(error) === 'EISDIR')) return null;
        throw error;
      }
    });
  }

  rename(from: string, to: string): void {
    described(() => renameSync(from, to));
  }

  remove(path: string): void {
    described(() => {
      try {
        if (statSync(path).isDirectory()) rmdirSync(path);
        else unlinkSync(path);
      } catch (error) {
        if (code(error) !== 'ENOENT') throw error;
      }
    });
  }

  syncDirectory(path: string): void {
    described(() => {
      const fd = openSync(path, 'r');
      try {
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
    });
  }

  /**
   * Node has no file locks: the file names its holder by process id and start time, and counts only while exactly that
   * process lives. The addon takes a lock of the operating system and honours these as well.
   */
  lock(path: string): StorageLock | null {
    return described(() => {
      const mine = `${process.pid} ${startOf(process.pid)} wasm\n`;
      for (let attempt = 0; attempt < 3; attempt += 1) {
        try {
          writeFileSync(path, mine, { flag: 'wx' });
          return {
            release: () => {
              if (readText(path) === mine) this.remove(path);
            },
          };
        } catch (error) {
          if (code(error) !== 'EEXIST') throw error;
        }
        const [pid, start] = readText(path).split(' ');
        if (pid && Number(pid) > 0 && startOf(Number(pid)) === start) return null;
        this.remove(path);
      }
      return null;
    });
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Start time of a process in clock ticks since boot (Linux); elsewhere `0` while it lives; '' when it does not. */
function startOf(pid: number): string {
  const stat = readText(`/proc/${pid}/stat`);
  if (stat) return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '0';
  if (process.platform === 'linux') return '';
  try {
    process.kill(pid, 0);
    return '0';
  } catch (error) {
    return code(error) === 'EPERM' ? '0' : '';
  }
}

class NodeFile implements StoredFile {
  readonly #fd: number;
  #open = true;

  constructor(fd: number) {
    this.#fd = fd;
  }

  length(): number {
    return described(() => fstatSync(this.#fd).size);
  }

  read(offset: number, into: Uint8Array): number {
    return described(() => readSync(this.#fd, into, 0, into.length, offset));
  }

  write(offset: number, bytes: Uint8Array): void {
    described(() => {
      let done = 0;
      while (done < bytes.length) done += writeSync(this.#fd, bytes, done, bytes.length - done, offset + done);
    });
  }

  truncate(length: number): void {
    described(() => ftruncateSync(this.#fd, length));
  }

  sync(): void {
    described(() => fdatasyncSync(this.#fd));
  }

  /** A file that is closed meanwhile is durable: whoever closes a log flushes it first. */
  syncLater(): Promise<void> {
    return new Promise((done, failed) => {
      if (!this.#open) return done();
      fdatasync(this.#fd, (error) => {
        if (error && this.#open) failed(error);
        else done();
      });
    });
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    described(() => closeSync(this.#fd));
  }
}
