import { BoundedQueue } from '../../flow/index.js';
import type { Invocation } from './invocation.js';
import type { Registration } from './message-handler.js';

/** Handlers of one message type in one queue, and the place of each among all handlers of the type. */
export interface Share {
  readonly handlers: readonly Registration[];
  readonly places: readonly number[];
}

/** A message that waits for its handlers in one queue. */
export interface Job {
  readonly invocation: Invocation;
  readonly share: Share;
}

/** Messages handled in one go before other work of the process gets its turn. */
const SLICE = 256;

/** One dispatch queue: one message at a time, in arrival order. */
export class DispatchQueue {
  readonly name: string;
  private readonly waiting: BoundedQueue<Job>;
  private readonly batchSize: number;
  private readonly onIdle: (queue: DispatchQueue) => void;
  private running = false;
  /** Taken while a batch was collected, but not part of it. */
  private ahead: Job | undefined;

  /** `capacity` is what may wait here at all; `onIdle` is called whenever a message is finished. */
  constructor(name: string, capacity: number, batchSize: number, onIdle: (queue: DispatchQueue) => void) {
    this.name = name;
    this.waiting = new BoundedQueue<Job>({ capacity });
    this.batchSize = batchSize;
    this.onIdle = onIdle;
  }

  /** Whether a handler runs now. */
  get isBusy(): boolean {
    return this.running;
  }

  /** Messages that wait. */
  get length(): number {
    return this.waiting.length + (this.ahead === undefined ? 0 : 1);
  }

  /** Runs the handlers now if nothing is before them, else queues them. False when the queue is full. */
  offer(invocation: Invocation, share: Share): boolean {
    if (this.running) return this.waiting.tryPush({ invocation, share });
    if (share.handlers.length === 1 && (share.handlers[0] as Registration).batch !== 0) {
      // What arrives in the same turn joins the batch.
      this.waiting.tryPush({ invocation, share });
      this.running = true;
      setImmediate(this.resume);
      return true;
    }
    this.running = true;
    const pending = start(invocation, share);
    if (pending === undefined) {
      // The handler may have queued messages of its own.
      if (this.length > 0) setImmediate(this.resume);
      else this.running = false;
    } else {
      pending.then(this.resume);
    }
    return true;
  }

  /** Takes back everything that waits. */
  drain(): Job[] {
    const jobs = this.waiting.drain();
    if (this.ahead !== undefined) jobs.unshift(this.ahead);
    this.ahead = undefined;
    return jobs;
  }

  private take(): Job | undefined {
    const job = this.ahead ?? this.waiting.tryShift();
    this.ahead = undefined;
    return job;
  }

  private readonly resume = (): void => {
    for (let turn = 0; turn < SLICE; turn++) {
      const job = this.take();
      if (job === undefined) {
        this.running = false;
        this.onIdle(this);
        return;
      }
      const pending = this.startNext(job);
      if (pending !== undefined) {
        pending.then(this.resume);
        this.onIdle(this);
        return;
      }
    }
    this.onIdle(this);
    setImmediate(this.resume);
  };

  private startNext(job: Job): Promise<unknown> | undefined {
    const { handlers, places } = job.share;
    const handler = handlers[0] as Registration;
    if (handlers.length !== 1 || handler.batch === 0) return start(job.invocation, job.share);
    const limit = handler.batch === -1 ? this.batchSize : handler.batch;
    const batch = [job.invocation];
    while (batch.length < limit) {
      const next = this.take();
      if (next === undefined) break;
      if (next.share.handlers.length !== 1 || next.share.handlers[0] !== handler) {
        this.ahead = next;
        break;
      }
      batch.push(next.invocation);
    }
    return job.invocation.run(handler, places[0] as number, batch);
  }
}

/** Starts handlers of a message; a promise while any has not settled. */
export function start(invocation: Invocation, { handlers, places }: Share): Promise<unknown> | undefined {
  if (handlers.length === 1) {
    const handler = handlers[0] as Registration;
    return invocation.run(handler, places[0] as number, handler.batch === 0 ? undefined : [invocation]);
  }
  let pending: Promise<unknown>[] | undefined;
  handlers.forEach((handler, i) => {
    const batch = handler.batch === 0 ? undefined : [invocation];
    const running = invocation.run(handler, places[i] as number, batch);
    if (running !== undefined) {
      pending ??= [];
      pending.push(running);
    }
  });
  return pending === undefined ? undefined : Promise.all(pending);
}
