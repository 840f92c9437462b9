/** Producers that survive restarts: nonce file, lock, reserved sequence numbers, journal (11 §6). */
export { decodeNonce, encodeNonce } from './nonce.js';
export { type KeptProducer, keptNonce, openKeptProducer } from './state.js';
