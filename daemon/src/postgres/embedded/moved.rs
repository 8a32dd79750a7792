//! What an operator has moved out of the cluster to another disk, with a link in its place as PostgreSQL has it: the log of
//! writes, and tablespaces.
//!
//! In the sandbox nobody makes a link; what ran before there was one could. So a link is followed only to what is the
//! server's account's and holds nothing else, and never to what the daemon's own directory is in or holds.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::layout::Layout;

/// What stands beside the segments in the log of writes.
const WAL_FOLDERS: [&str; 2] = ["archive_status", "summaries"];
/// What a file system has in its root.
const OF_THE_DISK: &str = "lost+found";

/// The places that links of the cluster lead to, and that are its own.
pub(super) fn moved(layout: &Layout) -> Vec<PathBuf> {
    let spaces = fs::read_dir(layout.data.join("pg_tblspc")).into_iter().flatten().flatten();
    let spaces = spaces.map(|entry| (entry.path(), is_of_tablespace as fn(&str) -> bool));
    let places = spaces.chain([(layout.data.join("pg_wal"), is_of_wal as fn(&str) -> bool)]);
    places
        .filter(|(link, _)| fs::symlink_metadata(link).is_ok_and(|it| it.is_symlink()))
        .filter_map(|(link, is_part)| {
            let target = link.canonicalize().ok().filter(|target| is_own(layout, target, is_part));
            if target.is_none() {
                tracing::warn!(
                    event = "postgres_link_refused",
                    link = %link.display(),
                    "a link of the private PostgreSQL leads to what is not its account's or holds other things, and is not \
                     followed: move what belongs there alone, and hand it over (chown -R)"
                );
            }
            target
        })
        .collect()
}

fn is_own(layout: &Layout, target: &Path, is_part: fn(&str) -> bool) -> bool {
    let owner = |path: &Path| fs::metadata(path).ok().map(|it| it.uid());
    let is_apart = |directory: PathBuf| !target.starts_with(&directory) && !directory.starts_with(target);
    layout.directory.canonicalize().is_ok_and(is_apart)
        && owner(target).is_some_and(|uid| Some(uid) == owner(&layout.home))
        && fs::read_dir(target).is_ok_and(|entries| {
            entries.flatten().all(|entry| {
                entry.file_name().to_str().is_some_and(|name| name == OF_THE_DISK || is_part(name))
            })
        })
}

/// Segments are called by 24 digits, perhaps with an ending, and histories by their timeline's eight.
fn is_of_wal(name: &str) -> bool {
    let number = name.split('.').next().unwrap_or(name);
    let is_numbered = number.bytes().all(|byte| byte.is_ascii_hexdigit())
        && (number.len() == 24 || number.len() == 8 && name.ends_with(".history"));
    is_numbered || name.starts_with("xlogtemp.") || WAL_FOLDERS.contains(&name)
}

fn is_of_tablespace(name: &str) -> bool {
    name.starts_with("PG_")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;
    use crate::user;

    #[test]
    fn links_are_followed_to_what_is_the_clusters_own_alone() {
        let (temp, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let disk = disk.path().canonicalize().unwrap();
        let layout = Layout::of(temp.path().to_owned()).unwrap();
        fs::create_dir_all(layout.data.join("pg_tblspc")).unwrap();
        let wal = layout.data.join("pg_wal");
        fs::create_dir(&wal).unwrap();
        assert_eq!(moved(&layout), [""; 0].map(PathBuf::from), "it stands where it always did");
        fs::remove_dir(&wal).unwrap();
        let turn = |target: &Path| {
            let _none = fs::remove_file(&wal);
            symlink(target, &wal).unwrap();
            moved(&layout)
        };
        for folder in ["wal/archive_status", "wal/lost+found", "space/PG_17_202406281", "mail", "backups"] {
            fs::create_dir_all(disk.join(folder)).unwrap();
        }
        for name in [
            "wal/000000010000000000000001",
            "wal/00000002.history",
            "mail/inbox",
            "backups/20241101-leads.csv",
        ] {
            fs::write(disk.join(name), "").unwrap();
        }
        assert_eq!(turn(&disk.join("wal")), [disk.join("wal")]);
        for other in [
            &disk.join("mail"),
            &disk.join("backups"),
            &disk,
            &disk.join("nowhere"),
            temp.path(),
            &temp.path().join("postgres"),
        ] {
            assert_eq!(turn(other), [""; 0].map(PathBuf::from), "{}", other.display());
        }
        // Empty as it is, the daemon's own files come there.
        fs::create_dir(temp.path().join("server")).unwrap();
        assert_eq!(turn(&temp.path().join("server")), [""; 0].map(PathBuf::from));
        symlink(disk.join("space"), layout.data.join("pg_tblspc/16385")).unwrap();
        symlink(disk.join("wal"), layout.data.join("pg_tblspc/16386")).unwrap();
        assert_eq!(turn(&disk.join("wal")), [disk.join("space"), disk.join("wal")]);
        if user::is_root() {
            chown(disk.join("wal"), Some(1), None).unwrap();
            assert_eq!(turn(&disk.join("wal")), [disk.join("space")], "another user's");
        }
    }
}
