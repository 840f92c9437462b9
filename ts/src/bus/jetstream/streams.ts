/** The streams of the shards: looked up, created when missing, never changed (11 §5.2). */
import { TransportError } from '../transport.js';
import type { NatsConnection } from './connection.js';
import type { JetStreamSettings } from './options.js';

const NANOS = 1_000_000;
/** Shortest duplicate window that servers accept, ms. */
const LEAST_WINDOW_MS = 100;
const NOT_FOUND = 10059;
/** Another node created the stream between our look-up and our request. */
const NAME_IN_USE = 10058;

/** Name of a shard's stream. */
export function streamName(prefix: string, shard: number): string {
  return `${prefix}_shard_${shard}`;
}

/** Subject of a shard. */
export function subjectName(prefix: string, shard: number): string {
  return `${prefix}.shard.${shard}`;
}

/** Configuration of a stream as the server takes it. */
export interface StreamConfig {
  readonly name: string;
  readonly subjects: readonly string[];
  readonly retention: 'limits';
  readonly storage: 'file' | 'memory';
  readonly discard: 'old';
  readonly num_replicas: number;
  readonly allow_direct: true;
  readonly duplicate_window: number;
  readonly max_msgs: number;
  readonly max_bytes: number;
  readonly max_age: number;
}

/** An error of the JetStream API. */
export interface ApiError {
  readonly code: number;
  readonly err_code?: number;
  readonly description?: string;
}

/** The configuration with which a shard's stream is created. */
export function streamConfig(settings: JetStreamSettings, shard: number): StreamConfig {
  const { prefix, maxAgeMs, dedupWindowMs } = settings;
  // The server refuses a window that is longer than messages live.
  const window = Math.max(LEAST_WINDOW_MS, maxAgeMs > 0 ? Math.min(dedupWindowMs, maxAgeMs) : dedupWindowMs);
  return {
    name: streamName(prefix, shard),
    subjects: [subjectName(prefix, shard)],
    retention: 'limits',
    storage: settings.storage,
    discard: 'old',
    num_replicas: settings.replicas,
    allow_direct: true,
    duplicate_window: window * NANOS,
    max_msgs: settings.maxMessages || -1,
    max_bytes: settings.maxBytes || -1,
    max_age: maxAgeMs * NANOS,
  };
}

/** Fields in which an existing stream differs from what would be created: `field=has (wanted w)`. */
export function differences(has: Partial<StreamConfig>, wanted: StreamConfig): string[] {
  const fields = [
    'subjects',
    'storage',
    'num_replicas',
    'duplicate_window',
    'max_msgs',
    'max_bytes',
    'max_age',
  ] as const;
  const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value ?? null));
  const absent: Partial<StreamConfig> = { max_msgs: -1, max_bytes: -1, max_age: 0, duplicate_window: 0, subjects: [] };
  return fields.flatMap((field) => {
    const [found, want] = [text(has[field] ?? absent[field]), text(wanted[field])];
    return found === want ? [] : [`${field}=${found} (wanted ${want})`];
  });
}

/** Streams of one node; each is looked up at its first use. */
export class Streams {
  readonly #settings: JetStreamSettings;
  readonly #warn: (text: string) => void;
  readonly #ready = new Map<number, Promise<void>>();

  constructor(settings: JetStreamSettings, warn: (text: string) => void) {
    this.#settings = settings;
    this.#warn = warn;
  }

  /**
   * Resolves when the stream of a shard exists. A failure is not remembered.
   *
   * @throws TransportError
   */
  ensure(connection: NatsConnection, shard: number): Promise<void> {
    const known = this.#ready.get(shard);
    if (known) return known;
    const ready = this.#lookUp(connection, shard).catch((error) => {
      this.forget(shard);
      throw error;
    });
    this.#ready.set(shard, ready);
    return ready;
  }

  /** Whether the stream of a shard is there, without making it. */
  async exists(connection: NatsConnection, shard: number): Promise<boolean> {
    const name = streamName(this.#settings.prefix, shard);
    return !('error' in (await this.#api<object>(connection, `STREAM.INFO.${name}`, '')));
  }

  /** The stream may be gone: look it up again before the next use. */
  forget(shard: number): void {
    this.#ready.delete(shard);
  }

  async #lookUp(connection: NatsConnection, shard: number): Promise<void> {
    const wanted = streamConfig(this.#settings, shard);
    const found = await this.#api<{ config: Partial<StreamConfig> }>(connection, `STREAM.INFO.${wanted.name}`, '');
    if ('error' in found) {
      if (found.error.err_code !== NOT_FOUND) throw apiFailure(found.error, shard);
      const made = await this.#api<object>(connection, `STREAM.CREATE.${wanted.name}`, JSON.stringify(wanted));
      if ('error' in made && made.error.err_code !== NAME_IN_USE) throw apiFailure(made.error, shard);
      return;
    }
    const differs = differences(found.config, wanted);
    if (differs.length === 0) return;
    const text = `stream ${wanted.name} differs: ${differs.join(', ')}`;
    if (this.#settings.existingStream === 'error') throw new TransportError('connection', text);
    this.#warn(`jetstream: ${text}; it is used as it is`);
  }

  async #api<T>(connection: NatsConnection, subject: string, body: string): Promise<T | { error: ApiError }> {
    return api<T>(connection, subject, body, this.#settings.requestTimeoutMs);
  }
}

/**
 * A request to the JetStream API.
 *
 * @throws TransportError kind `transient`: no answer, or no JetStream
 */
export async function api<T>(
  connection: NatsConnection,
  subject: string,
  body: string,
  timeoutMs: number,
): Promise<T | { error: ApiError }> {
  const answer = await connection.request(`$JS.API.${subject}`, body, timeoutMs);
  if (answer.status === 503) throw new TransportError('transient', 'JetStream does not answer (503 no responders)');
  return JSON.parse(answer.payload) as T | { error: ApiError };
}

/** The failure that stands for an error of the API while a stream is looked up or created. */
export function apiFailure(error: ApiError, shard: number): TransportError {
  const text = `${error.description ?? 'error'} (shard ${shard}, code ${error.err_code ?? error.code})`;
  return new TransportError(
    error.code >= 500 && error.code < 600 && error.err_code !== 10052 && error.err_code !== 10074
      ? 'transient'
      : 'connection',
    text,
  );
}
