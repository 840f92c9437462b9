//! ChaCha20-Poly1305 (IETF nonce) behind one trait: `ring` natively, RustCrypto in WebAssembly.

use super::Key;

/// Bytes of the authentication tag.
pub const TAG_LEN: usize = 16;
/// Bytes of a nonce.
pub const NONCE_LEN: usize = 12;

/// The tag did not match: the bytes were changed, or sealed under another key, nonce or header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged;

/// One direction's packet cipher. Implementations hold the expanded key, so it is made once per session.
pub trait Aead: Sized {
    /// Takes the key in.
    fn new(key: &Key) -> Self;
    /// Encrypts `data` in place and returns its tag.
    fn seal(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> [u8; TAG_LEN];
    /// Decrypts `sealed` (ciphertext and tag) in place and returns the plaintext; on failure its content is unspecified.
    fn open<'a>(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], Forged>;
}

/// The implementation for this target.
#[cfg(not(target_arch = "wasm32"))]
pub type Cipher = Assembly;
/// The implementation for this target.
#[cfg(target_arch = "wasm32")]
pub type Cipher = Portable;

/// `ring`: assembly for x86-64 and AArch64. It does not erase its expanded key when dropped; the [`Key`] it was made from is erased.
#[cfg(not(target_arch = "wasm32"))]
pub struct Assembly(ring::aead::LessSafeKey);

#[cfg(not(target_arch = "wasm32"))]
impl Aead for Assembly {
    #[allow(clippy::expect_used)]
    fn new(key: &Key) -> Self {
        use ring::aead::{LessSafeKey, UnboundKey, CHACHA20_POLY1305};
        // The constructor can fail for a wrong length only, and `Key` has the right one.
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.bytes()).expect("a key of 32 bytes");
        Self(LessSafeKey::new(key))
    }

    #[allow(clippy::expect_used)]
    fn seal(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> [u8; TAG_LEN] {
        let nonce = ring::aead::Nonce::assume_unique_for_key(*nonce);
        // Fails above 256 GiB only; a packet has 8 KiB.
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, ring::aead::Aad::from(aad), data)
            .expect("a packet below the cipher's limit");
        let mut out = [0; TAG_LEN];
        out.copy_from_slice(tag.as_ref());
        out
    }

    fn open<'a>(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], Forged> {
        let nonce = ring::aead::Nonce::assume_unique_for_key(*nonce);
        self.0
            .open_in_place(nonce, ring::aead::Aad::from(aad), sealed)
            .map_err(|_| Forged)
    }
}

/// RustCrypto: portable, erases its key when dropped.
pub struct Portable(chacha20poly1305::ChaCha20Poly1305);

impl Aead for Portable {
    fn new(key: &Key) -> Self {
        use chacha20poly1305::KeyInit;
        Self(chacha20poly1305::ChaCha20Poly1305::new(key.bytes().into()))
    }

    #[allow(clippy::expect_used)]
    fn seal(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> [u8; TAG_LEN] {
        use chacha20poly1305::aead::AeadInOut;
        // Fails above 256 GiB only; a packet has 8 KiB.
        self.0
            .encrypt_inout_detached(nonce.into(), aad, data.into())
            .expect("a packet below the cipher's limit")
            .into()
    }

    fn open<'a>(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], Forged> {
        use chacha20poly1305::aead::AeadInOut;
        let length = sealed.len().checked_sub(TAG_LEN).ok_or(Forged)?;
        let (data, tag) = sealed.split_at_mut(length);
        let tag: [u8; TAG_LEN] = (&*tag).try_into().map_err(|_| Forged)?;
        self.0
            .decrypt_inout_detached(nonce.into(), aad, (&mut *data).into(), (&tag).into())
            .map_err(|_| Forged)?;
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_ciphers_agree(key: [u8; 32], nonce: [u8; 12], aad: Vec<u8>, data: Vec<u8>) {
            let key = Key::from(key);
            let (a, p) = (Assembly::new(&key), Portable::new(&key));
            let (mut one, mut two) = (data.clone(), data.clone());
            let tag = a.seal(&nonce, &aad, &mut one);
            prop_assert_eq!(tag, p.seal(&nonce, &aad, &mut two));
            prop_assert_eq!(&one, &two);
            one.extend_from_slice(&tag);
            two.extend_from_slice(&tag);
            prop_assert_eq!(&*a.open(&nonce, &aad, &mut one).unwrap(), &data[..]);
            prop_assert_eq!(&*p.open(&nonce, &aad, &mut two).unwrap(), &data[..]);
        }

        #[test]
        fn a_flipped_bit_is_refused(data in prop::collection::vec(any::<u8>(), 0..200), at: prop::sample::Index) {
            let key = Key::from([3; 32]);
            let (a, p) = (Assembly::new(&key), Portable::new(&key));
            let mut sealed = data.clone();
            let tag = a.seal(&[0; 12], b"", &mut sealed);
            sealed.extend_from_slice(&tag);
            let bit = at.index(sealed.len() * 8);
            sealed[bit / 8] ^= 1 << (bit % 8);
            let mut copy = sealed.clone();
            prop_assert_eq!(a.open(&[0; 12], b"", &mut copy), Err(Forged));
            prop_assert_eq!(p.open(&[0; 12], b"", &mut sealed), Err(Forged));
        }
    }

    #[test]
    fn shorter_than_a_tag_is_refused() {
        let key = Key::from([3; 32]);
        for length in 0..16 {
            assert_eq!(
                Assembly::new(&key).open(&[0; 12], b"", &mut vec![0; length]),
                Err(Forged)
            );
            assert_eq!(
                Portable::new(&key).open(&[0; 12], b"", &mut vec![0; length]),
                Err(Forged)
            );
        }
    }
}
