/** NAT traversal of mesh nodes. */
export type { DirectPath, TraversalStats } from './direct.js';
export { TraversalError, type TraversalKind } from './failure.js';
export { Traversal } from './traversal.js';
