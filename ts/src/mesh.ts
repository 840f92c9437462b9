/** `meshring/mesh`: nodes of an encrypted mesh and their streams. */
export { BackpressureError, NotConnectedError } from './errors.js';
export {
  type EventFilter,
  type MeshConfig as MeshNodeConfig,
  type MeshEvent,
  MeshNode,
  type MeshStoredEvent,
  type MeshStream,
  NetStream,
  type PeerEvent,
  type PeerInfo,
  type Reliability,
  type StreamConfig,
  type StreamStats,
} from './mesh/index.js';
