/** Capabilities: what nodes announce, the index of it, and queries. */
export * from './announcement.js';
export { Announcer, type AnnouncerOptions } from './announcer.js';
export {
  CapabilityIndex,
  type CapabilityIndexOptions,
  HOST_CLOCK,
  type IndexClock,
  type IndexedNode,
} from './capability-index.js';
export * from './chains.js';
export { type Requirements, requirementsOf, tagsSatisfy, viewSatisfies } from './filter.js';
export {
  AnnouncementIntake,
  type DropReason,
  type IntakeOptions,
  type IntakeResult,
  localCopy,
  MAX_BLOB_HEAT_TAGS,
  SEEN_MS,
} from './intake.js';
export * from './napi.js';
export { makeRoom } from './oldest.js';
export { Outbox, type OutboxOptions, REPEAT_AFTER_MS, SENT_PER_SECOND } from './outbox.js';
export { announcedTags, type NatClass, projectCapabilities } from './project.js';
export * from './scope.js';
export { canonicalSocketAddress } from './socket-address.js';
export type {
  Accelerator,
  AcceleratorKind,
  CapabilityFilter,
  CapabilityLimits,
  CapabilitySet,
  GpuInfo,
  GpuVendor,
  Hardware,
  Modality,
  ModelCapability,
  ScopeFilter,
  Software,
  SoftwarePair,
  ToolCapability,
} from './types.js';
export { normalizeGpuVendor } from './types.js';
export { compareUtf8, sortedDistinct, wellFormed } from './utf8-order.js';
export { type CapabilityView, type ModelView, viewOf } from './view.js';
