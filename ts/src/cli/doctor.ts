import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Command } from 'commander';
import { backend } from '../backend/choose.js';
import { jetStreamSettings } from '../bus/jetstream/options.js';
import { streamConfig, streamName, subjectName } from '../bus/jetstream/streams.js';
import { sequenceKey } from '../bus/redis/script.js';
import { streamKey } from '../bus/redis/writer.js';
import { messageOf } from '../errors.js';
import type { JetStreamOptions, RedisOptions, Transport } from '../types.js';
import { EXIT } from './exit.js';
import { NatsServer, RedisServer } from './servers.js';
import { type StoreOptions, shownUrl, transportOf, withStore } from './store.js';

interface Options extends Partial<StoreOptions> {
  readonly json?: boolean;
}

/** One thing that was looked at. */
interface Finding {
  readonly what: string;
  readonly state: 'ok' | 'warning' | 'problem';
  readonly text: string;
  /** What to do about it. */
  readonly hint?: string;
}

/** `meshring doctor`. */
export function doctorCommand(): Command {
  const command = new Command('doctor')
    .description('check the installation, the servers and the permissions, and say what to do')
    .option('--json', 'one JSON document');
  return withStore(command, 'local').action(run);
}

async function run(options: Options): Promise<void> {
  const findings: Finding[] = [...installation()];
  const local = options.transport === 'local';
  for (const name of local ? ['redis', 'jetstream'] : [options.transport ?? 'memory']) {
    const transport = transportOf({ ...options, transport: name });
    if (transport.type === 'redis') findings.push(...(await redis(transport, local)));
    if (transport.type === 'jetstream') findings.push(...(await jetstream(transport, local)));
  }
  if (options.json) process.stdout.write(`${JSON.stringify(findings)}\n`);
  else for (const finding of findings) process.stdout.write(line(finding));
  if (findings.some(({ state }) => state === 'problem')) process.exitCode = EXIT.incomplete;
}

function line({ what, state, text, hint }: Finding): string {
  const mark = { ok: 'ok      ', warning: 'warning ', problem: 'PROBLEM ' }[state];
  return `${mark} ${what}: ${text}\n${hint ? `          ${hint}\n` : ''}`;
}

function packageVersion(): string {
  let folder = __dirname;
  while (!existsSync(join(folder, 'package.json')) || !existsSync(join(folder, 'wasm'))) {
    const parent = dirname(folder);
    if (parent === folder) return 'unknown';
    folder = parent;
  }
  return (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }).version;
}

function installation(): Finding[] {
  const { node } = process.versions;
  const [major = 0, minor = 0] = node.split('.').map(Number);
  const old = major < 20 || (major === 20 && minor < 12);
  return [
    { what: 'meshring', state: 'ok', text: packageVersion() },
    {
      what: 'runtime',
      state: old ? 'problem' : 'ok',
      text: `Node ${node} on ${process.platform}-${process.arch}`,
      ...(old ? { hint: 'Node 20.12 or newer is needed' } : {}),
    },
    {
      what: 'backend',
      state: backend.name === 'addon' || backend.reason === 'forced' ? 'ok' : 'warning',
      text: `${backend.name} (${backend.reason})`,
      ...(backend.name === 'wasm' && backend.reason !== 'forced'
        ? {
            hint: 'slower ingest and no native UDP; build the addon with `npm run build` (needs Rust, https://rustup.rs)',
          }
        : {}),
    },
  ];
}

/** A server that cannot be reached; where nobody asked for it that is no problem. */
function unreachable(what: string, transport: Transport & { url: string }, error: unknown, local: boolean): Finding {
  return {
    what,
    state: local ? 'warning' : 'problem',
    text: `${shownUrl(transport.url)}: ${messageOf(error)}`,
    hint: 'is the server started, the URL right, a firewall open? name a server with --transport <url>',
  };
}

async function redis(transport: { type: 'redis' } & RedisOptions, local: boolean): Promise<Finding[]> {
  const began = performance.now();
  let server: RedisServer;
  try {
    server = await RedisServer.connect(transport);
  } catch (error) {
    return [unreachable('redis', transport, error, local)];
  }
  const findings: Finding[] = [];
  const add = (what: string, state: Finding['state'], said: string, hint?: string) =>
    findings.push({ what: `redis ${what}`, state, text: said, ...(hint === undefined ? {} : { hint }) });
  try {
    const ms = (performance.now() - began).toFixed(1);
    const info = await server.try('INFO', 'server');
    const version = typeof info === 'string' ? /redis_version:(\S+)/.exec(info)?.[1] : undefined;
    add('server', 'ok', `${version ?? 'version unknown'} at ${shownUrl(transport.url)}, reached in ${ms} ms`);
    await redisPermissions(server, add);
    await redisSettingsOf(server, add);
  } catch (error) {
    add('server', 'problem', messageOf(error));
  } finally {
    server.close();
  }
  return findings;
}

type Add = (what: string, state: Finding['state'], text: string, hint?: string) => void;

/** Writes, reads and removes a stream of its own under the prefix. */
async function redisPermissions(server: RedisServer, add: Add): Promise<void> {
  // A shard that no node has, so that nobody reads it.
  const stream = `${streamKey(server.prefix, 0)}-doctor-${randomUUID()}`;
  const sequence = sequenceKey(stream, 'd');
  try {
    await server.ask('XADD', stream, '*', 'd', '{"r":null,"t":0,"s":0}', 'dedup_id', 'd:0:0:0');
    await server.ask('XRANGE', stream, '-', '+', 'COUNT', 1);
    add('writing and reading', 'ok', `keys ${server.prefix}:shard:*`);
  } catch (error) {
    const hint = `the user needs the commands XADD, XRANGE, XREAD, PING and the keys ${server.prefix}:shard:*`;
    add('writing and reading', 'problem', messageOf(error), hint);
  }
  const script = "redis.call('XADD', KEYS[1], '*', 'd', '1') redis.call('SET', KEYS[2], '1', 'EX', 60) return 1";
  try {
    await server.ask('EVAL', script, 2, stream, sequence);
    add('exactly once', 'ok', 'scripts are allowed');
  } catch (error) {
    const keys = `{${server.prefix}:shard:*}:seq:*`;
    const hint = `without EVAL, EVALSHA and the keys ${keys} a retry can leave duplicates (with the same dedup_id)`;
    add('exactly once', 'warning', messageOf(error), hint);
  }
  for (const key of [stream, sequence]) await server.try('DEL', key);
}

async function redisSettingsOf(server: RedisServer, add: Add): Promise<void> {
  const setting = async (name: string) => {
    const reply = await server.try('CONFIG', 'GET', name);
    return Array.isArray(reply) && reply.length === 2 ? String(reply[1]) : undefined;
  };
  const appendonly = await setting('appendonly');
  if (appendonly === undefined) add('settings', 'ok', 'not readable for this user (CONFIG GET)');
  if (appendonly === 'no') {
    const hint = 'confirmed events are lost when the server ends: CONFIG SET appendonly yes';
    add('durability', 'warning', 'appendonly is off', hint);
  }
  if (appendonly === 'yes') add('durability', 'ok', `appendonly, appendfsync ${await setting('appendfsync')}`);
  const policy = await setting('maxmemory-policy');
  if (policy !== undefined && policy !== 'noeviction' && (await setting('maxmemory')) !== '0') {
    const hint = 'streams or sequence keys can be evicted: CONFIG SET maxmemory-policy noeviction';
    add('eviction', 'warning', `maxmemory-policy is ${policy}`, hint);
  }
}

async function jetstream(transport: { type: 'jetstream' } & JetStreamOptions, local: boolean): Promise<Finding[]> {
  const began = performance.now();
  let server: NatsServer;
  try {
    server = await NatsServer.connect(transport);
  } catch (error) {
    return [unreachable('jetstream', transport, error, local)];
  }
  const findings: Finding[] = [];
  const add = (what: string, state: Finding['state'], said: string, hint?: string) =>
    findings.push({ what: `jetstream ${what}`, state, text: said, ...(hint === undefined ? {} : { hint }) });
  try {
    const ms = (performance.now() - began).toFixed(1);
    const { version, headers, jetstream: enabled, max_payload } = server.info;
    add('server', 'ok', `${version} at ${shownUrl(transport.url)}, reached in ${ms} ms, max_payload ${max_payload}`);
    if (headers === false) add('headers', 'problem', 'not supported', 'NATS 2.2 or newer is needed');
    if (enabled === false) {
      add('storage', 'problem', 'JetStream is not enabled', 'start the server with -js or `jetstream {}` in its file');
      return findings;
    }
    await natsPermissions(server, transport, add);
  } catch (error) {
    add('server', 'problem', messageOf(error), 'is JetStream enabled for this account?');
  } finally {
    server.close();
  }
  return findings;
}

/** Creates and removes a stream of its own. */
async function natsPermissions(server: NatsServer, options: JetStreamOptions, add: Add): Promise<void> {
  type Account = {
    storage: number;
    memory: number;
    streams: number;
    limits: { max_storage: number; max_streams: number };
  };
  const account = await server.ask<Account>('INFO');
  const limit = (n: number) => (n < 0 ? 'unlimited' : String(n));
  const { limits, streams, storage } = account;
  add(
    'account',
    'ok',
    `${streams} of ${limit(limits.max_streams)} streams, ${storage} of ${limit(limits.max_storage)} bytes`,
  );
  const suffix = `doctor_${randomUUID().slice(0, 8)}`;
  const name = `${streamName(server.prefix, 0)}_${suffix}`;
  const config = {
    ...streamConfig(jetStreamSettings(options), 0),
    name,
    subjects: [`${subjectName(server.prefix, 0)}.${suffix}`],
  };
  try {
    await server.ask(`STREAM.CREATE.${name}`, config);
    await server.ask(`STREAM.DELETE.${name}`);
    add('streams', 'ok', 'can be created');
  } catch (error) {
    const hint = `the user needs $JS.API.STREAM.*, $JS.API.CONSUMER.*, _INBOX.> and ${server.prefix}.shard.*`;
    add('streams', 'problem', messageOf(error), hint);
  }
}
