import type { Ticks } from './datetime.js';
import type { KeysOfType } from './descriptor.js';
import {
  type BindingKey,
  keyText,
  type PeerDescriptor,
  PeerId,
  type PeerSubscription,
  peerDescriptor,
} from './peer.js';
import { type RoutingContent, SubscriptionTree } from './routing.js';

/** What changed in the copy of the directory. */
export type PeerChange = 'started' | 'stopped' | 'decommissioned' | 'updated';

interface KeysEntry {
  keys: Map<string, BindingKey>;
  timestamp: Ticks;
}

/** One peer in the copy of the directory. Its flags and endpoint are always current. */
export class PeerEntry {
  readonly id: string;
  endpoint = '';
  isUp = true;
  isResponding = true;
  isPersistent = false;
  hasDebuggerAttached = false;
  timestamp: Ticks = 0n;
  readonly types = new Map<string, KeysEntry>();

  constructor(id: string) {
    this.id = id;
  }

  descriptor(): PeerDescriptor {
    const subscriptions: PeerSubscription[] = [];
    for (const [messageType, { keys }] of this.types) {
      for (const key of keys.values()) subscriptions.push({ messageType, key });
    }
    return peerDescriptor(this, {
      subscriptions,
      isPersistent: this.isPersistent,
      timestampTicks: this.timestamp,
      hasDebuggerAttached: this.hasDebuggerAttached,
    });
  }
}

/** Bounds of the copy. */
export interface DirectoryBounds {
  /** Default 100 000. */
  maxPeers: number;
  /** Subscriptions per peer. Default 10 000. */
  maxSubscriptions: number;
}

const NOBODY: readonly PeerEntry[] = [];

/** A peer's copy of the directory: peers, their subscriptions, and the routing index over them (71 §7). */
export class DirectoryClient {
  private readonly peers = new Map<string, PeerEntry>();
  private readonly index = new Map<string, SubscriptionTree<PeerEntry>>();
  private readonly notify: (change: PeerChange, peer: PeerEntry, previousEndpoint: string) => void;
  private readonly now: () => Ticks;
  private readonly overflow: (text: string) => void;
  private readonly bounds: DirectoryBounds;

  constructor(
    notify: (change: PeerChange, peer: PeerEntry, previousEndpoint: string) => void = () => {},
    overflow: (text: string) => void = () => {},
    now: () => Ticks = () => BigInt(Date.now()) * 10_000n,
    bounds: DirectoryBounds = { maxPeers: 100_000, maxSubscriptions: 10_000 },
  ) {
    this.notify = notify;
    this.overflow = overflow;
    this.now = now;
    this.bounds = bounds;
  }

  get(id: string): PeerEntry | undefined {
    return this.peers.get(id);
  }

  all(): PeerEntry[] {
    return [...this.peers.values()];
  }

  clear(): void {
    this.peers.clear();
    this.index.clear();
  }

  /** Distinct peers with a subscription that matches. */
  lookup(messageType: string, content: RoutingContent): readonly PeerEntry[] {
    return this.index.get(messageType)?.lookup(content) ?? NOBODY;
  }

  /** A peer of a registration's answer: silently added or updated. */
  load(descriptor: PeerDescriptor): void {
    this.put(descriptor, false);
  }

  /** PeerStarted. Outdated ones are ignored. */
  started(descriptor: PeerDescriptor): void {
    this.put(descriptor, true);
  }

  private put(descriptor: PeerDescriptor, announce: boolean): void {
    const id = descriptor.id.value;
    const timestamp = descriptor.timestampTicks ?? this.now();
    let entry = this.peers.get(id);
    if (entry === undefined) {
      if (this.peers.size >= this.bounds.maxPeers) {
        this.overflow(`peer ${id} ignored: the directory's copy holds ${this.bounds.maxPeers} peers`);
        return;
      }
      entry = new PeerEntry(id);
      this.peers.set(id, entry);
    } else if (entry.timestamp > timestamp) {
      return;
    }
    const previous = entry.endpoint;
    entry.endpoint = descriptor.endpoint;
    entry.isUp = descriptor.isUp;
    entry.isResponding = descriptor.isResponding;
    entry.isPersistent = descriptor.isPersistent;
    entry.hasDebuggerAttached = descriptor.hasDebuggerAttached;
    entry.timestamp = timestamp;
    this.replaceAll(entry, descriptor.subscriptions, timestamp);
    if (announce) this.notify('started', entry, previous);
  }

  /** PeerStopped; ignored when older than what is known. */
  stopped(id: string, timestamp: Ticks | undefined): void {
    const entry = this.peers.get(id);
    const at = timestamp ?? this.now();
    if (entry === undefined || at < entry.timestamp) return;
    entry.isUp = false;
    entry.isResponding = false;
    entry.timestamp = at;
    this.notify('stopped', entry, entry.endpoint);
  }

  /** PeerDecommissioned: peer and subscriptions are gone. */
  decommissioned(id: string): void {
    const entry = this.peers.get(id);
    if (entry === undefined) return;
    this.replaceAll(entry, [], undefined);
    this.peers.delete(id);
    entry.isUp = false;
    entry.isResponding = false;
    this.notify('decommissioned', entry, entry.endpoint);
  }

  /** PeerResponding and PeerNotResponding. */
  responding(id: string, isResponding: boolean): void {
    const entry = this.peers.get(id);
    if (entry === undefined) return;
    entry.isResponding = isResponding;
    this.notify('updated', entry, entry.endpoint);
  }

  /** PeerSubscriptionsUpdated: all subscriptions replaced. */
  subscriptionsUpdated(descriptor: PeerDescriptor): void {
    const entry = this.peers.get(descriptor.id.value);
    const timestamp = descriptor.timestampTicks ?? this.now();
    if (entry === undefined || entry.timestamp > timestamp) return;
    entry.timestamp = timestamp;
    this.replaceAll(entry, descriptor.subscriptions, timestamp);
    this.notify('updated', entry, entry.endpoint);
  }

  /** PeerSubscriptionsForTypesUpdated: keys of the named types replaced; no keys = none. */
  keysUpdated(id: string, types: readonly KeysOfType[], timestamp: Ticks | undefined): void {
    const entry = this.peers.get(id);
    const at = timestamp ?? this.now();
    if (entry === undefined || entry.timestamp > at) return;
    for (const { messageType, keys } of types) {
      const known = entry.types.get(messageType);
      if (known !== undefined && known.timestamp > at) continue;
      this.replaceKeys(entry, messageType, keys, at);
    }
    this.notify('updated', entry, entry.endpoint);
  }

  /** Types with a newer update of their own keep it; without a time all go. */
  private replaceAll(entry: PeerEntry, subscriptions: readonly PeerSubscription[], timestamp: Ticks | undefined): void {
    let list = subscriptions;
    if (list.length > this.bounds.maxSubscriptions) {
      this.overflow(`subscriptions of ${entry.id} above ${this.bounds.maxSubscriptions} ignored`);
      list = list.slice(0, this.bounds.maxSubscriptions);
    }
    const byType = new Map<string, BindingKey[]>();
    for (const { messageType, key } of list) {
      const keys = byType.get(messageType);
      if (keys === undefined) byType.set(messageType, [key]);
      else keys.push(key);
    }
    for (const [messageType, known] of [...entry.types]) {
      if (timestamp !== undefined && known.timestamp > timestamp) byType.delete(messageType);
      else if (!byType.has(messageType)) this.replaceKeys(entry, messageType, [], 0n);
    }
    for (const [messageType, keys] of byType) this.replaceKeys(entry, messageType, keys, timestamp ?? 0n);
  }

  private replaceKeys(entry: PeerEntry, messageType: string, keys: readonly BindingKey[], timestamp: Ticks): void {
    let list = keys;
    if (list.length > this.bounds.maxSubscriptions) {
      this.overflow(`subscriptions of ${entry.id} above ${this.bounds.maxSubscriptions} ignored`);
      list = list.slice(0, this.bounds.maxSubscriptions);
    }
    const known = entry.types.get(messageType)?.keys ?? new Map<string, BindingKey>();
    const next = new Map(list.map((key) => [keyText(key), key]));
    let tree = this.index.get(messageType);
    if (tree === undefined) {
      tree = new SubscriptionTree();
      this.index.set(messageType, tree);
    }
    for (const [text, key] of known) if (!next.has(text)) tree.remove(entry, key);
    for (const [text, key] of next) if (!known.has(text)) tree.add(entry, key);
    if (tree.isEmpty) this.index.delete(messageType);
    if (next.size === 0 && timestamp === 0n) entry.types.delete(messageType);
    else entry.types.set(messageType, { keys: next, timestamp });
  }
}

/** Whether an id is that of a persistence service. */
export function isPersistenceService(id: string): boolean {
  return new PeerId(id).isInstanceOf('Abc.Zebus.PersistenceService');
}
