/** Public types of Marketrix Mesh. */
import type { SecureContextOptions } from 'node:tls';
import type { Cluster, Redis, RedisOptions } from 'ioredis';
import type { DiscoveryLayout } from './layout.js';
import type { PeerRef } from './peer-ref.js';

export type { PeerRef };

/** How well an instance feels. `degraded` ones are used when nothing else is left, `down` ones never. */
export type Health = 'ok' | 'degraded' | 'down';

/** What an instance publishes about itself in Redis. Fields of other implementations are kept as they are. */
export interface PeerRecord extends PeerRef {
  /** Version of the record, 1. */
  readonly v: number;
  /** Address that others dial. */
  readonly host: string;
  /** Port that others dial. */
  readonly port: number;
  /** `h2c`: HTTP/2 without TLS. `h2`: with TLS. */
  readonly proto: 'h2c' | 'h2';
  /** Path of the handshake request. */
  readonly path: string;
  /** Language of the implementation: `node`, `python`, … */
  readonly lang: string;
  /** Share of the traffic, 1…1000. */
  readonly weight: number;
  /** Health at the last heartbeat. */
  readonly health: Health;
  /** Open calls divided by the limit, 0…1. */
  readonly load: number;
  /** When the process joined, milliseconds since the epoch. */
  readonly startedAt: number;
  /** Rises with each write of the record. */
  readonly seq: number;
  /** Free text of the application. */
  readonly meta: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

/** A change in the set of live instances. */
export interface PeerChange {
  /** `up`: new. `down`: left, or its TTL ran out. `update`: its record changed. */
  readonly type: 'up' | 'down' | 'update';
  readonly record: PeerRecord;
}

/** TLS material. The same is used for listening and for dialling. */
export interface MeshTls {
  /** Private key, PEM. Not needed with `listen: false`. */
  key?: SecureContextOptions['key'];
  /** Certificate, PEM. */
  cert?: SecureContextOptions['cert'];
  /** Authorities to trust when dialling. Default: those of the system. */
  ca?: SecureContextOptions['ca'];
  /** Name that the certificate of the other side must have. Default: the host dialled. */
  servername?: string;
}

/** How one of several instances is chosen. */
export type Balance = 'round-robin' | 'least-inflight' | 'random' | 'hash';

/** Options of `MeshPeer.join`. */
export interface MeshOptions {
  /** Name of the service: 1…64 characters of `A-Za-z0-9._-`. */
  service: string;
  /** Name of this instance, same characters. Default: a random UUID. */
  instance?: string;
  /** URL, ioredis options, or an ioredis client (which is not closed by `leave`). Default `redis://127.0.0.1:6379`. */
  redis?: string | RedisOptions | Redis | Cluster;
  /** First part of every Redis key. Default `mesh`. */
  keyPrefix?: string;
  /** Names of the Redis keys and form of the records, in place of `keyPrefix`. */
  layout?: DiscoveryLayout;
  /** Put all keys into one hash slot (Redis Cluster). Default: true when `redis` is a `Cluster`. */
  cluster?: boolean;
  /**
   * Where to accept connections. Default host `0.0.0.0`, a free port. `advertiseHost` is what others dial: default the
   * environment's `MESH_ADVERTISE_HOST`, else the first external IPv4 address, else 127.0.0.1.
   * `false`: this peer dials only; it is not registered and cannot be found.
   */
  listen?: { host?: string; port?: number; advertiseHost?: string } | false;
  /** How long a registration lives without a heartbeat, 1000…3600000 ms. Default 15000. */
  ttlMs?: number;
  /** Time between heartbeats, at most half of `ttlMs`. Default a third. Each is spread by ± 10 %. */
  heartbeatMs?: number;
  /** Free text that others see in the record. */
  meta?: Record<string, string>;
  /** Share of the traffic relative to the other instances, 1…1000. Default 1. */
  weight?: number;
  /** How instances are chosen. Default `round-robin` (by weight). A call with a `key` always goes by `hash`. */
  balance?: Balance;
  /** Largest frame sent and accepted, 1 KiB…1 GiB. Default 16 MiB. */
  maxFrameBytes?: number;
  /** Byte order of the length prefix. Default `big`; the other side is told. */
  endian?: 'big' | 'little';
  /** `false`: raw JSON frames only; streams work, calls and events do not. Default true. */
  envelope?: boolean;
  /** Secret that every peer must show. Use it with TLS, or on trusted networks only. */
  token?: string;
  /** HTTP/2 over TLS instead of clear text. */
  tls?: MeshTls;
  /** Time for TCP, TLS and handshake, ms. Default 5000. */
  connectTimeoutMs?: number;
  /** Default time limit of calls, ms. Default 30000. */
  callTimeoutMs?: number;
  /** A silent connection is probed this often, ms. Default 10000. */
  pingMs?: number;
  /** How long a probe may stay unanswered before the connection is given up, ms. Default 5000. */
  pingTimeoutMs?: number;
  /** How long `leave` waits for open calls, ms. Default 5000. */
  drainMs?: number;
  /** Connections without streams are closed after this time, ms. Default 300000. */
  idleMs?: number;
  /** Bytes that a stream queues for sending. Default 4 MiB. */
  maxQueuedBytes?: number;
  /** Open streams and calls per connection; more are refused with `overloaded`. Default 1024. */
  maxInflight?: number;
  /** Services to which a connection is kept open, also when unused. */
  keepConnected?: readonly string[];
}

/** Options of `connect`. */
export interface ConnectOptions {
  /** Only this instance. */
  instance?: string;
  /** The same key goes to the same instance while the set of instances does not change. */
  key?: string;
  /** Ends the attempt, and later the stream. */
  signal?: AbortSignal;
}

/** Options of calls. */
export interface CallOptions {
  /** Time limit in ms, including retries. Default `callTimeoutMs`; `Infinity`: none. Streams: none by default. */
  timeoutMs?: number;
  /** Cancels the call. */
  signal?: AbortSignal;
  /** The same key goes to the same instance while the set of instances does not change. */
  key?: string;
  /** Only this instance. */
  instance?: string;
  /** The method may run more than once: failures of the connection are retried on another instance. */
  idempotent?: boolean;
  /** How many times an idempotent call is retried. Default 2. */
  retries?: number;
  /** Handed to the handler as `ctx.headers`. */
  headers?: Record<string, string>;
}

/** What a handler knows about the call. */
export interface CallContext {
  readonly method: string;
  /** The caller. */
  readonly remote: PeerRef;
  /** Aborts when the caller cancels, its time is over or the connection breaks. */
  readonly signal: AbortSignal;
  /** When the caller gives up, in milliseconds since the epoch by this machine's clock; undefined if never. */
  readonly deadline: number | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

/** Implementation of a method. `input` is an `AsyncIterable` when the caller streams its input. */
export type Handler<I = unknown, O = unknown> = (input: I, ctx: CallContext) => O | Promise<O> | AsyncIterable<O>;

/** Makes every method of `T` a promise: what `mesh.service<T>(name)` gives for an interface of plain functions. */
export type Remote<T> = {
  readonly [K in keyof T]: T[K] extends (...args: infer A) => infer R ? (...args: A) => Promise<Awaited<R>> : never;
};

/** Bidirectional stream of JSON messages, in order. Both directions are independent of each other. */
export interface PeerStream extends AsyncIterable<unknown> {
  /** Who is at the other end. */
  readonly remote: PeerRef;
  /**
   * Queues one message; waits while more than half of `maxQueuedBytes` is queued.
   *
   * @throws MarketrixError `invalid-message`, `frame-too-large`, `closed`, `connection-lost`.
   */
  send(message: unknown): Promise<void>;
  /** Queues one message if there is room; returns false, and does nothing, when the queue is full or closed. */
  trySend(message: unknown): boolean;
  /** Says that nothing more will be sent; resolves when all is handed to the connection. Reading goes on. */
  end(): Promise<void>;
  /** Ends both directions at once. The other side sees `connection-lost`. */
  close(error?: Error): void;
  /** Resolves when both directions have ended, rejects when the stream broke. */
  readonly closed: Promise<void>;
}

/** Counters of a peer since it joined. */
export interface PeerStats {
  /** `ok`; `down` while Redis is out of reach; `conflict` when another process took this instance's name; `off`: not registered. */
  readonly discovery: 'ok' | 'down' | 'conflict' | 'off';
  readonly health: Health;
  /** Connections that this peer dialled. */
  readonly connectionsOut: number;
  /** Connections that others dialled. */
  readonly connectionsIn: number;
  /** Open streams over all connections. */
  readonly streams: number;
  /** Calls being served now. */
  readonly serving: number;
  /** Own calls that wait for a result. */
  readonly calling: number;
  readonly messagesSent: number;
  readonly messagesReceived: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly callsStarted: number;
  readonly callsServed: number;
  /** Calls tried again on another instance or connection. */
  readonly retries: number;
  /** Connections that broke while in use. */
  readonly connectionsLost: number;
  /** Events not delivered because the subscriber was behind or out of reach. */
  readonly eventsMissed: number;
  /** Records in Redis that could not be read. */
  readonly malformedRecords: number;
  /** Successful writes of the registration. */
  readonly heartbeats: number;
  /** Attempts to reach Redis that failed. */
  readonly redisFailures: number;
  /** Streams refused or reset because of malformed frames. */
  readonly protocolErrors: number;
  /** Errors thrown by functions given to `onConnection` and `subscribe`. */
  readonly callbackErrors: number;
}
