import { lookup } from 'node:dns/promises';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import type { Door } from '../backend/door.js';
import { checkMeshOptions } from '../bus/mesh-options.js';
import { volatileProducer } from '../bus/producer-state.js';
import { MeshringError } from '../errors.js';
import { NodeStorage } from '../redex/storage-node.js';
import type { Platform } from './types.js';
import { openUdp } from './udp.js';

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

/** One timer for all that wait: it never fires, but a process with it does not end. */
const held = { count: 0, timer: undefined as NodeJS.Timeout | undefined };
const NEVER_MS = 2 ** 31 - 1;

function keepAlive(): () => void {
  held.count += 1;
  held.timer ??= setInterval(() => undefined, NEVER_MS);
  let released = false;
  return () => {
    if (released) return;
    released = true;
    held.count -= 1;
    if (held.count > 0) return;
    clearInterval(held.timer);
    held.timer = undefined;
  };
}

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
      initSync(input: { module: Uint8Array }): { memory: WebAssembly.Memory };
    };
    const { memory } = glue.initSync({ module: readFileSync(join(folder, 'meshring_wasm_bg.wasm')) });
    return { ...glue, memory };
  },
  bytes: (view) => Buffer.from(view.buffer, view.byteOffset, view.byteLength),
  arch: process.arch,
  keepAlive,
  async openTransport(options, config) {
    switch (options.type) {
      case 'memory':
        return undefined;
      case 'redis': {
        const { RedisTransport } = await import('../bus/redis/index.js');
        return new RedisTransport(options, config.producerNoncePath !== undefined);
      }
      case 'jetstream': {
        const { JetStreamTransport } = await import('../bus/jetstream/index.js');
        return new JetStreamTransport(options);
      }
      case 'mesh': {
        checkMeshOptions(options);
        const { MeshTransport } = await import('../bus/mesh/index.js');
        return new MeshTransport(options, config);
      }
      case 'channels': {
        const { ChannelsTransport } = await import('../bus/mesh/index.js');
        return new ChannelsTransport(options, config);
      }
      default:
        throw new MeshringError(
          'invalid-config',
          `Invalid transport type: ${String((options as { type: unknown }).type)}`,
        );
    }
  },
  async openProducer(config, stored) {
    const { producerNoncePath: path, shards, producerJournalSync } = config;
    if (path === undefined) return volatileProducer();
    const { keptNonce, openKeptProducer } = await import('../bus/producer/index.js');
    if (!stored) return { ...volatileProducer(), nonce: await keptNonce(path) };
    const own = Math.trunc(shards ?? platform.cpuCount());
    return openKeptProducer({ path, shards: own, sync: producerJournalSync === 'batch' });
  },
  cpuCount: () => Math.max(1, availableParallelism()),
  warnOnce(text) {
    if (warned.has(text)) return;
    warned.add(text);
    process.emitWarning(text, 'MeshringWarning');
  },
  logStorage: () => files,
  openUdp,
  resolveHost: async (name, family) => (await lookup(name, { family })).address,
};
