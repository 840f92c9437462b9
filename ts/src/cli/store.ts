/** Where a command reads and writes: the options that all commands have in common. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { JetStreamOptions, NetNodeConfig, RedisOptions, Transport } from '../types.js';

/** Values of the common options. */
export interface StoreOptions {
  readonly transport: string;
  readonly prefix?: string;
  readonly shards?: number;
}

/** Names that stand for the server of this machine. */
const LOCAL: Record<string, string> = { redis: 'redis://127.0.0.1:6379', jetstream: 'nats://127.0.0.1:4222' };

/** Parser of a whole number option. */
export function whole(least: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (!/^\d+$/.test(text) || number < least) throw new InvalidArgumentError(`needs a whole number >= ${least}`);
    return number;
  };
}

/** Adds the common options. */
export function withStore(command: Command, fallback?: string): Command {
  const transport = new Option(
    '-t, --transport <store>',
    'memory, redis, jetstream, or redis://… rediss://… nats://… tls://…',
  )
    .env('MESHRING_TRANSPORT')
    .argParser((text: string) => {
      if (text !== 'memory' && text !== 'local' && !LOCAL[text] && !storeOf(text)) {
        throw new InvalidArgumentError('needs memory, redis, jetstream, or a redis:// or nats:// URL');
      }
      return text;
    });
  if (fallback === undefined) transport.makeOptionMandatory();
  else transport.default(fallback);
  return command
    .addOption(transport)
    .option('-p, --prefix <text>', 'prefix of keys, streams and subjects (default: net)')
    .option('-s, --shards <n>', 'number of shards (default: number of CPUs)', whole(1));
}

function storeOf(url: string): 'redis' | 'jetstream' | undefined {
  if (/^(rediss?|unix|redis\+unix):\/\//i.test(url)) return 'redis';
  return /^(nats|tls):\/\//i.test(url) ? 'jetstream' : undefined;
}

/** The transport that the options name. */
export function transportOf(options: StoreOptions): Transport {
  const url = LOCAL[options.transport] ?? options.transport;
  const store = storeOf(url);
  if (!store) return { type: 'memory' };
  const common: RedisOptions & JetStreamOptions = { url };
  if (options.prefix !== undefined) common.prefix = options.prefix;
  return { type: store, ...common };
}

/** The configuration of a node for the options. */
export function nodeConfig(options: StoreOptions): NetNodeConfig {
  const config: NetNodeConfig = { transport: transportOf(options) };
  if (options.shards !== undefined) config.shards = options.shards;
  return config;
}

/** A URL as it may be shown: user and password are left out, up to the last `@` of each server. */
export function shownUrl(url: string): string {
  return url
    .split(',')
    .map((part) => part.replace(/^([a-z+]+:\/\/)?[^/?#]*@/i, '$1[REDACTED]@'))
    .join(',');
}
