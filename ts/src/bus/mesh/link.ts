/** The session with the one peer: handshake, loss, return, and what happens on it. */
import { CALL, type RawMesh } from '../../backend/mesh.js';
import { MeshringError, messageOf } from '../../errors.js';
import { Backoff } from '../../flow/backoff.js';
import { readHappenings } from '../../mesh/batch.js';
import { type MeshDriver, openDriver } from '../../mesh/driver.js';
import { platform } from '../../platform/node.js';
import type { MeshOptions } from '../../types.js';
import { TransportError } from '../transport.js';

/** The peer's name in the engine. */
const PEER = 1n;
/** One attempt of three, ms. */
const HANDSHAKE_MS = 5000;
/** Events and bytes that may wait for this thread. */
const WAITING_EVENTS = 1 << 20;
const WAITING_BYTES = 128 << 20;
/** Events taken at once, and how often before others get their turn. */
const TAKE = 16_384;
const ROUNDS = 16;
/** Between calls of a peer that is gone, ms. */
const RECALL = { baseMs: 100, maxMs: 5000 };

/** What a link tells. */
export interface LinkEvents {
  /** Packets arrived, as `RawMesh.takeDeliveries` gives them. */
  packets(batch: Uint8Array): void;
  /** A session began or ended: streams of the one before are gone. */
  session(up: boolean): void;
  /** Everything sent on a stream was acknowledged. */
  flushed(stream: number): void;
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from({ length: hex.length / 2 }, (_, n) => Number.parseInt(hex.slice(2 * n, 2 * n + 2), 16));
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

const BEGIN_ERRORS: Record<string, string> = {
  'weak-key': 'handshake init failed: public key of small order',
  'bad-address': 'invalid peer address',
};

/** A socket with one peer. */
export class MeshLink {
  readonly #options: MeshOptions;
  readonly #driver: MeshDriver;
  readonly #events: LinkEvents;
  readonly #backoff = new Backoff(RECALL);
  readonly #pending = new Map<number, (failure: string | undefined) => void>();
  #up = false;
  #closed = false;
  #recall: ReturnType<typeof setTimeout> | undefined;
  #more = false;

  private constructor(options: MeshOptions, driver: MeshDriver, events: LinkEvents) {
    this.#options = options;
    this.#driver = driver;
    this.#events = events;
    driver.onWake(() => this.#onWake());
  }

  /** Binds the socket. Options are checked. */
  static async open(options: MeshOptions, events: LinkEvents): Promise<MeshLink> {
    const { heartbeatIntervalMs = 5000, sessionTimeoutMs = 30_000 } = options;
    const keys = crypto.getRandomValues(new Uint8Array(96));
    const psk = bytesOf(options.psk);
    keys.set(psk);
    if (options.role === 'responder') keys.set(bytesOf(options.secretKey ?? ''), 32);
    const numbers = [heartbeatIntervalMs, sessionTimeoutMs, HANDSHAKE_MS, WAITING_EVENTS, WAITING_BYTES, 1, 1];
    let driver: MeshDriver;
    try {
      driver = await openDriver(options.bind, { nodeId: 0n, keys, numbers });
    } catch (error) {
      if (error instanceof MeshringError && error.kind === 'unsupported') {
        throw new TransportError('fatal', 'this platform has no UDP sockets', { cause: error });
      }
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
      const text = cause instanceof Error ? cause.message : String(cause);
      throw new TransportError('connection', `bind failed: ${text}`, { cause: error });
    } finally {
      keys.fill(0);
      psk.fill(0);
    }
    const link = new MeshLink(options, driver, events);
    if (options.role === 'responder' && hexOf(link.raw.publicKey()) !== options.publicKey?.toLowerCase()) {
      await link.close();
      throw new TransportError('fatal', 'invalid config: public_key does not belong to secret_key');
    }
    return link;
  }

  /** The engine. */
  get raw(): RawMesh {
    return this.#driver.raw;
  }

  /** Monotonic microseconds. */
  now(): number {
    return this.#driver.now();
  }

  /** Sends what a call has caused. */
  send(): void {
    this.#driver.flush();
  }

  /** Whether there is a session. */
  get up(): boolean {
    return this.#up;
  }

  /** Opens the stream of a shard with a number of `RELIABILITY`; undefined without a session. */
  stream(shard: number, reliability: number): number | undefined {
    try {
      return this.raw.openStream(this.now(), PEER, BigInt(shard), reliability, 0, 1);
    } catch {
      return undefined;
    }
  }

  /** Meets the peer: three attempts of five seconds. Both ends must be there at about the same time. */
  async meet(): Promise<void> {
    const release = platform.keepAlive();
    try {
      // A call that came between a start and the accept would be answered without an event for it.
      const met = this.#handshake();
      this.raw.start(this.now());
      this.send();
      const failure = await met;
      if (failure !== undefined) throw new TransportError('connection', failure);
    } finally {
      release();
    }
  }

  #handshake(): Promise<string | undefined> {
    return new Promise((resolve) => {
      try {
        const id =
          this.#options.role === 'responder'
            ? this.raw.accept(this.now(), PEER, false)
            : this.raw.connect(
                this.now(),
                CALL.auto,
                this.#options.peer,
                bytesOf(this.#options.peerPublicKey ?? ''),
                PEER,
              );
        this.#pending.set(id, resolve);
      } catch (error) {
        const word = messageOf(error);
        resolve(BEGIN_ERRORS[word] ?? word);
        return;
      }
      this.send();
      this.#onWake();
    });
  }

  #onWake(): void {
    if (this.#closed) return;
    for (;;) {
      const batch = this.raw.takeEvents();
      if (batch.length === 0) break;
      for (const what of readHappenings(batch)) {
        if (what.kind === 'handshake') this.#settle(what.id, undefined);
        else if (what.kind === 'handshake-failed') this.#settle(what.id, what.reason);
        else if (what.kind === 'flushed') this.#events.flushed(Number(what.stream));
        else if (what.kind === 'peer' && what.change === 'joined') this.#change(true);
        else if (what.kind === 'peer' && what.change === 'left') this.#change(false);
      }
    }
    this.#take();
  }

  /** Takes what has arrived. */
  collect(): void {
    if (!this.#closed) this.#take();
  }

  #take(): void {
    for (let round = 0; round < ROUNDS; round++) {
      const batch = this.raw.takeDeliveries(TAKE);
      this.send();
      if (batch.length === 0) return;
      this.#events.packets(batch);
    }
    if (this.#more) return;
    this.#more = true;
    setTimeout(() => {
      this.#more = false;
      if (!this.#closed) this.#take();
    }, 0);
  }

  #settle(id: number, failure: string | undefined): void {
    this.#pending.get(id)?.(failure);
    this.#pending.delete(id);
  }

  #change(up: boolean): void {
    this.#up = up;
    if (up) this.#backoff.reset();
    else if (this.#options.role !== 'responder') this.#callAgain();
    this.#events.session(up);
  }

  /** The initiator calls until the peer answers; a responder waits to be called. */
  #callAgain(): void {
    clearTimeout(this.#recall);
    this.#recall = setTimeout(async () => {
      if (this.#closed || this.#up) return;
      const failure = await this.#handshake();
      if (failure !== undefined && !this.#closed && !this.#up) this.#callAgain();
    }, this.#backoff.next());
    (this.#recall as { unref?: () => void }).unref?.();
  }

  /** Says goodbye and closes the socket. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#take();
    this.#closed = true;
    this.#up = false;
    clearTimeout(this.#recall);
    await this.#driver.close();
    for (const settle of this.#pending.values()) settle('the link was closed');
    this.#pending.clear();
  }
}
