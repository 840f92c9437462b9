/** Logs of the lower-level API: names as in `@net-mesh/core`. */
export { Redex, RedexFile } from '../redex/core.js';
export { RedexTailIter } from '../redex/tail.js';
export type {
  RedexEvent as RedexEventJs,
  RedexFileConfig as RedexFileConfigJs,
  ReplicationConfigJs,
} from '../redex/types.js';
