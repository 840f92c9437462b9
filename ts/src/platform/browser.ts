import init, * as glue from '../../../wasm/pkg/meshring_wasm.js';
import type { Door } from '../backend/door.js';
import { checkMeshOptions } from '../bus/mesh-options.js';
import { volatileProducer } from '../bus/producer-state.js';
import { MeshringError } from '../errors.js';
import { preparedStorage } from '../redex/storage-opfs.js';
import type { Platform } from './types.js';

// Modules that import the package wait for the instance, so that every export works synchronously afterwards.
const { memory } = await init();

const warned = new Set<string>();

/** Browsers and their workers. */
export const platform: Platform = {
  name: 'browser',
  forcedBackend: undefined,
  loadAddon(): Door {
    throw new Error('a browser cannot load the addon');
  },
  loadWasm: () => ({ ...glue, memory }) as unknown as Door,
  bytes: (view) => view,
  arch: '',
  // A page lives as long as its tab.
  keepAlive: () => () => undefined,
  async openTransport(options) {
    switch (options.type) {
      case 'memory':
        return undefined;
      case 'mesh':
        checkMeshOptions(options);
        break;
      case 'redis':
      case 'jetstream':
      case 'channels':
        break;
      default:
        throw new MeshringError(
          'invalid-config',
          `Invalid transport type: ${String((options as { type: unknown }).type)}`,
        );
    }
    throw new MeshringError(
      'create-failed',
      `Failed to create EventBus: fatal error: the ${options.type} transport needs sockets, which this platform does not have`,
    );
  },
  async openProducer(config) {
    if (config.producerNoncePath === undefined) return volatileProducer();
    throw new MeshringError('unsupported', 'producerNoncePath is not available on this platform');
  },
  cpuCount: () => Math.max(1, globalThis.navigator?.hardwareConcurrency ?? 1),
  warnOnce(text) {
    if (warned.has(text)) return;
    warned.add(text);
    console.warn(`meshring: ${text}`);
  },
  logStorage: (directory) => preparedStorage(directory),
};
