import { ZebusError } from '../errors.js';
import { type CommandResult, ErrorCode } from './command-result.js';
import type { Ticks } from './datetime.js';
import { descriptorFromWire, descriptorToWire, type KeysOfType, keysToWire } from './descriptor.js';
import { durationText } from './duration.js';
import type { Message } from './message-type.js';
import type { PeerDescriptor } from './peer.js';
import {
  RegisterPeerCommand,
  RegisterPeerResponse,
  UnregisterPeerCommand,
  UpdatePeerSubscriptionsForTypesCommand,
} from './system-messages.js';
import type { Destination } from './transport.js';

/** How long an endpoint that failed is tried last. */
const FAILED_FOR_MS = 5 * 60_000;

/** A directory by its endpoint; `id` is the key of the connection. */
interface DirectoryAddress extends Destination {
  readonly name: string;
}

/** How a bus joins and leaves the directory. */
export interface Registrar {
  /** Announces the peer; gives everyone the directory knows. */
  register(self: PeerDescriptor): Promise<PeerDescriptor[]>;
  unregister(self: PeerDescriptor, timestamp: Ticks): Promise<void>;
  /** Replaces the keys of these types. */
  updateKeys(self: PeerDescriptor, types: readonly KeysOfType[], timestamp: Ticks): Promise<void>;
}

/** Sends a command straight to an address, without the copy of the directory. */
export type Execute = (to: Destination, command: Message, timeoutMs: number) => Promise<CommandResult>;

/** Speaks to the directories, one after the other (71 §7). */
export class RemoteDirectories implements Registrar {
  private readonly addresses: DirectoryAddress[];
  private readonly failedAt = new Map<string, number>();
  private readonly execute: Execute;
  private readonly timeoutMs: number;
  private readonly shuffle: boolean;
  private readonly forget: (id: string) => void;
  private current: DirectoryAddress | undefined;

  constructor(
    endpoints: readonly string[],
    execute: Execute,
    options: { timeoutMs: number; shuffle: boolean; forget: (id: string) => void },
  ) {
    this.addresses = endpoints.map((endpoint, index) => ({
      id: `directory:${index}`,
      name: `Abc.Zebus.Directory.${index}`,
      endpoint,
    }));
    this.execute = execute;
    this.timeoutMs = options.timeoutMs;
    this.shuffle = options.shuffle;
    this.forget = options.forget;
  }

  private order(): DirectoryAddress[] {
    const list = [...this.addresses];
    if (this.shuffle) {
      for (let i = list.length - 1; i > 0; i--) {
        const j = Math.floor(Math.random() * (i + 1));
        [list[i], list[j]] = [list[j] as DirectoryAddress, list[i] as DirectoryAddress];
      }
    }
    const since = Date.now() - FAILED_FOR_MS;
    const failed = (address: DirectoryAddress): number => ((this.failedAt.get(address.endpoint) ?? 0) > since ? 1 : 0);
    // Whoever registered this peer is asked first: it surely knows it.
    const known = (address: DirectoryAddress): number => (address === this.current ? 0 : 1);
    return list.sort((a, b) => failed(a) - failed(b) || known(a) - known(b));
  }

  private async eachDirectory<T>(
    what: string,
    command: Message,
    accept: (result: CommandResult) => T | Error,
  ): Promise<T> {
    const tried: string[] = [];
    for (const address of this.order()) {
      const failed = (reason: string): void => {
        this.failedAt.set(address.endpoint, Date.now());
        tried.push(`    tried ${address.name} [${address.endpoint}]: ${reason}`);
      };
      let result: CommandResult;
      try {
        result = await this.execute(address, command, this.timeoutMs);
      } catch (error) {
        const timedOut = error instanceof ZebusError && error.kind === 'timeout';
        if (error instanceof ZebusError && error.kind === 'stopped') throw error;
        this.forget(address.id);
        failed(timedOut ? `timeout after ${durationText(this.timeoutMs)}` : (error as Error).message);
        continue;
      }
      const accepted = accept(result);
      if (!(accepted instanceof Error)) {
        this.failedAt.delete(address.endpoint);
        this.current = address;
        return accepted;
      }
      if (accepted instanceof ZebusError) throw accepted;
      failed(accepted.message);
    }
    if (tried.length === 0) tried.push('    no directory endpoint is configured');
    throw new Error([`${what}:`, ...tried].join('\n'));
  }

  async register(self: PeerDescriptor): Promise<PeerDescriptor[]> {
    const command = RegisterPeerCommand.create({ peer: descriptorToWire(self) });
    try {
      return await this.eachDirectory<PeerDescriptor[]>('failed to register to directory', command, (result) => {
        if (result.errorCode === ErrorCode.peerAlreadyExists) {
          return new ZebusError('peer-already-exists', result.responseMessage ?? `peer ${self.id} already exists`, {
            peer: self.id.value,
          });
        }
        if (!result.isSuccess) return new Error(answerText(result));
        const response = result.response(RegisterPeerResponse);
        if (response === undefined) return new Error('the answer is not a RegisterPeerResponse');
        return response.peers.flatMap((wire) => descriptorFromWire(wire) ?? []);
      });
    } catch (error) {
      if (error instanceof ZebusError && error.kind !== 'codec') throw error;
      throw new ZebusError('registration-failed', (error as Error).message, { peer: self.id.value, cause: error });
    }
  }

  async unregister(self: PeerDescriptor, timestamp: Ticks): Promise<void> {
    const command = UnregisterPeerCommand.create({
      peerId: { value: self.id.value },
      endpoint: self.endpoint,
      timestamp,
    });
    await this.eachDirectory('failed to unregister from directory', command, () => true);
  }

  async updateKeys(self: PeerDescriptor, types: readonly KeysOfType[], timestamp: Ticks): Promise<void> {
    const command = UpdatePeerSubscriptionsForTypesCommand.create({
      peerId: { value: self.id.value },
      subscriptionsForTypes: keysToWire(types),
      timestamp,
    });
    try {
      await this.eachDirectory('failed to update subscriptions', command, (result) =>
        result.isSuccess ? true : new Error(answerText(result)),
      );
    } catch (error) {
      if (error instanceof ZebusError && error.kind === 'stopped') throw error;
      throw new ZebusError('subscription-failed', (error as Error).message, { peer: self.id.value, cause: error });
    }
  }
}

function answerText(result: CommandResult): string {
  return `error ${result.errorCode}${result.responseMessage === undefined ? '' : ` ${result.responseMessage}`}`;
}
