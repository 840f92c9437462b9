/** The subscribing end of channels: requests, what is wanted over reconnects, and what arrives (32 §4, §8). */

import { encodeMembership, type RejectReason } from '../../channels/index.js';
import { messageOf } from '../../errors.js';
import { Backoff } from '../../flow/index.js';
import type { DecodedToken } from '../../identity/index.js';
import { ExpectedChannels } from './expected.js';
import { rejection } from './failure.js';
import type { ControlHost, PeerTable } from './host.js';
import { later, type Requests } from './requests.js';
import { Retries } from './retries.js';
import { checkTokenSource, fittingToken, renewalMs, type TokenSource, tokensOf } from './token-source.js';

/** How a subscription is asked for, below the facade. */
export interface SubscribeRequest {
  /** What the publisher wants to see. A function is asked anew before a token expires and after a refusal. */
  readonly token?: TokenSource;
  /** Queue group: of its members one receives each payload. */
  readonly queueGroup?: string | undefined;
}

/** A subscription of this node (+). */
export interface SubscriptionInfo {
  /** Node id of the publisher. */
  readonly publisherNodeId: bigint;
  /** Its name, or a prefix like `sensors/*`. */
  readonly channel: string;
  /**
   * `lost`: the publisher is silent or gone. `dropped`: it took this node off the channel. Both are asked for again: as soon
   * as the publisher is back, else after 0.5, 1, 2 … 30 s.
   */
  readonly state: 'active' | 'lost' | 'dropped';
  /** Why the last attempt to get it back, or to present a new token, failed; else why it was dropped. */
  readonly lastError?: string;
}

/** What happened to a subscription (+). */
export interface SubscriptionEvent {
  /**
   * `active`: accepted, for the first time or again. `lost`, `dropped`: as the states. `failed`: an attempt to get it back
   * or to present a new token failed; more follow.
   */
  readonly type: 'active' | 'lost' | 'dropped' | 'failed';
  /** Node id of the publisher. */
  readonly publisherNodeId: bigint;
  /** Name of the channel, or a prefix like `sensors/*`. */
  readonly channel: string;
  /** Why, for `dropped` and `failed`. */
  readonly error?: Error;
}

/**
 * Who wants a subscription: the caller of `subscribeChannel`, an iteration (each is an object of its own), or the prefix of
 * a wildcard.
 */
export type Wisher =
  | { readonly kind: 'caller' }
  | { readonly kind: 'iteration' }
  | { readonly kind: 'prefix'; readonly prefix: string };

interface Wanted {
  readonly publisher: bigint;
  readonly channel: string;
  request: SubscribeRequest;
  state: SubscriptionInfo['state'];
  lastError: string | undefined;
  explicit: boolean;
  readonly iterations: Set<Wisher>;
  readonly prefixes: Set<string>;
  readonly backoff: Backoff;
  /** Waits until the next attempt, or until the token has to be renewed. */
  timer: ReturnType<typeof setTimeout> | undefined;
  /** An attempt waits for its turn or is under way. */
  trying: boolean;
  /** The publisher came back during the attempt: its outcome may be that of the session before. */
  again: boolean;
  /** When it was last accepted, monotonic ms. */
  acceptedMs: number;
}

/** A request to subscribe on its way, and what has happened since. */
interface Asking {
  sent: boolean;
  /** Why the publisher has taken this node off the channel. */
  dropped: RejectReason | undefined;
  /** Whether the channel was unsubscribed from. */
  ended: boolean;
}

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 30_000;

const key = (publisher: bigint, channel: string): string => `${publisher}:${channel}`;

/** A back-off of retries. */
export function retryBackoff(): Backoff {
  return new Backoff({ baseMs: FIRST_RETRY_MS, maxMs: LONGEST_RETRY_MS, jitter: 0.1 });
}

/** Subscriptions of one node. */
export class Subscriptions {
  readonly #host: ControlHost;
  readonly #peers: PeerTable;
  readonly #requests: Requests;
  readonly #emit: (event: SubscriptionEvent) => void;
  readonly #retries = new Retries();
  readonly #wanted = new Map<string, Wanted>();
  readonly #byPublisher = new Map<bigint, Set<Wanted>>();
  readonly #asking = new Map<string, Set<Asking>>();
  /** Calls of `subscribe` under way, by publisher and channel. */
  readonly #wishing = new Map<string, number>();
  readonly #expected: ExpectedChannels;

  constructor(host: ControlHost, peers: PeerTable, requests: Requests, emit: (event: SubscriptionEvent) => void) {
    this.#host = host;
    this.#peers = peers;
    this.#requests = requests;
    this.#emit = emit;
    this.#expected = new ExpectedChannels(host);
  }

  /** Subscribes; rejects with the reason of the refusal. */
  async subscribe(publisher: bigint, channel: string, request: SubscribeRequest, by: Wisher): Promise<void> {
    const at = key(publisher, channel);
    this.#wishing.set(at, (this.#wishing.get(at) ?? 0) + 1);
    try {
      await this.#wish(publisher, channel, request, by);
    } finally {
      const left = (this.#wishing.get(at) ?? 1) - 1;
      if (left > 0) this.#wishing.set(at, left);
      else this.#wishing.delete(at);
      this.#endUnwanted(publisher, channel);
    }
  }

  async #wish(publisher: bigint, channel: string, request: SubscribeRequest, by: Wisher): Promise<void> {
    const before = this.#wanted.get(key(publisher, channel));
    // A prefix does not change how others subscribed; what is lost is asked for again as it was.
    if (before && by.kind === 'prefix') {
      before.prefixes.add(by.prefix);
      return;
    }
    const token = request.token === undefined ? before?.request.token : checkTokenSource(request.token);
    const wish = { token, queueGroup: request.queueGroup };
    const { token: presented, ended } = await this.#ask(publisher, channel, wish, by.kind !== 'prefix');
    if (ended) {
      // The publisher may have got the two messages in the other order.
      if (!this.has(publisher, channel)) await this.unsubscribe(publisher, channel).catch(() => {});
      return;
    }
    let wanted = this.#wanted.get(key(publisher, channel));
    if (wanted && by.kind !== 'prefix') wanted.request = wish;
    if (!wanted) {
      wanted = {
        publisher,
        channel,
        request: wish,
        state: 'lost',
        lastError: undefined,
        explicit: false,
        iterations: new Set(),
        prefixes: new Set(),
        backoff: retryBackoff(),
        timer: undefined,
        trying: false,
        again: false,
        acceptedMs: 0,
      };
      this.#wanted.set(key(publisher, channel), wanted);
      this.#byPublisher.set(publisher, (this.#byPublisher.get(publisher) ?? new Set()).add(wanted));
    }
    if (by.kind === 'caller') wanted.explicit = true;
    else if (by.kind === 'iteration') wanted.iterations.add(by);
    else wanted.prefixes.add(by.prefix);
    this.#expected.expect(publisher, channel);
    this.#accepted(wanted, presented);
  }

  /** Ends a subscription, whoever asked for it. */
  async unsubscribe(publisher: bigint, channel: string): Promise<void> {
    this.#forget(publisher, channel);
    for (const asking of this.#asking.get(key(publisher, channel)) ?? []) asking.ended = true;
    await this.#requests.ask({
      peer: publisher,
      about: channel,
      answer: 'ack',
      holds: true,
      encode: (nonce) => encodeMembership({ type: 'unsubscribe', nonce, channel }),
    });
  }

  /** An iteration, or a prefix, is over: the last one ends a subscription that nobody else asked for. */
  release(publisher: bigint, channel: string, by: Exclude<Wisher, { kind: 'caller' }>): void {
    const wanted = this.#wanted.get(key(publisher, channel));
    if (!wanted) return;
    // The subscription of an iteration may have been ended by its name, and this be another one.
    const was = by.kind === 'iteration' ? wanted.iterations.delete(by) : wanted.prefixes.delete(by.prefix);
    if (was) this.#endUnwanted(publisher, channel);
  }

  /** Ends a subscription that nobody wants, nor is about to want. */
  #endUnwanted(publisher: bigint, channel: string): void {
    const wanted = this.#wanted.get(key(publisher, channel));
    if (!wanted || this.#wishing.has(key(publisher, channel)) || this.#host.closed) return;
    if (wanted.explicit || wanted.iterations.size > 0 || wanted.prefixes.size > 0) return;
    // A publisher that cannot be told any more has nothing to end.
    this.unsubscribe(publisher, channel).catch(() => {});
  }

  /** Whether a subscription is wanted. */
  has(publisher: bigint, channel: string): boolean {
    return this.#wanted.has(key(publisher, channel));
  }

  /** Channels of a publisher that a prefix has joined. */
  joinedBy(publisher: bigint, prefix: string): string[] {
    return this.#of(publisher)
      .filter((wanted) => wanted.prefixes.has(prefix))
      .map(({ channel }) => channel);
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

  /** The channel behind the number of a packet that the engine let through. */
  channelOf(tag: number): string | undefined {
    return this.#expected.nameOf(tag);
  }

  /** The publisher has taken this node off a channel. */
  dropped(publisher: bigint, channel: string, reason: RejectReason): void {
    // The answer to what is asked just now may have been overtaken.
    for (const asking of this.#asking.get(key(publisher, channel)) ?? []) if (asking.sent) asking.dropped = reason;
    const wanted = this.#wanted.get(key(publisher, channel));
    if (!wanted || wanted.state === 'lost') return;
    const error = rejection(reason);
    if (!wanted.explicit && wanted.iterations.size === 0) {
      // Only prefixes wanted it: they look again by themselves.
      this.#forget(publisher, channel);
    } else {
      wanted.state = 'dropped';
      wanted.lastError = error.message;
      // A provider may have a better token at once; but who accepts and drops again and again is not followed at that pace.
      const lasted = performance.now() - wanted.acceptedMs >= FIRST_RETRY_MS;
      this.#tryIn(wanted, lasted && typeof wanted.request.token === 'function' ? 0 : wanted.backoff.next());
    }
    this.#emit({ type: 'dropped', publisherNodeId: publisher, channel, error });
  }

  /** A publisher is silent or gone. */
  peerLost(peer: bigint): void {
    for (const wanted of this.#of(peer)) {
      clearTimeout(wanted.timer);
      wanted.timer = undefined;
      if (wanted.state === 'lost') continue;
      wanted.state = 'lost';
      this.#emit({ type: 'lost', publisherNodeId: peer, channel: wanted.channel });
    }
  }

  /** A publisher is back, in a session that is `fresh` or the old one: what was wanted is asked for again. */
  peerBack(peer: bigint, fresh: boolean): void {
    if (fresh) this.#retries.reset(peer);
    for (const wanted of this.#of(peer)) {
      wanted.backoff.reset();
      wanted.again = wanted.trying;
      this.#tryIn(wanted, 0);
    }
  }

  /** Ends all timers. */
  close(): void {
    this.#retries.close();
    for (const { timer } of this.#wanted.values()) clearTimeout(timer);
  }

  #accepted(wanted: Wanted, presented: DecodedToken | undefined): void {
    const { publisher, channel, request } = wanted;
    clearTimeout(wanted.timer);
    wanted.timer = undefined;
    wanted.backoff.reset();
    wanted.lastError = undefined;
    wanted.acceptedMs = performance.now();
    const renewal = typeof request.token === 'function' && presented ? renewalMs(presented, Date.now()) : undefined;
    if (renewal !== undefined) wanted.timer = later(() => this.#try(wanted), renewal);
    const before = wanted.state;
    wanted.state = 'active';
    if (before !== 'active') this.#emit({ type: 'active', publisherNodeId: publisher, channel });
  }

  #tryIn(wanted: Wanted, ms: number): void {
    clearTimeout(wanted.timer);
    wanted.timer = undefined;
    if (ms > 0) wanted.timer = later(() => this.#try(wanted), ms);
    else this.#try(wanted);
  }

  #try(wanted: Wanted): void {
    if (wanted.trying || this.#host.closed) return;
    wanted.trying = true;
    this.#retries.add(wanted.publisher, async () => {
      wanted.again = false;
      const outcome = await this.#attempt(wanted);
      wanted.trying = false;
      if (wanted.again) this.#try(wanted);
      return outcome;
    });
  }

  async #attempt(wanted: Wanted): Promise<'accepted' | 'refused' | 'failed'> {
    const { publisher, channel } = wanted;
    const current = () => this.#wanted.get(key(publisher, channel)) === wanted && !this.#host.closed;
    if (!current()) return 'failed';
    try {
      const { token: presented } = await this.#ask(publisher, channel, wanted.request, false);
      if (current()) this.#accepted(wanted, presented);
      // Ended in the meantime.
      else if (!this.has(publisher, channel)) await this.unsubscribe(publisher, channel);
      return 'accepted';
    } catch (error) {
      const refused = error instanceof Error && 'kind' in error && REFUSALS.has(error.kind);
      if (!current()) return refused ? 'refused' : 'failed';
      if (!wanted.explicit && wanted.iterations.size === 0 && refused) this.#forget(publisher, channel);
      else {
        // What is still active has only failed to present a new token.
        wanted.lastError = messageOf(error);
        if (this.#peers.has(publisher)) this.#tryAfterThis(wanted);
      }
      const failure = error instanceof Error ? error : new Error(String(error));
      this.#emit({ type: 'failed', publisherNodeId: publisher, channel, error: failure });
      return refused ? 'refused' : 'failed';
    }
  }

  #tryAfterThis(wanted: Wanted): void {
    clearTimeout(wanted.timer);
    wanted.timer = later(() => this.#try(wanted), wanted.backoff.next());
  }

  /** What is wanted of a publisher; a copy, because listeners may change it. */
  #of(publisher: bigint): Wanted[] {
    return [...(this.#byPublisher.get(publisher) ?? [])];
  }

  #forget(publisher: bigint, channel: string): void {
    const wanted = this.#wanted.get(key(publisher, channel));
    if (wanted) {
      clearTimeout(wanted.timer);
      this.#wanted.delete(key(publisher, channel));
      const all = this.#byPublisher.get(publisher);
      if (all?.delete(wanted) && all.size === 0) this.#byPublisher.delete(publisher);
    }
    this.#expected.forget(publisher, channel);
  }

  /** Asks to subscribe; resolves with the token that was presented, and whether the channel was unsubscribed from meanwhile. */
  async #ask(
    publisher: bigint,
    channel: string,
    { token: source, queueGroup }: SubscribeRequest,
    holds: boolean,
  ): Promise<{ readonly token: DecodedToken | undefined; readonly ended: boolean }> {
    const asking: Asking = { sent: false, dropped: undefined, ended: false };
    const all = this.#asking.get(key(publisher, channel)) ?? new Set();
    this.#asking.set(key(publisher, channel), all.add(asking));
    try {
      const found = this.#peers.has(publisher) ? tokensOf(source, channel) : [];
      const tokens = found instanceof Promise ? await this.#requests.during(found) : found;
      const token = fittingToken(tokens, channel, this.#host.entityId);
      // What the publisher sends may arrive before its answer.
      this.#expected.expect(publisher, channel);
      asking.sent = true;
      const { accepted, reason } = await this.#requests.ask({
        peer: publisher,
        about: channel,
        answer: 'ack',
        holds,
        encode: (nonce) =>
          encodeMembership({
            type: 'subscribe',
            nonce,
            channel,
            ...(token ? { token: token.bytes } : {}),
            ...(queueGroup === undefined ? {} : { queueGroup }),
          }),
      });
      if (!accepted) throw rejection(reason);
      if (asking.dropped) throw rejection(asking.dropped);
      return { token, ended: asking.ended };
    } catch (error) {
      if (!this.has(publisher, channel)) this.#forget(publisher, channel);
      throw error;
    } finally {
      all.delete(asking);
      if (all.size === 0) this.#asking.delete(key(publisher, channel));
    }
  }
}

/** Kinds of errors that the publisher counts as a failure. */
const REFUSALS: ReadonlySet<unknown> = new Set(['unauthorized', 'unknown-channel']);
