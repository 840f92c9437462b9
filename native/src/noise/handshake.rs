//! The two messages of the handshake, from either end. Ephemeral secrets are handed in.

use super::symmetric::Symmetric;
use super::{NoiseError, MESSAGE_LEN};
use crate::crypto::{x25519, x25519_public, Key};

const NKPSK0: &[u8] = b"Noise_NKpsk0_25519_ChaChaPoly_BLAKE2s";
const NK: &[u8] = b"Noise_NK_25519_ChaChaPoly_BLAKE2s";

/// What both ends hold after the second message.
pub struct Outcome {
    state: Symmetric,
}

impl Outcome {
    /// The transcript hash `h`.
    pub fn hash(&self) -> &[u8; 32] {
        &self.state.h
    }

    /// Noise Split: the keys initiator → responder and responder → initiator.
    pub fn split(&self) -> (Key, Key) {
        self.state.split()
    }
}

fn begin(psk: Option<&Key>, prologue: &[u8], responder: &[u8; 32]) -> Symmetric {
    let mut state = Symmetric::new(if psk.is_some() { NKPSK0 } else { NK });
    state.mix_hash(prologue);
    state.mix_hash(responder);
    if let Some(psk) = psk {
        state.mix_key_and_hash(psk.bytes());
    }
    state
}

/// The token `e`: in PSK mode the public key is mixed into the chaining key too.
fn mix_ephemeral(state: &mut Symmetric, public: &[u8; 32], psk: bool) {
    state.mix_hash(public);
    if psk {
        state.mix_key(public);
    }
}

/// Splits a message into the ephemeral key and the sealed payload.
fn parse(message: &[u8]) -> Result<([u8; 32], &[u8]), NoiseError> {
    if message.len() < MESSAGE_LEN {
        return Err(NoiseError::Short);
    }
    let (key, sealed) = message.split_at(32);
    Ok((key.try_into().map_err(|_| NoiseError::Short)?, sealed))
}

/// The end which speaks first: it has written message 1 and waits for message 2.
pub struct Initiator {
    state: Symmetric,
    ephemeral: Key,
    psk: bool,
}

impl Initiator {
    /// Appends message 1 to `out`. `responder` is the other end's static public key; `psk` is `None` for plain NK.
    pub fn start(
        psk: Option<&Key>,
        prologue: &[u8],
        responder: &[u8; 32],
        ephemeral: Key,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Self, NoiseError> {
        let mut state = begin(psk, prologue, responder);
        let public = x25519_public(&ephemeral);
        out.extend_from_slice(&public);
        mix_ephemeral(&mut state, &public, psk.is_some());
        state.mix_key(x25519(&ephemeral, responder).ok_or(NoiseError::WeakKey)?.bytes());
        state.encrypt(payload, out);
        Ok(Self {
            state,
            ephemeral,
            psk: psk.is_some(),
        })
    }

    /// Reads message 2. A message that fails changes nothing: the genuine one may still come.
    pub fn finish(&self, message: &[u8]) -> Result<(Outcome, Vec<u8>), NoiseError> {
        let (public, sealed) = parse(message)?;
        let mut state = self.state.clone();
        mix_ephemeral(&mut state, &public, self.psk);
        state.mix_key(
            x25519(&self.ephemeral, &public)
                .ok_or(NoiseError::WeakKey)?
                .bytes(),
        );
        let payload = state.decrypt(sealed)?;
        Ok((Outcome { state }, payload))
    }
}

/// The end which answers.
pub struct Responder<'a> {
    /// Key without which nothing is answered; `None` for plain NK.
    pub psk: Option<&'a Key>,
    /// What both ends agree on beforehand.
    pub prologue: &'a [u8],
    /// Own static secret.
    pub secret: &'a Key,
    /// Own static public key.
    pub public: &'a [u8; 32],
}

/// Message 1 was genuine; message 2 can be written.
pub struct Reply {
    state: Symmetric,
    initiator: [u8; 32],
    psk: bool,
}

impl Responder<'_> {
    /// Reads message 1 and returns its payload.
    pub fn read(&self, message: &[u8]) -> Result<(Reply, Vec<u8>), NoiseError> {
        let (public, sealed) = parse(message)?;
        let mut state = begin(self.psk, self.prologue, self.public);
        mix_ephemeral(&mut state, &public, self.psk.is_some());
        state.mix_key(x25519(self.secret, &public).ok_or(NoiseError::WeakKey)?.bytes());
        let payload = state.decrypt(sealed)?;
        Ok((
            Reply {
                state,
                initiator: public,
                psk: self.psk.is_some(),
            },
            payload,
        ))
    }
}

impl Reply {
    /// The initiator's ephemeral public key: the same one again is a replay.
    pub fn initiator_ephemeral(&self) -> &[u8; 32] {
        &self.initiator
    }

    /// Appends message 2 to `out`.
    pub fn write(mut self, ephemeral: Key, payload: &[u8], out: &mut Vec<u8>) -> Result<Outcome, NoiseError> {
        let public = x25519_public(&ephemeral);
        out.extend_from_slice(&public);
        mix_ephemeral(&mut self.state, &public, self.psk);
        self.state.mix_key(
            x25519(&ephemeral, &self.initiator)
                .ok_or(NoiseError::WeakKey)?
                .bytes(),
        );
        self.state.encrypt(payload, out);
        Ok(Outcome { state: self.state })
    }
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
