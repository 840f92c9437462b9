/** Changes of peers as an iteration. */
import type { CoreNode, PeerEvent } from './core-node.js';

/** Changes that an iteration may be behind with; then the oldest are lost, and `peers()` tells how things are. */
const MAX_BEHIND = 4096;

/** Changes from the first `next` on; ends at shutdown or with the signal. Keeps the process alive. */
export async function* watchPeers(
  core: CoreNode,
  opts: { signal?: AbortSignal },
): AsyncGenerator<PeerEvent, void, void> {
  core.check();
  if (opts.signal?.aborted) return;
  const queue: PeerEvent[] = [];
  let notify: () => void = () => {};
  const wake = () => notify();
  const take = (event: PeerEvent) => {
    queue.push(event);
    if (queue.length > MAX_BEHIND) queue.shift();
    notify();
  };
  const ends = [core.hold(), core.onPeer(take), core.onClose(wake)];
  opts.signal?.addEventListener('abort', wake);
  try {
    while (!opts.signal?.aborted && !core.closed) {
      const event = queue.shift();
      if (event) yield event;
      else {
        await new Promise<void>((resolve) => {
          notify = resolve;
        });
      }
    }
  } finally {
    for (const end of ends) end();
    opts.signal?.removeEventListener('abort', wake);
  }
}
