/**
 * Who may subscribe, who may publish, and who still may receive (32 §4–§9). Decisions only: what arrives and what is
 * sent is somebody else's.
 */
import { tagsSatisfy } from '../capabilities/index.js';
import { canonicalChannelHash } from '../channel-name/index.js';
import {
  type DecodedToken,
  decodeToken,
  isTrustedIssuer,
  scopeBit,
  TOKEN_BYTES,
  type TokenCache,
} from '../identity/index.js';
import { isVisible, packSubnet } from '../subnets/index.js';
import type { ChannelConfig, ChannelRegistry } from './config.js';
import type { RejectReason } from './membership.js';
import { MAX_CHANNELS_PER_PEER, type Roster } from './roster.js';
import type { AuthThrottle } from './throttle.js';

/** What the gate asks about session peers. */
export interface GatePeers {
  /** Tags of the last announcement; empty when there is none. */
  tagsOf(peer: bigint): readonly string[];
  /** Entity that the peer proved to be by a signed announcement of its own. */
  entityOf(peer: bigint): Uint8Array | undefined;
  /** Subnet derived from that announcement; `undefined` when unknown. */
  subnetOf(peer: bigint): number | undefined;
}

/** The data plane's list of who receives what. */
export interface GateGuard {
  /** `false`: no room for another grant. */
  grant(peer: bigint, channel: string): boolean;
  revoke(peer: bigint, channel: string): void;
}

/** Options of a gate. */
export interface ChannelGateOptions {
  readonly registry: ChannelRegistry;
  readonly roster: Roster;
  readonly throttle: AuthThrottle;
  readonly peers: GatePeers;
  readonly guard: GateGuard;
  /** The node's tokens: delegations, and what subscribers presented. */
  readonly cache: TokenCache;
  /** Entity of this node, the owner of its channels. */
  readonly ownEntity: Uint8Array;
  /** Subnet of this node. */
  readonly ownSubnet: () => number;
  /** Tags that this node announced last. */
  readonly ownTags: () => readonly string[];
  /** Peers of unknown subnet count as global (default), or are kept off everything that is not. */
  readonly unknownSubnet?: 'global' | 'deny';
  /** Called when a member was taken off a channel without having asked for it. */
  readonly onDropped?: (peer: bigint, channel: string, reason: RejectReason) => void;
  /** Milliseconds that never go back. */
  readonly monotonicMs?: () => number;
}

const SUBSCRIBE_BIT = scopeBit('subscribe') ?? 0;

/** Tokens of one request. Each signature is checked at most once, however many channels are asked about. */
export class PresentedTokens {
  readonly #bytes: readonly Uint8Array[];
  #alone: { token: DecodedToken; scratch: TokenCache }[] | undefined;

  constructor(bytes: readonly Uint8Array[]) {
    this.#bytes = bytes;
  }

  /** The first token that alone lets `entity` subscribe to the channel of this hash. */
  passing(
    cache: TokenCache,
    entity: Uint8Array,
    hash: bigint,
    accept: (token: DecodedToken) => boolean,
  ): DecodedToken | undefined {
    this.#alone ??= this.#bytes
      .filter(({ length }) => length === TOKEN_BYTES)
      .map((bytes) => ({ token: decodeToken(bytes), scratch: cache.scratch() }))
      .filter(({ token, scratch }) => scratch.insert(token));
    return this.#alone.find(({ scratch }) => scratch.check(entity, SUBSCRIBE_BIT, hash, accept))?.token;
  }
}

/** Decides for the channels of one node. */
export class ChannelGate {
  readonly #o: ChannelGateOptions;

  constructor(options: ChannelGateOptions) {
    this.#o = options;
  }

  /**
   * Handles a request to subscribe: `none` = accepted, the peer is granted and in the roster. `token`: the presented
   * bytes, if any. A sender of id 0 is unknown and gets no answer.
   */
  subscribe(peer: bigint, channel: string, token?: Uint8Array, queueGroup?: string): RejectReason | undefined {
    if (peer === 0n) return undefined;
    const { guard, roster, throttle } = this.#o;
    const now = this.#now();
    if (throttle.isPaused(peer, now)) return 'rate-limited';
    if (!roster.has(channel, peer) && roster.countOf(peer) >= MAX_CHANNELS_PER_PEER) {
      return 'too-many-channels';
    }
    const { reason, opener } = this.#decide(peer, channel, new PresentedTokens(token ? [token] : []));
    if (reason !== 'none') {
      throttle.failed(peer, now);
      return reason;
    }
    if (!guard.grant(peer, channel)) return 'too-many-channels';
    if (opener) this.#o.cache.insert(opener);
    roster.add(channel, peer, queueGroup);
    throttle.clear(peer);
    return 'none';
  }

  /** Whether a peer has failed so often that it is answered without a look. */
  isPaused(peer: bigint): boolean {
    return this.#o.throttle.isPaused(peer, this.#now());
  }

  /** Whether a request of this peer with one of these tokens would be accepted now. Nothing is changed or counted. */
  admits(peer: bigint, channel: string, tokens: PresentedTokens): boolean {
    return this.#decide(peer, channel, tokens).reason === 'none';
  }

  /** Gives a peer back what it was member of; tells it when that is not allowed any more. */
  restore(peer: bigint, channel: string, queueGroup: string | undefined): void {
    const { reason } = this.#decide(peer, channel, new PresentedTokens([]));
    if (reason !== 'none') {
      this.#o.onDropped?.(peer, channel, reason);
      return;
    }
    if (this.#o.guard.grant(peer, channel)) this.#o.roster.add(channel, peer, queueGroup);
    else this.#o.onDropped?.(peer, channel, 'too-many-channels');
  }

  /** The channel was registered anew: members that it does not admit any more are removed. */
  recheck(channel: string): void {
    const nothing = new PresentedTokens([]);
    for (const { peer } of this.#o.roster.membersOf(channel)) {
      if (!this.admits(peer, channel, nothing)) this.#drop(peer, channel, 'unauthorized');
    }
  }

  /** The channel is no more: all members are removed. */
  close(channel: string): void {
    for (const { peer } of this.#o.roster.membersOf(channel)) this.#drop(peer, channel, 'unknown-channel');
  }

  /** Handles a request to unsubscribe, which is always accepted. */
  unsubscribe(peer: bigint, channel: string): void {
    this.#remove(peer, channel);
  }

  /** Whether this node may publish: what it announced must satisfy the channel's `publishCaps`. */
  mayPublish(channel: string): boolean {
    const caps = this.#o.registry.get(channel)?.publishCaps;
    return caps === undefined || tagsSatisfy(this.#o.ownTags(), caps);
  }

  /** Who receives the next publish. Members whose token is not valid any more are removed on the way. */
  recipients(channel: string): bigint[] {
    const config = this.#o.registry.get(channel);
    const listed = this.#o.roster.dispatch(channel);
    if (!config) return listed;
    return listed.filter((peer) => {
      if (!this.#sees(peer, config)) return false;
      if (!config.requireToken || this.#holdsToken(peer, channel, config)) return true;
      this.#drop(peer, channel, 'unauthorized');
      return false;
    });
  }

  /** Whether only requests change who receives a channel: not the time, a queue group's turn, or where somebody is. */
  isSteady(channel: string): boolean {
    const { requireToken, visibility = 'global' } = this.#o.registry.get(channel) ?? {};
    return !requireToken && visibility === 'global' && !this.#o.roster.hasGroups(channel);
  }

  /** Removes every member whose token is not valid any more; returns who left what. */
  sweep(): { peer: bigint; channel: string }[] {
    const { registry, roster, peers } = this.#o;
    const gone: { peer: bigint; channel: string }[] = [];
    for (const { channel, peer } of roster.memberships()) {
      const config = registry.get(channel);
      if (!config?.requireToken || peers.entityOf(peer) === undefined) continue;
      if (this.#holdsToken(peer, channel, config)) continue;
      this.#drop(peer, channel, 'unauthorized');
      gone.push({ peer, channel });
    }
    return gone;
  }

  /** Forgets a failed peer; returns the channels it was member of. */
  peerFailed(peer: bigint): string[] {
    const channels = this.#o.roster.channelsOf(peer);
    for (const channel of channels) this.#remove(peer, channel);
    this.#o.throttle.clear(peer);
    return channels;
  }

  #now(): number {
    return this.#o.monotonicMs?.() ?? performance.now();
  }

  /** The guard first: nothing goes out to somebody who is no longer listed. */
  #remove(peer: bigint, channel: string): void {
    this.#o.guard.revoke(peer, channel);
    this.#o.roster.remove(channel, peer);
  }

  #drop(peer: bigint, channel: string, reason: RejectReason): void {
    this.#remove(peer, channel);
    this.#o.onDropped?.(peer, channel, reason);
  }

  #sees(peer: bigint, config: ChannelConfig): boolean {
    const { ownSubnet, peers, unknownSubnet } = this.#o;
    const visibility = config.visibility ?? 'global';
    const subnet = peers.subnetOf(peer);
    if (subnet === undefined && unknownSubnet === 'deny' && visibility !== 'global') return false;
    return isVisible(visibility, ownSubnet(), subnet ?? 0, (config.exportTo ?? []).map(packSubnet));
  }

  /** `opener`: the presented token that opens the gate. */
  #decide(
    peer: bigint,
    channel: string,
    presented: PresentedTokens,
  ): { readonly reason: RejectReason; readonly opener?: DecodedToken } {
    const { cache, peers, registry } = this.#o;
    const config = registry.get(channel);
    if (!config) return { reason: 'unknown-channel' };
    if (!this.#sees(peer, config)) return { reason: 'unauthorized' };
    const { publishCaps, requireToken, subscribeCaps } = config;
    if (!publishCaps && !subscribeCaps && !requireToken) return { reason: 'none' };
    if (subscribeCaps && !tagsSatisfy(peers.tagsOf(peer), subscribeCaps)) return { reason: 'unauthorized' };
    const entity = peers.entityOf(peer);
    if (entity === undefined) return { reason: requireToken ? 'unauthorized' : 'none' };

    // A presented token is tried alone: it reaches the shared cache only when it is what opens the gate.
    const hash = canonicalChannelHash(channel);
    const opener = presented.passing(cache, entity, hash, (found) => this.#counts(found, config));
    if (opener) return { reason: 'none', opener };
    return { reason: !requireToken || this.#holdsToken(peer, channel, config) ? 'none' : 'unauthorized' };
  }

  #holdsToken(peer: bigint, channel: string, config: ChannelConfig): boolean {
    const entity = this.#o.peers.entityOf(peer);
    if (entity === undefined) return false;
    const hash = canonicalChannelHash(channel);
    return this.#o.cache.check(entity, SUBSCRIBE_BIT, hash, (found) => this.#counts(found, config)) !== undefined;
  }

  /** The issuer rule, and revocation, apply to every token that decides. */
  #counts(token: DecodedToken, config: ChannelConfig): boolean {
    const { cache, ownEntity } = this.#o;
    return !cache.isRevoked(token) && isTrustedIssuer(token, ownEntity, config.tokenIssuers ?? 'owner', cache);
  }
}
