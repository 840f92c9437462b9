import { Command } from 'commander';
import { NatsServer, RedisServer, type StreamStats } from './servers.js';
import { type StoreOptions, transportOf, withStore } from './store.js';
import { table } from './terminal.js';

interface Options extends StoreOptions {
  readonly json?: boolean;
}

/** `meshring stats`. */
export function statsCommand(): Command {
  const command = new Command('stats')
    .description('show the streams of a store, as the server has them')
    .option('--json', 'one JSON document');
  return withStore(command).action(run);
}

async function run(options: Options): Promise<void> {
  const transport = transportOf(options);
  if (transport.type !== 'redis' && transport.type !== 'jetstream') {
    throw new Error('stats: a store in memory belongs to its process; name redis or jetstream');
  }
  const server = await (transport.type === 'redis' ? RedisServer.connect(transport) : NatsServer.connect(transport));
  let streams: StreamStats[];
  try {
    streams = await server.streams();
  } finally {
    server.close();
  }
  const shown = options.shards === undefined ? streams : streams.filter(({ shard }) => shard < (options.shards ?? 0));
  if (options.json) {
    process.stdout.write(`${JSON.stringify(shown)}\n`);
    return;
  }
  if (shown.length === 0) {
    process.stdout.write(`no streams with prefix ${server.prefix}\n`);
    return;
  }
  const rows = shown.map(({ shard, stream, events, bytes, first, last }) => [
    shard,
    stream,
    events,
    bytes,
    first,
    last,
  ]);
  const sum = (field: 'events' | 'bytes') => shown.reduce((total, stream) => total + stream[field], 0);
  rows.push([shown.length, 'total', sum('events'), sum('bytes'), '', '']);
  process.stdout.write(table(['shard', 'stream', 'events', 'bytes', 'first', 'last'], rows));
}
