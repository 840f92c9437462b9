import { MeshringError, messageOf } from '../errors.js';
import { platform } from '../platform/node.js';
import type { Door } from './door.js';

/** Which build of the Rust core runs, and why. */
export interface BackendChoice {
  /** `addon` = native Node-API addon, `wasm` = WebAssembly. */
  readonly name: 'addon' | 'wasm';
  /** `forced`, `addon loaded`, `addon missing: <text>` or `browser`. */
  readonly reason: string;
}

interface Loaded {
  readonly choice: BackendChoice;
  readonly door: Door;
}

function forced(name: string): Loaded {
  if (name !== 'addon' && name !== 'wasm') {
    throw new MeshringError('invalid-config', `MESHRING_BACKEND must be 'addon' or 'wasm', got '${name}'`);
  }
  try {
    const door = name === 'addon' ? platform.loadAddon() : platform.loadWasm();
    return { choice: { name, reason: 'forced' }, door };
  } catch (error) {
    const hint = name === 'addon' ? 'npm run build (needs Rust, https://rustup.rs)' : 'npm run build:wasm';
    throw new MeshringError(
      'unsupported',
      `MESHRING_BACKEND=${name}: this backend is not available (${messageOf(error)}); build it with ${hint}, or unset MESHRING_BACKEND`,
      { cause: error },
    );
  }
}

function choose(): Loaded {
  if (platform.forcedBackend) return forced(platform.forcedBackend);
  if (platform.name === 'browser') return { choice: { name: 'wasm', reason: 'browser' }, door: platform.loadWasm() };
  try {
    return { choice: { name: 'addon', reason: 'addon loaded' }, door: platform.loadAddon() };
  } catch (error) {
    const reason = `addon missing: ${messageOf(error)}`;
    const door = platform.loadWasm();
    platform.warnOnce(`${reason}; the WebAssembly build serves (build the addon with: npm run build)`);
    return { choice: { name: 'wasm', reason }, door };
  }
}

const loaded = choose();

/** Which backend runs and why. */
export const backend: BackendChoice = loaded.choice;

/** The exports of the Rust core. */
export const door: Door = loaded.door;
