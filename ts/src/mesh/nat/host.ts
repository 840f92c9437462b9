/** What NAT traversal needs of a node. `CoreNode` and its capability service are one. */
import type { IndexedNode, NatClass } from '../../capabilities/index.js';
import type { Packet } from '../batch.js';
import type { PeerEvent, PeerInfo } from '../core-node.js';

/** The node below. */
export interface NatHost {
  readonly nodeId: bigint;
  /** The engine; throws after shutdown. */
  readonly raw: {
    sendKeepAlive(now: number, link: string): void;
    expectKeepAlive(link: string, sender?: bigint): boolean;
    tryPath(now: number, peer: bigint, link: string): boolean;
    socketError?(): string | null;
  };
  readonly driver: { readonly address: string; readonly datagrams: boolean; now(): number; flush(): void };
  readonly closed: boolean;
  /** Throws after shutdown. */
  check(): void;
  /** Tells what happened and was not told yet. */
  catchUp(): void;
  /** Keeps the process alive until the returned function is called. */
  hold(): () => void;
  /** Sends one message of a subprotocol; `false` when it could not be sent. */
  sendMessage(peer: bigint, subprotocol: number, message: Uint8Array): boolean;
  onMessage(subprotocol: number, handler: (packet: Packet) => void): () => void;
  onPeer(listener: (event: PeerEvent) => void): () => void;
  /** Calls the listener for each awaited keep-alive. */
  onKeepAlive(listener: (from: string, sender: bigint) => void): () => void;
  onClose(listener: () => void): () => void;
  /** Shakes hands; `how` as in `CALL`. */
  connect(how: number, address: string, key: Uint8Array, peer: bigint, signal?: AbortSignal): Promise<void>;
}

/** What traversal tells the announcements, and asks of those of others. */
export interface NatDirectory {
  setNat(nat: NatClass, reflexAddr: string | undefined): void;
  get(nodeId: bigint): IndexedNode | undefined;
}

/** Peers with a session, by node id. */
export type PeerTable = ReadonlyMap<bigint, PeerInfo>;
