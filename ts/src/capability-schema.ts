/** `meshring/capability-schema`: the schema of typed tags and validation against it. */
export {
  AXIS_SCHEMA,
  type AxisEntry,
  type AxisSchema,
  isReportClean,
  isReportValid,
  type KeyEntry,
  type KeyShape,
  type KeyShapeKind,
  METADATA_RESERVED_KEYS,
  METADATA_RESERVED_PREFIXES,
  METADATA_SOFT_CAP_BYTES,
  type SchemaError,
  type ValidationReport,
  type ValidationWarning,
  type ValueType,
  validateCapabilities,
} from './capability-toolkit/index.js';
