//! `Noise_NKpsk0_25519_ChaChaPoly_BLAKE2s` and the session secrets that follow from it (20 §4.2, §4.3).

mod handshake;
mod prologue;
mod secrets;
mod symmetric;

pub use handshake::{Initiator, Outcome, Reply, Responder};
pub use prologue::mesh_prologue;
pub use secrets::{Role, SessionSecrets};

/// Bytes of a handshake message without payload: an ephemeral public key and a tag.
pub const MESSAGE_LEN: usize = 48;

/// Why a handshake message was not accepted. Holds nothing of the message or of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoiseError {
    /// Shorter than an ephemeral key and a tag.
    Short,
    /// The tag does not match: another PSK, static key or prologue, or junk.
    Decrypt,
    /// A public key of small order.
    WeakKey,
}

impl std::fmt::Display for NoiseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Short => "message too short",
            Self::Decrypt => "decrypt error",
            Self::WeakKey => "public key of small order",
        })
    }
}

impl std::error::Error for NoiseError {}
