import { hostname } from 'node:os';
import { ZebusError } from '../errors.js';
import { Backoff } from '../flow/index.js';
import type { Bus, BusEvents, BusState, BusStats, SubscribeOptions, Subscription } from './bus-api.js';
import type { CommandResult } from './command-result.js';
import type { BusSettings } from './configuration.js';
import { Core } from './core.js';
import type { KeysOfType } from './descriptor.js';
import { DirectoryClient, type PeerChange, type PeerEntry } from './directory-client.js';
import { type Bind, bindingKeys, DEFAULT_QUEUE, type Registration } from './dispatch/message-handler.js';
import { DynamicSubscriptions } from './dynamic-subscriptions.js';
import { DIRECTORY_TYPES, Inbound } from './inbound.js';
import { type AnyMessageType, type Message, requireType } from './message-type.js';
import { Outbound } from './outbound.js';
import { type BindingKey, type Peer, type PeerDescriptor, PeerId, peerDescriptor, peerIdText } from './peer.js';
import { PendingCommands, type SendOptions } from './pending-commands.js';
import { isPersistencePeer, PersistenceClient } from './persistence-client.js';
import { type Execute, type Registrar, RemoteDirectories } from './registration.js';
import { END_OF_STREAM } from './system-messages.js';
import type { Transport } from './transport.js';
import { FrameFactory } from './transport-message.js';

/** Of publications that were handed over at once. */
const DONE = Promise.resolve();
const INVALID = 'an operation was attempted while the bus was not in a valid state';

/** Everything a bus is made of; given by `BusBuilder`. */
export interface BusParts {
  readonly peerId: PeerId;
  readonly environment: string;
  readonly settings: BusSettings;
  readonly transport: Transport;
  readonly handlers: readonly Registration[];
  /** How the bus joins the directory. Default: by the settings' endpoints. */
  readonly registrar?: (execute: Execute) => Registrar;
}

/** The bus: a peer with its handlers, its copy of the directory and its connections. */
export class ZebusBus implements Bus {
  private readonly core: Core;
  private readonly outbound: Outbound;
  private readonly inbound: Inbound;
  private readonly persistence: PersistenceClient;
  private readonly registrar: Registrar;
  private readonly subscriptions: DynamicSubscriptions;
  private current: BusState = 'created';
  private ownEndpoint = '';
  private stopping: Promise<void> | undefined;
  private abort = new AbortController();
  private readonly beforeStart: { type: AnyMessageType; key: BindingKey }[] = [];
  private lastPing = 0;
  private watch: ReturnType<typeof setInterval> | undefined;
  private rejoining = false;
  /** Whether the application may send: from the registration to the unregistration. */
  private accepting = false;

  /** @internal */
  constructor(parts: BusParts) {
    const { peerId, environment, settings } = parts;
    const directory = new DirectoryClient(
      (change, peer, previous) => this.peerChanged(change, peer, previous),
      (text) => this.core.report(new ZebusError('too-large', text)),
    );
    this.core = new Core(peerId, environment, settings, parts.transport, directory);
    for (const handler of parts.handlers) this.core.dispatcher.add(handler);
    this.persistence = new PersistenceClient({
      selfId: peerId.value,
      isPersistent: settings.isPersistent,
      directory,
      factory: () => this.core.requireFactory(),
      transmit: (to, frame) => this.outbound.transmit(to, frame),
      handle: (message) => this.inbound.handleReplayed(message),
      report: (error) => this.core.report(error),
    });
    this.outbound = new Outbound(this.core, this.persistence);
    this.inbound = new Inbound(this.core, this.outbound, this.persistence, () => {
      this.lastPing = Date.now();
    });
    const execute: Execute = (to, command, timeoutMs) => this.outbound.executeMessage(to, command, timeoutMs);
    this.registrar =
      parts.registrar?.(execute) ??
      new RemoteDirectories(settings.directoryEndpoints, execute, {
        timeoutMs: settings.registrationTimeout,
        shuffle: settings.pickRandomDirectory,
        // What a silent directory has not read yet must not reach it later.
        forget: (id) => this.core.transport.disconnect(id, true),
      });
    this.subscriptions = new DynamicSubscriptions((types) => this.updateKeys(types));
  }

  get peerId(): PeerId {
    return this.core.peerId;
  }
  get environment(): string {
    return this.core.environment;
  }
  get endpoint(): string {
    return this.ownEndpoint;
  }
  get state(): BusState {
    return this.current;
  }

  /** A failure in the background of what is built on this bus. @internal */
  report(error: Error): void {
    this.core.report(error);
  }

  /** The copy of the directory itself, for the directory server. @internal */
  get directory(): DirectoryClient {
    return this.core.directory;
  }

  on<E extends keyof BusEvents>(event: E, listener: (payload: BusEvents[E]) => void): () => void {
    return this.core.listeners.on(event, listener);
  }

  async start(): Promise<void> {
    if (this.current !== 'created' && this.current !== 'stopped') throw new ZebusError('invalid-operation', INVALID);
    const { core } = this;
    const { transport, listeners } = core;
    this.current = 'starting';
    listeners.emit('starting', undefined);
    let registered = false;
    try {
      this.abort = new AbortController();
      core.scope = { bus: this, signal: this.abort.signal };
      core.pending = new PendingCommands(core.settings.maxPendingCommands);
      core.dispatcher.reopen();
      this.inbound.hold();
      const local = { peerId: core.peerId.value, maxMessageBytes: core.settings.maxMessageBytes };
      this.ownEndpoint = await transport.start(local, {
        frame: this.inbound.frame,
        error: (error) => core.report(error),
        // Never a failure of a publication.
        dropped: (error) => {
          core.counters.dropped++;
          core.report(error);
        },
      });
      core.factory = new FrameFactory(
        { senderId: core.peerId, senderEndpoint: this.ownEndpoint, machineName: hostname() },
        core.environment,
      );
      this.countStartupSubscriptions();
      const self = this.descriptor();
      listeners.emit('registering', self);
      const peers = await this.registrar.register(self);
      registered = true;
      this.loadPeers(self, peers);
      this.inbound.releaseDirectoryEvents();
      this.accepting = true;
      listeners.emit('registered', this.peers());
      if (core.settings.isPersistent) await this.startReplay();
      else this.inbound.release();
      this.current = 'started';
      this.lastPing = Date.now();
      this.watchDirectory();
      listeners.emit('started', undefined);
    } catch (error) {
      if (registered) await this.leaveDirectory();
      await this.tearDown();
      this.current = 'stopped';
      // What was subscribed before the start holds for the next one.
      this.subscriptions.reset();
      throw error;
    }
  }

  /** Live messages wait in the persistence client from here on, not in the start's own queue. */
  private async startReplay(): Promise<void> {
    const replaying = this.persistence.replay(this.core.settings.startReplayTimeout);
    this.inbound.release();
    await replaying;
  }

  private countStartupSubscriptions(): void {
    this.subscriptions.reset();
    for (const handler of this.core.dispatcher.all()) {
      if (handler.subscription !== 'auto') continue;
      for (const key of handler.keys) this.subscriptions.increment(handler.type.fullName, key);
    }
    for (const { type, key } of this.beforeStart) this.subscriptions.increment(type.fullName, key);
  }

  private descriptor(): PeerDescriptor {
    const { core } = this;
    const own = this.subscriptions.current();
    const types = new Set(own.map(({ messageType }) => messageType));
    return peerDescriptor(
      { id: core.peerId.value, endpoint: this.ownEndpoint, isUp: true, isResponding: true },
      {
        subscriptions: [
          ...own,
          ...DIRECTORY_TYPES.filter((type) => !types.has(type)).map((messageType) => ({ messageType, key: [] })),
        ],
        isPersistent: core.settings.isPersistent,
        timestampTicks: core.clock.next(),
      },
    );
  }

  /** Everyone else as the directory says, ourselves as we are. */
  private loadPeers(self: PeerDescriptor, peers: readonly PeerDescriptor[]): void {
    const { directory } = this.core;
    for (const peer of peers) if (peer.id.value !== self.id.value) directory.load(peer);
    directory.load(self);
  }

  private peerChanged(change: PeerChange, peer: PeerEntry, previousEndpoint: string): void {
    const { core } = this;
    if (peer.id === core.peerId.value) {
      // The directory has given us up although we live.
      if (this.current === 'started' && (change === 'stopped' || change === 'decommissioned')) void this.rejoin();
    } else {
      this.connectionOf(change, peer, previousEndpoint);
    }
    if (change === 'started') this.persistence.peerStarted(peer);
    if (change === 'stopped' || change === 'decommissioned') core.pending.peerStopped(peer.id);
    if (core.listeners.has('peer')) core.listeners.emit('peer', { change, peer: peer.descriptor() });
  }

  private connectionOf(change: PeerChange, peer: PeerEntry, previousEndpoint: string): void {
    const { transport } = this.core;
    if (change === 'started') {
      // A connection to another endpoint leads nowhere now; one to the same endpoint finds the new process by itself.
      if (previousEndpoint !== '' && previousEndpoint !== peer.endpoint) transport.disconnect(peer.id);
      transport.disconnect(`${peer.id}@${peer.endpoint}`);
    } else if (change === 'decommissioned' && !isPersistencePeer(peer)) {
      const timer = setTimeout(() => {
        if (this.core.directory.get(peer.id) === undefined) transport.disconnect(peer.id);
      }, transport.endOfStreamTimeoutMs);
      timer.unref?.();
    }
  }

  private watchDirectory(): void {
    const interval = this.core.settings.directoryPingInterval;
    if (interval === 0) return;
    this.watch = setInterval(() => {
      if (Date.now() - this.lastPing > 3 * interval) void this.rejoin();
    }, interval);
    this.watch.unref?.();
  }

  /** Registers again, until it works or the bus stops: the directory has lost us, or we have lost it. */
  private async rejoin(): Promise<void> {
    if (this.rejoining) return;
    this.rejoining = true;
    const { signal } = this.abort;
    const backoff = new Backoff({ baseMs: 200, maxMs: 30_000, jitter: 0.2 });
    while (this.current === 'started' && !signal.aborted) {
      try {
        const self = this.descriptor();
        const peers = await this.registrar.register(self);
        if (this.current !== 'started' || signal.aborted) break;
        this.lastPing = Date.now();
        this.loadPeers(self, peers);
        this.core.listeners.emit('registered', this.peers());
        break;
      } catch (error) {
        if (signal.aborted) break;
        this.core.report(error as Error);
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, backoff.next());
          timer.unref?.();
          signal.addEventListener('abort', () => resolve(), { once: true });
        });
      }
    }
    this.rejoining = false;
  }

  stop(): Promise<void> {
    if (this.current === 'created' || this.current === 'stopped') return Promise.resolve();
    if (this.current === 'starting') return Promise.reject(new ZebusError('invalid-operation', INVALID));
    this.stopping ??= this.leave().finally(() => {
      this.stopping = undefined;
    });
    return this.stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  private async leave(): Promise<void> {
    const { core } = this;
    this.current = 'stopping';
    core.listeners.emit('stopping', undefined);
    clearInterval(this.watch);
    await this.leaveDirectory();
    this.accepting = false;
    const idle = await core.dispatcher.stop(core.settings.stopTimeoutMs, 'peer is stopping');
    if (!idle) core.report(new ZebusError('timeout', `handlers still run after ${core.settings.stopTimeoutMs}ms`));
    await this.endStreams();
    await this.tearDown();
    for (const handler of core.dispatcher.all()) if (dynamic.has(handler)) core.dispatcher.remove(handler);
    this.subscriptions.reset();
    this.beforeStart.length = 0;
    this.current = 'stopped';
    core.listeners.emit('stopped', undefined);
  }

  private async leaveDirectory(): Promise<void> {
    try {
      await this.registrar.unregister(this.descriptor(), this.core.clock.next());
    } catch (error) {
      this.core.report(error as Error);
    }
  }

  /** Tells every connected peer that nothing more will come, and waits until they have read everything. */
  private async endStreams(): Promise<void> {
    const { transport, directory } = this.core;
    const factory = this.core.requireFactory();
    const sent = transport.connected().flatMap((id) => {
      const peer = directory.get(id);
      if (peer === undefined || !peer.isUp) return [];
      return [this.outbound.transmit(peer, factory.raw(END_OF_STREAM, Buffer.alloc(0)))];
    });
    await Promise.all(sent);
    await this.inbound.endOfStreamAcknowledged(sent.length, transport.endOfStreamTimeoutMs);
  }

  private async tearDown(): Promise<void> {
    const { core } = this;
    this.accepting = false;
    this.abort.abort(new ZebusError('stopped', 'the bus stopped'));
    clearInterval(this.watch);
    core.scope = undefined;
    await core.transport.stop();
    core.pending.stopAll();
    core.factory = undefined;
    core.directory.clear();
    this.inbound.reset();
    this.persistence.reset();
    this.ownEndpoint = '';
  }

  private requireRunning(): void {
    if (this.accepting) return;
    throw new ZebusError('not-running', `the bus is not running (state ${this.current})`);
  }

  send<T, R>(command: Message<T, 'command', R>, options: SendOptions = {}): Promise<CommandResult<R>> {
    try {
      const type = requireType(command);
      this.requireKind(type, 'command');
      return this.outbound.send(type, command, options) as Promise<CommandResult<R>>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  private requireKind(type: AnyMessageType, kind: 'command' | 'event'): void {
    this.requireRunning();
    if (type.kind === kind) return;
    throw new ZebusError(
      'invalid-operation',
      `${type.fullName} is not ${kind === 'event' ? 'an event' : 'a command'}`,
      {
        messageType: type.fullName,
      },
    );
  }

  sendTo<T, R>(
    command: Message<T, 'command', R>,
    peer: Peer | PeerId | string,
    options: SendOptions = {},
  ): Promise<CommandResult<R>> {
    try {
      const type = requireType(command);
      this.requireKind(type, 'command');
      const to = this.target(peer, type);
      const entry = this.core.directory.get(to.id);
      const sent =
        entry !== undefined && entry.endpoint === to.endpoint
          ? this.outbound.sendToEntry(type, command, entry, options)
          : this.outbound.execute(type, command, to, options);
      return sent as Promise<CommandResult<R>>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  private target(peer: Peer | PeerId | string, type: AnyMessageType): { id: string; endpoint: string } {
    if (typeof peer !== 'string' && !(peer instanceof PeerId)) {
      return this.outbound.address(peerIdText(peer.id), peer.endpoint);
    }
    const id = peerIdText(peer);
    const entry = this.core.directory.get(id);
    if (entry === undefined) {
      throw new ZebusError('no-peer', `unable to find peer ${id}`, { peer: id, messageType: type.fullName });
    }
    return { id, endpoint: entry.endpoint };
  }

  publish<T>(event: Message<T, 'event'>): Promise<void> {
    try {
      const type = requireType(event);
      this.requireKind(type, 'event');
      return this.outbound.publish(type, event) ?? DONE;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  publishTo<T>(event: Message<T, 'event'>, peer: Peer | PeerId | string): Promise<void> {
    try {
      const type = requireType(event);
      this.requireKind(type, 'event');
      const to = this.target(peer, type);
      const entry = this.core.directory.get(to.id);
      if (entry !== undefined) return this.outbound.publishTo(type, event, [entry]) ?? Promise.resolve();
      return this.outbound.transmit(to, this.core.requireFactory().event(type, event));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Publishes to peers chosen by the caller, whether or not they subscribed. @internal */
  publishToEntries(event: unknown, peers: readonly PeerEntry[]): Promise<void> {
    return this.outbound.publishTo(requireType(event), event, peers) ?? Promise.resolve();
  }

  async subscribe(
    messageType: unknown,
    keys?: readonly BindingKey[] | Bind<object>,
    fn?: Registration['fn'],
    options: SubscribeOptions = {},
  ): Promise<Subscription> {
    if (this.current === 'stopping') throw new ZebusError('not-running', 'the bus is stopping');
    const type = messageType as AnyMessageType;
    const list = Array.isArray(keys)
      ? bindingKeys(type, keys as readonly BindingKey[])
      : bindingKeys(type, undefined, keys as Bind<object> | undefined);
    const handler: Registration | undefined =
      fn === undefined
        ? undefined
        : {
            type,
            fn,
            state: undefined,
            queue: options.queue ?? type.dispatchQueue ?? DEFAULT_QUEUE,
            subscription: 'manual',
            keys: list,
            batch: options.batch === true ? -1 : (options.batch ?? 0),
            name: fn.name === '' ? type.fullName : fn.name,
          };
    if (handler !== undefined) {
      dynamic.add(handler);
      this.core.dispatcher.add(handler);
    } else if (this.core.dispatcher.handlersOf(type).length === 0) {
      throw new ZebusError('invalid-operation', `no handler for ${type.fullName}: give one, or register it`, {
        messageType: type.fullName,
      });
    }
    if (this.current === 'created' || this.current === 'stopped') return this.subscribeBeforeStart(type, list, handler);
    try {
      return await this.subscribeNow(type, list, handler);
    } catch (error) {
      if (handler !== undefined) this.core.dispatcher.remove(handler);
      throw error;
    }
  }

  private subscribeBeforeStart(
    type: AnyMessageType,
    keys: readonly BindingKey[],
    handler: Registration | undefined,
  ): Subscription {
    const entries = keys.map((key) => ({ type, key }));
    this.beforeStart.push(...entries);
    return {
      unsubscribe: async () => {
        // A stop has forgotten them, another call has taken them.
        const mine = entries.splice(0).filter((entry) => this.beforeStart.includes(entry));
        if (mine.length === 0) return;
        for (const entry of mine) this.beforeStart.splice(this.beforeStart.indexOf(entry), 1);
        if (handler !== undefined) this.core.dispatcher.remove(handler);
        if (this.current === 'started') await this.unsubscribeNow(type, keys);
      },
    };
  }

  private async subscribeNow(
    type: AnyMessageType,
    keys: readonly BindingKey[],
    handler: Registration | undefined,
  ): Promise<Subscription> {
    const { epoch } = this.subscriptions;
    const fresh = keys.filter((key) => this.subscriptions.increment(type.fullName, key));
    if (fresh.length > 0) {
      try {
        await this.subscriptions.announce(type.fullName);
      } catch (error) {
        for (const key of keys) this.subscriptions.decrement(type.fullName, key);
        throw error;
      }
    }
    let active = true;
    return {
      unsubscribe: async () => {
        if (!active || this.subscriptions.epoch !== epoch) return;
        active = false;
        if (handler !== undefined) this.core.dispatcher.remove(handler);
        await this.unsubscribeNow(type, keys);
      },
    };
  }

  private async unsubscribeNow(type: AnyMessageType, keys: readonly BindingKey[]): Promise<void> {
    const gone = keys.filter((key) => this.subscriptions.decrement(type.fullName, key));
    if (gone.length > 0) await this.subscriptions.announce(type.fullName);
  }

  private async updateKeys(types: readonly KeysOfType[]): Promise<void> {
    const timestamp = this.core.clock.next();
    await this.registrar.updateKeys(this.descriptor(), types, timestamp);
    this.core.directory.keysUpdated(this.core.peerId.value, types, timestamp);
  }

  peers(): PeerDescriptor[] {
    return this.core.directory.all().map((peer) => peer.descriptor());
  }

  peersHandling(message: unknown): Peer[] {
    return this.outbound.lookup(requireType(message), message).map((peer) => peer.descriptor());
  }

  stats(): BusStats {
    const { core } = this;
    return {
      types: Object.fromEntries([...core.types].map(([name, stats]) => [name, { ...stats }])),
      queues: core.dispatcher.queueLengths(),
      pendingCommands: core.pending.size,
      ...core.counters,
      transport: core.transport.stats(),
    };
  }
}

/** Handlers given to `subscribe`: they end with the run of the bus. */
const dynamic = new WeakSet<Registration>();
