/** Who subscribed to what: broadcast members and queue groups of each channel (32 §6). */

/** Most channels of one remote peer. */
export const MAX_CHANNELS_PER_PEER = 1024;

interface QueueGroup {
  readonly members: Set<bigint>;
  /** The members in turn; made when it is needed after a change. */
  order: readonly bigint[] | undefined;
  /** Turn of the round-robin. */
  cursor: number;
}

interface Membership {
  readonly broadcast: Set<bigint>;
  readonly groups: Map<string, QueueGroup>;
}

/** Members by channel, and channels by member. What is empty is removed at once. */
export class Roster {
  readonly #channels = new Map<string, Membership>();
  /** Channel to queue group, `undefined` for broadcast. */
  readonly #peers = new Map<bigint, Map<string, string | undefined>>();

  /** Number of channels that have members. */
  get channelCount(): number {
    return this.#channels.size;
  }

  /** Number of peers that are member somewhere. */
  get peerCount(): number {
    return this.#peers.size;
  }

  /**
   * Makes a peer member of a channel, in broadcast mode or in a queue group; from another mode it moves. `false` when
   * the peer already has 1024 channels and this would be one more.
   */
  add(channel: string, peer: bigint, queueGroup?: string): boolean {
    const own = this.#peers.get(peer);
    if (own?.has(channel)) {
      if (own.get(channel) === queueGroup) return true;
      this.#leave(channel, peer, own.get(channel));
    } else if (own && own.size >= MAX_CHANNELS_PER_PEER) return false;

    let membership = this.#channels.get(channel);
    if (!membership) {
      membership = { broadcast: new Set(), groups: new Map() };
      this.#channels.set(channel, membership);
    }
    if (queueGroup === undefined) membership.broadcast.add(peer);
    else {
      const group = membership.groups.get(queueGroup) ?? { members: new Set(), order: undefined, cursor: 0 };
      membership.groups.set(queueGroup, group);
      group.members.add(peer);
      group.order = undefined;
    }
    if (own) own.set(channel, queueGroup);
    else this.#peers.set(peer, new Map([[channel, queueGroup]]));
    return true;
  }

  /** Ends a membership; `false` when there was none. */
  remove(channel: string, peer: bigint): boolean {
    const own = this.#peers.get(peer);
    if (!own?.has(channel)) return false;
    this.#leave(channel, peer, own.get(channel));
    own.delete(channel);
    if (own.size === 0) this.#peers.delete(peer);
    return true;
  }

  /** Ends all memberships of a peer; returns the channels. */
  removePeer(peer: bigint): string[] {
    const channels = this.channelsOf(peer);
    for (const channel of channels) this.remove(channel, peer);
    return channels;
  }

  /** Whether a peer is member of a channel, in any mode. */
  has(channel: string, peer: bigint): boolean {
    return this.#peers.get(peer)?.has(channel) ?? false;
  }

  /** Number of channels of a peer. */
  countOf(peer: bigint): number {
    return this.#peers.get(peer)?.size ?? 0;
  }

  /** Channels of a peer. */
  channelsOf(peer: bigint): string[] {
    return [...(this.#peers.get(peer)?.keys() ?? [])];
  }

  /** Channels of a peer with its mode in each. */
  modesOf(peer: bigint): { channel: string; queueGroup: string | undefined }[] {
    return [...(this.#peers.get(peer) ?? [])].map(([channel, queueGroup]) => ({ channel, queueGroup }));
  }

  /** Members of a channel with their mode. */
  membersOf(channel: string): { peer: bigint; queueGroup: string | undefined }[] {
    const membership = this.#channels.get(channel);
    if (!membership) return [];
    return [
      ...[...membership.broadcast].map((peer) => ({ peer, queueGroup: undefined })),
      ...[...membership.groups].flatMap(([queueGroup, { members }]) =>
        [...members].map((peer) => ({ peer, queueGroup })),
      ),
    ];
  }

  /** Whether a channel has queue groups. */
  hasGroups(channel: string): boolean {
    return (this.#channels.get(channel)?.groups.size ?? 0) > 0;
  }

  /** Every membership; the roster may be changed while it is walked. */
  memberships(): { channel: string; peer: bigint }[] {
    return [...this.#peers].flatMap(([peer, channels]) => [...channels.keys()].map((channel) => ({ channel, peer })));
  }

  /** Recipients of the next publish: every broadcast member, and one of each queue group in turn. */
  dispatch(channel: string): bigint[] {
    const membership = this.#channels.get(channel);
    if (!membership) return [];
    // A peer is in one mode only: nobody is named twice.
    const recipients = [...membership.broadcast];
    for (const group of membership.groups.values()) {
      group.order ??= [...group.members];
      const next = group.order[group.cursor % group.order.length];
      group.cursor = (group.cursor + 1) % Number.MAX_SAFE_INTEGER;
      if (next !== undefined) recipients.push(next);
    }
    return recipients;
  }

  #leave(channel: string, peer: bigint, queueGroup: string | undefined): void {
    const membership = this.#channels.get(channel);
    if (!membership) return;
    if (queueGroup === undefined) membership.broadcast.delete(peer);
    else {
      const group = membership.groups.get(queueGroup);
      if (group) {
        group.members.delete(peer);
        group.order = undefined;
      }
      if (group?.members.size === 0) membership.groups.delete(queueGroup);
    }
    if (membership.broadcast.size === 0 && membership.groups.size === 0) this.#channels.delete(channel);
  }
}
