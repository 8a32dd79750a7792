//! Forms of browsers' pages.

use jiff::Timestamp;
use leadline_proto::v1;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{text, time};
use crate::cli::columns::{Column, ListRow, column};

#[derive(Debug, Serialize)]
pub(crate) struct Form {
    id: String,
    company_id: i64,
    name: String,
    enabled: bool,
    /// Where a page posts to, at the address that takes leads in.
    path: String,
    map: Option<Box<RawValue>>,
    set: Option<Box<RawValue>>,
    honeypot: Option<String>,
    redirect: Option<String>,
    allow_origins: Vec<String>,
    created_at: Option<Timestamp>,
}

impl ListRow for Form {
    const COLUMNS: &'static [Column<'static>] = &[
        column("id"),
        column("company_id").head("company").rank(3),
        column("name").place(1).cut(12),
        column("enabled").rank(2),
        column("redirect").rank(4).cut(12),
        column("path").rank(1),
    ];
}

impl From<v1::Form> for Form {
    fn from(it: v1::Form) -> Self {
        Self {
            id: it.id,
            company_id: it.company_id,
            name: it.name,
            enabled: it.enabled,
            path: it.path,
            map: RawValue::from_string(it.map).ok(),
            set: RawValue::from_string(it.constants).ok(),
            honeypot: text(it.honeypot),
            redirect: text(it.redirect),
            allow_origins: it.allow_origins,
            created_at: time(it.created_at),
        }
    }
}

/// `form delete`.
#[derive(Debug, Serialize)]
pub(crate) struct FormDeleted {
    pub(crate) id: String,
}
