/** Talking to servers directly, below the bus: what `stats`, `doctor` and `bench` ask and clean up. */
import { NatsConnection } from '../bus/jetstream/connection.js';
import { jetStreamSettings, type NatsTarget, natsTargets } from '../bus/jetstream/options.js';
import { type ApiError, api, streamName } from '../bus/jetstream/streams.js';
import { RedisConnection } from '../bus/redis/connection.js';
import { redisSettings, redisTarget } from '../bus/redis/options.js';
import { command, type Reply, ReplyError } from '../bus/redis/resp.js';
import { streamKey } from '../bus/redis/writer.js';
import type { JetStreamOptions, RedisOptions } from '../types.js';

/** Limit of a connection and of one command, ms. */
const LIMIT_MS = 3000;

/** What is known of a shard's stream. */
export interface StreamStats {
  readonly shard: number;
  readonly stream: string;
  readonly events: number;
  readonly bytes: number;
  readonly first: string;
  readonly last: string;
}

/** A connection to Redis for a few commands. */
export class RedisServer {
  readonly #connection: RedisConnection;
  readonly prefix: string;

  static async connect(options: RedisOptions): Promise<RedisServer> {
    const { url, prefix } = redisSettings(options);
    const signal = new AbortController().signal;
    return new RedisServer(await RedisConnection.open(redisTarget(url), LIMIT_MS, LIMIT_MS, signal), prefix);
  }

  private constructor(connection: RedisConnection, prefix: string) {
    this.#connection = connection;
    this.prefix = prefix;
  }

  /** Reply of one command; an error reply is thrown. */
  async ask(...words: (string | number)[]): Promise<Exclude<Reply, ReplyError>> {
    const reply = await this.try(...words);
    if (reply instanceof ReplyError) throw new Error(reply.text);
    return reply;
  }

  /** Reply of one command, errors as values. */
  async try(...words: (string | number)[]): Promise<Reply> {
    const [reply] = await this.#connection.replies([command(...words)], 1, LIMIT_MS);
    return reply ?? null;
  }

  /** Streams of all shards that there are. */
  async streams(): Promise<StreamStats[]> {
    const found: StreamStats[] = [];
    for (const key of await this.#keys()) {
      const info = await this.try('XINFO', 'STREAM', key);
      if (!Array.isArray(info)) continue;
      const field = (name: string) => info[info.indexOf(name) + 1];
      const id = (entry: Reply | undefined) => (Array.isArray(entry) ? String(entry[0]) : '-');
      const bytes = await this.try('MEMORY', 'USAGE', key, 'SAMPLES', 0);
      found.push({
        shard: Number(key.slice(key.lastIndexOf(':') + 1)),
        stream: key,
        events: Number(field('length')),
        bytes: typeof bytes === 'number' ? bytes : 0,
        first: id(field('first-entry')),
        last: id(field('last-entry')),
      });
    }
    return found.sort((a, b) => a.shard - b.shard);
  }

  /** Removes the streams and sequence keys of a prefix. */
  async remove(): Promise<void> {
    const stream = streamKey(this.prefix, 0).slice(0, -1);
    const keys = [...(await this.#keys()), ...(await this.#scan(`{${escaped(stream)}*:seq:*`))];
    for (const key of keys) await this.ask('DEL', key);
  }

  async #keys(): Promise<string[]> {
    const stream = streamKey(this.prefix, 0).slice(0, -1);
    const found = await this.#scan(`${escaped(stream)}*`);
    return found.filter((key) => /^\d{1,5}$/.test(key.slice(stream.length)));
  }

  async #scan(pattern: string): Promise<string[]> {
    const keys = new Set<string>();
    let cursor = '0';
    do {
      const reply = await this.ask('SCAN', cursor, 'MATCH', pattern, 'COUNT', 1000);
      const [next, found] = Array.isArray(reply) ? reply : [];
      cursor = String(next ?? '0');
      for (const key of Array.isArray(found) ? found : []) keys.add(String(key));
    } while (cursor !== '0');
    return [...keys];
  }

  close(): void {
    this.#connection.close();
  }
}

function escaped(text: string): string {
  return text.replace(/[*?[\]\\^]/g, '\\$&');
}

/** A connection to NATS for a few requests. */
export class NatsServer {
  readonly #connection: NatsConnection;
  readonly prefix: string;

  static async connect(options: JetStreamOptions): Promise<NatsServer> {
    const { url, prefix } = jetStreamSettings(options);
    const [target] = natsTargets(url);
    const signal = new AbortController().signal;
    return new NatsServer(await NatsConnection.open(target as NatsTarget, LIMIT_MS, signal), prefix);
  }

  private constructor(connection: NatsConnection, prefix: string) {
    this.#connection = connection;
    this.prefix = prefix;
  }

  /** What the server said about itself. */
  get info() {
    return this.#connection.info;
  }

  /** Answer of the JetStream API; an error is thrown. */
  async ask<T extends object>(subject: string, body: object | '' = ''): Promise<T> {
    const text = body === '' ? '' : JSON.stringify(body);
    const answer = (await api<T>(this.#connection, subject, text, LIMIT_MS)) as T & { error?: ApiError };
    if (answer.error) throw new Error(answer.error.description ?? `code ${answer.error.code}`);
    return answer;
  }

  /** Streams of all shards that there are. */
  async streams(): Promise<StreamStats[]> {
    const found: StreamStats[] = [];
    for (const name of await this.#names()) {
      type Info = { state: { messages: number; bytes: number; first_seq: number; last_seq: number } };
      const { state } = await this.ask<Info>(`STREAM.INFO.${name}`);
      const shard = Number(name.slice(name.lastIndexOf('_') + 1));
      const { messages: events, bytes, first_seq, last_seq } = state;
      found.push({ shard, stream: name, events, bytes, first: String(first_seq), last: String(last_seq) });
    }
    return found.sort((a, b) => a.shard - b.shard);
  }

  /** Removes the streams of a prefix. */
  async remove(): Promise<void> {
    for (const name of await this.#names()) await this.ask(`STREAM.DELETE.${name}`);
  }

  async #names(): Promise<string[]> {
    const stream = streamName(this.prefix, 0).slice(0, -1);
    const names: string[] = [];
    for (;;) {
      type Names = { streams: string[] | null; total: number };
      const page = await this.ask<Names>('STREAM.NAMES', { offset: names.length });
      names.push(...(page.streams ?? []));
      if (!page.streams?.length || names.length >= page.total) break;
    }
    return names.filter((name) => name.startsWith(stream) && /^\d{1,5}$/.test(name.slice(stream.length)));
  }

  close(): void {
    this.#connection.close();
  }
}
