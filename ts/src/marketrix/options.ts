/** Checks the options of a peer and fills in the defaults (90 §2). */
import { randomUUID } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { describeType, MarketrixError } from '../errors.js';
import { DEFAULT_MAX_FRAME_BYTES } from './frames.js';
import { type DiscoveryLayout, layouts } from './layout.js';
import type { Balance, MeshOptions } from './types.js';

const NAME = /^[A-Za-z0-9._-]{1,64}$/;
const BALANCES: readonly unknown[] = ['round-robin', 'least-inflight', 'random', 'hash'] satisfies Balance[];

/** Options with nothing left open. */
export type Settings = Required<
  Omit<MeshOptions, 'redis' | 'keyPrefix' | 'layout' | 'cluster' | 'listen' | 'token' | 'tls'>
> &
  Pick<MeshOptions, 'redis' | 'token' | 'tls'> & {
    listen: { host: string; port: number; advertiseHost: string } | false;
    /** Layout for a Redis that is (or is not) a cluster. */
    layout: (cluster: boolean) => DiscoveryLayout;
  };

function invalid(text: string): MarketrixError {
  return new MarketrixError('invalid-options', text);
}

/** Throws unless `value` is a name of a service, instance, topic or namespace. */
export function checkName(what: string, value: unknown): string {
  if (typeof value !== 'string' || !NAME.test(value)) {
    const got = typeof value === 'string' ? JSON.stringify(value) : describeType(value);
    throw invalid(`${what} must be 1 to 64 characters of A-Z a-z 0-9 . _ -, got ${got}`);
  }
  return value;
}

function number(options: MeshOptions, name: keyof MeshOptions, fallback: number, min: number, max: number): number {
  const value: unknown = options[name] ?? fallback;
  if (typeof value !== 'number' || !(value >= min && value <= max)) {
    throw invalid(`${name} must be ${min} to ${max}, got ${typeof value === 'number' ? value : describeType(value)}`);
  }
  return value;
}

/** What others dial when nothing is said: the environment, the first external IPv4 address, this machine. */
function advertised(host: string | undefined): string {
  const external = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .find((address) => address.family === 'IPv4' && !address.internal);
  return host ?? process.env.MESH_ADVERTISE_HOST ?? external?.address ?? '127.0.0.1';
}

function listening(listen: MeshOptions['listen']): Settings['listen'] {
  if (listen === false) return false;
  const { host = '0.0.0.0', port = 0, advertiseHost } = listen ?? {};
  if (!Number.isInteger(port) || port < 0 || port > 65535) throw invalid(`listen.port must be 0 to 65535, got ${port}`);
  return { host, port, advertiseHost: advertised(advertiseHost) };
}

function strings(what: string, value: unknown): Record<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(`${what} must be an object of strings, got ${describeType(value)}`);
  }
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw invalid(`${what}.${key} must be a string, got ${describeType(text)}`);
  }
  return { ...(value as Record<string, string>) };
}

/** @throws MarketrixError `invalid-options`. */
export function checkOptions(options: MeshOptions): Settings {
  if (typeof options !== 'object' || options === null) throw invalid(`options must be an object`);
  const { keyPrefix = 'mesh', layout, cluster, balance = 'round-robin', endian = 'big', envelope = true } = options;
  const ttlMs = number(options, 'ttlMs', 15_000, 1000, 3_600_000);
  if (typeof keyPrefix !== 'string' || keyPrefix.length === 0) throw invalid('keyPrefix must be a non-empty string');
  if (!BALANCES.includes(balance)) throw invalid(`balance must be one of ${BALANCES.join(', ')}, got ${balance}`);
  if (endian !== 'big' && endian !== 'little') throw invalid(`endian must be 'big' or 'little', got ${endian}`);
  if (typeof envelope !== 'boolean') throw invalid(`envelope must be a boolean, got ${describeType(envelope)}`);
  if (options.token !== undefined && (typeof options.token !== 'string' || options.token.length === 0)) {
    throw invalid('token must be a non-empty string');
  }
  return {
    service: checkName('service', options.service),
    instance: checkName('instance', options.instance ?? randomUUID()),
    redis: options.redis,
    layout: (isCluster) => layout ?? layouts.standard((cluster ?? isCluster) ? `{${keyPrefix}}` : keyPrefix),
    listen: listening(options.listen),
    ttlMs,
    heartbeatMs: number(options, 'heartbeatMs', ttlMs / 3, 1, ttlMs / 2),
    meta: strings('meta', options.meta ?? {}),
    weight: number(options, 'weight', 1, 1, 1000),
    balance,
    maxFrameBytes: number(options, 'maxFrameBytes', DEFAULT_MAX_FRAME_BYTES, 1024, 1024 ** 3),
    endian,
    envelope,
    token: options.token,
    tls: options.tls,
    connectTimeoutMs: number(options, 'connectTimeoutMs', 5000, 1, 2 ** 31 - 1),
    callTimeoutMs:
      options.callTimeoutMs === Infinity ? Infinity : number(options, 'callTimeoutMs', 30_000, 1, 2 ** 31 - 1),
    pingMs: number(options, 'pingMs', 10_000, 10, 2 ** 31 - 1),
    pingTimeoutMs: number(options, 'pingTimeoutMs', 5000, 10, 2 ** 31 - 1),
    drainMs: number(options, 'drainMs', 5000, 0, 2 ** 31 - 1),
    idleMs: number(options, 'idleMs', 300_000, 10, 2 ** 31 - 1),
    maxQueuedBytes: number(options, 'maxQueuedBytes', 4 * 1024 * 1024, 1024, 1024 ** 3),
    maxInflight: number(options, 'maxInflight', 1024, 1, 1_000_000),
    keepConnected: (options.keepConnected ?? []).map((name) => checkName('keepConnected', name)),
  };
}
