/**
 * A fold of your own over any log: `apply` makes the next state of each event, with the waits, watches and life of the
 * built-in models.
 */
import { CortexError, messageOf, wrongType } from '../errors.js';
import { CoreRedex, Redex, type RedexEvent, TO_THE_END } from '../redex/index.js';
import { hold, release } from './alive.js';
import { logText } from './errors.js';
import { follow } from './follow.js';
import { RedexLog } from './redex-log.js';
import { U64_MAX, u64 } from './u64.js';
import { Waits } from './waits.js';
import type { WatchOptions } from './watch.js';

/** How a fold of your own works. */
export interface FoldOptions<S> {
  /** Makes the state before the first event (or the one of a snapshot, with `lastSeq`). */
  initial: () => S;
  /**
   * Returns the state after an event, or nothing when it changed the given one in place. It runs inside of writes and
   * reads and must not use the log. When it throws, the fold stops there for good.
   */
  apply: (state: S, event: RedexEvent) => S | undefined;
  /** Highest sequence that `initial` has in it already. */
  lastSeq?: bigint | null;
  /** Mirror the log to the manager's directory. Default false. */
  persistent?: boolean;
}

/** Events folded between two turns of the event loop, at most, while opening. */
const PAGE = 1024;

function failure(kind: string, text: string, cause?: unknown): CortexError {
  return new CortexError(`cortex: ${text}`, { kind, cause });
}

/** Opens a log and folds all of it; resolves when its end at the time of the call is reached. Throws CortexError. */
export async function openFold<S>(
  redex: Redex | CoreRedex,
  name: string,
  options: FoldOptions<S>,
): Promise<StateFold<S>> {
  const core = redex instanceof Redex ? redex.napi : redex;
  if (!(core instanceof CoreRedex)) throw wrongType('openFold', 'redex', redex, 'a Redex', 'InvalidArg');
  for (const argument of ['initial', 'apply'] as const) {
    if (typeof options?.[argument] !== 'function') {
      throw wrongType('openFold', argument, options?.[argument], 'a function', 'InvalidArg');
    }
  }
  const lastSeq = options.lastSeq === undefined || options.lastSeq === null ? undefined : u64(options.lastSeq);
  let file: ReturnType<CoreRedex['openFile']>;
  try {
    file = core.openFile(name, { persistent: options.persistent === true });
  } catch (cause) {
    throw failure('open-failed', `fold of ${name} open failed: ${logText(cause)}`, cause);
  }
  if (lastSeq !== undefined && file.nextSeq() <= lastSeq) file.opened.log.advance(lastSeq + 1n);
  const fold = new StateFold(file, options, lastSeq);
  const end = file.nextSeq();
  while (fold.page() > 0 && fold.next < end) await new Promise<void>((resolve) => setTimeout(resolve));
  if (fold.error !== undefined) {
    fold.close();
    throw failure('open-failed', `fold of ${name} open failed: ${messageOf(fold.error)}`, fold.error);
  }
  return fold;
}

/** A state that follows a log. */
export class StateFold<S> implements AsyncIterable<S> {
  readonly #file: ReturnType<CoreRedex['openFile']>;
  readonly #apply: FoldOptions<S>['apply'];
  readonly #unsubscribe: () => void;
  readonly #waits = new Waits();
  /** Those that somebody waits on; an idle one compares versions when it is read. */
  readonly #watches = new Set<StateWatch<S>>();
  #state: S;
  #next: bigint;
  #version = 0;
  #running = true;
  #closed = false;
  #behind = false;
  #error: unknown;

  /** @internal */
  constructor(file: ReturnType<CoreRedex['openFile']>, options: FoldOptions<S>, lastSeq: bigint | undefined) {
    this.#file = file;
    this.#apply = options.apply;
    this.#state = options.initial();
    this.#next = lastSeq === undefined ? 0n : lastSeq + 1n;
    this.#unsubscribe = follow(new RedexLog(file), this);
  }

  /** The state, with everything in it that the log holds now. */
  get state(): S {
    this.#sync();
    return this.#state;
  }

  /** Counts the events that changed the state. */
  get version(): number {
    this.#sync();
    return this.#version;
  }

  /** What `apply` threw, if it did. */
  get error(): unknown {
    return this.#error;
  }

  /** Next sequence to fold. */
  get next(): bigint {
    return this.#next;
  }

  /** Whether the fold follows its log. */
  isRunning(): boolean {
    return this.#running;
  }

  /** Appends an event, which is folded before the call returns. Returns its sequence. */
  append(payload: Uint8Array): bigint {
    if (this.#closed) throw failure('closed', 'append failed: adapter closed');
    let seq: bigint;
    try {
      seq = this.#file.append(payload);
    } catch (cause) {
      throw failure('append-failed', `append failed: ${logText(cause)}`, cause);
    }
    this.#sync();
    return seq;
  }

  /**
   * Resolves when the sequence is folded; rejects when the fold stops first, with what `apply` threw as `cause`, and with
   * the reason of `signal` when that aborts.
   */
  async waitForSeq(seq: bigint, options?: WatchOptions | null): Promise<void> {
    const wanted = u64(seq);
    this.#sync();
    if (wanted < this.#next) return;
    if (!this.#running) throw this.#stopped();
    await this.#waits.until(wanted, this, { signal: options?.signal });
  }

  #stopped(): CortexError {
    const folded = this.#next === 0n ? 'None' : `Some(${this.#next - 1n})`;
    return failure('fold-stopped', `wait_for_seq: fold task stopped; folded_through=${folded}`, this.#error);
  }

  /** The state and the last sequence in it: what `initial` and `lastSeq` of another fold may give. */
  snapshot(): { state: S; lastSeq?: bigint } {
    const { state } = this;
    return this.#next === 0n ? { state } : { state, lastSeq: this.#next - 1n };
  }

  /** The state now, then once after each tick that changed it; a slow reader gets the newest. Ends with the fold. */
  watch(options: WatchOptions = {}): AsyncIterableIterator<S> {
    return new StateWatch<S>(this, this.#watches, options.signal);
  }

  /** The same as `watch()`. */
  [Symbol.asyncIterator](): AsyncIterator<S> {
    return this.watch();
  }

  /** Stops folding; the state stays readable, the log open. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#stop();
  }

  /**
   * Called by the log.
   * @internal
   */
  onLogClosed(): void {
    this.#stop();
  }

  /**
   * Called by the log.
   * @internal
   */
  onAppended(): void {
    if (this.#behind || !this.#running) return;
    this.#behind = true;
    queueMicrotask(() => this.#sync());
  }

  #sync(): void {
    if (!this.#behind) return;
    this.#behind = false;
    while (this.page() > 0);
  }

  /**
   * Folds some events; returns how many.
   * @internal
   */
  page(): number {
    if (!this.#running || this.#next > U64_MAX) return 0;
    const events: RedexEvent[] = [];
    this.#file.opened.log.readInto(events, this.#next, TO_THE_END, PAGE);
    for (const event of events) {
      try {
        this.#state = this.#apply(this.#state, event) ?? this.#state;
      } catch (error) {
        this.#error = error;
        this.#stop();
        break;
      }
      this.#next = event.seq + 1n;
      this.#version += 1;
    }
    if (this.#next > 0n) this.#waits.reach(this.#next - 1n);
    if (events.length > 0) for (const watch of this.#watches) watch.changed();
    return this.#running ? events.length : 0;
  }

  #stop(): void {
    if (!this.#running) return;
    if (this.#error === undefined) this.#sync();
    this.#running = false;
    this.#unsubscribe();
    if (this.#next > 0n) this.#waits.reach(this.#next - 1n);
    this.#waits.fail(() => this.#stopped());
    for (const watch of [...this.#watches]) watch.end();
  }
}

/** Iterator over the states of one fold. */
class StateWatch<S> implements AsyncIterableIterator<S> {
  readonly #fold: StateFold<S>;
  readonly #waiting: Set<StateWatch<S>>;
  readonly #signal: AbortSignal | undefined;
  readonly #abort = () => void this.return();
  readonly #pending: ((result: IteratorResult<S>) => void)[] = [];
  #seen = -1;
  #done = false;
  #scheduled = false;

  constructor(fold: StateFold<S>, waiting: Set<StateWatch<S>>, signal: AbortSignal | undefined) {
    this.#fold = fold;
    this.#waiting = waiting;
    this.#signal = signal;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<S>> {
    if (this.#signal?.aborted) return this.return();
    if (this.#done) return { value: undefined, done: true };
    if (this.#pending.length === 0 && this.#fold.version !== this.#seen) return this.#take();
    if (!this.#fold.isRunning()) return this.return();
    return new Promise((resolve) => {
      this.#pending.push(resolve);
      this.#waiting.add(this);
      hold(this);
      // Only while somebody waits: a signal may live longer than a watch that nobody reads any more.
      this.#signal?.addEventListener('abort', this.#abort);
    });
  }

  #take(): IteratorResult<S> {
    this.#seen = this.#fold.version;
    return { value: this.#fold.state, done: false };
  }

  changed(): void {
    if (this.#scheduled || this.#pending.length === 0) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#serve();
    });
  }

  #serve(): void {
    if (this.#pending.length === 0 || this.#fold.version === this.#seen) return;
    const [first] = this.#pending.splice(0, 1);
    if (this.#pending.length === 0) this.#idle();
    first?.(this.#take());
  }

  #idle(): void {
    this.#waiting.delete(this);
    release(this);
    this.#signal?.removeEventListener('abort', this.#abort);
  }

  /** The fold stopped: what is new is delivered, then the end. */
  end(): void {
    this.#serve();
    if (this.#pending.length > 0) void this.return();
  }

  async return(): Promise<IteratorResult<S>> {
    this.#done = true;
    this.#idle();
    for (const resolve of this.#pending.splice(0)) resolve({ value: undefined, done: true });
    return { value: undefined, done: true };
  }
}
