import { ZebusError } from '../../errors.js';
import { ErrorCode } from '../command-result.js';
import type { AnyMessageType } from '../message-type.js';
import { isEmptyKey, keyText } from '../peer.js';
import { keyMatches } from '../routing.js';
import type { Invocation } from './invocation.js';
import type { Registration } from './message-handler.js';
import { DispatchQueue, type Share, start } from './queue.js';

/** Messages that a full queue still takes while reading goes on: see `isFull`. */
const OVERFLOW = 1_000;

interface Plan {
  readonly queue: string;
  readonly handlers: Registration[];
  readonly places: number[];
}

interface TypeHandlers {
  readonly type: AnyMessageType;
  handlers: Registration[];
  plans: Plan[];
  /** Whether handlers differ in their bindings, so that each message must be matched again. */
  filtered: boolean;
}

function sameKeys(a: Registration, b: Registration): boolean {
  const text = (each: Registration): string => each.keys.map(keyText).sort().join('\n');
  return text(a) === text(b);
}

function planOf(handlers: readonly Registration[]): Plan[] {
  const plans = new Map<string, Plan>();
  handlers.forEach((handler, place) => {
    let plan = plans.get(handler.queue);
    if (plan === undefined) {
      plan = { queue: handler.queue, handlers: [], places: [] };
      plans.set(handler.queue, plan);
    }
    plan.handlers.push(handler);
    plan.places.push(place);
  });
  return [...plans.values()];
}

function refuse(invocation: Invocation, { places }: Share, why: string): void {
  for (const place of places) invocation.refuse(place, ErrorCode.busy, why);
}

/** Brings messages to their handlers through the dispatch queues. */
export class Dispatcher {
  private readonly types = new Map<string, TypeHandlers>();
  private readonly queues = new Map<string, DispatchQueue>();
  private readonly capacity: number;
  private readonly batchSize: number;
  private readonly waitingForRoom: (() => void)[] = [];
  private readonly waitingForIdle: (() => void)[] = [];
  private active = 0;
  /** Answer to everything that arrives, once the bus stops. */
  private refusal: string | undefined;

  constructor(capacity: number, batchSize: number) {
    this.capacity = capacity;
    this.batchSize = batchSize;
  }

  /** Adds a handler. Throws `duplicate-type` when another type of the same name is in use. */
  add(handler: Registration): void {
    const name = handler.type.fullName;
    let entry = this.types.get(name);
    if (entry === undefined) {
      entry = { type: handler.type, handlers: [], plans: [], filtered: false };
      this.types.set(name, entry);
    }
    if (entry.type !== handler.type) {
      throw new ZebusError('duplicate-type', `two different types are named ${name}`, { messageType: name });
    }
    entry.handlers = [...entry.handlers, handler];
    this.replan(entry);
  }

  remove(handler: Registration): void {
    const entry = this.types.get(handler.type.fullName);
    if (entry === undefined) return;
    entry.handlers = entry.handlers.filter((each) => each !== handler);
    this.replan(entry);
    if (entry.handlers.length === 0) this.types.delete(handler.type.fullName);
  }

  private replan(entry: TypeHandlers): void {
    entry.plans = planOf(entry.handlers);
    const [first, ...others] = entry.handlers;
    entry.filtered = first !== undefined && others.some((other) => !sameKeys(first, other));
  }

  /** The type that handlers of this name expect. */
  typeNamed(name: string): AnyMessageType | undefined {
    return this.types.get(name)?.type;
  }

  handlersOf(type: AnyMessageType): readonly Registration[] {
    return this.types.get(type.fullName)?.handlers ?? [];
  }

  all(): Registration[] {
    return [...this.types.values()].flatMap((entry) => entry.handlers);
  }

  queueLengths(): Record<string, number> {
    return Object.fromEntries([...this.queues].map(([name, queue]) => [name, queue.length]));
  }

  /** Whether reading should pause. A paused reader may still bring in `OVERFLOW` messages more. */
  get isFull(): boolean {
    for (const queue of this.queues.values()) if (queue.length >= this.capacity) return true;
    return false;
  }

  /** Resolves when every queue is at most half full. */
  room(): Promise<void> {
    return new Promise((resolve) => {
      this.waitingForRoom.push(resolve);
    });
  }

  /** Whether a handler of this type runs or waits in a queue that is busy now. */
  isBusyFor(type: AnyMessageType): boolean {
    return this.handlersOf(type).some((handler) => this.queues.get(handler.queue)?.isBusy ?? false);
  }

  /** Hands a message to its handlers; its `done` is called when all have settled. */
  dispatch(invocation: Invocation): void {
    const entry = this.types.get(invocation.type.fullName);
    let plans = entry?.plans ?? [];
    if (entry?.filtered && invocation.type.routing.length > 0) {
      const content = invocation.type.routingContent(invocation.message);
      const wanted = entry.handlers.filter((handler) =>
        handler.keys.some((key) => isEmptyKey(key) || keyMatches(key, content)),
      );
      plans = planOf(wanted);
    }
    let handlers = 0;
    for (const plan of plans) handlers += plan.handlers.length;
    this.active += 1;
    invocation.expect(handlers);
    for (const plan of plans) {
      if (invocation.type.infrastructure) start(invocation, plan);
      else if (this.refusal !== undefined) refuse(invocation, plan, this.refusal);
      else if (!this.queue(plan.queue).offer(invocation, plan)) refuse(invocation, plan, 'server busy');
    }
  }

  private queue(name: string): DispatchQueue {
    let queue = this.queues.get(name);
    if (queue === undefined) {
      queue = new DispatchQueue(name, this.capacity + OVERFLOW, this.batchSize, this.progressed);
      this.queues.set(name, queue);
    }
    return queue;
  }

  private readonly progressed = (): void => {
    if (this.waitingForRoom.length === 0) return;
    for (const queue of this.queues.values()) if (queue.length > this.capacity / 2) return;
    for (const resolve of this.waitingForRoom.splice(0)) resolve();
  };

  /** To be called for every dispatched message when it is done. */
  finished(): void {
    this.active -= 1;
    if (this.active === 0) for (const resolve of this.waitingForIdle.splice(0)) resolve();
  }

  /** Waits until everything dispatched is done; refuses what comes later. What still waits at the timeout is refused. */
  async stop(timeoutMs: number, why: string): Promise<boolean> {
    this.refusal = why;
    if (this.active > 0) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      await Promise.race([
        new Promise<void>((resolve) => this.waitingForIdle.push(resolve)),
        new Promise<void>((resolve) => {
          timer = setTimeout(resolve, timeoutMs);
        }),
      ]);
      clearTimeout(timer);
    }
    for (const queue of this.queues.values())
      for (const { invocation, share } of queue.drain()) refuse(invocation, share, why);
    for (const resolve of this.waitingForRoom.splice(0)) resolve();
    return this.active === 0;
  }

  /** Takes messages again. */
  reopen(): void {
    this.refusal = undefined;
    this.queues.clear();
    this.active = 0;
  }
}
