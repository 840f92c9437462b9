/** Peers that are called again, with growing pauses, whenever they have left. */
import { CALL } from '../backend/mesh.js';
import { Backoff } from '../flow/index.js';
import type { CoreNode } from './core-node.js';
import { resolveAddress } from './resolve.js';

const FIRST_MS = 500;
const LONGEST_MS = 30_000;

interface Kept {
  readonly address: string;
  readonly key: Uint8Array;
  readonly backoff: Backoff;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** Calls again. One entry for each peer that was connected to with `reconnect`. */
export class Reconnector {
  readonly #core: CoreNode;
  readonly #kept = new Map<bigint, Kept>();

  constructor(core: CoreNode) {
    this.#core = core;
    core.onPeer(({ type, id }) => {
      if (type === 'joined') this.#kept.get(id)?.backoff.reset();
      if (type === 'left') this.#later(id);
    });
    core.onClose(() => {
      for (const peer of this.#kept.keys()) this.drop(peer);
    });
  }

  /** Calls this peer again from now on, at the address that its name has then. */
  keep(peer: bigint, address: string, key: Uint8Array): void {
    this.drop(peer);
    const backoff = new Backoff({ baseMs: FIRST_MS, maxMs: LONGEST_MS, jitter: 0.1 });
    this.#kept.set(peer, { address, key, backoff, timer: undefined });
  }

  /** No longer. */
  drop(peer: bigint): void {
    const kept = this.#kept.get(peer);
    if (kept?.timer !== undefined) clearTimeout(kept.timer);
    this.#kept.delete(peer);
  }

  #later(peer: bigint): void {
    const kept = this.#kept.get(peer);
    if (!kept || kept.timer !== undefined || this.#core.closed) return;
    kept.timer = setTimeout(() => this.#call(peer, kept), kept.backoff.next());
    (kept.timer as { unref?: () => void }).unref?.();
  }

  async #call(peer: bigint, kept: Kept): Promise<void> {
    const core = this.#core;
    try {
      const address = await resolveAddress('invalid peer address', kept.address, core.driver.address);
      if (this.#kept.get(peer) !== kept || core.closed) return;
      if (core.peers().some(({ id }) => id === peer)) return;
      await core.connect(CALL.auto, address, kept.key, peer, undefined, true);
    } catch {
      // The next call is the answer; peers() and peer events show how it goes.
    } finally {
      kept.timer = undefined;
    }
    const gone = !core.closed && !core.peers().some(({ id }) => id === peer);
    if (gone && this.#kept.get(peer) === kept) this.#later(peer);
  }
}
