/**
 * Keeps the process, and the objects given, alive while somebody waits for them. An idle adapter or watch holds
 * nothing; a pending `next()` does, so that a loop over a watch goes on and its promise always settles.
 */
const waiting = new Set<object>();
const FOREVER = 2 ** 31 - 1;
let timer: ReturnType<typeof setInterval> | undefined;

/** Somebody waits for `subject`. */
export function hold(subject: object): void {
  waiting.add(subject);
  timer ??= setInterval(() => undefined, FOREVER);
}

/** Nobody waits for `subject` any more. */
export function release(subject: object): void {
  if (!waiting.delete(subject) || waiting.size > 0) return;
  clearInterval(timer);
  timer = undefined;
}
