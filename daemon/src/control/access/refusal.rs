//! How a call is turned away: who the caller is, what it would take, and where to get that.

use std::collections::HashMap;

use leadline_proto::v1::Role;
use tonic::{Code, Status};

use super::Caller;
use crate::control::status;

/// A role in a word.
pub(in crate::control) const fn word(role: Role) -> &'static str {
    match role {
        Role::Unspecified => "nobody",
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}

/// The caller shows nothing.
pub(super) fn no_token() -> Status {
    let message = "show a token that an operator has made on the daemon's machine";
    status::refused(Code::Unauthenticated, "NO_TOKEN", message)
}

/// What the caller shows opens nothing. One answer, so that none can be told from another.
pub(super) fn bad_token() -> Status {
    let message = "this token is unknown, expired or revoked: ask an admin for a new one";
    status::refused(Code::Unauthenticated, "BAD_TOKEN", message)
}

/// The caller showed too many wrong ones.
pub(super) fn too_many() -> Status {
    let message = "too many wrong tokens came from your address: wait a minute";
    status::refused(Code::ResourceExhausted, "TOO_MANY_WRONG_TOKENS", message)
}

/// Nobody is there to be asked who they are.
pub(in crate::control) fn nobody() -> Status {
    status::refused(Code::PermissionDenied, "NO_PEER", "nobody is at the other end")
}

/// The system keeps it to itself.
pub(super) fn no_user() -> Status {
    let message = "the system does not say who is at the other end of the socket";
    status::refused(Code::PermissionDenied, "NO_PEER", message)
}

/// A user of the machine who is no operator.
pub(super) fn no_operator(uid: u32, own_uid: u32) -> Status {
    let message = format!(
        "uid {uid} is no operator here: use the daemon's own user (uid {own_uid}) or root, or have --control-group name \
         a group of yours",
    );
    let about = HashMap::from([("uid".to_owned(), uid.to_string())]);
    status::with_info(Code::PermissionDenied, "NO_OPERATOR", message, about)
}

/// The role is not high enough.
pub(super) fn needs_role(what: &str, needed: Role, caller: &Caller) -> Status {
    let (operator, role, needed) = (&caller.operator, word(caller.role), word(needed));
    let message =
        format!("{what} needs the role {needed}, and {operator} is {role} here: ask an admin for more");
    let about =
        HashMap::from([("role".to_owned(), role.to_owned()), ("needs".to_owned(), needed.to_owned())]);
    status::with_info(Code::PermissionDenied, "NEEDS_ROLE", message, about)
}

/// The call is about all companies, the caller about one.
pub(super) fn spans_companies(what: &str, company: &str, caller: &Caller) -> Status {
    let operator = &caller.operator;
    let message = format!("{what} is about all companies, and {operator} sees {company:?} only");
    status::refused(Code::PermissionDenied, "SPANS_COMPANIES", message)
}

/// The answer would tell, piece by piece, who people are that the caller sees masked.
pub(super) fn tells_of_people(what: &str, caller: &Caller) -> Status {
    let operator = &caller.operator;
    let message = format!("{what} could tell who people are, and they are masked for {operator}");
    status::refused(Code::PermissionDenied, "PEOPLE_MASKED", message)
}

/// There is no rule for the call, so nobody may make it.
pub(super) fn no_rule(path: &str) -> Status {
    status::refused(Code::Unimplemented, "NO_METHOD", format!("there is no method {path}"))
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt as _;

    use super::*;
    use crate::control::access::Identity;

    #[test]
    fn each_refusal_says_what_it_would_take() {
        let caller = Caller {
            operator: "token mara".into(),
            role: Role::Viewer,
            company: None,
            masked: true,
            identity: Identity::User(0),
            expires_at: None,
        };
        for (status, code, told) in [
            (
                no_token(),
                Code::Unauthenticated,
                "show a token that an operator has made on the daemon's machine",
            ),
            (
                bad_token(),
                Code::Unauthenticated,
                "this token is unknown, expired or revoked: ask an admin for a new one",
            ),
            (
                too_many(),
                Code::ResourceExhausted,
                "too many wrong tokens came from your address: wait a minute",
            ),
            (
                needs_role("RetryDeliveries", Role::Operator, &caller),
                Code::PermissionDenied,
                "RetryDeliveries needs the role operator, and token mara is viewer here: ask an admin for more",
            ),
            (
                spans_companies("GetSystem", "The Mill", &caller),
                Code::PermissionDenied,
                "GetSystem is about all companies, and token mara sees \"The Mill\" only",
            ),
            (
                tells_of_people("ListDeliveries by error", &caller),
                Code::PermissionDenied,
                "ListDeliveries by error could tell who people are, and they are masked for token mara",
            ),
            (no_rule("/x.Y/Z"), Code::Unimplemented, "there is no method /x.Y/Z"),
            (nobody(), Code::PermissionDenied, "nobody is at the other end"),
        ] {
            assert_eq!((status.code(), status.message()), (code, told));
            assert!(status.get_error_details().error_info().is_some(), "{told} has no reason");
        }
        assert_eq!(
            [Role::Unspecified, Role::Operator, Role::Admin].map(word),
            ["nobody", "operator", "admin"]
        );
    }
}
