/** The listening side: handshakes, health, and draining (90 §4.2, §7). */
import {
  constants,
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { MarketrixError } from '../errors.js';
import type { Counters } from './counters.js';
import { frames } from './envelope.js';
import {
  type Agreement,
  CONNECTION_WINDOW,
  HEALTH_PATH,
  HTTP2_SETTINGS,
  type Refusal,
  readRequest,
  refusal,
  responseHeaders,
  type StreamUse,
} from './handshake.js';
import { keepAlive } from './keepalive.js';
import type { Settings } from './options.js';
import { FramePipe } from './pipe.js';
import type { Health } from './types.js';

const MAX_CONNECTIONS = 10_000;
/** What a refused caller should wait before it asks again. */
const RETRY_AFTER_MS = 1000;

/** A stream that somebody opened. */
export interface Accepted {
  readonly pipe: FramePipe;
  readonly agreement: Agreement;
  readonly use: StreamUse | undefined;
}

/** What `GET /mesh/v1/health` tells. */
export interface HealthReport {
  readonly status: Health;
  readonly service: string;
  readonly instance: string;
  readonly uptimeMs: number;
  readonly inflight: number;
}

export class MeshServer {
  readonly #settings: Settings;
  readonly #counters: Counters;
  readonly #server: Http2Server | Http2SecureServer;
  readonly #report: () => HealthReport;
  readonly #onStream: (accepted: Accepted) => void;
  /** Open streams by connection. */
  readonly #sessions = new Map<ServerHttp2Session, number>();
  readonly #pipes = new Map<FramePipe, Accepted>();
  #draining = false;

  constructor(
    settings: Settings,
    counters: Counters,
    report: () => HealthReport,
    onStream: (accepted: Accepted) => void,
  ) {
    this.#settings = settings;
    this.#counters = counters;
    this.#report = report;
    this.#onStream = onStream;
    const options = { settings: HTTP2_SETTINGS, maxSessionMemory: 1024 };
    const { tls } = settings;
    this.#server = tls
      ? createSecureServer({ ...options, key: tls.key, cert: tls.cert, allowHTTP1: false })
      : createServer(options);
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.on('session', (session) => this.#session(session));
    this.#server.on('sessionError', () => {}); // the session's own 'close' is what counts
    if (tls) this.#server.on('tlsClientError', () => {});
    this.#server.on('stream', (stream, headers) => this.#stream(stream, headers));
  }

  get connections(): number {
    return this.#sessions.size;
  }

  /** Resolves with the port. @throws MarketrixError `connect` when it cannot be had. */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', (error) =>
        reject(new MarketrixError('connect', `cannot listen on ${host}:${port}: ${error.message}`, { cause: error })),
      );
      this.#server.listen(port, host, () => {
        const address = this.#server.address();
        this.#server.on('error', () => {});
        resolve(typeof address === 'object' && address ? address.port : port);
      });
    });
  }

  /** Refuses new streams, and tells everybody who is connected. */
  drain(): void {
    this.#draining = true;
    for (const [pipe, { agreement }] of this.#pipes) {
      if (agreement.envelope && !pipe.outbox.ended) pipe.outbox.trySend(frames.bye('leaving'));
    }
    for (const session of this.#sessions.keys()) if (!session.destroyed) session.goaway(constants.NGHTTP2_NO_ERROR);
  }

  /** Half-closes streams of messages, so that the other side sees an end and not a break. */
  async endStreams(): Promise<void> {
    const streams = [...this.#pipes.values()].filter(({ use }) => use === 'stream');
    await Promise.allSettled(streams.map(({ pipe }) => pipe.outbox.end()));
  }

  /** Closes everything. */
  close(): Promise<void> {
    const left = new MarketrixError('closed', 'the peer has left');
    for (const pipe of this.#pipes.keys()) pipe.close(left);
    for (const session of this.#sessions.keys()) session.destroy();
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  #session(session: ServerHttp2Session): void {
    this.#sessions.set(session, 0);
    session.on('error', () => {}); // 'close' follows
    session.once('close', () => this.#sessions.delete(session));
    session.setLocalWindowSize(CONNECTION_WINDOW);
    keepAlive(session, this.#settings, () => {
      this.#counters.connectionsLost += 1;
    });
    if (this.#draining) session.goaway(constants.NGHTTP2_NO_ERROR);
  }

  #stream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    stream.on('error', () => {}); // 'close' follows
    if (headers[constants.HTTP2_HEADER_PATH] === HEALTH_PATH && headers[constants.HTTP2_HEADER_METHOD] === 'GET') {
      this.#health(stream);
      return;
    }
    const { session } = stream;
    const open = (session && this.#sessions.get(session as ServerHttp2Session)) ?? 0;
    const refused = refusal(headers, this.#settings) ?? this.#busy(open);
    if (refused) {
      refuse(stream, refused);
      return;
    }
    if (session) {
      const key = session as ServerHttp2Session;
      this.#sessions.set(key, open + 1);
      stream.once('close', () => {
        const left = this.#sessions.get(key);
        if (left !== undefined) this.#sessions.set(key, left - 1);
      });
    }
    this.#accept(stream, headers);
  }

  #accept(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const { use, ...agreement } = readRequest(headers, this.#settings);
    const { maxFrameBytes, maxQueuedBytes } = this.#settings;
    const { remote, endian, envelope } = agreement;
    // Headers go out before the other side has ended, else both would wait.
    stream.respond(responseHeaders(this.#settings, envelope));
    const pipe = new FramePipe(stream, {
      remote,
      endian,
      envelope,
      maxFrameBytes,
      maxQueuedBytes,
      counters: this.#counters,
    });
    pipe.outbox.limitFrames(agreement.maxFrameBytes);
    const accepted = { pipe, agreement, use };
    this.#pipes.set(pipe, accepted);
    const forget = () => this.#pipes.delete(pipe);
    pipe.closed.then(forget, forget);
    pipe.start();
    this.#onStream(accepted);
  }

  #busy(open: number): Refusal | undefined {
    if (this.#draining) return { status: 503, code: 'draining', message: 'this peer is leaving' };
    if (open < this.#settings.maxInflight) return undefined;
    return { status: 503, code: 'overloaded', message: `${open} streams are open` };
  }

  #health(stream: ServerHttp2Stream): void {
    const report = this.#report();
    const status = report.status === 'down' || this.#draining ? 503 : 200;
    stream.respond({ ':status': status, 'content-type': 'application/json' });
    stream.end(JSON.stringify(report));
    stream.resume();
  }
}

function refuse(stream: ServerHttp2Stream, { status, code, message }: Refusal): void {
  stream.respond({
    ':status': status,
    'content-type': 'application/json',
    ...(status === 426 ? { 'x-mesh-version': '1' } : {}),
    ...(status === 503 ? { 'retry-after-ms': String(RETRY_AFTER_MS) } : {}),
  });
  stream.end(JSON.stringify({ error: { code, message } }));
  stream.resume();
}
