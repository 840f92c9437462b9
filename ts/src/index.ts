/** meshring: encrypted mesh and event bus, name for name the SDK `@net-mesh/sdk` 0.19.0. */

export * from './capability-enhancements.js';
export * from './capability-schema.js';
export { MeshringError } from './errors.js';
export * from './identity.js';
