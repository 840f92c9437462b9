/** Envelopes: what a frame is for (90 §6.2). Texts are built by hand, so that a payload is turned into JSON once. */
import { MarketrixError } from '../errors.js';
import { SKIP } from './inbox.js';
import { toJson } from './json.js';
import type { PeerRef } from './types.js';

/** The id of the one call of a stream; it exists for transports without streams. */
export const CALL_ID = 1;
/** Bits of `req.s`. */
export const INPUT_STREAMS = 1;
export const OUTPUT_STREAMS = 2;

/** A received frame. Fields that this version does not know are ignored. */
export interface Frame {
  readonly t: string;
  readonly d?: unknown;
  readonly [field: string]: unknown;
}

/** `e` of an `err` frame. */
export interface WireError {
  readonly code: string;
  readonly message: string;
  readonly data?: unknown;
}

/** First frame of each direction. */
export const HELLO = '{"t":"hello","v":1,"features":[]}';

/** Payload as a field; `undefined` is left out. Nested one deeper than the payload itself. */
function payload(value: unknown): string {
  return value === undefined ? '' : `,"d":${toJson(value, true, 1)}`;
}

export const frames = {
  msg: (value: unknown): string => `{"t":"msg","d":${toJson(value, true, 1)}}`,
  req(method: string, input: unknown, streams: number, deadline: number | undefined, headers: Record<string, string>) {
    const limit = deadline === undefined ? '' : `,"dl":${Math.ceil(deadline)}`;
    const extra = Object.keys(headers).length > 0 ? `,"h":${JSON.stringify(headers)}` : '';
    const bits = streams === 0 ? '' : `,"s":${streams}`;
    return `{"t":"req","id":${CALL_ID},"m":${JSON.stringify(method)}${bits}${limit}${extra}${payload(input)}}`;
  },
  in: (value: unknown): string => `{"t":"in","id":${CALL_ID}${payload(value)}}`,
  inend: `{"t":"inend","id":${CALL_ID}}`,
  res: (value: unknown): string => `{"t":"res","id":${CALL_ID}${payload(value)}}`,
  out: (value: unknown): string => `{"t":"out","id":${CALL_ID}${payload(value)}}`,
  outend: `{"t":"outend","id":${CALL_ID}}`,
  err: (error: WireError): string => `{"t":"err","id":${CALL_ID},"e":${toJson(error, true, 1)}}`,
  cancel: (why: string): string => `{"t":"cancel","id":${CALL_ID},"why":${JSON.stringify(why)}}`,
  ev(topic: string, value: unknown, from: PeerRef): string {
    const sender = JSON.stringify({ service: from.service, instance: from.instance });
    return `{"t":"ev","topic":${JSON.stringify(topic)},"from":${sender}${payload(value)}}`;
  },
  bye: (why: string): string => `{"t":"bye","why":${JSON.stringify(why)}}`,
};

/** The value as a frame. @throws MarketrixError `protocol` when it is none. */
export function asFrame(value: unknown): Frame {
  if (typeof value !== 'object' || value === null || typeof (value as Frame).t !== 'string') {
    throw new MarketrixError('protocol', 'frame without `t` on a stream with envelopes');
  }
  return value as Frame;
}

/** The message of a `msg` frame; others are no messages. */
export function unwrapMessage(value: unknown): unknown {
  const frame = asFrame(value);
  return frame.t === 'msg' ? (frame.d ?? null) : SKIP;
}
