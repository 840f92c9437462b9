/** From what a node offers to the tags and metadata that are announced (40 §3). */
import { type CapabilitySetWire, separatorIndex } from '../capability-toolkit/index.js';
import { MeshringError, wrongType } from '../errors.js';
import {
  type CapabilityLimits,
  type CapabilitySet,
  type Hardware,
  type ModelCapability,
  modalityFromInput,
  normalizeGpuVendor,
  type Software,
  type SoftwarePair,
  type ToolCapability,
} from './types.js';
import { sortedDistinct, wellFormed } from './utf8-order.js';

const METHOD = 'announceCapabilities';
const U64_MAX = 0xffff_ffff_ffff_ffffn;

/** A number as the wire has it: modulo 2^32, like every conversion of a JavaScript number to a u32. */
function u32(value: unknown, field: string): number {
  if (value === undefined) return 0;
  if (typeof value !== 'number') throw wrongType(METHOD, field, value, 'a number', 'NumberExpected');
  return value >>> 0;
}

function u16(value: unknown, field: string): number {
  return Math.min(0xffff, u32(value, field));
}

function u64(value: unknown, field: string): bigint {
  if (value === undefined) return 0n;
  if (typeof value === 'number' && Number.isSafeInteger(value)) return u64(BigInt(value), field);
  if (typeof value !== 'bigint') throw wrongType(METHOD, field, value, 'a bigint', 'BigintExpected');
  return value < 0n || value > U64_MAX ? 0n : value;
}

function flag(value: unknown, field: string, initial: boolean): boolean {
  if (value === undefined) return initial;
  if (typeof value !== 'boolean') throw wrongType(METHOD, field, value, 'a boolean', 'BooleanExpected');
  return value;
}

function text(value: unknown, field: string): string {
  if (typeof value !== 'string') throw wrongType(METHOD, field, value, 'a string', 'StringExpected');
  return value;
}

function required(value: unknown, field: string, owner: string): string {
  if (value === undefined || value === null) {
    throw new MeshringError('invalid-argument', `Missing field \`${field}\` on ${owner}`, { code: 'InvalidArg' });
  }
  return text(value, field);
}

function list<T>(value: readonly T[] | undefined, field: string): readonly T[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw wrongType(METHOD, field, value, 'an array', 'ArrayExpected');
  return value;
}

function record<T extends object>(value: T, field: string): T {
  if (value === null || typeof value !== 'object') throw wrongType(METHOD, field, value, 'an object', 'InvalidArg');
  return value;
}

type Add = (tag: string) => void;

function addNumber(add: Add, key: string, value: number | bigint): void {
  if (value > 0) add(`${key}=${value}`);
}

function addHardware(add: Add, hardware: Hardware): void {
  const cores = u16(hardware.cpuCores, 'cpuCores');
  const threads = u16(hardware.cpuThreads ?? hardware.cpuCores, 'cpuThreads');
  if (hardware.cpuCores !== undefined) {
    addNumber(add, 'hardware.cpu_cores', cores);
    addNumber(add, 'hardware.cpu_threads', threads);
  }
  addNumber(add, 'hardware.memory_gb', u32(hardware.memoryGb, 'memoryGb'));
  if (hardware.gpu !== undefined) {
    const gpu = record(hardware.gpu, 'gpu');
    const model = required(gpu.model, 'model', 'HardwareJs.gpu on CapabilitySetJs.hardware');
    add('hardware.gpu');
    const vendor = gpu.vendor === undefined ? 'unknown' : normalizeGpuVendor(text(gpu.vendor, 'vendor'));
    if (vendor !== 'unknown') add(`hardware.gpu.vendor=${vendor}`);
    if (model !== '') add(`hardware.gpu.model=${model}`);
    addNumber(add, 'hardware.gpu.vram_gb', u32(gpu.vramGb, 'vramGb'));
    addNumber(add, 'hardware.gpu.compute_units', u16(gpu.computeUnits, 'computeUnits'));
    addNumber(add, 'hardware.gpu.tensor_cores', u16(gpu.tensorCores, 'tensorCores'));
    addNumber(add, 'hardware.gpu.fp16_tflops_x10', u32(gpu.fp16TflopsX10, 'fp16TflopsX10'));
  }
  addNumber(add, 'hardware.storage_gb', u64(hardware.storageGb, 'storageGb'));
  addNumber(add, 'hardware.network_gbps', u32(hardware.networkGbps, 'networkGbps'));
}

function addPairs(add: Add, kind: string, pairs: readonly SoftwarePair[] | undefined, field: string): void {
  for (const pair of list(pairs, field)) {
    const [name, version] = list(pair as readonly unknown[], field);
    if (typeof name !== 'string' || typeof version !== 'string') {
      throw wrongType(METHOD, field, pair, 'pairs of name and version', 'StringExpected');
    }
    if (name !== '' && separatorIndex(name) < 0 && !name.includes('.')) add(`software.${kind}.${name}=${version}`);
  }
}

function addSoftware(add: Add, software: Software): void {
  if (software.os) add(`software.os=${text(software.os, 'os')}`);
  if (software.osVersion) add(`software.os_version=${text(software.osVersion, 'osVersion')}`);
  if (software.cudaVersion !== undefined) add(`software.cuda_version=${text(software.cudaVersion, 'cudaVersion')}`);
  addPairs(add, 'runtime', software.runtimes, 'runtimes');
  addPairs(add, 'framework', software.frameworks, 'frameworks');
  addPairs(add, 'driver', software.drivers, 'drivers');
}

function addModel(add: Add, model: ModelCapability, index: number): void {
  const prefix = `software.model.${index}`;
  const id = required(record(model, 'models').modelId, 'modelId', 'CapabilitySetJs.models');
  if (id !== '') add(`${prefix}.id=${id}`);
  if (model.family) add(`${prefix}.family=${text(model.family, 'family')}`);
  addNumber(add, `${prefix}.parameters_b_x10`, u32(model.parametersBX10, 'parametersBX10'));
  addNumber(add, `${prefix}.context_length`, u32(model.contextLength, 'contextLength'));
  if (model.quantization !== undefined) add(`${prefix}.quantization=${text(model.quantization, 'quantization')}`);
  const modalities = new Set(['text']);
  for (const name of list(model.modalities, 'modalities')) modalities.add(modalityFromInput(text(name, 'modalities')));
  add(`${prefix}.modalities=${[...modalities].join(',')}`);
  addNumber(add, `${prefix}.tokens_per_sec`, u32(model.tokensPerSec, 'tokensPerSec'));
  if (flag(model.loaded, 'loaded', false)) add(`${prefix}.loaded=true`);
}

/**
 * Peers add tools one by one and read those before back from their tags, so that before the last one an empty version
 * comes out as the default, and empty requirements as none.
 */
function addTool(add: Add, metadata: Map<string, string>, tool: ToolCapability, index: number, isLast: boolean): void {
  const prefix = `software.tool.${index}`;
  const id = required(record(tool, 'tools').toolId, 'toolId', 'CapabilitySetJs.tools');
  const version = text(tool.version ?? '1.0.0', 'version') || (isLast ? '' : '1.0.0');
  if (id !== '') add(`${prefix}.tool_id=${id}`);
  if (tool.name) add(`${prefix}.name=${text(tool.name, 'name')}`);
  if (version !== '') add(`${prefix}.version=${version}`);
  const requires = list(tool.requires, 'requires').map((entry) => text(entry, 'requires'));
  const csv = requires.join(',');
  if (csv !== '' || (isLast && requires.length > 0)) add(`${prefix}.requires=${csv}`);
  addNumber(add, `${prefix}.estimated_time_ms`, u32(tool.estimatedTimeMs, 'estimatedTimeMs'));
  add(`${prefix}.stateless=${flag(tool.stateless, 'stateless', true)}`);
  if (tool.inputSchema !== undefined) metadata.set(`tool::${id}::input_schema`, text(tool.inputSchema, 'inputSchema'));
  if (tool.outputSchema !== undefined) {
    metadata.set(`tool::${id}::output_schema`, text(tool.outputSchema, 'outputSchema'));
  }
}

const LIMITS: readonly (readonly [keyof CapabilityLimits, string])[] = [
  ['maxConcurrentRequests', 'max_concurrent_requests'],
  ['maxTokensPerRequest', 'max_tokens_per_request'],
  ['rateLimitRpm', 'rate_limit_rpm'],
  ['maxBatchSize', 'max_batch_size'],
  ['maxInputBytes', 'max_input_bytes'],
  ['maxOutputBytes', 'max_output_bytes'],
];

/** Tags (distinct, in wire order) and metadata of a set. Throws for wrong types, having changed nothing. */
export function projectCapabilities(caps: CapabilitySet): CapabilitySetWire {
  record(caps, 'capabilities');
  const tags = new Set<string>();
  const metadata = new Map<string, string>();
  const add = (tag: string) => {
    tags.add(wellFormed(tag));
  };
  for (const [key, value] of Object.entries(record(caps.metadata ?? {}, 'metadata'))) {
    // Schemas of tools are this function's own.
    if (!key.startsWith('tool::')) metadata.set(key, text(value, 'metadata'));
  }
  if (caps.hardware !== undefined) addHardware(add, record(caps.hardware, 'hardware'));
  if (caps.software !== undefined) addSoftware(add, record(caps.software, 'software'));
  list(caps.models, 'models').forEach((model, index) => {
    addModel(add, model, index);
  });
  list(caps.tools, 'tools').forEach((tool, index, { length }) => {
    addTool(add, metadata, tool, index, index === length - 1);
  });
  for (const tag of list(caps.tags, 'tags')) if (text(tag, 'tags') !== '') add(tag);
  if (caps.limits !== undefined) {
    const limits = record(caps.limits, 'limits');
    for (const tag of tags) if (tag.startsWith('hardware.limits.')) tags.delete(tag);
    for (const [field, key] of LIMITS) addNumber(add, `hardware.limits.${key}`, u32(limits[field], field));
  }
  const wire: CapabilitySetWire = { tags: sortedDistinct([...tags]), metadata: {} };
  for (const [key, value] of metadata) {
    Object.defineProperty(wire.metadata, wellFormed(key), {
      value: wellFormed(value),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return wire;
}

/** How a node is reached from outside. */
export type NatClass = 'open' | 'cone' | 'symmetric' | 'unknown';

/** The tags of an announcement: the node's own, its RPC services, and exactly one `nat:` tag (40 §3.6). */
export function announcedTags(own: readonly string[], services: Iterable<string>, nat: NatClass): string[] {
  const tags = own.filter((tag) => !tag.startsWith('nat:'));
  for (const service of services) tags.push(`nrpc:${wellFormed(service)}`);
  tags.push(`nat:${nat}`);
  return sortedDistinct(tags);
}
