import { ZebusError } from '../errors.js';
import type { TypeStats } from './bus-api.js';
import type { BusSettings } from './configuration.js';
import { TickClock } from './datetime.js';
import type { DirectoryClient } from './directory-client.js';
import { Dispatcher } from './dispatch/dispatcher.js';
import type { HandlerScope } from './dispatch/invocation.js';
import { Listeners } from './listeners.js';
import type { PeerId } from './peer.js';
import { PendingCommands } from './pending-commands.js';
import type { Transport } from './transport.js';
import type { FrameFactory } from './transport-message.js';

/** What the parts of one bus share. */
export class Core {
  readonly peerId: PeerId;
  readonly environment: string;
  readonly settings: BusSettings;
  readonly transport: Transport;
  readonly listeners = new Listeners();
  readonly dispatcher: Dispatcher;
  readonly directory: DirectoryClient;
  readonly clock = new TickClock();
  readonly counters = { malformed: 0, otherEnvironment: 0, unhandled: 0, dropped: 0 };
  readonly types = new Map<string, TypeStats>();
  /** Of the present run; replaced at every start. */
  pending: PendingCommands;
  /** Of the present run, once the endpoint is known. */
  factory: FrameFactory | undefined;
  /** Of the present run. */
  scope: HandlerScope | undefined;
  /** Called when a command begins to wait: a reader that pauses must go on. */
  onPending: (() => void) | undefined;

  constructor(
    peerId: PeerId,
    environment: string,
    settings: BusSettings,
    transport: Transport,
    directory: DirectoryClient,
  ) {
    this.peerId = peerId;
    this.environment = environment;
    this.settings = settings;
    this.transport = transport;
    this.directory = directory;
    this.dispatcher = new Dispatcher(settings.maxQueuedMessages, settings.messageBatchSize);
    this.pending = new PendingCommands(settings.maxPendingCommands);
  }

  /** Counters of a type. */
  typeStats(messageType: string): TypeStats {
    let stats = this.types.get(messageType);
    if (stats === undefined) {
      stats = { sent: 0, received: 0, handled: 0, failed: 0 };
      // Names come from outside: the table is bounded.
      if (this.types.size < 10_000) this.types.set(messageType, stats);
    }
    return stats;
  }

  report(error: Error): void {
    this.listeners.emit('error', error);
  }

  requireFactory(): FrameFactory {
    if (this.factory === undefined) throw new ZebusError('not-running', 'the bus is not running');
    return this.factory;
  }
}
