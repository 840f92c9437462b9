/** Who wants to know of the channels below a prefix of this node, and what each of them may see. */
import {
  type ChannelGate,
  ChannelRate,
  type ChannelRegistry,
  type ExtensionMessage,
  encodeExtension,
  isBelow,
  LISTED_BYTES,
  MEMBERSHIP_SUBPROTOCOL,
  PresentedTokens,
  type RejectReason,
} from '../../channels/index.js';
import type { ControlHost } from './host.js';
import type { Requests } from './requests.js';

/** Most prefixes of one peer. */
export const MAX_PREFIXES_PER_PEER = 32;
/** Lists that one peer gets per second; who asks more often is answered when it repeats its request. */
const LISTS_PER_SECOND = 16;

interface Interest {
  tokens: readonly Uint8Array[];
}

/** Prefixes by peer, at most 32 each. */
export class Interests {
  readonly #host: ControlHost;
  readonly #gate: ChannelGate;
  readonly #registry: ChannelRegistry;
  readonly #notices: Requests;
  readonly #byPeer = new Map<bigint, { readonly rate: ChannelRate; readonly prefixes: Map<string, Interest> }>();
  /** Channels registered in this tick. */
  #fresh = new Set<string>();

  constructor(host: ControlHost, gate: ChannelGate, registry: ChannelRegistry, notices: Requests) {
    this.#host = host;
    this.#gate = gate;
    this.#registry = registry;
    this.#notices = notices;
  }

  /** Answers with the names that the peer may subscribe to, and remembers its interest; `false` for one too many. */
  list(peer: bigint, { nonce, prefix, after, tokens }: Extract<ExtensionMessage, { type: 'list' }>): boolean {
    let of = this.#byPeer.get(peer);
    if (!of) {
      of = { rate: new ChannelRate(LISTS_PER_SECOND, performance.now()), prefixes: new Map() };
      this.#byPeer.set(peer, of);
    }
    if (!of.rate.take(1, performance.now())) return false;
    const answer = (names: readonly string[], more: boolean, reason: RejectReason) => {
      const bytes = encodeExtension({ type: 'listed', nonce, reason, more, names });
      this.#host.sendMessage(peer, MEMBERSHIP_SUBPROTOCOL, bytes);
      return true;
    };
    if (this.#gate.isPaused(peer)) return answer([], false, 'rate-limited');
    if (!of.prefixes.has(prefix) && of.prefixes.size >= MAX_PREFIXES_PER_PEER) {
      return answer([], false, 'too-many-channels');
    }
    of.prefixes.set(prefix, { tokens });
    const presented = new PresentedTokens(tokens);
    const names: string[] = [];
    let room = LISTED_BYTES;
    for (const { name } of this.#registry.below(prefix, after)) {
      // A channel that would refuse the peer does not exist for it.
      if (!this.#gate.admits(peer, name, presented)) continue;
      room -= 1 + name.length;
      if (room < 0) return answer(names, true, 'none');
      names.push(name);
    }
    return answer(names, false, 'none');
  }

  /** The peer is not interested any more. */
  unlist(peer: bigint, prefix: string): void {
    this.#byPeer.get(peer)?.prefixes.delete(prefix);
  }

  /** A peer is silent or gone: it asks again when it is back. */
  forget(peer: bigint): void {
    this.#byPeer.delete(peer);
  }

  /** A channel was registered: whoever may join it, and would, is told that something has changed. */
  registered(name: string): void {
    if (this.#byPeer.size === 0) return;
    if (this.#fresh.size === 0) queueMicrotask(() => this.#tell());
    this.#fresh.add(name);
  }

  #tell(): void {
    const names = this.#fresh;
    this.#fresh = new Set();
    if (this.#host.closed) return;
    for (const [peer, { prefixes }] of this.#byPeer) {
      for (const [prefix, { tokens }] of prefixes) {
        const presented = new PresentedTokens(tokens);
        const joins = [...names].some((name) => isBelow(prefix, name) && this.#gate.admits(peer, name, presented));
        if (!joins) continue;
        const encode = (nonce: bigint) => encodeExtension({ type: 'changed', nonce, prefix });
        // A peer that does not hear of it looks by itself every half minute.
        this.#notices.ask({ peer, about: prefix, answer: 'ack', holds: false, encode }).catch(() => {});
      }
    }
  }
}
