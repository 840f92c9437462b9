import type { CommandResult } from './command-result.js';
import type { PeerChange } from './directory-client.js';
import type { BatchHandlerFn, Bind, HandlerFn } from './dispatch/message-handler.js';
import type { CommandType, EventType, Message } from './message-type.js';
import type { BindingKey, Peer, PeerDescriptor, PeerId } from './peer.js';
import type { SendOptions } from './pending-commands.js';
import type { TransportStats } from './transport.js';

/** Where a bus is in its life. A stopped bus can be started again. */
export type BusState = 'created' | 'starting' | 'started' | 'stopping' | 'stopped';

/** A subscription made at run time. */
export interface Subscription {
  /** Takes the subscription back. A second call does nothing. */
  unsubscribe(): Promise<void>;
}

/** Options of a subscription with its own function. */
export interface SubscribeOptions {
  /** Dispatch queue of the function. Default `DefaultQueue`. */
  queue?: string;
  /** Most messages handed over at once; the function then takes a list. */
  batch?: number | true;
}

/** Counters of one message type. */
export interface TypeStats {
  sent: number;
  received: number;
  /** Messages whose handlers all settled, failures included. */
  handled: number;
  failed: number;
}

/** Counters of a bus. */
export interface BusStats {
  readonly types: Readonly<Record<string, Readonly<TypeStats>>>;
  /** Messages that wait, by dispatch queue. */
  readonly queues: Readonly<Record<string, number>>;
  readonly pendingCommands: number;
  /** Frames that could not be decoded. */
  readonly malformed: number;
  /** Messages of other environments. */
  readonly otherEnvironment: number;
  /** Messages without a handler. */
  readonly unhandled: number;
  /** Messages dropped because a bound was reached. */
  readonly dropped: number;
  readonly transport: TransportStats;
}

/** A message was handled. */
export interface HandledEvent {
  readonly messageType: string;
  readonly isLocal: boolean;
  readonly errorCode: number;
}

/** What `on` can listen to, and what listeners are given. */
export interface BusEvents {
  starting: undefined;
  /** What the directory will be told. */
  registering: PeerDescriptor;
  /** Everyone the directory knows. */
  registered: readonly PeerDescriptor[];
  started: undefined;
  stopping: undefined;
  stopped: undefined;
  /** A change in the copy of the directory. */
  peer: { readonly change: PeerChange; readonly peer: PeerDescriptor };
  messageHandled: HandledEvent;
  /** Something failed in the background: a dropped frame, a closed peer, a failed handler. */
  error: Error;
  /** Something that others may trip over, such as messages above 4096 bytes. */
  warning: string;
}

/** A peer on the bus. */
export interface Bus {
  readonly peerId: PeerId;
  readonly environment: string;
  /** Endpoint that others connect to; empty unless the bus is started. */
  readonly endpoint: string;
  readonly state: BusState;
  /** Binds, registers, and begins to handle. Throws `ZebusError`; the bus can then be started again. */
  start(): Promise<void>;
  /** Leaves the bus in order. Any number of calls share one stop. */
  stop(): Promise<void>;
  /**
   * Sends a command to the one peer that handles it. Resolves with the answer, also with an error code; rejects with
   * `ZebusError` when there is no answer.
   */
  send<T, R>(command: Message<T, 'command', R>, options?: SendOptions): Promise<CommandResult<R>>;
  /** Sends a command to a given peer: one of the directory by its id, or any by id and endpoint. */
  sendTo<T, R>(
    command: Message<T, 'command', R>,
    peer: Peer | PeerId | string,
    options?: SendOptions,
  ): Promise<CommandResult<R>>;
  /** Publishes an event to all subscribed peers. Resolves when it is handed to the sockets and handled locally. */
  publish<T>(event: Message<T, 'event'>): Promise<void>;
  /** Publishes an event to one peer, subscribed or not. */
  publishTo<T>(event: Message<T, 'event'>, peer: Peer | PeerId | string): Promise<void>;
  /** Subscribes at run time: to the given keys (default: everything), with a function or the registered handlers. */
  subscribe<T, I, R>(
    type: CommandType<T, I, R> | EventType<T, I>,
    keys: readonly BindingKey[] | Bind<T> | undefined,
    fn: BatchHandlerFn<T, void, R>,
    options: SubscribeOptions & { batch: number | true },
  ): Promise<Subscription>;
  subscribe<T, I, R>(
    type: CommandType<T, I, R> | EventType<T, I>,
    keys?: readonly BindingKey[] | Bind<T>,
    fn?: HandlerFn<T, void, R>,
    options?: SubscribeOptions,
  ): Promise<Subscription>;
  /** The copy of the directory. */
  peers(): PeerDescriptor[];
  /** The peers that would get this message. */
  peersHandling(message: Message): Peer[];
  /** Listens; the returned function ends it. */
  on<E extends keyof BusEvents>(event: E, listener: (payload: BusEvents[E]) => void): () => void;
  stats(): BusStats;
  /** The same as `stop`. */
  [Symbol.asyncDispose](): Promise<void>;
}
