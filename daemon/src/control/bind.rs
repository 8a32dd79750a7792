//! Opens the control socket: never takes it from a daemon that answers, cleans up behind one that died.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

use super::GroupRole;

/// Why the control socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("another daemon answers on {0}: stop it, or choose another --control-listen")]
    InUse(PathBuf),
    #[error("{0} is there and is no socket: move it away, or choose another --control-listen")]
    NoSocket(PathBuf),
    #[error("cannot open the control socket {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("--control-group {0}: there is no such group on this machine")]
    NoGroup(String),
    #[error("cannot give the control socket to the group {0}: make the daemon's user a member of it")]
    NotGiven(String, #[source] io::Error),
}

/// Listens on a unix socket that only this user may open, and the groups that may call.
pub async fn bind(path: &Path, groups: &[GroupRole]) -> Result<UnixListener, BindError> {
    let failed = |source| BindError::Io { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => return Err(BindError::NoSocket(path.to_owned())),
        Ok(_) => match UnixStream::connect(path).await {
            Ok(_) => return Err(BindError::InUse(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    let mode = match groups {
        [] => 0o600,
        [only] => {
            let group = only.group.clone();
            let gid = group_id(&group)?;
            chown(path, None, Some(gid)).map_err(|error| BindError::NotGiven(group, error))?;
            0o660
        }
        // A socket has one group: everybody may knock, and the check of the peer decides.
        several => {
            several.iter().try_for_each(|group| group_id(&group.group).map(drop))?;
            0o666
        }
    };
    // Whoever slips in before this line is still turned away by the check of the peer's uid.
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
    Ok(listener)
}

fn group_id(group: &str) -> Result<u32, BindError> {
    let unknown = || BindError::NoGroup(group.to_owned());
    let groups = fs::read_to_string("/etc/group").map_err(|_| unknown())?;
    let mut lines = groups.lines().map(|line| line.split(':'));
    let found = lines.find_map(|mut fields| (fields.next() == Some(group)).then(|| fields.nth(1)).flatten());
    found.and_then(|id| id.parse().ok()).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use leadline_proto::v1::Role;

    use super::*;

    #[tokio::test]
    async fn a_group_that_is_not_there_is_refused_and_one_that_is_may_knock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let group = |name: &str| GroupRole { group: name.to_owned(), role: Role::Viewer };
        let none = bind(&path, &[group("no-such-group")]).await.unwrap_err().to_string();
        assert_eq!(none, "--control-group no-such-group: there is no such group on this machine");
        let _socket = bind(&path, &[group("root"), group("daemon")]).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        let error = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(
            BindError::NotGiven("support".into(), error).to_string(),
            "cannot give the control socket to the group support: make the daemon's user a member of it"
        );
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_a_living_one_and_a_file_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let living = bind(&path, &[]).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let refused = async |path: &Path| bind(path, &[]).await.unwrap_err().to_string();
        let shown = path.display();
        assert_eq!(
            refused(&path).await,
            format!("another daemon answers on {shown}: stop it, or choose another --control-listen")
        );
        drop(living);
        bind(&path, &[]).await.unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert_eq!(
            refused(&path).await,
            format!("{shown} is there and is no socket: move it away, or choose another --control-listen")
        );
        let nowhere = dir.path().join("none/control.sock");
        assert_eq!(
            refused(&nowhere).await,
            format!(
                "cannot open the control socket {}: No such file or directory (os error 2)",
                nowhere.display()
            )
        );
    }
}
