/** `meshring/core`: the lower-level names. */
export * from './core/bus.js';
export * from './core/capabilities.js';
export * from './core/cortex.js';
export * from './core/identity.js';
export * from './core/redex.js';
export { MeshNode, NetMesh, NetStream } from './mesh/index.js';
