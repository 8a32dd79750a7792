//! Secrets at rest: XChaCha20-Poly1305 under the master key, each bound to the company, table, row and column it stands
//! in.
//!
//! A sealed value is a format byte, the first four bytes of its key's fingerprint, the nonce, and the text. All but the
//! text is bound with it, so a value opens in its place under its key, or not at all.

use std::{fmt, sync::Arc};

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Generate, Payload},
};
use sha2::{Digest, Sha256};

use super::master_key::KeyRing;

const FORMAT: u8 = 1;
const KEY_ID: usize = 4;
const NONCE: usize = 24;

/// A sealed value that does not open: another row's, another key's, or damaged.
#[derive(Debug, thiserror::Error)]
#[error("a sealed value does not open: it belongs to another row or was sealed with another master key")]
pub struct SealError;

/// Where a sealed value stands: it opens nowhere else.
#[derive(Clone, Debug)]
pub struct AdditionalData {
    pub company: i64,
    pub table: &'static str,
    /// Whatever tells the row from others of its company.
    pub row: String,
    pub column: &'static str,
}

impl fmt::Display for AdditionalData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.table, self.company, self.row, self.column)
    }
}

/// Seals under one master key, and opens under every one of its ring. Clones share the keys.
#[derive(Clone)]
pub struct Sealer(Arc<Ring>);

struct Ring {
    keys: Vec<RingKey>,
    /// Which of them seals.
    sealing: usize,
}

struct RingKey {
    cipher: XChaCha20Poly1305,
    fingerprint: [u8; 32],
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// Seals with the newest key of a ring.
    #[must_use]
    pub fn new(ring: &KeyRing) -> Self {
        let keys = ring.keys().map(|key| {
            let mut hash = Sha256::new();
            hash.update(b"leadline master key fingerprint\0");
            hash.update(key);
            RingKey { cipher: XChaCha20Poly1305::new(key.into()), fingerprint: hash.finalize().into() }
        });
        Self(Arc::new(Ring { keys: keys.collect(), sealing: 0 }))
    }

    /// The same keys, of which the one with this fingerprint seals; none if it is not among them.
    #[must_use]
    pub fn sealing_with(ring: &KeyRing, fingerprint: &[u8]) -> Option<Self> {
        let keys = Arc::into_inner(Self::new(ring).0)?.keys;
        let sealing = keys.iter().position(|key| key.fingerprint == fingerprint)?;
        Some(Self(Arc::new(Ring { keys, sealing })))
    }

    fn key(&self) -> &RingKey {
        &self.0.keys[self.0.sealing]
    }

    /// Tells the master key that seals from another one, without telling the key.
    #[must_use]
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.key().fingerprint
    }

    /// Seals a value for its place.
    #[must_use]
    pub fn seal(&self, place: &AdditionalData, plain: &[u8]) -> Vec<u8> {
        let key = self.key();
        let nonce = XNonce::generate();
        let mut sealed = vec![FORMAT];
        sealed.extend_from_slice(&key.fingerprint[..KEY_ID]);
        let bound = bound(&sealed, place);
        sealed.extend_from_slice(&nonce);
        // Encryption into memory fails only for messages of more than 256 GiB.
        if let Ok(text) = key.cipher.encrypt(&nonce, Payload { msg: plain, aad: &bound }) {
            sealed.extend_from_slice(&text);
        }
        sealed
    }

    /// Opens what was sealed for this place.
    pub fn open(&self, place: &AdditionalData, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (head, rest) = sealed.split_at_checked(1 + KEY_ID).ok_or(SealError)?;
        let (nonce, text) = rest.split_at_checked(NONCE).ok_or(SealError)?;
        let nonce = XNonce::try_from(nonce).map_err(|_| SealError)?;
        if head[0] != FORMAT {
            return Err(SealError);
        }
        let key = self.0.keys.iter().find(|key| key.fingerprint.starts_with(&head[1..])).ok_or(SealError)?;
        let payload = Payload { msg: text, aad: &bound(head, place) };
        key.cipher.decrypt(&nonce, payload).map_err(|_| SealError)
    }
}

/// What a value is bound to: how it is sealed, and where it stands.
fn bound(head: &[u8], place: &AdditionalData) -> Vec<u8> {
    [head, place.to_string().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(keys: &[u8]) -> KeyRing {
        KeyRing::of(keys.iter().map(|byte| [*byte; 32].into()).collect()).unwrap()
    }

    fn place(company: i64, row: &str) -> AdditionalData {
        AdditionalData { company, table: "integration", row: row.to_owned(), column: "config" }
    }

    #[test]
    fn a_value_opens_only_in_its_place_under_its_key() {
        let sealer = Sealer::new(&ring(&[7]));
        let sealed = sealer.seal(&place(1, "1"), b"secret");
        assert_eq!(sealer.open(&place(1, "1"), &sealed).unwrap(), b"secret");
        assert!(sealer.open(&place(1, "2"), &sealed).is_err(), "another row");
        assert!(sealer.open(&place(2, "1"), &sealed).is_err(), "another company");
        assert!(sealer.open(&AdditionalData { column: "credentials", ..place(1, "1") }, &sealed).is_err());
        assert!(Sealer::new(&ring(&[8])).open(&place(1, "1"), &sealed).is_err(), "another key");
        for byte in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[byte] ^= 1;
            assert!(sealer.open(&place(1, "1"), &damaged).is_err(), "byte {byte}");
            assert!(sealer.open(&place(1, "1"), &sealed[..byte]).is_err(), "{byte} bytes");
        }
        assert_ne!(sealer.fingerprint(), Sealer::new(&ring(&[8])).fingerprint());
    }

    #[test]
    fn a_ring_opens_what_its_older_keys_sealed() {
        let old = Sealer::new(&ring(&[7]));
        let sealed = old.seal(&place(1, "1"), b"secret");
        let both = Sealer::new(&ring(&[8, 7]));
        assert_eq!(both.open(&place(1, "1"), &sealed).unwrap(), b"secret");
        assert_ne!(both.fingerprint(), old.fingerprint());
        let still_old = Sealer::sealing_with(&ring(&[8, 7]), old.fingerprint()).unwrap();
        assert_eq!(still_old.fingerprint(), old.fingerprint());
        assert!(Sealer::sealing_with(&ring(&[8]), old.fingerprint()).is_none());
        let new = both.seal(&place(1, "1"), b"secret");
        assert!(old.open(&place(1, "1"), &new).is_err());
    }
}
