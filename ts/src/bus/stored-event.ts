import { platform } from '../platform/node.js';
import type { StoredEvent as StoredEventData } from '../types.js';

const encoder = new TextEncoder();

/** An event as polled: four own properties, and the payload bytes on demand. */
export class StoredEvent implements StoredEventData {
  /** Id in the store, unique within a shard. */
  id: string;
  /** Payload as text; `''` if it is not valid UTF-8. */
  raw: string;
  /** Insertion time stamp, nanoseconds; exact up to 2^53. */
  insertionTs: number;
  /** Shard that was read. */
  shardId: number;
  /** Stable id over a producer's retries, where the store has one. */
  declare dedupId?: string;

  constructor(id: string, raw: string, insertionTs: number, shardId: number) {
    this.id = id;
    this.raw = raw;
    this.insertionTs = insertionTs;
    this.shardId = shardId;
  }

  /** Payload bytes, a new copy at each access. */
  get rawBytes(): Uint8Array {
    return platform.bytes(encoder.encode(this.raw));
  }
}

/** An event whose payload is not valid UTF-8: `raw` is `''` and the bytes are kept. */
export class BinaryStoredEvent extends StoredEvent {
  readonly #bytes: Uint8Array;

  constructor(id: string, bytes: Uint8Array, insertionTs: number, shardId: number) {
    super(id, '', insertionTs, shardId);
    this.#bytes = bytes;
  }

  override get rawBytes(): Uint8Array {
    return platform.bytes(this.#bytes.slice());
  }
}

// The byte order mark is part of the payload.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Builds an event from payload bytes. `bytes` is copied where it must be kept. */
export function storedEvent(
  id: string,
  bytes: Uint8Array,
  insertionTs: number,
  shardId: number,
  dedupId?: string,
): StoredEvent {
  let event: StoredEvent;
  try {
    event = new StoredEvent(id, decoder.decode(bytes), insertionTs, shardId);
  } catch {
    event = new BinaryStoredEvent(id, bytes.slice(), insertionTs, shardId);
  }
  if (dedupId !== undefined) event.dedupId = dedupId;
  return event;
}
