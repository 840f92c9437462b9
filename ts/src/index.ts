/** meshring: encrypted mesh and event bus, name for name the SDK `@net-mesh/sdk` 0.19.0. */

export { Filter } from './bus/filter.js';
export * from './capability-enhancements.js';
export * from './capability-schema.js';
export * from './channel.js';
export { MeshringError } from './errors.js';
export * from './identity.js';
export * from './stream.js';
export type {
  NetNodeConfig,
  PollRequest,
  PollResponseData,
  Receipt,
  Stats,
  StoredEvent,
  SubscribeOpts,
  Transport,
} from './types.js';
