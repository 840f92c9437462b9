import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { decodeKept, keptSeq } from '../cortex/kept.js';
import { messageOf } from '../errors.js';
import { readConfig } from '../redex/config.js';
import { type Appended, LogFollower } from '../redex/follow.js';
import {
  channelName,
  content,
  findChannels,
  type LogDamage,
  type LogEntry,
  LogFiles,
  sizeOfLog,
} from '../redex/inspect.js';
import { openPersistent } from '../redex/registry.js';
import { NodeStorage } from '../redex/storage-node.js';
import { interruption } from './exit.js';
import { Lines, ProgressLine } from './terminal.js';

/** Exit codes: clean, damage found, usage or input and output. */
const CLEAN = 0;
const DAMAGE = 1;
const FAILED = 2;
const PREVIEW = 60;
/** How often `tail --follow` looks: stores into mapped files raise no event that another process could wait for. */
const FOLLOW_MS = 200;

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

/** One entry as a line. */
function line(entry: LogEntry): string {
  const checksum = entry.checksum.toString(16).padStart(7, '0');
  const kind = entry.isInline ? ' inline' : '';
  return `${entry.seq}\t${time(entry)}\t${entry.payload.length}\t${checksum}${kind}\t${preview(entry.payload)}`;
}

function json(channel: string, { seq, timeNs, checksum, isInline, payload }: LogEntry): string {
  const base64 = Buffer.from(payload).toString('base64');
  return JSON.stringify({ channel, seq: String(seq), timeNs: String(timeNs), checksum, isInline, payload: base64 });
}

function damaged({ file, offset, record, seq, reason }: LogDamage): string {
  return `damage\t${file}\toffset ${offset}\trecord ${record}\tseq ${seq}\t${reason}`;
}

function summary({ name, files, state, damage }: Channel): string {
  const { events, nextSeq, bytes, torn, missingTimes } = files;
  const notes = [
    `${events} events`,
    `next seq ${nextSeq}`,
    `generation ${Number(files.generation.slice(-10))}`,
    `dat ${bytes.dat}`,
    `idx ${bytes.idx}`,
    torn > 0 ? `${torn} unfinished at the end` : '',
    missingTimes > 0 ? `${missingTimes} without a time` : '',
    state === null ? '' : `compacted state through seq ${state}`,
    damage.length > 0 ? `${damage.length} DAMAGED` : '',
  ];
  return `${name}: ${notes.filter(Boolean).join(', ')}`;
}

/** The states that compaction of CortEX left beside a channel's log: how far they reach, and which are damaged. */
function keptStates(path: string): { through: string | null; damage: LogDamage[] } {
  let through: string | null = null;
  const damage: LogDamage[] = [];
  for (const name of readdirSync(path).sort()) {
    const seq = keptSeq(name);
    if (seq === undefined) continue;
    const file = join(path, name);
    const whole = decodeKept(content(file)) !== undefined;
    // The next compaction removes it.
    if (!existsSync(file)) continue;
    if (whole) through = String(seq);
    else damage.push({ file, offset: 0, record: 0, seq: String(seq), reason: 'checksum of a compacted state' });
  }
  return { through, damage };
}

/** One channel as the commands see it. */
interface Channel {
  readonly name: string;
  readonly files: LogFiles;
  /** Sequence up to which a compacted state beside the log reaches. */
  readonly state: string | null;
  readonly damage: readonly LogDamage[];
}

function channelsBelow(directory: string): { readonly root: string; readonly channels: string[] } {
  const root = resolve(directory);
  if (!existsSync(root)) throw new Error(`${directory}: no such directory`);
  const channels = findChannels(root);
  if (channels.length === 0) throw new Error(`${directory}: no channel directory here or below`);
  return { root, channels };
}

/** Runs `work` on each channel at or below `directory`, with a line of progress while files are read. */
async function each(directory: string, work: (channel: Channel) => void | Promise<void>): Promise<number> {
  const { root, channels } = channelsBelow(directory);
  const total = channels.reduce((sum, path) => sum + sizeOfLog(path), 0);
  const progress = new ProgressLine('bytes');
  let done = 0;
  let code = CLEAN;
  for (const path of channels) {
    const files = new LogFiles(path, (bytes) => {
      done += bytes;
      progress.update(done, done / total);
    });
    try {
      progress.end();
      const { through, damage } = keptStates(path);
      const all = [...files.damage, ...damage];
      await work({ name: channelName(root, path), files, state: through, damage: all });
      if (all.length > 0) code = DAMAGE;
    } finally {
      files.close();
    }
  }
  return code;
}

/** Sets the exit code of what `work` returns; failures are `2`. */
function exitWith(work: () => Promise<number>): Promise<void> {
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

function inspect(directory: string, options: InspectOptions): Promise<number> {
  const out = new Lines();
  return each(directory, async (channel) => {
    if (!options.json) out.add(summary(channel));
    let left = options.limit ?? Number.MAX_SAFE_INTEGER;
    for (const entry of channel.files.entries(options.from)) {
      if (left === 0) break;
      left -= 1;
      out.add(options.json ? json(channel.name, entry) : line(entry));
      if (out.full) await out.flush();
    }
    if (!options.json) for (const damage of channel.damage) out.add(damaged(damage));
    await out.flush();
  });
}

function verify(directory: string, options: { json?: boolean }): Promise<number> {
  const out = new Lines();
  return each(directory, async (channel) => {
    const { name, files, state, damage } = channel;
    if (options.json) {
      const { path, generation, events, nextSeq, torn, missingTimes, bytes, records } = files;
      const facts = { path, generation, events, nextSeq, torn, missingTimes, state, damage, bytes, checked: records };
      out.add(JSON.stringify({ channel: name, ...facts }));
    } else {
      out.add(summary(channel));
      for (const one of damage) out.add(damaged(one));
    }
    await out.flush();
  });
}

interface TailOptions {
  lines: number;
  follow?: boolean;
  json?: boolean;
}

async function tail(directory: string, options: TailOptions): Promise<number> {
  const out = new Lines();
  const followed = new Map<string, LogFollower>();
  let shown = '';
  const show = (name: string, { entries, damage }: Appended): void => {
    // Entries of several channels are told apart as by the tail of several files.
    if (!options.json && entries.length + damage.length > 0 && shown !== name) out.add(`==> ${name} <==`);
    if (entries.length + damage.length > 0) shown = name;
    for (const entry of entries) out.add(options.json ? json(name, entry) : line(entry));
    if (!options.json) for (const one of damage) out.add(damaged(one));
  };
  const { channels } = channelsBelow(directory);
  if (channels.length === 1) shown = channelName(resolve(directory), channels[0] ?? '');
  let code = await each(directory, async ({ name, files, damage }) => {
    show(name, { entries: files.last(options.lines), damage: [...damage] });
    if (options.follow) followed.set(name, new LogFollower(files));
    await out.flush();
  });
  if (!options.follow) return code;
  const signal = interruption();
  while (!signal.aborted) {
    for (const [name, follower] of followed) {
      const more = follower.more();
      if (more.damage.length > 0) code = DAMAGE;
      show(name, more);
    }
    await out.flush();
    await pause(FOLLOW_MS, signal);
  }
  return code;
}

/** Waits, at most until the signal. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) return done();
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      done();
    };
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener('abort', end);
  });
}

/** What a channel holds, and how many of its records are damaged. */
function measured(path: string): { readonly size: { events: number; bytes: number }; readonly damaged: number } {
  const files = new LogFiles(path);
  files.close();
  const { events, bytes, damage } = files;
  return { size: { events, bytes: bytes.dat + bytes.idx + bytes.ts }, damaged: damage.length };
}

interface CompactOptions {
  maxEvents?: bigint;
  maxBytes?: bigint;
  maxAgeMs?: bigint;
  json?: boolean;
}

async function compact(directory: string, options: CompactOptions): Promise<number> {
  const out = new Lines();
  const bounds = {
    ...readConfig({ persistent: true }),
    ...(options.maxEvents === undefined ? {} : { maxEvents: options.maxEvents }),
    ...(options.maxBytes === undefined ? {} : { maxBytes: options.maxBytes }),
    ...(options.maxAgeMs === undefined ? {} : { maxAgeMs: options.maxAgeMs }),
  };
  const storage = new NodeStorage();
  const { root, channels } = channelsBelow(directory);
  for (const path of channels) {
    const { size: was, damaged: aside } = measured(path);
    const { log, release } = openPersistent(storage, dirname(path), basename(path), bounds);
    try {
      log.observe();
      await log.compact();
    } finally {
      await release();
    }
    const { size: is } = measured(path);
    const name = channelName(root, path);
    if (options.json) out.add(JSON.stringify({ channel: name, before: was, after: is, setAside: aside }));
    else {
      const damage = aside > 0 ? `, ${aside} damaged records set aside` : '';
      out.add(`${name}: ${was.events} → ${is.events} events, ${was.bytes} → ${is.bytes} bytes${damage}`);
    }
    await out.flush();
  }
  return CLEAN;
}

/** The sub-command `meshring log`: looks into the directories of persistent logs. */
export function logCommand(): Command {
  const command = new Command('log').description('look into the directories of persistent logs (RedEX)');
  // A wrong call is 2 here, because 1 says that damage was found; the sub-commands inherit this.
  command.exitOverride((error) => process.exit(error.exitCode === 0 ? CLEAN : FAILED));
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
    .action((dir: string, options: TailOptions) => exitWith(() => tail(dir, options)));
  command
    .command('compact')
    .description('recover, apply the given bounds, and rewrite the files without what is no longer retained')
    .argument('<dir>', directory)
    .option('--max-events <n>', 'keep at most so many events', bigint)
    .option('--max-bytes <n>', 'keep at most so many bytes', bigint)
    .option('--max-age-ms <n>', 'keep events at most so long', bigint)
    .option('--json', 'one JSON object a channel')
    .action((dir: string, options: CompactOptions) => exitWith(() => compact(dir, options)));
  return command;
}
