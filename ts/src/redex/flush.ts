import type { FileBounds } from './config.js';
import type { Log } from './log.js';

/** Background flushes of a log whose backend has no threads; the addon does this in Rust. Returns how to stop. */
export function flushInBackground(log: Log, bounds: FileBounds): () => void {
  if (log.raw.sync || (bounds.everyN === 0n && bounds.intervalMs === 0)) return () => {};
  let running = false;
  let again = false;
  const flush = (): void => {
    again = running;
    if (running) return;
    running = true;
    log
      .sync()
      .catch((error: unknown) => {
        log.raw.flushed?.(false, Date.now());
        log.failedLater(error);
      })
      .finally(() => {
        running = false;
        if (again) flush();
      });
  };
  if (bounds.intervalMs > 0) {
    let flushed = 0n;
    const timer = setInterval(() => {
      const { nextSeq } = log.observe();
      if (nextSeq === flushed) return;
      flushed = nextSeq;
      flush();
    }, bounds.intervalMs);
    (timer as { unref?(): void }).unref?.();
    return () => clearInterval(timer);
  }
  let unflushed = 0n;
  log.onAppended = (count) => {
    unflushed += BigInt(count);
    if (unflushed < bounds.everyN) return;
    unflushed = 0n;
    flush();
  };
  return () => {
    log.onAppended = null;
  };
}
