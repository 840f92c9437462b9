import { ZebusError } from '../errors.js';
import type { AnyMessageType } from './message-type.js';
import { PeerId } from './peer.js';
import { readGuid, writeGuid } from './proto/fields.js';
import { ProtoReader } from './proto/reader.js';
import { ProtoWriter } from './proto/writer.js';

/** Who sent a message. */
export interface OriginatorInfo {
  readonly senderId: PeerId;
  readonly senderEndpoint: string;
  readonly machineName?: string;
  readonly initiatorUserName?: string;
}

/** The envelope: one ZeroMQ frame (71 §5). */
export interface TransportMessage {
  /** 16 opaque bytes. */
  readonly id: Uint8Array;
  readonly messageType: string;
  readonly content: Uint8Array;
  readonly originator: OriginatorInfo;
  /** Absent: accepted by every environment. */
  readonly environment: string | undefined;
  /** Absent: unknown. */
  readonly wasPersisted: boolean | undefined;
  readonly persistentPeerIds: readonly string[];
}

// Field keys of TransportMessage and of its parts.
const ID = 0x0a;
const MESSAGE_TYPE = 0x12;
const CONTENT = 0x1a;
const ORIGINATOR = 0x22;
const ENVIRONMENT = 0x2a;
const WAS_PERSISTED = 0x30;
const PERSISTENT_PEER_ID = 0x3a;
const VALUE = 0x0a;
/** Where the halves of the id lie in a frame: after the keys and lengths of MessageId, Guid and the half itself. */
const ID_LO = 5;
const ID_HI = 14;
const BLANK = new Uint8Array(16);

/** Values of byte ranges that come again and again (type names, originators): compared, not decoded again. */
class Interned<V> {
  private readonly slots = new Array<{ bytes: Uint8Array; value: V } | undefined>(256);
  private readonly read: (reader: ProtoReader) => V;

  constructor(read: (reader: ProtoReader) => V) {
    this.read = read;
  }

  get(reader: ProtoReader): V {
    const size = reader.size();
    const { buffer, pos } = reader;
    const end = pos + size;
    reader.pos = end;
    let hash = size;
    for (let i = Math.max(pos, end - 12); i < end; i++) hash = (hash * 31 + (buffer[i] as number)) & 0xffffff;
    hash &= 0xff;
    const slot = this.slots[hash];
    if (slot !== undefined && slot.bytes.length === size && same(slot.bytes, buffer, pos, size)) return slot.value;
    const value = this.read(new ProtoReader(buffer, pos, end));
    if (size <= 512) this.slots[hash] = { bytes: Uint8Array.prototype.slice.call(buffer, pos, end), value };
    return value;
  }
}

function same(bytes: Uint8Array, buffer: Buffer, pos: number, size: number): boolean {
  for (let i = 0; i < size; i++) if (bytes[i] !== buffer[pos + i]) return false;
  return true;
}

function readWrapped(reader: ProtoReader): string {
  let value = '';
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === VALUE) value = reader.string();
    else reader.skip(tag);
  }
  return value;
}

function readOriginator(reader: ProtoReader): OriginatorInfo {
  let senderId = '';
  let senderEndpoint = '';
  let machineName: string | undefined;
  let userName: string | undefined;
  let rustUserName: string | undefined;
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === 0x0a) senderId = readWrapped(reader.message());
    else if (tag === 0x12) senderEndpoint = reader.string();
    else if (tag === 0x1a) machineName = reader.string();
    else if (tag === 0x22) rustUserName = reader.string();
    else if (tag === 0x2a) userName = reader.string();
    else reader.skip(tag);
  }
  const initiatorUserName = userName ?? rustUserName;
  return {
    senderId: new PeerId(senderId),
    senderEndpoint,
    ...(machineName === undefined ? {} : { machineName }),
    ...(initiatorUserName === undefined ? {} : { initiatorUserName }),
  };
}

const typeNames = new Interned(readWrapped);
const originators = new Interned(readOriginator);
const environments = new Interned((reader) => reader.buffer.toString('utf8', reader.pos, reader.end));
const NO_ORIGINATOR: OriginatorInfo = { senderId: new PeerId(''), senderEndpoint: '' };
const NOBODY: readonly string[] = [];

/** Whether the id has the form that every peer writes: MessageId { Guid { lo, hi } }. */
function isPlainId({ buffer, pos, end }: ProtoReader): boolean {
  return (
    end - pos >= 21 &&
    buffer[pos] === 20 &&
    buffer[pos + 1] === 0x0a &&
    buffer[pos + 2] === 18 &&
    buffer[pos + 3] === 0x09 &&
    buffer[pos + 12] === 0x11
  );
}

function readId(reader: ProtoReader): Buffer | undefined {
  let id: Buffer | undefined;
  while (!reader.done) {
    const tag = reader.tag();
    if (tag === VALUE) id = readGuid(reader.message());
    else reader.skip(tag);
  }
  return id;
}

/** A decoded envelope. Id and content are cut out when they are asked for: most messages never ask for their id. */
class Envelope implements TransportMessage {
  readonly frame: Buffer;
  messageType = '';
  originator: OriginatorInfo = NO_ORIGINATOR;
  environment: string | undefined = undefined;
  wasPersisted: boolean | undefined = undefined;
  persistentPeerIds: readonly string[] = NOBODY;
  /** Where a plain id begins; -1: see `idBytes`. */
  idAt = -1;
  idBytes: Buffer | undefined = undefined;
  contentStart = 0;
  contentEnd = 0;

  constructor(frame: Buffer) {
    this.frame = frame;
  }

  get id(): Uint8Array {
    if (this.idBytes === undefined) {
      const id = Buffer.allocUnsafe(16);
      this.frame.copy(id, 0, this.idAt + 4, this.idAt + 12);
      this.frame.copy(id, 8, this.idAt + 13, this.idAt + 21);
      this.idBytes = id;
    }
    return this.idBytes;
  }

  get content(): Uint8Array {
    return this.frame.subarray(this.contentStart, this.contentEnd);
  }
}

/** Used again for every envelope: nothing of the application runs while one is read. */
const NOTHING = Buffer.alloc(0);
const envelopeReader = new ProtoReader(NOTHING);

/** Decodes an envelope; throws `codec` when it is malformed, or has no id, type or sender. */
export function decodeTransport(frame: Uint8Array): TransportMessage {
  const buffer = Buffer.isBuffer(frame) ? frame : Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  const reader = envelopeReader;
  reader.restart(buffer);
  const message = new Envelope(buffer);
  let persistentPeerIds: string[] | undefined;
  while (!reader.done) {
    const tag = reader.tag();
    switch (tag) {
      case ID:
        if (isPlainId(reader)) {
          message.idAt = reader.pos;
          reader.pos += 21;
        } else {
          message.idBytes = readId(reader.message());
        }
        break;
      case MESSAGE_TYPE:
        message.messageType = typeNames.get(reader);
        break;
      case CONTENT: {
        const size = reader.size();
        message.contentStart = reader.pos;
        reader.pos += size;
        message.contentEnd = reader.pos;
        break;
      }
      case ORIGINATOR:
        message.originator = originators.get(reader);
        break;
      case ENVIRONMENT:
        message.environment = environments.get(reader);
        break;
      case WAS_PERSISTED:
        message.wasPersisted = reader.bool();
        break;
      case PERSISTENT_PEER_ID:
        persistentPeerIds ??= [];
        persistentPeerIds.push(readWrapped(reader.message()));
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.restart(NOTHING);
  if (persistentPeerIds !== undefined) message.persistentPeerIds = persistentPeerIds;
  const { messageType } = message;
  if (message.idAt < 0 && message.idBytes === undefined) throw new ZebusError('codec', 'transport message without id');
  if (messageType === '') throw new ZebusError('codec', 'transport message without type');
  if (message.originator.senderId.value === '') {
    throw new ZebusError('codec', 'transport message without sender', { messageType });
  }
  return message;
}

/** The content of an envelope as a message of this type. */
export function decodeContent(type: AnyMessageType, message: TransportMessage): unknown {
  if (message instanceof Envelope) return type.decodeRange(message.frame, message.contentStart, message.contentEnd);
  return type.decode(message.content);
}

/** The same envelope as the persistence would deliver it. */
export function asPersisted(message: TransportMessage): TransportMessage {
  const { id, messageType, content, originator, environment, persistentPeerIds } = message;
  return { id, messageType, content, originator, environment, wasPersisted: true, persistentPeerIds };
}

const writer = new ProtoWriter();

function wrapped(key: number, value: string): void {
  writer.byte(key);
  const mark = writer.open();
  writer.byte(VALUE);
  writer.string(value);
  writer.close(mark);
}

function writeOriginator(originator: OriginatorInfo): void {
  writer.byte(ORIGINATOR);
  const mark = writer.open();
  wrapped(0x0a, originator.senderId.value);
  writer.byte(0x12);
  writer.string(originator.senderEndpoint);
  if (originator.machineName !== undefined) {
    writer.byte(0x1a);
    writer.string(originator.machineName);
  }
  if (originator.initiatorUserName !== undefined) {
    writer.byte(0x2a);
    writer.string(originator.initiatorUserName);
  }
  writer.close(mark);
}

function writeId(id: Uint8Array): void {
  writer.byte(ID);
  writer.byte(20);
  writer.byte(VALUE);
  writeGuid(writer, id);
}

/** Bytes of an envelope, fields in ascending order. */
export function encodeTransport(message: TransportMessage): Buffer {
  writeId(message.id);
  wrapped(MESSAGE_TYPE, message.messageType);
  writer.byte(CONTENT);
  writer.bytes(message.content);
  writeOriginator(message.originator);
  if (message.environment !== undefined) {
    writer.byte(ENVIRONMENT);
    writer.string(message.environment);
  }
  if (message.wasPersisted !== undefined) {
    writer.byte(WAS_PERSISTED);
    writer.byte(message.wasPersisted ? 1 : 0);
  }
  for (const id of message.persistentPeerIds) wrapped(PERSISTENT_PEER_ID, id);
  return writer.finish();
}

/** A frame made here, and its id. */
export interface OutboundFrame {
  /** Its last byte is `was_persisted`, written false. */
  readonly bytes: Buffer;
  readonly id: Uint8Array;
}

/** Makes the frames of one peer: what never changes between its messages is encoded once. */
export class FrameFactory {
  private readonly tail: Uint8Array;
  private readonly heads = new Map<string, Uint8Array>();
  /** What the frames say of their sender. */
  readonly originator: OriginatorInfo;
  readonly environment: string;

  constructor(originator: OriginatorInfo, environment: string) {
    this.originator = originator;
    this.environment = environment;
    writeOriginator(originator);
    writer.byte(ENVIRONMENT);
    writer.string(environment);
    writer.byte(WAS_PERSISTED);
    writer.byte(0);
    this.tail = Uint8Array.from(writer.finish());
  }

  /** Everything before the content, with a blank id. */
  private head(messageType: string): Uint8Array {
    let head = this.heads.get(messageType);
    if (head === undefined) {
      writeId(BLANK);
      wrapped(MESSAGE_TYPE, messageType);
      writer.byte(CONTENT);
      head = Uint8Array.from(writer.finish());
      if (this.heads.size < 4096) this.heads.set(messageType, head);
    }
    return head;
  }

  /** Frame of a message with a fresh id. The content is written in place. */
  event(type: AnyMessageType, message: unknown): Buffer {
    const head = this.head(type.fullName);
    try {
      writer.rawWithGuid(head, ID_LO, ID_HI);
      const mark = writer.open();
      type.write(message, writer);
      writer.close(mark);
      writer.raw(this.tail);
      return writer.finish();
    } catch (error) {
      writer.discard();
      throw error;
    }
  }

  /** Frame and id of a command. */
  command(type: AnyMessageType, message: unknown): OutboundFrame {
    const bytes = this.event(type, message);
    const id = Buffer.allocUnsafe(16);
    bytes.copy(id, 0, ID_LO, ID_LO + 8);
    bytes.copy(id, 8, ID_HI, ID_HI + 8);
    return { id, bytes };
  }

  /** Frame of content that is already encoded. */
  raw(messageType: string, content: Uint8Array): Buffer {
    writer.rawWithGuid(this.head(messageType), ID_LO, ID_HI);
    writer.bytes(content);
    writer.raw(this.tail);
    return writer.finish();
  }
}

/** The same frame with another `was_persisted`, and with the persistent targets, if any, at its end. */
export function persistedFrame(frame: Buffer, wasPersisted: boolean, targets: readonly string[] = []): Buffer {
  writer.raw(frame.subarray(0, frame.length - 1));
  writer.byte(wasPersisted ? 1 : 0);
  for (const id of targets) wrapped(PERSISTENT_PEER_ID, id);
  return writer.finish();
}
