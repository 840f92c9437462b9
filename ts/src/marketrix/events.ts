/** Events: subscribers are listed in Redis, events go to each of them directly (90 §6.4). */
import { MarketrixError } from '../errors.js';
import type { Connections } from './connections.js';
import type { Counters } from './counters.js';
import type { Directory } from './directory.js';
import { asFrame, type Frame, frames, HELLO } from './envelope.js';
import type { DiscoveryLayout } from './layout.js';
import { checkName, type Settings } from './options.js';
import type { FramePipe } from './pipe.js';
import type { Presence } from './presence.js';
import type { RedisLink } from './redis.js';
import { LIVE } from './scripts.js';
import type { PeerRef } from './types.js';

/** Function of the application that takes events. */
export type EventHandler = (data: unknown, from: PeerRef) => unknown;

/** Members of a topic, read at most once at a time. */
class Membership {
  /** A reading that has begun: too old for who asks now. */
  reading: Promise<string[]> | undefined;
  /** The reading after it, which serves everybody who asks until it begins. */
  following: Promise<string[]> | undefined;
  last: string[] | undefined;
}

export interface EventsOptions {
  settings: Settings;
  redis: RedisLink;
  layout: DiscoveryLayout;
  directory: Directory;
  connections: Connections;
  presence: Presence | undefined;
  counters: Counters;
}

export class Events {
  readonly #options: EventsOptions;
  readonly #self: PeerRef;
  readonly #handlers = new Map<string, Set<EventHandler>>();
  readonly #members = new Map<string, Membership>();
  /** One stream to each subscriber, so that its events stay in order. */
  readonly #pipes = new Map<string, Promise<FramePipe>>();

  constructor(options: EventsOptions) {
    this.#options = options;
    this.#self = { service: options.settings.service, instance: options.settings.instance };
  }

  /** Sends to every live subscriber; resolves with the number that it was handed to. */
  async publish(topic: string, data: unknown): Promise<number> {
    checkName('topic', topic);
    const { settings, counters } = this.#options;
    if (!settings.envelope) throw new MarketrixError('invalid-options', 'events need the option `envelope`');
    const text = frames.ev(topic, data, this.#self);
    const members = await this.#membersOf(topic);
    const reached = await Promise.all(members.map((member) => this.#deliver(member, topic, data, text)));
    counters.eventsMissed += reached.filter((ok) => !ok).length;
    return reached.filter(Boolean).length;
  }

  /** Calls `fn` with each event of the topic; resolves when publishers can see it. */
  async subscribe(topic: string, fn: EventHandler): Promise<() => Promise<void>> {
    checkName('topic', topic);
    const { presence, settings } = this.#options;
    if (!presence)
      throw new MarketrixError('invalid-options', 'subscribe needs `listen`: events are sent to this peer');
    if (!settings.envelope) throw new MarketrixError('invalid-options', 'events need the option `envelope`');
    const set = this.#handlers.get(topic) ?? new Set<EventHandler>();
    const handler: EventHandler = (data, from) => fn(data, from);
    set.add(handler);
    this.#handlers.set(topic, set);
    const stop = async () => {
      if (!set.delete(handler) || set.size > 0) return;
      this.#handlers.delete(topic);
      await presence.removeTopic(topic);
    };
    try {
      await presence.addTopic(topic);
    } catch (error) {
      await stop().catch(() => {});
      throw error;
    }
    return stop;
  }

  /** Takes the events of a stream that a publisher opened, one after the other. */
  async receive(pipe: FramePipe, first: Frame | undefined): Promise<void> {
    try {
      pipe.outbox.send(HELLO).catch(() => {});
      if (first) await this.#received(first);
      for (;;) {
        const next = await pipe.inbox.next();
        if (next.done) break;
        await this.#received(asFrame(next.value));
      }
      await pipe.outbox.end();
    } catch {
      // The publisher is gone, or sent what is no frame: it opens another stream if it lives.
      pipe.close();
    }
  }

  async #received(frame: Frame): Promise<void> {
    if (frame.t !== 'ev' || typeof frame.topic !== 'string') return;
    const from = (frame.from ?? {}) as Partial<PeerRef>;
    await this.#dispatch(frame.topic, frame.d, { service: from.service ?? 'unknown', instance: from.instance ?? '' });
  }

  async #dispatch(topic: string, data: unknown, from: PeerRef): Promise<void> {
    for (const handler of this.#handlers.get(topic) ?? []) {
      try {
        await handler(data, from);
      } catch {
        this.#options.counters.callbackErrors += 1;
      }
    }
  }

  async #deliver(member: string, topic: string, data: unknown, text: string): Promise<boolean> {
    if (member === `${this.#self.service}/${this.#self.instance}`) {
      void this.#dispatch(topic, data, this.#self);
      return true;
    }
    try {
      const pipe = await this.#pipe(member);
      return pipe.outbox.trySend(text);
    } catch {
      return false;
    }
  }

  #pipe(member: string): Promise<FramePipe> {
    let opening = this.#pipes.get(member);
    if (!opening) {
      opening = this.#open(member);
      this.#pipes.set(member, opening);
      const forget = () => {
        if (this.#pipes.get(member) === opening) this.#pipes.delete(member);
      };
      opening.then((pipe) => pipe.closed.then(forget, forget), forget);
    }
    return opening;
  }

  async #open(member: string): Promise<FramePipe> {
    const slash = member.indexOf('/');
    const [service, instance] = [member.slice(0, slash), member.slice(slash + 1)];
    const { pipe, agreement } = await this.#options.connections.open(service, 'events', { instance }, new Set(), true);
    if (!agreement.envelope) {
      pipe.close();
      throw new MarketrixError('protocol', `${member} speaks raw frames only`, { remote: agreement.remote });
    }
    pipe.outbox.send(HELLO).catch(() => {});
    void drain(pipe);
    return pipe;
  }

  /** Never older than the call: a subscriber whose `subscribe` has resolved is in it. */
  #membersOf(topic: string): Promise<string[]> {
    let state = this.#members.get(topic);
    if (!state) {
      state = new Membership();
      this.#members.set(topic, state);
    }
    const { reading } = state;
    if (!reading) return this.#read(topic, state);
    state.following ??= reading.then(
      () => this.#next(topic, state),
      () => this.#next(topic, state),
    );
    return state.following;
  }

  #next(topic: string, state: Membership): Promise<string[]> {
    state.following = undefined;
    return this.#read(topic, state);
  }

  #read(topic: string, state: Membership): Promise<string[]> {
    const { redis, layout } = this.#options;
    const reading = redis
      .eval('publish', LIVE, [layout.topicKey(topic)], [])
      .then((live) => {
        state.last = (live as string[]).filter((_, i) => i % 2 === 1);
        return state.last;
      })
      .catch((error: unknown) => {
        // While Redis is away the subscribers known last are served.
        if (state.last) return state.last;
        throw error;
      })
      .finally(() => {
        if (state.reading === reading) state.reading = undefined;
      });
    state.reading = reading;
    return reading;
  }
}

/** Nothing but the end comes back on a stream of events. */
async function drain(pipe: FramePipe): Promise<void> {
  try {
    while (!(await pipe.inbox.next()).done);
    pipe.close();
  } catch {
    // `closed` tells.
  }
}
