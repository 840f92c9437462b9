//! The symmetric state of Noise: chaining key, transcript hash, and the cipher key of the moment.

use super::NoiseError;
use crate::crypto::{blake2s, hmac_blake2s, Aead, Cipher, Key, TAG_LEN};

/// Chaining key `ck`, transcript hash `h`, key `k` with its counter `n`.
#[derive(Clone)]
pub(super) struct Symmetric {
    pub ck: Key,
    pub h: [u8; 32],
    k: Option<Key>,
    n: u64,
}

impl Symmetric {
    /// `h = ck = HASH(name)`: a name longer than the hash is hashed.
    pub fn new(name: &[u8]) -> Self {
        let h = if name.len() <= 32 {
            let mut padded = [0; 32];
            padded[..name.len()].copy_from_slice(name);
            padded
        } else {
            blake2s(&[name])
        };
        Self {
            ck: Key::from(h),
            h,
            k: None,
            n: 0,
        }
    }

    pub fn mix_hash(&mut self, data: &[u8]) {
        self.h = blake2s(&[&self.h, data]);
    }

    pub fn mix_key(&mut self, input: &[u8]) {
        let (ck, k, _) = hkdf(&self.ck, input);
        self.ck = ck;
        self.k = Some(k);
        self.n = 0;
    }

    pub fn mix_key_and_hash(&mut self, input: &[u8]) {
        let (ck, temp, k) = hkdf(&self.ck, input);
        self.ck = ck;
        self.mix_hash(temp.bytes());
        self.k = Some(k);
        self.n = 0;
    }

    /// Appends the sealed payload to `out` and mixes it into the transcript.
    pub fn encrypt(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(payload);
        if let Some(k) = &self.k {
            let tag = Cipher::new(k).seal(&nonce(self.n), &self.h, &mut out[start..]);
            out.extend_from_slice(&tag);
            self.n += 1;
        }
        self.h = blake2s(&[&self.h, &out[start..]]);
    }

    /// Opens a sealed payload. The state is changed on success only.
    pub fn decrypt(&mut self, sealed: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let mut data = sealed.to_vec();
        if let Some(k) = &self.k {
            Cipher::new(k)
                .open(&nonce(self.n), &self.h, &mut data)
                .map_err(|_| NoiseError::Decrypt)?;
            data.truncate(sealed.len() - TAG_LEN);
            self.n += 1;
        }
        self.mix_hash(sealed);
        Ok(data)
    }

    /// The two transport keys of Noise: initiator to responder, responder to initiator.
    pub fn split(&self) -> (Key, Key) {
        let (one, two, _) = hkdf(&self.ck, &[]);
        (one, two)
    }

    #[cfg(test)]
    pub fn k(&self) -> Option<&[u8; 32]> {
        self.k.as_ref().map(Key::bytes)
    }
}

impl Drop for Symmetric {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.h.zeroize();
    }
}

fn nonce(n: u64) -> [u8; 12] {
    let mut out = [0; 12];
    out[4..].copy_from_slice(&n.to_le_bytes());
    out
}

/// HKDF with three outputs; callers that need two leave the third.
fn hkdf(ck: &Key, input: &[u8]) -> (Key, Key, Key) {
    let temp = Key::from(hmac_blake2s(ck.bytes(), &[input]));
    let one = Key::from(hmac_blake2s(temp.bytes(), &[&[1]]));
    let two = Key::from(hmac_blake2s(temp.bytes(), &[one.bytes(), &[2]]));
    let three = Key::from(hmac_blake2s(temp.bytes(), &[two.bytes(), &[3]]));
    (one, two, three)
}
