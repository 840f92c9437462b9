/** Options of the Redis transport: defaults, checks, and the URL (11 §4.1). */
import { MeshringError } from '../../errors.js';
import type { RedisOptions } from '../../types.js';
import { TransportError } from '../transport.js';
import type { Endpoint } from '../wire/dial.js';

/** Options with defaults filled in. */
export interface RedisSettings {
  readonly url: string;
  readonly prefix: string;
  readonly exactlyOnce: boolean;
  readonly pipelineSize: number;
  readonly poolSize: number | undefined;
  readonly connectTimeoutMs: number;
  readonly commandTimeoutMs: number;
  readonly maxStreamLen: number | undefined;
  readonly readShards: number | undefined;
}

/** Where and as whom to connect. */
export interface RedisTarget extends Endpoint {
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
}

function invalid(text: string): MeshringError {
  return new MeshringError(
    'invalid-config',
    `Invalid configuration: invalid configuration: redis adapter: invalid configuration: ${text}`,
  );
}

/** A whole number; fractions are cut off as everywhere in the configuration. */
function whole(value: number | undefined, name: string, least: number, fallback: number): number;
function whole(value: number | undefined, name: string, least: number): number | undefined;
function whole(value: number | undefined, name: string, least: number, fallback?: number): number | undefined {
  if (value === undefined || value === null) return fallback;
  const number = typeof value === 'number' ? Math.trunc(value) : Number.NaN;
  if (number >= least && number <= Number.MAX_SAFE_INTEGER) return number;
  throw invalid(
    least === 1 && number === 0 ? `redis ${name} must be > 0` : `redis ${name} must be >= ${least}, got ${value}`,
  );
}

/**
 * Checks the options.
 *
 * @throws MeshringError kind `invalid-config`
 */
export function redisSettings(options: RedisOptions): RedisSettings {
  if (typeof options.url !== 'string' || options.url === '') throw invalid('redis url must be non-empty');
  const { url, prefix = 'net', exactlyOnce = true } = options;
  if (typeof prefix !== 'string') throw invalid('redis prefix must be a string');
  return {
    url,
    prefix,
    exactlyOnce,
    pipelineSize: whole(options.pipelineSize, 'pipeline_size', 1, 1000),
    poolSize: whole(options.poolSize, 'pool_size', 1),
    connectTimeoutMs: whole(options.connectTimeoutMs, 'connect_timeout', 1, 5000),
    commandTimeoutMs: whole(options.commandTimeoutMs, 'command_timeout', 1, 1000),
    maxStreamLen: whole(options.maxStreamLen, 'max_stream_len', 1),
    readShards: whole(options.readShards, 'read_shards', 1),
  };
}

/**
 * Reads `redis://[user[:password]@]host[:port][/db]`, `rediss://` (TLS; `#insecure` accepts any certificate) and
 * `unix:///path[?db=n&user=u&pass=p]`.
 *
 * @throws TransportError kind `connection`; the text does not contain the URL
 */
export function redisTarget(url: string): RedisTarget {
  const unparsable = () => new TransportError('connection', 'Redis URL did not parse - InvalidClientConfig');
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw unparsable();
  }
  const text = (part: string | null) => {
    try {
      return part ? decodeURIComponent(part) : undefined;
    } catch {
      throw unparsable();
    }
  };
  const number = (part: string | null) => {
    if (!part) return 0;
    if (!/^\d{1,9}$/.test(part)) throw unparsable();
    return Number(part);
  };
  const login = { username: text(parsed.username), password: text(parsed.password) };
  switch (parsed.protocol) {
    case 'redis:':
    case 'rediss:': {
      const secure = parsed.protocol === 'rediss:';
      const host = parsed.hostname.replace(/^\[(.*)\]$/, '$1');
      if (host === '') throw unparsable();
      const tls = secure ? { verify: parsed.hash !== '#insecure' } : undefined;
      const database = number(parsed.pathname.replace(/^\//, ''));
      return { host, port: parsed.port === '' ? 6379 : Number(parsed.port), tls, database, ...login };
    }
    case 'unix:':
    case 'redis+unix:': {
      const query = parsed.searchParams;
      return {
        host: text(parsed.pathname) ?? '',
        port: undefined,
        database: number(query.get('db')),
        username: query.get('user') ?? undefined,
        password: query.get('pass') ?? undefined,
      };
    }
    default:
      throw unparsable();
  }
}
