/**
 * Appends batches to streams (11 §4.2): by the script, and under a guard once the script has told how far a stream is
 * (both exactly once); or by plain MULTI/EXEC where scripts are refused.
 */
import { door } from '../../backend/choose.js';
import { type Batch, TransportError } from '../transport.js';
import type { WireWriter } from '../wire/transport.js';
import { classify, errorCode, scriptsRefused } from './classify.js';
import { type Lane, type RedisConnection, whileRunning } from './connection.js';
import { Guard, type GuardedOutcome } from './guard.js';
import type { RedisSettings, RedisTarget } from './options.js';
import { command, decodeReplies, type Reply, ReplyError } from './resp.js';
import { APPEND_SCRIPT, APPEND_SHA, GAP, sequenceKey } from './script.js';

/** Parts of one batch that are on their way at once: the server never waits for us, and little is sent in vain. */
const WINDOW = 3;
const NOTHING = new Uint8Array(0);
/** Numbers in the script are doubles. */
const MAX_NUMBER = 2n ** 53n;

/** How far a batch got; kept until the next batch of the shard, so that a retry sends only what was not confirmed. */
interface Progress {
  readonly sequenceStart: bigint;
  readonly nonce: bigint;
  stored: number;
}

/** What one part of a batch came to. */
type Outcome =
  | { readonly kind: 'stored'; readonly events: number }
  | { readonly kind: 'unknown-script' }
  | { readonly kind: 'scripts-refused'; readonly text: string }
  | { readonly kind: 'failed'; readonly events: number; readonly error: TransportError };

/** Options that do not come from the user. */
export interface WriterContext {
  readonly target: RedisTarget;
  readonly settings: RedisSettings;
  /** Life of a sequence key after the last batch, seconds. */
  readonly sequenceExpiry: number;
  readonly lane: (shard: number) => Lane;
  /** Whether a shard has its connection for itself. */
  readonly dedicated: (shard: number) => boolean;
  readonly warn: (text: string) => void;
}

/** Writes the streams of one node. */
export class StreamWriter implements WireWriter {
  readonly #context: WriterContext;
  readonly #progress = new Map<number, Progress>();
  /** The attempt of each shard that is still running: an attempt which the node gave up may not overtake the next one. */
  readonly #running = new Map<number, Promise<void>>();
  readonly #guards = new Map<number, Guard>();
  #scripts: boolean;

  constructor(context: WriterContext) {
    this.#context = context;
    this.#scripts = context.settings.exactlyOnce;
  }

  /** Whether batches go through the script. */
  get exactlyOnce(): boolean {
    return this.#scripts;
  }

  /**
   * Appends what is not yet confirmed of a batch.
   *
   * @throws TransportError; `stored` is the number of events confirmed so far
   */
  async write(batch: Batch): Promise<void> {
    const before = this.#running.get(batch.shardId);
    const attempt = (before ?? Promise.resolve()).catch(() => undefined).then(() => this.#attempt(batch));
    this.#running.set(batch.shardId, attempt);
    try {
      await attempt;
    } finally {
      if (this.#running.get(batch.shardId) === attempt) this.#running.delete(batch.shardId);
    }
  }

  async #attempt(batch: Batch): Promise<void> {
    const progress = this.#resume(batch);
    if (batch.sequenceStart + BigInt(batch.count) > MAX_NUMBER) {
      throw new TransportError('fatal', `sequence number ${batch.sequenceStart} is beyond 2^53`);
    }
    let knowsScript = true;
    while (progress.stored < batch.count) {
      let connection: RedisConnection;
      try {
        connection = await this.#context.lane(batch.shardId).connection();
      } catch (error) {
        throw withStored(whileRunning(error, this.#context.target), progress.stored);
      }
      const key = sequenceKey(streamKey(this.#context.settings.prefix, batch.shardId), batch.nonce.toString(16));
      const guard = this.#guards.get(batch.shardId);
      if (guard?.holds(connection, key, batch.sequenceStart + BigInt(progress.stored))) {
        await this.#guarded(guard, batch, progress);
        continue;
      }
      const failure = await this.#send(connection, batch, progress, knowsScript);
      if (!failure) {
        await this.#guard(connection, batch.shardId, key);
        continue;
      }
      if (failure.kind === 'unknown-script' && knowsScript) knowsScript = false;
      else if (failure.kind === 'scripts-refused') this.#refuse();
      else if (failure.kind === 'failed') throw withStored(failure.error, progress.stored);
      else throw new TransportError('transient', 'the server forgets its scripts', { stored: progress.stored });
    }
  }

  /** After a success of the script the number is known: from now on it can be guarded. */
  async #guard(connection: RedisConnection, shard: number, key: string): Promise<void> {
    if (!this.#scripts || !this.#context.dedicated(shard)) return;
    const guard = new Guard(connection, key, this.#context.sequenceExpiry);
    this.#guards.set(shard, guard);
    // Without a watch the script goes on serving; a lost connection shows at the next batch.
    await guard.arm(this.#context.settings.commandTimeoutMs).catch(() => this.#guards.delete(shard));
  }

  /** Appends under a guard, part by part, until the batch is stored or the guard no longer holds. */
  async #guarded(guard: Guard, batch: Batch, progress: Progress): Promise<void> {
    const { pipelineSize, commandTimeoutMs } = this.#context.settings;
    const { prefix, between } = this.#xadd(batch.shardId);
    const encode = (from: number) => {
      const to = Math.min(batch.count, from + pipelineSize);
      return { to, bytes: to > from ? this.#records(batch, from, to, prefix, between) : NOTHING };
    };
    let part = encode(progress.stored);
    while (progress.stored < batch.count) {
      const { to, bytes } = part;
      const next = batch.sequenceStart + BigInt(to);
      let outcome: GuardedOutcome;
      try {
        const answer = guard.append(bytes, to - progress.stored, next, commandTimeoutMs);
        // The next part is made ready while the server works on this one.
        part = encode(to);
        outcome = await answer;
      } catch (error) {
        throw withStored(error, progress.stored);
      }
      if (outcome.kind === 'void') return;
      if (outcome.kind === 'refused') {
        progress.stored += outcome.stored;
        throw classify(outcome.text, progress.stored);
      }
      progress.stored = to;
    }
  }

  #resume(batch: Batch): Progress {
    const { shardId, sequenceStart, nonce } = batch;
    const known = this.#progress.get(shardId);
    if (known?.sequenceStart === sequenceStart && known.nonce === nonce) return known;
    const progress = { sequenceStart, nonce, stored: 0 };
    this.#progress.set(shardId, progress);
    return progress;
  }

  #refuse(): void {
    this.#scripts = false;
    this.#context.warn('redis: scripts are not allowed; duplicates after a retry carry the same dedup_id');
  }

  /** Sends all that is left, part by part; stops sending at the first failure and returns it. */
  async #send(
    connection: RedisConnection,
    batch: Batch,
    progress: Progress,
    knowsScript: boolean,
  ): Promise<Outcome | undefined> {
    const { pipelineSize } = this.#context.settings;
    const waiting: Promise<Outcome>[] = [];
    let failure: Outcome | undefined;
    let next = progress.stored;
    const settle = async () => {
      const outcome = await (waiting.shift() as Promise<Outcome>);
      if (outcome.kind !== 'stored' && !failure) failure = outcome;
      // What follows a failed part was refused or comes too late to count: a retry begins at the failure.
      else if (failure) return;
      if ('events' in outcome) progress.stored += outcome.events;
    };
    const first = next;
    while (next < batch.count && !failure) {
      const to = Math.min(batch.count, next + pipelineSize);
      waiting.push(
        this.#scripts
          ? this.#script(connection, batch, next, to, next > first, knowsScript || next > first)
          : this.#transaction(connection, batch, next, to),
      );
      next = to;
      // Transactions know nothing of each other: the next one may only follow a success.
      while (waiting.length >= (this.#scripts ? WINDOW : 1)) await settle();
    }
    while (waiting.length > 0) await settle();
    return failure;
  }

  #records(batch: Batch, from: number, to: number, prefix: Uint8Array, between: Uint8Array): Uint8Array {
    const { data, ends, timestamps, shardId, nonce, sequenceStart } = batch;
    const id = `${nonce.toString(16)}:${shardId}:${sequenceStart}:`;
    return door.redisRecords(data, ends, timestamps, shardId, from, to, prefix, between, id);
  }

  async #script(
    connection: RedisConnection,
    batch: Batch,
    from: number,
    to: number,
    follows: boolean,
    knowsScript: boolean,
  ): Promise<Outcome> {
    const { settings, sequenceExpiry } = this.#context;
    const stream = streamKey(settings.prefix, batch.shardId);
    const head = command(
      knowsScript ? 'EVALSHA' : 'EVAL',
      knowsScript ? APPEND_SHA : APPEND_SCRIPT,
      2,
      stream,
      sequenceKey(stream, batch.nonce.toString(16)),
      (batch.sequenceStart + BigInt(from)).toString(),
      sequenceExpiry,
      settings.maxStreamLen ?? '',
      follows ? 1 : 0,
    );
    // The head was made as a command of nine words; the records make it longer.
    const words = Buffer.from(`*${9 + 2 * (to - from)}\r\n`);
    const records = this.#records(batch, from, to, NOTHING, NOTHING);
    const parts = [words, head.subarray(head.indexOf('\r\n') + 2), records];
    return request(connection, parts, 1, settings.commandTimeoutMs, scriptOutcome);
  }

  /** An XADD of a shard: everything up to its two values, and what stands between them. */
  #xadd(shard: number): { prefix: Uint8Array; between: Uint8Array } {
    const { prefix, maxStreamLen } = this.#context.settings;
    const trim = maxStreamLen === undefined ? [] : ['MAXLEN', '~', maxStreamLen];
    const xadd = command('XADD', streamKey(prefix, shard), ...trim, '*', 'd', '', 'dedup_id', '');
    const empty = '$0\r\n\r\n';
    return {
      prefix: xadd.subarray(0, xadd.indexOf(empty)),
      between: xadd.subarray(xadd.indexOf(empty) + empty.length, xadd.lastIndexOf(empty)),
    };
  }

  async #transaction(connection: RedisConnection, batch: Batch, from: number, to: number): Promise<Outcome> {
    const { settings } = this.#context;
    const { prefix, between } = this.#xadd(batch.shardId);
    const parts = [command('MULTI'), this.#records(batch, from, to, prefix, between), command('EXEC')];
    return request(connection, parts, to - from + 2, settings.commandTimeoutMs, transactionOutcome);
  }
}

/** Key of a shard's stream. */
export function streamKey(prefix: string, shard: number): string {
  return `${prefix}:shard:${shard}`;
}

async function request(
  connection: RedisConnection,
  parts: Uint8Array[],
  replies: number,
  timeoutMs: number,
  outcome: (replies: Reply[]) => Outcome,
): Promise<Outcome> {
  try {
    return outcome(decodeReplies(await connection.request(parts, replies, timeoutMs)));
  } catch (error) {
    if (error instanceof TransportError) return { kind: 'failed', events: 0, error };
    throw error;
  }
}

function failed(text: string, events = 0): Outcome {
  return { kind: 'failed', events, error: classify(text) };
}

function scriptOutcome([reply]: Reply[]): Outcome {
  if (reply instanceof ReplyError) {
    if (errorCode(reply.text) === 'NOSCRIPT') return { kind: 'unknown-script' };
    if (scriptsRefused(reply.text)) return { kind: 'scripts-refused', text: reply.text };
    return failed(reply.text);
  }
  if (!Array.isArray(reply)) return failed(`unexpected answer of the script: ${String(reply)}`);
  const [skipped, appended, text] = reply;
  const events = Number(skipped) + Number(appended);
  if (text === '' || text === null) return { kind: 'stored', events };
  if (text === GAP) {
    const error = new TransportError('transient', 'the part of the batch before this one is missing');
    return { kind: 'failed', events, error };
  }
  return failed(String(text), events);
}

function transactionOutcome(replies: Reply[]): Outcome {
  // A command that was refused while it was queued says why; EXEC then only says that it did nothing.
  const refused = replies.slice(0, -1).find((reply) => reply instanceof ReplyError);
  if (refused instanceof ReplyError) return failed(refused.text);
  const results = replies.at(-1);
  if (results instanceof ReplyError) return failed(results.text);
  if (!Array.isArray(results)) {
    return { kind: 'failed', events: 0, error: new TransportError('transient', 'EXEC was aborted') };
  }
  const bad = results.findIndex((reply) => reply instanceof ReplyError);
  const reply = results[bad];
  return reply instanceof ReplyError ? failed(reply.text, bad) : { kind: 'stored', events: results.length };
}

function withStored(error: unknown, stored: number): unknown {
  if (!(error instanceof TransportError) || error.stored === stored) return error;
  const text = error.message.replace(/^[a-z ]+ error: /, '');
  return new TransportError(error.kind, text, { cause: error.cause, stored });
}
