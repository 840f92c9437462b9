import { type BindingKey, type PeerDescriptor, type PeerSubscription, peerDescriptor } from './peer.js';
import type { RegisterPeerCommand, WireSubscription, WireSubscriptionsForType } from './system-messages.js';

type DecodedBy<M> = M extends { decode(bytes: Uint8Array): infer T } ? T : never;
type InitBy<M> = M extends { create(init: infer I): unknown } ? I : never;
/** Descriptor as it is in a decoded message. */
export type WireDescriptor = DecodedBy<typeof RegisterPeerCommand>['peer'];
type WireSubscriptionValue = Pick<DecodedBy<typeof WireSubscription>, 'messageTypeId' | 'bindingKey'>;
type WireForType = Pick<DecodedBy<typeof WireSubscriptionsForType>, 'messageTypeId' | 'bindingKeys'>;

/** Keys of one message type. */
export interface KeysOfType {
  readonly messageType: string;
  readonly keys: readonly BindingKey[];
}

/** Subscriptions of the wire form; an item without its type is dropped. */
export function subscriptionsFromWire(list: readonly WireSubscriptionValue[]): PeerSubscription[] {
  return list.flatMap(({ messageTypeId, bindingKey }) =>
    messageTypeId === undefined ? [] : [{ messageType: messageTypeId.fullName, key: bindingKey.parts }],
  );
}

/** The wire form of subscriptions. */
export function subscriptionsToWire(list: readonly PeerSubscription[]): InitBy<typeof WireSubscription>[] {
  return list.map(({ messageType, key }) => ({
    messageTypeId: { fullName: messageType },
    bindingKey: { parts: [...key] },
  }));
}

/** Keys by type of the wire form. */
export function keysFromWire(list: readonly WireForType[]): KeysOfType[] {
  return list.flatMap(({ messageTypeId, bindingKeys }) =>
    messageTypeId === undefined
      ? []
      : [{ messageType: messageTypeId.fullName, keys: bindingKeys.map((key) => key.parts) }],
  );
}

/** The wire form of keys by type. */
export function keysToWire(list: readonly KeysOfType[]): InitBy<typeof WireSubscriptionsForType>[] {
  return list.map(({ messageType, keys }) => ({
    messageTypeId: { fullName: messageType },
    bindingKeys: keys.map((key) => ({ parts: [...key] })),
  }));
}

/** Descriptor of its wire form; `undefined` when it names no peer. */
export function descriptorFromWire(wire: WireDescriptor): PeerDescriptor | undefined {
  if (wire.peer === undefined || wire.peer.id.value === '') return undefined;
  return peerDescriptor(
    {
      id: wire.peer.id.value,
      endpoint: wire.peer.endpoint,
      isUp: wire.peer.isUp,
      isResponding: wire.peer.isResponding ?? wire.peer.isUp,
    },
    {
      subscriptions: subscriptionsFromWire(wire.subscriptions),
      isPersistent: wire.isPersistent,
      ...(wire.timestamp === undefined ? {} : { timestampTicks: wire.timestamp }),
      hasDebuggerAttached: wire.hasDebuggerAttached ?? false,
    },
  );
}

/** Wire form of a descriptor. */
export function descriptorToWire(descriptor: PeerDescriptor): InitBy<typeof RegisterPeerCommand>['peer'] {
  return {
    peer: {
      id: { value: descriptor.id.value },
      endpoint: descriptor.endpoint,
      isUp: descriptor.isUp,
      isResponding: descriptor.isResponding,
    },
    subscriptions: subscriptionsToWire(descriptor.subscriptions),
    isPersistent: descriptor.isPersistent,
    ...(descriptor.timestampTicks === undefined ? {} : { timestamp: descriptor.timestampTicks }),
    hasDebuggerAttached: descriptor.hasDebuggerAttached,
  };
}
