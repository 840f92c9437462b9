import type { StoredPeer } from './directory-store.js';

/** What a pinger needs. Times in milliseconds. */
export interface PingerOptions {
  /** 0 = never ping. */
  readonly intervalMs: number;
  readonly timeoutMs: { readonly transient: number; readonly persistent: number; readonly debug: number };
  peers(): readonly StoredPeer[];
  /** Resolves with whether the peer answered in time. */
  ping(peer: StoredPeer, timeoutMs: number): Promise<boolean>;
  /** The peer has not answered since the given time. */
  gone(peer: StoredPeer, since: Date): void;
  /** A peer that did not respond has answered. */
  back(peer: StoredPeer): void;
}

/** Finds peers that have gone without a word: pings everyone who is up, and keeps the oldest unanswered ping. */
export class Pinger {
  private readonly options: PingerOptions;
  private readonly unanswered = new Map<string, number>();
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: PingerOptions) {
    this.options = options;
  }

  start(): void {
    if (this.options.intervalMs === 0 || this.timer !== undefined) return;
    this.timer = setInterval(() => this.round(), this.options.intervalMs);
    this.timer.unref?.();
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    this.unanswered.clear();
  }

  /** The peer registered again, or left: what it did not answer before does not count. */
  forget(id: string): void {
    this.unanswered.delete(id);
  }

  private round(): void {
    for (const peer of this.options.peers()) {
      if (!peer.isUp || peer.id.startsWith('Abc.Zebus.Directory.')) continue;
      const limit = this.limit(peer);
      const oldest = this.unanswered.get(peer.id);
      if (oldest !== undefined && Date.now() - oldest > limit) {
        this.options.gone(peer, new Date(oldest));
        if (!peer.isPersistent) continue;
      }
      const at = Date.now();
      if (oldest === undefined) this.unanswered.set(peer.id, at);
      void this.options.ping(peer, Math.max(limit, this.options.intervalMs)).then((answered) => {
        if (!answered || this.timer === undefined) return;
        this.unanswered.delete(peer.id);
        if (!peer.isResponding && peer.isUp) this.options.back(peer);
      });
    }
  }

  private limit(peer: StoredPeer): number {
    const { transient, persistent, debug } = this.options.timeoutMs;
    if (peer.hasDebuggerAttached) return debug;
    return peer.isPersistent ? persistent : transient;
  }
}
