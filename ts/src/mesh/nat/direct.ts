/** `connectDirect`: the shortest way to a node, or the relay (33 A5). */
import { CALL } from '../../backend/mesh.js';
import { abortable } from '../abortable.js';
import { isUnspecified, linkOf, parseAddress, type SocketAddress } from './address.js';
import type { Classification } from './classification.js';
import { pairAction } from './classify.js';
import { TraversalError, transportFailure } from './failure.js';
import type { NatDirectory, NatHost, PeerTable } from './host.js';
import type { Reflex } from './reflex.js';
import type { Meeting } from './rendezvous.js';
import { peerNatClass } from './tags.js';

/** How a node was reached. */
export type DirectPath = 'direct' | 'punched' | 'relayed';

/** Counters that only grow. */
export interface TraversalStats {
  /** Punches that a coordinator arranged. */
  readonly punchesAttempted: bigint;
  /** Those which ended in a session on the punched path. */
  readonly punchesSucceeded: bigint;
  /** Sessions over a relay after, or instead of, a try without one. */
  readonly relayFallbacks: bigint;
}

/** Whom to reach, and over whom if need be. */
export interface DirectCall {
  readonly target: bigint;
  readonly key: Uint8Array;
  readonly coordinator: bigint;
  readonly signal?: AbortSignal | undefined;
}

/** A path is tried so often … */
const PATH_TRIES = 5;
/** … at this distance, ms. */
const PATH_PAUSE_MS = 400;

/** Carries out the action of a pair. */
export class Direct {
  readonly #host: NatHost;
  readonly #peers: PeerTable;
  readonly #directory: NatDirectory;
  readonly #own: SocketAddress;
  readonly #parts: { readonly nat: Classification; readonly reflex: Reflex; readonly meeting: Meeting };
  #attempted = 0n;
  #succeeded = 0n;
  #fallbacks = 0n;

  constructor(
    host: NatHost,
    peers: PeerTable,
    directory: NatDirectory,
    own: SocketAddress,
    parts: { readonly nat: Classification; readonly reflex: Reflex; readonly meeting: Meeting },
  ) {
    this.#host = host;
    this.#peers = peers;
    this.#directory = directory;
    this.#own = own;
    this.#parts = parts;
  }

  /** Counters. */
  get stats(): TraversalStats {
    return {
      punchesAttempted: this.#attempted,
      punchesSucceeded: this.#succeeded,
      relayFallbacks: this.#fallbacks,
    };
  }

  /** Reaches the target. */
  async connect(call: DirectCall): Promise<DirectPath> {
    call.signal?.throwIfAborted();
    const { nat } = this.#parts.nat.state;
    const action = pairAction(nat, peerNatClass(this.#directory, call.target));
    if (action === 'direct') return this.#direct(call);
    if (!this.#peers.has(call.coordinator)) throw new TraversalError('peer-not-reachable');
    return action === 'punch' ? this.#punch(call) : this.#relay(call);
  }

  async #direct(call: DirectCall): Promise<DirectPath> {
    const text = this.#directory.get(call.target)?.reflexAddr;
    const reflex = text === undefined ? undefined : parseAddress(text);
    if (!reflex) throw new TraversalError('peer-not-reachable');
    try {
      await this.#reach(call, reflex);
      return 'direct';
    } catch (error) {
      this.#passOn(error, call);
    }
    return this.#fallBack(call, () => this.#shake(CALL.routed, '', call));
  }

  async #punch(call: DirectCall): Promise<DirectPath> {
    const reflex = await this.#unlessAborted(this.#ownReflex(call.coordinator), call);
    const met = this.#parts.meeting.meet(call.target, call.coordinator, reflex);
    const meeting = await this.#unlessAborted(met, call).catch((error: unknown) => {
      void met.then((late) => late?.cancel());
      throw error;
    });
    if (!meeting) return this.#relay(call);
    this.#attempted += 1n;
    try {
      if (await this.#unlessAborted(meeting.acknowledged(), call)) {
        await this.#reach(call, meeting.reflex);
        this.#succeeded += 1n;
        return 'punched';
      }
    } catch (error) {
      this.#passOn(error, call);
    } finally {
      meeting.cancel();
    }
    return this.#relay(call);
  }

  /** Over the coordinator. */
  #relay(call: DirectCall): Promise<DirectPath> {
    return this.#fallBack(call, () => {
      const address = this.#peers.get(call.coordinator)?.address;
      if (address === undefined) throw new TraversalError('peer-not-reachable');
      return this.#shake(CALL.via, address, call);
    });
  }

  /** A session that works is left alone: replacing it would cost what is under way on its streams. */
  async #fallBack(call: DirectCall, shake: () => Promise<void>): Promise<DirectPath> {
    const known = this.#peers.get(call.target);
    const works = known !== undefined && known.state !== 'failed';
    if (works && !known.relayed) return 'direct';
    if (!works) await shake();
    this.#fallbacks += 1n;
    return 'relayed';
  }

  async #shake(how: number, address: string, { key, target, signal }: DirectCall): Promise<void> {
    try {
      await this.#host.connect(how, address, key, target, signal);
    } catch (error) {
      throw transportFailure(error, signal);
    }
  }

  /** Has a session with the target at exactly this address, or throws. */
  async #reach(call: DirectCall, reflex: SocketAddress): Promise<void> {
    const link = linkOf(reflex, this.#own);
    const known = this.#peers.get(call.target);
    const isThere = () => {
      const now = this.#peers.get(call.target);
      return now !== undefined && !now.relayed && now.address === link;
    };
    if (isThere()) return;
    if (!known || known.state === 'failed' || known.protocol !== 'meshring')
      return this.#shake(CALL.straight, link, call);
    // A session of our kind moves, with all its streams; a new one would be refused while this one is alive.
    for (let n = 0; n < PATH_TRIES; n++) {
      this.#host.raw.tryPath(this.#host.driver.now(), call.target, link);
      this.#host.driver.flush();
      await this.#moved(call, isThere);
      if (isThere()) return;
    }
    throw new TraversalError('transport', 'connection error: handshake timeout');
  }

  /** Until the peer moved, for one pause at most. */
  async #moved({ target, signal }: DirectCall, isThere: () => boolean): Promise<void> {
    let end: () => void = () => {};
    const waited = new Promise<void>((resolve) => {
      end = resolve;
    });
    const timer = setTimeout(end, PATH_PAUSE_MS);
    const stop = [
      this.#host.onPeer(({ id }) => {
        if (id === target && isThere()) end();
      }),
      this.#host.onClose(end),
    ];
    signal?.addEventListener('abort', end);
    try {
      await waited;
    } finally {
      clearTimeout(timer);
      for (const one of stop) one();
      signal?.removeEventListener('abort', end);
    }
    signal?.throwIfAborted();
    this.#host.check();
  }

  /** Where this node is reached: as it was found or told, else as the coordinator sees it, else where it is bound. */
  async #ownReflex(coordinator: bigint): Promise<SocketAddress> {
    const { address } = this.#parts.nat.state;
    const known = address === null ? undefined : parseAddress(address);
    if (known) return known;
    if (!isUnspecified(this.#own)) return this.#own;
    const seen = await this.#parts.reflex.probe(coordinator, { own: true }).catch(() => undefined);
    return (seen === undefined ? undefined : parseAddress(seen)) ?? this.#own;
  }

  #unlessAborted<T>(work: Promise<T>, { signal }: DirectCall): Promise<T> {
    return abortable(this.#unlessClosed(work), signal);
  }

  async #unlessClosed<T>(work: Promise<T>): Promise<T> {
    const value = await work;
    this.#host.check();
    return value;
  }

  /** Goes on only after what a relay can mend. */
  #passOn(error: unknown, { signal }: DirectCall): void {
    if (!(error instanceof TraversalError) || signal?.aborted || this.#host.closed) throw error;
  }
}
