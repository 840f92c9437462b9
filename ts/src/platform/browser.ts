import init, * as glue from '../../../wasm/pkg/meshring_wasm.js';
import type { Door } from '../backend/door.js';
import { preparedStorage } from '../redex/storage-opfs.js';
import type { Platform } from './types.js';

// Modules that import the package wait for the instance, so that every export works synchronously afterwards.
await init();

const warned = new Set<string>();

/** Browsers and their workers. */
export const platform: Platform = {
  name: 'browser',
  forcedBackend: undefined,
  loadAddon(): Door {
    throw new Error('a browser cannot load the addon');
  },
  loadWasm: () => glue as unknown as Door,
  bytes: (view) => view,
  cpuCount: () => Math.max(1, globalThis.navigator?.hardwareConcurrency ?? 1),
  warnOnce(text) {
    if (warned.has(text)) return;
    warned.add(text);
    console.warn(`meshring: ${text}`);
  },
  logStorage: (directory) => preparedStorage(directory),
};
