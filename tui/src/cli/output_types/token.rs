//! Tokens, and who we are.

use jiff::Timestamp;
use leadline_proto::v1::{self, Role};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{raw, text, time};
use crate::cli::columns::{Column, ListRow, column};

/// `token create`: the one answer that has the token.
#[derive(Debug, Serialize)]
pub(crate) struct TokenCreated {
    id: String,
    token: Option<String>,
    role: &'static str,
    company_id: Option<i64>,
    expires_at: Option<Timestamp>,
}

impl From<v1::CreateTokenResponse> for TokenCreated {
    fn from(it: v1::CreateTokenResponse) -> Self {
        Self {
            role: word(it.role),
            id: it.id,
            token: text(it.token),
            company_id: it.company_id,
            expires_at: time(it.expires_at),
        }
    }
}

/// A token as it is listed.
#[derive(Debug, Serialize)]
pub(crate) struct Token {
    id: String,
    name: String,
    role: &'static str,
    company_id: Option<i64>,
    company: Option<String>,
    masked: bool,
    prefix: String,
    created_at: Option<Timestamp>,
    created_by: String,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

impl ListRow for Token {
    const COLUMNS: &'static [Column<'static>] = &[
        column("id"),
        column("name").place(1).cut(12),
        column("role"),
        column("company").rank(1),
        column("prefix").rank(4),
        column("last_used_at").rank(2),
        column("expires_at").rank(3),
        column("revoked_at").rank(3),
    ];
}

impl From<v1::Token> for Token {
    fn from(it: v1::Token) -> Self {
        Self {
            role: word(it.role),
            id: it.id,
            name: it.name,
            company_id: it.company_id,
            company: text(it.company_name),
            masked: it.masked,
            prefix: it.prefix,
            created_at: time(it.created_at),
            created_by: it.created_by,
            expires_at: time(it.expires_at),
            revoked_at: time(it.revoked_at),
            last_used_at: time(it.last_used_at),
        }
    }
}

/// `token whoami`.
#[derive(Debug, Serialize)]
pub(crate) struct Caller {
    operator: String,
    role: &'static str,
    company_id: Option<i64>,
    company: Option<String>,
    masked: bool,
    expires_at: Option<Timestamp>,
    may_call: Vec<String>,
}

impl From<v1::WhoAmIResponse> for Caller {
    fn from(it: v1::WhoAmIResponse) -> Self {
        Self {
            operator: it.operator,
            role: word(it.role),
            company_id: it.company_id,
            company: text(it.company_name),
            masked: it.masked,
            expires_at: time(it.expires_at),
            may_call: it.may_call,
        }
    }
}

/// `lead reveal`.
#[derive(Debug, Serialize)]
pub(crate) struct Revealed {
    uuid: String,
    company_id: i64,
    name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    event: Option<Box<RawValue>>,
}

impl From<v1::RevealResponse> for Revealed {
    fn from(it: v1::RevealResponse) -> Self {
        Self {
            uuid: it.uuid,
            company_id: it.company_id,
            name: text(it.name),
            email: text(it.email),
            phone: text(it.phone),
            event: raw(&it.event),
        }
    }
}

fn word(role: i32) -> &'static str {
    match Role::try_from(role).unwrap_or_default() {
        Role::Unspecified => "unknown",
        role => role.word(),
    }
}
