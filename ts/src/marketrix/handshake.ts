/** The handshake: headers that open a stream, and the answers to them (90 §4.2). */
import { createHash, timingSafeEqual } from 'node:crypto';
import { constants, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2';
import type { Endian } from './frames.js';
import type { Settings } from './options.js';
import type { PeerRecord, PeerRef } from './types.js';

/** Version of the protocol. */
export const VERSION = '1';
export const PATH = '/mesh/v1';
export const HEALTH_PATH = '/mesh/v1/health';
export const CONTENT_TYPE = 'application/vnd.mesh+json-frames';
/** Largest error body that is read. */
export const MAX_ERROR_BODY = 64 * 1024;

/** Settings that both sides send. */
export const HTTP2_SETTINGS = {
  initialWindowSize: 1024 * 1024,
  maxConcurrentStreams: 1000,
  enablePush: false,
  maxHeaderListSize: 16 * 1024,
};
/** Flow-control window of a whole connection. */
export const CONNECTION_WINDOW = 16 * 1024 * 1024;

/** What a stream is for. A raw stream is always `stream`; without the header the first frame tells. */
export type StreamUse = 'stream' | 'call' | 'events';

/** What the two sides agreed on for a stream. */
export interface Agreement {
  readonly remote: PeerRef;
  readonly envelope: boolean;
  readonly endian: Endian;
  /** Largest payload that the other side takes. */
  readonly maxFrameBytes: number;
}

/** Why a handshake is refused. */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

function text(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

function limit(value: string | undefined, own: number): number {
  const given = Number(value);
  return Number.isInteger(given) && given > 0 ? given : own;
}

/** Headers that ask `record` for a stream. */
export function requestHeaders(settings: Settings, record: PeerRecord, use: StreamUse): OutgoingHttpHeaders {
  return {
    [constants.HTTP2_HEADER_METHOD]: 'POST',
    [constants.HTTP2_HEADER_PATH]: record.path,
    [constants.HTTP2_HEADER_CONTENT_TYPE]: CONTENT_TYPE,
    'x-mesh-version': VERSION,
    'x-mesh-service': settings.service,
    'x-mesh-instance': settings.instance,
    'x-mesh-target': record.service,
    'x-mesh-envelope': settings.envelope ? '1' : '0',
    'x-mesh-endian': settings.endian,
    'x-mesh-max-frame': String(settings.maxFrameBytes),
    'x-mesh-use': use,
    ...(settings.token === undefined ? {} : { authorization: `Bearer ${settings.token}` }),
  };
}

/** What the answer to a request says. An answer without our headers is that of a plain implementation. */
export function readResponse(headers: IncomingHttpHeaders, settings: Settings, record: PeerRecord): Agreement {
  const known = text(headers['x-mesh-version']) !== undefined;
  return {
    remote: {
      service: text(headers['x-mesh-service']) ?? record.service,
      instance: text(headers['x-mesh-instance']) ?? record.instance,
    },
    envelope: known && settings.envelope && text(headers['x-mesh-envelope']) === '1',
    endian: settings.endian,
    maxFrameBytes: limit(text(headers['x-mesh-max-frame']), settings.maxFrameBytes),
  };
}

/** What a request asks for; `use` is undefined when only the first frame tells. */
export function readRequest(
  headers: IncomingHttpHeaders,
  settings: Settings,
): Agreement & { readonly use: StreamUse | undefined } {
  const known = text(headers['x-mesh-version']) !== undefined;
  const envelope = known && settings.envelope && text(headers['x-mesh-envelope']) === '1';
  const endian = text(headers['x-mesh-endian']);
  const use = text(headers['x-mesh-use']);
  return {
    remote: {
      service: text(headers['x-mesh-service']) ?? 'unknown',
      instance: text(headers['x-mesh-instance']) ?? '',
    },
    envelope,
    endian: endian === 'big' || endian === 'little' ? endian : settings.endian,
    maxFrameBytes: limit(text(headers['x-mesh-max-frame']), settings.maxFrameBytes),
    use: !envelope ? 'stream' : use === 'stream' || use === 'call' || use === 'events' ? use : undefined,
  };
}

/** Why a request cannot be served, or undefined. Secrets are compared in constant time. */
export function refusal(headers: IncomingHttpHeaders, settings: Settings): Refusal | undefined {
  if (headers[constants.HTTP2_HEADER_PATH] !== PATH || headers[constants.HTTP2_HEADER_METHOD] !== 'POST') {
    return { status: 404, code: 'not-found', message: `only POST ${PATH} is served` };
  }
  if (settings.token !== undefined && !sameSecret(headers.authorization, `Bearer ${settings.token}`)) {
    return { status: 401, code: 'unauthorized', message: 'a valid bearer token is needed' };
  }
  const version = text(headers['x-mesh-version']);
  if (version !== undefined && version !== VERSION) {
    return { status: 426, code: 'version', message: `version ${VERSION} is spoken here` };
  }
  const type = headers[constants.HTTP2_HEADER_CONTENT_TYPE];
  // A plain implementation may call its frames what it likes.
  if (version !== undefined && type !== CONTENT_TYPE) {
    return { status: 415, code: 'content-type', message: `content-type must be ${CONTENT_TYPE}` };
  }
  const target = text(headers['x-mesh-target']);
  if (target !== undefined && target !== settings.service) {
    return { status: 404, code: 'wrong-target', message: `this is ${settings.service}` };
  }
  return undefined;
}

/** Headers that accept a request. */
export function responseHeaders(settings: Settings, envelope: boolean): OutgoingHttpHeaders {
  return {
    [constants.HTTP2_HEADER_STATUS]: 200,
    [constants.HTTP2_HEADER_CONTENT_TYPE]: CONTENT_TYPE,
    'x-mesh-version': VERSION,
    'x-mesh-service': settings.service,
    'x-mesh-instance': settings.instance,
    'x-mesh-envelope': envelope ? '1' : '0',
    'x-mesh-max-frame': String(settings.maxFrameBytes),
  };
}

function sameSecret(given: string | undefined, wanted: string): boolean {
  const digest = (value: string) => createHash('sha256').update(value).digest();
  return timingSafeEqual(digest(given ?? ''), digest(wanted));
}
