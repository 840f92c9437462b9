import { ZebusError } from '../errors.js';

/** A TCP endpoint; `*` stands for any host or port. */
export interface Endpoint {
  readonly host: string;
  readonly port: number | '*';
}

/** Parses `tcp://<host|*>:<port|*>` with an optional trailing `/` (71 §4). Throws `configuration`. */
export function parseEndpoint(text: string): Endpoint {
  const match = /^tcp:\/\/(\*|[0-9a-z_.-]+):(\*|\d{1,5})\/?$/i.exec(text);
  const [, host, port] = match ?? [];
  if (host === undefined || port === undefined || (port !== '*' && Number(port) > 65535)) {
    throw new ZebusError('configuration', `invalid endpoint ${JSON.stringify(text)}, expected tcp://<host|*>:<port|*>`);
  }
  return { host: host.toLowerCase(), port: port === '*' ? '*' : Number(port) };
}

/** Host part of an endpoint; empty when it is not one. */
export function hostOf(endpoint: string): string {
  return /^tcp:\/\/(.*):[^:]*$/i.exec(endpoint)?.[1]?.toLowerCase() ?? '';
}
