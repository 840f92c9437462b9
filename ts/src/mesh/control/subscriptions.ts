/** The subscribing end of channels: requests, what is wanted over reconnects, and what arrives (32 §4, §8). */

import {
  canonicalChannelHash,
  encodeMembership,
  MEMBERSHIP_SUBPROTOCOL,
  publishStreamId,
  type RejectReason,
} from '../../channels/index.js';
import { messageOf } from '../../errors.js';
import type { Packet } from '../batch.js';
import { channelFailure } from './failure.js';
import type { ControlHost, PeerTable } from './host.js';

/** How a subscription is asked for, below the facade. */
export interface SubscribeRequest {
  /** Bytes of a token. */
  readonly token?: Uint8Array | undefined;
  /** Queue group: of its members one receives each payload. */
  readonly queueGroup?: string | undefined;
}

/** A subscription of this node (+). */
export interface SubscriptionInfo {
  /** Node id of the publisher. */
  readonly publisherNodeId: bigint;
  /** Its name. */
  readonly channel: string;
  /** `lost`: the publisher is silent or gone; it is asked again when it comes back. */
  readonly state: 'active' | 'lost';
  /** Why the last attempt to get it back failed. */
  readonly lastError?: string;
}

interface Wanted extends SubscribeRequest {
  readonly publisher: bigint;
  readonly channel: string;
  state: 'active' | 'lost';
  lastError: string | undefined;
  /** Asked for by `subscribeChannel`; otherwise only by iterations. */
  explicit: boolean;
  iterations: number;
  retry: ReturnType<typeof setTimeout> | undefined;
}

interface Pending {
  readonly publisher: bigint;
  settle(reason: RejectReason | Error, accepted: boolean): void;
}

/** How long an answer is waited for, ms. */
export const ACK_TIMEOUT_MS = 5000;
const REPEAT_AFTER_MS = [250, 500, 1000, 2000];
const MAX_PENDING = 4096;
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 30_000;

const REJECTIONS = {
  none: ['rejected', 'rejected (None)'],
  unauthorized: ['unauthorized', 'unauthorized'],
  'unknown-channel': ['unknown-channel', 'unknown channel'],
  'rate-limited': ['rate-limited', 'rate limited'],
  'too-many-channels': ['too-many-channels', 'too many channels'],
} as const satisfies Record<RejectReason, readonly [string, string]>;

function rejection(reason: RejectReason): Error {
  const [kind, text] = REJECTIONS[reason];
  return channelFailure(kind, text);
}

const key = (publisher: bigint, channel: string): string => `${publisher}:${channel}`;

function unref(timer: ReturnType<typeof setTimeout>): ReturnType<typeof setTimeout> {
  (timer as { unref?: () => void }).unref?.();
  return timer;
}

/** Subscriptions of one node. */
export class Subscriptions {
  readonly #host: ControlHost;
  readonly #peers: PeerTable;
  readonly #pending = new Map<bigint, Pending>();
  readonly #wanted = new Map<string, Wanted>();
  /** Channel by publish stream, by publisher: what may reach a channel's iterators. */
  readonly #inbound = new Map<bigint, Map<bigint, string>>();
  /** Packets of channels that were not subscribed to. */
  unsolicited = 0;

  constructor(host: ControlHost, peers: PeerTable) {
    this.#host = host;
    this.#peers = peers;
  }

  /** Subscribes; rejects with the reason of the refusal. */
  async subscribe(publisher: bigint, channel: string, request: SubscribeRequest, explicit = true): Promise<void> {
    await this.#request('subscribe', publisher, channel, request);
    const known = this.#wanted.get(key(publisher, channel));
    if (known?.retry !== undefined) clearTimeout(known.retry);
    this.#expect(publisher, channel);
    this.#wanted.set(key(publisher, channel), {
      token: request.token ?? known?.token,
      queueGroup: request.queueGroup,
      publisher,
      channel,
      state: 'active',
      lastError: undefined,
      explicit: explicit || (known?.explicit ?? false),
      iterations: (known?.iterations ?? 0) + (explicit ? 0 : 1),
      retry: undefined,
    });
  }

  /** Ends a subscription, whoever asked for it. */
  async unsubscribe(publisher: bigint, channel: string): Promise<void> {
    this.#forget(publisher, channel);
    await this.#request('unsubscribe', publisher, channel, {});
  }

  /** An iteration over a publisher's channel is over: the last one ends a subscription that nobody else asked for. */
  release(publisher: bigint, channel: string): void {
    const wanted = this.#wanted.get(key(publisher, channel));
    if (!wanted) return;
    wanted.iterations -= 1;
    if (wanted.explicit || wanted.iterations > 0 || this.#host.closed) return;
    // A publisher that cannot be told any more has nothing to end.
    this.unsubscribe(publisher, channel).catch(() => {});
  }

  /** All subscriptions. */
  list(): SubscriptionInfo[] {
    return [...this.#wanted.values()].map(({ publisher, channel, state, lastError }) => ({
      publisherNodeId: publisher,
      channel,
      state,
      ...(lastError === undefined ? {} : { lastError }),
    }));
  }

  /** An answer arrived. It counts only from the publisher that was asked. */
  answered(peer: bigint, nonce: bigint, accepted: boolean, reason: RejectReason): void {
    const pending = this.#pending.get(nonce);
    if (pending?.publisher === peer) pending.settle(reason, accepted);
  }

  /** The channel of a genuine publish that was subscribed to. */
  channelOf(packet: Packet): string | undefined {
    const channel = this.#inbound.get(packet.peer)?.get(packet.streamId);
    if (channel === undefined) this.unsolicited += 1;
    return channel;
  }

  /** A publisher is silent or gone. */
  peerLost(peer: bigint): void {
    for (const wanted of this.#wanted.values()) {
      if (wanted.publisher !== peer) continue;
      wanted.state = 'lost';
      if (wanted.retry !== undefined) clearTimeout(wanted.retry);
      wanted.retry = undefined;
    }
  }

  /** A publisher is back: what was wanted is asked for again. */
  peerBack(peer: bigint): void {
    for (const wanted of this.#wanted.values()) if (wanted.publisher === peer) void this.#regain(wanted, 0);
  }

  /** Rejects what is pending. */
  close(error: Error): void {
    for (const pending of [...this.#pending.values()]) pending.settle(error, false);
    for (const { retry } of this.#wanted.values()) if (retry !== undefined) clearTimeout(retry);
  }

  async #regain(wanted: Wanted, tries: number): Promise<void> {
    const { publisher, channel } = wanted;
    const current = () => this.#wanted.get(key(publisher, channel)) === wanted && !this.#host.closed;
    if (wanted.retry !== undefined) clearTimeout(wanted.retry);
    wanted.retry = undefined;
    try {
      await this.#request('subscribe', publisher, channel, wanted, false);
      wanted.state = 'active';
      wanted.lastError = undefined;
      // Ended in the meantime.
      if (!this.#wanted.has(key(publisher, channel))) await this.#request('unsubscribe', publisher, channel, {}, false);
    } catch (error) {
      if (!current()) return;
      wanted.state = 'lost';
      wanted.lastError = messageOf(error);
      if (!this.#peers.has(publisher)) return;
      const wait = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(tries, 10));
      wanted.retry = unref(setTimeout(() => void this.#regain(wanted, tries + 1), wait));
    }
  }

  #forget(publisher: bigint, channel: string): void {
    const wanted = this.#wanted.get(key(publisher, channel));
    if (wanted?.retry !== undefined) clearTimeout(wanted.retry);
    this.#wanted.delete(key(publisher, channel));
    const streams = this.#inbound.get(publisher);
    streams?.delete(publishStreamId(canonicalChannelHash(channel)));
    if (streams?.size === 0) this.#inbound.delete(publisher);
  }

  /** What the publisher sends may arrive before its answer. */
  #expect(publisher: bigint, channel: string): void {
    let streams = this.#inbound.get(publisher);
    if (!streams) {
      streams = new Map();
      this.#inbound.set(publisher, streams);
    }
    streams.set(publishStreamId(canonicalChannelHash(channel)), channel);
  }

  async #request(
    type: 'subscribe' | 'unsubscribe',
    publisher: bigint,
    channel: string,
    { token, queueGroup }: SubscribeRequest,
    holds = true,
  ): Promise<void> {
    if (!this.#peers.has(publisher)) {
      throw channelFailure('no-session', `connection error: no session to publisher 0x${publisher.toString(16)}`);
    }
    if (this.#pending.size >= MAX_PENDING) throw channelFailure('limit', `${MAX_PENDING} requests are pending already`);
    const [nonce = 0n] = crypto.getRandomValues(new BigUint64Array(1));
    const message =
      type === 'unsubscribe'
        ? encodeMembership({ type, nonce, channel })
        : encodeMembership({
            type,
            nonce,
            channel,
            ...(token ? { token } : {}),
            ...(queueGroup === undefined ? {} : { queueGroup }),
          });
    if (type === 'subscribe') this.#expect(publisher, channel);
    const done = holds ? this.#host.hold() : () => {};
    const timers: ReturnType<typeof setTimeout>[] = [];
    try {
      await new Promise<void>((resolve, reject) => {
        this.#pending.set(nonce, {
          publisher,
          settle: (reason, accepted) => {
            if (accepted) resolve();
            else reject(reason instanceof Error ? reason : rejection(reason));
          },
        });
        const send = () => this.#host.sendMessage(publisher, MEMBERSHIP_SUBPROTOCOL, message);
        if (!send()) {
          const text = `connection error: no session to publisher 0x${publisher.toString(16)}`;
          reject(channelFailure('no-session', text));
        }
        // A publisher answers a repeated request as it answered the first one.
        for (const after of REPEAT_AFTER_MS) timers.push(unref(setTimeout(() => this.#host.closed || send(), after)));
        const timeout = () =>
          reject(
            channelFailure(
              'timeout',
              `connection error: membership ack timeout (${ACK_TIMEOUT_MS / 1000}s) for channel ${channel}`,
            ),
          );
        timers.push(unref(setTimeout(timeout, ACK_TIMEOUT_MS)));
      });
    } catch (error) {
      if (type === 'subscribe' && !this.#wanted.has(key(publisher, channel))) this.#forget(publisher, channel);
      throw error;
    } finally {
      this.#pending.delete(nonce);
      for (const timer of timers) clearTimeout(timer);
      done();
    }
  }
}
