/** Names of the core package for the options of a bus (10 §9). */
import type { JetStreamOptions, MeshOptions, NetNodeConfig, RedisOptions, Transport } from '../types.js';

/** Mesh options under the core's names. */
export type NetOptions = Omit<MeshOptions, 'bind' | 'peer' | 'role'> & {
  /** Local `ip:port`. */
  bindAddr: string;
  /** The peer's `ip:port`. */
  peerAddr: string;
  /** Which side starts the handshake. */
  role: 'initiator' | 'responder';
};

/** Options of `Net.create`. Of `redis`, `jetstream` and `net` the first that is present wins. */
export interface EventBusOptions {
  /** Number of shards, 1..65535. Default: CPUs that the process may use. */
  numShards?: number;
  /** Slots of a shard's ring, a power of two >= 1024. Default 1048576. */
  ringBufferCapacity?: number;
  /** `'drop_newest' | 'drop_oldest' | 'fail_producer'`, default `'drop_oldest'`. */
  backpressureMode?: string;
  /** Redis Streams. */
  redis?: RedisOptions;
  /** NATS JetStream. */
  jetstream?: JetStreamOptions;
  /** One encrypted peer. */
  net?: NetOptions;
  /** File that keeps the producer nonce over restarts (11 §6). */
  producerNoncePath?: string;
}

/** An event and its hash. */
export interface HashedEvent {
  /** The event. */
  data: Uint8Array;
  /** XXH3-64 of it. */
  hash: bigint;
}

/** A key pair of the mesh transport. */
export interface NetKeypair {
  /** 64 lower-case hex digits. */
  publicKey: string;
  /** 64 lower-case hex digits. Secret. */
  secretKey: string;
}

function transportOf(options: EventBusOptions): Transport {
  if (options.redis) return { ...options.redis, type: 'redis' };
  if (options.jetstream) return { ...options.jetstream, type: 'jetstream' };
  if (!options.net) return { type: 'memory' };
  const { bindAddr, peerAddr, ...rest } = options.net;
  return { ...rest, type: 'mesh', bind: bindAddr, peer: peerAddr };
}

/** The same options under the SDK's names. */
export function fromCore(options: EventBusOptions): NetNodeConfig {
  const config: NetNodeConfig = { transport: transportOf(options) };
  if (options.numShards !== undefined) config.shards = options.numShards;
  if (options.ringBufferCapacity !== undefined) config.bufferCapacity = options.ringBufferCapacity;
  if (options.backpressureMode !== undefined) {
    config.backpressure = options.backpressureMode as NonNullable<NetNodeConfig['backpressure']>;
  }
  if (options.producerNoncePath !== undefined) config.producerNoncePath = options.producerNoncePath;
  return config;
}
