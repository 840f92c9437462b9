/** Marketrix Mesh: peers found through Redis that speak JSON frames over HTTP/2. */
export {
  MarketrixError,
  type MarketrixErrorKind,
  type MarketrixErrorOptions,
} from '../errors.js';
export {
  DataAccess,
  type DataChange,
  type DataEntry,
  DataNamespace,
  type DeleteOptions,
  type SetOptions,
} from './data-access.js';
export { type Endian, encodeFrame, FrameDecoder, type FrameOptions, type FrameSink } from './frames.js';
export { type DiscoveryLayout, decodeRecord, layouts } from './layout.js';
export { MeshPeer, MeshPeer as Mesh } from './peer.js';
export type {
  Balance,
  CallContext,
  CallOptions,
  ConnectOptions,
  Handler,
  Health,
  MeshOptions,
  MeshTls,
  PeerChange,
  PeerRecord,
  PeerRef,
  PeerStats,
  PeerStream,
  Remote,
} from './types.js';
