/** Events with the fields of the published package. */
import { shown } from './core-node.js';
import type { MeshEvent } from './inbox.js';

/** An event as `poll` returns it. */
export interface MeshStoredEvent {
  /** `<sequence>:<index>`. */
  id: string;
  /** Text if the bytes are UTF-8, else empty. */
  raw: string;
  /** The bytes. */
  rawBytes: Buffer;
  /** Sequence of the packet. */
  insertionTs: number;
  /** `streamId mod numShards`. */
  shardId: number;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function asText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return '';
  }
}

/** What `poll` returns for an event of a node with so many shards. */
export function storedEvent(event: MeshEvent, shards: bigint): MeshStoredEvent {
  return {
    id: `${event.sequence}:${event.index}`,
    raw: asText(event.bytes),
    rawBytes: shown(event.bytes),
    insertionTs: Number(event.sequence),
    shardId: Number(event.streamId % shards),
  };
}
