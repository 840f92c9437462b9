import { dateFromTicks, type Ticks } from './datetime.js';
import { guidText, newGuid } from './guid.js';

/** Name of a peer on the bus, by convention `<Service>.<instance>`. */
export class PeerId {
  readonly value: string;

  constructor(value: string) {
    this.value = value;
  }

  /** An id that no other peer has: `<prefix>.<uuid v4>`. */
  static unique(prefix: string): PeerId {
    return new PeerId(`${prefix}.${guidText(newGuid())}`);
  }

  /** Whether the peer is an instance of the service. */
  isInstanceOf(service: string): boolean {
    return this.value.startsWith(`${service}.`);
  }

  toString(): string {
    return this.value;
  }
}

/** Text of a peer id given in either form. */
export function peerIdText(id: string | PeerId): string {
  return typeof id === 'string' ? id : id.value;
}

/** A participant of the bus. */
export interface Peer {
  readonly id: PeerId;
  /** `tcp://host:port` */
  readonly endpoint: string;
  readonly isUp: boolean;
  readonly isResponding: boolean;
}

/** Parts of a binding key, one per routing position; `*` is any value, `#` the rest. Empty = every message. */
export type BindingKey = readonly string[];

/** Interest of a peer in messages of a type. */
export interface PeerSubscription {
  readonly messageType: string;
  readonly key: BindingKey;
}

/** What the directory knows of a peer. */
export interface PeerDescriptor extends Peer {
  readonly subscriptions: readonly PeerSubscription[];
  readonly isPersistent: boolean;
  /** 100 ns units since 1970, full precision. */
  readonly timestampTicks: Ticks | undefined;
  /** The same as `Date`, to the millisecond. */
  readonly timestamp: Date | undefined;
  readonly hasDebuggerAttached: boolean;
}

/** Text form of a key: parts joined with `.`; empty for "every message". */
export function keyText(key: BindingKey): string {
  return isEmptyKey(key) ? '' : key.join('.');
}

/** Key of its text form. */
export function parseKey(text: string): BindingKey {
  return text === '' ? [] : text.split('.');
}

/** No parts, or exactly `#`: every message of the type. */
export function isEmptyKey(key: BindingKey): boolean {
  return key.length === 0 || (key.length === 1 && key[0] === '#');
}

/** A descriptor from its parts. */
export function peerDescriptor(
  peer: { id: string; endpoint: string; isUp: boolean; isResponding: boolean },
  rest: {
    subscriptions: readonly PeerSubscription[];
    isPersistent?: boolean;
    timestampTicks?: Ticks;
    hasDebuggerAttached?: boolean;
  },
): PeerDescriptor {
  const ticks = rest.timestampTicks;
  return {
    id: new PeerId(peer.id),
    endpoint: peer.endpoint,
    isUp: peer.isUp,
    isResponding: peer.isResponding,
    subscriptions: rest.subscriptions,
    isPersistent: rest.isPersistent ?? false,
    timestampTicks: ticks,
    timestamp: ticks === undefined ? undefined : dateFromTicks(ticks),
    hasDebuggerAttached: rest.hasDebuggerAttached ?? false,
  };
}
