import { ZebusError } from '../errors.js';
import { type DirectoryClient, isPersistenceService, type PeerEntry } from './directory-client.js';
import { durationText } from './duration.js';
import { guidText, newGuid } from './guid.js';
import { type AnyMessageType, type Message, requireType } from './message-type.js';
import { idKey } from './pending-commands.js';
import {
  MessageHandled,
  MessageReplayed,
  PERSISTENCE_STOPPING,
  PersistMessageCommand,
  ReplayPhaseEnded,
  SafetyPhaseEnded,
  StartMessageReplayCommand,
} from './system-messages.js';
import type { Destination } from './transport.js';
import {
  asPersisted,
  decodeTransport,
  type FrameFactory,
  persistedFrame,
  type TransportMessage,
} from './transport-message.js';

/** What the client needs of its bus. */
export interface PersistenceHost {
  readonly selfId: string;
  readonly isPersistent: boolean;
  readonly directory: DirectoryClient;
  factory(): FrameFactory;
  /** Sends a frame; failures are reported by the host. */
  transmit(to: Destination, frame: Buffer): Promise<void>;
  /** Handles a message as if it had just arrived. */
  handle(message: TransportMessage): void;
  report(error: ZebusError): void;
}

type Phase = 'normal' | 'replay' | 'safety';

/** Replayed ids remembered to recognise what also came live. */
const REMEMBERED = 1_000_000;
/** What may wait for a persistence, and for the end of the replay. */
const CAPACITY = 10_000;

/** The bus's side of the persistence (71 §13). */
export class PersistenceClient {
  private readonly host: PersistenceHost;
  private phase: Phase = 'normal';
  private replayId = '';
  private begun: (() => void) | undefined;
  private readonly seen = new Set<string>();
  private readonly live: TransportMessage[] = [];
  private readonly waiting: { type: AnyMessageType; message: Message }[] = [];
  private readonly stopping = new Set<string>();

  constructor(host: PersistenceHost) {
    this.host = host;
  }

  /** The persistence peer: up, responding, first in order of ids. */
  private peer(): PeerEntry | undefined {
    let chosen: PeerEntry | undefined;
    for (const peer of this.host.directory.lookup(PersistMessageCommand.fullName, [])) {
      if (!peer.isUp || !peer.isResponding || this.stopping.has(peer.id)) continue;
      if (chosen === undefined || peer.id < chosen.id) chosen = peer;
    }
    return chosen;
  }

  /** Sends a persistent message to targets of which one at least is persistent, and its copy to the persistence. */
  async send(frame: Buffer, targets: readonly PeerEntry[]): Promise<void> {
    const persistent = targets.filter((target) => target.isPersistent).map((target) => target.id);
    const persistence = this.peer();
    if (persistence === undefined && this.waiting.length >= CAPACITY) {
      throw new ZebusError('persistence-unavailable', `no persistence, and ${CAPACITY} messages wait for one`);
    }
    const marked = persistedFrame(frame, true);
    const sent: Promise<void>[] = [];
    for (const target of targets) {
      if (target.isUp) sent.push(this.host.transmit(target, target.isPersistent ? marked : frame));
    }
    if (persistence === undefined) {
      const command = PersistMessageCommand.create({ message: frame, targets: persistent.map((value) => ({ value })) });
      this.waiting.push({ type: requireType(command), message: command });
    } else {
      const last = targets.findLast((target) => target.isUp);
      const copy = persistedFrame(frame, last?.isPersistent ?? true, persistent);
      sent.push(this.host.transmit(persistence, copy));
    }
    await Promise.all(sent);
  }

  /** A message was handled: the persistence may forget it. */
  acknowledge(id: Uint8Array): void {
    this.post(MessageHandled.create({ id: { value: guidText(id) } }));
  }

  private post(message: Message): void {
    const type = requireType(message);
    const peer = this.peer();
    if (peer !== undefined) void this.host.transmit(peer, this.host.factory().event(type, message));
    else if (this.waiting.length < CAPACITY) this.waiting.push({ type, message });
    else {
      this.host.report(
        new ZebusError('persistence-unavailable', `dropped ${type.fullName}: ${CAPACITY} messages wait`, {
          messageType: type.fullName,
        }),
      );
    }
  }

  /** A peer changed: what waits goes to a persistence that has come. */
  peerStarted(peer: PeerEntry): void {
    this.stopping.delete(peer.id);
    this.flush();
  }

  private flush(): void {
    const peer = this.peer();
    if (peer === undefined) return;
    for (const { type, message } of this.waiting.splice(0)) {
      void this.host.transmit(peer, this.host.factory().event(type, message));
    }
  }

  /** Whether a live message may be handled now. Held and doubled ones may not. */
  admit(message: TransportMessage): boolean {
    if (this.phase === 'normal') return true;
    if (this.phase === 'replay') {
      if (this.live.length < CAPACITY) this.live.push(message);
      else
        this.host.report(
          new ZebusError('too-large', `dropped ${message.messageType}: ${CAPACITY} wait for the replay`),
        );
      return false;
    }
    return this.firstSight(message);
  }

  private firstSight(message: TransportMessage): boolean {
    const key = idKey(message.id);
    if (this.seen.has(key)) {
      if (message.wasPersisted !== false) this.acknowledge(message.id);
      return false;
    }
    if (this.seen.size >= REMEMBERED) {
      for (const oldest of this.seen) {
        this.seen.delete(oldest);
        break;
      }
    }
    this.seen.add(key);
    return true;
  }

  /** Replays what was sent while this peer was away; resolves when the persistence has begun. */
  async replay(timeoutMs: number): Promise<void> {
    this.phase = 'replay';
    this.replayId = guidText(newGuid());
    const command = StartMessageReplayCommand.create({ replayId: this.replayId });
    const peer = this.peer();
    if (peer === undefined) {
      this.phase = 'normal';
      throw new ZebusError('persistence-unreachable', 'no persistence is up');
    }
    let timer: ReturnType<typeof setTimeout> | undefined;
    const begun = new Promise<void>((resolve, reject) => {
      this.begun = resolve;
      timer = setTimeout(() => {
        reject(
          new ZebusError(
            'persistence-unreachable',
            `${peer.id} did not begin the replay within ${durationText(timeoutMs)}`,
            {
              peer: peer.id,
            },
          ),
        );
      }, timeoutMs);
    });
    try {
      await Promise.all([this.host.transmit(peer, this.host.factory().event(requireType(command), command)), begun]);
    } finally {
      clearTimeout(timer);
      this.begun = undefined;
    }
  }

  /** Messages of the persistence itself. True when it was one. */
  control(message: TransportMessage): boolean {
    switch (message.messageType) {
      case MessageReplayed.fullName: {
        const { replayId, message: inner } = MessageReplayed.decode(message.content);
        if (!this.isOurs(replayId)) return true;
        const replayed = asPersisted(decodeTransport(inner));
        if (this.firstSight(replayed)) this.host.handle(replayed);
        return true;
      }
      case ReplayPhaseEnded.fullName:
        if (this.isOurs(ReplayPhaseEnded.decode(message.content).replayId)) {
          this.phase = 'safety';
          for (const held of this.live.splice(0)) if (this.firstSight(held)) this.host.handle(held);
        }
        return true;
      case SafetyPhaseEnded.fullName:
        if (this.isOurs(SafetyPhaseEnded.decode(message.content).replayId)) {
          this.phase = 'normal';
          this.replayId = '';
          this.seen.clear();
        }
        return true;
      default:
        return this.persistenceStopping(message);
    }
  }

  private isOurs(replayId: string): boolean {
    if (this.phase === 'normal' || replayId !== this.replayId) return false;
    this.begun?.();
    return true;
  }

  private persistenceStopping(message: TransportMessage): boolean {
    if (!(PERSISTENCE_STOPPING as readonly string[]).includes(message.messageType)) return false;
    const { senderId, senderEndpoint } = message.originator;
    this.stopping.add(senderId.value);
    const ack = this.host.factory().raw(`${message.messageType}Ack`, Buffer.alloc(0));
    void this.host.transmit({ id: senderId.value, endpoint: senderEndpoint }, ack);
    return true;
  }

  /** Forgets the state of this run. */
  reset(): void {
    this.phase = 'normal';
    this.replayId = '';
    this.seen.clear();
    this.live.length = 0;
    this.waiting.length = 0;
    this.stopping.clear();
  }
}

/** Whether connections to this peer outlive its decommissioning. */
export function isPersistencePeer(peer: PeerEntry): boolean {
  return isPersistenceService(peer.id) || peer.types.has(PersistMessageCommand.fullName);
}
