/** Largest event of the mesh transport, bytes: what fits a packet alone. */
export const MESH_EVENT_BYTES = 8108;
/** Streams of a session, and with them shards. */
export const MESH_SHARDS = 4096;
