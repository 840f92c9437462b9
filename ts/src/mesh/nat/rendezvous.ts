/** Bringing two nodes together, as coordinator and as one of the two (33 A5, A6, A8). */
import { ChannelRate } from '../../channels/index.js';
import type { Packet } from '../batch.js';
import { isSendable, isUnspecified, linkOf, parseAddress, type SocketAddress } from './address.js';
import type { NatDirectory, NatHost, PeerTable } from './host.js';
import { decodeRendezvous, encodeRendezvous, RENDEZVOUS_SUBPROTOCOL, type Rendezvous } from './messages.js';
import { Trains } from './train.js';
import { Waiters } from './waiters.js';

/** From the request to the first keep-alive, ms. */
const LEAD_MS = 500;
/** How long an introduction and an acknowledgement are waited for, each, ms. */
const PATIENCE_MS = 5000;
/** How far the fire time of an introduction that nobody asked for may be from now, ms. */
const MAX_SKEW_MS = 10_000;
/** Punches under way that one coordinator may have begun unasked. */
const MAX_UNASKED = 4;
/** Requests and acknowledgements of one session peer per second that are acted on; a burst may be as large. */
const PER_PEER_AND_SECOND = 50;

/** What is known of a session peer's wishes. */
interface Caller {
  readonly messages: ChannelRate;
  readonly introductions: ChannelRate;
  unasked: number;
}

/** Answers coordinators and those who need one. */
export class Meeting {
  readonly #host: NatHost;
  readonly #peers: PeerTable;
  readonly #directory: NatDirectory;
  readonly #own: SocketAddress;
  readonly #trains: Trains;
  readonly #introductions = new Waiters<SocketAddress>();
  readonly #acks = new Waiters<true>();
  /** One entry per session peer that sent something. */
  readonly #callers = new Map<bigint, Caller>();
  #refused = 0;

  constructor(host: NatHost, peers: PeerTable, directory: NatDirectory, own: SocketAddress) {
    this.#host = host;
    this.#peers = peers;
    this.#directory = directory;
    this.#own = own;
    this.#trains = new Trains(host);
    host.onMessage(RENDEZVOUS_SUBPROTOCOL, (packet) => this.#receive(packet));
  }

  /** Messages that were malformed, refused or beyond a limit. */
  get refused(): number {
    return this.#refused;
  }

  /**
   * Asks a coordinator for a target. First the introduction, or `undefined` after five seconds; with it begins the wait for
   * the target's acknowledgement, which is `false` after five more. A newer meeting with the same target ends this one.
   */
  async meet(
    target: bigint,
    coordinator: bigint,
    reflex: SocketAddress,
  ): Promise<{ reflex: SocketAddress; acknowledged(): Promise<boolean>; cancel(): void } | undefined> {
    const introduction = this.#introductions.wait(target, coordinator);
    const ack = this.#acks.wait(target, coordinator);
    this.#send(coordinator, { kind: 'request', target, reflex });
    const found = await introduction.value(PATIENCE_MS);
    if (!found) {
      ack.cancel();
      return undefined;
    }
    return {
      reflex: found,
      acknowledged: async () => (await ack.value(PATIENCE_MS)) === true,
      cancel: ack.cancel,
    };
  }

  /** Forgets what a peer asked for. */
  peerLeft(peer: bigint): void {
    this.#callers.delete(peer);
  }

  /** Ends all waits and timers. */
  close(): void {
    this.#introductions.close();
    this.#acks.close();
    this.#trains.close();
  }

  #send(peer: bigint, message: Rendezvous): boolean {
    return this.#host.sendMessage(peer, RENDEZVOUS_SUBPROTOCOL, encodeRendezvous(message));
  }

  #caller(peer: bigint): Caller {
    let caller = this.#callers.get(peer);
    if (!caller) {
      const now = performance.now();
      caller = {
        messages: new ChannelRate(PER_PEER_AND_SECOND, now),
        introductions: new ChannelRate(1, now),
        unasked: 0,
      };
      this.#callers.set(peer, caller);
    }
    return caller;
  }

  #receive({ peer, events }: Packet): void {
    for (const event of events) {
      const message = decodeRendezvous(event);
      // A sender of id 0 is unknown.
      if (
        !message ||
        peer === 0n ||
        !this.#caller(peer).messages.take(1, performance.now()) ||
        !this.#take(peer, message)
      ) {
        this.#refused += 1;
      }
    }
  }

  #take(from: bigint, message: Rendezvous): boolean {
    switch (message.kind) {
      case 'request':
        return this.#introduce(from, message.target, message.reflex);
      case 'introduce':
        return this.#introduced(from, message.peer, message.reflex, Number(message.fireAtMs));
      case 'ack':
        // Who forwards for others says so of nobody else than whom it hears.
        if (message.to !== this.#host.nodeId) return message.from === from && this.#send(message.to, message);
        return this.#acks.complete(message.from, from, true);
    }
  }

  /** As coordinator: tells both ends of each other; silence when something is missing. */
  #introduce(from: bigint, target: bigint, claimed: SocketAddress): boolean {
    const text = this.#directory.get(target)?.reflexAddr;
    const reflex = text === undefined ? undefined : parseAddress(text);
    const asker = this.#peers.get(from);
    if (!reflex || !asker || !this.#peers.has(target) || target === from) return false;
    // A node that does not know its address names the one it is bound to; its session shows where it is.
    const known = asker.relayed ? undefined : parseAddress(asker.address);
    const own = isUnspecified(claimed) && known ? known : claimed;
    const fireAtMs = BigInt(Date.now() + LEAD_MS);
    this.#send(from, { kind: 'introduce', peer: target, reflex, fireAtMs });
    this.#send(target, { kind: 'introduce', peer: from, reflex: own, fireAtMs });
    return true;
  }

  /** As one of the two: punches, and tells the coordinator when the other end was heard. */
  #introduced(coordinator: bigint, peer: bigint, reflex: SocketAddress, fireAtMs: number): boolean {
    const asked = this.#introductions.has(peer);
    const sendable = isSendable(reflex, this.#own);
    if (asked && !this.#introductions.complete(peer, coordinator, sendable ? reflex : undefined)) return false;
    if (peer === this.#host.nodeId || !sendable) return false;
    const caller = this.#caller(coordinator);
    if (!asked) {
      // Whoever has a session could have this node send datagrams anywhere: few, and only on time.
      const timely = Math.abs(fireAtMs - Date.now()) <= MAX_SKEW_MS;
      const few = caller.unasked < MAX_UNASKED;
      if (!timely || !few || !caller.introductions.take(1, performance.now())) return false;
    }
    const heard = this.#trains.run(linkOf(reflex, this.#own), peer, fireAtMs);
    if (!heard) return false;
    if (!asked) caller.unasked += 1;
    void heard.then((yes) => {
      if (!asked) caller.unasked -= 1;
      if (yes && !this.#host.closed) {
        this.#send(coordinator, { kind: 'ack', from: this.#host.nodeId, to: peer, punchId: 0 });
      }
    });
    return true;
  }
}
