/** Waits for what a coordinator will say about a node (33 A8.1). */

interface Waiter<T> {
  readonly coordinator: bigint;
  settle(value: T | undefined): void;
}

/** One waiter per node; each is bound to the coordinator that was asked. */
export class Waiters<T> {
  readonly #waiting = new Map<bigint, Waiter<T>>();

  /**
   * Waits until `complete`, at most so many milliseconds, and gives `undefined` otherwise: also when a newer wait for the
   * same node takes its place, and after `cancel`, which ends this very wait.
   */
  wait(node: bigint, coordinator: bigint): { value(ms: number): Promise<T | undefined>; cancel(): void } {
    let settle: (value: T | undefined) => void = () => {};
    const settled = new Promise<T | undefined>((resolve) => {
      settle = resolve;
    });
    this.#waiting.get(node)?.settle(undefined);
    const waiter: Waiter<T> = { coordinator, settle };
    this.#waiting.set(node, waiter);
    const cancel = () => {
      settle(undefined);
      if (this.#waiting.get(node) === waiter) this.#waiting.delete(node);
    };
    const value = async (ms: number) => {
      const timer = setTimeout(cancel, ms);
      (timer as { unref?: () => void }).unref?.();
      try {
        return await settled;
      } finally {
        clearTimeout(timer);
        cancel();
      }
    };
    return { value, cancel };
  }

  /** Whether somebody waits for a node. */
  has(node: bigint): boolean {
    return this.#waiting.has(node);
  }

  /** Ends the wait for a node, if the coordinator is the one that was asked; `undefined` = in vain. */
  complete(node: bigint, coordinator: bigint, value: T | undefined): boolean {
    const waiter = this.#waiting.get(node);
    if (waiter?.coordinator !== coordinator) return false;
    this.#waiting.delete(node);
    waiter.settle(value);
    return true;
  }

  /** Ends all waits. */
  close(): void {
    for (const waiter of this.#waiting.values()) waiter.settle(undefined);
    this.#waiting.clear();
  }
}
