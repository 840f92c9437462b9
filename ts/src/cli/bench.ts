import { randomUUID } from 'node:crypto';
import { Command } from 'commander';
import { NetNode } from '../node.js';
import { EXIT } from './exit.js';
import { NatsServer, RedisServer } from './servers.js';
import { nodeConfig, type StoreOptions, whole, withStore } from './store.js';
import { table } from './terminal.js';

interface Options extends StoreOptions {
  readonly events: number;
  readonly size: number;
  readonly json?: boolean;
}

/** Distinct events, so that every shard has its share. */
const DISTINCT = 4096;
const LEAST_SIZE = 16;

/** `meshring bench`. */
export function benchCommand(): Command {
  const command = new Command('bench')
    .description('measure writing to and reading from a store, under a prefix of its own that is removed afterwards')
    .option('-n, --events <n>', 'number of events', whole(1), 200_000)
    .option('--size <bytes>', 'size of an event', whole(LEAST_SIZE), 112)
    .option('--json', 'one JSON document');
  return withStore(command, 'memory').action(run);
}

async function run(options: Options): Promise<void> {
  const { events, size } = options;
  const prefix = `${options.prefix ?? 'meshring'}-bench-${randomUUID().slice(0, 8)}`;
  const config = nodeConfig({ ...options, prefix });
  if (config.transport?.type === 'memory') config.transport.maxEvents = events;
  // Everything is kept: refused events are offered again.
  const node = await NetNode.create({ ...config, backpressure: 'drop_newest' });
  try {
    const payloads = Array.from({ length: Math.min(events, DISTINCT) }, (_, i) => event(i, size));
    const emitted = await timed(async () => {
      for (let i = 0; i < events; i++) {
        while (!node.emitBuffer(payloads[i % DISTINCT] as Buffer))
          await new Promise((resolve) => setImmediate(resolve));
      }
    });
    const flushed = emitted + (await timed(() => node.flush()));
    let read = 0;
    const reading = await timed(async () => {
      let cursor: string | undefined;
      for (;;) {
        const page = await node.poll({ limit: 1000, ...(cursor === undefined ? {} : { cursor }) });
        read += page.events.length;
        cursor = page.nextId;
        if (!page.hasMore) return;
      }
    });
    report(options, [
      ['emitted', events, emitted],
      ['acknowledged', events, flushed],
      ['read back', read, reading],
    ]);
    if (read !== events) {
      process.stderr.write(`${events} events were written and ${read} read\n`);
      process.exitCode = EXIT.incomplete;
    }
  } finally {
    await node.shutdown();
    const { transport } = config;
    if (transport?.type === 'redis' || transport?.type === 'jetstream') {
      const server = await (transport.type === 'redis'
        ? RedisServer.connect(transport)
        : NatsServer.connect(transport));
      await server.remove();
      server.close();
    }
  }
}

function event(i: number, size: number): Buffer {
  const head = `{"i":${i},"x":"`;
  return Buffer.from(`${head}${'x'.repeat(Math.max(0, size - head.length - 2))}"}`);
}

async function timed(work: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}

function report({ size, json }: Options, phases: readonly (readonly [string, number, number])[]): void {
  const rows = phases.map(([phase, events, seconds]) => ({
    phase,
    events,
    bytes: events * size,
    seconds: Number(seconds.toFixed(3)),
    perSecond: Math.round(events / Math.max(1e-9, seconds)),
  }));
  if (json) process.stdout.write(`${JSON.stringify(rows)}\n`);
  else {
    process.stdout.write(
      table(
        ['phase', 'events', 'bytes', 'seconds', 'events/s'],
        rows.map(({ phase, events, bytes, seconds, perSecond }) => [phase, events, bytes, seconds, perSecond]),
      ),
    );
  }
}
