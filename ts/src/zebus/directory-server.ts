import { DomainError, ZebusError } from '../errors.js';
import { ZebusBus } from './bus.js';
import type { Bus } from './bus-api.js';
import { ErrorCode } from './command-result.js';
import { busSettings } from './configuration.js';
import { TickClock } from './datetime.js';
import {
  descriptorFromWire,
  descriptorToWire,
  type KeysOfType,
  keysFromWire,
  keysToWire,
  subscriptionsFromWire,
} from './descriptor.js';
import type { PeerEntry } from './directory-client.js';
import { DirectoryStore, type StoredPeer, setDynamic, storedDescriptor } from './directory-store.js';
import { MessageHandler } from './dispatch/message-handler.js';
import { type Duration, durationMs } from './duration.js';
import { hostOf } from './endpoint.js';
import { type Message, requireType } from './message-type.js';
import { type Peer, type PeerDescriptor, PeerId, type PeerSubscription } from './peer.js';
import { Pinger } from './pinger.js';
import * as system from './system-messages.js';
import type { Transport } from './transport.js';
import { ZmqTransport } from './zmq-transport.js';

/** Configuration of a directory. Durations are milliseconds or text such as `"5min"`. */
export interface DirectoryServerConfiguration {
  /** Where it listens. Default `tcp://*:7465`. */
  endpoint?: string;
  environment: string;
  /** Default `Abc.Zebus.Directory.0`. */
  peerId?: string;
  /** JSON file for persistent peers. Default: memory only. */
  store?: string;
  /** Host that peers are told to connect to. Default: this machine's name. */
  advertisedHost?: string;
  /** How often peers are pinged, 0 = never. Default 60 s. */
  pingInterval?: Duration;
  /** Silence after which a peer counts as gone. Defaults 5, 5 and 10 min. */
  transientPeerTimeout?: Duration;
  persistentPeerTimeout?: Duration;
  debugPeerTimeout?: Duration;
  /** How far ahead of this clock a registration's time may be. Default: any. */
  maxClockDifference?: Duration;
  /** Other directories: each is told what this one learns (not part of the protocol of other implementations). */
  replicateTo?: readonly string[];
  /** Default ZeroMQ. */
  transport?: Transport;
}

/** How long another directory may take to acknowledge what it is told. */
const REPLICATION_TIMEOUT_MS = 5_000;

/** The directory: knows all peers and their subscriptions, and tells everyone about changes (71 §8). */
export class DirectoryServer {
  private readonly configuration: DirectoryServerConfiguration;
  private readonly store: DirectoryStore;
  private readonly node: ZebusBus;
  private readonly pinger: Pinger;
  private readonly clock = new TickClock();

  /** Throws `ZebusError('configuration')`. */
  constructor(configuration: DirectoryServerConfiguration) {
    this.configuration = configuration;
    const duration = (value: Duration | undefined, name: string, fallback: number): number =>
      value === undefined ? fallback : durationMs(value, name);
    this.store = new DirectoryStore(configuration.store, (error) => this.report(error));
    this.node = new ZebusBus({
      peerId: new PeerId(configuration.peerId ?? 'Abc.Zebus.Directory.0'),
      environment: configuration.environment,
      settings: busSettings({ localDispatch: false, directoryPingInterval: 0 }),
      transport:
        configuration.transport ??
        new ZmqTransport({
          inboundEndpoint: configuration.endpoint ?? 'tcp://*:7465',
          waitForEndOfStreamAckTimeout: 1000,
          ...(configuration.advertisedHost === undefined ? {} : { advertisedHost: configuration.advertisedHost }),
        }),
      handlers: this.handlers().registrations,
      registrar: () => ({
        register: async (self) => {
          this.store.put(stored(self, self.timestampTicks ?? this.clock.next()));
          return this.store.all().map(storedDescriptor);
        },
        unregister: async (self) => this.store.delete(self.id.value),
        updateKeys: async () => {},
      }),
    });
    this.pinger = new Pinger({
      intervalMs: duration(configuration.pingInterval, 'pingInterval', 60_000),
      timeoutMs: {
        transient: duration(configuration.transientPeerTimeout, 'transientPeerTimeout', 300_000),
        persistent: duration(configuration.persistentPeerTimeout, 'persistentPeerTimeout', 300_000),
        debug: duration(configuration.debugPeerTimeout, 'debugPeerTimeout', 600_000),
      },
      peers: () => this.store.all().filter(({ id }) => id !== this.node.peerId.value),
      ping: (peer, timeoutMs) => this.ping(peer, timeoutMs),
      gone: (peer, since) => this.gone(peer, since),
      back: (peer) => this.setResponding(peer.id, true),
    });
  }

  /** Endpoint that peers connect to; empty unless started. */
  get endpoint(): string {
    return this.node.endpoint;
  }

  /** The bus of the directory itself. */
  get bus(): Bus {
    return this.node;
  }

  async start(): Promise<void> {
    await this.store.load();
    await this.node.start();
    await this.learn();
    this.pinger.start();
  }

  async stop(): Promise<void> {
    this.pinger.stop();
    await this.node.stop();
    await this.store.settled();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Everyone known, the directory included. */
  peers(): PeerDescriptor[] {
    return this.store.all().map(storedDescriptor);
  }

  private report(error: Error): void {
    this.node.report(error);
  }

  /** All of them finish at once, so that commands take effect in the order of their arrival. */
  private handlers(): MessageHandler<void> {
    return MessageHandler.stateless()
      .handles(system.RegisterPeerCommand, (command, { originator }) => {
        const response = this.register(command.peer);
        this.replicate(command, originator.senderId);
        return response;
      })
      .handles(system.UnregisterPeerCommand, (command, { originator }) => {
        this.unregister(command.peerId.value, command.timestamp ?? this.clock.next());
        this.replicate(command, originator.senderId);
      })
      .handles(system.DecommissionPeerCommand, (command, { originator }) => {
        this.decommission(command.peerId.value);
        this.replicate(command, originator.senderId);
      })
      .handles(system.UpdatePeerSubscriptionsCommand, (command, { originator }) => {
        this.replaceSubscriptions(
          command.peerId.value,
          subscriptionsFromWire(command.subscriptions),
          command.timestamp ?? this.clock.next(),
        );
        this.replicate(command, originator.senderId);
      })
      .handles(system.UpdatePeerSubscriptionsForTypesCommand, (command, { originator }) => {
        this.replaceKeys(
          command.peerId.value,
          keysFromWire(command.subscriptionsForTypes),
          command.timestamp ?? this.clock.next(),
        );
        this.replicate(command, originator.senderId);
      })
      .handles(system.MarkPeerAsRespondingCommand, (command, { originator }) => {
        this.setResponding(command.peerId.value, true);
        this.replicate(command, originator.senderId);
      })
      .handles(system.MarkPeerAsNotRespondingCommand, (command, { originator }) => {
        this.setResponding(command.peerId.value, false);
        this.replicate(command, originator.senderId);
      });
  }

  private replaceSubscriptions(id: string, subscriptions: readonly PeerSubscription[], timestamp: bigint): void {
    const peer = this.store.get(id);
    if (peer === undefined || peer.timestamp > timestamp) return;
    peer.startup = subscriptions;
    peer.dynamic.clear();
    peer.timestamp = timestamp;
    this.store.changed();
    const descriptor = storedDescriptor(peer);
    this.node.directory.subscriptionsUpdated(descriptor);
    this.announce(system.PeerSubscriptionsUpdated.create({ descriptor: descriptorToWire(descriptor) }));
  }

  private replaceKeys(id: string, types: readonly KeysOfType[], timestamp: bigint): void {
    const peer = this.store.get(id);
    if (peer === undefined || types.length === 0) return;
    setDynamic(peer, types, timestamp);
    this.store.changed();
    this.node.directory.keysUpdated(id, types, timestamp);
    this.announce(
      system.PeerSubscriptionsForTypesUpdated.create({
        peerId: { value: id },
        subscriptionsForTypes: keysToWire(types),
        timestamp,
      }),
    );
  }

  /** Passes a peer's command on to the other directories; what a directory passed on goes no further. */
  private replicate(command: unknown, sender: PeerId): void {
    if (sender.isInstanceOf('Abc.Zebus.Directory')) return;
    const type = requireType(command);
    for (const address of this.others()) {
      const message = command as Message<unknown, 'command'>;
      this.node.sendTo(message, address, { timeoutMs: REPLICATION_TIMEOUT_MS }).catch((error: unknown) => {
        this.report(new ZebusError('transport', `${address.endpoint} did not take ${type.fullName}`, { cause: error }));
      });
    }
  }

  private others(): Peer[] {
    return (this.configuration.replicateTo ?? []).map((endpoint, index) => ({
      id: new PeerId(`replica:${index}`),
      endpoint,
      isUp: true,
      isResponding: true,
    }));
  }

  /** Learns what the other directories know. One that does not answer is left for later commands. */
  private async learn(): Promise<void> {
    const self = this.store.get(this.node.peerId.value);
    if (self === undefined) return;
    const command = system.RegisterPeerCommand.create({ peer: descriptorToWire(storedDescriptor(self)) });
    await Promise.all(
      this.others().map(async (address) => {
        try {
          const result = await this.node.sendTo(command, address, { timeoutMs: REPLICATION_TIMEOUT_MS });
          for (const wire of result.reply?.peers ?? []) {
            const descriptor = descriptorFromWire(wire);
            if (descriptor !== undefined) this.adopt(descriptor);
          }
        } catch (error) {
          this.report(new ZebusError('transport', `${address.endpoint} does not answer`, { cause: error }));
        }
      }),
    );
  }

  private adopt(descriptor: PeerDescriptor): void {
    const id = descriptor.id.value;
    const timestamp = descriptor.timestampTicks;
    if (timestamp === undefined || id === this.node.peerId.value) return;
    const known = this.store.get(id);
    if (known !== undefined && known.timestamp >= timestamp) return;
    this.store.put({ ...stored(descriptor, timestamp), isUp: descriptor.isUp, isResponding: descriptor.isResponding });
    this.node.directory.load(descriptor);
  }

  private register(wire: Parameters<typeof descriptorFromWire>[0]): Message<RegisterResponse> {
    const descriptor = descriptorFromWire(wire);
    if (descriptor === undefined) throw new DomainError(1, 'The peer must be provided when registering');
    const timestamp = descriptor.timestampTicks;
    if (timestamp === undefined) throw new DomainError(1, 'The TimestampUtc must be provided when registering');
    this.checkClock(timestamp);
    const id = descriptor.id.value;
    const known = this.store.get(id);
    if (known?.isResponding && hostOf(known.endpoint) !== hostOf(descriptor.endpoint)) {
      throw new DomainError(ErrorCode.peerAlreadyExists, `Peer ${id} already exists (running on ${known.endpoint})`);
    }
    const peer = stored(descriptor, timestamp);
    for (const [type, entry] of known?.dynamic ?? []) if (entry.timestamp > timestamp) peer.dynamic.set(type, entry);
    const audience = this.audience(system.PeerStarted.fullName);
    this.store.put(peer);
    this.pinger.forget(id);
    const merged = storedDescriptor(peer);
    this.node.directory.started(merged);
    this.announce(system.PeerStarted.create({ descriptor: descriptorToWire(merged) }), audience);
    return system.RegisterPeerResponse.create({ peers: this.peers().map(descriptorToWire) });
  }

  private checkClock(timestamp: bigint): void {
    const { maxClockDifference } = this.configuration;
    if (maxClockDifference === undefined) return;
    const limit = durationMs(maxClockDifference, 'maxClockDifference');
    const ahead = Number(timestamp / 10_000n) - Date.now();
    if (ahead > limit) {
      throw new DomainError(
        1,
        `The client provided timestamp is ${Math.round(ahead)}ms ahead of the directory's clock`,
      );
    }
  }

  private unregister(id: string, timestamp: bigint): void {
    const peer = this.store.get(id);
    if (peer === undefined || peer.timestamp > timestamp) return;
    if (!peer.isPersistent) {
      this.decommission(id);
      return;
    }
    peer.isUp = false;
    peer.isResponding = false;
    peer.timestamp = timestamp;
    this.store.changed();
    this.pinger.forget(id);
    this.node.directory.stopped(id, timestamp);
    this.announce(system.PeerStopped.create({ id: { value: id }, endpoint: peer.endpoint, timestamp }));
  }

  private decommission(id: string): void {
    if (this.store.get(id) === undefined) return;
    this.store.delete(id);
    this.pinger.forget(id);
    const audience = this.audience(system.PeerDecommissioned.fullName);
    this.node.directory.decommissioned(id);
    this.announce(system.PeerDecommissioned.create({ id: { value: id } }), audience);
  }

  private setResponding(id: string, isResponding: boolean): void {
    const peer = this.store.get(id);
    if (peer === undefined) return;
    peer.isResponding = isResponding;
    this.store.changed();
    this.node.directory.responding(id, isResponding);
    const type = isResponding ? system.PeerResponding : system.PeerNotResponding;
    this.announce(type.create({ id: { value: id }, timestamp: this.clock.next() }));
  }

  private audience(messageType: string): readonly PeerEntry[] {
    return this.node.directory.lookup(messageType, []).filter(({ id }) => id !== this.node.peerId.value);
  }

  private announce(event: Message, audience = this.audience(requireType(event).fullName)): void {
    void this.node.publishToEntries(event, audience).catch((error: unknown) => this.report(error as Error));
  }

  private async ping(peer: StoredPeer, timeoutMs: number): Promise<boolean> {
    try {
      const to = { id: new PeerId(peer.id), endpoint: peer.endpoint, isUp: true, isResponding: true };
      const result = await this.node.sendTo(system.PingPeerCommand.create({}), to, { timeoutMs });
      return result.isSuccess;
    } catch (error) {
      // Silence and refusals are what a ping is there to find.
      if (error instanceof ZebusError) return false;
      throw error;
    }
  }

  private gone(peer: StoredPeer, since: Date): void {
    if (peer.isPersistent) {
      if (peer.isResponding) this.setResponding(peer.id, false);
      return;
    }
    this.unregister(peer.id, BigInt(since.getTime()) * 10_000n);
  }
}

type RegisterResponse = ReturnType<typeof system.RegisterPeerResponse.decode>;

function stored(descriptor: PeerDescriptor, timestamp: bigint): StoredPeer {
  return {
    id: descriptor.id.value,
    endpoint: descriptor.endpoint,
    isUp: true,
    isResponding: true,
    isPersistent: descriptor.isPersistent,
    hasDebuggerAttached: descriptor.hasDebuggerAttached,
    timestamp,
    startup: descriptor.subscriptions,
    dynamic: new Map(),
  };
}
