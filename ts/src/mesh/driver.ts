/** What moves an engine's datagrams: the addon's own thread, or a socket of the platform. */
import { door } from '../backend/choose.js';
import type { RawMesh } from '../backend/mesh.js';
import { MeshringError, messageOf } from '../errors.js';
import { platform } from '../platform/node.js';
import type { UdpSocket } from '../platform/types.js';

/** An engine and its socket. */
export interface MeshDriver {
  /** The engine. */
  readonly raw: RawMesh;
  /** `ip:port` that was bound. */
  readonly address: string;
  /** Whether it sends datagrams to any address, as NAT traversal needs it. */
  readonly datagrams: boolean;
  /** Monotonic microseconds of the engine. */
  now(): number;
  /** Sends what a call has caused; to be called after each call that can cause something. */
  flush(): void;
  /** Sends at the end of this tick, or at once when nothing has left for a while: for events that are kept until acknowledged. */
  flushSoon(): void;
  /** Called when there may be something to take; `false` when it is deliveries only. */
  onWake(callback: (events?: boolean) => void): void;
  /** Closes socket, timers and thread. */
  close(): Promise<void>;
}

/** What an engine is made with. */
export interface EngineOptions {
  /** Own node id. */
  readonly nodeId: bigint;
  /** PSK, X25519 secret, seed: 96 bytes. */
  readonly keys: Uint8Array;
  /** See `RawMeshClass`. */
  readonly numbers: number[];
}

const BIND_FAILED = 'MeshNode creation failed: connection error: bind failed: ';

function bindFailed(error: unknown): MeshringError {
  const text = messageOf(error);
  return new MeshringError('connection', `${BIND_FAILED}${text}`, { cause: error });
}

/** Binds a socket and starts its driver. */
export async function openDriver(address: string, options: EngineOptions): Promise<MeshDriver> {
  const { nodeId, keys, numbers } = options;
  if (door.RawMesh.listen) {
    let raw: RawMesh;
    try {
      raw = door.RawMesh.listen(address, nodeId, keys, numbers);
    } catch (error) {
      throw bindFailed(error);
    }
    const ending = atEndOfTick(() => raw.flush?.());
    return {
      raw,
      address: raw.localAddress?.() ?? address,
      datagrams: true,
      now: () => 0,
      flush: () => {},
      flushSoon: ending,
      onWake: (callback) => raw.onWake?.(callback),
      close: async () => raw.shutdown(0),
    };
  }
  if (!platform.openUdp) {
    throw new MeshringError('unsupported', `${BIND_FAILED}this platform has no UDP sockets`);
  }
  let socket: UdpSocket;
  try {
    socket = await platform.openUdp(address);
  } catch (error) {
    throw bindFailed(error);
  }
  const begun = performance.now();
  const raw = new door.RawMesh(0, nodeId, keys, numbers);
  raw.setWallClock(Math.round((performance.timeOrigin + begun) * 1000));
  return new SocketDriver(raw, socket, begun);
}

/** Calls the function once after all that the present tick still does, promises included, however often it is asked. */
function atEndOfTick(work: () => void): () => void {
  let asked = false;
  const run = () => {
    asked = false;
    work();
  };
  return () => {
    if (asked) return;
    asked = true;
    process.nextTick(run);
  };
}

/** Sends that follow each other this closely leave together, µs. */
const TOGETHER = 100;

/** Drives an engine from this thread. */
class SocketDriver implements MeshDriver {
  readonly raw: RawMesh;
  readonly address: string;
  readonly datagrams = true;
  readonly #socket: UdpSocket;
  readonly #begun: number;
  #wake: () => void = () => {};
  #timer: ReturnType<typeof setTimeout> | undefined;
  #armedFor = -1;
  #closed = false;
  /** When a send last left, µs. */
  #sentAt = -TOGETHER;
  readonly #flushAtEnd = atEndOfTick(() => {
    this.#sentAt = this.now();
    this.flush();
  });

  constructor(raw: RawMesh, socket: UdpSocket, begun: number) {
    this.raw = raw;
    this.#socket = socket;
    this.#begun = begun;
    this.address = socket.address;
    socket.onDatagram((from, bytes) => {
      this.raw.handleDatagram(this.now(), from, bytes);
      this.flush();
      this.#wake();
    });
  }

  now(): number {
    return Math.round((performance.now() - this.#begun) * 1000);
  }

  flushSoon(): void {
    const now = this.now();
    if (now - this.#sentAt < TOGETHER) {
      this.#flushAtEnd();
      return;
    }
    this.#sentAt = now;
    this.flush();
  }

  flush(): void {
    if (this.#closed) return;
    for (;;) {
      const batch = this.raw.takeTransmits(this.now());
      if (batch.length === 0) break;
      const view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength);
      for (let at = 0; at < batch.length; ) {
        const text = view.getUint16(at, true);
        const size = view.getUint16(at + 2, true);
        const link = String.fromCharCode(...batch.subarray(at + 4, at + 4 + text));
        this.#socket.send(link, batch.subarray(at + 4 + text, at + 4 + text + size));
        at += 4 + text + size;
      }
    }
    this.#arm();
  }

  #arm(): void {
    const deadline = this.raw.nextDeadline();
    if (deadline === this.#armedFor && this.#timer !== undefined) return;
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#armedFor = deadline;
    if (deadline < 0) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.raw.handleTimeout(this.now());
        this.flush();
        this.#wake();
      },
      Math.min(2 ** 31 - 1, Math.max(0, Math.ceil((deadline - this.now()) / 1000))),
    );
    (this.#timer as { unref?: () => void }).unref?.();
  }

  onWake(callback: () => void): void {
    this.#wake = callback;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.flush();
    this.raw.shutdown(this.now());
    this.flush();
    this.#closed = true;
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    await this.#socket.close();
  }
}
