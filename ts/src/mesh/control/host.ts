/** What the control plane needs of a node: messages, publishes, peers, an end. `CoreNode` is one. */
import type { RawMesh } from '../../backend/mesh.js';
import type { Packet } from '../batch.js';
import type { PeerEvent } from '../core-node.js';
import type { Inbox } from '../inbox.js';

/** The node below. */
export interface ControlHost {
  readonly nodeId: bigint;
  /** 32 bytes. */
  readonly entityId: Uint8Array;
  readonly originHash: bigint;
  readonly inbox: Inbox;
  /** The engine; throws after shutdown. */
  readonly raw: RawMesh;
  readonly driver: { now(): number; flush(): void };
  readonly closed: boolean;
  /** Throws after shutdown. */
  check(): void;
  /** Ed25519 signature of the node's identity. */
  sign(message: Uint8Array): Uint8Array;
  /** Keeps the process alive until the returned function is called. */
  hold(): () => void;
  /** Waits until an open stream may take frames of so many bytes, at most so many milliseconds. */
  roomWithin(peer: bigint, stream: bigint, frames: number, ms: number): Promise<void>;
  /** Sends one message of a subprotocol, acknowledged between nodes of ours; `false` when it could not be sent. */
  sendMessage(peer: bigint, subprotocol: number, message: Uint8Array): boolean;
  onMessage(subprotocol: number, handler: (packet: Packet) => void): () => void;
  onPeer(listener: (event: PeerEvent) => void): () => void;
  /** Calls the listener once, when the node shuts down. */
  onClose(listener: () => void): () => void;
}

/** A connected peer. */
export interface ConnectedPeer {
  /** `ip:port` where it, or its relay, is reached. */
  readonly address: string;
  readonly relayed: boolean;
  readonly protocol: 'net-0.19' | 'meshring';
}

/** Peers with a session, by node id. */
export type PeerTable = ReadonlyMap<bigint, ConnectedPeer>;
