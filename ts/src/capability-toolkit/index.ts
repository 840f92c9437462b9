/** Tags, predicates, validation, differences and placement: pure functions over `{ tags, metadata }`. */
export * from './capability-set.js';
export { type CompiledPredicate, compilePredicate, PreparedCapabilities, prepareCapabilities } from './compile.js';
export {
  type ClauseStats,
  type EvalContextWire,
  type PredicateDebugReport,
  predicateDebugReport,
  predicateDebugReportFromWire,
  redactMetadataKeys,
  redactTrace,
  renderDebugReport,
} from './debug-report.js';
export { evaluatePredicate } from './evaluate.js';
export {
  type CandidateView,
  type PlacementCandidate,
  type PlacementFilterFn,
  PlacementFilterRegistry,
  placementFilterFromFn,
  placementFilters,
  type RegisteredPlacementFilter,
  type StandardPlacement,
  StandardPlacementBuilder,
  selectCandidates,
  standardPlacement,
} from './placement.js';
export * from './placement-score.js';
export { type Predicate, p } from './predicate.js';
export {
  MAX_WHERE_BYTES,
  type PredicateNode,
  type PredicateWire,
  predicateFromRpcHeader,
  predicateFromWire,
  predicateToRpcHeader,
  predicateToWire,
  RPC_WHERE_HEADER,
  whereHeader,
} from './predicate-wire.js';
export * from './schema.js';
export {
  type AxisSeparator,
  parseWireTag,
  RESERVED_PREFIXES,
  semanticTag,
  separatorIndex,
  startsWithReservedPrefix,
  TAXONOMY_AXES,
  type Tag,
  type TagKey,
  type TaxonomyAxis,
  tagFromString,
  tagFromUserString,
  tagKey,
  tagToString,
} from './tag.js';
export { type ClauseTrace, evaluatePredicateWithTrace } from './trace.js';
export * from './validate.js';
