/** Options of the ZeroMQ sockets. Times in milliseconds unless said otherwise. */
export interface ZmqSocketOptions {
  /** Messages that ZeroMQ keeps per peer. Default 20 000. */
  sendHighWaterMark?: number;
  /** How long a send may wait at that mark. Default 200. */
  sendTimeout?: number;
  /** Messages that ZeroMQ keeps on the receiving side. Default 40 000. */
  receiveHighWaterMark?: number;
  /** TCP keep-alive: seconds of silence before the first probe, and between probes. Default 30 and 3. */
  keepAliveIdle?: number;
  keepAliveInterval?: number;
  /** Failed sends in a row, after the first, until the peer is closed for a while. Default 2. */
  retriesBeforeClosed?: number;
  /** How long it stays closed after failed sends (default 15 000), and after a failed connect (default 120 000). */
  closedAfterSendFailure?: number;
  closedAfterConnectFailure?: number;
  /** Most peers connected at once; beyond, the one that was not used for longest is disconnected. Default 2048. */
  maxSockets?: number;
  /** Frames that wait here for a socket at its mark, per peer. Default 10 000. */
  maxWaitingFrames?: number;
}

/** The options with their defaults. */
export type ZmqOptions = Required<ZmqSocketOptions>;

export const ZMQ_DEFAULTS: ZmqOptions = {
  sendHighWaterMark: 20_000,
  sendTimeout: 200,
  receiveHighWaterMark: 40_000,
  keepAliveIdle: 30,
  keepAliveInterval: 3,
  retriesBeforeClosed: 2,
  closedAfterSendFailure: 15_000,
  closedAfterConnectFailure: 120_000,
  maxSockets: 2048,
  maxWaitingFrames: 10_000,
};
