/** Subscriptions to all channels of a publisher below a prefix: `sensors/*` joins each of them by a request of its own. */
import {
  channelNameProblem,
  encodeExtension,
  isBelow,
  MAX_CHANNELS_PER_PEER,
  MAX_PRESENTED_TOKENS,
} from '../../channels/index.js';
import { messageOf } from '../../errors.js';
import type { Backoff } from '../../flow/index.js';
import { channelFailure, rejection } from './failure.js';
import type { ControlHost, PeerTable } from './host.js';
import { later, type Requests } from './requests.js';
import {
  retryBackoff,
  type SubscribeRequest,
  type SubscriptionEvent,
  type SubscriptionInfo,
  type Subscriptions,
  type Wisher,
} from './subscriptions.js';
import { checkTokenSource, tokensOf } from './token-source.js';

interface Watched {
  readonly publisher: bigint;
  readonly prefix: string;
  request: SubscribeRequest;
  state: SubscriptionInfo['state'];
  lastError: string | undefined;
  explicit: boolean;
  readonly iterations: Set<Wisher>;
  /** Calls of `subscribe` under way. */
  wishing: number;
  /** Channels that were unsubscribed from by name. */
  readonly without: Set<string>;
  readonly backoff: Backoff;
  timer: ReturnType<typeof setTimeout> | undefined;
  /** A look under way, and whether another one has to follow it. */
  look: Promise<void> | undefined;
  again: boolean;
}

/** How often the channels below a prefix are looked for again, ms: somebody may be admitted to what refused it before. */
const LOOK_EVERY_MS = 30_000;
/** Requests to join that are under way at once. */
const JOINS_AT_ONCE = 16;
/** Most names of one publisher that are looked at in one go; a member can have 1024 channels. */
const MAX_NAMES = 2 * MAX_CHANNELS_PER_PEER;

/** The prefix of `sensors/*`, '' for `*`; `undefined` for everything that is no wildcard. */
export function prefixOf(pattern: string): string | undefined {
  if (pattern === '*') return '';
  if (!pattern.endsWith('/*')) return undefined;
  const prefix = pattern.slice(0, -2);
  return channelNameProblem(prefix) === undefined ? prefix : undefined;
}

/** Tells which names a name or wildcard stands for; throws for anything else. */
export function patternMatcher(pattern: string): (name: string) => boolean {
  const prefix = prefixOf(pattern);
  if (prefix !== undefined) return (name) => isBelow(prefix, name);
  const problem = channelNameProblem(pattern);
  if (problem !== undefined) throw channelFailure('invalid-name', `invalid name: ${problem}`);
  return (name) => name === pattern;
}

const patternOf = (prefix: string): string => (prefix === '' ? '*' : `${prefix}/*`);
const key = (publisher: bigint, prefix: string): string => `${publisher}:${prefix}`;

/** Prefixes that this node subscribed to. */
export class Prefixes {
  readonly #host: ControlHost;
  readonly #peers: PeerTable;
  readonly #requests: Requests;
  readonly #subscriptions: Subscriptions;
  readonly #emit: (event: SubscriptionEvent) => void;
  readonly #watched = new Map<string, Watched>();

  constructor(
    host: ControlHost,
    peers: PeerTable,
    requests: Requests,
    subscriptions: Subscriptions,
    emit: (event: SubscriptionEvent) => void,
  ) {
    this.#host = host;
    this.#peers = peers;
    this.#requests = requests;
    this.#subscriptions = subscriptions;
    this.#emit = emit;
  }

  /** Subscribes to what there is now; what comes later is joined when it comes. */
  async subscribe(publisher: bigint, prefix: string, request: SubscribeRequest, by: Wisher): Promise<void> {
    const known = this.#watched.get(key(publisher, prefix));
    const token = request.token === undefined ? known?.request.token : checkTokenSource(request.token);
    const wish = { token, queueGroup: request.queueGroup };
    const watched = known ?? {
      publisher,
      prefix,
      request: wish,
      state: 'lost',
      lastError: undefined,
      explicit: false,
      iterations: new Set(),
      wishing: 0,
      without: new Set(),
      backoff: retryBackoff(),
      timer: undefined,
      look: undefined,
      again: false,
    };
    watched.request = wish;
    watched.wishing += 1;
    this.#watched.set(key(publisher, prefix), watched);
    const done = this.#host.hold();
    try {
      await this.#look(watched);
      if (by.kind === 'caller') watched.explicit = true;
      else watched.iterations.add(by);
    } catch (error) {
      if (!known && this.#watched.get(key(publisher, prefix)) === watched) this.#forget(watched);
      throw error;
    } finally {
      watched.wishing -= 1;
      this.#endUnwanted(watched);
      done();
    }
  }

  /** Ends the subscription, and those that only it asked for. */
  async unsubscribe(publisher: bigint, prefix: string): Promise<void> {
    const watched = this.#watched.get(key(publisher, prefix));
    if (watched) this.#forget(watched);
    const encode = (nonce: bigint) => encodeExtension({ type: 'unlist', nonce, prefix });
    this.#checkPublisher(publisher, prefix);
    await this.#requests.ask({ peer: publisher, about: patternOf(prefix), answer: 'ack', holds: true, encode });
  }

  /** An iteration over a prefix is over. */
  release(publisher: bigint, prefix: string, by: Wisher): void {
    const watched = this.#watched.get(key(publisher, prefix));
    if (watched?.iterations.delete(by)) this.#endUnwanted(watched);
  }

  /** Ends what nobody wants, nor is about to want. */
  #endUnwanted(watched: Watched): void {
    if (watched.explicit || watched.iterations.size > 0 || watched.wishing > 0 || !this.#current(watched)) return;
    // A publisher that cannot be told any more has nothing to end.
    this.unsubscribe(watched.publisher, watched.prefix).catch(() => {});
  }

  /** A channel was subscribed to, or unsubscribed from, by its name: the latter counts for the prefixes above it too. */
  named(publisher: bigint, channel: string, wanted: boolean): void {
    for (const watched of this.#watched.values()) {
      if (watched.publisher !== publisher || !isBelow(watched.prefix, channel)) continue;
      if (wanted) watched.without.delete(channel);
      else if (watched.without.size < MAX_CHANNELS_PER_PEER) watched.without.add(channel);
    }
  }

  /** Whether a prefix is subscribed to. */
  has(publisher: bigint, prefix: string): boolean {
    return this.#watched.has(key(publisher, prefix));
  }

  /** All prefixes, as subscriptions. */
  list(): SubscriptionInfo[] {
    return [...this.#watched.values()].map(({ publisher, prefix, state, lastError }) => ({
      publisherNodeId: publisher,
      channel: patternOf(prefix),
      state,
      ...(lastError === undefined ? {} : { lastError }),
    }));
  }

  /** The publisher has something new below a prefix. */
  changed(publisher: bigint, prefix: string): void {
    const watched = this.#watched.get(key(publisher, prefix));
    if (watched) this.#lookAgain(watched);
  }

  /** A publisher is back. */
  peerBack(peer: bigint): void {
    for (const watched of this.#watched.values()) if (watched.publisher === peer) this.#lookAgain(watched);
  }

  /** A publisher is silent or gone. */
  peerLost(peer: bigint): void {
    for (const watched of this.#watched.values()) {
      if (watched.publisher !== peer) continue;
      clearTimeout(watched.timer);
      if (watched.state === 'lost') continue;
      watched.state = 'lost';
      this.#emit({ type: 'lost', publisherNodeId: peer, channel: patternOf(watched.prefix) });
    }
  }

  /** This node has announced something else: it may be admitted to more. */
  announced(): void {
    for (const watched of this.#watched.values()) this.#lookAgain(watched);
  }

  /** Ends all timers. */
  close(): void {
    for (const { timer } of this.#watched.values()) clearTimeout(timer);
  }

  #forget(watched: Watched): void {
    const { publisher, prefix } = watched;
    clearTimeout(watched.timer);
    this.#watched.delete(key(publisher, prefix));
    for (const channel of this.#subscriptions.joinedBy(publisher, prefix)) {
      this.#subscriptions.release(publisher, channel, { kind: 'prefix', prefix });
    }
  }

  /** A node of the published package would stay silent. */
  #checkPublisher(publisher: bigint, prefix: string): void {
    if (this.#peers.get(publisher)?.protocol === 'net-0.19') {
      const pattern = patternOf(prefix);
      throw channelFailure(
        'unsupported',
        `publisher 0x${publisher.toString(16)} has no wildcards (${pattern}): subscribe to its channels one by one`,
      );
    }
  }

  #lookAgain(watched: Watched): void {
    this.#look(watched).catch(() => {});
  }

  /** One look at a time; a second one asked for meanwhile follows it. */
  #look(watched: Watched): Promise<void> {
    if (watched.look) {
      watched.again = true;
      return watched.look;
    }
    const run = async () => {
      do {
        watched.again = false;
        await this.#lookOnce(watched);
      } while (watched.again && this.#current(watched));
    };
    watched.look = run().finally(() => {
      watched.look = undefined;
    });
    return watched.look;
  }

  #current(watched: Watched): boolean {
    return this.#watched.get(key(watched.publisher, watched.prefix)) === watched && !this.#host.closed;
  }

  async #lookOnce(watched: Watched): Promise<void> {
    const { publisher, prefix } = watched;
    clearTimeout(watched.timer);
    let wait = LOOK_EVERY_MS;
    try {
      this.#checkPublisher(publisher, prefix);
      const names = await this.#names(watched);
      const refused = this.#current(watched) ? await this.#join(watched, names) : undefined;
      if (!this.#current(watched)) return;
      watched.backoff.reset();
      watched.lastError = refused;
      if (watched.state !== 'active') {
        watched.state = 'active';
        this.#emit({ type: 'active', publisherNodeId: publisher, channel: patternOf(prefix) });
      }
    } catch (error) {
      if (this.#current(watched)) {
        watched.lastError = messageOf(error);
        wait = watched.backoff.next();
        const failure = error instanceof Error ? error : new Error(String(error));
        this.#emit({ type: 'failed', publisherNodeId: publisher, channel: patternOf(prefix), error: failure });
      }
      throw error;
    } finally {
      if (this.#current(watched) && this.#peers.has(publisher)) {
        watched.timer = later(() => this.#lookAgain(watched), wait);
      }
    }
  }

  /** Names below the prefix that this node may subscribe to, page by page. */
  async #names({ publisher, prefix, request }: Watched): Promise<string[]> {
    const given = this.#peers.has(publisher) ? tokensOf(request.token, patternOf(prefix)) : [];
    const all = given instanceof Promise ? await this.#requests.during(given) : given;
    const tokens = all.slice(0, MAX_PRESENTED_TOKENS).map(({ bytes }) => bytes);
    const found: string[] = [];
    for (let after = ''; ; ) {
      const asked = after;
      const { reason, names, more } = await this.#requests.ask({
        peer: publisher,
        about: patternOf(prefix),
        answer: 'listed',
        holds: false,
        encode: (nonce) => encodeExtension({ type: 'list', nonce, prefix, after: asked, tokens }),
      });
      if (reason !== 'none') throw rejection(reason);
      const last = names?.at(-1);
      for (const name of names ?? []) if (isBelow(prefix, name) && name > asked) found.push(name);
      if (!more || last === undefined || last <= asked || found.length >= MAX_NAMES) return found;
      after = last;
    }
  }

  /** Joins what is new; the text of the last refusal, if any. */
  async #join(watched: Watched, names: readonly string[]): Promise<string | undefined> {
    const { publisher, prefix, request, without } = watched;
    const joined = new Set(this.#subscriptions.joinedBy(publisher, prefix));
    const open = names.filter((name) => !without.has(name) && !joined.has(name));
    // No publisher of good will has more members than it allows itself, but what it names is its word only.
    const waiting = open.slice(0, Math.max(0, MAX_CHANNELS_PER_PEER - joined.size));
    let refused = open.length > waiting.length ? rejection('too-many-channels').message : undefined;
    const joiner = async () => {
      for (let name = waiting.shift(); name !== undefined && this.#current(watched); name = waiting.shift()) {
        try {
          await this.#subscriptions.subscribe(publisher, name, request, { kind: 'prefix', prefix });
        } catch (error) {
          // Others may still be open: a look every half minute tries this one again.
          refused = messageOf(error);
          if (error instanceof Error && 'kind' in error && error.kind === 'too-many-channels') waiting.length = 0;
        }
      }
    };
    await Promise.all(Array.from({ length: JOINS_AT_ONCE }, joiner));
    for (const name of this.#current(watched) ? [] : this.#subscriptions.joinedBy(publisher, prefix)) {
      this.#subscriptions.release(publisher, name, { kind: 'prefix', prefix });
    }
    return refused;
  }
}
