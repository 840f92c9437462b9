/** Sockets to servers: where they lead, and how long connecting may take. */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { TransportError } from '../transport.js';

/** Where a server listens. */
export interface Endpoint {
  /** Host name or address (IPv6 without brackets), or the path of a Unix socket. */
  readonly host: string;
  /** TCP port; undefined for a Unix socket. */
  readonly port: number | undefined;
  /** TLS from the first byte; `verify: false` accepts any certificate. */
  readonly tls?: { readonly verify: boolean } | undefined;
}

/** `host:port` for messages; never contains user or password. */
export function endpointText({ host, port }: Endpoint): string {
  if (port === undefined) return host;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Reason of a failed connection: the text of the system, of every address when several were tried. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors.map(reasonOf).join('; ');
  if (!(error instanceof Error)) return String(error);
  return error.message || ((error as NodeJS.ErrnoException).code ?? error.name);
}

/**
 * Connects. The socket has no-delay set and is unreferenced, so that an idle connection does not keep the process alive.
 *
 * @param signal ends the attempt
 * @throws TransportError kind `connection` with the system's reason, or `timed out after <n> ms`
 */
export function dial(endpoint: Endpoint, timeoutMs: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const { host, port, tls } = endpoint;
    const options = port === undefined ? { path: host } : { host, port };
    const socket = tls
      ? connectTls({ ...options, ...serverName(host), rejectUnauthorized: tls.verify })
      : connectTcp(options);
    const fail = (text: string, cause?: unknown) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      socket.removeAllListeners();
      socket.on('error', () => undefined);
      socket.destroy();
      reject(new TransportError('connection', text, { cause }));
    };
    const abort = () => fail('connecting was given up');
    const timer = setTimeout(
      () => fail(`connecting to ${endpointText(endpoint)} timed out after ${timeoutMs} ms`),
      timeoutMs,
    );
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    socket.once('error', (error) => fail(reasonOf(error), error));
    socket.once('close', () => fail(`${endpointText(endpoint)} closed the connection`));
    socket.once(tls ? 'secureConnect' : 'connect', () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      socket.removeAllListeners();
      socket.setNoDelay(true);
      socket.setKeepAlive(true, 30_000);
      socket.unref();
      resolve(socket);
    });
  });
}

/** Name for certificate checks; addresses have none. */
function serverName(host: string): { servername?: string } {
  return /^[\d.]+$|:/.test(host) ? {} : { servername: host };
}
