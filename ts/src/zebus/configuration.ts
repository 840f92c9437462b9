import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { parse as parseToml } from 'smol-toml';
import { ZebusError } from '../errors.js';
import { type Duration, durationMs } from './duration.js';

/** Configuration of a bus. Durations are milliseconds or text such as `"1min"`. */
export interface BusConfiguration {
  /** Directories, tried in this order unless `pickRandomDirectory`. Default none. */
  directoryEndpoints: readonly string[];
  /** How long one directory may take to answer. Default 10 s. */
  registrationTimeout: Duration;
  /** How long the persistence may take to begin the replay. Default 30 s. */
  startReplayTimeout: Duration;
  /** Messages sent while this peer is down are kept for it by the persistence. Default false. */
  isPersistent: boolean;
  /** Try the directories in random order. Default true. */
  pickRandomDirectory: boolean;
  /** Publish MessageProcessingFailed when a handler fails unexpectedly. Default false. */
  enableErrorPublication: boolean;
  /** Messages per call of a handler with `batch: true`. Default 100. */
  messageBatchSize: number;
  /** Time for the answer to a command, 0 = no limit. Default 60 s. */
  commandTimeoutMs: number;
  /** How long `stop` waits for running handlers and queued messages. Default 30 s. */
  stopTimeoutMs: number;
  /** Handle commands and events of this bus's own handlers without the wire. Default true. */
  localDispatch: boolean;
  /** Largest message, in and out. Default 16 MiB. */
  maxMessageBytes: number;
  /** Messages that may wait in one dispatch queue before reading stops. Default 10 000. */
  maxQueuedMessages: number;
  /** Commands that may wait for their answer. Default 65 536. */
  maxPendingCommands: number;
  /** The directory's ping interval: after three silent ones the bus registers again. 0 = never. Default 60 s. */
  directoryPingInterval: Duration;
}

/** A bus configuration with every default filled in and durations in milliseconds. */
export type BusSettings = {
  readonly [K in keyof BusConfiguration]: BusConfiguration[K] extends Duration ? number : BusConfiguration[K];
};

/** Configuration of the ZeroMQ transport. */
export interface ZmqTransportConfiguration {
  /** Where this peer listens: `tcp://<host|*>:<port|*>`. Default `tcp://*:*`. */
  inboundEndpoint: string;
  /** How long a stopping peer waits for the others to have read everything. Default 10 s. */
  waitForEndOfStreamAckTimeout: Duration;
  /** Host that others are told to connect to. Default: the configured host, else this machine's name. */
  advertisedHost?: string;
}

type Kind = 'string' | 'strings' | 'boolean' | 'integer' | 'duration';
interface Key {
  readonly name: string;
  readonly kind: Kind;
  readonly fallback: unknown;
}
type Schema<T> = { readonly [K in keyof Required<T>]: Key };

const key = (name: string, kind: Kind, fallback: unknown): Key => ({ name, kind, fallback });

/** Keys of the bus's file and environment; `fallback` is the default. */
export const BUS_KEYS: Schema<BusConfiguration> = {
  directoryEndpoints: key('directory_endpoints', 'strings', []),
  registrationTimeout: key('registration_timeout', 'duration', 10_000),
  startReplayTimeout: key('start_replay_timeout', 'duration', 30_000),
  isPersistent: key('is_persistent', 'boolean', false),
  pickRandomDirectory: key('pick_random_directory', 'boolean', true),
  enableErrorPublication: key('enable_error_publication', 'boolean', false),
  messageBatchSize: key('message_batch_size', 'integer', 100),
  commandTimeoutMs: key('command_timeout', 'duration', 60_000),
  stopTimeoutMs: key('stop_timeout', 'duration', 30_000),
  localDispatch: key('local_dispatch', 'boolean', true),
  maxMessageBytes: key('max_message_bytes', 'integer', 16 * 1024 * 1024),
  maxQueuedMessages: key('max_queued_messages', 'integer', 10_000),
  maxPendingCommands: key('max_pending_commands', 'integer', 65_536),
  directoryPingInterval: key('directory_ping_interval', 'duration', 60_000),
};

/** Keys of the ZeroMQ transport's file and environment. */
export const ZMQ_KEYS: Schema<ZmqTransportConfiguration> = {
  inboundEndpoint: key('inbound_endpoint', 'string', 'tcp://*:*'),
  waitForEndOfStreamAckTimeout: key('wait_for_end_of_stream_ack_timeout', 'duration', 10_000),
  advertisedHost: key('advertised_host', 'string', undefined),
};

function wrong(name: string, value: unknown, needed: string): ZebusError {
  return new ZebusError('configuration', `${name}: expected ${needed}, got ${JSON.stringify(value)}`);
}

function convert({ name, kind }: Key, value: unknown): unknown {
  switch (kind) {
    case 'string':
      if (typeof value !== 'string') throw wrong(name, value, 'text');
      return value;
    case 'strings':
      if (!Array.isArray(value) || value.some((item) => typeof item !== 'string'))
        throw wrong(name, value, 'a list of text');
      return value;
    case 'boolean':
      if (typeof value !== 'boolean') throw wrong(name, value, 'true or false');
      return value;
    case 'integer': {
      const number = typeof value === 'bigint' ? Number(value) : value;
      if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < 1)
        throw wrong(name, value, 'an integer above 0');
      return number;
    }
    case 'duration': {
      const given = typeof value === 'bigint' ? Number(value) : value;
      if (typeof given !== 'number' && typeof given !== 'string') throw wrong(name, value, 'a duration');
      return durationMs(given, name);
    }
  }
}

function convertText(entry: Key, text: string): unknown {
  switch (entry.kind) {
    case 'strings':
      return text
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== '');
    case 'boolean':
      if (/^(true|1)$/i.test(text)) return true;
      if (/^(false|0)$/i.test(text)) return false;
      throw wrong(entry.name, text, 'true, false, 1 or 0');
    case 'integer':
      if (!/^\d+$/.test(text.trim())) throw wrong(entry.name, text, 'an integer');
      return convert(entry, Number(text));
    case 'duration':
      return convert(entry, /^\d+$/.test(text.trim()) ? Number(text) : text);
    case 'string':
      return text;
  }
}

function complete(schema: Schema<object>, given: object): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [field, entry] of Object.entries(schema) as [string, Key][]) {
    const value = (given as Record<string, unknown>)[field];
    const chosen = value === undefined ? entry.fallback : convert({ ...entry, name: field }, value);
    if (chosen !== undefined) out[field] = chosen;
  }
  return out;
}

/** Checks a bus configuration and fills in the defaults. */
export function busSettings(given: Partial<BusConfiguration>): BusSettings {
  return complete(BUS_KEYS, given) as unknown as BusSettings;
}

/** The transport's configuration with defaults, durations in milliseconds. */
export interface ZmqSettings {
  readonly inboundEndpoint: string;
  readonly waitForEndOfStreamAckTimeout: number;
  readonly advertisedHost?: string;
}

/** Checks a transport configuration and fills in the defaults. */
export function zmqSettings(given: Partial<ZmqTransportConfiguration>): ZmqSettings {
  return complete(ZMQ_KEYS, given) as unknown as ZmqSettings;
}

/** Anything that gives a configuration. */
export interface ConfigurationProvider<T> {
  configure(): Partial<T>;
}

/** Options of a `FileConfigurationProvider`. */
export interface ProviderOptions {
  /** Default `process.env`. */
  env?: Readonly<Record<string, string | undefined>>;
  /** Where warnings about unknown keys go. Default `process.emitWarning`. */
  warn?: (text: string) => void;
}

/**
 * Configuration of a bus or of the ZeroMQ transport from a TOML or JSON file and the environment: `ZEBUS_<KEY>` (upper
 * case) overrides the file. What neither names takes its default where the configuration is used.
 *
 * @example
 * const zmq = new FileConfigurationProvider<ZmqTransportConfiguration>().withFile('zmq.toml').configure();
 */
export class FileConfigurationProvider<T extends object = BusConfiguration> implements ConfigurationProvider<T> {
  private readonly env: Readonly<Record<string, string | undefined>>;
  private readonly warn: (text: string) => void;
  private path: string | undefined;

  constructor(options: ProviderOptions = {}) {
    this.env = options.env ?? process.env;
    this.warn = options.warn ?? ((text) => process.emitWarning(text, 'ZebusWarning'));
  }

  /** The file to read; TOML or JSON by its extension. */
  withFile(path: string): this {
    this.path = path;
    return this;
  }

  /** Reads file and environment. Throws `ZebusError('configuration')`. */
  configure(): Partial<T> {
    const file = this.path === undefined ? {} : readTable(this.path);
    const out: Record<string, unknown> = {};
    const known = new Set<string>();
    for (const [field, entry] of Object.entries({ ...BUS_KEYS, ...ZMQ_KEYS }) as [string, Key][]) {
      known.add(entry.name);
      const text = this.env[`ZEBUS_${entry.name.toUpperCase()}`];
      if (text !== undefined) out[field] = convertText(entry, text);
      else if (file[entry.name] !== undefined) out[field] = convert(entry, file[entry.name]);
    }
    const unknown = Object.keys(file).filter((name) => !known.has(name));
    if (unknown.length > 0) this.warn(`${this.path}: unknown keys ignored: ${unknown.join(', ')}`);
    return out as Partial<T>;
  }
}

function readTable(path: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new ZebusError('configuration', `cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
  try {
    const extension = extname(path).toLowerCase();
    if (extension !== '.toml' && extension !== '.json') throw new Error('the extension must be .toml or .json');
    const table: unknown = extension === '.json' ? JSON.parse(text) : parseToml(text);
    if (typeof table !== 'object' || table === null || Array.isArray(table)) throw new Error('not a table');
    return table as Record<string, unknown>;
  } catch (cause) {
    throw new ZebusError('configuration', `${path}: ${(cause as Error).message}`, { cause });
  }
}
