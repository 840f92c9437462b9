import { ZebusError } from '../../errors.js';
import type { Bus } from '../bus-api.js';
import type { CommandResult } from '../command-result.js';
import type { AnyMessageType, CommandType, EventType, Message } from '../message-type.js';
import type { BindingKey } from '../peer.js';
import type { OriginatorInfo } from '../transport-message.js';

/** What a handler is given beside the message. */
export interface HandlerContext<S = void> {
  /** State given to `MessageHandler.withState`. */
  readonly state: S;
  readonly bus: Bus;
  readonly originator: OriginatorInfo;
  /** Text of the message's id; empty for a message of this bus itself. */
  readonly messageId: string;
  /** Full name of the message's type. */
  readonly messageType: string;
  /** Whether this bus sent the message to itself. */
  readonly isLocal: boolean;
  /** Answers a command with a message. */
  reply(reply: Message): void;
  /** Answers a command with an error, `code` not 0. */
  replyError(code: number, message?: string): void;
  /** Aborted when the bus has given up waiting for its handlers. */
  readonly signal: AbortSignal;
}

/** What a handler may return: nothing, the reply, or a result to pass on. */
// biome-ignore lint/suspicious/noConfusingVoidType: handlers without a result return nothing
export type HandlerResult<R = unknown> = void | undefined | Message<R> | CommandResult;

/** Handles one message. */
export type HandlerFn<T, S = void, R = unknown> = (
  message: T,
  context: HandlerContext<S>,
) => HandlerResult<R> | Promise<HandlerResult<R>>;

/** Handles several messages of one type at once, with one outcome for all. */
export type BatchHandlerFn<T, S = void, R = unknown> = (
  messages: T[],
  context: HandlerContext<S>,
) => HandlerResult<R> | Promise<HandlerResult<R>>;

/** Values of routing members; those left out match everything. */
export type Bind<T> = { readonly [K in keyof T]?: string | number | boolean | bigint };

/** Options of a handler. */
export interface HandlerOptions<T> {
  /** Dispatch queue. Default: that of the type, else `DefaultQueue`. */
  queue?: string;
  /** `auto`: subscribed at start. `manual`: only by `bus.subscribe`. Default `auto`. */
  subscription?: 'auto' | 'manual';
  /** Binding keys of the start-up subscription. Default: every message. */
  bindings?: readonly BindingKey[];
  /** One more binding key, by the names of routing members; `'*'` and `'#'` are wildcards. */
  bind?: Bind<T>;
}

/** Most messages handed over at once; `true` = the bus's `messageBatchSize`. */
export interface BatchOptions<T> extends HandlerOptions<T> {
  batch: number | true;
}

/** One registered handler. */
export interface Registration {
  readonly type: AnyMessageType;
  readonly fn: (message: never, context: HandlerContext<never>) => unknown;
  readonly state: unknown;
  readonly queue: string;
  readonly subscription: 'auto' | 'manual';
  readonly keys: readonly BindingKey[];
  /** 0 = one by one, -1 = the bus's size. */
  readonly batch: number;
  readonly name: string;
}

/** Queue of handlers that name none. */
export const DEFAULT_QUEUE = 'DefaultQueue';

/** Binding keys of options; no wish is the empty key: every message. */
export function bindingKeys(type: AnyMessageType, keys?: readonly BindingKey[], bind?: Bind<object>): BindingKey[] {
  const list = [...(keys ?? [])];
  if (bind !== undefined) list.push(boundKey(type, bind as Readonly<Record<string, unknown>>));
  if (list.length === 0) list.push([]);
  return list;
}

function boundKey(type: AnyMessageType, bind: Readonly<Record<string, unknown>>): BindingKey {
  for (const member of Object.keys(bind)) {
    if (!type.routing.includes(member)) {
      throw new ZebusError('configuration', `${type.fullName}: ${member} is not a routing member`, {
        messageType: type.fullName,
      });
    }
  }
  const parts: string[] = [];
  for (const member of type.routing) {
    const value = bind[member];
    parts.push(value === undefined ? '*' : String(value));
    if (value === '#') break;
  }
  return parts;
}

/** Handlers for a bus. */
export interface HandlerSet {
  readonly registrations: readonly Registration[];
}

/** Handlers that share a state. */
export class MessageHandler<S = void> implements HandlerSet {
  private readonly state: S;
  /** What was registered so far. */
  readonly registrations: Registration[] = [];

  private constructor(state: S) {
    this.state = state;
  }

  /** Handlers whose context holds this state. */
  static withState<S>(state: S): MessageHandler<S> {
    return new MessageHandler(state);
  }

  /** Handlers without state. */
  static stateless(): MessageHandler<void> {
    return new MessageHandler<void>(undefined);
  }

  /** Adds a handler for a command or an event; with `batch`, one for lists of them. */
  handles<T, I, R>(
    type: CommandType<T, I, R> | EventType<T, I>,
    fn: BatchHandlerFn<T, S, R>,
    options: BatchOptions<T>,
  ): this;
  handles<T, I, R>(
    type: CommandType<T, I, R> | EventType<T, I>,
    fn: HandlerFn<T, S, R>,
    options?: HandlerOptions<T>,
  ): this;
  handles(
    type: unknown,
    fn: (message: never, context: HandlerContext<never>) => unknown,
    options: HandlerOptions<object> & { batch?: number | true } = {},
  ): this {
    const known = type as AnyMessageType;
    if (known.kind === 'message') {
      throw new ZebusError('configuration', `${known.fullName} is neither a command nor an event`);
    }
    const batch = options.batch === true ? -1 : (options.batch ?? 0);
    if (!Number.isInteger(batch) || batch < -1) {
      throw new ZebusError(
        'configuration',
        `${known.fullName}: batch must be true or an integer above 0, got ${batch}`,
      );
    }
    this.registrations.push({
      type: known,
      fn,
      state: this.state,
      queue: options.queue ?? known.dispatchQueue ?? DEFAULT_QUEUE,
      subscription: options.subscription ?? 'auto',
      keys: bindingKeys(known, options.bindings, options.bind),
      batch,
      name: fn.name === '' ? known.fullName : fn.name,
    });
    return this;
  }
}
