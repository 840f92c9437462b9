/** Notices connections that are dead without saying so: PING when traffic is silent (90 §7). */
import type { Http2Session } from 'node:http2';

export interface KeepAliveOptions {
  /** A connection without traffic is probed this often, ms. */
  pingMs: number;
  /** An unanswered probe ends the connection after this time, ms. */
  pingTimeoutMs: number;
}

/** Probes the session until it closes. `onDead` is called once, before the session is destroyed. */
export function keepAlive(
  session: Http2Session,
  { pingMs, pingTimeoutMs }: KeepAliveOptions,
  onDead: () => void,
): void {
  let seen = -1;
  let pending: NodeJS.Timeout | undefined;
  const dead = () => {
    if (session.destroyed) return;
    onDead();
    session.destroy();
  };
  const timer = setInterval(() => {
    if (session.destroyed || pending) return;
    const read = session.socket?.bytesRead ?? 0;
    if (read !== seen) {
      seen = read;
      return;
    }
    pending = setTimeout(dead, pingTimeoutMs);
    pending.unref();
    try {
      session.ping((error) => {
        clearTimeout(pending);
        pending = undefined;
        if (error) dead();
      });
    } catch {
      dead();
    }
  }, pingMs);
  timer.unref();
  session.once('close', () => {
    clearInterval(timer);
    clearTimeout(pending);
  });
}
