// The only place that imports the curves and hashes libraries: they are ESM-only, so the CommonJS build bundles this file.
export { ed25519, x25519 } from '@noble/curves/ed25519.js';
export { blake2s } from '@noble/hashes/blake2.js';
export { sha512 } from '@noble/hashes/sha2.js';
