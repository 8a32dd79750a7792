//! The master key: the one secret outside the database, under which the others are sealed.

use std::{
    env, fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::KEY_ID;
use crate::user;

/// The key itself; forgotten when dropped.
pub type MasterKey = Zeroizing<[u8; 32]>;

/// Tells a master key from others without telling the key: SHA-256 over a label and the key.
pub type Fingerprint = [u8; 32];

/// Where systemd puts the credentials of a unit.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// While secrets are sealed anew, the old key is needed too; more are never.
const KEYS_MAX: usize = 2;

/// The keys of a master key file, the newest first. There is more than one only while secrets are sealed anew.
pub struct KeyRing(Vec<MasterKey>);

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing")
    }
}

impl KeyRing {
    /// A ring of these keys; none without a key.
    #[must_use]
    pub fn of(keys: Vec<MasterKey>) -> Option<Self> {
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// The keys, the newest first.
    pub(super) fn keys(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.0.iter().map(|key| &**key)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The newest key's fingerprint.
    #[must_use]
    pub fn newest_fingerprint(&self) -> Fingerprint {
        self.0.first().map(|key| fingerprint(key)).unwrap_or_default()
    }

    /// Whether a key is among them.
    #[must_use]
    pub fn holds(&self, other: &[u8]) -> bool {
        self.keys().any(|key| fingerprint(key) == other)
    }

    /// The ring with a new key before the others. Its id, which sealed values carry, is none of theirs.
    #[must_use]
    pub fn with_new(mut self) -> Self {
        let id = |key: &[u8; 32]| fingerprint(key).first_chunk::<KEY_ID>().copied();
        let mut new = generate();
        while self.keys().any(|key| id(key) == id(&new)) {
            new = generate();
        }
        self.0.insert(0, new);
        self
    }

    /// Only the key of this fingerprint; none if it is not among them.
    #[must_use]
    pub fn only(self, wanted: &[u8]) -> Option<Self> {
        Self::of(self.0.into_iter().filter(|key| fingerprint(key) == wanted).take(1).collect())
    }
}

/// Tells a key from others.
pub(super) fn fingerprint(key: &[u8; 32]) -> Fingerprint {
    let mut hash = Sha256::new();
    hash.update(b"leadline master key fingerprint\0");
    hash.update(key);
    hash.finalize().into()
}

fn generate() -> MasterKey {
    let mut key = MasterKey::default();
    rand::fill(key.as_mut_slice());
    key
}

/// Why a master key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    #[error("cannot read the master key {}: let the daemon's user read it", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    #[error("cannot make the master key {}: let the daemon's user write there, or choose --master-key", .0.display())]
    Unwritable(PathBuf, #[source] io::Error),
    #[error("cannot write the master key {}: run this as its owner, who may write into its directory", .0.display())]
    Unreplaceable(PathBuf, #[source] io::Error),
    #[error("others may read the master key {path}: chmod 600 {path}", path = .0.display())]
    Open(PathBuf),
    #[error(
        "the master key {path} belongs to {owner}, who could replace it: chown {user} {path}", path = .path.display()
    )]
    Foreign { path: PathBuf, owner: String, user: String },
    #[error("{} is no master key, which is 64 hexadecimal digits: copy it again from where it was made", .0.display())]
    Malformed(PathBuf),
}

/// Reads a master key file, which may be a systemd credential; none if there is none.
pub fn load(path: &Path) -> Result<Option<KeyRing>, MasterKeyError> {
    load_beside(path, env::var_os(CREDENTIALS).as_deref().map(Path::new))
}

fn load_beside(path: &Path, credentials: Option<&Path>) -> Result<Option<KeyRing>, MasterKeyError> {
    let read = || -> io::Result<(fs::Metadata, Zeroizing<Vec<u8>>)> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let mut text = Zeroizing::new(Vec::with_capacity(256));
        // A little more than is right, so that a longer file is seen to be longer.
        file.take(255).read_to_end(&mut text)?;
        Ok((metadata, text))
    };
    let (metadata, text) = match read() {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(MasterKeyError::Unreadable(path.to_owned(), error)),
    };
    // A credential is read by way of an access list, whose mask shows as what its group, root's, may do.
    let is_credential = credentials.is_some() && path.parent() == credentials;
    let others = if is_credential { 0o037 } else { 0o077 };
    if metadata.permissions().mode() & others != 0 {
        return Err(MasterKeyError::Open(path.to_owned()));
    }
    check_owner(path, metadata.uid(), user::own_uid())?;
    let keys = text.trim_ascii_end().split(|byte| *byte == b'\n').map(|line| {
        let mut key = MasterKey::default();
        hex::decode_to_slice(line.trim_ascii_end(), key.as_mut_slice()).map(|()| key)
    });
    match keys.collect::<Result<Vec<_>, _>>() {
        Ok(keys) if keys.len() <= KEYS_MAX => Ok(KeyRing::of(keys)),
        _ => Err(MasterKeyError::Malformed(path.to_owned())),
    }
}

/// Root's files are as good as our own.
fn check_owner(path: &Path, owner: u32, us: u32) -> Result<(), MasterKeyError> {
    if owner == us || owner == 0 {
        return Ok(());
    }
    let (owner, user) = (user::name(owner), user::name(us));
    Err(MasterKeyError::Foreign { path: path.to_owned(), owner, user })
}

/// Makes a master key. It is on the disk, whole, before anything is sealed with it.
pub fn create(path: &Path) -> Result<KeyRing, MasterKeyError> {
    let ring = KeyRing(vec![generate()]);
    // Unlike a rename, a link never takes the place of a key that is there.
    match write(path, &ring, |unfinished| fs::hard_link(unfinished, path)) {
        Ok(()) => Ok(ring),
        Err(error) => Err(MasterKeyError::Unwritable(path.to_owned(), error)),
    }
}

/// Writes a ring in the place of the one that is there. A crash leaves the one or the other.
pub fn replace(path: &Path, ring: &KeyRing) -> Result<(), MasterKeyError> {
    let written = write(path, ring, |unfinished| fs::rename(unfinished, path));
    written.map_err(|error| MasterKeyError::Unreplaceable(path.to_owned(), error))
}

fn write(path: &Path, ring: &KeyRing, publish: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let unfinished = path.with_added_extension("new");
    if unfinished.exists() {
        fs::remove_file(&unfinished)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    for key in ring.keys() {
        let text = Zeroizing::new(hex::encode(key));
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
    }
    file.sync_all()?;
    let published = publish(&unfinished);
    if unfinished.exists() {
        fs::remove_file(&unfinished)?;
    }
    published?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_same(one: &KeyRing, other: &KeyRing) -> bool {
        one.0 == other.0
    }

    #[test]
    fn a_ring_is_replaced_whole() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("master.key");
        let both = create(&path).unwrap().with_new();
        replace(&path, &both).unwrap();
        assert!(is_same(&load(&path).unwrap().unwrap(), &both));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let other = load(&path).unwrap().unwrap().only(&fingerprint(&both.0[1])).unwrap();
        assert!(other.0 == both.0[1..] && !other.holds(&both.newest_fingerprint()));
        assert!(other.only(&both.newest_fingerprint()).is_none());
        let newest = load(&path).unwrap().unwrap().only(&both.newest_fingerprint()).unwrap();
        replace(&path, &newest).unwrap();
        assert_eq!(load(&path).unwrap().unwrap().count(), 1);
        assert_eq!(both.0[0], newest.0[0]);
        replace(&path, &both.with_new()).unwrap();
        assert!(load(&path).is_err(), "three keys are never right");
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
        let nowhere = temp.path().join("none/master.key");
        assert_eq!(
            replace(&nowhere, &newest).unwrap_err().to_string(),
            format!(
                "cannot write the master key {}: run this as its owner, who may write into its directory",
                nowhere.display()
            )
        );
    }

    #[test]
    fn a_key_is_made_once_and_is_only_its_owners() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("master.key");
        assert!(load(&path).unwrap().is_none());
        fs::write(temp.path().join("master.key.new"), "left by a crash").unwrap();
        let key = create(&path).unwrap();
        assert!(is_same(&load(&path).unwrap().unwrap(), &key));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            create(&path).unwrap_err().to_string(),
            format!(
                "cannot make the master key {}: let the daemon's user write there, or choose --master-key",
                path.display()
            )
        );
        assert!(is_same(&load(&path).unwrap().unwrap(), &key));
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_is_its_users_or_roots() {
        let path = Path::new("/data/master.key");
        for (owner, us) in [(0, 0), (7, 7), (0, 7)] {
            check_owner(path, owner, us).unwrap();
        }
        let refused = check_owner(path, 4_000_000_000, 0).unwrap_err().to_string();
        let expected = "the master key /data/master.key belongs to 4000000000, who could replace it: chown root \
                        /data/master.key";
        assert_eq!(refused, expected);
    }

    #[test]
    fn a_credential_of_systemd_is_a_key() {
        let [temp, elsewhere] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let path = temp.path().join("master.key");
        fs::write(&path, "ab".repeat(32)).unwrap();
        let shown = path.display();
        let open = format!("others may read the master key {shown}: chmod 600 {shown}");
        for (mode, credentials, is_good) in [
            (0o440, Some(temp.path()), true),
            (0o400, None, true),
            (0o440, None, false),
            (0o440, Some(elsewhere.path()), false),
            (0o460, Some(temp.path()), false),
            (0o444, Some(temp.path()), false),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let loaded = load_beside(&path, credentials).map(|ring| ring.map(|ring| ring.count()));
            match loaded {
                Ok(count) => assert!(is_good && count == Some(1), "{mode:o} {credentials:?}"),
                Err(error) => assert!(!is_good && error.to_string() == open, "{mode:o}: {error}"),
            }
        }
    }

    #[test]
    fn what_is_no_safe_key_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("master.key");
        let good = "ab".repeat(32);
        let shown = path.display();
        let open = format!("others may read the master key {shown}: chmod 600 {shown}");
        let no_key = format!(
            "{shown} is no master key, which is 64 hexadecimal digits: copy it again from where it was made"
        );
        for (text, mode, expected) in [
            (good.clone(), 0o640, &open),
            (good.clone(), 0o604, &open),
            (String::new(), 0o600, &no_key),
            (good[1..].to_owned(), 0o600, &no_key),
            (format!("{good}ab"), 0o600, &no_key),
            (good.replace('a', "g"), 0o600, &no_key),
        ] {
            fs::write(&path, &text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = load(&path).unwrap_err().to_string();
            assert_eq!(error, *expected, "{text} {mode:o}");
        }
        let folder = temp.path().display();
        assert_eq!(
            load(temp.path()).unwrap_err().to_string(),
            format!("cannot read the master key {folder}: let the daemon's user read it")
        );
    }
}
