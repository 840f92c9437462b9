/** A bus link: one encrypted peer over UDP, as the transport `mesh` of a bus uses it (20 §1, §4.6). */
import { CALL, REFUSED, RELIABILITY } from '../backend/mesh.js';
import { MeshringError } from '../errors.js';
import { readHappenings } from './batch.js';
import { checkHex } from './check.js';
import { type MeshDriver, openDriver } from './driver.js';
import { frame, MAX_EVENT_BYTES } from './frames.js';
import { Inbox, type MeshEvent } from './inbox.js';

/** Options; checked by the bus before. */
export interface BusLinkOptions {
  /** `ip:port` of the own socket. */
  readonly bind: string;
  /** `ip:port` of the other end. A responder answers the actual source instead. */
  readonly peer: string;
  /** 64 hex digits. */
  readonly psk: string;
  /** Default `'initiator'`. */
  readonly role?: 'initiator' | 'responder';
  /** The responder's X25519 public key, 64 hex digits (initiator). */
  readonly peerPublicKey?: string;
  /** Own X25519 secret, 64 hex digits (responder). */
  readonly secretKey?: string;
  /** Sets the flag RELIABLE; between nodes of ours nothing is lost and each stream is in order. Default false. */
  readonly reliable?: boolean;
  /** Default 5000. */
  readonly heartbeatIntervalMs?: number;
  /** Silence after which the session is over. Default 30000. */
  readonly sessionTimeoutMs?: number;
  /** One handshake attempt. Default 5000. */
  readonly handshakeTimeoutMs?: number;
  /** `'net-0.19'`: don't offer the extension. */
  readonly protocol?: 'meshring' | 'net-0.19';
}

/** The other end's id in the engine: a bus link has no node ids. */
const PEER = 1n;
const FAILED = 'connection error: ';

/** One link. */
export class BusLink {
  readonly #driver: MeshDriver;
  readonly #inbox: Inbox;
  readonly #options: BusLinkOptions;
  readonly #streams = new Map<number, number>();
  readonly #pending = new Map<number, (failure: string | undefined) => void>();
  #connected = false;
  #closed = false;
  #state: (connected: boolean) => void = () => {};

  private constructor(driver: MeshDriver, options: BusLinkOptions) {
    this.#driver = driver;
    this.#inbox = new Inbox(driver);
    this.#options = options;
    driver.onWake(() => this.#onWake());
  }

  /** Binds the socket and completes the handshake; rejects with `connection error: handshake timeout`. */
  static async open(options: BusLinkOptions): Promise<BusLink> {
    const keys = crypto.getRandomValues(new Uint8Array(96));
    keys.set(checkHex('psk', 'psk must be exactly 32 bytes', options.psk));
    if (options.secretKey !== undefined) {
      keys.set(checkHex('secret_key', 'secret_key must be exactly 32 bytes', options.secretKey), 32);
    }
    const numbers = [
      options.heartbeatIntervalMs ?? 5000,
      options.sessionTimeoutMs ?? 30_000,
      options.handshakeTimeoutMs ?? 5000,
      1 << 20,
      256 << 20,
      options.protocol === 'net-0.19' ? 0 : 1,
      1,
    ];
    const driver = await openDriver(options.bind, { nodeId: 2n, keys, numbers });
    keys.fill(0);
    const link = new BusLink(driver, options);
    try {
      await link.#call(options.role === 'responder');
    } catch (error) {
      await link.close();
      throw error;
    }
    driver.raw.start(driver.now());
    driver.flush();
    return link;
  }

  #call(accept: boolean): Promise<void> {
    const { raw } = this.#driver;
    const key = accept
      ? undefined
      : checkHex('peer_public_key', 'peer_public_key must be exactly 32 bytes', this.#options.peerPublicKey ?? '');
    return new Promise((resolve, reject) => {
      const now = this.#driver.now();
      const id = key ? raw.connect(now, CALL.auto, this.#options.peer, key, PEER) : raw.accept(now, PEER, false);
      const alive = setInterval(() => {}, 2 ** 30);
      this.#pending.set(id, (failure) => {
        clearInterval(alive);
        this.#pending.delete(id);
        if (failure === undefined) resolve();
        else reject(new MeshringError('connection', `${FAILED}${failure}`));
      });
      this.#driver.flush();
      this.#onWake();
    });
  }

  #onWake(): void {
    if (this.#closed) return;
    for (let batch = this.#driver.raw.takeEvents(); batch.length > 0; batch = this.#driver.raw.takeEvents()) {
      for (const what of readHappenings(batch)) {
        if (what.kind === 'handshake') this.#pending.get(what.id)?.(undefined);
        else if (what.kind === 'handshake-failed') this.#pending.get(what.id)?.(what.reason);
        else if (what.kind === 'peer' && (what.change === 'joined' || what.change === 'left')) {
          // A session begins without the streams of the former.
          this.#streams.clear();
          this.#connected = what.change === 'joined';
          this.#state(this.#connected);
          if (!this.#connected && this.#options.role !== 'responder') void this.#reconnect();
        }
      }
    }
    this.#inbox.pump();
  }

  async #reconnect(): Promise<void> {
    for (let pause = 100; !this.#closed && !this.#connected; pause = Math.min(5000, 2 * pause)) {
      try {
        await this.#call(false);
        return;
      } catch {
        // Shown by `connected`; sends fail until then.
        await new Promise<void>((resolve) => {
          (setTimeout(resolve, pause) as { unref?: () => void }).unref?.();
        });
      }
    }
  }

  /** `ip:port` of the socket. */
  get address(): string {
    return this.#driver.address;
  }

  /** Whether a session is there. */
  get connected(): boolean {
    return this.#connected;
  }

  /** Which protocol the session speaks; undefined without one. */
  get protocol(): 'net-0.19' | 'meshring' | undefined {
    return (JSON.parse(this.#driver.raw.peers()) as { protocol: 'net-0.19' | 'meshring' }[])[0]?.protocol;
  }

  /** Called when the session begins or is lost. */
  onState(callback: (connected: boolean) => void): void {
    this.#state = callback;
  }

  /** Called with events in batches as they arrive; returns the function that ends it. */
  onEvents(callback: (events: MeshEvent[]) => void): () => void {
    return this.#inbox.onEvents(callback);
  }

  /**
   * Sends the events of a shard. Returns how many were taken: fewer than all when 16 MiB wait for the other end.
   * Throws without a session and for events above 8108 bytes.
   */
  send(shard: number, events: readonly Uint8Array[]): number {
    const { raw } = this.#driver;
    const large = events.find((event) => event.length > MAX_EVENT_BYTES);
    if (large) {
      throw new MeshringError('too-large', `${FAILED}event too large (${large.length} > ${MAX_EVENT_BYTES})`);
    }
    if (events.length === 0) return 0;
    let handle = this.#streams.get(shard);
    if (handle === undefined) {
      if (!this.#connected) throw new MeshringError('connection', `${FAILED}no session`);
      handle = raw.openStream(
        this.#driver.now(),
        PEER,
        BigInt(shard),
        this.#options.reliable ? RELIABILITY.full : RELIABILITY.once,
        0,
        1,
      );
      this.#streams.set(shard, handle);
    }
    const { bytes, length } = frame(events);
    const sent = raw.send(this.#driver.now(), handle, bytes, length, events.length, true, 0, 0);
    this.#driver.flush();
    if (sent >= 0) return sent;
    if (sent === REFUSED.backpressure) return 0;
    if (sent === REFUSED.socket) {
      throw new MeshringError('connection', `${FAILED}send failed: ${raw.socketError?.()}`);
    }
    throw new MeshringError('connection', `${FAILED}no session`);
  }

  /** Resolves when nothing waits for an acknowledgement (at once toward 0.19.0), or rejects when the session is lost. */
  async flush(): Promise<void> {
    while (!this.#driver.raw.isDrained()) {
      if (!this.#connected) throw new MeshringError('connection', `${FAILED}no session`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /** Counters. */
  stats(): Record<string, number> {
    return JSON.parse(this.#driver.raw.stats()) as Record<string, number>;
  }

  /** Says goodbye to an end of ours and closes the socket. A second call does nothing. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#connected = false;
    this.#inbox.close();
    for (const settle of this.#pending.values()) settle('closed');
    await this.#driver.close();
  }
}
