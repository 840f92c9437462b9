/** Events into a session: at once, or again while there is no credit. */
import { REFUSED, WAITS } from '../backend/mesh.js';
import { MeshringError, wrongType } from '../errors.js';
import { checkAddress } from './check.js';
import type { CoreNode } from './core-node.js';
import { NOT_CONNECTED, roomWithin } from './credit.js';
import { frame, MAX_EVENT_BYTES } from './frames.js';
import { NetStream } from './net-stream.js';

const BACKPRESSURE = 'stream would block: stream queue full';

/** Throws for anything that is not a list of events which each fit a packet. */
export function checkEvents(method: string, events: readonly Uint8Array[]): void {
  if (!Array.isArray(events)) throw wrongType(method, 'events', events, 'an array of Buffers', 'ArrayExpected');
  for (const event of events) {
    if (!(event instanceof Uint8Array)) throw wrongType(method, 'events', event, 'an array of Buffers', 'InvalidArg');
    if (event.length > MAX_EVENT_BYTES) {
      throw new MeshringError(
        'too-large',
        `stream transport error: event too large (${event.length} > ${MAX_EVENT_BYTES})`,
      );
    }
  }
}

function send(
  core: CoreNode,
  stream: NetStream,
  events: readonly Uint8Array[],
  from: number,
  partial: boolean,
): number {
  const { raw, driver } = core;
  const handle = NetStream.handleOf(stream, core);
  if (handle === null) throw new MeshringError('not-connected', NOT_CONNECTED);
  const { bytes, length } = frame(events, from);
  const count = events.length - from;
  const sent = raw.sendSoon(driver.now(), handle, bytes, length, count, partial);
  if (sent >= WAITS) {
    driver.flushSoon();
    return sent - WAITS;
  }
  driver.flush();
  if (sent >= 0) return sent;
  if (sent === REFUSED.socket) {
    throw new MeshringError('transport', `stream transport error: send failed: ${raw.socketError?.()}`);
  }
  if (sent === REFUSED.backpressure) throw new MeshringError('backpressure', BACKPRESSURE);
  if (sent === REFUSED.notConnected) throw new MeshringError('not-connected', NOT_CONNECTED);
  throw new MeshringError('transport', `stream transport error: refused (${sent})`);
}

/** Sends events, all or nothing. */
export function sendOnStream(core: CoreNode, stream: NetStream, events: readonly Uint8Array[]): void {
  core.check();
  checkEvents('sendOnStream', events);
  if (events.length > 0 || NetStream.handleOf(stream, core) === null) send(core, stream, events, 0, false);
}

/** After which pause a try follows, ms. */
function pauseAfter(attempt: number): number {
  return Math.min(200, 5 * 2 ** Math.min(attempt, 6));
}

/**
 * Sends events, again after 5, 10, 20 … 200 ms while there is no credit, and as soon as some comes back. A try within a pause
 * does not count. The events may be changed once the call has returned.
 */
export async function sendWithRetries(
  core: CoreNode,
  stream: NetStream,
  events: readonly Uint8Array[],
  retries: number,
  signal?: AbortSignal,
): Promise<void> {
  signal?.throwIfAborted();
  const window = NetStream.windowOf(stream);
  const size = events.reduce((sum, event) => sum + 4 + event.length, 0);
  // A batch that can never fit goes packet by packet, and no event twice.
  const partial = window > 0 && size + 80 * Math.ceil(size / 8112) > window;
  let rest = events;
  let done: (() => void) | undefined;
  try {
    let end: number | undefined;
    for (let attempt = 0; ; ) {
      try {
        const sent = send(core, stream, rest, 0, partial);
        if (sent >= rest.length) return;
        rest = rest.slice(sent);
        [attempt, end] = [0, undefined];
      } catch (error) {
        if (!(error instanceof MeshringError) || error.kind !== 'backpressure') throw error;
        if (!done) {
          rest = rest.map((event) => Uint8Array.from(event));
          done = core.hold();
        }
        end ??= performance.now() + pauseAfter(attempt);
        const frames = partial ? 8112 : size;
        const told = await roomWithin(core, NetStream.refOf(stream), frames, end - performance.now(), signal);
        if (told) continue;
        if (attempt++ >= retries) throw error;
        end = undefined;
      }
    }
  } finally {
    done?.();
  }
}

/** Sends one event on stream 0 to the peer at an address. */
export function pushTo(core: CoreNode, peerAddr: string, data: Uint8Array): void {
  core.check();
  checkAddress('invalid peer address', peerAddr);
  checkEvents('pushTo', [data]);
  const { raw, driver } = core;
  const peer = raw.peerAt(peerAddr);
  if (peer === null || peer === undefined) {
    throw new MeshringError('connection', `connection error: no session for ${peerAddr}`);
  }
  const { bytes, length } = frame([data]);
  const sent = raw.sendTo(driver.now(), peer, 0, bytes, length, 1);
  driver.flush();
  if (sent === REFUSED.socket) {
    throw new MeshringError('transport', `connection error: send failed: ${raw.socketError?.()}`);
  }
  if (sent < 0) throw new MeshringError('transport', `connection error: push refused (${sent})`);
}
