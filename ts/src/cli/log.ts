import { dirname, resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { messageOf } from '../errors.js';
import { readConfig } from '../redex/config.js';
import { channelName, findChannels, type LogEntry, type LogFiles, readLogFiles } from '../redex/inspect.js';
import { openPersistent } from '../redex/registry.js';
import { NodeStorage } from '../redex/storage-node.js';

/** Exit codes: clean, damage found, usage or input and output. */
const CLEAN = 0;
const DAMAGE = 1;
const FAILED = 2;
const PREVIEW = 60;
/** How often `tail --follow` looks: stores into mapped files raise no event that another process could wait for. */
const FOLLOW_MS = 200;

const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

function number(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new InvalidArgumentError('a whole number is needed');
  return value;
}

function bigint(text: string): bigint {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('a whole number is needed');
  return BigInt(text);
}

/** Payload for people: text when it is text, else hex. */
function preview(payload: Uint8Array): string {
  const text = new TextDecoder().decode(payload.subarray(0, PREVIEW * 2));
  const printable = /^[^\p{Cc}\ufffd]*$/u.test(text);
  const shown = printable ? text : Buffer.from(payload.subarray(0, PREVIEW / 2)).toString('hex');
  return shown.length > PREVIEW ? `${shown.slice(0, PREVIEW)}…` : shown;
}

function time(entry: LogEntry): string {
  return entry.timeNs === 0n ? '-' : new Date(Number(entry.timeNs / 1_000_000n)).toISOString();
}

function print(entry: LogEntry): void {
  const checksum = entry.checksum.toString(16).padStart(7, '0');
  const kind = entry.isInline ? ' inline' : '';
  say(`${entry.seq}\t${time(entry)}\t${entry.payload.length}\t${checksum}${kind}\t${preview(entry.payload)}`);
}

function printAsJson(channel: string, entry: LogEntry): void {
  const { seq, timeNs, checksum, isInline, payload } = entry;
  say(
    JSON.stringify({
      channel,
      seq: String(seq),
      timeNs: String(timeNs),
      checksum,
      isInline,
      payload: Buffer.from(payload).toString('base64'),
    }),
  );
}

function summary(name: string, files: LogFiles): string {
  const { events, nextSeq, bytes, torn, missingTimes, damage } = files;
  const notes = [
    `${events} events`,
    `next seq ${nextSeq}`,
    `generation ${Number(files.generation.slice(-10))}`,
    `dat ${bytes.dat}`,
    `idx ${bytes.idx}`,
    torn > 0 ? `${torn} unfinished at the end` : '',
    missingTimes > 0 ? `${missingTimes} without a time` : '',
    damage.length > 0 ? `${damage.length} DAMAGED` : '',
  ];
  return `${name}: ${notes.filter(Boolean).join(', ')}`;
}

function printDamage(files: LogFiles): void {
  for (const { file, offset, record, seq, reason } of files.damage) {
    say(`damage\t${file}\toffset ${offset}\trecord ${record}\tseq ${seq}\t${reason}`);
  }
}

/** Runs `work` on each channel at or below `directory`. */
function each(directory: string, work: (name: string, files: LogFiles) => void): number {
  const root = resolve(directory);
  const channels = findChannels(root);
  if (channels.length === 0) throw new Error(`${directory}: no channel directory here`);
  let damaged = false;
  for (const path of channels) {
    const files = readLogFiles(path);
    work(channelName(root, path), files);
    damaged ||= files.damage.length > 0;
  }
  return damaged ? DAMAGE : CLEAN;
}

/** Sets the exit code of what `work` returns; failures are `2`. */
function exitWith(work: () => number | Promise<number>): Promise<void> {
  return Promise.resolve()
    .then(work)
    .catch((error: unknown) => {
      process.stderr.write(`meshring log: ${messageOf(error)}\n`);
      return FAILED;
    })
    .then((code) => {
      process.exitCode = code;
    });
}

interface InspectOptions {
  from: bigint;
  limit?: number;
  json?: boolean;
}

function inspect(directory: string, options: InspectOptions): number {
  return each(directory, (name, files) => {
    const shown = files.entries.filter((entry) => entry.seq >= options.from).slice(0, options.limit);
    if (options.json) {
      for (const entry of shown) printAsJson(name, entry);
      return;
    }
    say(summary(name, files));
    for (const entry of shown) print(entry);
    printDamage(files);
  });
}

function verify(directory: string, options: { json?: boolean }): number {
  return each(directory, (name, files) => {
    const { entries, ...facts } = files;
    if (options.json) {
      say(JSON.stringify({ channel: name, ...facts, checked: entries.length }));
      return;
    }
    say(summary(name, files));
    printDamage(files);
  });
}

async function tail(directory: string, options: { lines: number; follow?: boolean; json?: boolean }): Promise<number> {
  const root = resolve(directory);
  const seen = new Map<string, bigint>();
  const show = (lines: number): number =>
    each(root, (name, files) => {
      const next = seen.get(name);
      const fresh =
        next === undefined ? files.entries.slice(-lines) : files.entries.filter((entry) => entry.seq >= next);
      for (const entry of fresh) {
        if (options.json) printAsJson(name, entry);
        else print(entry);
      }
      seen.set(name, BigInt(files.nextSeq));
    });
  let code = show(options.lines);
  if (!options.follow) return code;
  let stop: () => void = () => {};
  const stopped = new Promise<void>((done) => {
    stop = done;
  });
  const timer = setInterval(() => {
    code = show(options.lines);
  }, FOLLOW_MS);
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  await stopped;
  clearInterval(timer);
  return code;
}

interface CompactOptions {
  maxEvents?: bigint;
  maxBytes?: bigint;
  maxAgeMs?: bigint;
}

async function compact(directory: string, options: CompactOptions): Promise<number> {
  const root = resolve(directory);
  const bounds = {
    ...readConfig({ persistent: true }),
    ...(options.maxEvents === undefined ? {} : { maxEvents: options.maxEvents }),
    ...(options.maxBytes === undefined ? {} : { maxBytes: options.maxBytes }),
    ...(options.maxAgeMs === undefined ? {} : { maxAgeMs: options.maxAgeMs }),
  };
  const storage = new NodeStorage();
  const channels = findChannels(root);
  if (channels.length === 0) throw new Error(`${directory}: no channel directory here`);
  for (const path of channels) {
    const before = readLogFiles(path);
    const { log, release } = openPersistent(storage, dirname(path), path.slice(dirname(path).length + 1), bounds);
    log.observe();
    await log.compact();
    await release();
    const after = readLogFiles(path);
    const size = (files: LogFiles) => files.bytes.dat + files.bytes.idx + files.bytes.ts;
    say(
      `${channelName(root, path)}: ${before.events} → ${after.events} events, ${size(before)} → ${size(after)} bytes` +
        (before.damage.length > 0 ? `, ${before.damage.length} damaged records set aside` : ''),
    );
  }
  return CLEAN;
}

/** The sub-command `meshring log`: looks into the directories of persistent logs. */
export function logCommand(): Command {
  const command = new Command('log').description('look into the directories of persistent logs (RedEX)');
  const directory = 'directory of one channel, or of many';
  command
    .command('inspect')
    .description('print entries (seq, time, bytes, checksum, payload) and damage; never writes')
    .argument('<dir>', directory)
    .option('--from <seq>', 'first sequence', bigint, 0n)
    .option('--limit <n>', 'most entries a channel', number)
    .option('--json', 'one JSON object a line, payload in base64')
    .action((dir: string, options: InspectOptions) => exitWith(() => inspect(dir, options)));
  command
    .command('verify')
    .description('check every checksum; exit code 0 clean, 1 damage, 2 usage or I/O; never writes')
    .argument('<dir>', directory)
    .option('--json', 'one JSON object a channel')
    .action((dir: string, options: { json?: boolean }) => exitWith(() => verify(dir, options)));
  command
    .command('tail')
    .description('print the last entries; never writes, works beside a running process')
    .argument('<dir>', directory)
    .option('-n, --lines <n>', 'how many', number, 10)
    .option('-f, --follow', 'go on with new entries until interrupted')
    .option('--json', 'one JSON object a line, payload in base64')
    .action((dir: string, options: { lines: number; follow?: boolean; json?: boolean }) =>
      exitWith(() => tail(dir, options)),
    );
  command
    .command('compact')
    .description('recover, apply the given bounds, and rewrite the files without what is no longer retained')
    .argument('<dir>', directory)
    .option('--max-events <n>', 'keep at most so many events', bigint)
    .option('--max-bytes <n>', 'keep at most so many bytes', bigint)
    .option('--max-age-ms <n>', 'keep events at most so long', bigint)
    .action((dir: string, options: CompactOptions) => exitWith(() => compact(dir, options)));
  return command;
}
