//! Secrets at rest: XChaCha20-Poly1305 under a master key, each bound to the company, table, row and column it stands
//! in.
//!
//! A sealed value is a format byte, the first four bytes of its key's fingerprint, the nonce, and the text. All but the
//! text is bound with it, so a value opens in its place under its key, or not at all.

use std::{
    fmt, mem,
    path::{self, Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Generate, Payload},
};

use super::master_key::{self, Fingerprint, KeyRing, MasterKeyError};

const FORMAT: u8 = 1;
/// How many bytes of a key's fingerprint stand behind the format.
pub const KEY_ID: usize = 4;
const NONCE: usize = 24;

/// A sealed value that does not open: another row's, another key's, or damaged.
#[derive(Debug, thiserror::Error)]
#[error("a sealed value does not open: it belongs to another row or was sealed with another master key")]
pub struct SealError;

/// A master key that the database asks for, and that the file of this daemon does not hold.
#[derive(Debug, thiserror::Error)]
pub enum MissingKey {
    /// Nothing is sealed with it yet.
    #[error(
        "{path} does not hold the next master key, and `leadlined master-key rotate` waits for this daemon: copy the \
         file that it writes to {path}; where that is a credential of systemd, copy it to what LoadCredential= names, \
         and restart this daemon", path = .file.display()
    )]
    Next {
        file: PathBuf,
        #[source]
        source: Option<MasterKeyError>,
    },
    #[error(
        "{path} does not hold every master key that secrets are sealed with: copy the file that `leadlined master-key \
         rotate` wrote to {path}; where that is a credential of systemd, copy it to what LoadCredential= names",
        path = .file.display()
    )]
    InUse {
        file: PathBuf,
        #[source]
        source: Option<MasterKeyError>,
    },
}

/// Which master keys a database asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeysInUse {
    /// Everything is sealed with it from now on.
    pub sealing: Fingerprint,
    /// It is to seal once every daemon can open with it.
    pub next: Option<Fingerprint>,
    /// It sealed before, and some values still wait to be sealed anew.
    pub previous: Option<Fingerprint>,
}

impl KeysInUse {
    /// The keys that a row of the database names; none if that is no fingerprint.
    #[must_use]
    pub fn of(sealing: &[u8], next: Option<&[u8]>, previous: Option<&[u8]>) -> Option<Self> {
        let read = |other: Option<&[u8]>| other.map(Fingerprint::try_from).transpose().ok();
        Some(Self { sealing: sealing.try_into().ok()?, next: read(next)?, previous: read(previous)? })
    }
}

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

/// Seals and opens with the master keys of a file. Clones share the keys, which are in memory once.
#[derive(Clone)]
pub struct Sealer(Arc<SharedRing>);

struct SharedRing {
    file: PathBuf,
    ring: RwLock<Ring>,
}

/// The keys, the newest first.
#[derive(Default)]
struct Ring {
    /// Each stays where it is in memory: what moves leaves a copy behind.
    keys: Vec<Arc<RingKey>>,
    /// Keys that nothing is sealed with are forgotten at the next look.
    is_retiring: bool,
}

struct RingKey {
    /// It overwrites its key when it is dropped.
    cipher: XChaCha20Poly1305,
    fingerprint: Fingerprint,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// Works with a ring that was read from a file, which is read again when another key is asked for.
    #[must_use]
    pub fn new(file: &Path, ring: &KeyRing) -> Self {
        let sealer = Self(Arc::new(SharedRing { file: file.to_owned(), ring: RwLock::default() }));
        sealer.add(ring);
        sealer
    }

    /// Where the keys are from: machine, if it says its name, and path.
    #[must_use]
    pub fn location(&self) -> String {
        let path = path::absolute(&self.0.file).unwrap_or_else(|_| self.0.file.clone());
        // The unit hides the file below `/proc` that has it.
        match &*rustix::system::uname().nodename().to_string_lossy() {
            "" => path.display().to_string(),
            machine => format!("{machine}:{}", path.display()),
        }
    }

    /// The keys that it opens with, the newest first.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        self.ring().keys.iter().map(|key| key.fingerprint).collect()
    }

    /// Seals a value for its place with one of the keys.
    pub fn seal(
        &self,
        key: &Fingerprint,
        place: &AdditionalData,
        plain: &[u8],
    ) -> Result<Vec<u8>, MissingKey> {
        let missing = |source| MissingKey::InUse { file: self.0.file.clone(), source };
        self.fetch(&[*key]).map_err(missing)?;
        let nonce = XNonce::generate();
        let mut sealed = vec![FORMAT];
        sealed.extend_from_slice(&key[..KEY_ID]);
        let bound = bound(&sealed, place);
        sealed.extend_from_slice(&nonce);
        let ring = self.ring();
        let key = ring.keys.iter().find(|held| held.fingerprint == *key);
        // Encryption into memory fails only for messages of more than 256 GiB.
        let text = key.and_then(|key| key.cipher.encrypt(&nonce, Payload { msg: plain, aad: &bound }).ok());
        sealed.extend(text.ok_or_else(|| missing(None))?);
        Ok(sealed)
    }

    /// Opens what was sealed for this place.
    pub fn open(&self, place: &AdditionalData, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (head, rest) = sealed.split_at_checked(1 + KEY_ID).ok_or(SealError)?;
        let (nonce, text) = rest.split_at_checked(NONCE).ok_or(SealError)?;
        let nonce = XNonce::try_from(nonce).map_err(|_| SealError)?;
        if head[0] != FORMAT {
            return Err(SealError);
        }
        let ring = self.ring();
        let key = ring.keys.iter().find(|key| key.fingerprint.starts_with(&head[1..])).ok_or(SealError)?;
        let payload = Payload { msg: text, aad: &bound(head, place) };
        key.cipher.decrypt(&nonce, payload).map_err(|_| SealError)
    }

    /// Follows the database to the keys that it asks for: reads the file again if one is missing, and forgets those that
    /// nothing is sealed with any more. True if there are others than before.
    pub fn follow(&self, keys: &KeysInUse) -> Result<bool, MissingKey> {
        let before = self.fingerprints();
        let file = || self.0.file.clone();
        let in_use = [keys.sealing, keys.previous.unwrap_or(keys.sealing)];
        self.fetch(&in_use).map_err(|source| MissingKey::InUse { file: file(), source })?;
        self.forget_unused(keys);
        if let Some(next) = keys.next {
            self.fetch(&[next]).map_err(|source| MissingKey::Next { file: file(), source })?;
        }
        Ok(self.fingerprints() != before)
    }

    fn holds(&self, key: &Fingerprint) -> bool {
        self.ring().keys.iter().any(|held| held.fingerprint == *key)
    }

    /// Reads the file again unless all of these keys are there. The error is why they still are not, if the file says so.
    fn fetch(&self, keys: &[Fingerprint]) -> Result<(), Option<MasterKeyError>> {
        if keys.iter().all(|key| self.holds(key)) {
            return Ok(());
        }
        if let Some(ring) = master_key::load(&self.0.file)? {
            self.add(&ring);
        }
        if keys.iter().all(|key| self.holds(key)) { Ok(()) } else { Err(None) }
    }

    /// Takes in the keys of a file, which are newer than all others.
    fn add(&self, from: &KeyRing) {
        let mut ring = self.ring_mut();
        let mut known = mem::take(&mut ring.keys);
        for key in from.keys() {
            let fingerprint = master_key::fingerprint(key);
            let held = known.iter().position(|held| held.fingerprint == fingerprint);
            ring.keys.push(held.map_or_else(
                || Arc::new(RingKey { cipher: XChaCha20Poly1305::new(key.into()), fingerprint }),
                |at| known.remove(at),
            ));
        }
        ring.keys.append(&mut known);
    }

    /// Forgets the keys that the database does not name, at the second look at which there are such and no rotation seals
    /// anew: whoever read a value just before it was sealed anew has opened it by then.
    fn forget_unused(&self, keys: &KeysInUse) {
        let is_used = |key: &Fingerprint| *key == keys.sealing || keys.next == Some(*key);
        let mut ring = self.ring_mut();
        let is_over = keys.previous.is_none() && ring.keys.iter().any(|key| !is_used(&key.fingerprint));
        if mem::replace(&mut ring.is_retiring, is_over) && is_over {
            ring.keys.retain(|key| is_used(&key.fingerprint));
        }
    }

    fn ring(&self) -> RwLockReadGuard<'_, Ring> {
        self.0.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring_mut(&self) -> RwLockWriteGuard<'_, Ring> {
        self.0.ring.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a value is bound to: how it is sealed, and where it stands.
fn bound(head: &[u8], place: &AdditionalData) -> Vec<u8> {
    [head, place.to_string().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn key(byte: u8) -> Fingerprint {
        master_key::fingerprint(&[byte; 32])
    }

    fn ring(keys: &[u8]) -> KeyRing {
        KeyRing::of(keys.iter().map(|byte| [*byte; 32].into()).collect()).unwrap()
    }

    fn sealer(keys: &[u8]) -> Sealer {
        Sealer::new(Path::new("/no/master.key"), &ring(keys))
    }

    fn place(company: i64, row: &str) -> AdditionalData {
        AdditionalData { company, table: "integration", row: row.to_owned(), column: "config" }
    }

    fn in_use(sealing: u8, next: Option<u8>, previous: Option<u8>) -> KeysInUse {
        KeysInUse { sealing: key(sealing), next: next.map(key), previous: previous.map(key) }
    }

    #[test]
    fn a_value_opens_only_in_its_place_under_its_key() {
        let opening = sealer(&[7]);
        let sealed = opening.seal(&key(7), &place(1, "1"), b"secret").unwrap();
        assert_eq!(opening.open(&place(1, "1"), &sealed).unwrap(), b"secret");
        assert!(opening.open(&place(1, "2"), &sealed).is_err(), "another row");
        assert!(opening.open(&place(2, "1"), &sealed).is_err(), "another company");
        assert!(opening.open(&AdditionalData { column: "credentials", ..place(1, "1") }, &sealed).is_err());
        assert!(opening.open(&AdditionalData { table: "intake_key", ..place(1, "1") }, &sealed).is_err());
        assert!(sealer(&[8]).open(&place(1, "1"), &sealed).is_err(), "another key");
        for byte in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[byte] ^= 1;
            assert!(opening.open(&place(1, "1"), &damaged).is_err(), "byte {byte}");
            assert!(opening.open(&place(1, "1"), &sealed[..byte]).is_err(), "{byte} bytes");
        }
    }

    #[test]
    fn a_ring_opens_what_each_of_its_keys_sealed_and_seals_with_no_other() {
        let both = sealer(&[8, 7]);
        for byte in [7, 8] {
            let sealed = sealer(&[byte]).seal(&key(byte), &place(1, "1"), b"secret").unwrap();
            assert_eq!(both.open(&place(1, "1"), &sealed).unwrap(), b"secret");
        }
        let new = both.seal(&key(8), &place(1, "1"), b"secret").unwrap();
        assert!(sealer(&[7]).open(&place(1, "1"), &new).is_err());
        let refused = both.seal(&key(9), &place(1, "1"), b"secret").unwrap_err().to_string();
        assert_eq!(
            refused,
            "/no/master.key does not hold every master key that secrets are sealed with: copy the file that `leadlined \
             master-key rotate` wrote to /no/master.key; where that is a credential of systemd, copy it to what \
             LoadCredential= names"
        );
    }

    #[test]
    fn every_clone_follows_a_rotation_from_its_begin_to_its_end() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("master.key");
        master_key::create(&file).unwrap();
        master_key::replace(&file, &ring(&[7])).unwrap();
        let sealer = Sealer::new(&file, &ring(&[7]));
        let clone = sealer.clone();
        let old = sealer.seal(&key(7), &place(1, "1"), b"secret").unwrap();
        assert!(!sealer.follow(&in_use(7, None, None)).unwrap());

        let missing = sealer.follow(&in_use(7, Some(8), None)).unwrap_err();
        assert!(matches!(missing, MissingKey::Next { source: None, .. }), "{missing}");
        master_key::replace(&file, &ring(&[8, 7])).unwrap();
        assert!(sealer.follow(&in_use(7, Some(8), None)).unwrap());
        assert!(!sealer.follow(&in_use(7, Some(8), None)).unwrap());
        assert_eq!(clone.fingerprints(), [key(8), key(7)]);

        assert!(!sealer.follow(&in_use(8, None, Some(7))).unwrap());
        master_key::replace(&file, &ring(&[8])).unwrap();
        assert!(!sealer.follow(&in_use(8, None, None)).unwrap(), "what was read a moment ago still opens");
        assert_eq!(clone.open(&place(1, "1"), &old).unwrap(), b"secret");
        assert!(sealer.follow(&in_use(8, None, None)).unwrap());
        assert_eq!(clone.fingerprints(), [key(8)]);
        assert!(clone.open(&place(1, "1"), &old).is_err());
    }

    #[test]
    fn where_the_keys_are_from_is_said_with_the_machines_name() {
        let machine = std::process::Command::new("uname").arg("-n").output().unwrap().stdout;
        let machine = String::from_utf8(machine).unwrap();
        assert_eq!(sealer(&[7]).location(), format!("{}:/no/master.key", machine.trim()));
    }

    #[test]
    fn what_is_forgotten_is_not_decided_by_the_order_in_the_file() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("master.key");
        master_key::create(&file).unwrap();
        for keys in [[7, 8], [8, 7]] {
            master_key::replace(&file, &ring(&keys)).unwrap();
            let sealer = Sealer::new(&file, &ring(&keys));
            let looks = [(); 2].map(|()| sealer.follow(&in_use(8, None, None)).unwrap());
            assert_eq!((looks, sealer.fingerprints()), ([false, true], vec![key(8)]), "{keys:?}");
            let sealer = Sealer::new(&file, &ring(&keys));
            let looks = [(); 3].map(|()| sealer.follow(&in_use(8, Some(7), None)).unwrap());
            assert_eq!((looks, sealer.fingerprints().len()), ([false; 3], 2), "{keys:?}");
        }
    }

    #[test]
    fn a_key_that_came_while_nobody_looked_is_fetched_to_seal_and_none_is_made_up() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("master.key");
        let sealer = Sealer::new(&file, &ring(&[7]));
        let missing = sealer.follow(&in_use(8, None, Some(7))).unwrap_err();
        assert!(matches!(missing, MissingKey::InUse { source: None, .. }), "{missing}");
        fs::write(&file, "no key").unwrap();
        let missing = sealer.follow(&in_use(8, None, Some(7))).unwrap_err();
        assert!(matches!(missing, MissingKey::InUse { source: Some(_), .. }), "{missing}");
        assert!(sealer.seal(&key(8), &place(1, "1"), b"secret").is_err());
        fs::remove_file(&file).unwrap();
        master_key::create(&file).unwrap();
        master_key::replace(&file, &ring(&[8, 7])).unwrap();
        let new = sealer.seal(&key(8), &place(1, "1"), b"secret").unwrap();
        assert_eq!(sealer.open(&place(1, "1"), &new).unwrap(), b"secret");
    }

    #[test]
    fn a_daemon_without_the_next_key_is_told_where_it_belongs() {
        let missing = MissingKey::Next { file: "/data/master.key".into(), source: None };
        assert_eq!(
            missing.to_string(),
            "/data/master.key does not hold the next master key, and `leadlined master-key rotate` waits for this \
             daemon: copy the file that it writes to /data/master.key; where that is a credential of systemd, copy it \
             to what LoadCredential= names, and restart this daemon"
        );
    }
}
