/**
 * One connection to a NATS server. Whole chunks are scanned for frames; a subscription sees each frame where it lies.
 * Nothing is buffered while there is no connection and nothing is sent again by itself: a batch that was cut off must
 * begin anew at its first unconfirmed event, or the order within the stream would be lost.
 */
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { TransportError } from '../transport.js';
import { dial, endpointText, reasonOf } from '../wire/dial.js';
import { type Frame, FrameReader } from './frame.js';
import type { NatsTarget } from './options.js';

/** What the server says about itself. */
export interface ServerInfo {
  readonly version: string;
  readonly headers?: boolean;
  readonly jetstream?: boolean;
  readonly auth_required?: boolean;
  readonly tls_required?: boolean;
  readonly tls_available?: boolean;
  readonly max_payload: number;
  readonly connect_urls?: readonly string[];
}

/** Answer to a request. */
export interface Answer {
  /** Status of a message without payload, for example 503 when nobody serves the subject. */
  readonly status: number | undefined;
  readonly payload: string;
}

const PING = Buffer.from('PING\r\n');
const PONG = Buffer.from('PONG\r\n');

/** An open connection that has logged in. */
export class NatsConnection {
  readonly #socket: Socket;
  readonly #frames = new FrameReader();
  readonly #subscriptions = new Map<number, (frame: Frame) => void>();
  readonly #pongs: { resolve(): void; reject(error: TransportError): void }[] = [];
  readonly #requests = new Map<string, (frame: Frame) => void>();
  readonly #closed = new Set<(error: TransportError) => void>();
  /** Subject under which answers to this connection arrive; never used by another one. */
  readonly inbox: string;
  /** See {@link ServerInfo}. */
  info: ServerInfo;
  #failure: TransportError | undefined;
  #sid = 0;
  #request = 0;
  #busy = 0;

  /**
   * Connects and logs in.
   *
   * @throws TransportError kind `connection`
   */
  static async open(target: NatsTarget, timeoutMs: number, signal: AbortSignal): Promise<NatsConnection> {
    const plain = await dial(target, timeoutMs, signal);
    plain.ref();
    let socket = plain;
    const timer = setTimeout(() => {
      const text = `${endpointText(target)} did not answer within ${timeoutMs} ms`;
      socket.destroy(new TransportError('connection', text));
    }, timeoutMs);
    const abort = () => socket.destroy(new TransportError('shutdown'));
    signal.addEventListener('abort', abort, { once: true });
    try {
      const info = await greeting(plain, target);
      if (target.secure || info.tls_required) socket = await upgrade(plain, target);
      const connection = new NatsConnection(socket, info);
      const { user, password: pass, token } = target;
      const hello = {
        verbose: false,
        pedantic: false,
        tls_required: socket !== plain,
        name: 'meshring',
        lang: 'meshring',
        version: '0.19.0',
        protocol: 1,
        headers: true,
        no_responders: true,
        ...(token === undefined ? {} : { auth_token: token }),
        ...(user === undefined ? {} : { user, pass }),
      };
      connection.write(Buffer.from(`CONNECT ${JSON.stringify(hello)}\r\n`));
      try {
        await connection.ping();
      } catch (error) {
        throw asConnection(error);
      }
      connection.subscribe(`${connection.inbox}.r.*`, (frame) => connection.#answer(frame));
      return connection;
    } catch (error) {
      socket.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    }
  }

  private constructor(socket: Socket, info: ServerInfo) {
    this.#socket = socket;
    this.info = info;
    this.inbox = `_INBOX.${crypto.randomUUID().replaceAll('-', '')}`;
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error) => {
      this.fail(
        error instanceof TransportError ? error : new TransportError('transient', reasonOf(error), { cause: error }),
      );
    });
    socket.on('close', () => this.fail(new TransportError('transient', 'the NATS server closed the connection')));
    socket.resume();
  }

  /** Whether messages can be sent. */
  get open(): boolean {
    return this.#failure === undefined;
  }

  /** Calls back once when the connection ends; at once when it has ended. Returns the function that takes it back. */
  onClose(callback: (error: TransportError) => void): () => void {
    if (this.#failure) callback(this.#failure);
    else this.#closed.add(callback);
    return () => this.#closed.delete(callback);
  }

  /** Something is outstanding: the process stays alive until the function that comes back is called. */
  hold(): () => void {
    if (this.#busy++ === 0) this.#socket.ref();
    let held = true;
    return () => {
      if (held && --this.#busy === 0) this.#socket.unref();
      held = false;
    };
  }

  /** Sends bytes of the protocol; false when the socket is full (then see {@link drained}). */
  write(bytes: Uint8Array): boolean {
    return this.#failure === undefined && this.#socket.write(bytes);
  }

  /** Bytes that the socket has not taken yet. */
  get unsent(): number {
    return this.#socket.writableLength;
  }

  /**
   * Receives what is published to `subject`; the callback runs while the frame lies in the receive buffer. The
   * function that comes back ends it.
   */
  subscribe(subject: string, onFrame: (frame: Frame) => void): () => void {
    this.#sid += 1;
    const sid = this.#sid;
    this.#subscriptions.set(sid, onFrame);
    this.write(Buffer.from(`SUB ${subject} ${sid}\r\n`));
    return () => {
      if (this.#subscriptions.delete(sid)) this.write(Buffer.from(`UNSUB ${sid}\r\n`));
    };
  }

  /**
   * Asks a service.
   *
   * @throws TransportError kind `transient`, text `timeout` after `timeoutMs`
   */
  async request(subject: string, payload: string, timeoutMs: number): Promise<Answer> {
    this.#request += 1;
    const token = `${this.inbox}.r.${this.#request}`;
    const release = this.hold();
    let timer: NodeJS.Timeout | undefined;
    let forget = () => undefined as unknown;
    try {
      return await new Promise<Answer>((resolve, reject) => {
        if (this.#failure) {
          reject(this.#failure);
          return;
        }
        forget = this.onClose(reject);
        timer = setTimeout(() => reject(new TransportError('transient', `timeout of ${subject}`)), timeoutMs);
        this.#requests.set(token, (frame) => resolve({ status: frame.status, payload: frame.payloadText() }));
        this.write(Buffer.from(`PUB ${subject} ${token} ${Buffer.byteLength(payload)}\r\n${payload}\r\n`));
      });
    } finally {
      clearTimeout(timer);
      this.#requests.delete(token);
      forget();
      release();
    }
  }

  /** Resolves when the server has processed everything sent before. */
  ping(): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure);
    const release = this.hold();
    return new Promise<void>((resolve, reject) => {
      this.#pongs.push({ resolve, reject });
      this.write(PING);
    }).finally(release);
  }

  /** Closes at once. */
  close(): void {
    this.fail(new TransportError('shutdown'));
  }

  /** Ends the connection for a reason that everybody waiting learns. */
  fail(error: TransportError): void {
    if (this.#failure) return;
    this.#failure = error;
    this.#socket.removeAllListeners();
    this.#socket.on('error', () => undefined);
    this.#socket.destroy();
    this.#subscriptions.clear();
    for (const { reject } of this.#pongs.splice(0)) reject(error);
    for (const callback of this.#closed) callback(error);
    this.#closed.clear();
  }

  #answer(frame: Frame): void {
    this.#requests.get(frame.subject())?.(frame);
  }

  #receive(chunk: Buffer): void {
    const broken = this.#frames.read(chunk, {
      message: (frame) => this.#subscriptions.get(frame.sid)?.(frame),
      line: (line) => this.#line(line),
    });
    if (broken) this.fail(new TransportError('transient', 'the server does not speak the NATS protocol'));
  }

  #line(line: string): void {
    if (line === 'PING') this.write(PONG);
    else if (line === 'PONG') this.#pongs.shift()?.resolve();
    else if (line.startsWith('INFO ')) this.info = { ...this.info, ...JSON.parse(line.slice(5)) };
    else if (line.startsWith('-ERR')) this.#error(line.slice(4).trim().replace(/^'|'$/g, ''));
  }

  /** The server refused something; most refusals end the connection, a missing permission does not. */
  #error(text: string): void {
    if (/^permissions violation/i.test(text)) {
      for (const listener of this.#refusals) listener(text);
      return;
    }
    const final = /authorization|authentication|account/i.test(text);
    this.fail(new TransportError(final ? 'fatal' : 'transient', text));
  }

  readonly #refusals = new Set<(text: string) => void>();

  /** Calls back for each `Permissions Violation`; returns the function that ends it. */
  onRefusal(listener: (text: string) => void): () => void {
    this.#refusals.add(listener);
    return () => this.#refusals.delete(listener);
  }
}

/** The INFO line with which the server begins. */
function greeting(socket: Socket, target: NatsTarget): Promise<ServerInfo> {
  return new Promise((resolve, reject) => {
    let text = '';
    const done = () => {
      socket.removeListener('data', onData);
      socket.removeListener('error', onError);
      socket.removeListener('close', onClose);
    };
    const onError = (error: Error) => {
      done();
      reject(
        error instanceof TransportError ? error : new TransportError('connection', reasonOf(error), { cause: error }),
      );
    };
    const onClose = () => onError(new Error(`${endpointText(target)} closed the connection`));
    const onData = (chunk: Buffer) => {
      text += chunk.toString('latin1');
      const end = text.indexOf('\r\n');
      if (end < 0 && text.length < 65_536) return;
      done();
      // Nobody reads until the next owner listens; nothing may follow INFO before we answer.
      socket.pause();
      try {
        if (!text.startsWith('INFO ')) throw new Error('no INFO');
        resolve(JSON.parse(Buffer.from(text.slice(5, end), 'latin1').toString()) as ServerInfo);
      } catch (error) {
        const reason = `${endpointText(target)} does not speak the NATS protocol`;
        reject(new TransportError('connection', reason, { cause: error }));
      }
    };
    socket.on('data', onData);
    socket.on('error', onError);
    socket.on('close', onClose);
  });
}

function upgrade(socket: Socket, target: NatsTarget): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const address = /^[\d.]+$|:/.test(target.host);
    const secure = connectTls({ socket, ...(address ? {} : { servername: target.host }) });
    const fail = (error: Error) => {
      secure.destroy();
      reject(new TransportError('connection', reasonOf(error), { cause: error }));
    };
    secure.once('error', fail);
    secure.once('close', () => fail(new Error('the server closed the connection during the TLS handshake')));
    secure.once('secureConnect', () => {
      secure.removeAllListeners('error');
      secure.removeAllListeners('close');
      secure.setNoDelay(true);
      resolve(secure);
    });
  });
}

/** Whatever ends the log-in is a failure to connect. */
function asConnection(error: unknown): unknown {
  if (!(error instanceof TransportError) || error.kind === 'connection') return error;
  return new TransportError('connection', error.message.replace(/^[a-z]+ error: /, ''), { cause: error });
}
