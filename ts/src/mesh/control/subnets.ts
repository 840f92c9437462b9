/** Subnets of this node and its peers, and what the engine needs of them: headers, and the gateway's tables (33 B). */
import { type ChannelConfig, canonicalChannelHash, wireChannelHash } from '../../channels/index.js';
import {
  assignSubnet,
  type CompiledPolicy,
  compilePolicy,
  packSubnet,
  type SubnetId,
  type SubnetPolicy,
  type Visibility,
} from '../../subnets/index.js';
import type { ControlHost } from './host.js';

/** Options of a node that concern subnets. */
export interface SubnetConfig {
  readonly subnet?: SubnetId | undefined;
  readonly subnetPolicy?: SubnetPolicy | undefined;
  readonly unknownSubnet?: 'global' | 'deny' | undefined;
  readonly subnetGateway?: boolean | undefined;
}

/** Numbers of the visibilities at the door; anything above forgets a rule. */
const RULES: Record<Visibility, number> = { 'subnet-local': 0, 'parent-visible': 1, exported: 2, global: 3 };
const FORGET = 4;

/** Who is where. */
export class Subnets {
  readonly policy: CompiledPolicy | undefined;
  readonly #host: ControlHost;
  readonly #gateway: boolean;
  readonly #given: boolean;
  #own: number;
  readonly #peers = new Map<bigint, number>();
  /** Registered channels by their 16-bit hash; of a gateway only. */
  readonly #channels = new Map<number, Map<string, ChannelConfig>>();

  constructor(host: ControlHost, config: SubnetConfig) {
    this.#host = host;
    this.policy = config.subnetPolicy ? compilePolicy(config.subnetPolicy) : undefined;
    this.#given = config.subnet !== undefined && config.subnet !== null;
    this.#own = config.subnet ? packSubnet(config.subnet) : this.#derived([]);
    this.#gateway = config.subnetGateway === true;
    if (this.#gateway) host.raw.setGateway(true, config.unknownSubnet === 'deny');
    this.#identify();
  }

  /** Subnet of this node, packed: as given, else what the policy derives from its own tags, else global. */
  get own(): number {
    return this.#own;
  }

  /** Subnet of a session peer, packed; `undefined` when it is not known. */
  of(peer: bigint): number | undefined {
    return this.#peers.get(peer);
  }

  /** This node has announced itself. */
  announced(tags: readonly string[]): void {
    if (this.#given || !this.policy) return;
    this.#own = this.#derived(tags);
    this.#identify();
  }

  /** A session peer has proved its tags, by a signed announcement of its own that came directly. */
  peerAnnounced(peer: bigint, tags: readonly string[]): void {
    if (!this.policy) return;
    const subnet = this.#derived(tags);
    this.#peers.set(peer, subnet);
    if (this.#gateway && !this.#host.closed) this.#host.raw.gatewaySubnet(peer, subnet);
  }

  /** A peer is silent or gone. */
  forget(peer: bigint): void {
    if (this.#peers.delete(peer) && this.#gateway && !this.#host.closed) this.#host.raw.gatewaySubnet(peer, undefined);
  }

  /** A channel was registered, or with `undefined` unregistered: a gateway relays it by its visibility. */
  channelChanged(name: string, config: ChannelConfig | undefined): void {
    if (!this.#gateway) return;
    const hash = wireChannelHash(canonicalChannelHash(name));
    const sharing = this.#channels.get(hash) ?? new Map<string, ChannelConfig>();
    if (config) sharing.set(name, config);
    else sharing.delete(name);
    if (sharing.size > 0) this.#channels.set(hash, sharing);
    else this.#channels.delete(hash);
    const [only, second] = sharing.values();
    // Sixteen bits do not tell two channels apart: neither leaves its subnet then.
    const visibility = second ? 'subnet-local' : (only?.visibility ?? 'global');
    const exports = second ? [] : (only?.exportTo ?? []).map(packSubnet);
    this.#host.raw.gatewayRule(hash, only ? RULES[visibility] : FORGET, Uint32Array.from(exports));
  }

  #derived(tags: readonly string[]): number {
    return this.policy ? assignSubnet(this.policy, tags) : 0;
  }

  #identify(): void {
    this.#host.raw.identify(this.#own, Number(this.#host.originHash & 0xffff_ffffn));
  }
}
