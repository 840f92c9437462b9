/** Membership messages that are answered: sent again until the answer comes, or given up (32 §4). */
import { MEMBERSHIP_SUBPROTOCOL, type RejectReason } from '../../channels/index.js';
import { channelFailure } from './failure.js';
import type { ControlHost, PeerTable } from './host.js';

/** What a peer answered. */
export interface Answer {
  readonly accepted: boolean;
  readonly reason: RejectReason;
  /** Names of an answer to `list`. */
  readonly names?: readonly string[];
  /** Whether there are more of them. */
  readonly more?: boolean;
}

/** A message that wants an answer. */
export interface Question {
  readonly peer: bigint;
  /** Channel or prefix, for the error. */
  readonly about: string;
  /** Which answer counts. */
  readonly answer: 'ack' | 'listed';
  /** Whether the process stays alive for it. */
  readonly holds: boolean;
  encode(nonce: bigint): Uint8Array;
}

interface Pending {
  readonly peer: bigint;
  readonly answer: Question['answer'];
  settle(answer: Answer | Error): void;
}

/** How long an answer is waited for, ms. */
export const ACK_TIMEOUT_MS = 5000;
/** When a message is sent again, ms after the first time; at the last one it is given up. */
const REPEAT_AT_MS = [250, 500, 1000, 2000, ACK_TIMEOUT_MS];
const MAX_PENDING = 4096;

/** A timer that does not keep the process alive. */
export function later(call: () => void, ms: number): ReturnType<typeof setTimeout> {
  const timer = setTimeout(call, ms);
  (timer as { unref?: () => void }).unref?.();
  return timer;
}

function noSession(peer: bigint): Error {
  return channelFailure('no-session', `connection error: no session to publisher 0x${peer.toString(16)}`);
}

/** Questions under way, at most 4096. */
export class Requests {
  readonly #host: ControlHost;
  readonly #peers: PeerTable;
  readonly #pending = new Map<bigint, Pending>();
  /** Ends the waits for the application. */
  readonly #waits = new Set<(error: Error) => void>();

  constructor(host: ControlHost, peers: PeerTable) {
    this.#host = host;
    this.#peers = peers;
  }

  /** Number of questions under way. */
  get size(): number {
    return this.#pending.size;
  }

  /** Resolves with the answer; rejects without a session, when too many are under way, and after 5 s. */
  async ask({ about, answer, encode, holds, peer }: Question): Promise<Answer> {
    this.#host.check();
    if (!this.#peers.has(peer)) throw noSession(peer);
    if (this.#pending.size >= MAX_PENDING) throw channelFailure('limit', `${MAX_PENDING} requests are pending already`);
    const [nonce = 0n] = crypto.getRandomValues(new BigUint64Array(1));
    const message = encode(nonce);
    const done = holds ? this.#host.hold() : () => {};
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      return await new Promise<Answer>((resolve, reject) => {
        this.#pending.set(nonce, {
          peer,
          answer,
          settle: (found) => (found instanceof Error ? reject(found) : resolve(found)),
        });
        const send = () => this.#host.sendMessage(peer, MEMBERSHIP_SUBPROTOCOL, message);
        if (!send()) reject(noSession(peer));
        // Whoever is asked answers a repeated question as it answered the first one.
        const arm = (round: number) => {
          const [at = 0, before = 0] = [REPEAT_AT_MS[round], REPEAT_AT_MS[round - 1]];
          timer = later(() => {
            if (round + 1 === REPEAT_AT_MS.length) {
              const seconds = ACK_TIMEOUT_MS / 1000;
              const text = `connection error: membership ack timeout (${seconds}s) for channel ${about}`;
              reject(channelFailure('timeout', text));
              return;
            }
            if (!this.#host.closed) send();
            arm(round + 1);
          }, at - before);
        };
        arm(0);
      });
    } finally {
      this.#pending.delete(nonce);
      clearTimeout(timer);
      done();
    }
  }

  /** Waits for what the application has to give before a question can be asked; rejects at the end of the node. */
  async during<T>(work: Promise<T>): Promise<T> {
    let end: (error: Error) => void = () => {};
    const ended = new Promise<never>((_, reject) => {
      end = reject;
    });
    this.#waits.add(end);
    try {
      return await Promise.race([work, ended]);
    } finally {
      this.#waits.delete(end);
      work.catch(() => {});
    }
  }

  /** An answer arrived. It counts only from the peer that was asked, and only when it is of the kind asked for. */
  answered(peer: bigint, nonce: bigint, kind: Question['answer'], answer: Answer): boolean {
    const pending = this.#pending.get(nonce);
    if (pending?.peer !== peer || pending.answer !== kind) return false;
    pending.settle(answer);
    return true;
  }

  /** Rejects what is under way. */
  close(error: Error): void {
    for (const pending of [...this.#pending.values()]) pending.settle(error);
    for (const end of this.#waits) end(error);
  }
}
