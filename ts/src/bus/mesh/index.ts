/** One encrypted peer over UDP (11 §8). */
export { MeshTransport } from './transport.js';
