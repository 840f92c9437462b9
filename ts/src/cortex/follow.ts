import type { EventLog } from './log.js';

/** Whoever follows a log; called in its own thread, must not throw. */
export interface Follower {
  /** Something was appended. */
  onAppended(): void;
  /** Nothing more will come. */
  onLogClosed(): void;
}

/** Ends the subscription of followers that were dropped without a close. */
const abandoned = new FinalizationRegistry<() => void>((unsubscribe) => unsubscribe());

/**
 * Tells a follower about its log, without keeping it and its state alive: the log may live longer. Returns the end of it.
 */
export function follow(log: Pick<EventLog, 'subscribe'>, follower: Follower): () => void {
  const self = new WeakRef(follower);
  const unsubscribe = log.subscribe({
    appended: () => self.deref()?.onAppended(),
    closed: () => self.deref()?.onLogClosed(),
  });
  abandoned.register(follower, unsubscribe, self);
  return () => {
    abandoned.unregister(self);
    unsubscribe();
  };
}
