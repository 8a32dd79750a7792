//! Companies and intake keys.

use jiff::Timestamp;
use leadline_client::seconds;
use leadline_proto::v1;
use serde::Serialize;

use super::{Flow, shapes, text, time, word};
use crate::cli::columns::{Column, ListRow, column};
use crate::columns::company;

/// `company create`.
#[derive(Debug, Serialize)]
pub(crate) struct CompanyCreated {
    id: i64,
    name: String,
    plan: &'static str,
}

impl From<v1::Company> for CompanyCreated {
    fn from(it: v1::Company) -> Self {
        Self { plan: it.plan().word(), id: it.id, name: it.name }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Company {
    id: i64,
    name: String,
    plan: &'static str,
    brand: Option<String>,
    created_at: Option<Timestamp>,
    paused_at: Option<Timestamp>,
    quiet_hours: Option<u32>,
    last_lead_at: Option<Timestamp>,
    time_zone: Option<String>,
    locale: Option<String>,
    lead_url: Option<String>,
}

impl ListRow for Company {
    const COLUMNS: &'static [Column<'static>] =
        &[company::ID, company::NAME, company::PLAN, company::LAST_LEAD, company::PAUSED, company::CREATED];
}

impl From<v1::Company> for Company {
    fn from(it: v1::Company) -> Self {
        Self {
            plan: it.plan().word(),
            id: it.id,
            name: it.name,
            brand: text(it.brand),
            created_at: time(it.created_at),
            paused_at: time(it.paused_at),
            quiet_hours: it.quiet_after.map(|span| (seconds(span) / 3600.0) as u32),
            last_lead_at: time(it.last_lead_at),
            time_zone: text(it.time_zone),
            locale: text(it.locale),
            lead_url: text(it.lead_url),
        }
    }
}

/// `company show`: everything of a company on one page.
#[derive(Debug, Serialize)]
pub(crate) struct CompanyPage {
    #[serde(flatten)]
    company: Company,
    leads_24h: u64,
    refused_24h: u64,
    keys: Vec<IntakeKey>,
    integrations: Vec<Card>,
    flows: Vec<Flow>,
}

/// An integration as far as a company's page shows it.
#[derive(Debug, Serialize)]
struct Card {
    id: String,
    name: String,
    connector: String,
    badge: &'static str,
    dead: u64,
    held: u64,
    pending: u64,
    last_pushed_at: Option<Timestamp>,
    last_error: Option<String>,
}

impl From<v1::Integration> for Card {
    fn from(it: v1::Integration) -> Self {
        let health = it.health.unwrap_or_default();
        Self {
            id: it.id,
            name: it.name,
            connector: it.connector,
            badge: health.badge().word(),
            dead: health.dead,
            held: health.held,
            pending: health.pending,
            last_pushed_at: time(health.last_pushed_at),
            last_error: text(health.last_error),
        }
    }
}

impl From<v1::GetCompanyPageResponse> for CompanyPage {
    fn from(it: v1::GetCompanyPageResponse) -> Self {
        Self {
            company: it.company.unwrap_or_default().into(),
            leads_24h: it.leads_24h,
            refused_24h: it.refused_24h,
            keys: shapes(it.keys),
            integrations: shapes(it.integrations),
            flows: shapes(it.flows),
        }
    }
}

/// `intake-key create`: the one time that the key is seen.
#[derive(Debug, Serialize)]
pub(crate) struct KeyCreated {
    id: String,
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_secret: Option<String>,
}

impl From<v1::CreateIntakeKeyResponse> for KeyCreated {
    fn from(it: v1::CreateIntakeKeyResponse) -> Self {
        Self { id: it.id, key: text(it.key), signing_secret: text(it.signing_secret) }
    }
}

/// An intake key, without the key itself.
#[derive(Debug, Serialize)]
pub(crate) struct IntakeKey {
    id: String,
    company_id: i64,
    prefix: String,
    require_signature: bool,
    /// any, standard or simple; null if none is required.
    signature: Option<&'static str>,
    may_read: bool,
    allow_origins: Vec<String>,
    rate_per_second: Option<f64>,
    created_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

impl ListRow for IntakeKey {
    const COLUMNS: &'static [Column<'static>] = &[
        column("id"),
        column("company_id").head("company").rank(3),
        column("prefix").place(1),
        column("signature").rank(2),
        column("may_read").rank(3),
        column("rate_per_second").rank(4),
        column("last_used_at").head("last used").rank(1),
        column("created_at").rank(2),
        column("revoked_at").rank(1),
    ];
}

impl From<v1::IntakeKey> for IntakeKey {
    fn from(it: v1::IntakeKey) -> Self {
        Self {
            signature: word(it.signature().word()),
            id: it.id,
            company_id: it.company_id,
            prefix: it.prefix,
            require_signature: it.require_signature,
            may_read: it.may_read,
            allow_origins: it.allow_origins,
            rate_per_second: it.rate_per_second,
            created_at: time(it.created_at),
            revoked_at: time(it.revoked_at),
            last_used_at: time(it.last_used_at),
        }
    }
}
