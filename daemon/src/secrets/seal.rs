//! Secrets at rest: XChaCha20-Poly1305 under the master key, each bound to the row and column it stands in.

use std::fmt;

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Generate, Payload},
};
use sha2::{Digest, Sha256};

/// A sealed value that does not open: another row's, another key's, or damaged.
#[derive(Debug, thiserror::Error)]
#[error("a sealed value does not open: it belongs to another row or was sealed with another master key")]
pub struct SealError;

/// Seals and opens under one master key.
#[derive(Clone)]
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    fingerprint: [u8; 32],
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// A sealer for this master key.
    #[must_use]
    pub fn new(master_key: &[u8; 32]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"leadline master key fingerprint\0");
        hash.update(master_key);
        Self { cipher: XChaCha20Poly1305::new(master_key.into()), fingerprint: hash.finalize().into() }
    }

    /// Tells one master key from another, without telling the key.
    #[must_use]
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// Seals a value for one place: `table/row/column`.
    #[must_use]
    pub fn seal(&self, place: &str, plain: &[u8]) -> Vec<u8> {
        let nonce = XNonce::generate();
        let payload = Payload { msg: plain, aad: place.as_bytes() };
        let mut sealed = nonce.to_vec();
        // Encryption into memory fails only for messages of more than 256 GiB.
        if let Ok(text) = self.cipher.encrypt(&nonce, payload) {
            sealed.extend_from_slice(&text);
        }
        sealed
    }

    /// Opens what was sealed for this place.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, text) = sealed.split_at_checked(24).ok_or(SealError)?;
        let nonce = XNonce::try_from(nonce).map_err(|_| SealError)?;
        self.cipher.decrypt(&nonce, Payload { msg: text, aad: place.as_bytes() }).map_err(|_| SealError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_only_in_its_place_under_its_key() {
        let sealer = Sealer::new(&[7; 32]);
        let sealed = sealer.seal("integration/1/config", b"secret");
        assert_eq!(sealer.open("integration/1/config", &sealed).unwrap(), b"secret");
        assert!(sealer.open("integration/2/config", &sealed).is_err());
        assert!(Sealer::new(&[8; 32]).open("integration/1/config", &sealed).is_err());
        assert!(sealer.open("integration/1/config", &sealed[..20]).is_err());
        assert_ne!(sealer.fingerprint(), Sealer::new(&[8; 32]).fingerprint());
    }
}
