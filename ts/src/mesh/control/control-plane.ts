/** Discovery and channels of one node, over its sessions. */
import type { CapabilityFilter, CapabilitySet, ScopeFilter } from '../../capabilities/index.js';
import { type ChannelConfig, ChannelRate, decodeMembership, MEMBERSHIP_SUBPROTOCOL } from '../../channels/index.js';
import { MeshringError, wrongType } from '../../errors.js';
import { decodeToken, TokenCache } from '../../identity/index.js';
import { platform } from '../../platform/node.js';
import { compilePolicy, packSubnet, type SubnetId, type SubnetPolicy, unpackSubnet } from '../../subnets/index.js';
import type { Packet } from '../batch.js';
import { checkInteger, checkU64 } from '../check.js';
import type { PeerEvent } from '../core-node.js';
import { CapabilityService } from './capability-service.js';
import { ChannelStream } from './channel-stream.js';
import type { ConnectedPeer, ControlHost } from './host.js';
import {
  checkChannelName,
  type PublishConfig,
  Publisher,
  type PublishReport,
  type SubscriberInfo,
} from './publisher.js';
import { type SubscribeRequest, type SubscriptionInfo, Subscriptions } from './subscriptions.js';

/** Options of the control plane, out of those of the node. */
export interface ControlConfig {
  capabilityGcIntervalMs?: number;
  requireSignedCapabilities?: boolean;
  subnet?: SubnetId;
  subnetPolicy?: SubnetPolicy;
  unknownSubnet?: 'global' | 'deny';
  unsolicited?: 'queue' | 'drop';
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
}

const SWEEP_MS = 30_000;
/** Membership messages that one session peer may send per second; a burst may be as large. */
const PER_PEER_AND_SECOND = 2000;

/** What a node does besides moving bytes. */
export class ControlPlane {
  readonly capabilities: CapabilityService;
  readonly publisher: Publisher;
  readonly subscriptions: Subscriptions;
  readonly #host: ControlHost;
  readonly #cache = new TokenCache();
  readonly #peers = new Map<bigint, ConnectedPeer>();
  readonly #rates = new Map<bigint, ChannelRate>();
  #badMembership = 0;

  constructor(host: ControlHost, config: ControlConfig = {}) {
    this.#host = host;
    const ownSubnet = config.subnet ? packSubnet(config.subnet) : 0;
    this.capabilities = new CapabilityService(host, this.#peers, {
      requireSigned: config.requireSignedCapabilities ?? true,
      ownSubnet,
      policy: config.subnetPolicy ? compilePolicy(config.subnetPolicy) : undefined,
    });
    this.publisher = new Publisher(host, this.capabilities, {
      cache: this.#cache,
      ownSubnet,
      unknownSubnet: config.unknownSubnet,
    });
    this.subscriptions = new Subscriptions(host, this.#peers);
    host.inbox.channelOf = (packet) => this.subscriptions.channelOf(packet);
    host.inbox.dropsUnsolicited = config.unsolicited === 'drop';
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
      this.subscriptions.close(new MeshringError('closed', 'MeshNode has been shut down'));
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

  peerSubnet(peer: bigint): SubnetId | undefined {
    const packed = this.capabilities.subnetOf(checkU64('peerSubnet', 'peerNodeId', peer));
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
    return this.publisher.registry.values();
  }

  subscribers(name: string): SubscriberInfo[] {
    this.#host.check();
    return this.publisher.subscribers(name);
  }

  listSubscriptions(): SubscriptionInfo[] {
    this.#host.check();
    return this.subscriptions.list();
  }

  async subscribeChannel(publisher: bigint, channel: string, request: SubscribeRequest = {}): Promise<void> {
    this.#checkTarget('subscribeChannel', publisher, channel);
    await this.subscriptions.subscribe(publisher, channel, checkRequest(request));
  }

  async unsubscribeChannel(publisher: bigint, channel: string): Promise<void> {
    this.#checkTarget('unsubscribeChannel', publisher, channel);
    await this.subscriptions.unsubscribe(publisher, channel);
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
    checkChannelName('subscribe', channel);
    const { publisher, signal } = opts;
    if (publisher !== undefined) this.#checkTarget('subscribe', publisher, channel);
    const { inbox } = this.#host;
    const hold = () => this.#host.hold();
    return new ChannelStream({
      channel,
      signal,
      begin:
        publisher === undefined
          ? Promise.resolve()
          : this.subscriptions.subscribe(publisher, channel, checkRequest(opts), false).catch((error: unknown) => {
              throw mapped(error);
            }),
      async *events(until) {
        const done = hold();
        try {
          yield* inbox.events({ channel, signal: until, ...(publisher === undefined ? {} : { peer: publisher }) });
        } finally {
          done();
        }
      },
      shown: (bytes) => platform.bytes(bytes) as Buffer,
      end: () => {
        if (publisher !== undefined) this.subscriptions.release(publisher, channel);
      },
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
      unsolicited: this.subscriptions.unsolicited,
    };
  }

  #checkTarget(method: string, publisher: bigint, channel: string): void {
    this.#host.check();
    checkU64(method, 'publisherNodeId', publisher);
    checkChannelName(method, channel);
  }

  #onMembership({ peer, events }: Packet): void {
    let rate = this.#rates.get(peer);
    if (!rate) {
      rate = new ChannelRate(PER_PEER_AND_SECOND, performance.now());
      this.#rates.set(peer, rate);
    }
    for (const event of events) {
      const message = rate.take(1, performance.now()) ? decodeMembership(event) : undefined;
      if (!message) this.#badMembership += 1;
      else if (message.type === 'ack') {
        this.subscriptions.answered(peer, message.nonce, message.accepted, message.reason);
      } else this.publisher.answer(peer, message);
    }
  }

  /** Capabilities first: memberships depend on what a peer announced. */
  #onPeer({ type, id, peer }: PeerEvent): void {
    if (peer && type !== 'left') this.#peers.set(id, peer);
    switch (type) {
      case 'joined':
        this.capabilities.peerJoined(id);
        this.publisher.peerJoined(id);
        this.subscriptions.peerBack(id);
        break;
      case 'lost':
        this.capabilities.peerFailed(id);
        this.publisher.peerFailed(id);
        this.subscriptions.peerLost(id);
        break;
      case 'recovered':
        this.capabilities.peerRecovered(id);
        this.publisher.peerRecovered(id);
        this.subscriptions.peerBack(id);
        break;
      case 'left':
        this.#peers.delete(id);
        this.#rates.delete(id);
        this.capabilities.peerLeft(id);
        this.publisher.peerLeft(id);
        this.subscriptions.peerLost(id);
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
  if (token === undefined || token === null) return { queueGroup };
  if (!(token instanceof Uint8Array)) throw wrongType('subscribeChannel', 'token', token, 'a Buffer', 'InvalidArg');
  return { token: decodeToken(Uint8Array.from(token)).bytes, queueGroup };
}
