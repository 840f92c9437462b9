import { ZebusError } from '../errors.js';
import { CommandResult } from './command-result.js';
import { durationText } from './duration.js';
import type { AnyMessageType } from './message-type.js';

interface Pending {
  readonly peer: string;
  readonly type: AnyMessageType;
  readonly resolve: (result: CommandResult) => void;
  readonly reject: (reason: unknown) => void;
  timer: ReturnType<typeof setTimeout> | undefined;
  unlisten: (() => void) | undefined;
}

/** Options of one command. */
export interface SendOptions {
  /** Time for the answer in milliseconds, 0 = none. Default: the bus's `commandTimeoutMs`. */
  timeoutMs?: number;
  /** Gives up waiting: the command is rejected as `cancelled`. */
  signal?: AbortSignal;
}

/** Key of a message id. */
export function idKey(id: Uint8Array): string {
  return (Buffer.isBuffer(id) ? id : Buffer.from(id)).toString('latin1');
}

/** Commands sent and not yet answered. */
export class PendingCommands {
  private readonly byId = new Map<string, Pending>();
  private readonly capacity: number;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get size(): number {
    return this.byId.size;
  }

  /** Waits for the answer to a command. Throws `too-large` when too many wait already. */
  add(
    id: Uint8Array,
    peer: string,
    type: AnyMessageType,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<CommandResult> {
    if (this.byId.size >= this.capacity) {
      throw new ZebusError('too-large', `${this.capacity} commands wait for their answer`, {
        messageType: type.fullName,
      });
    }
    return new Promise((resolve, reject) => {
      const key = idKey(id);
      const pending: Pending = { peer, type, resolve, reject, timer: undefined, unlisten: undefined };
      this.byId.set(key, pending);
      if (timeoutMs > 0) {
        pending.timer = setTimeout(() => {
          this.settle(key)?.reject(
            this.error(
              pending,
              'timeout',
              `no answer to ${type.fullName} from ${peer} within ${durationText(timeoutMs)}`,
            ),
          );
        }, timeoutMs);
      }
      if (signal !== undefined) {
        const abort = (): void => {
          this.settle(key)?.reject(
            new ZebusError('cancelled', `${type.fullName} to ${peer} was cancelled`, {
              peer,
              messageType: type.fullName,
              cause: signal.reason,
            }),
          );
        };
        signal.addEventListener('abort', abort, { once: true });
        pending.unlisten = () => signal.removeEventListener('abort', abort);
      }
    });
  }

  private error(pending: Pending, kind: 'timeout' | 'peer-stopped' | 'stopped', text: string): ZebusError {
    return new ZebusError(kind, text, { peer: pending.peer, messageType: pending.type.fullName });
  }

  private settle(key: string): Pending | undefined {
    const pending = this.byId.get(key);
    if (pending === undefined) return undefined;
    this.byId.delete(key);
    clearTimeout(pending.timer);
    pending.unlisten?.();
    return pending;
  }

  /** Settles a command by its completion. False for an id that nobody waits for. */
  complete(
    id: Uint8Array,
    answer: { errorCode: number; responseMessage?: string; payload?: { type: string; content: Uint8Array } },
  ): boolean {
    const pending = this.settle(idKey(id));
    pending?.resolve(new CommandResult(answer.errorCode, answer.responseMessage, answer.payload, pending.type.reply));
    return pending !== undefined;
  }

  /** Rejects one command, when it could not be sent. */
  fail(id: Uint8Array, reason: unknown): void {
    this.settle(idKey(id))?.reject(reason);
  }

  /** The peer is gone: its transient commands will not be answered. */
  peerStopped(peer: string): void {
    for (const [key, pending] of this.byId) {
      if (pending.peer !== peer || !pending.type.transient) continue;
      this.settle(key)?.reject(
        this.error(pending, 'peer-stopped', `peer ${peer} stopped before it answered ${pending.type.fullName}`),
      );
    }
  }

  /** The bus stopped. */
  stopAll(): void {
    for (const [key, pending] of this.byId) {
      this.settle(key)?.reject(
        this.error(pending, 'stopped', `the bus stopped before ${pending.type.fullName} was answered`),
      );
    }
  }
}
