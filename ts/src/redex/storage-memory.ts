import type { LogStorage, StorageLock, StoredEntry, StoredFile } from './storage.js';

interface Folder {
  readonly folders: Map<string, Folder>;
  readonly files: Map<string, Content>;
}

interface Content {
  bytes: Uint8Array;
  length: number;
}

const folder = (): Folder => ({ folders: new Map(), files: new Map() });
const parts = (path: string) => path.split('/').filter((part) => part !== '');

/** Files in the memory of this page or process: the home of persistent logs where there is no file system. */
export class MemoryStorage implements LogStorage {
  readonly kind = 'memory';
  readonly #root = folder();
  readonly #locks = new Set<string>();

  #folder(path: readonly string[], create = false): Folder | null {
    let at = this.#root;
    for (const part of path) {
      let next = at.folders.get(part);
      if (!next) {
        if (at.files.has(part)) {
          if (create) throw new Error('Not a directory (os error 20)');
          return null;
        }
        if (!create) return null;
        next = folder();
        at.folders.set(part, next);
      }
      at = next;
    }
    return at;
  }

  #place(path: string): { parent: Folder | null; name: string } {
    const all = parts(path);
    const name = all.pop() ?? '';
    return { parent: this.#folder(all), name };
  }

  makeDirectory(path: string): void {
    this.#folder(parts(path), true);
  }

  list(path: string): StoredEntry[] | null {
    const at = this.#folder(parts(path));
    if (!at) return null;
    return [
      ...[...at.folders.keys()].map((name) => ({ name, isDirectory: true })),
      ...[...at.files.keys()].map((name) => ({ name, isDirectory: false })),
    ];
  }

  open(path: string, create: boolean): StoredFile | null {
    const { parent, name } = this.#place(path);
    if (!parent || parent.folders.has(name)) return null;
    let content = parent.files.get(name);
    if (!content) {
      if (!create) return null;
      content = { bytes: new Uint8Array(0), length: 0 };
      parent.files.set(name, content);
    }
    return new MemoryFile(content);
  }

  rename(from: string, to: string): void {
    const source = this.#place(from);
    const target = this.#place(to);
    if (!source.parent || !target.parent) throw new Error('No such file or directory (os error 2)');
    const content = source.parent.files.get(source.name);
    const inner = source.parent.folders.get(source.name);
    if (content) {
      source.parent.files.delete(source.name);
      target.parent.files.set(target.name, content);
    } else if (inner) {
      source.parent.folders.delete(source.name);
      target.parent.folders.set(target.name, inner);
    } else {
      throw new Error('No such file or directory (os error 2)');
    }
  }

  remove(path: string): void {
    const { parent, name } = this.#place(path);
    const inner = parent?.folders.get(name);
    if (inner && inner.folders.size + inner.files.size > 0) throw new Error('Directory not empty (os error 39)');
    parent?.folders.delete(name);
    parent?.files.delete(name);
  }

  syncDirectory(): void {}

  lock(path: string): StorageLock | null {
    if (this.#locks.has(path)) return null;
    this.#locks.add(path);
    return { release: () => this.#locks.delete(path) };
  }
}

class MemoryFile implements StoredFile {
  readonly #content: Content;

  constructor(content: Content) {
    this.#content = content;
  }

  length(): number {
    return this.#content.length;
  }

  read(offset: number, into: Uint8Array): number {
    const end = Math.min(offset + into.length, this.#content.length);
    if (end <= offset) return 0;
    into.set(this.#content.bytes.subarray(offset, end));
    return end - offset;
  }

  write(offset: number, bytes: Uint8Array): void {
    const end = offset + bytes.length;
    this.#reserve(end);
    this.#content.bytes.set(bytes, offset);
    this.#content.length = Math.max(this.#content.length, end);
  }

  truncate(length: number): void {
    this.#reserve(length);
    if (length < this.#content.length) this.#content.bytes.fill(0, length, this.#content.length);
    this.#content.length = length;
  }

  #reserve(length: number): void {
    if (length <= this.#content.bytes.length) return;
    const grown = new Uint8Array(Math.max(length, this.#content.bytes.length * 2, 4096));
    grown.set(this.#content.bytes.subarray(0, this.#content.length));
    this.#content.bytes = grown;
  }

  sync(): void {}

  close(): void {}
}
