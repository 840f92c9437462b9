//! From a finished handshake to the two keys of a session.

use super::Outcome;
use crate::crypto::{blake2s_keyed, first_u64, Key};

/// Which end of the handshake this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Wrote message 1.
    Initiator,
    /// Wrote message 2.
    Responder,
}

/// Session id and keys, as seen from one end.
#[derive(Debug)]
pub struct SessionSecrets {
    /// Names the session in each packet's header.
    pub session_id: u64,
    /// For what this end sends.
    pub send: Key,
    /// For what this end receives.
    pub receive: Key,
}

impl SessionSecrets {
    /// The 0.19.0 schedule. The hash `h` contains no Diffie-Hellman output: whoever knows the PSK and the responder's
    /// public key and saw both messages can compute these keys.
    pub fn transcript(outcome: &Outcome, role: Role) -> Self {
        let prk = Key::from(blake2s_keyed(outcome.hash(), b"net-kdf-v1"));
        Self::from_pair(
            outcome,
            role,
            Key::from(blake2s_keyed(prk.bytes(), b"initiator-tx")),
            Key::from(blake2s_keyed(prk.bytes(), b"initiator-rx")),
        )
    }

    /// The schedule between nodes that agreed on the extension: from the chaining key, so that both
    /// Diffie-Hellman results count and past traffic stays secret.
    pub fn forward_secret(outcome: &Outcome, role: Role) -> Self {
        let (forth, back) = outcome.split();
        Self::from_pair(
            outcome,
            role,
            Key::from(blake2s_keyed(forth.bytes(), b"meshring-v1 initiator-tx")),
            Key::from(blake2s_keyed(back.bytes(), b"meshring-v1 initiator-rx")),
        )
    }

    fn from_pair(outcome: &Outcome, role: Role, forth: Key, back: Key) -> Self {
        let session_id = first_u64(outcome.hash());
        match role {
            Role::Initiator => Self {
                session_id,
                send: forth,
                receive: back,
            },
            Role::Responder => Self {
                session_id,
                send: back,
                receive: forth,
            },
        }
    }
}
