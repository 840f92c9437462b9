import type { Door } from '../backend/door.js';
import type { LogStorage } from '../redex/storage.js';

/** What differs between Node and browsers. One object, chosen when the package is built or bundled. */
export interface Platform {
  /** Where this code runs. */
  readonly name: 'node' | 'browser';
  /** Value of `MESHRING_BACKEND`, if the platform has an environment. */
  readonly forcedBackend: string | undefined;
  /** Loads the native addon; throws with the reason when it cannot be had. */
  loadAddon(): Door;
  /** Loads the WebAssembly build; throws with the reason when it cannot be had. */
  loadWasm(): Door;
  /** Bytes in the form that users expect: `Buffer` in Node, `Uint8Array` in browsers. The memory is shared. */
  bytes(view: Uint8Array): Uint8Array;
  /** Number of CPUs that this process may use, at least 1. */
  cpuCount(): number;
  /** Prints a warning once per process and text. */
  warnOnce(text: string): void;
  /** Where persistent logs below `directory` live, or null when there is no file system. */
  logStorage(directory: string): LogStorage | null;
}
