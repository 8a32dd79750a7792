//! Who calls: on the unix socket the system says which user it is, elsewhere a token does.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
};

use leadline_proto::v1::Role;
use tonic::Status;

use super::refusal;
use crate::{
    domain::ids::{CompanyId, TokenId},
    doors::client_of,
    telemetry,
};

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control) enum Peer {
    /// On the unix socket: the user and the main group, if the system says so.
    Local(Option<(u32, u32)>),
    /// Over the network, with TLS.
    Remote(SocketAddr),
}

impl Peer {
    /// Which user of the machine it is, on the socket.
    pub(super) fn uid(self) -> Option<u32> {
        match self {
            Self::Local(user) => user.map(|(uid, _)| uid),
            Self::Remote(_) => None,
        }
    }

    /// Which client it is, over the network.
    pub(super) fn address(self) -> Option<IpAddr> {
        match self {
            Self::Local(_) => None,
            Self::Remote(address) => Some(client_of(address.ip())),
        }
    }
}

/// What tells one caller from another, whatever they are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::control) enum Identity {
    /// A user of the machine.
    User(u32),
    /// Whoever shows this token.
    Token(TokenId),
}

/// Who calls, and what that allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control) struct Caller {
    /// The name that audits and attempts carry.
    pub(in crate::control) operator: String,
    pub(in crate::control) role: Role,
    /// The only company whose things it reaches, with its name.
    pub(in crate::control) company: Option<(CompanyId, String)>,
    /// People are masked.
    pub(in crate::control) masked: bool,
    pub(in crate::control) identity: Identity,
    pub(in crate::control) expires_at: Option<jiff::Timestamp>,
}

impl Caller {
    /// A user of the machine.
    fn user(uid: u32, operator: String, role: Role) -> Self {
        let masked = role == Role::Viewer;
        let identity = Identity::User(uid);
        Self { operator, role, company: None, masked, identity, expires_at: None }
    }

    /// What it shows, if that was a token.
    pub(in crate::control) const fn token(&self) -> Option<TokenId> {
        match self.identity {
            Identity::Token(token) => Some(token),
            Identity::User(_) => None,
        }
    }
}

/// A group of the machine's users, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRole {
    pub group: String,
    pub role: Role,
}

/// The users who may call over the socket: the daemon's own and root as admins, groups as configured.
#[derive(Clone, Debug)]
pub(in crate::control) struct Users {
    pub(in crate::control) own_uid: u32,
    pub(in crate::control) groups: Vec<GroupRole>,
}

impl Users {
    /// Who a user of the machine is here.
    pub(in crate::control) async fn caller(&self, peer: Option<(u32, u32)>) -> Result<Caller, Status> {
        let Some((uid, gid)) = peer else { return Err(refusal::no_user()) };
        let users = read("/etc/passwd").await;
        let name = name_in(&users, uid).map_or_else(|| format!("uid {uid}"), ToOwned::to_owned);
        if uid == 0 || uid == self.own_uid {
            return Ok(Caller::user(uid, name, Role::Admin));
        }
        let groups = if self.groups.is_empty() { String::new() } else { read("/etc/group").await };
        match self.role(&groups, &name, gid) {
            Some(role) => Ok(Caller::user(uid, name, role)),
            None => Err(refusal::no_operator(uid, self.own_uid)),
        }
    }

    /// The highest role that the groups of a user have.
    fn role(&self, groups: &str, user: &str, gid: u32) -> Option<Role> {
        let has = |wanted: &GroupRole| {
            groups.lines().any(|line| {
                let mut fields = line.split(':');
                let (name, id, members) = (fields.next(), fields.nth(1), fields.next());
                let is_main = id.is_some_and(|id| id.parse() == Ok(gid));
                let is_member =
                    members.is_some_and(|members| members.split(',').any(|member| member == user));
                name == Some(&*wanted.group) && (is_main || is_member)
            })
        };
        self.groups.iter().filter(|wanted| has(wanted)).map(|wanted| wanted.role).max()
    }
}

async fn read(file: &str) -> String {
    match tokio::fs::read_to_string(Path::new(file)).await {
        Ok(text) => text,
        Err(error) => {
            tracing::debug!(error = telemetry::causes(&error), file, "cannot read the users' names");
            String::new()
        }
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

    fn users(groups: &[(&str, Role)]) -> Users {
        let groups = groups.iter().map(|(group, role)| GroupRole { group: (*group).to_owned(), role: *role });
        Users { own_uid: 4_294_967_290, groups: groups.collect() }
    }

    #[tokio::test]
    async fn the_own_user_and_root_are_admins_and_nobody_else_is_let_in() {
        let users = users(&[]);
        for own in [0, users.own_uid] {
            let caller = users.caller(Some((own, 5))).await.unwrap();
            assert_eq!((caller.role, caller.identity), (Role::Admin, Identity::User(own)));
            assert_eq!(caller.token(), None);
        }
        for (stranger, told) in [
            (
                Some((4_294_967_291, 5)),
                "uid 4294967291 is no operator here: use the daemon's own user (uid 4294967290) or root, or have --control-group name a group of yours",
            ),
            (None, "the system does not say who is at the other end of the socket"),
        ] {
            let refused = users.caller(stranger).await.unwrap_err();
            assert_eq!((refused.code(), refused.message()), (tonic::Code::PermissionDenied, told));
        }
    }

    #[test]
    fn a_group_gives_its_users_a_role_the_highest_counts() {
        let file = "root:x:0:\nsupport:x:50:ann,mara\nleads:x:51:mara\n";
        let users = users(&[("support", Role::Viewer), ("leads", Role::Operator)]);
        assert_eq!(users.role(file, "ann", 7), Some(Role::Viewer));
        assert_eq!(users.role(file, "mara", 7), Some(Role::Operator));
        assert_eq!(users.role(file, "bob", 51), Some(Role::Operator), "as the main group");
        assert_eq!(users.role(file, "mar", 7), None);
        assert_eq!(users.role("", "mara", 7), None);
    }

    #[test]
    fn a_client_over_the_network_is_known_by_whatever_address_of_its_it_comes_from() {
        let client = |text: &str| Peer::Remote(text.parse().unwrap()).address().unwrap().to_string();
        assert_eq!(client("[2001:db8:1:2:3::4]:80"), "2001:db8:1:2::");
        assert_eq!(client("[2001:db8:1:2:5::6]:80"), "2001:db8:1:2::");
        assert_eq!(client("[::ffff:198.51.100.1]:80"), "198.51.100.1");
    }

    #[test]
    fn users_have_names() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\n\nmara:x:1000:1000::/srv/mara:/bin/sh\n";
        assert_eq!(name_in(users, 0), Some("root"));
        assert_eq!(name_in(users, 1000), Some("mara"));
        assert_eq!(name_in(users, 1001), None);
    }
}
