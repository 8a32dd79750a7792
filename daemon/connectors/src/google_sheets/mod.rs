//! Google Sheets: a row for each lead, found again by the lead's id, under a header row that people may arrange.
//!
//! Columns are found by what the header calls them, and only the cells of the mapping are written: what people add beside
//! them stays. Texts go in as texts, so that nothing a lead contains is taken for a formula.

mod config;
mod error;
mod probe;
mod push;

use crate::prelude::*;
use config::{Account, Config, Credentials};

const NAME: &str = "google_sheets";
const VENDOR: Vendor = Vendor { name: NAME, failure: error::failure };
const API: &str = "https://sheets.googleapis.com";
const LOGIN: &str = "https://oauth2.googleapis.com";
/// The field whose column rows are found by.
const KEY: &str = "lead.uuid";
/// A service account may read and write sixty times a minute each; they are counted together here.
const CALLS_PER: Duration = Duration::from_secs(60);
/// Google asks for one call at a time to each spreadsheet, and rows that are added at once could meet.
const CONNECTIONS: u32 = 1;

/// The connector `google_sheets`.
#[derive(Debug)]
pub(super) struct GoogleSheets;

impl TypedConnector for GoogleSheets {
    type Config = Config;
    type Credentials = Credentials;
    const MANIFEST: &'static Manifest = &Manifest::of_records::<Self>(
        NAME,
        "Keeps one row for each lead in a sheet of a Google spreadsheet",
        crm::columns,
    )
    .connections(CONNECTIONS);

    fn mapping(&self, operators: &Value) -> Result<Mapping, Vec<Problem>> {
        let mapping = crm::read_mapping(&crm::columns(), operators)?;
        if key_of(&mapping).is_some() {
            return Ok(mapping);
        }
        let problem = format!("{KEY}: must go to a column as it is, for rows are found by it");
        Err(vec![Problem::at("mapping", problem)])
    }

    fn compile(&self, setup: Setup<'_, Self>) -> Result<Box<dyn Prepared>> {
        let base = |own| setup.common.base_or(own).map_err(crm::unrenderable);
        Ok(Box::new(Compiled {
            base: base(API)?,
            login_base: base(LOGIN)?,
            spreadsheet: setup.config.spreadsheet_id.0,
            sheet: setup.config.sheet,
            calls: setup.config.calls_per_minute.get(),
            key: key_of(&setup.mapping).unwrap_or_default(),
            mapping: setup.mapping,
            account: Account::of(setup.credentials),
        }))
    }
}

/// The column that rows are found by.
fn key_of(mapping: &Mapping) -> Option<String> {
    let key = mapping.rules().iter().find(|rule| rule.field == KEY && !rule.is_computed());
    key.and_then(|rule| rule.to.clone())
}

/// A sheet that is ready to get rows.
#[derive(Debug)]
struct Compiled {
    base: Url,
    login_base: Url,
    spreadsheet: String,
    sheet: String,
    calls: u32,
    mapping: Mapping,
    key: String,
    account: Option<Account>,
}

#[async_trait]
impl Prepared for Compiled {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>> {
        push::render(self, push).map(Some)
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
        needed(&self.account, "private_key")?;
        push::bring(self, push, ctx).await
    }

    fn login(&self) -> Option<&dyn super::Login> {
        self.account.is_some().then_some(self)
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

    async fn probe(&self, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
        needed(&self.account, "private_key")?;
        probe::look(self, kind, ctx).await
    }
}

impl super::Login for Compiled {
    fn request(&self, now: Moment, _refresh: Option<&SecretString>) -> Result<Request> {
        needed(&self.account, "private_key")?.log_in(&self.login_base, now)
    }

    fn token(&self, answer: &Answer, now: Moment) -> Result<Token> {
        oauth::token(NAME, answer, "", now)
    }
}

#[cfg(test)]
mod tests;
