/** Checks of a node's options, in the order and with the texts of 10 §2. */
import type { BusSettings } from '../backend/bus.js';
import { MeshringError } from '../errors.js';
import { platform } from '../platform/node.js';
import type { BatchConfig, NetNodeConfig, Transport } from '../types.js';

/** Largest event, bytes (10 §3.1). */
export const MAX_EVENT_BYTES = 16 << 20;
/** Default of {@link NetNodeConfig.maxPendingBytes} and of the memory transport's `maxBytes`. */
export const DEFAULT_BYTES = 256 << 20;
/** Bytes of a staging ring: large enough to absorb a burst, small enough to stay in the cache. */
const RING_BYTES = 2 << 20;
/** The WebAssembly ring is drained inline; it need not be large. */
const RING_BYTES_INLINE = 1 << 20;
/** Longest wait that a timer can express, ms. */
const MAX_MS = 2 ** 31 - 1;

const PRESETS: Record<string, Required<BatchConfig>> = {
  default: { minSize: 1000, maxSize: 10_000, maxDelayMs: 10, adaptive: true, velocityWindowMs: 100 },
  high_throughput: { minSize: 5000, maxSize: 50_000, maxDelayMs: 5, adaptive: true, velocityWindowMs: 50 },
  low_latency: { minSize: 100, maxSize: 1000, maxDelayMs: 1, adaptive: true, velocityWindowMs: 20 },
};

/** Options with every default filled in. */
export interface ResolvedConfig {
  /** Number of shards. */
  readonly shards: number;
  /** Slots of a shard's ring. */
  readonly bufferCapacity: number;
  /** Backpressure mode. */
  readonly mode: BusSettings['mode'];
  /** Rate of `sample`. */
  readonly sampleRate: number;
  /** Where events go. */
  readonly transport: Transport;
  /** Limit of one transport operation, ms. */
  readonly adapterTimeoutMs: number;
  /** Retries of a batch. */
  readonly adapterBatchRetries: number;
  /** What Rust needs. */
  readonly settings: BusSettings;
}

function invalid(text: string): MeshringError {
  return new MeshringError('invalid-config', text);
}

function wrapped(text: string): MeshringError {
  return invalid(`Invalid configuration: invalid configuration: ${text}`);
}

/** An integer option: fractions are cut off, what is no number is refused. */
function integer(name: string, value: unknown, fallback: number): number {
  if (value === undefined || value === null) return fallback;
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw wrapped(`${name} must be a finite number, got ${typeof value === 'number' ? value : typeof value}`);
  }
  return Math.trunc(value);
}

function positive(name: string, value: unknown, fallback: number): number {
  const number = value === Number.POSITIVE_INFINITY ? MAX_MS : integer(name, value, fallback);
  if (number <= 0) throw wrapped(`${name} must be > 0, got ${String(value)}`);
  return number;
}

function nonNegative(name: string, value: unknown): number {
  const number = integer(name, value, 0);
  if (number < 0) throw wrapped(`${name} must be >= 0, got ${number}`);
  return number;
}

/** First part: number of shards and backpressure, which are checked before the transport's options. */
export function checkFirst(config: NetNodeConfig): void {
  const { shards } = config;
  if (typeof shards === 'number' && Number.isFinite(shards)) {
    const n = Math.trunc(shards);
    if (n > 65_535 || n < 0) throw invalid(`num_shards must be <= 65535, got ${n < 0 ? n >>> 0 : n}`);
  }
  const { backpressure } = config;
  if (backpressure === undefined || backpressure === null) return;
  const name = typeof backpressure === 'object' ? backpressure.mode : backpressure;
  const known = typeof backpressure === 'object' ? ['sample'] : ['drop_newest', 'drop_oldest', 'fail_producer'];
  if (!known.includes(String(name))) throw invalid(`Invalid backpressure mode: ${String(name)}`);
}

/** Second part: everything else, with defaults. The transport's own options were checked by the transport. */
export function resolveConfig(config: NetNodeConfig, threaded: boolean): ResolvedConfig {
  const shards = integer('num_shards', config.shards, platform.cpuCount());
  if (shards === 0) throw wrapped('num_shards must be > 0');
  const bufferCapacity = integer('ring_buffer_capacity', config.bufferCapacity, 1 << 20);
  if (bufferCapacity <= 0 || !Number.isInteger(Math.log2(bufferCapacity))) {
    throw wrapped('ring_buffer_capacity must be a power of 2');
  }
  if (bufferCapacity < 1024) throw wrapped('ring_buffer_capacity must be >= 1024');
  const sampleRate = typeof config.backpressure === 'object' ? positive('sample rate', config.backpressure.rate, 1) : 1;
  const mode = typeof config.backpressure === 'object' ? 'sample' : (config.backpressure ?? 'drop_oldest');
  const batch = resolveBatch(config.batch);
  const transport: Transport = config.transport ?? { type: 'memory' };
  const log = transport.type === 'memory';
  const memory = transport.type === 'memory' ? transport : undefined;
  const bytes = log
    ? positive('memory maxBytes', memory?.maxBytes, DEFAULT_BYTES)
    : positive('maxPendingBytes', config.maxPendingBytes, DEFAULT_BYTES);
  const retries = config.adapterBatchRetries ?? Number.POSITIVE_INFINITY;
  if (typeof retries !== 'number' || Number.isNaN(retries) || retries < 0) {
    throw wrapped(`adapterBatchRetries must be >= 0, got ${String(retries)}`);
  }
  return {
    shards,
    bufferCapacity,
    mode,
    sampleRate,
    transport,
    adapterTimeoutMs: Math.min(positive('adapterTimeoutMs', config.adapterTimeoutMs, 30_000), MAX_MS),
    adapterBatchRetries: retries,
    settings: {
      shards,
      queue: !log,
      mode,
      sampleRate,
      maxEvents: log ? positive('memory maxEvents', memory?.maxEvents, bufferCapacity) : bufferCapacity - 1,
      maxBytes: Math.max(1, Math.floor(bytes / shards)),
      maxAgeMs: memory?.maxAgeMs === undefined ? 0 : positive('memory maxAgeMs', memory.maxAgeMs, 0),
      batchMin: batch.minSize,
      batchMax: batch.maxSize,
      batchAdaptive: batch.adaptive,
      batchWindowMs: batch.velocityWindowMs,
      batchDelayMs: batch.maxDelayMs,
      ringBytes: threaded ? RING_BYTES : RING_BYTES_INLINE,
      reserveBytes: Math.floor(nonNegative('memory reserveBytes', memory?.reserveBytes) / shards),
    },
  };
}

function resolveBatch(batch: NetNodeConfig['batch']): Required<BatchConfig> {
  if (typeof batch === 'string') {
    const preset = PRESETS[batch];
    if (!preset || (batch as string) === 'default')
      throw wrapped(`batch preset must be 'high_throughput' or 'low_latency', got '${batch}'`);
    return preset;
  }
  const defaults = PRESETS.default as Required<BatchConfig>;
  const minSize = positive('batch min_size', batch?.minSize, defaults.minSize);
  const maxSize = positive('batch max_size', batch?.maxSize, Math.max(minSize, defaults.maxSize));
  if (maxSize < minSize) throw wrapped(`batch max_size must be >= min_size, got ${maxSize} < ${minSize}`);
  if (maxSize > 1_000_000) throw wrapped(`batch max_size must be <= 1000000, got ${maxSize}`);
  const adaptive = batch?.adaptive ?? true;
  return {
    minSize,
    maxSize,
    adaptive,
    maxDelayMs: Math.min(positive('batch max_delay', batch?.maxDelayMs, defaults.maxDelayMs), MAX_MS),
    velocityWindowMs: adaptive
      ? positive('batch velocity_window', batch?.velocityWindowMs, defaults.velocityWindowMs)
      : defaults.velocityWindowMs,
  };
}
