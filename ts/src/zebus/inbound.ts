import { ZebusError } from '../errors.js';
import { ErrorCode } from './command-result.js';
import type { Core } from './core.js';
import { descriptorFromWire, keysFromWire } from './descriptor.js';
import { errorText, Invocation, type Outcome } from './dispatch/invocation.js';
import { guidBytes } from './guid.js';
import type { AnyMessageType } from './message-type.js';
import type { Outbound } from './outbound.js';
import type { PersistenceClient } from './persistence-client.js';
import * as system from './system-messages.js';
import { decodeContent, decodeTransport, type TransportMessage } from './transport-message.js';

/** Messages kept until the registration is through. */
const HELD = 10_000;
/** How often a paused reader looks at one more message, so that infrastructure gets through. */
const TRICKLE_MS = 100;

/** Subscriptions of every bus, besides its handlers (71 §7). */
export const DIRECTORY_TYPES: readonly string[] = [
  system.PeerStarted.fullName,
  system.PeerStopped.fullName,
  system.PeerDecommissioned.fullName,
  system.PeerNotResponding.fullName,
  system.PeerResponding.fullName,
  system.PeerSubscriptionsUpdated.fullName,
  system.PeerSubscriptionsForTypesUpdated.fullName,
  system.PingPeerCommand.fullName,
];

/** Takes frames apart and brings each where it belongs (71 §10). Nothing that arrives makes it throw. */
export class Inbound {
  private readonly core: Core;
  private readonly outbound: Outbound;
  private readonly persistence: PersistenceClient;
  private readonly directoryEvents: ReadonlyMap<string, (content: Uint8Array) => void>;
  private readonly strangers = new Set<string>();
  private held: TransportMessage[] | undefined;
  private heldEvents: TransportMessage[] | undefined;
  private endOfStreamAcks = 0;
  private onAck: (() => void) | undefined;
  private readonly onPing: () => void;

  constructor(core: Core, outbound: Outbound, persistence: PersistenceClient, onPing: () => void) {
    this.core = core;
    this.outbound = outbound;
    this.persistence = persistence;
    this.onPing = onPing;
    this.directoryEvents = directoryEvents(core);
  }

  /** From now on messages wait: the peer registers. */
  hold(): void {
    this.held = [];
    this.heldEvents = [];
    this.endOfStreamAcks = 0;
  }

  /** The directory's answer is loaded: apply its events that came meanwhile. */
  releaseDirectoryEvents(): void {
    const events = this.heldEvents ?? [];
    this.heldEvents = undefined;
    for (const message of events) this.directoryEvent(message);
  }

  /** The bus is ready: handle what waited. */
  release(): void {
    const messages = this.held ?? [];
    this.held = undefined;
    for (const message of messages) this.admit(message);
  }

  /** Forgets what waits. */
  reset(): void {
    this.held = undefined;
    this.heldEvents = undefined;
  }

  /** A frame arrived. A promise holds back the reading. */
  readonly frame = (bytes: Buffer): Promise<void> | undefined => {
    const { core } = this;
    try {
      this.accept(decodeTransport(bytes));
    } catch (error) {
      core.counters.malformed++;
      core.report(
        error instanceof ZebusError
          ? error
          : new ZebusError('codec', `malformed message: ${errorText(error)}`, { cause: error }),
      );
    }
    return core.dispatcher.isFull ? this.pause() : undefined;
  };

  /** A handler may wait for an answer that lies behind what is unread: then reading must go on. */
  private pause(): Promise<void> | undefined {
    const { core } = this;
    if (core.pending.size > 0) return undefined;
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, TRICKLE_MS);
      const go = (): void => {
        clearTimeout(timer);
        core.onPending = undefined;
        resolve();
      };
      core.onPending = go;
      void core.dispatcher.room().then(go);
    });
  }

  private accept(message: TransportMessage): void {
    const { core } = this;
    if (message.environment !== undefined && message.environment !== core.environment) {
      this.stranger(message);
      return;
    }
    const name = message.messageType;
    if (name === system.MessageExecutionCompleted.fullName) {
      this.completed(message);
      return;
    }
    if (name.startsWith('Abc.Zebus.')) {
      if (this.control(message)) return;
      if (this.directoryEvents.has(name)) {
        if (this.heldEvents === undefined) this.directoryEvent(message);
        else this.keep(this.heldEvents, message);
        if (core.dispatcher.typeNamed(name) === undefined) return;
      }
    }
    if (this.held !== undefined && !(core.dispatcher.typeNamed(name)?.infrastructure ?? false)) {
      this.keep(this.held, message);
      return;
    }
    this.admit(message);
  }

  private keep(list: TransportMessage[], message: TransportMessage): void {
    if (list.length < HELD) {
      list.push(message);
      return;
    }
    this.core.counters.dropped++;
    this.core.report(
      new ZebusError('too-large', `dropped ${message.messageType}: ${HELD} messages wait for the registration`, {
        messageType: message.messageType,
      }),
    );
  }

  private stranger({ originator, environment }: TransportMessage): void {
    this.core.counters.otherEnvironment++;
    const sender = originator.senderId.value;
    if (this.strangers.has(sender)) return;
    if (this.strangers.size < 10_000) this.strangers.add(sender);
    this.core.listeners.emit(
      'warning',
      `messages of ${sender} are dropped: its environment is ${environment}, ours is ${this.core.environment}`,
    );
  }

  private completed(message: TransportMessage): void {
    const { commandId, errorCode, responseMessage, payloadTypeId, payload } = system.MessageExecutionCompleted.decode(
      message.content,
    );
    this.core.pending.complete(guidBytes(commandId.value), {
      errorCode,
      ...(responseMessage === undefined ? {} : { responseMessage }),
      ...(payloadTypeId === undefined
        ? {}
        : { payload: { type: payloadTypeId.fullName, content: payload ?? new Uint8Array(0) } }),
    });
  }

  /** Transport control, persistence and pings. */
  private control(message: TransportMessage): boolean {
    const { core } = this;
    switch (message.messageType) {
      case system.END_OF_STREAM: {
        const to = this.outbound.returnAddress(message.originator);
        const ack = core.requireFactory().raw(system.END_OF_STREAM_ACK, Buffer.alloc(0));
        void this.outbound.transmit(to, ack).then(() => core.transport.disconnect(to.id));
        return true;
      }
      case system.END_OF_STREAM_ACK:
        this.endOfStreamAcks += 1;
        this.onAck?.();
        return true;
      case system.PingPeerCommand.fullName:
        this.onPing();
        if (core.dispatcher.typeNamed(message.messageType) !== undefined) return false;
        this.outbound.complete(message.id, message.originator, { errorCode: 0 });
        return true;
      default:
        return this.persistence.control(message);
    }
  }

  private directoryEvent(message: TransportMessage): void {
    try {
      this.directoryEvents.get(message.messageType)?.(message.content);
    } catch (error) {
      this.core.counters.malformed++;
      this.core.report(error as Error);
    }
  }

  private admit(message: TransportMessage): void {
    const type = this.core.dispatcher.typeNamed(message.messageType);
    if (type === undefined) {
      this.core.counters.unhandled++;
      this.core.report(
        new ZebusError('no-peer', `no handler for ${message.messageType} from ${message.originator.senderId}`, {
          messageType: message.messageType,
          peer: message.originator.senderId.value,
        }),
      );
      return;
    }
    if (!type.infrastructure && !this.persistence.admit(message)) return;
    this.handle(type, message);
  }

  /** A message of the replay. */
  handleReplayed(message: TransportMessage): void {
    const type = this.core.dispatcher.typeNamed(message.messageType);
    if (type === undefined) this.core.counters.unhandled++;
    else this.handle(type, message);
  }

  private handle(type: AnyMessageType, message: TransportMessage): void {
    const { core } = this;
    const { scope } = core;
    if (scope === undefined) return;
    core.typeStats(type.fullName).received++;
    let content: unknown;
    try {
      content = decodeContent(type, message);
    } catch (error) {
      this.undecodable(type, message, error);
      return;
    }
    core.dispatcher.dispatch(new Invocation(scope, type, content, message.originator, message, this.done));
  }

  private readonly done = (outcome: Outcome, invocation: Invocation): void => {
    const { core, outbound } = this;
    const message = invocation.source as TransportMessage;
    const current = core.scope === invocation.scope;
    outbound.settled(invocation, outcome);
    if (!current || core.factory === undefined) return;
    if (invocation.type.kind === 'command') outbound.complete(message.id, message.originator, outcome);
    this.acknowledge(invocation.type, message);
  };

  private acknowledge(type: AnyMessageType, message: TransportMessage): void {
    const unknown = message.wasPersisted === undefined && this.core.settings.isPersistent && !type.transient;
    if (message.wasPersisted === true || unknown) this.persistence.acknowledge(message.id);
  }

  private undecodable(type: AnyMessageType, message: TransportMessage, error: unknown): void {
    const { core } = this;
    // Our own codec errors carry a prefix that is not the sender's business.
    const reason = errorText(error).replace(/^zebus:codec: /, '');
    const text = `failed to decode message ${type.fullName}: ${reason}`;
    core.typeStats(type.fullName).failed++;
    core.report(new ZebusError('codec', text, { messageType: type.fullName, cause: error }));
    if (type.kind === 'command') {
      this.outbound.complete(message.id, message.originator, { errorCode: ErrorCode.internal, responseMessage: text });
    }
    this.acknowledge(type, message);
  }

  /** Waits until so many acknowledgements of our end of stream have come. */
  async endOfStreamAcknowledged(count: number, timeoutMs: number): Promise<void> {
    if (this.endOfStreamAcks >= count) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
      this.onAck = () => {
        if (this.endOfStreamAcks >= count) resolve();
      };
    });
    clearTimeout(timer);
    this.onAck = undefined;
  }
}

/** What each directory event does to the copy of the directory. */
function directoryEvents({ directory }: Core): ReadonlyMap<string, (content: Uint8Array) => void> {
  const started = (content: Uint8Array): void => {
    const descriptor = descriptorFromWire(system.PeerStarted.decode(content).descriptor);
    if (descriptor !== undefined) directory.started(descriptor);
  };
  return new Map<string, (content: Uint8Array) => void>([
    [system.PeerStarted.fullName, started],
    [
      system.PeerStopped.fullName,
      (content) => {
        const { id, timestamp } = system.PeerStopped.decode(content);
        directory.stopped(id.value, timestamp);
      },
    ],
    [
      system.PeerDecommissioned.fullName,
      (content) => directory.decommissioned(system.PeerDecommissioned.decode(content).id.value),
    ],
    [
      system.PeerResponding.fullName,
      (content) => directory.responding(system.PeerResponding.decode(content).id.value, true),
    ],
    [
      system.PeerNotResponding.fullName,
      (content) => directory.responding(system.PeerNotResponding.decode(content).id.value, false),
    ],
    [
      system.PeerSubscriptionsUpdated.fullName,
      (content) => {
        const descriptor = descriptorFromWire(system.PeerSubscriptionsUpdated.decode(content).descriptor);
        if (descriptor !== undefined) directory.subscriptionsUpdated(descriptor);
      },
    ],
    [
      system.PeerSubscriptionsForTypesUpdated.fullName,
      (content) => {
        const update = system.PeerSubscriptionsForTypesUpdated.decode(content);
        directory.keysUpdated(update.peerId.value, keysFromWire(update.subscriptionsForTypes), update.timestamp);
      },
    ],
  ]);
}
