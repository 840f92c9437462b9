/** Capability names of `meshring/core`. */
export { normalizeGpuVendor } from '../capabilities/index.js';
