import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type * as Zmq from 'zeromq';
import { ZebusError } from '../errors.js';
import { BoundedQueue } from '../flow/index.js';
import { parseEndpoint } from './endpoint.js';
import type { TransportEvents } from './transport.js';
import type { ZmqOptions } from './zmq-options.js';

/** How long a socket that is given up may still deliver what it holds. */
const LINGER_MS = 400;

interface Waiting {
  readonly frame: Buffer;
  readonly resolve: () => void;
  readonly reject: (reason: ZebusError) => void;
}

/** Counters that the sockets of a transport share. */
export interface SendCounters {
  framesSent: number;
  framesDropped: number;
}

/**
 * One PUSH socket to one peer. Frames leave in call order; ZeroMQ allows one send at a time, so what comes while a
 * send waits is queued here, bounded.
 */
export class PeerSocket {
  readonly id: string;
  readonly endpoint: string;
  private readonly options: ZmqOptions;
  private readonly counters: SendCounters;
  private readonly events: Pick<TransportEvents, 'error' | 'dropped'>;
  private readonly socket: Zmq.Push;
  private readonly waiting: BoundedQueue<Waiting>;
  private last: Promise<void> | undefined;
  private pumping = false;
  private failures = 0;
  private closedUntil = 0;
  private ended = false;
  private connected = false;
  private readonly host: string;
  private readonly port: number | '*';
  /** Order of last use among the sockets of a transport. */
  lastUse = 0;

  constructor(
    zmq: typeof Zmq,
    context: Zmq.Context,
    to: { id: string; endpoint: string },
    options: ZmqOptions,
    counters: SendCounters,
    events: Pick<TransportEvents, 'error' | 'dropped'>,
  ) {
    this.id = to.id;
    this.endpoint = to.endpoint;
    this.options = options;
    this.counters = counters;
    this.events = events;
    this.waiting = new BoundedQueue<Waiting>({ capacity: options.maxWaitingFrames });
    this.socket = new zmq.Push({
      context,
      linger: LINGER_MS,
      sendHighWaterMark: options.sendHighWaterMark,
      sendTimeout: options.sendTimeout,
      tcpKeepalive: 1,
      tcpKeepaliveIdle: options.keepAliveIdle,
      tcpKeepaliveInterval: options.keepAliveInterval,
      reconnectMaxInterval: 2000,
    });
    try {
      const { host, port } = parseEndpoint(to.endpoint);
      this.host = host;
      this.port = port;
      if (isIP(host) !== 0) this.connect(host);
      else this.resolve();
    } catch (cause) {
      this.socket.close();
      throw new ZebusError('transport', `cannot connect to ${to.id} [${to.endpoint}]: ${(cause as Error).message}`, {
        peer: to.id,
        cause,
      });
    }
  }

  private connect(address: string): void {
    this.socket.connect(`tcp://${address}:${this.port}`);
    this.connected = true;
  }

  /** Names are resolved here: ZeroMQ would do it in its I/O thread, and one bad name would hold up every socket. */
  private resolve(): void {
    this.pumping = true;
    lookup(this.host, { family: 4 }).then(
      ({ address }) => {
        if (this.ended) return;
        this.connect(address);
        void this.pump();
      },
      (cause: Error) => {
        if (this.ended) return;
        this.pumping = false;
        this.closeFor(this.options.closedAfterConnectFailure, `after a failed connect: ${cause.message}`, cause);
      },
    );
  }

  private closeFor(durationMs: number, why: string, cause: unknown): void {
    this.closedUntil = Date.now() + durationMs;
    const text = `is closed for ${durationMs}ms ${why}; messages to it are dropped`;
    this.events.error(
      new ZebusError('transport', `peer ${this.id} [${this.endpoint}] ${text}`, { peer: this.id, cause }),
    );
    this.dropWaiting(`is closed ${why}`);
  }

  /** Whether sends are refused for now because earlier ones failed. */
  get isClosed(): boolean {
    return this.closedUntil > 0 && Date.now() < this.closedUntil;
  }

  /** Hands a frame over. With `quiet` nothing rejects, and a promise comes only when frames before this one wait. */
  send(frame: Buffer, quiet: boolean): Promise<void> | undefined {
    if (this.closedUntil > 0) {
      if (Date.now() < this.closedUntil) return this.refuse('is closed after failures', quiet);
      this.closedUntil = 0;
      this.failures = 0;
      if (!this.connected) this.resolve();
    }
    if (!this.pumping) {
      try {
        const sent = this.socket.send(frame);
        this.last = sent;
        this.counters.framesSent++;
        const settled = sent.then(this.failures > 0 ? this.sent : undefined, quiet ? this.failedQuietly : this.failed);
        return quiet ? undefined : settled;
      } catch (error) {
        // EBUSY: the send before this one waits for room.
        if ((error as { code?: string }).code !== 'EBUSY' || this.last === undefined) {
          return this.refuse((error as Error).message, quiet);
        }
        this.pumping = true;
        this.last.then(this.pump, this.pump);
      }
    }
    return new Promise((resolve, reject) => {
      const waiting = { frame, resolve, reject: quiet ? this.quietly(resolve) : reject };
      if (!this.waiting.tryPush(waiting)) {
        waiting.reject(this.refusal(`does not keep up: ${this.options.maxWaitingFrames} frames wait for it`));
      }
    });
  }

  private quietly(resolve: () => void): (error: ZebusError) => void {
    return (error) => {
      this.events.dropped(error);
      resolve();
    };
  }

  private refusal(why: string): ZebusError {
    this.counters.framesDropped++;
    return new ZebusError('transport', `peer ${this.id} [${this.endpoint}] ${why}`, { peer: this.id });
  }

  private refuse(why: string, quiet: boolean): Promise<void> {
    const error = this.refusal(why);
    if (!quiet) return Promise.reject(error);
    this.events.dropped(error);
    return Promise.resolve();
  }

  private readonly sent = (): void => {
    this.failures = 0;
  };

  private readonly failed = (cause: unknown): never => {
    throw this.failure(cause);
  };

  private readonly failedQuietly = (cause: unknown): void => {
    this.events.dropped(this.failure(cause));
  };

  private failure(cause: unknown): ZebusError {
    this.counters.framesSent--;
    this.counters.framesDropped++;
    this.failures++;
    const slow = (cause as { code?: string }).code === 'EAGAIN';
    const why = slow ? `did not take a message within ${this.options.sendTimeout}ms` : (cause as Error).message;
    const error = new ZebusError('transport', `peer ${this.id} [${this.endpoint}] ${why}`, { peer: this.id, cause });
    if (!this.ended && this.failures > this.options.retriesBeforeClosed && this.closedUntil === 0) {
      this.closeFor(this.options.closedAfterSendFailure, `after ${this.failures} failed sends`, error);
    }
    return error;
  }

  private readonly pump = async (): Promise<void> => {
    for (let next = this.waiting.tryShift(); next !== undefined; next = this.waiting.tryShift()) {
      try {
        this.counters.framesSent++;
        await this.socket.send(next.frame).then(this.sent, this.failed);
        next.resolve();
      } catch (error) {
        next.reject(error as ZebusError);
      }
    }
    this.pumping = false;
  };

  private dropWaiting(why: string): void {
    for (const each of this.waiting.drain()) each.reject(this.refusal(why));
  }

  /** Closes the socket; what it holds may still leave for `lingerMs`. */
  close(lingerMs = LINGER_MS): void {
    if (this.ended) return;
    this.ended = true;
    this.dropWaiting('was disconnected');
    this.socket.linger = lingerMs;
    this.socket.close();
  }
}
