import { messageOf, ZebusError } from '../errors.js';
import {
  compileFields,
  FIELD_CODEC,
  type FieldCodec,
  type FieldDefs,
  type FieldsOf,
  type InitOf,
  readAll,
} from './proto/fields.js';
import { ProtoReader } from './proto/reader.js';
import { ProtoWriter } from './proto/writer.js';

declare const MESSAGE: unique symbol;

/** Symbol under which a message knows its type. Not enumerable. */
const TYPE = Symbol('zebus.type');

/** Command: exactly one handling peer. Event: any number. Message: a reply, neither. */
export type MessageKind = 'command' | 'event' | 'message';

/** A message made by `create`: its fields, and hidden its type. */
export type Message<T = unknown, K extends MessageKind = MessageKind, R = unknown> = T & {
  readonly [MESSAGE]: { kind: K; reply: R };
};

/** Encoder and decoder of one message. */
export interface MessageCodec<T> {
  encode(message: T): Uint8Array;
  decode(bytes: Uint8Array): T;
}

/** A protobufjs `Type` or generated class: `encode` gives a writer. */
export interface ProtobufjsCodec<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

/** A generated message class of protobuf-ts and others. */
export interface BinaryCodec<T> {
  toBinary(message: T): Uint8Array;
  fromBinary(bytes: Uint8Array): T;
}

/** Everything `codec` accepts. */
export type AnyCodec<T> = MessageCodec<T> | ProtobufjsCodec<T> | BinaryCodec<T>;

/** What all definitions have in common. */
export interface MessageOptions<K extends PropertyKey = string, R = unknown> {
  /** Namespace; full name = `${namespace}.${name}`. */
  readonly namespace: string;
  readonly name: string;
  /** Names of the routing members, in position order. */
  readonly routing?: readonly (K & string)[];
  /** Never persisted. Default false. */
  readonly transient?: boolean;
  /** Bypasses the queues, and may go to peers that do not respond. Default false. */
  readonly infrastructure?: boolean;
  /** Queue of its handlers that name none. Default `DefaultQueue`. */
  readonly dispatchQueue?: string;
  /** Type of a command's reply: `send` then knows it. */
  // biome-ignore lint/suspicious/noExplicitAny: only the decoded form matters here
  readonly reply?: MessageType<R, any>;
}

/** Definition by fields; the types of message and `create` follow from them. */
export interface FieldsDefinition<F extends FieldDefs, R = unknown> extends MessageOptions<keyof F, R> {
  readonly fields: F;
}

/** Definition of a message of a given type, by fields or by a codec. */
export interface MessageDefinition<T, R = unknown> extends MessageOptions<keyof NoInfer<T>, R> {
  readonly fields?: FieldDefs;
  readonly codec?: AnyCodec<T>;
}

/** A type of messages; made by `defineCommand`, `defineEvent` or `defineMessage`. */
export interface MessageType<T, I = T, K extends MessageKind = MessageKind, R = unknown> {
  readonly fullName: string;
  readonly kind: K;
  readonly transient: boolean;
  readonly infrastructure: boolean;
  readonly dispatchQueue: string | undefined;
  readonly routing: readonly string[];
  // biome-ignore lint/suspicious/noExplicitAny: only the decoded form matters here
  readonly reply: MessageType<R, any> | undefined;
  /** A message of this type. */
  create(init: I): Message<T, K, R>;
  /** Whether a value was made by `create` or `decode` of this type. */
  is(value: unknown): value is Message<T, K, R>;
  /** Protobuf bytes. Throws `ZebusError('codec')`. */
  encode(message: T): Uint8Array;
  /** The message of protobuf bytes. Throws `ZebusError('codec')`. */
  decode(bytes: Uint8Array): Message<T, K, R>;
}

/** A command's type; `R` is its reply. */
export type CommandType<T, I = T, R = unknown> = MessageType<T, I, 'command', R>;
/** An event's type. */
export type EventType<T, I = T> = MessageType<T, I, 'event'>;

type Plain = Record<string, unknown>;

/** The same type with what the bus needs of it. */
export interface AnyMessageType extends MessageType<unknown, unknown> {
  readonly [FIELD_CODEC]?: FieldCodec;
  /** Writes the message's content without a length. */
  write(message: unknown, writer: ProtoWriter): void;
  /** The message of a range of a buffer. */
  decodeRange(buffer: Buffer, start: number, end: number): unknown;
  /** Strings of the routing members, in position order; several strings where a member is a list. */
  routingContent(message: unknown): (string | string[])[];
}

/** Writers not in use: a codec may encode a message while another one is being written. */
const idle: ProtoWriter[] = [];

function bytesCodec<T>(name: string, codec: AnyCodec<T>): MessageCodec<T> {
  if ('toBinary' in codec && 'fromBinary' in codec) {
    return { encode: (m) => codec.toBinary(m), decode: (b) => codec.fromBinary(b) };
  }
  if (!('encode' in codec) || !('decode' in codec)) {
    throw new ZebusError('configuration', `${name}: codec must have encode and decode, or toBinary and fromBinary`);
  }
  return {
    encode: (message) => {
      const out = codec.encode(message);
      return out instanceof Uint8Array ? out : out.finish();
    },
    decode: (bytes) => codec.decode(bytes),
  };
}

function routingValue(value: unknown): string | string[] {
  if (Array.isArray(value)) return value.map((item) => String(item));
  return value === undefined || value === null ? '' : String(value);
}

function define(kind: MessageKind, definition: MessageDefinition<Plain>): AnyMessageType {
  const fullName = `${definition.namespace}.${definition.name}`;
  if (definition.fields === undefined && definition.codec === undefined) {
    throw new ZebusError('configuration', `${fullName}: needs fields or codec`);
  }
  // Messages share one prototype per type, so that the tag costs nothing per message.
  function Body(): void {}
  const compiled = definition.fields === undefined ? undefined : compileFields(fullName, definition.fields);
  const codec = definition.codec === undefined ? undefined : bytesCodec(fullName, definition.codec);
  const routing = definition.routing ?? [];
  const names = definition.fields === undefined ? undefined : Object.keys(definition.fields);
  for (const member of routing) {
    if (names !== undefined && !names.includes(member)) {
      throw new ZebusError('configuration', `${fullName}: routing member ${member} is not a field`);
    }
  }
  const fresh = Body as unknown as new () => Plain;
  const blank = (): Plain => {
    const target = new fresh();
    compiled?.fill(target);
    return target;
  };
  const tagged = (value: Plain): Plain =>
    Object.defineProperty(Object.isExtensible(value) ? value : { ...value }, TYPE, { value: type });
  const wrap = (text: string, cause: unknown): ZebusError =>
    new ZebusError('codec', text, { messageType: fullName, cause });

  const type = {
    fullName,
    kind,
    transient: definition.transient ?? false,
    infrastructure: definition.infrastructure ?? false,
    dispatchQueue: definition.dispatchQueue,
    routing,
    reply: definition.reply,
    ...(compiled === undefined ? {} : { [FIELD_CODEC]: compiled.codec }),
    blank,
    create(init: Plain): Plain {
      if (compiled === undefined) return tagged({ ...init });
      const message = blank();
      for (const name of names ?? []) {
        const value = init[name];
        if (value !== undefined) message[name] = Array.isArray(value) ? [...value] : value;
      }
      return message;
    },
    is: (value: unknown): boolean => typeOf(value) === (type as unknown),
    write(message: Plain, writer: ProtoWriter): void {
      if (compiled !== undefined) compiled.codec.write(message, writer);
      else writer.raw(encodeByCodec(message));
    },
    encode(message: Plain): Uint8Array {
      if (compiled === undefined) return encodeByCodec(message);
      const writer = idle.pop() ?? new ProtoWriter();
      try {
        compiled.codec.write(message, writer);
        return writer.finish();
      } finally {
        writer.discard();
        idle.push(writer);
      }
    },
    decodeRange(buffer: Buffer, start: number, end: number): Plain {
      if (compiled === undefined) return type.decode(buffer.subarray(start, end));
      const message = blank();
      compiled.codec.read(new ProtoReader(buffer, start, end), message, 0);
      return message;
    },
    decode(bytes: Uint8Array): Plain {
      if (compiled !== undefined) {
        const message = blank();
        readAll(compiled.codec, bytes, message);
        return message;
      }
      try {
        return tagged((codec as MessageCodec<Plain>).decode(bytes));
      } catch (error) {
        throw wrap(messageOf(error), error);
      }
    },
    routingContent: (message: Plain): (string | string[])[] => routing.map((name) => routingValue(message[name])),
  };
  function encodeByCodec(message: Plain): Uint8Array {
    try {
      return (codec as MessageCodec<Plain>).encode(message);
    } catch (error) {
      throw wrap(messageOf(error), error);
    }
  }
  Object.defineProperty(Body.prototype, TYPE, { value: type });
  Object.defineProperty(Body.prototype, 'constructor', { value: Object });
  return type as unknown as AnyMessageType;
}

/** The type of a message made by `create` or `decode`; `undefined` for anything else. */
export function typeOf(value: unknown): AnyMessageType | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  return (value as { [TYPE]?: AnyMessageType })[TYPE];
}

/** The type of a message; throws `invalid-operation` for values that no type made. */
export function requireType(value: unknown): AnyMessageType {
  const type = typeOf(value);
  if (type === undefined) {
    throw new ZebusError('invalid-operation', 'not a message: make it with the create() of its type');
  }
  return type;
}

/**
 * Defines a command.
 *
 * @example
 * const EchoCommand = defineCommand({
 *   namespace: 'Echo', name: 'EchoCommand',
 *   fields: { msg: { tag: 1, type: 'string', required: true } },
 * });
 */
export function defineCommand<const F extends FieldDefs, R = unknown>(
  definition: FieldsDefinition<F, R>,
): CommandType<FieldsOf<F>, InitOf<F>, R>;
export function defineCommand<T, R = unknown>(definition: MessageDefinition<T, R>): CommandType<T, T, R>;
export function defineCommand(definition: unknown): unknown {
  return define('command', definition as MessageDefinition<Plain>);
}

/** Defines an event. */
export function defineEvent<const F extends FieldDefs>(
  definition: FieldsDefinition<F>,
): EventType<FieldsOf<F>, InitOf<F>>;
export function defineEvent<T>(definition: MessageDefinition<T>): EventType<T>;
export function defineEvent(definition: unknown): unknown {
  return define('event', definition as MessageDefinition<Plain>);
}

/** Defines a message that is neither command nor event: a reply, or a part of other messages. */
export function defineMessage<const F extends FieldDefs>(
  definition: FieldsDefinition<F>,
): MessageType<FieldsOf<F>, InitOf<F>, 'message'>;
export function defineMessage<T>(definition: MessageDefinition<T>): MessageType<T, T, 'message'>;
export function defineMessage(definition: unknown): unknown {
  return define('message', definition as MessageDefinition<Plain>);
}
