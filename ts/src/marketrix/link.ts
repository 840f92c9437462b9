/** One connection that this peer dialled: opens streams on it and tells what went wrong (90 §4). */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2';
import { isIP } from 'node:net';
import { MarketrixError, messageOf } from '../errors.js';
import type { Counters } from './counters.js';
import {
  type Agreement,
  CONNECTION_WINDOW,
  HTTP2_SETTINGS,
  MAX_ERROR_BODY,
  readResponse,
  requestHeaders,
  type StreamUse,
} from './handshake.js';
import { keepAlive } from './keepalive.js';
import type { Settings } from './options.js';
import { FramePipe } from './pipe.js';
import type { PeerRecord, PeerRef } from './types.js';

/** `code` of the error when another process answers where an instance is registered. */
export const WRONG_INSTANCE = 'wrong-instance';

/** A stream and what was agreed for it. */
export interface Opened {
  readonly pipe: FramePipe;
  readonly agreement: Agreement;
  readonly link: Link;
}

/** Who a record is about. */
export function refOf({ service, instance }: PeerRecord): PeerRef {
  return { service, instance };
}

export class Link {
  readonly record: PeerRecord;
  readonly #session: ClientHttp2Session;
  readonly #settings: Settings;
  readonly #counters: Counters;
  /** Known after the first handshake: later streams send without waiting for the answer. */
  #agreement: Agreement | undefined;
  #inflight = 0;
  #draining = false;
  #leaving = false;
  #dead = false;
  #idle: NodeJS.Timeout | undefined;
  readonly #pipes = new Set<FramePipe>();

  private constructor(session: ClientHttp2Session, record: PeerRecord, settings: Settings, counters: Counters) {
    this.#session = session;
    this.record = record;
    this.#settings = settings;
    this.#counters = counters;
  }

  /**
   * Connects.
   *
   * @param onClosed called when the connection is gone; `failed` when it did not answer probes.
   * @throws MarketrixError `connect`.
   */
  static dial(
    record: PeerRecord,
    settings: Settings,
    counters: Counters,
    onClosed: (link: Link, failed: boolean) => void,
  ): Promise<Link> {
    const { host, port, proto } = record;
    const authority = `${proto === 'h2' ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
    const failure = (why: string, cause?: unknown) =>
      new MarketrixError('connect', `${record.service}/${record.instance} at ${host}:${port}: ${why}`, {
        remote: refOf(record),
        cause,
      });
    return new Promise((resolve, reject) => {
      let session: ClientHttp2Session;
      try {
        session = connect(authority, {
          settings: HTTP2_SETTINGS,
          maxSessionMemory: 1024,
          ...(proto === 'h2'
            ? {
                ca: settings.tls?.ca,
                cert: settings.tls?.cert,
                key: settings.tls?.key,
                servername: settings.tls?.servername ?? (isIP(host) ? '' : host),
              }
            : {}),
        });
      } catch (error) {
        reject(failure(messageOf(error), error));
        return;
      }
      const timer = setTimeout(() => {
        reject(failure(`no connection after ${settings.connectTimeoutMs} ms`));
        session.destroy();
      }, settings.connectTimeoutMs);
      let link: Link | undefined;
      session.on('error', (error) => reject(failure(error.message, error)));
      session.once('close', () => {
        clearTimeout(timer);
        reject(failure('closed before it was established'));
        if (link) {
          if (!link.#leaving && !link.#draining) counters.connectionsLost += 1;
          clearTimeout(link.#idle);
          onClosed(link, link.#dead);
        }
      });
      session.once('connect', () => {
        clearTimeout(timer);
        const created = new Link(session, record, settings, counters);
        link = created;
        session.setLocalWindowSize(CONNECTION_WINDOW);
        session.on('goaway', () => {
          created.#draining = true;
        });
        keepAlive(session, settings, () => {
          created.#dead = true;
        });
        resolve(created);
      });
    });
  }

  /** Streams open on this connection. */
  get inflight(): number {
    return this.#inflight;
  }

  /** Whether new streams can be opened. */
  get usable(): boolean {
    return !this.#draining && !this.#leaving && !this.#session.closed && !this.#session.destroyed;
  }

  /** Whether the other side is leaving. */
  get draining(): boolean {
    return this.#draining;
  }

  /** The other side said that it is leaving. */
  markDraining(): void {
    this.#draining = true;
  }

  /**
   * Opens a stream. The first one of a connection waits for the answer, later ones do so with `wait`.
   *
   * @throws MarketrixError `overloaded`, `unavailable`, `connect`, `rejected`, `connection-lost`.
   */
  async open(use: StreamUse, wait: boolean): Promise<Opened> {
    const { record } = this;
    if (this.#inflight >= this.#settings.maxInflight) {
      throw new MarketrixError('overloaded', `${this.#inflight} streams to ${record.service} are open`, {
        remote: refOf(record),
      });
    }
    if (!this.usable) {
      throw new MarketrixError('unavailable', `${record.service}/${record.instance} takes no new streams`, {
        remote: refOf(record),
      });
    }
    const stream = this.#request(use);
    let early: FramePipe | undefined;
    // Told at once, before the stream's own end, which would look like a call that ended without a result.
    const answer = this.#answer(stream, (error) => early?.close(error));
    const agreement = this.#agreement;
    if (agreement && !wait) {
      const pipe = this.#pipe(stream, agreement);
      early = pipe;
      answer.then(
        () => pipe.start(),
        (error) => pipe.close(error),
      );
      return { pipe, agreement, link: this };
    }
    const agreed = await answer;
    this.#agreement = agreed;
    const pipe = this.#pipe(stream, agreed);
    pipe.start();
    return { pipe, agreement: agreed, link: this };
  }

  /** Lets open streams finish, at most until `destroy`. */
  close(): void {
    this.#leaving = true;
    if (!this.#session.closed && !this.#session.destroyed) this.#session.close();
  }

  /** Resets everything. */
  destroy(): void {
    this.#leaving = true;
    for (const pipe of this.#pipes)
      pipe.close(new MarketrixError('closed', 'the peer has left', { remote: refOf(this.record) }));
    this.#session.destroy();
  }

  #request(use: StreamUse): ClientHttp2Stream {
    try {
      const stream = this.#session.request(requestHeaders(this.#settings, this.record, use), { endStream: false });
      this.#inflight += 1;
      clearTimeout(this.#idle);
      stream.on('error', () => {}); // 'close' follows
      stream.once('close', () => {
        this.#inflight -= 1;
        if (this.#inflight === 0) this.#rest();
      });
      return stream;
    } catch (error) {
      throw new MarketrixError('unavailable', messageOf(error), { remote: refOf(this.record), cause: error });
    }
  }

  #pipe(stream: ClientHttp2Stream, agreement: Agreement): FramePipe {
    const { maxFrameBytes, maxQueuedBytes } = this.#settings;
    const { remote, endian, envelope } = agreement;
    const pipe = new FramePipe(stream, {
      remote,
      endian,
      envelope,
      maxFrameBytes,
      maxQueuedBytes,
      counters: this.#counters,
    });
    pipe.outbox.limitFrames(agreement.maxFrameBytes);
    this.#pipes.add(pipe);
    const forget = () => this.#pipes.delete(pipe);
    pipe.closed.then(forget, forget);
    return pipe;
  }

  /** Waits for the headers of the answer. */
  #answer(stream: ClientHttp2Stream, onRefused: (error: Error) => void): Promise<Agreement> {
    const { record } = this;
    const answer = new Promise<Agreement>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(
          new MarketrixError('connect', `no answer after ${this.#settings.connectTimeoutMs} ms`, {
            remote: refOf(record),
          }),
        );
        stream.close(constants.NGHTTP2_CANCEL);
      }, this.#settings.connectTimeoutMs);
      let answered = false;
      stream.once('response', (headers) => {
        answered = true;
        clearTimeout(timer);
        const status = headers[constants.HTTP2_HEADER_STATUS];
        if (Number(status) === 200) this.#accept(headers, resolve, reject);
        else {
          readRefusal(stream, Number(status), record, (error) => {
            onRefused(error);
            reject(error);
          });
        }
      });
      stream.once('close', () => {
        clearTimeout(timer);
        if (answered) return;
        const refused = stream.rstCode === constants.NGHTTP2_REFUSED_STREAM;
        const kind = refused ? 'unavailable' : this.#agreement ? 'connection-lost' : 'connect';
        const why = refused ? 'takes no new streams' : 'closed the stream before it answered';
        reject(new MarketrixError(kind, `${record.service}/${record.instance} ${why}`, { remote: refOf(record) }));
      });
    });
    answer.catch(() => {});
    return answer;
  }

  #accept(headers: IncomingHttpHeaders, resolve: (a: Agreement) => void, reject: (e: Error) => void): void {
    const agreement = readResponse(headers, this.#settings, this.record);
    const { service, instance } = agreement.remote;
    if (service === this.record.service && instance === this.record.instance) {
      resolve(agreement);
      return;
    }
    // The record outlived its process and somebody else has the port now.
    const { host, port } = this.record;
    const text = `${host}:${port} is ${service}/${instance} now, not ${this.record.service}/${this.record.instance}`;
    reject(new MarketrixError('connect', text, { remote: refOf(this.record), code: WRONG_INSTANCE }));
    this.destroy();
  }

  #rest(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.close(), this.#settings.idleMs);
    this.#idle.unref();
  }
}

/** Reads the body of a refusal: `{"error": {"code", "message"}}`. */
function readRefusal(
  stream: ClientHttp2Stream,
  status: number,
  record: PeerRecord,
  done: (error: MarketrixError) => void,
): void {
  const remote = refOf(record);
  const parts: Buffer[] = [];
  let size = 0;
  let told = false;
  const finish = () => {
    if (told) return;
    told = true;
    const { code, message } = refusalOf(parts);
    done(
      code === 'wrong-target'
        ? new MarketrixError('connect', `${record.host}:${record.port}: ${message}`, { remote, code: WRONG_INSTANCE })
        : new MarketrixError('rejected', `${status} ${message}`, {
            remote,
            code: String(status),
            data: { code, message },
          }),
    );
    if (!stream.closed) stream.close(constants.NGHTTP2_CANCEL);
  };
  stream.on('data', (part: Buffer) => {
    size += part.length;
    if (size <= MAX_ERROR_BODY) parts.push(part);
  });
  stream.once('end', finish);
  stream.prependOnceListener('close', finish);
}

function refusalOf(parts: Buffer[]): { code: string | undefined; message: string } {
  let error: { code?: unknown; message?: unknown } = {};
  try {
    const body = JSON.parse(Buffer.concat(parts).toString('utf8')) as { error?: typeof error } | null;
    error = body?.error ?? {};
  } catch {
    // Not our form: the status has to do.
  }
  return {
    code: typeof error.code === 'string' ? error.code : undefined,
    message: typeof error.message === 'string' ? error.message : 'refused',
  };
}
