/** A peer: its parts put together. */
import { MarketrixError } from '../errors.js';
import { delay } from '../flow/index.js';
import { Caller } from './calls.js';
import { Connections } from './connections.js';
import { Counters } from './counters.js';
import { DataAccess } from './data-access.js';
import { Directory } from './directory.js';
import { asFrame } from './envelope.js';
import { Events } from './events.js';
import { PATH } from './handshake.js';
import { watchLag } from './lag.js';
import type { DiscoveryLayout } from './layout.js';
import { checkName, checkOptions, type Settings } from './options.js';
import { PipeStream } from './peer-stream.js';
import { Presence } from './presence.js';
import { RedisLink } from './redis.js';
import { CallServer } from './serve.js';
import { type Accepted, MeshServer } from './server.js';
import type {
  CallContext,
  CallOptions,
  ConnectOptions,
  Handler,
  Health,
  MeshOptions,
  PeerChange,
  PeerRecord,
  PeerRef,
  PeerStats,
  PeerStream,
} from './types.js';

type ConnectionHandler = (stream: PeerStream) => unknown;

/** Time for the news that a peer leaves to reach the others. */
const HEARSAY_MS = 20;
/** Time that streams of messages have to be ended in order. */
const END_MS = 200;
/** Streams that may wait for the first `onConnection`. */
const MAX_UNCLAIMED = 1024;

/**
 * A member of the mesh: found by its service name through Redis, spoken to directly over HTTP/2.
 *
 * ```ts
 * const mesh = await MeshPeer.join({ service: 'greeter' });
 * mesh.handle('greet', (name: string) => `Hello ${name}`);
 * await mesh.call('greeter', 'greet', 'world'); // 'Hello world'
 * await mesh.leave();
 * ```
 */
export class MeshPeer {
  /** Name of this peer's own service. */
  readonly serviceName: string;
  /** Name of this instance. */
  readonly instance: string;
  /** Port that this peer listens on, or null when it only dials. */
  readonly port: number | null;
  /** Values that all peers share. */
  readonly data: DataAccess;

  readonly #parts: Parts;
  readonly #connectionHandlers = new Set<ConnectionHandler>();
  #unclaimed: PeerStream[] = [];
  #leaving: Promise<void> | undefined;

  private constructor(parts: Parts, port: number | null) {
    const { settings, redis, layout } = parts;
    this.serviceName = settings.service;
    this.instance = settings.instance;
    this.port = port;
    this.#parts = parts;
    this.data = new DataAccess(redis, layout, settings);
  }

  /**
   * Joins the mesh: listening and registered when resolved.
   *
   * @throws MarketrixError `invalid-options`, `discovery`, `duplicate-instance`, `connect` (the port is taken).
   */
  static async join(options: MeshOptions): Promise<MeshPeer> {
    const settings = checkOptions(options);
    let peer: MeshPeer | undefined;
    const parts = createParts(settings, (accepted) => {
      if (peer) peer.#accepted(accepted);
      else accepted.pipe.close();
    });
    try {
      const { listen } = settings;
      const port = listen && parts.server ? await parts.server.listen(listen.host, listen.port) : null;
      if (listen && port !== null) parts.presence = createPresence(parts, listen.advertiseHost, port);
      parts.events = new Events({ ...parts, presence: parts.presence });
      peer = new MeshPeer(parts, port);
      if (parts.presence) await parts.presence.join();
      else await parts.redis.run('join', (client) => client.ping());
    } catch (error) {
      await parts.server?.close();
      parts.connections.close();
      parts.directory.close();
      parts.redis.close();
      throw error;
    }
    parts.stopLag = watchLag((late) => {
      parts.late = late;
      void parts.presence?.setHealth(healthOf(parts), late ? 'event loop is late' : parts.reason).catch(() => {});
    });
    for (const service of settings.keepConnected) void parts.connections.keep(service);
    return peer;
  }

  /** Live instances of a service, ordered by name. @throws MarketrixError `discovery`. */
  async instances(service: string): Promise<PeerRecord[]> {
    this.#check();
    return [...(await this.#parts.directory.instances(checkName('service', service)))];
  }

  /** Live instances as `up`, then every change. Ends when the loop is left or the peer leaves. */
  watch(service: string): AsyncIterableIterator<PeerChange, undefined> {
    this.#check();
    return this.#parts.directory.watch(checkName('service', service)) as AsyncIterableIterator<PeerChange, undefined>;
  }

  /**
   * Opens a stream of messages to an instance of the service.
   *
   * @throws MarketrixError `no-instance`, `unavailable`, `connect`, `rejected`, `overloaded`, `discovery`; the
   * signal's reason.
   */
  async connect(service: string, { instance, key, signal }: ConnectOptions = {}): Promise<PeerStream> {
    this.#check();
    const target = { instance, key, signal };
    const opening = this.#parts.connections.open(checkName('service', service), 'stream', target, new Set(), true);
    const { pipe, agreement } = await opening;
    const abort = () => pipe.close(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
    if (signal?.aborted) abort();
    else if (signal) {
      signal.addEventListener('abort', abort, { once: true });
      const forget = () => signal.removeEventListener('abort', abort);
      pipe.closed.then(forget, forget);
    }
    return new PipeStream(pipe, agreement.remote, agreement.envelope);
  }

  /** Calls `fn` with every stream that others open. Streams that came before the first `fn` are handed to it. */
  onConnection(fn: (stream: PeerStream) => void | Promise<void>): () => void {
    this.#check();
    this.#connectionHandlers.add(fn);
    const waiting = this.#unclaimed;
    this.#unclaimed = [];
    for (const stream of waiting) this.#connected(stream, fn);
    return () => this.#connectionHandlers.delete(fn);
  }

  /** Implements a method. Returns a function that takes it back. @throws MarketrixError when it has a handler. */
  handle<I = unknown, O = unknown>(
    method: string,
    fn: (input: I, ctx: CallContext) => O | Promise<O> | AsyncIterable<O>,
  ): () => void {
    this.#check();
    return this.#parts.callServer.handle(method, fn as Handler);
  }

  /**
   * Calls a method and waits for its result. An `AsyncIterable` as input is streamed.
   *
   * @throws MarketrixError: every kind but `conflict` and `duplicate-instance`.
   */
  call<O = unknown>(service: string, method: string, input?: unknown, options: CallOptions = {}): Promise<O> {
    return this.#calling(service).call<O>(service, method, input, options);
  }

  /** Calls a method that gives many results. An `AsyncIterable` as input is streamed. Leaving the loop cancels. */
  stream<I = unknown, O = unknown>(
    service: string,
    method: string,
    input?: AsyncIterable<I> | I,
    options: CallOptions = {},
  ): AsyncIterableIterator<O, undefined> {
    const run = this.#calling(service).stream<O>(service, method, input, options);
    return run as AsyncIterableIterator<O, undefined>;
  }

  /**
   * A service as if it were an object here: every method is a call. The arguments are sent as an array unless there
   * is exactly one.
   */
  service<T extends object>(name: string, options: CallOptions = {}): T {
    const caller = this.#calling(name);
    return new Proxy(Object.create(null) as T, {
      get(_target, method) {
        // An object with `then` would be taken for a promise.
        if (typeof method !== 'string' || method === 'then') return undefined;
        return (...args: unknown[]) => caller.call(name, method, args.length === 1 ? args[0] : args, options);
      },
    });
  }

  /**
   * Sends an event to every live subscriber, directly, at most once. Resolves with the number of subscribers that it
   * was handed to; one whose queue is full misses it.
   */
  async publish(topic: string, data: unknown): Promise<number> {
    this.#check();
    return this.#events().publish(topic, data);
  }

  /**
   * Calls `fn` with each event of the topic, one after the other. Resolves, when publishers can see the subscription,
   * with a function that ends it.
   */
  async subscribe(topic: string, fn: (data: unknown, from: PeerRef) => unknown): Promise<() => Promise<void>> {
    this.#check();
    return this.#events().subscribe(topic, fn);
  }

  /** Counters and states. */
  stats(): PeerStats {
    const { counters, presence, server, connections } = this.#parts;
    return {
      ...counters,
      discovery: this.#leaving ? 'off' : (presence?.state ?? 'off'),
      health: healthOf(this.#parts),
      connectionsOut: connections.count,
      connectionsIn: server?.connections ?? 0,
    };
  }

  /** Publishes how this instance feels: others avoid `degraded` and never choose `down`. */
  async setHealth(health: Health, reason?: string): Promise<void> {
    this.#check();
    if (health !== 'ok' && health !== 'degraded' && health !== 'down') {
      throw new MarketrixError('invalid-options', `health must be ok, degraded or down, got ${String(health)}`);
    }
    this.#parts.health = health;
    this.#parts.reason = reason;
    await this.#parts.presence?.setHealth(healthOf(this.#parts), reason);
  }

  /**
   * Leaves: deregisters, tells everybody connected, waits up to `drainMs` for open calls, closes. Calling it again
   * waits for the same.
   */
  leave(): Promise<void> {
    this.#leaving ??= this.#leave();
    return this.#leaving;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.leave();
  }

  async #leave(): Promise<void> {
    const { presence, server, connections, directory, redis, settings, counters, stopLag } = this.#parts;
    stopLag?.();
    await presence?.leave();
    // Those who watch hear of it first and go elsewhere; what they had sent already is still served.
    if (presence) await delay(Math.min(HEARSAY_MS, settings.drainMs));
    directory.close();
    server?.drain();
    connections.drain();
    const drained = AbortSignal.timeout(settings.drainMs);
    while (!drained.aborted && counters.serving + counters.calling > 0) await delay(5);
    await Promise.race([server?.endStreams(), delay(END_MS, { ref: false })]);
    connections.close();
    await server?.close();
    redis.close();
  }

  #accepted({ pipe, agreement, use }: Accepted): void {
    const { remote, envelope } = agreement;
    const { callServer, counters } = this.#parts;
    const failed = (error: unknown) => {
      counters.protocolErrors += 1;
      pipe.close(error as Error);
    };
    if (use === 'stream') this.#offer(new PipeStream(pipe, remote, envelope));
    else if (use === 'events') void this.#events().receive(pipe, undefined);
    else {
      this.#byFirstFrame(pipe)
        .then((first) => {
          if (!first) {
            pipe.outbox.end().catch(() => {});
          } else if (first.t === 'req') return callServer.serve(pipe, remote, first);
          else if (first.t === 'ev') return this.#events().receive(pipe, first);
          else {
            pipe.inbox.unread(first);
            this.#offer(new PipeStream(pipe, remote, envelope));
          }
          return undefined;
        })
        .catch(failed);
    }
  }

  /** The first frame that tells what a stream is for. */
  async #byFirstFrame(pipe: Accepted['pipe']): Promise<ReturnType<typeof asFrame> | undefined> {
    for (;;) {
      const next = await pipe.inbox.next();
      if (next.done) return undefined;
      const frame = asFrame(next.value);
      if (frame.t === 'req' || frame.t === 'msg' || frame.t === 'ev') return frame;
    }
  }

  #offer(stream: PeerStream): void {
    if (this.#connectionHandlers.size === 0) {
      this.#unclaimed.push(stream);
      if (this.#unclaimed.length > MAX_UNCLAIMED) this.#unclaimed.shift()?.close();
      return;
    }
    for (const fn of this.#connectionHandlers) this.#connected(stream, fn);
  }

  #connected(stream: PeerStream, fn: ConnectionHandler): void {
    const failed = (error: unknown) => {
      this.#parts.counters.callbackErrors += 1;
      stream.close(error instanceof Error ? error : undefined);
    };
    try {
      Promise.resolve(fn(stream)).catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  #calling(service: string): Caller {
    this.#check();
    checkName('service', service);
    if (!this.#parts.settings.envelope) {
      throw new MarketrixError('invalid-options', 'calls need the option `envelope`');
    }
    return this.#parts.caller;
  }

  #events(): Events {
    const { events } = this.#parts;
    if (!events) throw new MarketrixError('closed', 'the peer has not joined');
    return events;
  }

  #check(): void {
    if (this.#leaving) throw new MarketrixError('closed', 'the peer has left');
  }
}

/** What a peer consists of. */
interface Parts {
  readonly settings: Settings;
  readonly counters: Counters;
  readonly redis: RedisLink;
  readonly layout: DiscoveryLayout;
  readonly directory: Directory;
  readonly connections: Connections;
  readonly caller: Caller;
  readonly callServer: CallServer;
  readonly server: MeshServer | undefined;
  presence: Presence | undefined;
  events: Events | undefined;
  stopLag: (() => void) | undefined;
  /** What the application said. */
  health: Health;
  reason: string | undefined;
  /** What the self check says. */
  late: boolean;
}

function healthOf({ health, late }: Parts): Health {
  return health === 'ok' && late ? 'degraded' : health;
}

function createParts(settings: Settings, onStream: (accepted: Accepted) => void): Parts {
  const counters = new Counters();
  const redis = new RedisLink(settings.redis, counters);
  const layout = settings.layout(redis.isCluster);
  const directory = new Directory(redis, layout, settings.ttlMs, counters);
  const connections = new Connections(settings, directory, counters);
  const meshNow = () => redis.now();
  const startedAt = performance.now();
  const { service, instance } = settings;
  const parts: Parts = {
    settings,
    counters,
    redis,
    layout,
    directory,
    connections,
    caller: new Caller(settings, connections, counters, meshNow),
    callServer: new CallServer(counters, meshNow),
    server: settings.listen
      ? new MeshServer(
          settings,
          counters,
          () => ({
            status: healthOf(parts),
            service,
            instance,
            uptimeMs: Math.round(performance.now() - startedAt),
            inflight: counters.serving,
          }),
          onStream,
        )
      : undefined,
    presence: undefined,
    events: undefined,
    stopLag: undefined,
    health: 'ok',
    reason: undefined,
    late: false,
  };
  return parts;
}

function createPresence({ settings, counters, redis, layout }: Parts, host: string, port: number): Presence {
  const { service, instance, ttlMs, heartbeatMs, weight, meta, tls, maxInflight } = settings;
  return new Presence({
    redis,
    layout,
    ttlMs,
    heartbeatMs,
    counters,
    load: () => Math.min(1, counters.serving / maxInflight),
    record: {
      v: 1,
      service,
      instance,
      host,
      port,
      proto: tls ? 'h2' : 'h2c',
      path: PATH,
      lang: 'node',
      weight,
      health: 'ok',
      load: 0,
      startedAt: Date.now(),
      seq: 0,
      meta,
    },
  });
}
