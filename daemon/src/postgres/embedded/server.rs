//! Finds PostgreSQL's own programs on this machine.

use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    EmbeddedError,
    account::{Account, plain_command},
};
use crate::user;

/// The oldest version that the schema is made for.
pub(super) const OLDEST: u32 = 15;

/// What makes a folder one of a server.
const PROGRAMS: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

/// The folders that hold `bin` folders of servers, one level down: Debian, Homebrew on its three homes, Postgres.app.
const HOMES: [&str; 5] = [
    "/usr/lib/postgresql",
    "/opt/homebrew/opt",
    "/usr/local/opt",
    "/home/linuxbrew/.linuxbrew/opt",
    "/Applications/Postgres.app/Contents/Versions",
];

/// The programs of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) major: u32,
    bin: PathBuf,
}

impl Server {
    /// The newest there is, or the newest of `major` if a cluster needs that one. As root only what nobody else can
    /// change is taken, unless it was named.
    pub(super) fn find(major: Option<u32>, account: &Account) -> Result<Self, EmbeddedError> {
        let named = env::var_os("LEADLINE_PG_BIN").filter(|bin| !bin.is_empty());
        Self::find_in(named.map(PathBuf::from), places(), major, account)
    }

    fn find_in(
        named: Option<PathBuf>,
        places: Vec<PathBuf>,
        major: Option<u32>,
        account: &Account,
    ) -> Result<Self, EmbeddedError> {
        // A folder that was named is the only one that counts: falling back would hide the mistake.
        if let Some(bin) = named {
            let server = Self::at(&bin, account).ok_or_else(|| EmbeddedError::NamedServer(bin))?;
            return choose(vec![server], major);
        }
        let (mut found, mut untrusted) = (Vec::new(), None);
        for bin in places {
            match Self::programs(&bin) {
                Some(bin) if account.is_lesser() && !is_roots(&bin) => untrusted = Some(bin),
                Some(bin) => found.extend(Self::probe(bin, account)),
                None => {}
            }
        }
        match (choose(found, major), untrusted) {
            (Err(EmbeddedError::NoServer), Some(bin)) => Err(EmbeddedError::UntrustedServer(bin)),
            (chosen, _) => chosen,
        }
    }

    /// Where its programs are.
    pub(super) fn folder(&self) -> &Path {
        &self.bin
    }

    /// One of its programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// One of its clients' programs, to be run as ourselves; as root only if nobody else can change it.
    pub(super) fn client(&self, name: &'static str) -> Result<Command, EmbeddedError> {
        let program = self.program(name);
        if !program.is_file() {
            return Err(EmbeddedError::NoClient { name, folder: self.bin.clone() });
        }
        if user::is_root() && !is_only_roots(&program) {
            return Err(EmbeddedError::UntrustedServer(self.bin.clone()));
        }
        Ok(plain_command(&program))
    }

    /// The server in this folder, if there is one whole.
    fn at(bin: &Path, account: &Account) -> Option<Self> {
        Self::probe(Self::programs(bin)?, account)
    }

    /// The folder where a server's programs really are, if this one has them: they may be links to another, and there its
    /// clients' programs stand beside them.
    fn programs(bin: &Path) -> Option<PathBuf> {
        let bin = bin.canonicalize().ok()?;
        let is_whole = |bin: &Path| PROGRAMS.iter().all(|program| bin.join(program).is_file());
        let postgres = bin.join("postgres").canonicalize().ok();
        let real = postgres.as_deref().and_then(Path::parent).filter(|real| is_whole(real));
        real.map(Path::to_owned).or_else(|| is_whole(&bin).then_some(bin))
    }

    /// Asks a server for its version, as the account that would run it.
    fn probe(bin: PathBuf, account: &Account) -> Option<Self> {
        let version = account.command(&bin.join("postgres")).arg("--version").output().ok()?;
        let major = major_of(&String::from_utf8_lossy(&version.stdout))?;
        Some(Self { major, bin })
    }
}

/// Whether only root can change the programs in this folder.
fn is_roots(bin: &Path) -> bool {
    PROGRAMS.iter().all(|program| is_only_roots(&bin.join(program)))
}

/// Whether only root can change a file, or put another one in its place.
fn is_only_roots(path: &Path) -> bool {
    let is_roots =
        |path: &Path| fs::symlink_metadata(path).is_ok_and(|it| it.uid() == 0 && it.mode() & 0o022 == 0);
    path.canonicalize().is_ok_and(|path| path.ancestors().all(is_roots))
}

/// Where servers may be, the user's own choice first.
fn places() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<_> = env::split_paths(&path).filter(|place| place.is_absolute()).collect();
    for home in HOMES {
        places.extend(children(home.as_ref()).map(|child| child.join("bin")));
    }
    // Fedora's own packages are in PATH; those of the PostgreSQL project are not.
    let packaged = |path: &PathBuf| {
        path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with("pgsql-"))
    };
    places.extend(children("/usr".as_ref()).filter(packaged).map(|child| child.join("bin")));
    places
}

/// What is in a folder; nothing if it cannot be read, because it is only one of many places.
fn children(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)` is 15.
fn major_of(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL) ")?.1;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The newest that fits; the earlier place wins among equals.
fn choose(found: Vec<Server>, major: Option<u32>) -> Result<Server, EmbeddedError> {
    let newest = found.iter().map(|server| server.major).max();
    let fits = |server: &Server| major.map_or(server.major >= OLDEST, |major| server.major == major);
    match (found.into_iter().filter(fits).rev().max_by_key(|server| server.major), major, newest) {
        (Some(server), ..) => Ok(server),
        (None, Some(major), Some(newest)) => Err(EmbeddedError::OtherMajor { major, newest }),
        (None, None, Some(newest)) => Err(EmbeddedError::TooOld { newest }),
        (None, _, None) => Err(EmbeddedError::NoServer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(major: u32, bin: &str) -> Server {
        Server { major, bin: bin.into() }
    }

    #[test]
    fn versions_are_read_as_every_distribution_prints_them() {
        for (text, major) in [
            ("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n", Some(15)),
            ("postgres (PostgreSQL) 18beta1\n", Some(18)),
            ("postgres (PostgreSQL) 16.3 (Homebrew)\n", Some(16)),
            ("something else 3\n", None),
            ("", None),
        ] {
            assert_eq!(major_of(text), major, "{text}");
        }
    }

    #[test]
    fn only_root_can_change_what_runs_for_root() {
        let temp = tempfile::tempdir().unwrap();
        let bin = temp.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for program in PROGRAMS {
            fs::write(bin.join(program), "").unwrap();
        }
        // The folder for temporary files is everybody's.
        assert!(!is_roots(&bin));
        assert_eq!(Server::programs(&bin), Some(bin.canonicalize().unwrap()));
        // Links lead to where the programs are.
        let links = temp.path().join("links");
        fs::create_dir(&links).unwrap();
        for program in PROGRAMS {
            std::os::unix::fs::symlink(bin.join(program), links.join(program)).unwrap();
        }
        assert_eq!(Server::programs(&links), Some(bin.canonicalize().unwrap()));
        fs::remove_file(bin.join("initdb")).unwrap();
        assert_eq!(Server::programs(&bin), None);
    }

    /// A folder of somebody else's, whose `postgres` says that it is the newest of all and writes down as whom it ran.
    fn theirs(root: &Path) -> PathBuf {
        use std::os::unix::fs::{PermissionsExt as _, chown};

        let bin = root.join("bin");
        fs::create_dir(&bin).unwrap();
        let script =
            format!("#!/bin/sh\nid -u >>{}/ran\necho 'postgres (PostgreSQL) 99.1'\n", root.display());
        fs::write(root.join("script"), script).unwrap();
        for program in PROGRAMS {
            // By a program of its own, so that no child of another test holds what is to be run open for writing.
            let copied = Command::new("cp").arg(root.join("script")).arg(bin.join(program)).status();
            assert!(copied.unwrap().success());
            fs::set_permissions(bin.join(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::set_permissions(root, fs::Permissions::from_mode(0o777)).unwrap();
        chown(&bin, Some(65_534), Some(65_534)).unwrap();
        bin
    }

    #[test]
    fn what_others_may_change_is_not_run_and_never_as_root() {
        if !user::is_root() {
            assert!(env::var_os("LEADLINE_ROOT_REQUIRED").is_none(), "this is to be run as root");
            println!("left out: only root could run what it should not");
            return;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("scripts/pg-bin");
        let real = String::from_utf8(Command::new(script).output().unwrap().stdout).unwrap();
        let real = Server::programs(real.trim().as_ref()).unwrap();
        assert!(is_roots(&real), "{}", real.display());

        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        let (bin, ran) = (theirs(&root), root.join("ran"));
        let account = Account::find(&root, None).unwrap();
        let refused = Server::find_in(None, vec![bin.clone()], None, &account).unwrap_err();
        assert!(matches!(refused, EmbeddedError::UntrustedServer(ref folder) if *folder == bin), "{refused}");
        let found = Server::find_in(None, vec![bin.clone(), real.clone()], None, &account).unwrap();
        assert_eq!(found.bin, real, "first on the path, and newer, is not enough");
        assert!(!ran.exists(), "it was run");
        // Who names it means it, and is asked for no more than the account's rights.
        let found = Server::find_in(Some(bin.clone()), Vec::new(), None, &account).unwrap();
        assert_eq!((found.major, found.bin), (99, bin));
        let ran = fs::read_to_string(ran).unwrap();
        assert!(!ran.is_empty() && ran.lines().all(|uid| uid != "0"), "it ran as {ran}");
    }

    #[test]
    fn the_newest_is_chosen_unless_a_cluster_needs_another() {
        let found = || vec![server(16, "a"), server(15, "b"), server(16, "c"), server(11, "d")];
        assert_eq!(choose(found(), None).unwrap(), server(16, "a"));
        assert_eq!(choose(found(), Some(15)).unwrap(), server(15, "b"));
        for (found, major, expected) in [
            (found(), Some(14), "needs PostgreSQL 14, and the newest here is 16"),
            (vec![server(11, "d")], None, "PostgreSQL 11 is too old"),
            (vec![], None, "no PostgreSQL server programs were found"),
            (vec![], Some(15), "no PostgreSQL server programs were found"),
        ] {
            let error = choose(found, major).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(error.contains("--database-url"), "{error}");
        }
    }
}
