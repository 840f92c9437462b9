/** Who a peer is. In a file of its own, because errors carry it and must not bring anything else along. */

/** One side of a connection. */
export interface PeerRef {
  /** Service name; `unknown` for a plain implementation that does not say. */
  readonly service: string;
  /** Instance name, unique within the service; empty when the other side does not say. */
  readonly instance: string;
}
