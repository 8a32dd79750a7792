//! Google Sheets: a row for each lead, found again by the lead's id, under a header row that people may arrange.
//!
//! Columns are found by what the header calls them, and only the cells of the mapping are written: what people add beside
//! them stays. Texts go in as texts, so that nothing a lead contains is taken for a formula.

mod config;
mod error;
mod probe;
mod push;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

use super::{
    Answer, Connector, Conversation, Found, Ids, Manifest, Pace, Prepared, Push, Record, Request, Token, crm,
    named_as, oauth, vendor::Vendor,
};
use config::Ready;
use leadline_domain::{
    address::EgressPolicy,
    integration::{Integration, ProbeKind},
    outcome::Failure,
};
use secrecy::SecretString;

const NAME: &str = "google_sheets";
const VENDOR: Vendor = Vendor { name: NAME, failure: error::failure };
/// A service account may read and write sixty times a minute each; they are counted together here.
const CALLS: u32 = 60;
const CALLS_PER: Duration = Duration::from_secs(60);
/// Google asks for one call at a time to each spreadsheet, and rows that are added at once could meet.
const CONNECTIONS: u32 = 1;

/// The connector `google_sheets`.
#[derive(Debug)]
pub(super) struct GoogleSheets;

static MANIFEST: Manifest = Manifest {
    checks_mapping: true,
    connections_max: Some(CONNECTIONS),
    ..Manifest::new(
        NAME,
        "Keeps one row for each lead in a sheet of a Google spreadsheet",
        config::FIELDS,
        config::CREDENTIALS,
    )
};

impl Connector for GoogleSheets {
    fn manifest(&self) -> &Manifest {
        &MANIFEST
    }

    /// The quota is the service account's, whichever spreadsheet it writes to.
    fn account(&self, config: &Value, credentials: &Value) -> String {
        format!("{} {}", config["base_url"], credentials["client_email"])
    }

    fn problems(&self, config: &Value, mapping: &Value, _egress: &EgressPolicy, _brand: &str) -> Vec<String> {
        config::problems(config, mapping)
    }

    fn credential_problems(&self, credentials: &Value, _egress: &EgressPolicy) -> Vec<String> {
        config::Account::of(credentials).err().into_iter().collect()
    }

    fn prepare(&self, integration: &Integration, _brand: &str) -> Result<Box<dyn Prepared>, Failure> {
        Ready::of(integration).map(|ready| Box::new(ready) as Box<dyn Prepared>).map_err(crm::unrenderable)
    }
}

#[async_trait]
impl Prepared for Ready {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>, Failure> {
        push::render(self, push).map(Some)
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
        self.account()?;
        push::bring(self, push, ctx).await
    }

    fn login(&self) -> Option<&dyn super::Login> {
        self.account.is_some().then_some(self)
    }

    fn keeps_ids(&self) -> bool {
        true
    }

    fn records(&self, things: &Ids, _account: Option<&str>) -> Vec<Record> {
        named_as(&["row"], things, |_, row| {
            let sheet = things.get(push::SHEET)?;
            Some(format!(
                "https://docs.google.com/spreadsheets/d/{}/edit#gid={sheet}&range={row}:{row}",
                self.spreadsheet
            ))
        })
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { calls: self.calls, per: CALLS_PER })
    }

    fn probes(&self, _kind: ProbeKind) -> bool {
        true
    }

    async fn probe(
        &self,
        kind: ProbeKind,
        ctx: &mut Conversation<'_>,
        found: &mut Found,
    ) -> Result<(), Failure> {
        self.account()?;
        probe::look(self, kind, ctx, found).await
    }
}

impl super::Login for Ready {
    fn request(&self, now: i64, _refresh: Option<&SecretString>) -> Result<Request, Failure> {
        self.account()?.log_in(&self.login_base, now)
    }

    fn token(&self, answer: &Answer, now: i64) -> Result<Token, Failure> {
        oauth::token(NAME, answer, "", now)
    }
}

#[cfg(test)]
mod tests;
