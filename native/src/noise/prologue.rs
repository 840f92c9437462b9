//! What both ends of a mesh handshake must agree on before it.

/// Prologue of a mesh handshake, direct or routed. The bus link's is empty.
/// A routing id is the low 32 bits of a node id.
pub fn mesh_prologue(initiator: u64, responder: u64) -> [u8; 32] {
    let mut out = *b"net-handshake-v1................";
    out[16..24].copy_from_slice(&(initiator & 0xffff_ffff).to_le_bytes());
    out[24..].copy_from_slice(&(responder & 0xffff_ffff).to_le_bytes());
    out
}
