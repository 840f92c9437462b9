/** A Zebus-compatible peer-to-peer service bus: commands, events and routing over ZeroMQ, with a directory. */
export { DomainError, ZebusError, type ZebusErrorKind } from '../errors.js';
export type {
  Bus,
  BusEvents,
  BusState,
  BusStats,
  HandledEvent,
  SubscribeOptions,
  Subscription,
  TypeStats,
} from './bus-api.js';
export { BusBuilder } from './bus-builder.js';
export { CommandResult, ErrorCode } from './command-result.js';
export {
  type BusConfiguration,
  type ConfigurationProvider,
  FileConfigurationProvider,
  FileConfigurationProvider as DefaultConfigurationProvider,
  type ProviderOptions,
  type ZmqTransportConfiguration,
} from './configuration.js';
export type { Ticks } from './datetime.js';
export type { PeerChange } from './directory-client.js';
export { DirectoryServer, type DirectoryServerConfiguration } from './directory-server.js';
export {
  type BatchHandlerFn,
  type BatchOptions,
  type Bind,
  type HandlerContext,
  type HandlerFn,
  type HandlerOptions,
  type HandlerResult,
  type HandlerSet,
  MessageHandler,
  type Registration,
} from './dispatch/message-handler.js';
export type { Duration } from './duration.js';
export { guidBytes, guidText } from './guid.js';
export { MemoryTransport } from './memory-transport.js';
export {
  type AnyCodec,
  type AnyMessageType,
  type BinaryCodec,
  type CommandType,
  defineCommand,
  defineEvent,
  defineMessage,
  type EventType,
  type FieldsDefinition,
  type Message,
  type MessageCodec,
  type MessageDefinition,
  type MessageKind,
  type MessageOptions,
  type MessageType,
  type ProtobufjsCodec,
} from './message-type.js';
export { type BindingKey, type Peer, type PeerDescriptor, PeerId, type PeerSubscription } from './peer.js';
export type { SendOptions } from './pending-commands.js';
export type { FieldDef, FieldDefs, FieldsOf, InitOf, ScalarType } from './proto/fields.js';
export { CustomProcessingFailed, MessageProcessingFailed, RustMessageProcessingFailed } from './system-messages.js';
export type { Destination, Transport, TransportEvents, TransportStats } from './transport.js';
export { decodeTransport, encodeTransport, type OriginatorInfo, type TransportMessage } from './transport-message.js';
export type { ZmqSocketOptions } from './zmq-options.js';
export { ZmqTransport } from './zmq-transport.js';
