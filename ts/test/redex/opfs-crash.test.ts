// The private file system of browsers takes changes one by one; a page may end between any two of them.
import { afterAll, expect, it, vi } from 'vitest';
import { openOpfs, Redex } from '../../src/redex/index.js';

/** One change of the file system. */
type Change = (to: Tree, base: string) => void;

/** Files and folders by path. */
class Tree {
  readonly entries = new Map<string, Uint8Array | null>();
  readonly changes: Change[] = [];

  change(change: Change): void {
    change(this, '');
    this.changes.push(change);
  }
}

let tree = new Tree();
const missing = () => Object.assign(new Error('missing'), { name: 'NotFoundError' });

function cut(to: Tree, path: string, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes.set((to.entries.get(path) ?? new Uint8Array()).subarray(0, length));
  to.entries.set(path, bytes);
  return bytes;
}

class FakeFile {
  readonly kind = 'file';
  readonly #path: string;
  constructor(path: string) {
    this.#path = path;
  }
  async createSyncAccessHandle() {
    const path = this.#path;
    const content = () => tree.entries.get(path) ?? new Uint8Array();
    return {
      getSize: () => content().length,
      read: (into: Uint8Array, { at }: { at: number }) => {
        const bytes = content().subarray(at, at + into.length);
        into.set(bytes);
        return bytes.length;
      },
      write: (bytes: Uint8Array, { at }: { at: number }) => {
        const copy = bytes.slice();
        tree.change((to, base) => {
          const length = Math.max(at + copy.length, to.entries.get(base + path)?.length ?? 0);
          cut(to, base + path, length).set(copy, at);
        });
        return bytes.length;
      },
      truncate: (length: number) => tree.change((to, base) => cut(to, base + path, length)),
      flush: () => undefined,
      close: () => undefined,
    };
  }
}

class FakeDirectory {
  readonly kind = 'directory';
  readonly #path: string;
  constructor(path: string) {
    this.#path = path;
  }
  async getDirectoryHandle(name: string, options?: { create: boolean }) {
    this.#make(`${this.#path}/${name}`, null, options);
    return new FakeDirectory(`${this.#path}/${name}`);
  }
  async getFileHandle(name: string, options?: { create: boolean }) {
    this.#make(`${this.#path}/${name}`, new Uint8Array(), options);
    return new FakeFile(`${this.#path}/${name}`);
  }
  #make(path: string, content: Uint8Array | null, options: { create: boolean } | undefined): void {
    if (tree.entries.has(path)) return;
    if (!options?.create) throw missing();
    tree.change((to, base) => to.entries.set(base + path, content));
  }
  async removeEntry(name: string) {
    const path = `${this.#path}/${name}`;
    if (!tree.entries.has(path)) throw missing();
    tree.change((to, base) => to.entries.delete(base + path));
  }
  async *entries() {
    for (const [path, content] of [...tree.entries]) {
      const name = path.slice(this.#path.length + 1);
      if (!path.startsWith(`${this.#path}/`) || name.includes('/')) continue;
      yield [name, content ? new FakeFile(path) : new FakeDirectory(path)];
    }
  }
}

vi.stubGlobal('FileSystemSyncAccessHandle', class {});
vi.stubGlobal('navigator', { storage: { getDirectory: async () => new FakeDirectory('') } });
afterAll(() => vi.unstubAllGlobals());

const options = { persistent: true, retentionMaxEvents: 10n };

async function open(directory: string) {
  const storage = await openOpfs(directory);
  if (!storage) throw new Error('there is a private file system');
  const redex = new Redex({ persistentDir: directory, storage });
  return { redex, file: redex.openFile('a', options) };
}

it('no moment of a compaction loses what was flushed before it', async () => {
  const { redex, file } = await open('/logs');
  for (let i = 0; i < 50; i++) file.append(Uint8Array.of(i));
  await file.sync();
  const from = tree.changes.length;
  await file.sweepRetention();
  await file.sync();
  for (let i = 50; i < 60; i++) file.append(Uint8Array.of(i));
  await file.sync();
  const between = tree.changes.length;
  // The rewrite at the close comes from one call, without a pause.
  await redex.close();
  const again = (await open('/logs')).redex;
  await again.openFile('a').sync();
  await again.close();
  const { changes } = tree;
  expect(between).toBeGreaterThan(from);
  expect(changes.length).toBeGreaterThan(between);
  for (let count = from; count <= changes.length; count++) {
    tree = new Tree();
    const base = `/crash-${count}`;
    tree.entries.set(base, null);
    for (const change of changes.slice(0, count)) change(tree, base);
    const { redex: after, file: found } = await open(`${base}/logs`);
    const seqs = found.readRange(0n, 100n).map(({ seq }) => seq);
    const flushed = count < between ? 50n : 60n;
    expect(seqs.length, `after ${count} changes`).toBe(10);
    expect(seqs.at(-1), `after ${count} changes`).toBeGreaterThanOrEqual(flushed - 1n);
    await after.close();
  }
});
