/** Reads the records that `takeEvents` and `takeDeliveries` return (native/src/port/batch.rs). */

/** One packet's events. */
export interface Packet {
  /** Node id of the sender. */
  readonly peer: bigint;
  /** Stream within the session. */
  readonly streamId: bigint;
  /** Sequence of the packet. */
  readonly sequence: bigint;
  /** 0 for plain events. */
  readonly subprotocol: number;
  /** Low 16 bits of the channel's hash on publishes. */
  readonly channelHash: number;
  /** Low 32 bits of the sender's origin hash on publishes. */
  readonly originHash: number;
  /** Whether the channel's hash is to be believed. */
  readonly isPublish: boolean;
  /** On publishes, the number of the channel that this node expects there; 0 = none. */
  readonly channel: number;
  /** The events, in order; views of the batch. */
  readonly events: Uint8Array[];
}

/** What can happen to a peer, by code. */
export const PEER_CHANGES = ['joined', 'suspected', 'failed', 'recovered', 'moved', 'left'] as const;

/** Why a handshake failed, by code. */
export const HANDSHAKE_FAILURES = ['handshake timeout', 'handshake channel dropped', 'peer table is full'] as const;

/** A record that is not a packet of plain events. */
export type Happening =
  | { readonly kind: 'message'; readonly packet: Packet }
  | { readonly kind: 'handshake'; readonly id: number; readonly peer: bigint; readonly link: string }
  | { readonly kind: 'handshake-failed'; readonly id: number; readonly reason: string }
  | { readonly kind: 'peer'; readonly peer: bigint; readonly change: (typeof PEER_CHANGES)[number] }
  | { readonly kind: 'flushed'; readonly stream: bigint }
  | { readonly kind: 'room'; readonly peer: bigint; readonly stream: bigint }
  | { readonly kind: 'keep-alive'; readonly sender: bigint; readonly from: string };

const PACKET_HEAD = 44;
const SMALL_HEAD = 24;
const text = new TextDecoder();

function readPacket(bytes: Uint8Array, view: DataView, at: number): { packet: Packet; next: number } {
  const length = view.getUint32(at + 12, true);
  const count = view.getUint16(at + 4, true);
  const events: Uint8Array[] = new Array(count);
  let from = at + PACKET_HEAD;
  for (let n = 0; n < count; n++) {
    const size = view.getUint32(from, true);
    events[n] = bytes.subarray(from + 4, from + 4 + size);
    from += 4 + size;
  }
  const packet = {
    peer: view.getBigUint64(at + 16, true),
    streamId: view.getBigUint64(at + 24, true),
    sequence: view.getBigUint64(at + 32, true),
    subprotocol: view.getUint16(at + 2, true),
    channelHash: view.getUint16(at + 6, true),
    originHash: view.getUint32(at + 8, true),
    isPublish: view.getUint8(at + 1) === 1,
    channel: view.getUint32(at + 40, true),
    events,
  };
  return { packet, next: at + PACKET_HEAD + length };
}

/** Records of packets with one event each, as `RawBus.placePackets` takes them: of the head only the stream counts there. */
export function packetRecords(
  events: readonly { readonly streamId: bigint; readonly bytes: Uint8Array }[],
): Uint8Array {
  const size = events.reduce((sum, { bytes }) => sum + PACKET_HEAD + 4 + bytes.length, 0);
  const out = new Uint8Array(size);
  const view = new DataView(out.buffer);
  let at = 0;
  for (const { streamId, bytes } of events) {
    view.setUint16(at + 4, 1, true);
    view.setUint32(at + 12, 4 + bytes.length, true);
    view.setBigUint64(at + 24, streamId, true);
    view.setUint32(at + PACKET_HEAD, bytes.length, true);
    out.set(bytes, at + PACKET_HEAD + 4);
    at += PACKET_HEAD + 4 + bytes.length;
  }
  return out;
}

/** Packets of plain events. */
export function readPackets(bytes: Uint8Array): Packet[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const packets: Packet[] = [];
  for (let at = 0; at < bytes.length; ) {
    const { packet, next } = readPacket(bytes, view, at);
    packets.push(packet);
    at = next;
  }
  return packets;
}

/** Everything else. */
export function readHappenings(bytes: Uint8Array): Happening[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out: Happening[] = [];
  for (let at = 0; at < bytes.length; ) {
    const kind = view.getUint8(at);
    if (kind <= 1) {
      const { packet, next } = readPacket(bytes, view, at);
      out.push({ kind: 'message', packet });
      at = next;
      continue;
    }
    const code = view.getUint8(at + 1);
    const length = view.getUint16(at + 2, true);
    const a = view.getBigUint64(at + 8, true);
    const b = view.getBigUint64(at + 16, true);
    const link = text.decode(bytes.subarray(at + SMALL_HEAD, at + SMALL_HEAD + length));
    if (kind === 2) out.push({ kind: 'handshake', id: Number(a), peer: b, link });
    else if (kind === 3) {
      out.push({ kind: 'handshake-failed', id: Number(a), reason: HANDSHAKE_FAILURES[code] ?? 'handshake failed' });
    } else if (kind === 4) out.push({ kind: 'peer', peer: a, change: PEER_CHANGES[code] ?? 'moved' });
    else if (kind === 6) out.push({ kind: 'flushed', stream: a });
    else if (kind === 7) out.push({ kind: 'room', peer: a, stream: b });
    else out.push({ kind: 'keep-alive', sender: a, from: link });
    at += SMALL_HEAD + length;
  }
  return out;
}
