/** Names of the Redis keys, and records as text (90 §3.1). Another layout lets other clients' keys be used. */
import type { Health, PeerRecord } from './types.js';

/** How peers are laid out in Redis. */
export interface DiscoveryLayout {
  /** String with the record of an instance; it expires. */
  recordKey(service: string, instance: string): string;
  /** Sorted set of instances by expiry; undefined when there is none: lookups then scan. */
  indexKey(service: string): string | undefined;
  /** Sorted set of services by latest expiry, if any. */
  readonly servicesKey: string | undefined;
  /** Channel on which changes of a service are announced. */
  eventChannel(service: string): string;
  /** Sorted set of `service/instance` by expiry: subscribers of a topic. */
  topicKey(topic: string): string;
  /** String with a shared value. */
  dataKey(namespace: string, key: string): string;
  /** Channel on which changes of shared values are announced. */
  dataChannel(namespace: string): string;
  /** Text of a record. */
  encode(record: PeerRecord): string;
  /** Record of a text, or undefined when it is none. */
  decode(text: string, service: string): PeerRecord | undefined;
}

const HEALTH: readonly string[] = ['ok', 'degraded', 'down'] satisfies Health[];

function word(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0;
}

/** Reads a record, filling in what others may leave out; undefined when host or port are missing or malformed. */
export function decodeRecord(text: string, service: string): PeerRecord | undefined {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return undefined;
  const fields = raw as Record<string, unknown>;
  const { host, port, instance, weight, health, load, startedAt, seq, meta } = fields;
  if (!word(host) || !word(instance) || fields.service !== service) return undefined;
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65535) return undefined;
  return {
    ...fields,
    service,
    instance,
    host,
    port,
    v: typeof fields.v === 'number' ? fields.v : 1,
    proto: fields.proto === 'h2' ? 'h2' : 'h2c',
    path: word(fields.path) ? fields.path : '/mesh/v1',
    lang: word(fields.lang) ? fields.lang : 'unknown',
    weight: typeof weight === 'number' && weight >= 1 && weight <= 1000 ? weight : 1,
    health: HEALTH.includes(health as string) ? (health as Health) : 'ok',
    load: typeof load === 'number' ? load : 0,
    startedAt: typeof startedAt === 'number' ? startedAt : 0,
    seq: typeof seq === 'number' ? seq : 0,
    meta: typeof meta === 'object' && meta !== null ? (meta as Record<string, string>) : {},
  };
}

/** Layout of the protocol page: record, index of a service, list of services. */
function standard(prefix = 'mesh'): DiscoveryLayout {
  return {
    recordKey: (service, instance) => `${prefix}:svc:${service}:${instance}`,
    indexKey: (service) => `${prefix}:idx:${service}`,
    servicesKey: `${prefix}:svcs`,
    eventChannel: (service) => `${prefix}:ev:${service}`,
    topicKey: (topic) => `${prefix}:topic:${topic}`,
    dataKey: (namespace, key) => `${prefix}:data:${namespace}:${key}`,
    dataChannel: (namespace) => `${prefix}:dev:${namespace}`,
    encode: (record) => JSON.stringify(record),
    decode: decodeRecord,
  };
}

/** One string key per instance and nothing else; lookups scan. */
function simple(prefix = 'mesh'): DiscoveryLayout {
  return {
    ...standard(prefix),
    recordKey: (service, instance) => `${prefix}:services:${service}:${instance}`,
    indexKey: () => undefined,
    servicesKey: undefined,
  };
}

/** The layouts that come with the package. Each takes the key prefix (default `mesh`). */
export const layouts = { standard, simple };
