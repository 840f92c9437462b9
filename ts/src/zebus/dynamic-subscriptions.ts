import { ZebusError } from '../errors.js';
import type { KeysOfType } from './descriptor.js';
import { type BindingKey, keyText, type PeerSubscription } from './peer.js';

interface Count {
  readonly key: BindingKey;
  count: number;
}

/**
 * Which keys this peer is subscribed to, start-up and run time together, each counted. Changes within one tick go to
 * the directory as one update; updates go one after the other (71 §12).
 */
export class DynamicSubscriptions {
  private readonly counts = new Map<string, Map<string, Count>>();
  private readonly push: (types: readonly KeysOfType[]) => Promise<void>;
  private changed = new Set<string>();
  private flushing: Promise<void> = Promise.resolve();
  private scheduled: Promise<void> | undefined;
  private run = 0;

  /** `push` tells the directory the current keys of these types. */
  constructor(push: (types: readonly KeysOfType[]) => Promise<void>) {
    this.push = push;
  }

  /** Forgets everything, and makes handles of before useless. */
  reset(): void {
    this.counts.clear();
    this.changed.clear();
    this.run += 1;
  }

  /** Token that handles keep, to notice that they belong to an earlier run. */
  get epoch(): number {
    return this.run;
  }

  /** Everything subscribed now. */
  current(): PeerSubscription[] {
    const list: PeerSubscription[] = [];
    for (const [messageType, keys] of this.counts) {
      for (const { key } of keys.values()) list.push({ messageType, key });
    }
    return list;
  }

  /** Counts a key up; true when it is new. */
  increment(messageType: string, key: BindingKey): boolean {
    let keys = this.counts.get(messageType);
    if (keys === undefined) {
      keys = new Map();
      this.counts.set(messageType, keys);
    }
    const text = keyText(key);
    const known = keys.get(text);
    if (known !== undefined) {
      known.count += 1;
      return false;
    }
    keys.set(text, { key, count: 1 });
    return true;
  }

  /** Counts a key down; true when it is gone. */
  decrement(messageType: string, key: BindingKey): boolean {
    const keys = this.counts.get(messageType);
    const text = keyText(key);
    const known = keys?.get(text);
    if (keys === undefined || known === undefined) return false;
    known.count -= 1;
    if (known.count > 0) return false;
    keys.delete(text);
    if (keys.size === 0) this.counts.delete(messageType);
    return true;
  }

  /** Tells the directory about the type, together with everything else that changes in this tick. */
  announce(messageType: string): Promise<void> {
    this.changed.add(messageType);
    this.scheduled ??= new Promise<void>((resolve, reject) => {
      const after = this.flushing;
      setImmediate(() => {
        const types = this.changed;
        this.changed = new Set();
        this.scheduled = undefined;
        const epoch = this.run;
        const update = after.then(() => {
          if (epoch !== this.run)
            throw new ZebusError('stopped', 'the bus stopped before the subscription was updated');
          return this.push(
            [...types].map((type) => ({
              messageType: type,
              keys: [...(this.counts.get(type)?.values() ?? [])].map(({ key }) => key),
            })),
          );
        });
        this.flushing = update.catch(() => {});
        update.then(resolve, reject);
      });
    });
    return this.scheduled;
  }
}
