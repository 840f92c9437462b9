import type { ZebusError } from '../errors.js';

/** Where frames go. The id is the key of the connection; a changed endpoint replaces it. */
export interface Destination {
  readonly id: string;
  readonly endpoint: string;
}

/** What a transport tells its bus. */
export interface TransportEvents {
  /** A frame arrived. A promise holds back further reading until it resolves. */
  frame(bytes: Buffer): Promise<void> | undefined;
  /** Something failed in the background; the frame or connection concerned was dropped. */
  error(error: ZebusError): void;
  /** A frame that was sent quietly could not be handed over. */
  dropped(error: ZebusError): void;
}

/** Counters of a transport. */
export interface TransportStats {
  readonly connections: number;
  readonly framesSent: number;
  readonly framesReceived: number;
  /** Sends that failed after the send timeout, or met a closed or overfull peer. */
  readonly framesDropped: number;
  /** Multi-part and oversized messages. */
  readonly framesRejected: number;
  /** Peers that are closed for a while because sending to them failed. */
  readonly closedPeers: number;
}

/** Carries frames between peers. */
export interface Transport {
  /** Binds; gives the endpoint that others connect to. */
  start(local: { readonly peerId: string; readonly maxMessageBytes: number }, events: TransportEvents): Promise<string>;
  /**
   * Hands a frame over, after all frames given before for the same destination. `undefined` when that has happened, else a
   * promise. A failure rejects it with `ZebusError('transport')`; with `quiet` it goes to `TransportEvents.dropped` instead.
   */
  send(to: Destination, frame: Buffer, quiet?: boolean): Promise<void> | undefined;
  /** Ids of the destinations with a connection. */
  connected(): string[];
  /** Closes the connection to a destination, if there is one; `discard`: at once, with what it has not delivered. */
  disconnect(id: string, discard?: boolean): void;
  /** How long a stopping peer waits for the others' end-of-stream acknowledgements, in milliseconds. */
  readonly endOfStreamTimeoutMs: number;
  stats(): TransportStats;
  /** Closes everything. */
  stop(): Promise<void>;
}
