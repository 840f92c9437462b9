import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { Command } from 'commander';
import { door } from '../backend/choose.js';
import { NetNode } from '../node.js';
import { EXIT, interruption } from './exit.js';
import { nodeConfig, type StoreOptions, whole, withStore } from './store.js';
import { ProgressLine, pairs } from './terminal.js';

interface Options extends StoreOptions {
  readonly rate?: number;
  readonly raw?: boolean;
  readonly nonce?: string;
  readonly json?: boolean;
}

/** Events between two looks at the clock and at the node. */
const STEP = 256;

/** `meshring ingest`. */
export function ingestCommand(): Command {
  const command = new Command('ingest')
    .description('send the lines of a file or of standard input as events (NDJSON)')
    .argument('[file]', 'file, or - for standard input', '-')
    .option('-r, --rate <n>', 'events per second at most', whole(1))
    .option('--raw', 'send lines as they are, JSON or not')
    .option('--nonce <file>', 'file that keeps the identity of this producer: restarts leave no duplicates')
    .option('--json', 'the result as one JSON document');
  return withStore(command).action(run);
}

async function run(file: string, options: Options): Promise<void> {
  const stop = interruption();
  const total = file === '-' ? undefined : (await stat(file)).size;
  const config = nodeConfig(options);
  if (options.nonce !== undefined) config.producerNoncePath = options.nonce;
  // Refused events are offered again: nothing is dropped because the store is slower than the file.
  const node = await NetNode.create({ ...config, backpressure: 'drop_newest' });
  const input = file === '-' ? process.stdin : createReadStream(file, { highWaterMark: 1 << 20 });
  const ingest = new Ingest(node, options, stop, total);
  const began = performance.now();
  let failure: unknown;
  try {
    await ingest.read(input);
  } catch (error) {
    failure = error;
  }
  input.destroy();
  await node.shutdown().catch((error: unknown) => {
    failure ??= error;
  });
  ingest.progress.end();
  report(ingest, node, (performance.now() - began) / 1000, options.json === true);
  if (failure) process.stderr.write(`${failure instanceof Error ? failure.message : String(failure)}\n`);
  const incomplete =
    failure !== undefined || ingest.refused > 0 || node.stats().eventsDispatched !== BigInt(ingest.sent);
  const stored = config.transport?.type !== 'memory';
  if (stop.aborted) process.exitCode = EXIT.interrupted;
  else if (failure || ingest.refused > 0 || (stored && incomplete)) process.exitCode = EXIT.incomplete;
}

/** The lines of one input. */
class Ingest {
  readonly progress = new ProgressLine();
  sent = 0;
  bytes = 0;
  refused = 0;
  firstRefused = 0;
  #lines = 0;
  #read = 0;
  readonly #node: NetNode;
  readonly #options: Options;
  readonly #stop: AbortSignal;
  readonly #total: number | undefined;
  readonly #began = performance.now();

  constructor(node: NetNode, options: Options, stop: AbortSignal, total: number | undefined) {
    this.#node = node;
    this.#options = options;
    this.#stop = stop;
    this.#total = total;
  }

  async read(input: Readable): Promise<void> {
    const end = () => input.destroy();
    this.#stop.addEventListener('abort', end, { once: true });
    let rest: Buffer = Buffer.alloc(0);
    try {
      for await (const chunk of input as AsyncIterable<Buffer>) {
        const bytes: Buffer = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
        let start = 0;
        for (let line = bytes.indexOf(10); line >= 0; line = bytes.indexOf(10, start)) {
          await this.#line(bytes.subarray(start, line));
          start = line + 1;
          if (this.#stop.aborted) return;
        }
        rest = bytes.subarray(start);
        this.#read += chunk.length;
      }
      await this.#line(rest);
    } catch (error) {
      // Destroying the input ends the loop with an error where it waits for more.
      if (!this.#stop.aborted) throw error;
    } finally {
      this.#stop.removeEventListener('abort', end);
    }
  }

  async #line(bytes: Buffer): Promise<void> {
    this.#lines += 1;
    let line = bytes.at(-1) === 13 ? bytes.subarray(0, -1) : bytes;
    if (!this.#options.raw) {
      line = trimmed(line);
      if (line.length === 0) return;
      if (!door.isJson(line)) {
        if (this.refused++ === 0) this.firstRefused = this.#lines;
        return;
      }
    }
    while (!this.#node.emitBuffer(line)) {
      if (line.length > 16 << 20)
        throw new Error(`line ${this.#lines} has ${line.length} bytes, an event at most 16 MiB`);
      // The ring is full: wait until the store has taken something.
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    this.sent += 1;
    this.bytes += line.length;
    if (this.sent % STEP === 0 || this.#options.rate !== undefined) await this.#pace();
  }

  async #pace(): Promise<void> {
    this.progress.update(this.sent, this.#total === undefined ? undefined : this.#read / Math.max(1, this.#total));
    const { rate } = this.#options;
    if (rate === undefined) return;
    const wait = (1000 * this.sent) / rate - (performance.now() - this.#began);
    // Timers are no finer than a millisecond; shorter waits add up to one.
    if (wait >= 1) await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

function trimmed(line: Buffer): Buffer {
  let start = 0;
  let end = line.length;
  const blank = (byte: number | undefined) => byte === 32 || byte === 9 || byte === 13;
  while (start < end && blank(line[start])) start++;
  while (end > start && blank(line[end - 1])) end--;
  return line.subarray(start, end);
}

function report(ingest: Ingest, node: NetNode, seconds: number, json: boolean): void {
  const { eventsDispatched = 0n, eventsFailed = 0n, batchesDispatched = 0n, exactlyOnce } = node.stats();
  const { sent, bytes, refused, firstRefused } = ingest;
  const rate = Math.round(sent / Math.max(0.001, seconds));
  if (json) {
    const result = {
      sent,
      bytes,
      refused,
      stored: Number(eventsDispatched),
      failed: Number(eventsFailed),
      batches: Number(batchesDispatched),
      seconds: Number(seconds.toFixed(3)),
      rate,
    };
    process.stdout.write(`${JSON.stringify(result)}\n`);
    return;
  }
  process.stdout.write(
    pairs([
      ['events sent', sent],
      ['bytes', bytes],
      ...(exactlyOnce === undefined
        ? []
        : ([
            ['confirmed by the store', eventsDispatched],
            ['given up', eventsFailed],
            ['batches', batchesDispatched],
          ] as [string, bigint][])),
      ['lines that are not JSON', refused > 0 ? `${refused} (first: line ${firstRefused})` : '0'],
      ['seconds', seconds.toFixed(3)],
      ['events per second', rate],
    ]),
  );
}
