/** Publishes on their way out: one call into the engine for all recipients of a channel (32 §6, §7). */
import { REFUSED } from '../../backend/mesh.js';
import { type ChannelRate, canonicalChannelHash, publishStreamId } from '../../channels/index.js';
import { frame } from '../frames.js';
import type { ControlHost } from './host.js';

/** What a subscriber got so far. */
export interface Delivery {
  delivered: number;
  failed: number;
  lastError: string | undefined;
}

/** Recipients of a publish, and what the last one did for each. */
export interface Recipients {
  readonly ids: BigUint64Array;
  readonly deliveries: readonly Delivery[];
  /** Codes of {@link PUBLISHED}, in the order of `ids`. */
  readonly outcomes: Int8Array;
}

/** A channel that somebody is granted. */
export interface Outgoing {
  /** Its number in the guard. */
  readonly number: number;
  readonly stream: bigint;
  readonly to: Map<bigint, Delivery>;
  rate: ChannelRate | undefined;
  /** Recipients that stay the same until a grant, a revocation or a registration. */
  fixed: Recipients | undefined;
}

/** How payloads travel. */
export interface Passage {
  readonly reliable: boolean;
  /** 0..255. */
  readonly priority: number;
  /** Whether the first failure ends it: nobody after that recipient is tried. */
  readonly stops: boolean;
  /** Whether recipients without credit are waited for. */
  readonly waits: boolean;
  /** Ends the waits, within 200 ms: no listener for each recipient. */
  readonly signal: AbortSignal | undefined;
}

/** Where a publish is counted. */
export interface Tally {
  readonly report: { attempted: number; delivered: number; errors: { nodeId: bigint; message: string }[] };
  /** Payloads of the channel over all subscribers. */
  readonly counters: { delivered: number; failed: number } | undefined;
}

/** Outcomes for a recipient (native/src/port/channels.rs). */
export const PUBLISHED = {
  sent: 0,
  notTried: 1,
  backpressure: REFUSED.backpressure,
  noSession: REFUSED.notConnected,
  socket: REFUSED.socket,
  notGranted: -6,
  tooMany: -7,
} as const;

const RELIABLE = 0x100;
const STOPS = 0x200;
/** Window of a publish stream. */
const WINDOW_BYTES = 65_536;
/** Frame, header and tag of an event that has a packet of its own. */
const EVENT_OVERHEAD = 84;
const LONGEST_WAIT_MS = 200;

const hex = (id: bigint): string => `0x${id.toString(16)}`;

/** How many payloads, from the first on, fit half a window, and at least one. */
function partOf(payloads: readonly Uint8Array[]): number {
  let bytes = 0;
  const end = payloads.findIndex(({ length }) => {
    bytes += length + EVENT_OVERHEAD;
    return bytes > WINDOW_BYTES / 2;
  });
  return end < 0 ? payloads.length : Math.max(1, end);
}

/** Channels with subscribers, and the sends to them. */
export class Fanout {
  readonly #host: ControlHost;
  readonly #outgoing = new Map<string, Outgoing>();

  constructor(host: ControlHost) {
    this.#host = host;
  }

  /** Lets a channel go out to a peer; `false` when the guard is full. */
  grant(peer: bigint, channel: string): boolean {
    if (this.#host.closed) return false;
    const number = this.#host.raw.grantChannel(peer, channel);
    if (number === 0) return false;
    let out = this.#outgoing.get(channel);
    if (!out) {
      const stream = publishStreamId(canonicalChannelHash(channel));
      out = { number, stream, to: new Map(), rate: undefined, fixed: undefined };
      this.#outgoing.set(channel, out);
    }
    out.fixed = undefined;
    if (!out.to.has(peer)) out.to.set(peer, { delivered: 0, failed: 0, lastError: undefined });
    return true;
  }

  /** Ends it. */
  revoke(peer: bigint, channel: string): void {
    // After the end of the node nothing goes out to anybody.
    if (!this.#host.closed) this.#host.raw.revokeChannel(peer, channel);
    const out = this.#outgoing.get(channel);
    if (!out) return;
    out.fixed = undefined;
    out.to.delete(peer);
    if (out.to.size === 0) this.#outgoing.delete(channel);
  }

  /** The channel was registered anew: rate and recipients follow from its new configuration. */
  reset(channel: string): void {
    const out = this.#outgoing.get(channel);
    if (out) [out.rate, out.fixed] = [undefined, undefined];
  }

  /** A channel with subscribers. */
  get(channel: string): Outgoing | undefined {
    return this.#outgoing.get(channel);
  }

  /** Recipients among those that are granted the channel. */
  recipients(out: Outgoing, peers: Iterable<bigint>): Recipients {
    const ids: bigint[] = [];
    const deliveries: Delivery[] = [];
    for (const peer of peers) {
      const delivery = out.to.get(peer);
      if (!delivery) continue;
      ids.push(peer);
      deliveries.push(delivery);
    }
    return { ids: BigUint64Array.from(ids), deliveries, outcomes: new Int8Array(ids.length) };
  }

  /** Sends payloads to all recipients and counts what became of each. The promise, if any, ends with the last that is waited for. */
  publish(
    out: Outgoing,
    recipients: Recipients,
    payloads: readonly Uint8Array[],
    passage: Passage,
    tally: Tally,
  ): Promise<void> | undefined {
    const { ids, deliveries, outcomes } = recipients;
    const count = payloads.length;
    const sent = this.#send(out, recipients, payloads, passage);
    if (sent === ids.length) {
      for (const delivery of deliveries) delivery.delivered += count;
      tally.report.delivered += sent;
      if (tally.counters) tally.counters.delivered += sent * count;
      return undefined;
    }
    const waiting: number[] = [];
    for (const [at, outcome] of outcomes.entries()) {
      if (outcome === PUBLISHED.notTried) break;
      if (outcome === PUBLISHED.notGranted) tally.report.attempted -= 1;
      else if (outcome === PUBLISHED.backpressure && passage.waits) waiting.push(at);
      else this.#settle(out, recipients, at, outcome, count, tally);
    }
    return waiting.length > 0 ? this.#publishLater(out, recipients, waiting, payloads, passage, tally) : undefined;
  }

  async #publishLater(
    out: Outgoing,
    recipients: Recipients,
    waiting: readonly number[],
    payloads: readonly Uint8Array[],
    passage: Passage,
    tally: Tally,
  ): Promise<void> {
    // The caller may use its buffers again as soon as its call has returned.
    const copies = payloads.map((payload) => new Uint8Array(payload));
    const patiently = async (at: number) => {
      const outcome = await this.#sendPatiently(out, recipients.ids[at] as bigint, copies, passage);
      this.#settle(out, recipients, at, outcome, copies.length, tally);
    };
    await Promise.all(waiting.map(patiently));
    if (!passage.stops || tally.report.errors.length > 0 || passage.signal?.aborted) return;
    const next = (waiting[0] as number) + 1;
    const [ids, deliveries] = [recipients.ids.slice(next), recipients.deliveries.slice(next)];
    const rest = { ids, deliveries, outcomes: new Int8Array(ids.length) };
    if (ids.length > 0) await this.publish(out, rest, copies, passage, tally);
  }

  /** Sends to one as soon as it has credit, in parts when the whole never fits; how that ended. */
  async #sendPatiently(
    out: Outgoing,
    peer: bigint,
    payloads: readonly Uint8Array[],
    passage: Passage,
  ): Promise<number> {
    const one: Recipients = { ids: BigUint64Array.of(peer), deliveries: [], outcomes: new Int8Array(1) };
    const done = this.#host.hold();
    try {
      let rest = payloads;
      for (let wait = 5; ; wait = Math.min(LONGEST_WAIT_MS, 2 * wait)) {
        const next = rest.slice(0, partOf(rest)).reduce((sum, { length }) => sum + 4 + length, 0);
        await this.#host.roomWithin(peer, out.stream, next, wait);
        this.#host.check();
        if (passage.signal?.aborted) return PUBLISHED.backpressure;
        for (;;) {
          const part = rest.slice(0, partOf(rest));
          this.#send(out, one, part, passage);
          const outcome = one.outcomes[0] as number;
          if (outcome === PUBLISHED.backpressure) break;
          if (outcome !== PUBLISHED.sent) return outcome;
          rest = rest.slice(part.length);
          if (rest.length === 0) return outcome;
          wait = 5;
        }
      }
    } finally {
      done();
    }
  }

  #settle(out: Outgoing, recipients: Recipients, at: number, outcome: number, count: number, tally: Tally): void {
    const delivery = recipients.deliveries[at] as Delivery;
    const what = outcome === PUBLISHED.sent ? 'delivered' : 'failed';
    delivery[what] += count;
    if (tally.counters) tally.counters[what] += count;
    if (outcome === PUBLISHED.sent) {
      tally.report.delivered += 1;
      return;
    }
    const nodeId = recipients.ids[at] as bigint;
    delivery.lastError = this.#failureOf(outcome, nodeId, out);
    tally.report.errors.push({ nodeId, message: delivery.lastError });
  }

  /** All payloads or none to each recipient; returns to how many. */
  #send(out: Outgoing, { ids, outcomes }: Recipients, payloads: readonly Uint8Array[], passage: Passage): number {
    const { driver, raw } = this.#host;
    const { bytes, length } = frame(payloads);
    const flags = passage.priority | (passage.reliable ? RELIABLE : 0) | (passage.stops ? STOPS : 0);
    const sent = raw.publish(driver.now(), out.number, ids, bytes, length, payloads.length, flags, outcomes);
    driver.flush();
    return sent;
  }

  /** The text of a failure. */
  #failureOf(outcome: number, peer: bigint, { stream }: Outgoing): string {
    switch (outcome) {
      case PUBLISHED.backpressure:
        return `connection error: publish: stream ${hex(stream)} backpressured`;
      case PUBLISHED.noSession:
        return `connection error: publish: no session for subscriber ${hex(peer)}`;
      case PUBLISHED.socket:
        return `connection error: publish send failed: ${this.#host.raw.socketError?.() ?? 'the socket refused it'}`;
      case PUBLISHED.tooMany:
        return `connection error: publish: stream ${hex(stream)} refused (too-many)`;
      default:
        return `connection error: publish: stream ${hex(stream)} closed`;
    }
  }
}
