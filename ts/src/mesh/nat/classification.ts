/** The class and public address of this node: found by probing peers, or told (33 A4). */
import type { NatClass } from '../../capabilities/index.js';
import type { PeerInfo } from '../core-node.js';
import { classify } from './classify.js';
import type { NatHost, PeerTable } from './host.js';
import type { Reflex } from './reflex.js';

/** A whole sweep, ms. */
const DEADLINE_MS = 5000;
/** Between sweeps, ms. */
const PERIOD_MS = 12 * DEADLINE_MS;
/** Before the first one, once there are peers enough, ms: peers that have just come may not be started yet. */
const SETTLE_MS = 200;
/** Peers that a sweep asks. */
const PROBED = 2;

/** What is announced about the way to this node. */
export interface NatState {
  readonly nat: NatClass;
  /** `ip:port`, or null when unknown. */
  readonly address: string | null;
}

/** Keeps class and address together: they change in one step. */
export class Classification {
  readonly #host: NatHost;
  readonly #peers: PeerTable;
  readonly #reflex: Reflex;
  readonly #changed: (state: NatState) => void;
  #state: NatState = { nat: 'unknown', address: null };
  #overridden = false;
  #sweep: Promise<number> | undefined;
  #sweeps = 0;
  #running = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Until the next sweep when the last one was answered by fewer than two peers. */
  #again = DEADLINE_MS;

  constructor(host: NatHost, peers: PeerTable, reflex: Reflex, changed: (state: NatState) => void) {
    this.#host = host;
    this.#peers = peers;
    this.#reflex = reflex;
    this.#changed = changed;
  }

  /** Class and address as of now. */
  get state(): NatState {
    return this.#state;
  }

  /** This node is open at an address that its owner knows; sweeps do nothing until `clear`. */
  override(address: string): void {
    this.#overridden = true;
    this.#set({ nat: 'open', address });
  }

  /** Ends `override`; class and address are unknown again. Nothing without one. */
  clear(): void {
    if (!this.#overridden) return;
    this.#overridden = false;
    this.#set({ nat: 'unknown', address: null });
    this.#arm(SETTLE_MS);
  }

  /** Begins the automatic sweeps. */
  start(): void {
    this.#running = true;
    this.#arm(SETTLE_MS);
  }

  /** Ends them. */
  stop(): void {
    this.#running = false;
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** A peer has come: perhaps there are enough now. */
  peerJoined(): void {
    if (this.#state.nat === 'unknown' && this.#timer === undefined && !this.#sweep) this.#arm(SETTLE_MS);
  }

  /** Asks two peers now. Never rejects; callers at the same time share one sweep. Resolves with the number of answers. */
  sweep(): Promise<number> {
    this.#sweep ??= this.#ask().finally(() => {
      this.#sweep = undefined;
    });
    return this.#sweep;
  }

  /** Peers that can be asked. */
  #able(): PeerInfo[] {
    return [...this.#peers.values()].filter((peer) => !peer.relayed && peer.state !== 'failed');
  }

  /** Peers to ask: others each time, and at different hosts where there are such. */
  #chosen(): bigint[] {
    const direct = this.#able();
    if (direct.length < PROBED) return [];
    const at = this.#sweeps++ % direct.length;
    const [first, ...others] = [...direct.slice(at), ...direct.slice(0, at)];
    const host = (address = '') => address.slice(0, address.lastIndexOf(':'));
    const second = others.find((peer) => host(peer.address) !== host(first?.address)) ?? others[0];
    return first && second ? [first.id, second.id] : [];
  }

  async #ask(): Promise<number> {
    const chosen = this.#overridden ? [] : this.#chosen();
    if (chosen.length === 0) return 0;
    const seen = new Map<bigint, string>();
    let last: string | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(resolve, DEADLINE_MS, 'late');
      (timer as { unref?: () => void }).unref?.();
    });
    const probes = chosen.map(async (peer) => {
      last = await this.#reflex.probe(peer, { own: true });
      seen.set(peer, last);
    });
    const ended = await Promise.race([late, Promise.allSettled(probes)]);
    clearTimeout(timer);
    if (ended === 'late' || last === undefined || this.#overridden || this.#host.closed) return 0;
    this.#set({ nat: classify(this.#host.driver.address, seen), address: last });
    return seen.size;
  }

  #set(state: NatState): void {
    this.#state = state;
    this.#changed(state);
  }

  #arm(ms: number): void {
    if (!this.#running) return;
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#overridden) return;
    this.#timer = setTimeout(() => this.#tick(), ms);
    (this.#timer as { unref?: () => void }).unref?.();
  }

  async #tick(): Promise<void> {
    this.#timer = undefined;
    const enough = this.#able().length >= PROBED;
    const answers = await this.sweep();
    if (answers >= PROBED) this.#again = DEADLINE_MS;
    // With too few peers the next one that comes begins the sweep.
    if (!enough && this.#state.nat === 'unknown') return;
    this.#arm(answers >= PROBED ? PERIOD_MS : this.#again);
    if (answers < PROBED) this.#again = Math.min(PERIOD_MS, this.#again * 2);
  }
}
