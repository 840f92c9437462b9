import type * as Zmq from 'zeromq';
import { ZebusError } from '../errors.js';
import { BoundedQueue } from '../flow/index.js';

/** Options of the ZeroMQ sockets. Times in milliseconds unless said otherwise. */
export interface ZmqSocketOptions {
  /** Messages that ZeroMQ keeps per peer. Default 20 000. */
  sendHighWaterMark?: number;
  /** How long a send may wait at that mark. Default 200. */
  sendTimeout?: number;
  /** Messages that ZeroMQ keeps on the receiving side. Default 40 000. */
  receiveHighWaterMark?: number;
  /** TCP keep-alive: seconds of silence before the first probe, and between probes. Default 30 and 3. */
  keepAliveIdle?: number;
  keepAliveInterval?: number;
  /** Failed sends in a row, after the first, until the peer is closed for a while. Default 2. */
  retriesBeforeClosed?: number;
  /** How long it stays closed after failed sends (default 15 000), and after a failed connect (default 120 000). */
  closedAfterSendFailure?: number;
  closedAfterConnectFailure?: number;
  /** Most peers connected at once. Default 2048. */
  maxSockets?: number;
  /** Frames that wait here for a socket at its mark, per peer. Default 10 000. */
  maxWaitingFrames?: number;
}

/** The options with their defaults. */
export type ZmqOptions = Required<ZmqSocketOptions>;

export const ZMQ_DEFAULTS: ZmqOptions = {
  sendHighWaterMark: 20_000,
  sendTimeout: 200,
  receiveHighWaterMark: 40_000,
  keepAliveIdle: 30,
  keepAliveInterval: 3,
  retriesBeforeClosed: 2,
  closedAfterSendFailure: 15_000,
  closedAfterConnectFailure: 120_000,
  maxSockets: 2048,
  maxWaitingFrames: 10_000,
};

/** How long a socket that is given up may still deliver what it holds. */
const LINGER_MS = 1000;

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
  private readonly onClosed: (error: ZebusError) => void;
  private readonly socket: Zmq.Push;
  private readonly waiting: BoundedQueue<Waiting>;
  private last: Promise<void> | undefined;
  private pumping = false;
  private failures = 0;
  private closedUntil = 0;
  private ended = false;

  constructor(
    zmq: typeof Zmq,
    context: Zmq.Context,
    to: { id: string; endpoint: string },
    options: ZmqOptions,
    counters: SendCounters,
    onClosed: (error: ZebusError) => void,
  ) {
    this.id = to.id;
    this.endpoint = to.endpoint;
    this.options = options;
    this.counters = counters;
    this.onClosed = onClosed;
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
      this.socket.connect(to.endpoint.replace(/\/$/, ''));
    } catch (cause) {
      this.socket.close();
      throw new ZebusError('transport', `cannot connect to ${to.id} [${to.endpoint}]: ${(cause as Error).message}`, {
        peer: to.id,
        cause,
      });
    }
  }

  /** Whether sends are refused for now because earlier ones failed. */
  get isClosed(): boolean {
    return this.closedUntil > 0 && Date.now() < this.closedUntil;
  }

  send(frame: Buffer): Promise<void> {
    if (this.closedUntil > 0) {
      if (Date.now() < this.closedUntil) return this.refuse('is closed after failed sends');
      this.closedUntil = 0;
      this.failures = 0;
    }
    if (!this.pumping) {
      try {
        const sent = this.socket.send(frame);
        this.last = sent;
        return sent.then(this.sent, this.failed);
      } catch (error) {
        // EBUSY: the send before this one waits for room.
        if ((error as { code?: string }).code !== 'EBUSY' || this.last === undefined) {
          return this.refuse((error as Error).message);
        }
        this.pumping = true;
        this.last.then(this.pump, this.pump);
      }
    }
    return new Promise((resolve, reject) => {
      if (!this.waiting.tryPush({ frame, resolve, reject })) {
        this.refuse(`does not keep up: ${this.options.maxWaitingFrames} frames wait for it`).catch(reject);
      }
    });
  }

  private refuse(why: string): Promise<never> {
    this.counters.framesDropped++;
    return Promise.reject(new ZebusError('transport', `peer ${this.id} [${this.endpoint}] ${why}`, { peer: this.id }));
  }

  private readonly sent = (): void => {
    this.counters.framesSent++;
    this.failures = 0;
  };

  private readonly failed = (cause: unknown): never => {
    this.counters.framesDropped++;
    this.failures++;
    const slow = (cause as { code?: string }).code === 'EAGAIN';
    const why = slow ? `did not take a message within ${this.options.sendTimeout}ms` : (cause as Error).message;
    const error = new ZebusError('transport', `peer ${this.id} [${this.endpoint}] ${why}`, { peer: this.id, cause });
    if (!this.ended && this.failures > this.options.retriesBeforeClosed && this.closedUntil === 0) {
      this.closedUntil = Date.now() + this.options.closedAfterSendFailure;
      this.onClosed(
        new ZebusError(
          'transport',
          `peer ${this.id} [${this.endpoint}] is closed for ${this.options.closedAfterSendFailure}ms after ${this.failures} failed sends; messages to it are dropped`,
          { peer: this.id, cause: error },
        ),
      );
      this.dropWaiting('is closed after failed sends');
    }
    throw error;
  };

  private readonly pump = async (): Promise<void> => {
    for (let next = this.waiting.tryShift(); next !== undefined; next = this.waiting.tryShift()) {
      try {
        await this.socket.send(next.frame).then(this.sent, this.failed);
        next.resolve();
      } catch (error) {
        next.reject(error as ZebusError);
      }
    }
    this.pumping = false;
  };

  private dropWaiting(why: string): void {
    for (const each of this.waiting.drain()) this.refuse(why).catch(each.reject);
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
