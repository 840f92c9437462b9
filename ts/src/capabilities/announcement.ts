/** Announcements: canonical JSON, signature, decoding (40 §5). */
import { nodeIdOf, verifySignature } from '../identity/index.js';
import { JsonMalformed, JsonReader } from './json.js';
import { canonicalSocketAddress } from './socket-address.js';
import { compareUtf8, sortedDistinct } from './utf8-order.js';

/** Subprotocol id, and stream id, of announcements. */
export const ANNOUNCEMENT_SUBPROTOCOL = 0x0c00;
/** Longest announcement that a receiver accepts, in bytes. */
export const MAX_ANNOUNCEMENT_BYTES = 8108;
/** Longest announcement of one's own: what 15 hops add still fits. */
export const MAX_OWN_ANNOUNCEMENT_BYTES = 8093;
/** Life of an announcement by default, in seconds. */
export const ANNOUNCEMENT_TTL_SECS = 300;
/** Announcements with this hop count are not forwarded any more. */
export const MAX_HOPS = 15;

/** What a node says about itself at one moment. */
export interface Announcement {
  readonly nodeId: bigint;
  /** 32 bytes. */
  readonly entityId: Uint8Array;
  readonly version: bigint;
  /** Unix time of its making, in nanoseconds. */
  readonly timestampNs: bigint;
  /** Life in seconds, u32. */
  readonly ttlSecs: number;
  /** Distinct, in UTF-8 order. */
  readonly tags: readonly string[];
  readonly metadata: ReadonlyMap<string, string>;
  /** 64 bytes. */
  readonly signature?: Uint8Array;
  /** How often it was forwarded, u8. */
  readonly hopCount: number;
  /** Address as seen from outside, canonical text. */
  readonly reflexAddr?: string;
}

/** Signs messages: an `Identity`. */
export interface AnnouncementSigner {
  sign(message: Uint8Array): Uint8Array;
}

const U64_MAX = 0xffff_ffff_ffff_ffffn;
const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** Value of a hex digit by its ASCII code, -1 for anything else. */
const NIBBLES = Int8Array.from({ length: 128 }, (_, code) => {
  const digit = String.fromCharCode(code).toLowerCase();
  return '0123456789abcdef'.indexOf(digit);
});

function toHex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += HEX[byte];
  return text;
}

function fromHex(text: string, length: number): Uint8Array {
  if (text.length !== 2 * length) throw new JsonMalformed('not hex');
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) {
    const high = NIBBLES[text.charCodeAt(2 * i)] ?? -1;
    const low = NIBBLES[text.charCodeAt(2 * i + 1)] ?? -1;
    if ((high | low) < 0) throw new JsonMalformed('not hex');
    bytes[i] = (high << 4) | low;
  }
  return bytes;
}

/** `{…` up to and with the capabilities, without the closing brace. */
function head(a: Announcement): string {
  const tags = sortedDistinct(a.tags).map((tag) => JSON.stringify(tag));
  const entries = [...a.metadata].sort(([x], [y]) => compareUtf8(x, y));
  const metadata = entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
  return (
    `{"node_id":${a.nodeId},"entity_id":"${toHex(a.entityId)}","version":${a.version},"timestamp_ns":${a.timestampNs},` +
    `"ttl_secs":${a.ttlSecs},"capabilities":{"tags":[${tags.join(',')}],"metadata":{${metadata.join(',')}}}`
  );
}

function tail(a: Announcement): string {
  return a.reflexAddr === undefined ? '}' : `,"reflex_addr":"${a.reflexAddr}"}`;
}

/** The bytes that the signature covers: no signature, no hop count. */
export function signedPayload(a: Announcement): Uint8Array {
  return encoder.encode(head(a) + tail(a));
}

/** The canonical bytes. Strings must be well-formed. */
export function encodeAnnouncement(a: Announcement): Uint8Array {
  const signature = a.signature ? `,"signature":"${toHex(a.signature)}"` : '';
  const hops = a.hopCount > 0 ? `,"hop_count":${a.hopCount}` : '';
  return encoder.encode(head(a) + signature + hops + tail(a));
}

/** A copy signed by an identity, which must be the one of `entityId` for others to accept it. */
export function signAnnouncement(a: Announcement, signer: AnnouncementSigner): Announcement {
  return { ...a, hopCount: 0, signature: new Uint8Array(signer.sign(signedPayload(a))) };
}

/** Whether the key of `entityId` made the signature. That the node id belongs to the key is not looked at. */
export function verifyAnnouncement(a: Announcement): boolean {
  return a.signature !== undefined && verifySignature(a.entityId, signedPayload(a), a.signature);
}

/** Whether the node id is the one that follows from the key. */
export function hasDerivedNodeId(a: Announcement): boolean {
  return nodeIdOf(a.entityId) === a.nodeId;
}

/** Decodes received bytes; `undefined` for anything malformed. The signature is not checked. */
export function decodeAnnouncement(bytes: Uint8Array): Announcement | undefined {
  if (bytes.length > MAX_ANNOUNCEMENT_BYTES) return undefined;
  try {
    return read(new JsonReader(decoder.decode(bytes)));
  } catch (error) {
    // TypeError: not UTF-8.
    if (error instanceof JsonMalformed || error instanceof TypeError) return undefined;
    throw error;
  }
}

const HEAD = /^\{"node_id":([0-9]{1,20}),"entity_id":"[0-9a-fA-F]{64}","version":([0-9]{1,20}),/;
const TAIL = /(,"hop_count":[1-9][0-9]{0,2})?(?:,"reflex_addr":"[^"\\]*")?\}$/;
/** Bytes within which `HEAD` and `TAIL` find what they look for. */
const HEAD_BYTES = 150;
const TAIL_BYTES = 100;
const lenient = new TextDecoder();

/**
 * Which announcement canonical bytes hold, without decoding them: enough to drop copies cheaply. `undefined` when the bytes
 * are not in the canonical order.
 */
export function peekAnnouncement(bytes: Uint8Array): { key: string; direct: boolean } | undefined {
  const head = HEAD.exec(lenient.decode(bytes.subarray(0, HEAD_BYTES)));
  const tail = TAIL.exec(lenient.decode(bytes.subarray(Math.max(0, bytes.length - TAIL_BYTES))));
  if (!head || !tail) return undefined;
  return { key: `${head[1]}:${head[2]}`, direct: tail[1] === undefined };
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Calls `known[name]` for each field; the same known name twice is malformed, other names are read over. */
function fields(reader: JsonReader, known: Readonly<Record<string, () => void>>): void {
  const seen = new Set<string>();
  reader.object((name) => {
    const field = Object.hasOwn(known, name) ? known[name] : undefined;
    if (!field) {
      reader.skip();
      return;
    }
    if (seen.has(name)) throw new JsonMalformed('duplicate field');
    seen.add(name);
    field();
  });
}

function read(reader: JsonReader): Announcement {
  const a: Partial<Mutable<Announcement>> = {};
  const metadata = new Map<string, string>();
  const tags: string[] = [];
  const readTag = () => {
    const tag = reader.string();
    if (tag === '') throw new JsonMalformed('empty tag');
    tags.push(tag);
  };
  const readCapabilities = () => {
    a.tags = tags;
    fields(reader, {
      tags: () => reader.array(readTag),
      metadata: () =>
        reader.object((key) => {
          metadata.set(key, reader.string());
        }),
    });
  };
  fields(reader, {
    node_id: () => {
      a.nodeId = reader.integer(U64_MAX);
    },
    entity_id: () => {
      a.entityId = fromHex(reader.string(), 32);
    },
    version: () => {
      a.version = reader.integer(U64_MAX);
    },
    timestamp_ns: () => {
      a.timestampNs = reader.integer(U64_MAX);
    },
    ttl_secs: () => {
      a.ttlSecs = Number(reader.integer(0xffff_ffffn));
    },
    capabilities: readCapabilities,
    signature: () => {
      if (!reader.isNull()) a.signature = fromHex(reader.string(), 64);
    },
    hop_count: () => {
      a.hopCount = Number(reader.integer(255n));
    },
    reflex_addr: () => {
      if (reader.isNull()) return;
      a.reflexAddr = canonicalSocketAddress(reader.string());
      if (a.reflexAddr === undefined) throw new JsonMalformed('not an address');
    },
  });
  reader.end();
  const { nodeId, entityId, version, timestampNs, ttlSecs } = a;
  if (
    nodeId === undefined ||
    entityId === undefined ||
    version === undefined ||
    timestampNs === undefined ||
    ttlSecs === undefined ||
    a.tags === undefined
  ) {
    throw new JsonMalformed('missing field');
  }
  return {
    nodeId,
    entityId,
    version,
    timestampNs,
    ttlSecs,
    tags: sortedDistinct(tags),
    metadata,
    hopCount: a.hopCount ?? 0,
    ...(a.signature ? { signature: a.signature } : {}),
    ...(a.reflexAddr === undefined ? {} : { reflexAddr: a.reflexAddr }),
  };
}
