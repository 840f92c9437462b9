import { lookup } from 'node:dns/promises';
import { hostname, networkInterfaces } from 'node:os';
import type * as Zmq from 'zeromq';
import { ZebusError } from '../errors.js';
import { type ZmqSettings, type ZmqTransportConfiguration, zmqSettings } from './configuration.js';
import { parseEndpoint } from './endpoint.js';
import type { Destination, Transport, TransportEvents, TransportStats } from './transport.js';
import { ZMQ_DEFAULTS, type ZmqOptions, type ZmqSocketOptions } from './zmq-options.js';
import { PeerSocket } from './zmq-socket.js';

let loading: Promise<{ zmq: typeof Zmq; context: Zmq.Context }> | undefined;

/** The binding, loaded on first use, and one context for all transports of the process. */
function loadZmq(): Promise<{ zmq: typeof Zmq; context: Zmq.Context }> {
  loading ??= (async () => {
    try {
      const loaded = (await import('zeromq')) as typeof Zmq & { default?: typeof Zmq };
      const zmq = loaded.default ?? loaded;
      return { zmq, context: new zmq.Context({ maxSockets: 8192 }) };
    } catch (cause) {
      loading = undefined;
      throw new ZebusError(
        'transport-unavailable',
        'ZmqTransport needs the optional package "zeromq": install it with `npm install zeromq@6`',
        { cause },
      );
    }
  })();
  return loading;
}

/** ZeroMQ over TCP: one PULL socket bound here, one PUSH socket per target (71 §4). */
export class ZmqTransport implements Transport {
  private readonly settings: ZmqSettings;
  private readonly options: ZmqOptions;
  private readonly sockets = new Map<string, PeerSocket>();
  private readonly unreachable = new Map<string, { endpoint: string; until: number }>();
  private readonly counters = { framesSent: 0, framesDropped: 0, framesReceived: 0, framesRejected: 0 };
  private uses = 0;
  private loaded: { zmq: typeof Zmq; context: Zmq.Context } | undefined;
  private pull: Zmq.Pull | undefined;
  private events: TransportEvents | undefined;
  private reading: Promise<void> | undefined;

  /** Throws `configuration` for an invalid endpoint or duration. */
  constructor(configuration: Partial<ZmqTransportConfiguration> = {}, options: ZmqSocketOptions = {}) {
    this.settings = zmqSettings(configuration);
    this.options = { ...ZMQ_DEFAULTS, ...options };
    parseEndpoint(this.settings.inboundEndpoint);
  }

  get endOfStreamTimeoutMs(): number {
    return this.settings.waitForEndOfStreamAckTimeout;
  }

  async start(local: { peerId: string; maxMessageBytes: number }, events: TransportEvents): Promise<string> {
    if (this.pull !== undefined) throw new ZebusError('invalid-operation', 'the transport already serves a bus');
    const loaded = await loadZmq();
    const { zmq, context } = loaded;
    const { host, port } = parseEndpoint(this.settings.inboundEndpoint);
    const pull = new zmq.Pull({
      context,
      linger: 0,
      receiveHighWaterMark: this.options.receiveHighWaterMark,
      tcpKeepalive: 1,
      tcpKeepaliveIdle: this.options.keepAliveIdle,
      tcpKeepaliveInterval: this.options.keepAliveInterval,
    });
    try {
      await pull.bind(`tcp://*:${port}`);
    } catch (cause) {
      pull.close();
      throw new ZebusError('transport', `cannot bind ${this.settings.inboundEndpoint}: ${(cause as Error).message}`, {
        cause,
      });
    }
    const bound = /:(\d+)$/.exec(pull.lastEndpoint ?? '')?.[1];
    const advertised = this.settings.advertisedHost ?? (host === '*' || host === '0.0.0.0' ? await ownHost() : host);
    this.loaded = loaded;
    this.pull = pull;
    this.events = events;
    this.reading = this.read(pull, events, local.maxMessageBytes);
    return `tcp://${advertised}:${bound}`;
  }

  private async read(pull: Zmq.Pull, events: TransportEvents, maxBytes: number): Promise<void> {
    for (;;) {
      let parts: Buffer[];
      try {
        parts = (await pull.receive()) as Buffer[];
      } catch (cause) {
        if (pull.closed || this.pull !== pull) return;
        events.error(new ZebusError('transport', `receive failed: ${(cause as Error).message}`, { cause }));
        await new Promise((resolve) => setTimeout(resolve, 10));
        continue;
      }
      const frame = parts[0];
      if (parts.length !== 1 || frame === undefined) {
        this.counters.framesRejected++;
        events.error(new ZebusError('transport', `dropped a message of ${parts.length} parts, expected one`));
        continue;
      }
      if (frame.length > maxBytes) {
        this.counters.framesRejected++;
        events.error(
          new ZebusError('too-large', `dropped a message of ${frame.length} bytes, the limit is ${maxBytes}`),
        );
        continue;
      }
      this.counters.framesReceived++;
      const hold = events.frame(frame);
      if (hold !== undefined) await hold;
    }
  }

  send(to: Destination, frame: Buffer, quiet = false): Promise<void> | undefined {
    let socket = this.sockets.get(to.id);
    if (socket !== undefined && socket.endpoint !== to.endpoint) {
      socket.close();
      this.sockets.delete(to.id);
      socket = undefined;
    }
    if (socket === undefined) {
      try {
        socket = this.connect(to);
      } catch (error) {
        this.counters.framesDropped++;
        if (!quiet) return Promise.reject(error);
        this.events?.dropped(error as ZebusError);
        return undefined;
      }
    }
    socket.lastUse = ++this.uses;
    return socket.send(frame, quiet);
  }

  private connect(to: Destination): PeerSocket {
    const { loaded, events } = this;
    if (loaded === undefined || events === undefined) {
      throw new ZebusError('not-running', 'the transport is not running', { peer: to.id });
    }
    const failure = this.unreachable.get(to.id);
    if (failure !== undefined && failure.endpoint === to.endpoint && Date.now() < failure.until) {
      throw new ZebusError('transport', `peer ${to.id} [${to.endpoint}] is closed after a failed connect`, {
        peer: to.id,
      });
    }
    if (this.sockets.size >= this.options.maxSockets) this.closeIdlest();
    try {
      const socket = new PeerSocket(loaded.zmq, loaded.context, to, this.options, this.counters, events);
      this.sockets.set(to.id, socket);
      this.unreachable.delete(to.id);
      return socket;
    } catch (error) {
      if (this.unreachable.size > 10_000) this.unreachable.clear();
      const until = Date.now() + this.options.closedAfterConnectFailure;
      this.unreachable.set(to.id, { endpoint: to.endpoint, until });
      throw error;
    }
  }

  /** Makes room: anyone may ask for an answer to a new address, and that must not shut out the others. */
  private closeIdlest(): void {
    let idlest: PeerSocket | undefined;
    for (const socket of this.sockets.values()) {
      if (idlest === undefined || socket.lastUse < idlest.lastUse) idlest = socket;
    }
    if (idlest !== undefined) this.disconnect(idlest.id);
  }

  connected(): string[] {
    return [...this.sockets.values()].filter((socket) => !socket.isClosed).map((socket) => socket.id);
  }

  disconnect(id: string, discard = false): void {
    this.sockets.get(id)?.close(discard ? 0 : undefined);
    this.sockets.delete(id);
    this.unreachable.delete(id);
  }

  stats(): TransportStats {
    let closedPeers = 0;
    for (const socket of this.sockets.values()) if (socket.isClosed) closedPeers++;
    return { connections: this.sockets.size, closedPeers, ...this.counters };
  }

  async stop(): Promise<void> {
    const { pull } = this;
    this.pull = undefined;
    for (const socket of this.sockets.values()) socket.close(0);
    this.sockets.clear();
    this.unreachable.clear();
    pull?.close();
    await this.reading;
    this.events = undefined;
  }
}

/** A name of this machine that others can resolve, else one of its addresses; never `localhost`. */
async function ownHost(): Promise<string> {
  const name = hostname();
  if (/^[0-9a-z_.-]+$/i.test(name) && name !== 'localhost') {
    try {
      await lookup(name, { family: 4 });
      return name;
    } catch {
      // Not even this machine can resolve its name: an address is what others can use.
    }
  }
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { family, internal, address } of addresses ?? []) if (family === 'IPv4' && !internal) return address;
  }
  return '127.0.0.1';
}
