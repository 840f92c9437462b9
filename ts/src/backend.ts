/**
 * `meshring/backend`: which build of the Rust core runs, and why.
 *
 * The environment variable `MESHRING_BACKEND=addon|wasm` forces one.
 */
export { type BackendChoice, backend } from './backend/choose.js';
