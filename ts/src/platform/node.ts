import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import type { Door } from '../backend/door.js';
import { NodeStorage } from '../redex/storage-node.js';
import type { Platform } from './types.js';

/** Folder of the package: the nearest one above this file that holds `wasm/pkg`. */
function packageRoot(): string {
  let folder = __dirname;
  while (!existsSync(join(folder, 'wasm', 'pkg'))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error('the package folder with wasm/pkg was not found');
    folder = parent;
  }
  return folder;
}

function addonFile(): string {
  const glibc = (process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined)?.header
    ?.glibcVersionRuntime;
  const libc = process.platform === 'linux' ? (glibc ? '-gnu' : '-musl') : '';
  const abi = process.platform === 'win32' ? '-msvc' : '';
  return `meshring.${process.platform}-${process.arch}${libc}${abi}.node`;
}

const files = new NodeStorage();
const warned = new Set<string>();

/** Node (and Bun, Deno). */
export const platform: Platform = {
  name: 'node',
  forcedBackend: process.env.MESHRING_BACKEND,
  loadAddon(): Door {
    const path = join(packageRoot(), 'native', 'prebuilt', addonFile());
    if (!existsSync(path)) throw new Error(`no addon for this platform at native/prebuilt/${addonFile()}`);
    return createRequire(__filename)(path) as Door;
  },
  loadWasm(): Door {
    const folder = join(packageRoot(), 'wasm', 'pkg');
    const glue = createRequire(__filename)(join(folder, 'meshring_wasm.cjs')) as Door & {
      initSync(input: { module: Uint8Array }): unknown;
    };
    glue.initSync({ module: readFileSync(join(folder, 'meshring_wasm_bg.wasm')) });
    return glue;
  },
  bytes: (view) => Buffer.from(view.buffer, view.byteOffset, view.byteLength),
  cpuCount: () => Math.max(1, availableParallelism()),
  warnOnce(text) {
    if (warned.has(text)) return;
    warned.add(text);
    process.emitWarning(text, 'MeshringWarning');
  },
  logStorage: () => files,
};
