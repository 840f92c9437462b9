import { TransportError } from '../transport.js';
import { NatsConnection } from './connection.js';
import { type NatsTarget, natsTargets } from './options.js';

/** A place for one connection that is opened when needed and opened anew, at the next server, when it broke. */
export class NatsLane {
  readonly #targets: NatsTarget[];
  readonly #timeoutMs: number;
  #next = 0;
  #connection: NatsConnection | undefined;
  #opening: Promise<NatsConnection> | undefined;
  readonly #closing = new AbortController();

  constructor(targets: readonly NatsTarget[], timeoutMs: number) {
    this.#targets = [...targets];
    this.#timeoutMs = timeoutMs;
  }

  /** Whether a connection stands. */
  get healthy(): boolean {
    return this.#connection?.open === true;
  }

  /**
   * The connection; opened when there is none. Each server is tried once.
   *
   * @throws TransportError kind `connection` or `shutdown`
   */
  async connection(): Promise<NatsConnection> {
    if (this.#closing.signal.aborted) throw new TransportError('shutdown');
    if (this.#connection?.open) return this.#connection;
    this.#opening ??= this.#open().finally(() => {
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

  /** The connection if it stands, without opening one. */
  get standing(): NatsConnection | undefined {
    return this.healthy ? this.#connection : undefined;
  }

  async #open(): Promise<NatsConnection> {
    let failure: unknown;
    for (let tries = this.#targets.length; tries > 0; tries--) {
      const target = this.#targets[this.#next % this.#targets.length] as NatsTarget;
      try {
        const connection = await NatsConnection.open(target, this.#timeoutMs, this.#closing.signal);
        this.#learn(connection.info.connect_urls ?? [], target);
        return connection;
      } catch (error) {
        failure = error;
        if (this.#closing.signal.aborted) break;
        this.#next += 1;
      }
    }
    throw failure;
  }

  /** Other servers of the cluster, with the login of the server that named them. */
  #learn(urls: readonly string[], from: NatsTarget): void {
    for (const url of urls) {
      let found: NatsTarget | undefined;
      try {
        [found] = natsTargets(url);
      } catch {
        continue;
      }
      if (!found || this.#targets.some(({ host, port }) => host === found.host && port === found.port)) continue;
      this.#targets.push({ ...from, host: found.host, port: found.port });
    }
  }
}

/** A failure to connect while the node runs is worth another attempt; at the start it is not. */
export function whileRunning(error: unknown): unknown {
  if (!(error instanceof TransportError) || error.kind !== 'connection') return error;
  const text = error.message.replace(/^connection error: /, '');
  // A refused login does not get better by itself.
  const kind = /authorization|authentication/i.test(text) ? 'fatal' : 'transient';
  return new TransportError(kind, text, { cause: error });
}
