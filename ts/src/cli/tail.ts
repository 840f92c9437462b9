import { Command, InvalidArgumentError, Option } from 'commander';
import { compileFilter } from '../bus/filter.js';
import { MeshringError } from '../errors.js';
import { NetNode } from '../node.js';
import type { StoredEvent, SubscribeOpts } from '../types.js';
import { EXIT, interruption } from './exit.js';
import { nodeConfig, type StoreOptions, transportOf, whole, withStore } from './store.js';

interface Options extends StoreOptions {
  readonly from: string;
  readonly filter?: string;
  readonly json?: boolean;
  readonly follow: boolean;
  readonly limit?: number;
  readonly dedup?: boolean;
}

/** `meshring tail`. */
export function tailCommand(): Command {
  const command = new Command('tail')
    .description('print the events of a store and those that arrive')
    .addOption(new Option('--from <position>', 'now, beginning, or a cursor (printed at the end)').default('now'))
    .option('-f, --filter <json>', 'only events that match', (text: string) => {
      try {
        compileFilter(text);
      } catch (error) {
        throw new InvalidArgumentError(error instanceof MeshringError ? error.message : String(error));
      }
      return text;
    })
    .option('--json', 'events with id, shard and time stamp, one JSON document per line')
    .option('-n, --limit <n>', 'end after so many events', whole(1))
    .option('--dedup', 'leave out events whose dedup id was seen before')
    .option('--no-follow', 'end at the end of the store');
  return withStore(command).action(run);
}

async function run(options: Options): Promise<void> {
  if (transportOf(options).type === 'memory') {
    throw new Error('tail: a store in memory belongs to its process; name redis or jetstream');
  }
  const stop = interruption();
  const node = await NetNode.create(nodeConfig(options));
  let left = options.limit ?? Number.POSITIVE_INFINITY;
  const print = (event: StoredEvent): boolean => {
    process.stdout.write(`${options.json ? JSON.stringify(event) : event.raw}\n`);
    left -= 1;
    return left > 0;
  };
  try {
    const cursor = options.follow ? await follow(node, options, stop, print) : await walk(node, options, stop, print);
    if (cursor !== undefined) process.stderr.write(`cursor ${cursor}\n`);
  } finally {
    await node.shutdown();
  }
  if (stop.aborted) process.exitCode = EXIT.interrupted;
}

/** Prints until interrupted; answers the cursor behind the last event printed. */
async function follow(
  node: NetNode,
  { from, filter, dedup }: Options,
  signal: AbortSignal,
  print: (event: StoredEvent) => boolean,
): Promise<string | undefined> {
  const options: SubscribeOpts = { limit: 1000, signal };
  if (filter !== undefined) options.filter = filter;
  if (dedup) options.dedup = true;
  if (from === 'now') options.fromNow = true;
  else if (from !== 'beginning') options.cursor = from;
  const stream = node.subscribe(options);
  for await (const event of stream) if (!print(event)) break;
  return stream.cursor;
}

/** Prints what is there. */
async function walk(
  node: NetNode,
  { from, filter, dedup, limit }: Options,
  signal: AbortSignal,
  print: (event: StoredEvent) => boolean,
): Promise<string | undefined> {
  if (from === 'now') return undefined;
  let cursor = from === 'beginning' ? undefined : from;
  let left = limit ?? Number.POSITIVE_INFINITY;
  while (!signal.aborted && left > 0) {
    const page = await node.poll({
      limit: Math.min(1000, left),
      ...(cursor === undefined ? {} : { cursor }),
      ...(filter === undefined ? {} : { filter }),
      ...(dedup ? { dedup: true } : {}),
    });
    for (const event of page.events) print(event);
    left -= page.events.length;
    cursor = page.nextId ?? cursor;
    if (!page.hasMore) break;
  }
  return cursor;
}
