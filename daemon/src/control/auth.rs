//! Who may command: on the unix socket the peer's uid is the credential.

use tonic::{Request, Status, service::Interceptor, transport::server::UdsConnectInfo};

/// Lets the daemon's own user and root in, both as admin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admins {
    pub(super) own_uid: u32,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SocketPeer(pub(super) u32);

impl Admins {
    fn admit(self, uid: Option<u32>) -> Result<SocketPeer, Status> {
        match uid {
            Some(uid) if uid == 0 || uid == self.own_uid => Ok(SocketPeer(uid)),
            Some(uid) => Err(Status::permission_denied(format!(
                "uid {uid} is no operator here: use the daemon's own user (uid {}) or root",
                self.own_uid
            ))),
            None => Err(Status::permission_denied(
                "the system does not say who is at the other end of the socket",
            )),
        }
    }
}

impl Interceptor for Admins {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let connection = request.extensions().get::<UdsConnectInfo>();
        let uid = connection.and_then(|info| info.peer_cred).map(|peer| peer.uid());
        let peer = self.admit(uid)?;
        request.extensions_mut().insert(peer);
        Ok(request)
    }
}

impl SocketPeer {
    /// The name that audits and attempts carry: the user's, or the uid where the system's file has none.
    pub(super) async fn name(self) -> String {
        match tokio::fs::read_to_string("/etc/passwd").await {
            Ok(users) => name_in(&users, self.0).map(ToOwned::to_owned),
            Err(error) => {
                tracing::debug!(%error, "cannot read the users' names");
                None
            }
        }
        .unwrap_or_else(|| format!("uid {}", self.0))
    }
}

fn name_in(users: &str, uid: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_user_and_root_are_admitted() {
        let admins = Admins { own_uid: 1000 };
        assert_eq!(admins.admit(Some(1000)).unwrap(), SocketPeer(1000));
        assert_eq!(admins.admit(Some(0)).unwrap(), SocketPeer(0));
        for (stranger, told) in [
            (Some(1001), "uid 1001 is no operator here: use the daemon's own user (uid 1000) or root"),
            (None, "the system does not say who is at the other end of the socket"),
        ] {
            let refused = admins.admit(stranger).unwrap_err();
            assert_eq!((refused.code(), refused.message()), (tonic::Code::PermissionDenied, told));
        }
    }

    #[test]
    fn users_have_names() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\n\nmara:x:1000:1000::/srv/mara:/bin/sh\n";
        assert_eq!(name_in(users, 0), Some("root"));
        assert_eq!(name_in(users, 1000), Some("mara"));
        assert_eq!(name_in(users, 1001), None);
    }
}
