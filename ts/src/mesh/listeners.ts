/** Calls of listeners. */

/** Calls a listener. What it throws becomes an uncaught error of its own: it must be seen, and must not cut off the others. */
export function tell<T>(listener: (what: T) => void, what: T): void {
  try {
    listener(what);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
