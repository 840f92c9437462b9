/** Encrypted peers over UDP: one of them (11 §8), or the channels of a mesh node. */
export { ChannelsTransport } from './channels.js';
export { MeshTransport } from './transport.js';
