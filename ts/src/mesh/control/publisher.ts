/** The publishing end of channels: who subscribed, and what goes out to them (32 §3–§7, §9). */

import {
  AuthThrottle,
  type ChannelConfig,
  ChannelGate,
  ChannelRate,
  ChannelRegistry,
  channelNameProblem,
  encodeExtension,
  encodeMembership,
  MEMBERSHIP_SUBPROTOCOL,
  type MembershipMessage,
  type RejectReason,
  Roster,
} from '../../channels/index.js';
import { wrongType } from '../../errors.js';
import type { TokenCache } from '../../identity/index.js';
import { abortable } from '../abortable.js';
import { checkInteger } from '../check.js';
import { MAX_EVENT_BYTES } from '../frames.js';
import type { CapabilityService } from './capability-service.js';
import { channelFailure } from './failure.js';
import { Fanout, type Outgoing, type Recipients } from './fanout.js';
import type { ControlHost, PeerTable } from './host.js';
import { Interests } from './interests.js';
import { Requests } from './requests.js';
import type { Subnets } from './subnets.js';

/** What happens when a subscriber cannot be reached. */
export type OnFailure = 'best_effort' | 'fail_fast' | 'collect';

/** How one payload is published. */
export interface PublishConfig {
  /** Default: the channel's `reliable`, else `'fire_and_forget'`. The first publish to a subscriber decides for its stream. */
  reliability?: 'fire_and_forget' | 'reliable';
  /** `'best_effort'` (default) rejects only when nobody was reached; `'collect'` never; `'fail_fast'` stops at the first failure and resolves with the report so far. */
  onFailure?: OnFailure;
  /** Accepted for compatibility: sends do not wait for each other. */
  maxInflight?: number;
  /** + What to do without credit: fail at once (default), or wait for it. */
  onBackpressure?: 'fail' | 'wait';
  /** + Ends that wait: the call rejects with the signal's reason, and whoever has not got the payload yet does not get it. */
  signal?: AbortSignal;
}

/** What became of a publish. */
export interface PublishReport {
  /** Subscribers that it was meant for. */
  attempted: number;
  /** Subscribers for whom it was handed to the socket. */
  delivered: number;
  /** The others. */
  errors: { nodeId: bigint; message: string }[];
}

/** A subscriber of a channel (+). */
export interface SubscriberInfo {
  /** Node id. */
  readonly nodeId: bigint;
  /** Queue group; absent for a broadcast subscription. */
  readonly queueGroup?: string;
  /** Payloads handed to the socket for it. */
  readonly delivered: number;
  /** Payloads that could not be sent to it. */
  readonly failed: number;
  /** Why the last of them could not. */
  readonly lastError?: string;
}

/** A channel of this node in numbers, since it was registered (+). */
export interface ChannelStats {
  /** Members now. */
  readonly subscribers: number;
  /** Payloads given to `publish` and `publishMany` and not refused. */
  readonly published: number;
  /** Their bytes, each counted once. */
  readonly publishedBytes: number;
  /** Payloads handed to the socket, over all subscribers. */
  readonly delivered: number;
  /** Payloads that could not be sent, over all subscribers. */
  readonly failed: number;
  /** Calls of `publish` that `maxRatePps` refused. */
  readonly rateLimited: number;
  /** Calls of `publish` that `publishCaps` refused. */
  readonly denied: number;
  /** Requests to subscribe that were refused. */
  readonly refused: number;
  /** Members that were taken off: token ended, configuration changed. */
  readonly dropped: number;
}

type Counters = { -readonly [K in Exclude<keyof ChannelStats, 'subscribers'>]: number };

/** Answers remembered, so that a repeated request is answered and not counted again. */
const MAX_ANSWERS = 1024;
const RELIABILITIES = ['fire_and_forget', 'reliable'] as const;
const FAILURE_POLICIES: readonly OnFailure[] = ['best_effort', 'fail_fast', 'collect'];

function checkName(method: string, name: unknown): string {
  if (typeof name !== 'string') throw wrongType(method, 'channel', name, 'a string', 'StringExpected');
  const problem = channelNameProblem(name);
  if (problem !== undefined) throw channelFailure('invalid-name', `invalid name: ${problem}`);
  return name;
}

export { checkName as checkChannelName };

const hex = (id: bigint): string => `0x${id.toString(16)}`;

function oneOf<T extends string>(value: unknown, allowed: readonly T[], what: string, byDefault: T): T {
  if (value === undefined || value === null) return byDefault;
  const found = allowed.find((word) => word === value);
  if (found === undefined) throw channelFailure('invalid-config', `invalid ${what} "${String(value)}"`);
  return found;
}

function noCounts(): Counters {
  return {
    published: 0,
    publishedBytes: 0,
    delivered: 0,
    failed: 0,
    rateLimited: 0,
    denied: 0,
    refused: 0,
    dropped: 0,
  };
}

/** Registry, roster, gate and the sends of one node. */
export class Publisher {
  readonly registry = new ChannelRegistry();
  readonly #roster = new Roster();
  readonly #gate: ChannelGate;
  readonly #host: ControlHost;
  readonly #fanout: Fanout;
  readonly #subnets: Subnets;
  readonly #answers = new Map<string, RejectReason>();
  /** Memberships of peers that fell silent, to be given back when the same session speaks again. */
  readonly #silent = new Map<bigint, Map<string, string | undefined>>();
  /** Of registered channels. */
  readonly #counters = new Map<string, Counters>();
  readonly #peers: PeerTable;
  /** What members are told and confirm. */
  readonly notices: Requests;
  /** Prefixes that peers subscribed to. */
  readonly interests: Interests;
  #noticesLost = 0;

  constructor(
    host: ControlHost,
    peers: PeerTable,
    capabilities: CapabilityService,
    options: { cache: TokenCache; subnets: Subnets; unknownSubnet?: 'global' | 'deny' | undefined },
  ) {
    this.#host = host;
    this.#peers = peers;
    this.notices = new Requests(host, peers);
    this.#fanout = new Fanout(host);
    this.#subnets = options.subnets;
    this.#gate = new ChannelGate({
      registry: this.registry,
      roster: this.#roster,
      throttle: new AuthThrottle(),
      peers: capabilities,
      guard: this.#fanout,
      cache: options.cache,
      ownEntity: host.entityId,
      ownSubnet: () => options.subnets.own,
      ownTags: () => capabilities.ownTags(),
      onDropped: (peer, channel, reason) => this.#onDropped(peer, channel, reason),
      ...(options.unknownSubnet ? { unknownSubnet: options.unknownSubnet } : {}),
    });
    this.interests = new Interests(host, this.#gate, this.registry, this.notices);
  }

  /** Adds or replaces a channel. */
  register(config: ChannelConfig): void {
    if (config === null || typeof config !== 'object') {
      throw wrongType('registerChannel', 'config', config, 'an object', 'InvalidArg');
    }
    checkName('registerChannel', config.name);
    const { name } = config;
    const known = this.registry.get(name) !== undefined;
    this.registry.register(config);
    this.#fanout.reset(name);
    this.#subnets.channelChanged(name, config);
    if (!this.#counters.has(name)) this.#counters.set(name, noCounts());
    if (known) this.#gate.recheck(name);
    this.interests.registered(name);
  }

  /** Removes a channel and its subscribers; `false` when there is none. */
  unregister(name: string): boolean {
    if (!this.registry.unregister(name)) return false;
    this.#counters.delete(name);
    this.#gate.close(name);
    this.#subnets.channelChanged(name, undefined);
    return true;
  }

  /** A registered channel in numbers. */
  stats(name: string): ChannelStats | undefined {
    const counters = this.#counters.get(name);
    return counters && { subscribers: this.#roster.membersOf(name).length, ...counters };
  }

  /** Notices that no room was for, or that were not confirmed. */
  get noticesLost(): number {
    return this.#noticesLost;
  }

  /** Subscribers of a channel. */
  subscribers(name: string): SubscriberInfo[] {
    return this.#roster.membersOf(name).map(({ peer, queueGroup }) => {
      const { delivered = 0, failed = 0, lastError } = this.#fanout.get(name)?.to.get(peer) ?? {};
      return {
        nodeId: peer,
        ...(queueGroup === undefined ? {} : { queueGroup }),
        delivered,
        failed,
        ...(lastError === undefined ? {} : { lastError }),
      };
    });
  }

  /** Answers a request; nothing for an unknown sender. */
  answer(peer: bigint, message: Exclude<MembershipMessage, { type: 'ack' }>): void {
    if (peer === 0n) return;
    const key = `${peer}:${message.nonce}`;
    let reason = this.#answers.get(key);
    if (reason === undefined) {
      // Said in the silence (only a heartbeat ends it with the published package): newer than what is remembered.
      this.#silent.get(peer)?.delete(message.channel);
      if (message.type === 'unsubscribe') {
        this.#gate.unsubscribe(peer, message.channel);
        reason = 'none';
      } else reason = this.#gate.subscribe(peer, message.channel, message.token, message.queueGroup);
      if (reason === undefined) return;
      const counters = reason === 'none' ? undefined : this.#counters.get(message.channel);
      if (counters) counters.refused += 1;
      if (this.#answers.size >= MAX_ANSWERS) {
        const [oldest] = this.#answers.keys();
        if (oldest !== undefined) this.#answers.delete(oldest);
      }
      this.#answers.set(key, reason);
    }
    const ack = { type: 'ack', nonce: message.nonce, accepted: reason === 'none', reason } as const;
    this.#host.sendMessage(peer, MEMBERSHIP_SUBPROTOCOL, encodeMembership(ack));
  }

  /** Sends payloads to every subscriber, one event each. */
  async publish(channel: string, payloads: readonly Uint8Array[], config: PublishConfig = {}): Promise<PublishReport> {
    const out = this.#fanout.get(channel);
    // A channel with subscribers has a name that was looked at before.
    if (!out) checkName('publish', channel);
    const registered = this.registry.get(channel);
    const reliability = oneOf(
      config?.reliability,
      RELIABILITIES,
      'reliability',
      registered?.reliable ? 'reliable' : 'fire_and_forget',
    );
    const onFailure = oneOf(config?.onFailure, FAILURE_POLICIES, 'on_failure', 'best_effort');
    const waits = oneOf(config?.onBackpressure, ['fail', 'wait'] as const, 'on_backpressure', 'fail') === 'wait';
    checkInteger('maxInflight', config?.maxInflight, 0, 2 ** 32 - 1, 32);
    for (const payload of payloads) {
      if (!(payload instanceof Uint8Array)) throw wrongType('publish', 'payload', payload, 'a Buffer', 'InvalidArg');
      if (payload.length > MAX_EVENT_BYTES) {
        throw channelFailure('too-large', `payload too large (${payload.length} > ${MAX_EVENT_BYTES})`);
      }
    }
    config?.signal?.throwIfAborted();
    const counters = this.#counters.get(channel);
    if (!this.#gate.mayPublish(channel)) {
      if (counters) counters.denied += 1;
      throw channelFailure('publish-denied', 'connection error: channel: publish denied by channel ACL');
    }
    const recipients = out && this.#recipients(out, channel);
    const attempted = recipients?.ids.length ?? 0;
    const report: PublishReport = { attempted, delivered: 0, errors: [] };
    const { maxRatePps, priority = 0 } = registered ?? {};
    if (out && attempted > 0 && maxRatePps !== undefined) {
      const now = performance.now();
      out.rate ??= new ChannelRate(maxRatePps, now);
      // A full bucket serves any number of subscribers, else the many would never get anything.
      if (!out.rate.take(Math.min(attempted * payloads.length, maxRatePps), now)) {
        if (counters) counters.rateLimited += 1;
        throw channelFailure('rate-limited', 'rate limited');
      }
    }
    if (counters) {
      counters.published += payloads.length;
      for (const { length } of payloads) counters.publishedBytes += length;
    }
    if (!out || !recipients || attempted === 0 || payloads.length === 0) return report;
    const { signal } = config ?? {};
    const passage = { reliable: reliability === 'reliable', priority, stops: onFailure === 'fail_fast', waits, signal };
    const waiting = this.#fanout.publish(out, recipients, payloads, passage, { report, counters });
    if (waiting) await abortable(waiting, signal);
    const [first] = report.errors;
    if (onFailure === 'best_effort' && report.delivered === 0 && first) {
      throw channelFailure(
        'all-failed',
        `connection error: all ${report.attempted} peers failed (first: ${hex(first.nodeId)}: ${first.message})`,
      );
    }
    return report;
  }

  /** Who gets the next publish: found out each time only where time, turns or subnets change it. */
  #recipients(out: Outgoing, channel: string): Recipients {
    if (out.fixed) return out.fixed;
    const recipients = this.#fanout.recipients(out, this.#gate.recipients(channel));
    if (this.#gate.isSteady(channel)) out.fixed = recipients;
    return recipients;
  }

  #onDropped(peer: bigint, channel: string, reason: RejectReason): void {
    const counters = this.#counters.get(channel);
    if (counters) counters.dropped += 1;
    // A node of the published package does not know of notices.
    if (this.#peers.get(peer)?.protocol !== 'meshring') return;
    const encode = (nonce: bigint) => encodeExtension({ type: 'dropped', nonce, channel, reason });
    this.notices.ask({ peer, about: channel, answer: 'ack', holds: false, encode }).catch(() => {
      this.#noticesLost += 1;
    });
  }

  /** A peer is silent: it receives nothing until it speaks again. */
  peerFailed(peer: bigint): void {
    const lost = this.#roster.modesOf(peer).map(({ channel, queueGroup }) => [channel, queueGroup] as const);
    this.#gate.peerFailed(peer);
    this.interests.forget(peer);
    if (lost.length > 0) this.#silent.set(peer, new Map(lost));
  }

  /** The same session speaks again: its memberships are asked for anew, with the tokens that were presented then. */
  peerRecovered(peer: bigint): void {
    const lost = this.#silent.get(peer) ?? [];
    this.#silent.delete(peer);
    for (const [channel, queueGroup] of lost) this.#gate.restore(peer, channel, queueGroup);
  }

  /** A new session: what it asks for it asks for again. */
  peerJoined(peer: bigint): void {
    this.#silent.delete(peer);
    this.interests.forget(peer);
    // What was granted in the session before may be gone: a request that is repeated in this one is a new one.
    for (const key of this.#answers.keys()) if (key.startsWith(`${peer}:`)) this.#answers.delete(key);
  }

  /** A session ended. */
  peerLeft(peer: bigint): void {
    this.#gate.peerFailed(peer);
    this.interests.forget(peer);
    this.#silent.delete(peer);
  }

  /** Removes members whose token is not valid any more. */
  sweep(): void {
    this.#gate.sweep();
  }
}
