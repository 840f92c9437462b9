/** NAT traversal of one node: what it knows about its own address, and shorter ways to others (33 part A). */
import type { NatClass } from '../../capabilities/index.js';
import { MeshringError, wrongType } from '../../errors.js';
import { checkAddress, checkHex, checkU64 } from '../check.js';
import type { PeerEvent, PeerInfo } from '../core-node.js';
import { parseAddress, type SocketAddress } from './address.js';
import { Classification } from './classification.js';
import { Direct, type DirectPath, type TraversalStats } from './direct.js';
import { TraversalError } from './failure.js';
import type { NatDirectory, NatHost } from './host.js';
import { Reflex } from './reflex.js';
import { Meeting } from './rendezvous.js';
import { peerNatClass } from './tags.js';

/** Options of the traversal, out of those of the node. */
export interface NatConfig {
  /** Checked before. */
  readonly reflexOverride?: string | undefined;
}

const NOWHERE: SocketAddress = { ip: new Uint8Array(4), port: 0 };

/** Everything of 33 part A. */
export class Traversal {
  readonly #host: NatHost;
  readonly #directory: NatDirectory;
  readonly #peers = new Map<bigint, PeerInfo>();
  readonly #reflex: Reflex;
  readonly #nat: Classification;
  readonly #meeting: Meeting;
  readonly #direct: Direct;

  constructor(host: NatHost, directory: NatDirectory, config: NatConfig = {}) {
    this.#host = host;
    this.#directory = directory;
    const own = parseAddress(host.driver.address) ?? NOWHERE;
    this.#reflex = new Reflex(host, this.#peers);
    this.#meeting = new Meeting(host, this.#peers, directory, own);
    this.#nat = new Classification(host, this.#peers, this.#reflex, ({ nat, address }) =>
      directory.setNat(nat, address ?? undefined),
    );
    const parts = { nat: this.#nat, reflex: this.#reflex, meeting: this.#meeting };
    this.#direct = new Direct(host, this.#peers, directory, own, parts);
    if (config.reflexOverride !== undefined) this.#nat.override(config.reflexOverride);
    host.onPeer((event) => this.#onPeer(event));
    host.onClose(() => {
      this.#nat.stop();
      this.#reflex.close(new MeshringError('closed', 'MeshNode has been shut down'));
      this.#meeting.close();
    });
  }

  /** Begins the automatic classification. */
  start(): void {
    if (this.#host.driver.datagrams) this.#nat.start();
  }

  natType(): NatClass {
    this.#host.check();
    return this.#nat.state.nat;
  }

  reflexAddr(): string | null {
    this.#host.check();
    return this.#nat.state.address;
  }

  peerNatType(peer: bigint): NatClass {
    this.#host.check();
    return peerNatClass(this.#directory, checkU64('peerNatType', 'peerNodeId', peer));
  }

  async probeReflex(peer: bigint, signal?: AbortSignal): Promise<string> {
    checkU64('probeReflex', 'peerNodeId', peer);
    this.#checkAble();
    await this.#caughtUp();
    return this.#reflex.probe(peer, { signal });
  }

  async reclassifyNat(): Promise<void> {
    this.#checkAble();
    const release = this.#host.hold();
    try {
      await this.#caughtUp();
      await this.#nat.sweep();
    } finally {
      release();
    }
  }

  traversalStats(): TraversalStats {
    this.#host.check();
    return this.#direct.stats;
  }

  async connectDirect(
    target: bigint,
    key: string | Uint8Array,
    coordinator: bigint,
    signal?: AbortSignal,
  ): Promise<DirectPath> {
    checkU64('connectDirect', 'peerNodeId', target);
    const bytes = checkKey(key);
    checkU64('connectDirect', 'coordinator', coordinator);
    this.#checkAble();
    if (target === this.#host.nodeId) {
      throw new TraversalError('transport', 'connection error: cannot connect to itself');
    }
    const release = this.#host.hold();
    try {
      await this.#caughtUp();
      return await this.#direct.connect({ target, key: bytes, coordinator, signal });
    } finally {
      release();
    }
  }

  setReflexOverride(address: string): void {
    checkAddress('invalid reflex override', address);
    this.#checkAble();
    this.#nat.override(address);
  }

  clearReflexOverride(): void {
    this.#checkAble();
    this.#nat.clear();
  }

  /** Numbers for `stats()`. */
  stats(): Record<string, number> {
    return { traversalRefused: this.#reflex.refused + this.#meeting.refused };
  }

  #checkAble(): void {
    this.#host.check();
    if (!this.#host.driver.datagrams) throw new TraversalError('unsupported');
  }

  /** No listener runs before the call has returned that this is part of. */
  async #caughtUp(): Promise<void> {
    await null;
    this.#host.catchUp();
  }

  #onPeer({ type, id, peer }: PeerEvent): void {
    if (type === 'left' || !peer) {
      this.#peers.delete(id);
      this.#reflex.peerLeft(id);
      this.#meeting.peerLeft(id);
      return;
    }
    this.#peers.set(id, peer);
    if (type === 'joined' || type === 'moved') this.#nat.peerJoined();
  }
}

/** 64 hex digits or 32 bytes. */
function checkKey(key: string | Uint8Array): Uint8Array {
  if (typeof key === 'string') return checkHex('public key', 'public key must be 32 bytes', key);
  if (!(key instanceof Uint8Array)) {
    throw wrongType('connectDirect', 'publicKey', key, '32 bytes or 64 hex digits', 'InvalidArg');
  }
  if (key.length !== 32) {
    throw new MeshringError('invalid-argument', `peer_public_key must be 32 bytes, got ${key.length}`);
  }
  return Uint8Array.from(key);
}
