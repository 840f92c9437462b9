/** Waiting until a stream takes more: woken by the engine when credit comes back. */
import { MeshringError } from '../errors.js';
import type { CoreNode } from './core-node.js';

/** Text for a stream or session that is gone. */
export const NOT_CONNECTED = 'stream not connected: peer session gone';

/** A stream as the engine of its node knows it. */
export interface StreamRef {
  readonly handle: number;
  readonly peerNodeId: bigint;
  readonly streamId: bigint;
}

/** Who waits for room, by stream. Each waits within one call of the application. */
export class RoomWaiters {
  readonly #waiting = new Map<string, Set<() => void>>();

  /**
   * Until the engine tells of the stream (of nothing without one), or so many milliseconds have passed, or the signal, or
   * the end of the node. `true`: told.
   */
  async wait(stream: StreamRef | undefined, ms: number | undefined, signal?: AbortSignal): Promise<boolean> {
    const key = stream ? `${stream.peerNodeId}/${stream.streamId}` : '';
    const waiting = this.#waiting.get(key) ?? new Set();
    this.#waiting.set(key, waiting);
    let end: (told: boolean) => void = () => {};
    const ended = new Promise<boolean>((resolve) => {
      end = resolve;
    });
    const told = () => end(true);
    const over = () => end(false);
    waiting.add(told);
    signal?.addEventListener('abort', over, { once: true });
    if (signal?.aborted) over();
    const timer = ms === undefined ? undefined : setTimeout(over, ms);
    try {
      return await ended;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', over);
      waiting.delete(told);
      if (waiting.size === 0 && this.#waiting.get(key) === waiting) this.#waiting.delete(key);
    }
  }

  /** The engine has told of a stream. */
  told(peer: bigint, stream: bigint): void {
    for (const wake of this.#waiting.get(`${peer}/${stream}`) ?? []) wake();
  }

  /** Wakes everybody. */
  close(): void {
    for (const waiting of this.#waiting.values()) for (const wake of waiting) wake();
  }
}

/** Until frames of so many bytes (the window at most) would be taken. */
export async function untilRoom(
  core: CoreNode,
  stream: StreamRef,
  frames: number,
  signal?: AbortSignal,
): Promise<void> {
  const done = core.hold();
  try {
    for (;;) {
      signal?.throwIfAborted();
      const answer = core.raw.awaitRoom(core.driver.now(), stream.handle, frames);
      if (answer < 0) throw new MeshringError('not-connected', NOT_CONNECTED);
      if (answer > 0) return;
      await core.room.wait(stream, undefined, signal);
    }
  } finally {
    done();
  }
}

/** Until there may be room, at most so many milliseconds. `true`: at once worth another try. */
export async function roomWithin(
  core: CoreNode,
  stream: StreamRef,
  frames: number,
  ms: number,
  signal?: AbortSignal,
): Promise<boolean> {
  // What the engine would take, but did not, is a packet larger than the window: only time can tell then.
  const waits = core.raw.awaitRoom(core.driver.now(), stream.handle, frames) === 0;
  const told = await core.room.wait(waits ? stream : undefined, ms, signal);
  signal?.throwIfAborted();
  core.check();
  return told;
}
