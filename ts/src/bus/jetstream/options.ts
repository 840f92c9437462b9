/** Options of the JetStream transport: defaults, checks, and the URL (11 §5.1). */
import { MeshringError } from '../../errors.js';
import type { JetStreamOptions } from '../../types.js';
import { TransportError } from '../transport.js';
import type { Endpoint } from '../wire/dial.js';

/** Options with defaults filled in. */
export interface JetStreamSettings {
  readonly url: string;
  readonly prefix: string;
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** 0 = unlimited. */
  readonly maxMessages: number;
  /** 0 = unlimited. */
  readonly maxBytes: number;
  /** 0 = unlimited. */
  readonly maxAgeMs: number;
  readonly replicas: number;
  readonly dedupWindowMs: number;
  readonly storage: 'file' | 'memory';
  readonly existingStream: 'warn' | 'error';
  readonly readShards: number | undefined;
}

/** A server and how to log in there. */
export interface NatsTarget extends Endpoint {
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly token: string | undefined;
  /** TLS is asked for; the protocol begins in clear text and is upgraded. */
  readonly secure: boolean;
}

function invalid(text: string): MeshringError {
  return new MeshringError(
    'invalid-config',
    `Invalid configuration: invalid configuration: jetstream adapter: invalid configuration: jetstream ${text}`,
  );
}

function whole(value: number | undefined, fallback: number): number {
  if (value === undefined || value === null) return fallback;
  return typeof value === 'number' ? Math.trunc(value) : Number.NaN;
}

function positive(value: number | undefined, name: string, fallback: number): number {
  const number = whole(value, fallback);
  if (number > 0 && number <= Number.MAX_SAFE_INTEGER) return number;
  throw invalid(number === 0 ? `${name} must be > 0` : `${name} must be > 0, got ${value}`);
}

function limit(value: number | undefined, name: string): number {
  const number = whole(value, 0);
  if (number >= 0 && number <= Number.MAX_SAFE_INTEGER) return number;
  throw invalid(`${name} must be non-negative (got ${Number.isNaN(number) ? value : number})`);
}

/**
 * Checks the options.
 *
 * @throws MeshringError kind `invalid-config`
 */
export function jetStreamSettings(options: JetStreamOptions): JetStreamSettings {
  const { url, prefix = 'net', storage = 'file', existingStream = 'warn' } = options;
  if (typeof url !== 'string' || url === '') throw invalid('url must be non-empty');
  if (typeof prefix !== 'string' || prefix === '' || /[.*>/\\\s\p{Cc}]/u.test(prefix)) {
    throw invalid(
      `prefix ${JSON.stringify(prefix)} is not usable in a stream name (no '.', '*', '>', '/', '\\' or blanks)`,
    );
  }
  const connectTimeoutMs = positive(options.connectTimeoutMs, 'connect_timeout', 5000);
  const requestTimeoutMs = positive(options.requestTimeoutMs, 'request_timeout', 5000);
  const maxMessages = limit(options.maxMessages, 'max_messages');
  const maxBytes = limit(options.maxBytes, 'max_bytes');
  const maxAgeMs = limit(options.maxAgeMs, 'max_age');
  const replicas = whole(options.replicas, 1);
  if (!(replicas >= 1 && replicas <= 255)) throw invalid('replicas must be >= 1');
  const dedupWindowMs = positive(options.dedupWindowMs, 'dedup_window', 3_600_000);
  if (storage !== 'file' && storage !== 'memory') throw invalid("storage must be 'file' or 'memory'");
  if (existingStream !== 'warn' && existingStream !== 'error') {
    throw invalid("existing_stream must be 'warn' or 'error'");
  }
  const readShards = options.readShards === undefined ? undefined : positive(options.readShards, 'read_shards', 1);
  return {
    url,
    prefix,
    connectTimeoutMs,
    requestTimeoutMs,
    maxMessages,
    maxBytes,
    maxAgeMs,
    replicas,
    dedupWindowMs,
    storage,
    existingStream,
    readShards,
  };
}

/**
 * Reads `nats://[user:password@|token@]host[:port]`, `tls://…`, or several of them separated by commas.
 *
 * @throws TransportError kind `connection`; the text does not contain the URL
 */
export function natsTargets(url: string): NatsTarget[] {
  return url.split(',').map((text) => natsTarget(text.trim()));
}

function natsTarget(text: string): NatsTarget {
  const unparsable = () => new TransportError('connection', 'JetStream URL did not parse (nats://host:port)');
  let parsed: URL;
  let login: (string | undefined)[];
  try {
    // Schemes that URL does not know have no default port and keep an empty host; http has both rules we need.
    const [, scheme = 'nats', rest = ''] = /^(?:([a-z]+):\/\/)?(.*)$/is.exec(text) ?? [];
    parsed = new URL(`http://${rest}`);
    login = [parsed.username, parsed.password].map((part) => (part ? decodeURIComponent(part) : undefined));
    if (!['nats', 'tls'].includes(scheme.toLowerCase()) || rest === '') throw unparsable();
    const [user, password] = login;
    return {
      host: parsed.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: natsPort(rest, parsed),
      secure: scheme.toLowerCase() === 'tls',
      ...(password === undefined
        ? { user: undefined, password: undefined, token: user }
        : { user, password, token: undefined }),
    };
  } catch {
    throw unparsable();
  }
}

/** The port; `URL` drops it when it is the default one of http. */
function natsPort(rest: string, parsed: URL): number {
  if (parsed.port !== '') return Number(parsed.port);
  return /:80(?:[/?#]|$)/.test(rest) ? 80 : 4222;
}
