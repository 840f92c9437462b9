/** Discovery and channels of one node, over its sessions. */
import type { CapabilityFilter, CapabilitySet, ScopeFilter } from '../../capabilities/index.js';
import type { Predicate, StandardPlacement } from '../../capability-toolkit/index.js';
import {
  type ChannelConfig,
  ChannelRate,
  decodeExtension,
  decodeMembership,
  type ExtensionMessage,
  encodeMembership,
  isBelow,
  MEMBERSHIP_SUBPROTOCOL,
  type MembershipMessage,
} from '../../channels/index.js';
import { MeshringError, wrongType } from '../../errors.js';
import { decodeToken, TokenCache } from '../../identity/index.js';
import { platform } from '../../platform/node.js';
import { type SubnetId, type SubnetPolicy, unpackSubnet } from '../../subnets/index.js';
import type { Packet } from '../batch.js';
import { checkInteger, checkU64 } from '../check.js';
import type { PeerEvent } from '../core-node.js';
import { tell } from '../listeners.js';
import { CapabilityService } from './capability-service.js';
import { ChannelStream } from './channel-stream.js';
import { channelFailure } from './failure.js';
import type { ConnectedPeer, ControlHost } from './host.js';
import { Prefixes, prefixOf } from './prefixes.js';
import {
  type ChannelStats,
  checkChannelName,
  type PublishConfig,
  Publisher,
  type PublishReport,
  type SubscriberInfo,
} from './publisher.js';
import { Requests } from './requests.js';
import { Subnets } from './subnets.js';
import {
  type SubscribeRequest,
  type SubscriptionEvent,
  type SubscriptionInfo,
  Subscriptions,
  type Wisher,
} from './subscriptions.js';
import { checkTokenSource } from './token-source.js';

/** Options of the control plane, out of those of the node. */
export interface ControlConfig {
  capabilityGcIntervalMs?: number;
  requireSignedCapabilities?: boolean;
  subnet?: SubnetId;
  subnetPolicy?: SubnetPolicy;
  unknownSubnet?: 'global' | 'deny';
  unsolicited?: 'queue' | 'drop';
  subnetGateway?: boolean;
}

/** Options of an announcement (+). */
export interface AnnounceOptions {
  /** Life in seconds, 1..2^32−1; renewed after half of it. Default 300. */
  ttlSecs?: number;
}

/** Which messages of a channel are iterated over (+). */
export interface ChannelStreamOptions extends SubscribeRequest {
  /** Subscribe at this node, and end the subscription with the iteration. Absent: whatever was subscribed to otherwise. */
  readonly publisher?: bigint | undefined;
  /** Ends the iteration. */
  readonly signal?: AbortSignal | undefined;
  /**
   * When the publisher takes this node off the channel: `'retry'` (default) goes on as soon as it is accepted again,
   * `'throw'` rejects after what had arrived before. The channels of a wildcard come and go without that.
   */
  readonly onDrop?: 'retry' | 'throw' | undefined;
}

const SWEEP_MS = 30_000;
/** Membership messages that one session peer may send per second; a burst may be as large. */
const PER_PEER_AND_SECOND = 2000;
/** Notices remembered, so that a repeated one is confirmed and not acted on again. */
const MAX_NOTICES = 1024;

/** What a node does besides moving bytes. */
export class ControlPlane {
  readonly capabilities: CapabilityService;
  readonly publisher: Publisher;
  readonly subscriptions: Subscriptions;
  readonly #prefixes: Prefixes;
  readonly #requests: Requests;
  readonly #listeners = new Set<(event: SubscriptionEvent) => void>();
  readonly #notices = new Set<string>();
  readonly subnets: Subnets;
  readonly #host: ControlHost;
  readonly #cache = new TokenCache();
  readonly #peers = new Map<bigint, ConnectedPeer>();
  readonly #rates = new Map<bigint, ChannelRate>();
  #badMembership = 0;

  constructor(host: ControlHost, config: ControlConfig = {}) {
    this.#host = host;
    this.subnets = new Subnets(host, config);
    this.capabilities = new CapabilityService(host, this.#peers, {
      requireSigned: config.requireSignedCapabilities ?? true,
      subnets: this.subnets,
      onSent: () => this.#prefixes.announced(),
    });
    this.publisher = new Publisher(host, this.#peers, this.capabilities, {
      cache: this.#cache,
      subnets: this.subnets,
      unknownSubnet: config.unknownSubnet,
    });
    this.#requests = new Requests(host, this.#peers);
    const emit = (event: SubscriptionEvent) => {
      for (const listener of [...this.#listeners]) tell(listener, event);
    };
    this.subscriptions = new Subscriptions(host, this.#peers, this.#requests, emit);
    this.#prefixes = new Prefixes(host, this.#peers, this.#requests, this.subscriptions, emit);
    host.inbox.channelOf = (tag) => this.subscriptions.channelOf(tag);
    host.raw.dropUnsolicited(config.unsolicited === 'drop');
    host.onMessage(MEMBERSHIP_SUBPROTOCOL, (packet) => this.#onMembership(packet));
    host.onPeer((event) => this.#onPeer(event));
    const gcMs = checkInteger('capabilityGcIntervalMs', config.capabilityGcIntervalMs, 0, 2 ** 31 - 1, 60_000);
    const timers = [
      setInterval(() => this.capabilities.sweep(), gcMs || 1000),
      setInterval(() => {
        this.publisher.sweep();
        this.#cache.evictExpired();
      }, SWEEP_MS),
    ];
    for (const timer of timers) (timer as { unref?: () => void }).unref?.();
    host.onClose(() => {
      for (const timer of timers) clearInterval(timer);
      this.capabilities.close();
      this.subscriptions.close();
      this.#prefixes.close();
      const gone = new MeshringError('closed', 'MeshNode has been shut down');
      this.#requests.close(gone);
      this.publisher.notices.close(gone);
    });
  }

  async announce(caps: CapabilitySet, opts: AnnounceOptions = {}): Promise<void> {
    this.#host.check();
    const ttlSecs = opts.ttlSecs === undefined ? undefined : checkInteger('ttlSecs', opts.ttlSecs, 1, 2 ** 32 - 1, 300);
    this.capabilities.announce(caps, ttlSecs);
  }

  findNodes(filter: CapabilityFilter): bigint[] {
    this.#host.check();
    return this.capabilities.find(filter);
  }

  findNodesScoped(filter: CapabilityFilter, scope: ScopeFilter): bigint[] {
    this.#host.check();
    return this.capabilities.findScoped(filter, scope);
  }

  findNodesMatching(predicate: Predicate): bigint[] {
    this.#host.check();
    return this.capabilities.index.findNodesMatching(predicate);
  }

  selectNodes(placement: StandardPlacement): bigint[] {
    this.#host.check();
    return this.capabilities.index.selectNodes(placement);
  }

  peerSubnet(peer: bigint): SubnetId | undefined {
    const packed = this.subnets.of(checkU64('peerSubnet', 'peerNodeId', peer));
    return packed === undefined ? undefined : { levels: unpackSubnet(packed) };
  }

  registerChannel(config: ChannelConfig): void {
    this.#host.check();
    this.publisher.register(config);
  }

  unregisterChannel(name: string): boolean {
    this.#host.check();
    return this.publisher.unregister(name);
  }

  channels(): ChannelConfig[] {
    this.#host.check();
    return this.publisher.registry.values().map((config) => ({ ...config }));
  }

  subscribers(name: string): SubscriberInfo[] {
    this.#host.check();
    return this.publisher.subscribers(name);
  }

  channelStats(name: string): ChannelStats | undefined {
    this.#host.check();
    return this.publisher.stats(name);
  }

  listSubscriptions(): SubscriptionInfo[] {
    this.#host.check();
    return [...this.subscriptions.list(), ...this.#prefixes.list()];
  }

  /** Whether a channel, or a wildcard, is subscribed to. */
  isSubscribed(publisher: bigint, channel: string): boolean {
    const prefix = typeof channel === 'string' ? prefixOf(channel) : undefined;
    return prefix === undefined ? this.subscriptions.has(publisher, channel) : this.#prefixes.has(publisher, prefix);
  }

  async subscribeChannel(publisher: bigint, channel: string, request: SubscribeRequest = {}): Promise<void> {
    this.#checkTarget('subscribeChannel', publisher, channel);
    await this.#subscribe(publisher, channel, checkRequest(request), { kind: 'caller' });
  }

  async unsubscribeChannel(publisher: bigint, channel: string): Promise<void> {
    this.#checkTarget('unsubscribeChannel', publisher, channel);
    const prefix = prefixOf(channel);
    if (prefix !== undefined) return this.#prefixes.unsubscribe(publisher, prefix);
    this.#prefixes.named(publisher, channel, false);
    return this.subscriptions.unsubscribe(publisher, channel);
  }

  /** Calls the listener for each change of a subscription; returns the function that ends it. */
  onSubscription(listener: (event: SubscriptionEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #subscribe(publisher: bigint, channel: string, request: SubscribeRequest, by: Wisher): Promise<void> {
    const prefix = prefixOf(channel);
    if (prefix !== undefined) return this.#prefixes.subscribe(publisher, prefix, request, by);
    this.#prefixes.named(publisher, channel, true);
    return this.subscriptions.subscribe(publisher, channel, request, by);
  }

  async publish(channel: string, payloads: readonly Uint8Array[], config?: PublishConfig): Promise<PublishReport> {
    this.#host.check();
    return this.publisher.publish(channel, payloads, config);
  }

  /** `mapped` makes the error of a refusal. */
  subscribe(
    channel: string,
    opts: ChannelStreamOptions = {},
    mapped: (error: unknown) => unknown = (error) => error,
  ): ChannelStream {
    this.#host.check();
    const { publisher, signal, onDrop = 'retry' } = opts;
    if (publisher === undefined) checkPattern('subscribe', channel);
    else this.#checkTarget('subscribe', publisher, channel);
    if (onDrop !== 'retry' && onDrop !== 'throw') {
      throw channelFailure('invalid-config', `invalid on_drop "${String(onDrop)}" (expected retry | throw)`);
    }
    const { inbox } = this.#host;
    const by = { kind: 'iteration' } as const;
    const prefix = prefixOf(channel);
    const selection = prefix === undefined ? channel : (name: string) => isBelow(prefix, name);
    return new ChannelStream({
      signal,
      begin:
        publisher === undefined
          ? Promise.resolve()
          : this.#subscribe(publisher, channel, checkRequest(opts), by).catch((error: unknown) => {
              throw mapped(error);
            }),
      events: (until) =>
        held(
          inbox.open({ channel: selection, signal: until, ...(publisher === undefined ? {} : { peer: publisher }) }),
          () => this.#host.hold(),
        ),
      shown: (bytes) => platform.bytes(bytes) as Buffer,
      end: () => {
        if (publisher === undefined) return;
        if (prefix === undefined) this.subscriptions.release(publisher, channel, by);
        else this.#prefixes.release(publisher, prefix, by);
      },
      ...(onDrop === 'throw'
        ? {
            onDropped: (listener: (error: unknown) => void) =>
              this.onSubscription((event) => {
                const here = publisher === undefined || event.publisherNodeId === publisher;
                if (event.type === 'dropped' && here && event.channel === channel) listener(mapped(event.error));
              }),
          }
        : {}),
    });
  }

  /** Keeps a token: delegations that prove issuers, and tokens that subscribers need not present. */
  installToken(bytes: Uint8Array): void {
    this.#host.check();
    if (!this.#cache.insert(decodeToken(Uint8Array.from(bytes)))) {
      throw new MeshringError('invalid-token', 'token: invalid_signature');
    }
  }

  stats(): Record<string, number> {
    return {
      ...this.capabilities.stats(),
      membershipDropped: this.#badMembership,
      noticesLost: this.publisher.noticesLost,
    };
  }

  #checkTarget(method: string, publisher: bigint, channel: string): void {
    this.#host.check();
    checkU64(method, 'publisherNodeId', publisher);
    checkPattern(method, channel);
  }

  #onMembership({ peer, events }: Packet): void {
    let rate = this.#rates.get(peer);
    if (!rate) {
      rate = new ChannelRate(PER_PEER_AND_SECOND, performance.now());
      this.#rates.set(peer, rate);
    }
    for (const event of events) {
      const handled = rate.take(1, performance.now()) && this.#onMessage(peer, event);
      if (!handled) this.#badMembership += 1;
    }
  }

  /** `false` for what is malformed, unasked for, or too much. */
  #onMessage(peer: bigint, event: Uint8Array): boolean {
    // Sender unknown.
    if (peer === 0n) return false;
    const message: MembershipMessage | ExtensionMessage | undefined = decodeMembership(event) ?? decodeExtension(event);
    if (!message) return false;
    switch (message.type) {
      case 'ack':
        return (
          this.#requests.answered(peer, message.nonce, 'ack', message) ||
          this.publisher.notices.answered(peer, message.nonce, 'ack', message)
        );
      case 'listed':
        return this.#requests.answered(peer, message.nonce, 'listed', { accepted: true, ...message });
      case 'list':
        return this.publisher.interests.list(peer, message);
      case 'unlist':
        this.publisher.interests.unlist(peer, message.prefix);
        this.#confirm(peer, message.nonce);
        return true;
      case 'dropped':
      case 'changed':
        this.#confirm(peer, message.nonce);
        if (!this.#isNew(peer, message.nonce)) return true;
        if (message.type === 'dropped') this.subscriptions.dropped(peer, message.channel, message.reason);
        else this.#prefixes.changed(peer, message.prefix);
        return true;
      default:
        this.publisher.answer(peer, message);
        return true;
    }
  }

  #confirm(peer: bigint, nonce: bigint): void {
    const ack = encodeMembership({ type: 'ack', nonce, accepted: true, reason: 'none' });
    this.#host.sendMessage(peer, MEMBERSHIP_SUBPROTOCOL, ack);
  }

  #isNew(peer: bigint, nonce: bigint): boolean {
    const key = `${peer}:${nonce}`;
    if (this.#notices.has(key)) return false;
    const [oldest] = this.#notices;
    if (oldest !== undefined && this.#notices.size >= MAX_NOTICES) this.#notices.delete(oldest);
    this.#notices.add(key);
    return true;
  }

  /** Capabilities first: memberships depend on what a peer announced. */
  #onPeer({ type, id, peer }: PeerEvent): void {
    if (peer && type !== 'left') this.#peers.set(id, peer);
    switch (type) {
      case 'joined':
        this.capabilities.peerJoined(id);
        this.publisher.peerJoined(id);
        this.subscriptions.peerBack(id, true);
        this.#prefixes.peerBack(id);
        break;
      case 'lost':
        this.capabilities.peerFailed(id);
        this.publisher.peerFailed(id);
        this.subscriptions.peerLost(id);
        this.#prefixes.peerLost(id);
        break;
      case 'recovered':
        this.capabilities.peerRecovered(id);
        this.publisher.peerRecovered(id);
        this.subscriptions.peerBack(id, false);
        this.#prefixes.peerBack(id);
        break;
      case 'left':
        this.#peers.delete(id);
        this.#rates.delete(id);
        this.capabilities.peerLeft(id);
        this.publisher.peerLeft(id);
        this.subscriptions.peerLost(id);
        this.#prefixes.peerLost(id);
        break;
      default:
    }
  }
}

function checkRequest({ token, queueGroup }: SubscribeRequest): SubscribeRequest {
  if (
    queueGroup !== undefined &&
    (typeof queueGroup !== 'string' || new TextEncoder().encode(queueGroup).length > 255)
  ) {
    throw wrongType('subscribeChannel', 'queueGroup', queueGroup, 'a string of at most 255 bytes', 'StringExpected');
  }
  return { token: token === undefined || token === null ? undefined : checkTokenSource(token), queueGroup };
}

/** The same events; keeps the process alive from the first `next` on. */
async function* held<T>(source: AsyncGenerator<T, void, void>, hold: () => () => void): AsyncGenerator<T, void, void> {
  const done = hold();
  try {
    yield* source;
  } finally {
    done();
  }
}

/** A name, or a wildcard. */
function checkPattern(method: string, channel: string): void {
  if (typeof channel !== 'string' || prefixOf(channel) === undefined) checkChannelName(method, channel);
}
