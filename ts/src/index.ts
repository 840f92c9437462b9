/** meshring: encrypted mesh and event bus, name for name the SDK `@net-mesh/sdk` 0.19.0. */

export { Filter } from './bus/filter.js';
export {
  type Accelerator,
  type AcceleratorKind,
  type CapabilityFilter,
  type CapabilityLimits,
  type CapabilitySet,
  type GpuInfo,
  type GpuVendor,
  type Hardware,
  type Modality,
  type ModelCapability,
  SCOPE_REGION_PREFIX,
  SCOPE_SUBNET_LOCAL,
  SCOPE_TENANT_PREFIX,
  type ScopeFilter,
  type Software,
  type SoftwarePair,
  type ToolCapability,
  withRegionScope,
  withSubnetLocalScope,
  withTenantScope,
} from './capabilities.js';
export * from './capability-enhancements.js';
export * from './capability-schema.js';
export * from './channel.js';
export {
  CortexError,
  type CortexSnapshot,
  MemoriesAdapter,
  MemoriesOrderBy,
  type Memory,
  type MemoryFilter,
  NetDb,
  type NetDbBundle,
  NetDbError,
  type NetDbOpenConfig,
  Redex,
  RedexError,
  type RedexEvent,
  RedexFile,
  type RedexFileConfig,
  type RedexOptions,
  type SnapshotAndWatch,
  type Task,
  type TaskFilter,
  TaskStatus,
  TasksAdapter,
  TasksOrderBy,
  WriteToken,
} from './cortex.js';
export { MeshringError } from './errors.js';
export * from './identity.js';
export {
  BackpressureError,
  ChannelAuthError,
  type ChannelConfig,
  ChannelError,
  type ChannelMessage,
  MeshNode,
  type MeshNodeConfig,
  type MeshStream,
  NotConnectedError,
  type OnFailure,
  type PublishConfig,
  type PublishReport,
  type Reliability,
  type StreamConfig,
  type StreamStats,
  type SubscribeOptions,
  type Visibility,
} from './mesh.js';
export * from './node.js';
export * from './redis-dedup.js';
export * from './stream.js';
export * from './subnets.js';
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
