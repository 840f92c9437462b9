/** Streams of a session: configuration, handle, numbers. */
import { RELIABILITY } from '../backend/mesh.js';
import { MeshringError, messageOf } from '../errors.js';
import { checkInteger, checkU64 } from './check.js';
import type { CoreNode } from './core-node.js';
import { type StreamRef, untilRoom } from './credit.js';

/** What a stream promises; see `StreamConfig`. */
export type Reliability = 'fire_and_forget' | 'reliable';

/** How a stream is opened. */
export interface StreamConfig {
  /** Any 64-bit number but the highest. */
  streamId: bigint;
  /** Between nodes of ours `reliable` = no loss, no duplicates, in order; toward 0.19.0 it is a flag. Default `'fire_and_forget'`. */
  reliability?: Reliability;
  /** Send window in bytes on the wire, 0..2^32−1; 0 = none. Default 65536. */
  windowBytes?: number;
  /** Share in the transmit order, 0..255; 0 acts as 1. Default 1. */
  fairnessWeight?: number;
}

/** A stream in numbers. */
export interface StreamStats {
  /** Next sequence to send. */
  readonly txSeq: bigint;
  /** Highest accepted sequence; 0 also when nothing came. */
  readonly rxSeq: bigint;
  /** Always 0: events wait in the node's queue. */
  readonly inboundPending: bigint;
  /** Unix nanoseconds of the last send or receive. */
  readonly lastActivityNs: bigint;
  /** True while the stream is there. */
  readonly active: boolean;
  /** Refused sends. */
  readonly backpressureEvents: bigint;
  /** Bytes that may be sent; 0 when the window is 0. */
  readonly txCreditRemaining: number;
  /** The window. */
  readonly txWindow: number;
  /** Grants or acknowledgements that came. */
  readonly creditGrantsReceived: bigint;
  /** Grants or acknowledgements that left. */
  readonly creditGrantsSent: bigint;
  /** + Which protocol the session speaks. */
  readonly protocol: 'net-0.19' | 'meshring';
}

/** A stream of a peer; made by `openStream`. */
export class NetStream {
  /** Node id. */
  readonly peerNodeId: bigint;
  /** Stream id. */
  readonly streamId: bigint;
  readonly #owner: CoreNode;
  readonly #handle: number;
  readonly #window: number;

  /** @internal */
  constructor(owner: CoreNode, handle: number, window: number, peerNodeId: bigint, streamId: bigint) {
    this.#owner = owner;
    this.#handle = handle;
    this.#window = window;
    this.peerNodeId = peerNodeId;
    this.streamId = streamId;
  }

  /**
   * + Until the stream takes more: a full packet by default, or events of so many `bytes` altogether, 4 added for each
   * (what does not fit the window counts as the window). Others may take the room before you do. Rejects when the stream is gone.
   */
  ready(opts: { bytes?: number; signal?: AbortSignal } = {}): Promise<void> {
    const bytes = checkInteger('bytes', opts.bytes, 0, 2 ** 32 - 1, 8112);
    return untilRoom(this.#owner, NetStream.refOf(this), bytes, opts.signal);
  }

  /** @internal The stream as its engine knows it. */
  static refOf(stream: NetStream): StreamRef {
    return { handle: stream.#handle, peerNodeId: stream.peerNodeId, streamId: stream.streamId };
  }

  /** @internal Number of the stream in the engine of `owner`; null for another node's. */
  static handleOf(stream: NetStream, owner: object): number | null {
    return stream instanceof NetStream && stream.#owner === owner ? stream.#handle : null;
  }

  /** @internal Window in bytes; 0 = none. */
  static windowOf(stream: NetStream): number {
    return stream.#window;
  }
}

/** Opens a stream or finds the open one. */
export function openStream(core: CoreNode, peerNodeId: bigint, config: StreamConfig): NetStream {
  core.check();
  checkU64('openStream', 'peerNodeId', peerNodeId);
  const streamId = checkU64('openStream', 'streamId', config?.streamId);
  const mode = config.reliability ?? 'fire_and_forget';
  if (mode !== 'fire_and_forget' && mode !== 'reliable') {
    throw new MeshringError(
      'invalid-config',
      `unknown reliability mode "${mode}"; expected "fire_and_forget" or "reliable"`,
    );
  }
  const window = checkInteger('windowBytes', config.windowBytes, 0, 2 ** 32 - 1, 65_536);
  const weight = checkInteger('fairnessWeight', config.fairnessWeight, 0, 255, 1);
  const { raw, driver } = core;
  try {
    const reliability = mode === 'reliable' ? RELIABILITY.full : RELIABILITY.once;
    const handle = raw.openStream(driver.now(), peerNodeId, streamId, reliability, window, weight);
    return new NetStream(core, handle, window, peerNodeId, streamId);
  } catch (error) {
    const word = messageOf(error);
    const texts: Record<string, string> = {
      'no-session': `no session for peer 0x${peerNodeId.toString(16)}`,
      reserved: 'stream 0xffffffffffffffff is the control stream',
      'too-many': 'too many streams with unacknowledged events',
    };
    const text = `open_stream failed: connection error: open_stream: ${texts[word] ?? word}`;
    throw new MeshringError('connection', text, { cause: error });
  }
}

/** A stream in numbers; null when peer or stream is unknown. */
export function streamStats(core: CoreNode, peerNodeId: bigint, streamId: bigint): StreamStats | null {
  checkU64('streamStats', 'peerNodeId', peerNodeId);
  checkU64('streamStats', 'streamId', streamId);
  const { raw, driver } = core;
  const n = raw.streamStats(peerNodeId, streamId);
  if (!n) return null;
  const at = (index: number): bigint => n[index] ?? 0n;
  const age = BigInt(raw.now?.() || driver.now()) - at(2);
  return {
    txSeq: at(0),
    rxSeq: at(1),
    inboundPending: 0n,
    lastActivityNs: BigInt(Date.now()) * 1_000_000n - (age > 0n ? age : 0n) * 1000n,
    active: true,
    backpressureEvents: at(3),
    txCreditRemaining: Number(at(4)),
    txWindow: Number(at(5)),
    creditGrantsReceived: at(6),
    creditGrantsSent: at(7),
    protocol: at(8) === 1n ? 'meshring' : 'net-0.19',
  };
}
