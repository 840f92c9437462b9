import { ZebusError } from '../errors.js';
import { CommandResult, ErrorCode } from './command-result.js';
import type { Core } from './core.js';
import type { PeerEntry } from './directory-client.js';
import { errorText, Invocation, type Outcome } from './dispatch/invocation.js';
import { guidText } from './guid.js';
import { type AnyMessageType, type Message, requireType } from './message-type.js';
import type { SendOptions } from './pending-commands.js';
import type { PersistenceClient } from './persistence-client.js';
import { MessageExecutionCompleted, MessageProcessingFailed, RustMessageProcessingFailed } from './system-messages.js';
import type { Destination } from './transport.js';
import { encodeTransport, type OriginatorInfo } from './transport-message.js';

/** Frames above this would stall a Rust peer for good. */
const RUST_BUFFER = 4096;
const COMPLETED = requireType(
  MessageExecutionCompleted.create({ commandId: { value: guidText(new Uint8Array(16)) }, errorCode: 0 }),
);

/** Sends what the application gives and what its handlers answer (71 §9, §11). */
export class Outbound {
  private readonly core: Core;
  private readonly persistence: PersistenceClient;
  private readonly warned = new Set<string>();

  constructor(core: Core, persistence: PersistenceClient) {
    this.core = core;
    this.persistence = persistence;
  }

  /** The peers that get a message. */
  lookup(type: AnyMessageType, message: unknown): readonly PeerEntry[] {
    return this.core.directory.lookup(type.fullName, type.routing.length === 0 ? [] : type.routingContent(message));
  }

  /** Sends a command to the peer that handles it. */
  send(type: AnyMessageType, command: unknown, options: SendOptions): Promise<CommandResult> {
    const { core } = this;
    const peers = this.lookup(type, command);
    const messageType = type.fullName;
    if (core.settings.localDispatch && peers.some((peer) => peer.id === core.peerId.value)) {
      return this.sendLocally(type, command);
    }
    const peer = peers[0];
    if (peer === undefined) {
      throw new ZebusError('no-peer', `unable to find peer for command ${messageType}`, { messageType });
    }
    if (peers.length > 1) {
      const names = peers.map(({ id }) => id).join(', ');
      throw new ZebusError('multiple-peers', `${peers.length} peers handle command ${messageType}: ${names}`, {
        messageType,
      });
    }
    return this.sendToEntry(type, command, peer, options);
  }

  /** Sends a command to one peer of the directory. */
  sendToEntry(type: AnyMessageType, command: unknown, peer: PeerEntry, options: SendOptions): Promise<CommandResult> {
    const messageType = type.fullName;
    const canWait = !type.transient && peer.isPersistent;
    if (!peer.isResponding && !canWait && !type.infrastructure) {
      throw new ZebusError('peer-not-responding', `peer ${peer.id} does not respond`, { peer: peer.id, messageType });
    }
    return this.execute(type, command, peer, options, peer);
  }

  /** Sends a command to an address and waits for its completion. */
  execute(
    type: AnyMessageType,
    command: unknown,
    to: Destination,
    options: SendOptions,
    entry?: PeerEntry,
  ): Promise<CommandResult> {
    const { core } = this;
    if (options.signal?.aborted) {
      throw new ZebusError('cancelled', `${type.fullName} to ${to.id} was cancelled`, {
        peer: to.id,
        messageType: type.fullName,
        cause: options.signal.reason,
      });
    }
    const { id, bytes } = core.requireFactory().command(type, command);
    this.checkSize(type, bytes, to.id);
    const timeoutMs = options.timeoutMs ?? core.settings.commandTimeoutMs;
    const answer = core.pending.add(id, to.id, type, timeoutMs, options.signal);
    core.onPending?.();
    core.typeStats(type.fullName).sent++;
    const sent =
      entry !== undefined && !type.transient && entry.isPersistent
        ? this.persistence.send(bytes, [entry])
        : core.transport.send(to, bytes);
    sent?.catch((error: unknown) => core.pending.fail(id, error));
    return answer;
  }

  /** Publishes to everyone who subscribed. */
  publish(type: AnyMessageType, event: unknown): Promise<void> | undefined {
    return this.publishTo(type, event, this.lookup(type, event));
  }

  /** Publishes to these peers. */
  publishTo(type: AnyMessageType, event: unknown, peers: readonly PeerEntry[]): Promise<void> | undefined {
    const { core } = this;
    if (peers.length === 0) return undefined;
    const self = core.peerId.value;
    let local: Promise<unknown> | undefined;
    let others = peers;
    if (core.settings.localDispatch && peers.some((peer) => peer.id === self)) {
      others = peers.filter((peer) => peer.id !== self);
      local = this.publishLocally(type, event);
      if (others.length === 0) return local as Promise<void> | undefined;
    }
    const bytes = core.requireFactory().event(type, event);
    core.typeStats(type.fullName).sent++;
    if (!type.transient && others.some((peer) => peer.isPersistent)) {
      this.checkSize(type, bytes, others[0]?.id ?? '');
      const sent = this.persistence.send(bytes, others);
      return local === undefined ? sent : Promise.all([local, sent]).then(() => {});
    }
    if (bytes.length > RUST_BUFFER) this.checkSize(type, bytes, others[0]?.id ?? '');
    let waits: Promise<unknown>[] | undefined;
    for (const peer of others) {
      if (!peer.isUp) continue;
      const sent = core.transport.send(peer, bytes, true);
      if (sent === undefined) continue;
      if (others.length === 1 && local === undefined) return sent;
      waits ??= [];
      waits.push(sent);
    }
    if (waits === undefined) return local as Promise<void> | undefined;
    if (local !== undefined) waits.push(local);
    return Promise.all(waits).then(() => {});
  }

  /** Sends a frame; a failure is reported. */
  async transmit(to: Destination, frame: Buffer): Promise<void> {
    await this.core.transport.send(to, frame, true);
  }

  private checkSize(type: AnyMessageType, frame: Buffer, peer: string): void {
    const { maxMessageBytes } = this.core.settings;
    if (frame.length > maxMessageBytes) {
      throw new ZebusError(
        'too-large',
        `${type.fullName} takes ${frame.length} bytes, the limit is ${maxMessageBytes}`,
        {
          messageType: type.fullName,
        },
      );
    }
    if (frame.length > RUST_BUFFER && !this.warned.has(peer)) {
      if (this.warned.size < 10_000) this.warned.add(peer);
      this.core.listeners.emit(
        'warning',
        `${type.fullName} to ${peer} takes ${frame.length} bytes: a Rust peer stalls above ${RUST_BUFFER}`,
      );
    }
  }

  private self(): OriginatorInfo {
    return this.core.requireFactory().originator;
  }

  private sendLocally(type: AnyMessageType, command: unknown): Promise<CommandResult> {
    return new Promise((resolve) => {
      this.dispatchLocally(type, command, (outcome) => {
        resolve(new CommandResult(outcome.errorCode, outcome.responseMessage, outcome.reply, type.reply));
      });
    });
  }

  /** Handlers are waited for, unless their queue is busy: its present handler may be the one that publishes. */
  private publishLocally(type: AnyMessageType, event: unknown): Promise<void> | undefined {
    const wait = !this.core.dispatcher.isBusyFor(type);
    let settled = false;
    let resolve: (() => void) | undefined;
    this.dispatchLocally(type, event, () => {
      settled = true;
      resolve?.();
    });
    if (settled || !wait) return undefined;
    return new Promise((done) => {
      resolve = done;
    });
  }

  private dispatchLocally(type: AnyMessageType, message: unknown, done: (outcome: Outcome) => void): void {
    const { core } = this;
    const { scope } = core;
    if (scope === undefined) throw new ZebusError('not-running', 'the bus is not running');
    // Handlers get a copy of their own, as from the wire.
    const copy = type.decode(type.encode(message));
    core.typeStats(type.fullName).sent++;
    const invocation = new Invocation(scope, type, copy, this.self(), undefined, (outcome) => {
      this.settled(invocation, outcome);
      done(outcome);
    });
    core.dispatcher.dispatch(invocation);
  }

  /** Everything that follows from a handled message, but the answer to a remote sender. */
  settled(invocation: Invocation, outcome: Outcome): void {
    const { core } = this;
    const stats = core.typeStats(invocation.type.fullName);
    stats.handled++;
    if (outcome.errorCode !== 0) this.failed(invocation, outcome);
    if (core.listeners.has('messageHandled')) {
      core.listeners.emit('messageHandled', {
        messageType: invocation.type.fullName,
        isLocal: invocation.isLocal,
        errorCode: outcome.errorCode,
      });
    }
    if (core.scope === invocation.scope) core.dispatcher.finished();
  }

  private failed(invocation: Invocation, outcome: Outcome): void {
    const { core } = this;
    const { type } = invocation;
    core.typeStats(type.fullName).failed++;
    for (const { error } of outcome.failures) {
      core.report(error instanceof Error ? error : new Error(errorText(error)));
    }
    if (outcome.errorCode === ErrorCode.busy && type.kind === 'event') {
      core.counters.dropped++;
      core.report(
        new ZebusError('too-large', `dropped ${type.fullName}: ${outcome.responseMessage}`, {
          messageType: type.fullName,
        }),
      );
    }
    if (outcome.failures.length === 0 || !core.settings.enableErrorPublication) return;
    if (type.fullName === MessageProcessingFailed.fullName || type.fullName === RustMessageProcessingFailed.fullName)
      return;
    this.publishFailure(invocation, outcome);
  }

  private publishFailure(invocation: Invocation, outcome: Outcome): void {
    const { core } = this;
    const { type, message, originator } = invocation;
    try {
      const failing = encodeTransport({
        id: invocation.id ?? new Uint8Array(16),
        messageType: type.fullName,
        content: type.encode(message),
        originator,
        environment: core.environment,
        wasPersisted: false,
        persistentPeerIds: [],
      });
      const event = MessageProcessingFailed.create({
        failingMessage: failing,
        json: JSON.stringify(message, jsonValue),
        exceptionMessage: outcome.failures.map(({ error }) => errorText(error)).join(', '),
        timestamp: core.clock.next(),
        failingHandlers: outcome.failures.map(({ handler }) => handler),
      });
      void this.publish(requireType(event), event)?.catch((error: unknown) => core.report(error as Error));
    } catch (error) {
      core.report(error as Error);
    }
  }

  /** Answers a remote command. */
  complete(commandId: Uint8Array, to: OriginatorInfo, outcome: Omit<Outcome, 'failures'>): void {
    const { reply } = outcome;
    const completed = MessageExecutionCompleted.create({
      commandId: { value: guidText(commandId) },
      errorCode: outcome.errorCode,
      ...(reply === undefined ? {} : { payloadTypeId: { fullName: reply.type }, payload: reply.content }),
      ...(outcome.responseMessage === undefined ? {} : { responseMessage: outcome.responseMessage }),
    });
    this.post(this.returnAddress(to), COMPLETED, completed);
  }

  /** Where answers go: the sender's endpoint, on a connection of its own where the directory says another one. */
  returnAddress({ senderId, senderEndpoint }: OriginatorInfo): Destination {
    return this.address(senderId.value, senderEndpoint);
  }

  /** A peer at an endpoint, which may be another one than the directory's: then the connection has a key of its own. */
  address(id: string, endpoint: string): Destination {
    const known = this.core.directory.get(id);
    return { id: known === undefined || known.endpoint === endpoint ? id : `${id}@${endpoint}`, endpoint };
  }

  /** Sends a message nobody waits for. */
  post(to: Destination, type: AnyMessageType, message: unknown): void {
    try {
      const frame = this.core.requireFactory().event(type, message);
      this.checkSize(type, frame, to.id);
      void this.transmit(to, frame);
    } catch (error) {
      this.core.report(error as Error);
    }
  }

  /** Runs a command for the directory client, straight to an address. */
  executeMessage(to: Destination, command: Message, timeoutMs: number): Promise<CommandResult> {
    try {
      return this.execute(requireType(command), command, to, { timeoutMs });
    } catch (error) {
      return Promise.reject(error);
    }
  }
}

function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value;
}
