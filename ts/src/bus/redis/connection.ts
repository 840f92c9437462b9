/**
 * One connection to Redis. Requests are answered in order; their replies stay bytes until somebody needs values, so that
 * a page of a thousand entries goes to Rust as it came. Nothing is sent again by itself: whoever made a request decides.
 */
import type { Socket } from 'node:net';
import { TransportError } from '../transport.js';
import { dial, endpointText, reasonOf } from '../wire/dial.js';
import { classify } from './classify.js';
import type { RedisTarget } from './options.js';
import { command, decodeReplies, type Reply, ReplyError, ReplyScanner } from './resp.js';

interface Pending {
  readonly replies: number;
  readonly timeoutMs: number;
  resolve(bytes: Buffer): void;
  reject(error: TransportError): void;
}

/** An open, authenticated connection. */
export class RedisConnection {
  readonly #socket: Socket;
  readonly #pending: Pending[] = [];
  readonly #scanner = new ReplyScanner();
  #received: Buffer = Buffer.alloc(0);
  #length = 0;
  /** Whether `#received` is memory that we may write into, rather than a chunk of the socket. */
  #own = false;
  #timer: NodeJS.Timeout | undefined;
  #failure: TransportError | undefined;

  /** Connects, logs in, selects the database and pings. */
  static async open(
    target: RedisTarget,
    connectTimeoutMs: number,
    commandTimeoutMs: number,
    signal: AbortSignal,
  ): Promise<RedisConnection> {
    const connection = new RedisConnection(await dial(target, connectTimeoutMs, signal));
    const abort = () => connection.close();
    signal.addEventListener('abort', abort, { once: true });
    try {
      const { username, password, database } = target;
      const hello: Buffer[] = [];
      if (password !== undefined)
        hello.push(username ? command('AUTH', username, password) : command('AUTH', password));
      if (database !== 0) hello.push(command('SELECT', database));
      hello.push(command('PING'));
      for (const reply of await connection.replies(hello, hello.length, commandTimeoutMs)) {
        if (reply instanceof ReplyError) throw classify(reply.text);
      }
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error) => this.#fail(new TransportError('transient', reasonOf(error), { cause: error })));
    socket.on('close', () => this.#fail(new TransportError('transient', 'Redis closed the connection')));
  }

  /** Whether requests can be made. */
  get open(): boolean {
    return this.#failure === undefined;
  }

  /**
   * Sends commands and resolves with the bytes of their `replies` replies.
   *
   * @param timeoutMs limit from the moment when all earlier requests are answered; a request that passes it ends the connection
   * @throws TransportError kind `transient`
   */
  request(commands: readonly Uint8Array[], replies: number, timeoutMs: number): Promise<Buffer> {
    if (this.#failure) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#pending.push({ replies, timeoutMs, resolve, reject });
      if (this.#pending.length === 1) this.#begin();
      this.#socket.cork();
      for (const bytes of commands) this.#socket.write(bytes);
      this.#socket.uncork();
    });
  }

  /** As {@link request}, decoded. */
  async replies(commands: readonly Uint8Array[], replies: number, timeoutMs: number): Promise<Reply[]> {
    return decodeReplies(await this.request(commands, replies, timeoutMs));
  }

  /** Closes at once; what is unanswered fails. */
  close(): void {
    this.#fail(new TransportError('shutdown'));
  }

  /** The oldest request is now the one that is answered next. */
  #begin(): void {
    const head = this.#pending[0];
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!head) {
      this.#socket.unref();
      return;
    }
    this.#scanner.expect(head.replies);
    this.#socket.ref();
    if (Number.isFinite(head.timeoutMs)) {
      this.#timer = setTimeout(
        () => this.#fail(new TransportError('transient', 'Redis command timeout')),
        head.timeoutMs,
      );
    }
  }

  #receive(chunk: Buffer): void {
    if (this.#length === 0) {
      this.#received = chunk;
      this.#own = false;
      this.#length = chunk.length;
    } else {
      this.#append(chunk);
    }
    for (let head = this.#pending[0]; head; head = this.#pending[0]) {
      const found = this.#scanner.scan(this.#received, this.#length);
      if (found === 'broken') {
        this.#fail(new TransportError('transient', 'the server does not answer in the Redis protocol'));
        return;
      }
      if (found === 'partial') return;
      const end = this.#scanner.position;
      const bytes = this.#received.subarray(0, end);
      this.#received = this.#received.subarray(end);
      this.#length -= end;
      this.#scanner.position = 0;
      this.#pending.shift();
      this.#begin();
      head.resolve(bytes);
    }
    // Bytes that nobody asked for end a connection: the answers would no longer fit the requests.
    if (this.#length > 0) this.#fail(new TransportError('transient', 'the server sent a reply that was not asked for'));
  }

  /** Puts a chunk behind the part of a reply that is already there; grows by doubling. */
  #append(chunk: Buffer): void {
    const needed = this.#length + chunk.length;
    if (this.#received.length < needed || !this.#own) {
      const grown = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#length));
      this.#received.copy(grown, 0, 0, this.#length);
      this.#received = grown;
      this.#own = true;
    }
    chunk.copy(this.#received, this.#length);
    this.#length = needed;
  }

  #fail(error: TransportError): void {
    if (this.#failure) return;
    this.#failure = error;
    clearTimeout(this.#timer);
    this.#socket.removeAllListeners();
    this.#socket.on('error', () => undefined);
    this.#socket.destroy();
    for (const pending of this.#pending.splice(0)) pending.reject(error);
  }
}

/** A place for one connection that is opened when needed and opened anew when it broke. */
export class Lane {
  readonly #target: RedisTarget;
  readonly #connectTimeoutMs: number;
  readonly #commandTimeoutMs: number;
  #connection: RedisConnection | undefined;
  #opening: Promise<RedisConnection> | undefined;
  readonly #closing = new AbortController();

  constructor(target: RedisTarget, connectTimeoutMs: number, commandTimeoutMs: number) {
    this.#target = target;
    this.#connectTimeoutMs = connectTimeoutMs;
    this.#commandTimeoutMs = commandTimeoutMs;
  }

  /** Whether a connection stands. */
  get healthy(): boolean {
    return this.#connection?.open === true;
  }

  /**
   * The connection; opened when there is none.
   *
   * @throws TransportError kind `connection`, `transient`, `fatal` (login refused) or `shutdown`
   */
  async connection(): Promise<RedisConnection> {
    if (this.#closing.signal.aborted) throw new TransportError('shutdown');
    if (this.#connection?.open) return this.#connection;
    this.#opening ??= RedisConnection.open(
      this.#target,
      this.#connectTimeoutMs,
      this.#commandTimeoutMs,
      this.#closing.signal,
    ).finally(() => {
      this.#opening = undefined;
    });
    const connection = await this.#opening;
    if (this.#closing.signal.aborted) {
      connection.close();
      throw new TransportError('shutdown');
    }
    this.#connection = connection;
    return connection;
  }

  /** Closes for good. */
  close(): void {
    this.#closing.abort();
    this.#connection?.close();
  }
}

/** A failure to connect while the node runs is worth another attempt; at the start it is not. */
export function whileRunning(error: unknown, target: RedisTarget): unknown {
  if (!(error instanceof TransportError) || error.kind !== 'connection') return error;
  const text = `${error.message.replace(/^connection error: /, '')} (${endpointText(target)})`;
  return new TransportError('transient', text, { cause: error });
}
