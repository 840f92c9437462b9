import protobuf from 'protobufjs';
import { Pull, Push } from 'zeromq';
import vectors from '../../vectors/zebus-messages.json' with { type: 'json' };

/** The protocol's messages once more, for protobufjs: independent of the codec under test. */
const SCHEMA = protobuf.parse(
  `syntax = "proto2";
  message Guid { required fixed64 lo = 1; required fixed64 hi = 2; }
  message DateTime { required sint64 value = 1; optional int32 scale = 2; optional int32 kind = 3; }
  message MessageId { required Guid value = 1; }
  message MessageTypeId { required string full_name = 1; }
  message PeerId { required string value = 1; }
  message OriginatorInfo { required PeerId sender_id = 1; required string sender_endpoint = 2; optional string sender_machine_name = 3; optional string initiator_user_name = 5; }
  message TransportMessage { required MessageId id = 1; required MessageTypeId message_type_id = 2; required bytes content = 3; required OriginatorInfo originator = 4;
    optional string environment = 5; optional bool was_persisted = 6; repeated PeerId persistent_peer_ids = 7; }
  message Peer { required PeerId id = 1; required string endpoint = 2; required bool is_up = 3; optional bool is_responding = 4; }
  message BindingKey { repeated string parts = 1; }
  message Subscription { required MessageTypeId message_type_id = 1; required BindingKey binding_key = 2; }
  message PeerDescriptor { required Peer peer = 1; repeated Subscription subscriptions = 2; required bool is_persistent = 3; optional DateTime timestamp_utc = 4; optional bool has_debugger_attached = 5; }
  message RegisterPeerCommand { required PeerDescriptor peer = 1; }
  message RegisterPeerResponse { repeated PeerDescriptor peers = 1; }
  message UnregisterPeerCommand { required PeerId peer_id = 1; optional string endpoint = 2; optional DateTime timestamp = 3; }
  message PeerStarted { required PeerDescriptor descriptor = 1; }
  message PeerStopped { required PeerId id = 1; optional string endpoint = 2; optional DateTime timestamp = 3; }
  message PeerDecommissioned { required PeerId id = 1; }
  message MessageExecutionCompleted { required MessageId command_id = 1; required int32 error_code = 2; optional MessageTypeId payload_type_id = 3; optional bytes payload = 4; optional string response_message = 5; }
  message EchoCommand { required string msg = 1; }
  message MessageSent { required string target = 1; required string sender = 2; required string text = 3; }
  message PersistMessageCommand { required TransportMessage message = 1; repeated PeerId targets = 2; }
  message StartMessageReplayCommand { required Guid replay_id = 1; }
  message MessageHandled { required MessageId id = 1; }
  message MessageReplayed { required Guid replay_id = 1; required TransportMessage message = 2; }
  message ReplayPhaseEnded { required Guid replay_id = 1; }
  message SafetyPhaseEnded { required Guid replay_id = 1; }
  message EndOfStream {} message EndOfStreamAck {} message PingPeerCommand {} message PersistenceStoppingAck {}`,
  { keepCase: true },
).root;

// biome-ignore lint/suspicious/noExplicitAny: messages of a schema that only the test knows
export type Loose = any;

/** Encodes with the schema, whatever the namespace of the type. */
export function encode(type: string, value: object): Buffer {
  const found = SCHEMA.lookupType(type.split('.').pop() ?? type);
  return Buffer.from(found.encode(found.fromObject(value)).finish());
}

/** Decodes with the schema to plain objects; 64-bit numbers are text. */
export function decode(type: string, bytes: Uint8Array): Loose {
  const found = SCHEMA.lookupType(type.split('.').pop() ?? type);
  return found.toObject(found.decode(bytes), { longs: String });
}

/** The first captured message of that name, its bytes decoded. */
export function captured(name: string): { frame: Buffer; transport: Loose; content: Loose } {
  const vector = vectors.messages.find((each) => each.name === name);
  if (vector === undefined) throw new Error(`no captured message ${name}`);
  const frame = Buffer.from(vector.hex, 'hex');
  const transport = decode('TransportMessage', frame);
  return { frame, transport, content: decode(vector.content_type, transport.content) };
}

export interface Received {
  type: string;
  transport: Loose;
  content: Buffer;
  frame: Buffer;
}

let ids = 1n;

/** A peer made of two ZeroMQ sockets and nothing else. */
export class RawPeer {
  readonly id: string;
  readonly environment: string;
  readonly received: Received[] = [];
  endpoint = '';
  private readonly pull = new Pull();
  private readonly pushes = new Map<string, Push>();
  private readonly waiting = new Set<() => void>();

  constructor(id: string, environment = 'example') {
    this.id = id;
    this.environment = environment;
  }

  async listen(endpoint = 'tcp://127.0.0.1:*'): Promise<this> {
    await this.pull.bind(endpoint);
    this.endpoint = this.pull.lastEndpoint ?? '';
    void this.read();
    return this;
  }

  private async read(): Promise<void> {
    for await (const parts of this.pull) {
      if (parts.length !== 1) throw new Error(`${parts.length} frames`);
      const frame = parts[0] as Buffer;
      const transport = decode('TransportMessage', frame);
      const type = transport.message_type_id.full_name;
      this.received.push({ type, transport, content: transport.content, frame });
      for (const check of [...this.waiting]) check();
    }
  }

  /** The next message of a type that has not been taken yet. */
  async next(type: string): Promise<Received & { body: Loose }> {
    const take = (): Received | undefined => {
      const at = this.received.findIndex((each) => each.type.endsWith(type));
      return at < 0 ? undefined : this.received.splice(at, 1)[0];
    };
    let found = take();
    if (found === undefined) {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => {
          reject(new Error(`${this.id} got no ${type}, but ${this.received.map((each) => each.type)}`));
        }, 10_000);
        const check = (): void => {
          found = take();
          if (found === undefined) return;
          clearTimeout(timer);
          this.waiting.delete(check);
          resolve();
        };
        this.waiting.add(check);
      });
    }
    const message = found as Received;
    const known = SCHEMA.get(message.type.split('.').pop() ?? '') !== null;
    return { ...message, body: known ? decode(message.type, message.content) : undefined };
  }

  /** Sends these very frames. */
  async raw(endpoint: string, frame: Buffer | Buffer[]): Promise<void> {
    let push = this.pushes.get(endpoint);
    if (push === undefined) {
      push = new Push({ linger: 500 });
      push.connect(endpoint);
      this.pushes.set(endpoint, push);
    }
    await push.send(frame);
  }

  /** Sends a message as the Rust peer would; `wire` overrides fields of the envelope. Gives its id. */
  async send(endpoint: string, type: string, body: object | Buffer, wire: object = {}): Promise<Loose> {
    const id = { value: { lo: (ids++).toString(), hi: '77' } };
    const content = Buffer.isBuffer(body) ? body : encode(type, body);
    const frame = encode('TransportMessage', {
      id,
      message_type_id: { full_name: type },
      content,
      originator: { sender_id: { value: this.id }, sender_endpoint: this.endpoint },
      environment: this.environment,
      was_persisted: false,
      ...wire,
    });
    await this.raw(endpoint, frame);
    return id;
  }

  /** Sends a captured message from this peer, its content changed by `change`. Gives its id. */
  async replay(endpoint: string, name: string, change: (content: Loose) => void): Promise<Loose> {
    const { transport, content } = captured(name);
    change(content);
    transport.originator.sender_endpoint = this.endpoint;
    transport.originator.sender_id.value = this.id;
    transport.content = encode(transport.message_type_id.full_name, content);
    await this.raw(endpoint, encode('TransportMessage', transport));
    return transport.id;
  }

  /** Answers a command. */
  async complete(to: Received, answer: object = { error_code: 0 }): Promise<void> {
    await this.send(to.transport.originator.sender_endpoint, 'Abc.Zebus.Core.MessageExecutionCompleted', {
      command_id: to.transport.id,
      ...answer,
    });
  }

  close(): void {
    this.pull.close();
    for (const push of this.pushes.values()) push.close();
  }
}

/** Ticks of now, as the Rust peer writes them. */
export function now(): { value: string; scale: number; kind: number } {
  return { value: (BigInt(Date.now()) * 10_000n).toString(), scale: 5, kind: 1 };
}
