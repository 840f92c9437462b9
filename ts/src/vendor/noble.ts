// The only place that imports the curves library: it is ESM-only, so the CommonJS build bundles this file.
export { ed25519, x25519 } from '@noble/curves/ed25519.js';
