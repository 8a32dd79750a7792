//! What a daemon's user must own before root becomes that user, and the one place that says how it comes to be so.

use std::{
    fs::{self, DirBuilder, Metadata, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use nix::unistd::{Gid, Group, getgrouplist};
use rustix::fs::OFlags;

use super::{NOBODY, OwnUserError};
use crate::{
    config::Config,
    postgres::data_dir::{DataDirError, is_in_use, open_there},
    user::{self, SystemUser},
};

/// What a daemon puts in its data directory and opens again, which is handed over. The rest it puts there anew, or is the
/// operator's.
const PARTS: [&str; 5] = ["daemon.lock", "control.sock", "master.key", "postgres", "server"];
/// What it opens below these.
const BELOW: [&str; 8] = [
    "postgres/data",
    "postgres/data/PG_VERSION",
    "server/lock",
    "server/pg_hba.conf",
    "server/pg_ident.conf",
    "server/postgresql.conf",
    "server/restoring",
    "server/server.log",
];

fn unusable(path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    |error| DataDirError::Unusable(path.to_owned(), error)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Where the data directory is, without links, and whose; none if it is not there. A link that leads nowhere is there.
pub(super) fn find(path: &Path) -> Result<Option<(PathBuf, u32)>, DataDirError> {
    let there = path.canonicalize().and_then(|real| fs::metadata(&real).map(|it| (real, it.uid())));
    match there {
        Err(error) if is_absent(&error) && fs::symlink_metadata(path).is_err() => Ok(None),
        there => there.map(Some).map_err(unusable(path)),
    }
}

/// Whether the data directory is this user's to use, or can be made so. What else stands in it is nobody's business.
pub(in crate::app) fn check(config: &Config, own: &SystemUser) -> Result<(), OwnUserError> {
    let Some((directory, owner)) = find(&config.data_dir)? else {
        let place = place_of(&config.data_dir, own)?;
        check_way(&place, own)?;
        return check_socket(config, &place, own);
    };
    if owner != own.uid {
        return Err(anothers(config, &directory, &directory, owner, own));
    }
    check_way(&directory, own)?;
    let inside = PARTS.iter().chain(&BELOW).map(|entry| directory.join(entry));
    for path in inside.chain(elsewhere(config)) {
        match fs::symlink_metadata(&path) {
            Ok(there) if there.uid() == own.uid => {}
            Ok(there) => return Err(anothers(config, &directory, &path, there.uid(), own)),
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(unusable(&path)(error).into()),
        }
    }
    check_socket(config, &directory, own)
}

/// What the daemon opens and the operator put elsewhere. A credential of systemd is whose systemd says.
fn elsewhere(config: &Config) -> impl Iterator<Item = PathBuf> {
    let is_elsewhere = |path: &&PathBuf| path.parent() != Some(&*config.data_dir);
    let is_credential = std::env::var_os("CREDENTIALS_DIRECTORY")
        .is_some_and(|credentials| config.master_key.parent() == Some(Path::new(&credentials)));
    let key = Some(&config.master_key).filter(|_| !is_credential);
    // What is no socket is refused when it is bound.
    let is_socket = |path: &&PathBuf| fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
    let socket = Some(&config.control).filter(is_socket);
    key.into_iter().chain(socket).filter(is_elsewhere).cloned()
}

/// Whether the user may go all the way to a directory, as far as that is there.
fn check_way(directory: &Path, own: &SystemUser) -> Result<(), OwnUserError> {
    let shut = directory
        .ancestors()
        .skip(1)
        .find(|place| fs::metadata(place).is_ok_and(|it| !may(own, place, &it, 1)));
    match shut {
        Some(place) => Err(OwnUserError::Shut { path: place.to_owned(), user: own.name.clone() }),
        None => Ok(()),
    }
}

/// Whether a user may do something (4 read, 2 write, 1 pass) with what is there. An access list is given the benefit of the
/// doubt.
fn may(own: &SystemUser, path: &Path, there: &Metadata, what: u32) -> bool {
    let mode = there.mode();
    let allows = |bits: u32| mode & bits == bits;
    let is_of_group = || {
        let name = std::ffi::CString::new(&*own.name);
        let groups = name.ok().and_then(|name| getgrouplist(&name, Gid::from_raw(own.gid)).ok());
        groups.is_some_and(|groups| groups.contains(&Gid::from_raw(there.gid())))
            || rustix::fs::getxattr(path, "system.posix_acl_access", &mut [0_u8; 0][..]).is_ok()
    };
    allows(what) || (there.uid() == own.uid && allows(what << 6)) || (allows(what << 3) && is_of_group())
}

/// Whether the user may make the control socket where it is to stand, and give it to its group.
fn check_socket(config: &Config, directory: &Path, own: &SystemUser) -> Result<(), OwnUserError> {
    let user = || own.name.clone();
    if let Some(folder) = config.control.parent()
        && folder != config.data_dir
        && folder != directory
        && let Ok(there) = fs::metadata(folder)
        && !may(own, folder, &there, 3)
    {
        return Err(OwnUserError::Socket { path: config.control.clone(), user: user() });
    }
    // With several, the socket is given to none of them.
    if let [only] = &*config.control_groups
        && let Ok(Some(group)) = Group::from_name(&only.group)
        && let Ok(name) = std::ffi::CString::new(&*own.name)
        && getgrouplist(&name, Gid::from_raw(own.gid)).is_ok_and(|groups| !groups.contains(&group.gid))
    {
        return Err(OwnUserError::Group { group: group.name, user: user() });
    }
    Ok(())
}

/// The refusal of something that is another user's.
fn anothers(config: &Config, directory: &Path, path: &Path, owner: u32, own: &SystemUser) -> OwnUserError {
    let mut mend = hand_over(config, directory, &own.name);
    if is_in_use(directory) {
        mend = format!("stop the daemon that runs, then {mend}");
    }
    let owner = match user::of_uid(owner) {
        Ok(Some(owner)) if path == directory && owner.name != NOBODY => {
            mend += &format!(", or start the daemon with --user {}", owner.name);
            owner.name
        }
        _ => user::name(owner),
    };
    OwnUserError::Anothers { path: path.to_owned(), owner, user: own.name.clone(), mend }
}

/// How a data directory, which is there, comes to be a user's.
pub(super) fn hand_over(config: &Config, directory: &Path, user: &str) -> String {
    if is_strange(directory) {
        return "choose another with --data-dir, because it holds other things than Leadline's".to_owned();
    }
    let mut commands = format!("chown {user}: {}", quoted(directory));
    let parts = PARTS.iter().map(|part| directory.join(part)).chain(elsewhere(config));
    // Where a link leads that another user may change is no matter of root's.
    let with_targets = parts.flat_map(|part| {
        let is_roots_link = fs::symlink_metadata(&part).is_ok_and(|it| it.is_symlink() && it.uid() == 0);
        let target = part.canonicalize().ok().filter(|_| is_roots_link);
        [Some(part), target]
    });
    let there: Vec<_> = with_targets
        .flatten()
        .filter(|path| fs::symlink_metadata(path).is_ok())
        .map(|path| quoted(&path))
        .collect();
    if !there.is_empty() {
        commands += &format!(" && chown -R {user}: {}", there.join(" "));
    }
    format!("hand it over ({commands})")
}

/// Whether no daemon has ever used a directory, and something else does: handing that over would do harm. Names alone prove
/// nothing; a key may have been put there for a restore.
fn is_strange(directory: &Path) -> bool {
    let has = |entry: &str| directory.join(entry).exists();
    let is_used = has("daemon.lock") || (has("server/postgresql.conf") && has("postgres/data/PG_VERSION"));
    let is_other = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|it| it.file_name() != "lost+found" && it.file_name() != "master.key")
    };
    !is_used && fs::read_dir(directory).is_ok_and(|mut entries| entries.any(is_other))
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    let shown = path.display().to_string();
    if shown.chars().all(|it| it.is_ascii_alphanumeric() || "/._-+".contains(it)) {
        return shown;
    }
    format!("'{}'", shown.replace('\'', r"'\''"))
}

/// Where a directory is made, without links: root alone must be able to change what stands on the way, or a link could
/// lead to anything.
pub(super) fn place_of(path: &Path, own: &SystemUser) -> Result<PathBuf, OwnUserError> {
    let path = std::path::absolute(path).map_err(unusable(path))?;
    let there = path.ancestors().find_map(|place| Some((place, place.canonicalize().ok()?)));
    // In a directory that is sticky, such as /tmp, nobody takes away what is root's.
    let is_roots = |place: &Path| {
        fs::symlink_metadata(place)
            .is_ok_and(|it| it.uid() == 0 && (it.mode() & 0o022 == 0 || it.mode() & 0o1000 != 0))
    };
    if let Some((place, real)) = there
        && let Ok(rest) = path.strip_prefix(place)
        && real.ancestors().all(is_roots)
    {
        return Ok(real.join(rest));
    }
    let make = format!("install -d -o {} -m 711 {}", own.name, quoted(&path));
    Err(OwnUserError::Unsafe { path, make })
}

/// Makes the data directory for a user, if it is not there.
pub(super) fn make_for(config: &Config, own: &SystemUser) -> Result<(), OwnUserError> {
    if find(&config.data_dir)?.is_none() {
        let place = place_of(&config.data_dir, own)?;
        make(&place, own).map_err(unusable(&place))?;
    }
    Ok(())
}

fn make(path: &Path, own: &SystemUser) -> io::Result<()> {
    let is_missing = |place: &&Path| fs::symlink_metadata(place).is_err();
    let missing: Vec<_> = path.ancestors().skip(1).take_while(is_missing).collect();
    for parent in missing.into_iter().rev() {
        make_one(parent, 0o755)?;
    }
    make_one(path, 0o711)?;
    fchown(open_there(path, OFlags::DIRECTORY)?, Some(own.uid), Some(own.gid))
}

/// Whatever root's umask is, the user must pass.
fn make_one(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().mode(mode).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::{super::somebody, *};

    #[test]
    fn what_a_daemon_opens_must_be_its_users_and_what_else_is_there_need_not() {
        let Some(own) = somebody() else { return };
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("data");
        let config = Config::in_dir(&dir);
        let give = |path: &Path| chown(path, Some(own.uid), Some(own.gid)).unwrap();
        let refused = || check(&config, &own).unwrap_err().to_string();
        fs::set_permissions(temp.path(), Permissions::from_mode(0o711)).unwrap();
        fs::create_dir(&dir).unwrap();
        let shown = dir.display();
        let told = format!("{shown} belongs to root, and the daemon becomes daemon: ");
        let command = format!("chown daemon: {shown}");
        let end = ", or start the daemon with --user root";
        assert_eq!(refused(), format!("{told}hand it over ({command}){end}"), "an empty one");
        // The operator's own, under names that are ours as well.
        fs::write(dir.join("notes.txt"), "").unwrap();
        fs::create_dir(dir.join("server")).unwrap();
        let strange = "choose another with --data-dir, because it holds other things than Leadline's";
        assert_eq!(refused(), format!("{told}{strange}{end}"));
        fs::remove_dir(dir.join("server")).unwrap();
        fs::write(dir.join("daemon.lock"), "").unwrap();
        let command = format!("{command} && chown -R daemon: {shown}/daemon.lock");
        assert_eq!(refused(), format!("{told}hand it over ({command}){end}"), "one of a daemon's");
        let lock = fs::File::open(dir.join("daemon.lock")).unwrap();
        lock.lock().unwrap();
        assert_eq!(refused(), format!("{told}stop the daemon that runs, then hand it over ({command}){end}"));
        drop(lock);
        chown(&dir, Some(4_000_000_000), None).unwrap();
        let told = told.replace("root", "4000000000");
        assert_eq!(refused(), format!("{told}hand it over ({command})"), "nobody could be named");
        give(&dir);
        for entry in ["daemon.lock", "postgres", "postgres/data"] {
            let path = dir.join(entry);
            if entry != "daemon.lock" {
                fs::create_dir(&path).unwrap();
            }
            let refused = check(&config, &own).unwrap_err();
            assert!(matches!(&refused, OwnUserError::Anothers { path: it, .. } if *it == path), "{refused}");
            give(&path);
        }
        check(&config, &own).unwrap();
        symlink("/etc/passwd", dir.join("master.key")).unwrap();
        assert!(matches!(check(&config, &own), Err(OwnUserError::Anothers { .. })), "a link of root's");
        fs::remove_file(dir.join("master.key")).unwrap();

        let elsewhere = temp.path().join("the key");
        fs::write(&elsewhere, "").unwrap();
        let config = Config { master_key: elsewhere.clone(), ..config };
        let refused = check(&config, &own).unwrap_err().to_string();
        assert!(refused.starts_with(&format!("{} belongs to root", elsewhere.display())), "{refused}");
        let command = refused.split(['(', ')']).nth(1).unwrap();
        assert!(std::process::Command::new("/bin/sh").args(["-c", command]).status().unwrap().success());
        check(&config, &own).unwrap();
        let here = Config { control: temp.path().join("control.sock"), ..config };
        assert!(matches!(check(&here, &own), Err(OwnUserError::Socket { .. })));
        let control_groups = vec![crate::control::GroupRole {
            group: "root".to_owned(),
            role: leadline_proto::v1::Role::Viewer,
        }];
        let of_roots = Config { control_groups, ..Config::in_dir(&dir) };
        assert!(matches!(check(&of_roots, &own), Err(OwnUserError::Group { .. })));
    }

    #[test]
    fn paths_are_quoted_for_a_shell() {
        for (path, shown) in [("/var/lib/leadline", "/var/lib/leadline"), ("/a b/it's", r"'/a b/it'\''s'")] {
            assert_eq!(quoted(Path::new(path)), shown);
        }
    }

    #[test]
    fn where_links_of_roots_lead_is_handed_over_and_where_others_lead_is_not() {
        let Some(own) = somebody() else { return };
        let (temp, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let dir = temp.path();
        fs::write(dir.join("daemon.lock"), "").unwrap();
        let link = dir.join("postgres");
        symlink(disk.path(), &link).unwrap();
        let is_named =
            || hand_over(&Config::in_dir(dir), dir, "daemon").contains(disk.path().to_str().unwrap());
        assert!(is_named());
        std::os::unix::fs::lchown(&link, Some(own.uid), None).unwrap();
        assert!(!is_named());
    }

    #[test]
    fn a_data_directory_is_made_only_where_root_alone_decides_what_stands() {
        let Some(own) = somebody() else { return };
        let temp = tempfile::tempdir().unwrap();
        let (home, new) = (temp.path().join("home"), temp.path().join("not/there"));
        fs::set_permissions(temp.path(), Permissions::from_mode(0o700)).unwrap();
        assert!(matches!(check(&Config::in_dir(&new), &own), Err(OwnUserError::Shut { .. })));
        fs::set_permissions(temp.path(), Permissions::from_mode(0o711)).unwrap();
        check(&Config::in_dir(&new), &own).unwrap();
        assert!(!new.exists(), "looking makes nothing");
        make(&new, &own).unwrap();
        let made = fs::metadata(&new).unwrap();
        assert_eq!((made.uid(), made.gid(), made.mode() & 0o7777), (own.uid, own.gid, 0o711));
        let parent = fs::metadata(new.parent().unwrap()).unwrap();
        assert_eq!((parent.uid(), parent.mode() & 0o7777), (0, 0o755));
        assert!(make(&new, &own).is_err(), "what is there is not given away");

        fs::create_dir(&home).unwrap();
        let data = home.join("data");
        let is_refused = || matches!(check(&Config::in_dir(&data), &own), Err(OwnUserError::Unsafe { .. }));
        for (mode, is_safe) in [(0o777, false), (0o1777, true), (0o755, true)] {
            fs::set_permissions(&home, Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_refused(), !is_safe, "{mode:o}");
        }
        chown(&home, Some(own.uid), None).unwrap();
        assert!(is_refused());
        symlink(temp.path(), home.join("back")).unwrap();
        let back = place_of(&home.join("back/new/data"), &own).unwrap();
        assert_eq!(
            back,
            temp.path().join("new/data"),
            "a link that somebody may change is not gone by again"
        );
        symlink(&home, temp.path().join("link")).unwrap();
        let behind = Config::in_dir(&temp.path().join("link/data"));
        assert!(check(&behind, &own).is_err(), "behind a link it is the other place that counts");
        // A link that leads nowhere is no place of its own.
        symlink(temp.path().join("gone"), temp.path().join("dangling")).unwrap();
        let dangling = temp.path().join("dangling");
        assert!(make(&dangling, &own).is_err() && check(&Config::in_dir(&dangling), &own).is_err());
    }
}
