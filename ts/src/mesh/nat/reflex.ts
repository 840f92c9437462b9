/** Under which address peers know this node: questions and answers (33 A3). */
import { ChannelRate } from '../../channels/index.js';
import type { Packet } from '../batch.js';
import { ADDRESS_BYTES, decodeAddress, encodeAddress, formatAddress, parseAddress } from './address.js';
import { TraversalError } from './failure.js';
import type { NatHost, PeerTable } from './host.js';
import { REFLEX_SUBPROTOCOL } from './messages.js';

/** How long an answer is waited for, ms. */
const TIMEOUT_MS = 3000;
/** Answers that one session peer gets per second; a burst may be as large. */
const PER_PEER_AND_SECOND = 50;

interface Probe {
  /** Begun by the node itself: a newer one answers it too. */
  readonly own: boolean;
  readonly answer: Promise<string>;
  resolve(address: string): void;
  reject(error: unknown): void;
}

/** Asks peers, and answers them. */
export class Reflex {
  readonly #host: NatHost;
  readonly #peers: PeerTable;
  /** One probe per peer. */
  readonly #probes = new Map<bigint, Probe>();
  /** One entry per session peer that asked. */
  readonly #rates = new Map<bigint, ChannelRate>();
  #refused = 0;

  constructor(host: NatHost, peers: PeerTable) {
    this.#host = host;
    this.#peers = peers;
    host.onMessage(REFLEX_SUBPROTOCOL, (packet) => this.#receive(packet));
  }

  /**
   * Asks one peer. Rejects with `reflex-timeout` after three seconds, and when a newer probe of the same peer takes its
   * place; a probe of the node's `own` then gets the answer to the newer one.
   */
  probe(peer: bigint, opts: { own?: boolean; signal?: AbortSignal | undefined } = {}): Promise<string> {
    const { own = false, signal } = opts;
    const before = this.#probes.get(peer);
    if (own && before) return before.answer;
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (!this.#peers.has(peer)) return Promise.reject(new TraversalError('peer-not-reachable'));
    let resolve: Probe['resolve'] = () => {};
    let reject: Probe['reject'] = () => {};
    const answer = new Promise<string>((yes, no) => {
      resolve = yes;
      reject = no;
    });
    const probe: Probe = { own, answer, resolve, reject };
    this.#probes.set(peer, probe);
    const timer = setTimeout(() => reject(new TraversalError('reflex-timeout')), TIMEOUT_MS);
    const abort = () => reject(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    (timer as { unref?: () => void }).unref?.();
    const release = own ? () => {} : this.#host.hold();
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      release();
      if (this.#probes.get(peer) === probe) this.#probes.delete(peer);
    };
    answer.then(end, end);
    if (before?.own) answer.then(before.resolve, before.reject);
    else before?.reject(new TraversalError('reflex-timeout'));
    if (!this.#host.sendMessage(peer, REFLEX_SUBPROTOCOL, new Uint8Array(0))) {
      const text = this.#host.raw.socketError?.() ?? 'refused';
      reject(new TraversalError('transport', `connection error: send failed: ${text}`));
    }
    return answer;
  }

  /** Ends all probes. */
  close(error: Error): void {
    for (const probe of this.#probes.values()) probe.reject(error);
  }

  /** Forgets a peer; who waits for its answer waits in vain. */
  peerLeft(peer: bigint): void {
    this.#rates.delete(peer);
    this.#probes.get(peer)?.reject(new TraversalError('peer-not-reachable'));
  }

  /** Messages that were malformed, or questions beyond the rate. */
  get refused(): number {
    return this.#refused;
  }

  #receive({ peer, events }: Packet): void {
    for (const event of events) {
      if (event.length === 0) this.#answer(peer);
      else {
        const address = event.length === ADDRESS_BYTES ? decodeAddress(event) : undefined;
        if (address) this.#probes.get(peer)?.resolve(formatAddress(address));
        else this.#refused += 1;
      }
    }
  }

  #answer(id: bigint): void {
    const now = performance.now();
    let rate = this.#rates.get(id);
    if (!rate) {
      rate = new ChannelRate(PER_PEER_AND_SECOND, now);
      this.#rates.set(id, rate);
    }
    const peer = this.#peers.get(id);
    const address = peer && parseAddress(peer.address);
    if (!rate.take(1, now)) this.#refused += 1;
    // The address of a relayed session is the relay's: no answer is better than a wrong one.
    else if (address && !peer.relayed) this.#host.sendMessage(id, REFLEX_SUBPROTOCOL, encodeAddress(address));
  }
}
