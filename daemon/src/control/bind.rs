//! Opens the control socket: never takes it from a daemon that answers, cleans up behind one that died.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

/// Why the control socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("another daemon answers on {0}: stop it, or choose another --control-listen")]
    InUse(PathBuf),
    #[error("{0} is there and is no socket: move it away, or choose another --control-listen")]
    NoSocket(PathBuf),
    #[error("cannot open the control socket {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// Listens on a unix socket that only this user may open.
pub async fn bind(path: &Path) -> Result<UnixListener, BindError> {
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
    // Whoever slips in before this line is still turned away by the check of the peer's uid.
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_a_living_one_and_a_file_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let living = bind(&path).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let refused = async |path: &Path| bind(path).await.unwrap_err().to_string();
        let shown = path.display();
        assert_eq!(
            refused(&path).await,
            format!("another daemon answers on {shown}: stop it, or choose another --control-listen")
        );
        drop(living);
        bind(&path).await.unwrap();
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
