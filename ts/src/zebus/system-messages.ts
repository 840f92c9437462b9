import { defineCommand, defineEvent, defineMessage } from './message-type.js';

// The protocol's messages (71 §5). Time stamps are 100 ns ticks, so that nothing is lost; a transport message inside
// another one is kept as its bytes.
const string = (tag: number) => ({ tag, type: 'string', required: true }) as const;
const bool = (tag: number) => ({ tag, type: 'bool', required: true }) as const;
const optionalTime = (tag: number) => ({ tag, type: 'ticks' }) as const;
const time = (tag: number) => ({ tag, type: 'ticks', required: true }) as const;

const part = { namespace: 'Abc.Zebus' } as const;
export const WireMessageId = defineMessage({
  ...part,
  name: 'MessageId',
  fields: { value: { tag: 1, type: 'guid', required: true } },
});
export const WireTypeId = defineMessage({ ...part, name: 'MessageTypeId', fields: { fullName: string(1) } });
export const WirePeerId = defineMessage({ ...part, name: 'PeerId', fields: { value: string(1) } });
export const WirePeer = defineMessage({
  ...part,
  name: 'Peer',
  fields: {
    id: { tag: 1, type: WirePeerId, required: true },
    endpoint: string(2),
    isUp: bool(3),
    isResponding: { tag: 4, type: 'bool' },
  },
});
export const WireBindingKey = defineMessage({
  ...part,
  name: 'BindingKey',
  fields: { parts: { tag: 1, type: 'string', repeated: true } },
});
export const WireSubscription = defineMessage({
  ...part,
  name: 'Subscription',
  fields: {
    messageTypeId: { tag: 1, type: WireTypeId },
    bindingKey: { tag: 2, type: WireBindingKey, required: true },
  },
});
export const WirePeerDescriptor = defineMessage({
  ...part,
  name: 'PeerDescriptor',
  fields: {
    peer: { tag: 1, type: WirePeer },
    subscriptions: { tag: 2, type: WireSubscription, repeated: true },
    isPersistent: bool(3),
    timestamp: optionalTime(4),
    hasDebuggerAttached: { tag: 5, type: 'bool' },
  },
});
export const WireSubscriptionsForType = defineMessage({
  ...part,
  name: 'SubscriptionsForType',
  fields: {
    messageTypeId: { tag: 1, type: WireTypeId },
    bindingKeys: { tag: 2, type: WireBindingKey, repeated: true },
  },
});
export const MessageExecutionCompleted = defineMessage({
  namespace: 'Abc.Zebus.Core',
  name: 'MessageExecutionCompleted',
  transient: true,
  infrastructure: true,
  fields: {
    commandId: { tag: 1, type: WireMessageId, required: true },
    errorCode: { tag: 2, type: 'int32', required: true },
    payloadTypeId: { tag: 3, type: WireTypeId },
    payload: { tag: 4, type: 'bytes' },
    responseMessage: { tag: 5, type: 'string' },
  },
});

const directory = { namespace: 'Abc.Zebus.Directory', transient: true, infrastructure: true } as const;
const peerId = { tag: 1, type: WirePeerId, required: true } as const;
const descriptor = { tag: 1, type: WirePeerDescriptor, required: true } as const;

export const RegisterPeerResponse = defineMessage({
  ...directory,
  name: 'RegisterPeerResponse',
  fields: { peers: { tag: 1, type: WirePeerDescriptor, repeated: true } },
});
export const RegisterPeerCommand = defineCommand({
  ...directory,
  name: 'RegisterPeerCommand',
  fields: { peer: descriptor },
  reply: RegisterPeerResponse,
});
export const UnregisterPeerCommand = defineCommand({
  ...directory,
  name: 'UnregisterPeerCommand',
  fields: { peerId, endpoint: { tag: 2, type: 'string' }, timestamp: optionalTime(3) },
});
export const DecommissionPeerCommand = defineCommand({
  ...directory,
  transient: false,
  name: 'DecommissionPeerCommand',
  fields: { peerId },
});
export const UpdatePeerSubscriptionsCommand = defineCommand({
  ...directory,
  name: 'UpdatePeerSubscriptionsCommand',
  fields: { peerId, subscriptions: { tag: 2, type: WireSubscription, repeated: true }, timestamp: optionalTime(3) },
});
export const UpdatePeerSubscriptionsForTypesCommand = defineCommand({
  ...directory,
  name: 'UpdatePeerSubscriptionsForTypesCommand',
  fields: {
    peerId,
    subscriptionsForTypes: { tag: 2, type: WireSubscriptionsForType, repeated: true },
    timestamp: optionalTime(3),
  },
});
export const MarkPeerAsRespondingCommand = defineCommand({
  ...directory,
  transient: false,
  name: 'MarkPeerAsRespondingCommand',
  fields: { peerId, timestamp: optionalTime(2) },
});
export const MarkPeerAsNotRespondingCommand = defineCommand({
  ...directory,
  transient: false,
  name: 'MarkPeerAsNotRespondingCommand',
  fields: { peerId, timestamp: optionalTime(2) },
});
export const PingPeerCommand = defineCommand({ ...directory, name: 'PingPeerCommand', fields: {} });

export const PeerStarted = defineEvent({ ...directory, name: 'PeerStarted', fields: { descriptor } });
export const PeerStopped = defineEvent({
  ...directory,
  name: 'PeerStopped',
  fields: { id: peerId, endpoint: { tag: 2, type: 'string' }, timestamp: optionalTime(3) },
});
export const PeerDecommissioned = defineEvent({ ...directory, name: 'PeerDecommissioned', fields: { id: peerId } });
export const PeerNotResponding = defineEvent({
  ...directory,
  name: 'PeerNotResponding',
  fields: { id: peerId, timestamp: optionalTime(2) },
});
export const PeerResponding = defineEvent({
  ...directory,
  name: 'PeerResponding',
  fields: { id: peerId, timestamp: optionalTime(2) },
});
export const PeerSubscriptionsUpdated = defineEvent({
  ...directory,
  name: 'PeerSubscriptionsUpdated',
  fields: { descriptor },
});
export const PeerSubscriptionsForTypesUpdated = defineEvent({
  ...directory,
  name: 'PeerSubscriptionsForTypesUpdated',
  fields: {
    peerId,
    subscriptionsForTypes: { tag: 2, type: WireSubscriptionsForType, repeated: true },
    timestamp: optionalTime(3),
  },
});

const failure = {
  failingMessage: { tag: 1, type: 'bytes', required: true },
  json: string(2),
  exceptionMessage: string(3),
  timestamp: time(4),
  failingHandlers: { tag: 5, type: 'string', repeated: true },
} as const;
/** A handler failed; as .NET peers name it. */
export const MessageProcessingFailed = defineEvent({
  namespace: 'Abc.Zebus.Lotus',
  name: 'MessageProcessingFailed',
  fields: failure,
});
/** The same as Rust peers name it: read, never sent. */
export const RustMessageProcessingFailed = defineEvent({
  namespace: 'Abc.Zebus',
  name: 'MessageProcessingFailed',
  fields: failure,
});
export const CustomProcessingFailed = defineEvent({
  namespace: 'Abc.Zebus.Lotus',
  name: 'CustomProcessingFailed',
  fields: {
    sourceType: string(1),
    exceptionMessage: string(2),
    timestamp: time(3),
    peerIdOverride: { tag: 4, type: WirePeerId },
    detailsJson: { tag: 5, type: 'string' },
  },
});
export const ReplayMessageCommand = defineCommand({
  namespace: 'Abc.Zebus.Lotus',
  name: 'ReplayMessageCommand',
  fields: {
    message: { tag: 1, type: 'bytes', required: true },
    handlerTypes: { tag: 2, type: 'string', repeated: true },
  },
});

const persistence = { namespace: 'Abc.Zebus.Persistence', transient: true } as const;
const replayId = { tag: 1, type: 'guid', required: true } as const;
export const PersistMessageCommand = defineCommand({
  ...persistence,
  name: 'PersistMessageCommand',
  fields: {
    message: { tag: 1, type: 'bytes', required: true },
    targets: { tag: 2, type: WirePeerId, repeated: true },
  },
});
export const StartMessageReplayCommand = defineCommand({
  ...persistence,
  name: 'StartMessageReplayCommand',
  fields: { replayId },
});
export const MessageHandled = defineEvent({
  ...persistence,
  name: 'MessageHandled',
  fields: { id: { tag: 1, type: WireMessageId, required: true } },
});
const replay = { ...persistence, infrastructure: true } as const;
export const MessageReplayed = defineEvent({
  ...replay,
  name: 'MessageReplayed',
  fields: { replayId, message: { tag: 2, type: 'bytes', required: true } },
});
export const ReplayPhaseEnded = defineEvent({ ...replay, name: 'ReplayPhaseEnded', fields: { replayId } });
export const SafetyPhaseEnded = defineEvent({ ...replay, name: 'SafetyPhaseEnded', fields: { replayId } });

/** Transport control: empty contents, never seen by the application. */
export const END_OF_STREAM = 'Abc.Zebus.Transport.EndOfStream';
export const END_OF_STREAM_ACK = 'Abc.Zebus.Transport.EndOfStreamAck';
export const PERSISTENCE_STOPPING = [
  'Abc.Zebus.PersistentTransport.PersistenceStopping',
  'Abc.Zebus.Persistence.PersistenceStopping',
] as const;
