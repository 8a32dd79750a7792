//! The file in which the console remembers what was looked at, by daemon.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::data::SavedSession;

/// The memory of one daemon's console.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    daemon: String,
}

impl Store {
    /// Where it is, and of which daemon.
    pub fn new(path: &Path, daemon: &str) -> Self {
        Self { path: path.to_owned(), daemon: daemon.to_owned() }
    }

    /// What was remembered. What cannot be read is as good as nothing: it is no more than a convenience.
    pub fn read(&self) -> Option<SavedSession> {
        self.all().remove(&self.daemon)
    }

    fn all(&self) -> BTreeMap<String, SavedSession> {
        let text = fs::read(&self.path).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Remembers this; what is remembered of other daemons stays.
    pub fn write(&self, session: SavedSession) -> io::Result<()> {
        let mut all = self.all();
        all.insert(self.daemon.clone(), session);
        let directory = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory)?;
        // Made beside it and put in its place, readable by its owner only: a filter may name a person.
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        serde_json::to_writer_pretty(&mut file, &all)?;
        file.persist(&self.path)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn each_daemon_has_a_memory_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/console.json");
        let (one, two) = (Store::new(&path, "unix:/1"), Store::new(&path, "unix:/2"));
        assert_eq!(one.read(), None);
        let session = |screen| SavedSession { screen, ..SavedSession::default() };
        one.write(session(2)).unwrap();
        two.write(session(5)).unwrap();
        one.write(session(3)).unwrap();
        assert_eq!((one.read(), two.read()), (Some(session(3)), Some(session(5))));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "half a fi").unwrap();
        assert_eq!(one.read(), None);
        one.write(session(1)).unwrap();
        assert_eq!(one.read(), Some(session(1)));
    }
}
