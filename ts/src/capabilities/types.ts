/** What a node offers and what a query asks for (40 §1.1). Ranges are what reaches the wire. */

/** Maker of a GPU. Other text becomes `unknown`. */
export type GpuVendor = 'nvidia' | 'amd' | 'intel' | 'apple' | 'qualcomm' | 'unknown';

/** A GPU. */
export interface GpuInfo {
  vendor?: GpuVendor;
  model: string;
  /** u32, gigabytes. */
  vramGb: number;
  /** u16, saturating. */
  computeUnits?: number;
  /** u16, saturating. */
  tensorCores?: number;
  /** u32, teraflops times 10. */
  fp16TflopsX10?: number;
}

/** Kind of an accelerator. */
export type AcceleratorKind = 'tpu' | 'npu' | 'fpga' | 'asic' | 'dsp' | 'unknown';

/** An accelerator. Accepted, but not announced. */
export interface Accelerator {
  kind: AcceleratorKind;
  model: string;
  memoryGb?: number;
  topsX10?: number;
}

/** Hardware of a node. */
export interface Hardware {
  /** u16, saturating. */
  cpuCores?: number;
  /** u16, saturating; default: the cores; 0 is not announced. Ignored without `cpuCores`. */
  cpuThreads?: number;
  /** u32. */
  memoryGb?: number;
  gpu?: GpuInfo;
  /** Accepted, but not announced. */
  additionalGpus?: GpuInfo[];
  /** u64. */
  storageGb?: bigint;
  /** u32. */
  networkGbps?: number;
  /** Accepted, but not announced. */
  accelerators?: Accelerator[];
}

/** Name and version. */
export type SoftwarePair = [name: string, version: string];

/** Software of a node. Pairs whose name is empty or holds `=`, `:` or `.` are left out. */
export interface Software {
  os?: string;
  osVersion?: string;
  runtimes?: SoftwarePair[];
  frameworks?: SoftwarePair[];
  cudaVersion?: string;
  drivers?: SoftwarePair[];
}

/** What a model takes and gives. Other text becomes `text`. */
export type Modality = 'text' | 'image' | 'audio' | 'video' | 'code' | 'embedding' | 'tool-use';

/** A model that the node serves. */
export interface ModelCapability {
  modelId: string;
  family?: string;
  /** u32, billions of parameters times 10. */
  parametersBX10?: number;
  /** u32, tokens. */
  contextLength?: number;
  quantization?: string;
  /** `text` always counts. */
  modalities?: Modality[];
  /** u32. */
  tokensPerSec?: number;
  loaded?: boolean;
}

/** A tool that the node offers. */
export interface ToolCapability {
  toolId: string;
  name?: string;
  /** Default `1.0.0`. */
  version?: string;
  /** JSON Schema as text. */
  inputSchema?: string;
  /** JSON Schema as text. */
  outputSchema?: string;
  requires?: string[];
  /** u32. */
  estimatedTimeMs?: number;
  /** Default true. */
  stateless?: boolean;
}

/** Limits that the node sets; u32 each, 0 is the same as absent. */
export interface CapabilityLimits {
  maxConcurrentRequests?: number;
  maxTokensPerRequest?: number;
  rateLimitRpm?: number;
  maxBatchSize?: number;
  maxInputBytes?: number;
  maxOutputBytes?: number;
}

/** What a node offers. */
export interface CapabilitySet {
  hardware?: Hardware;
  software?: Software;
  models?: ModelCapability[];
  tools?: ToolCapability[];
  /** Free and typed tags; reserved prefixes are allowed here. */
  tags?: string[];
  limits?: CapabilityLimits;
  /**
   * Further metadata (an addition of ours). Receivers keep `intent`, `colocate-with`, `colocate-with-strict`, `priority`,
   * `owner` and `tool::*` to themselves.
   */
  metadata?: Record<string, string>;
}

/** Requirements of a query; all that are given must hold. */
export interface CapabilityFilter {
  /** Every tag, in exactly this spelling. */
  requireTags?: string[];
  /** Any of these models. */
  requireModels?: string[];
  /** Any of these tools. */
  requireTools?: string[];
  /** Megabytes of memory: a node's gigabytes times 1024 must reach it. */
  minMemoryMb?: number;
  requireGpu?: boolean;
  /** Implies `requireGpu`. */
  gpuVendor?: GpuVendor;
  /** Megabytes of GPU memory; implies `requireGpu`. */
  minVramMb?: number;
  /** Some model with at least this context. */
  minContextLength?: number;
  /** Each of them by some model. */
  requireModalities?: Modality[];
  /** Like `minMemoryMb`, in gigabytes. */
  minMemoryGb?: number;
  /** Like `minVramMb`, in gigabytes. */
  minVramGb?: number;
}

/** Which scopes a query looks into. */
export type ScopeFilter =
  | { kind: 'any' }
  | { kind: 'globalOnly' }
  | { kind: 'sameSubnet' }
  | { kind: 'tenant'; tenant: string }
  | { kind: 'tenants'; tenants: string[] }
  | { kind: 'region'; region: string }
  | { kind: 'regions'; regions: string[] };

const VENDORS: readonly string[] = ['nvidia', 'amd', 'intel', 'apple', 'qualcomm', 'unknown'] satisfies GpuVendor[];

function isVendor(text: string): text is GpuVendor {
  return VENDORS.includes(text);
}

/** Only A–Z change: not `İ`, not `K` (the Kelvin sign). */
function asciiLowerCase(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/** The vendor of a text in any case; `unknown` for others. No trimming. */
export function normalizeGpuVendor(s: string): GpuVendor {
  const lower = asciiLowerCase(s);
  return isVendor(lower) ? lower : 'unknown';
}

/** Vendor as an announcement spells it: lower case only. */
export function vendorFromWire(text: string | undefined): GpuVendor {
  return text !== undefined && isVendor(text) ? text : 'unknown';
}

/** Modalities as announcements spell them. */
export type WireModality = 'text' | 'image' | 'audio' | 'video' | 'code' | 'embedding' | 'tool_use';

const WIRE_MODALITIES: readonly string[] = ['text', 'image', 'audio', 'video', 'code', 'embedding', 'tool_use'];

/** Modality of an announcement; `text` for unknown names. */
export function modalityFromWire(text: string): WireModality {
  return WIRE_MODALITIES.includes(text) ? (text as WireModality) : 'text';
}

/** Modality of a caller, in any case and spelling of `tool-use`; `text` for unknown names. */
export function modalityFromInput(text: string): WireModality {
  const lower = asciiLowerCase(text);
  return modalityFromWire(lower === 'tool-use' || lower === 'tooluse' ? 'tool_use' : lower);
}
