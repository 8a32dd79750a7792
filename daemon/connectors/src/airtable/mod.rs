//! Airtable: one record for each lead, made or changed by one call that merges on the column with the lead's id.
//!
//! Names of error codes are from memory of the vendor's documents, statuses from the documents: so the status decides
//! wherever a code is not known.

mod config;
mod error;
mod probe;
mod push;
#[cfg(test)]
mod tests;

use crate::prelude::*;
use config::{Config, Credentials};

const NAME: &str = "airtable";
const VENDOR: Vendor = Vendor { name: NAME, failure: error::failure };
const API: &str = "https://api.airtable.com";
/// Airtable takes five calls a second for each base; the fifth is left to others.
const PACE: Pace = Pace { calls: 4, per: Duration::from_secs(1) };
/// The field whose column records are found by.
const KEY: &str = "lead.uuid";

/// The connector `airtable`.
#[derive(Debug)]
pub(super) struct Airtable;

impl TypedConnector for Airtable {
    type Config = Config;
    type Credentials = Credentials;
    const MANIFEST: &'static Manifest = &Manifest::of_records::<Self>(
        NAME,
        "Keeps one record for each lead in a table of an Airtable base",
        crm::columns,
    );

    fn mapping(&self, operators: &Value) -> Result<Mapping, Vec<Problem>> {
        let mapping = crm::read_mapping(&crm::columns(), operators)?;
        if key_of(&mapping).is_some() {
            return Ok(mapping);
        }
        let problem = format!("{KEY}: must go to a column, records are found by it; remove the null");
        Err(vec![Problem::at("mapping", problem)])
    }

    /// The quota is the base's, whoever calls.
    fn quota(&self, config: &Config, common: &Common, _credentials: &Value) -> String {
        format!("{} {}", common.base().map_or("", Url::as_str), config.base_id.0)
    }

    fn compile(&self, setup: Setup<'_, Self>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Compiled {
            base: setup.common.base_or(API).map_err(crm::unrenderable)?,
            base_id: setup.config.base_id.0,
            table: setup.config.table,
            key: key_of(&setup.mapping).unwrap_or_default(),
            mapping: setup.mapping,
            token: setup.credentials.token.0,
        }))
    }
}

/// The column that records are found by.
fn key_of(mapping: &Mapping) -> Option<String> {
    mapping.rules().iter().find(|rule| rule.field == KEY).and_then(|rule| rule.to.clone())
}

/// A table that is ready to get records.
#[derive(Debug)]
struct Compiled {
    base: Url,
    base_id: String,
    table: String,
    mapping: Mapping,
    key: String,
    token: Option<SecretString>,
}

#[async_trait]
impl Prepared for Compiled {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>> {
        push::row(&self.mapping, &self.key, push).map(|row| Some(crm::kept(row)))
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
        push::bring(self, push, ctx).await
    }

    fn records(&self, things: &Ids, _account: Option<&str>) -> Vec<Record> {
        named_as(&["record"], things, |_, id| {
            let is_id = self.table.starts_with("tbl");
            is_id.then(|| format!("https://airtable.com/{}/{}/{id}", self.base_id, self.table))
        })
    }

    fn pace(&self) -> Option<Pace> {
        Some(PACE)
    }

    async fn probe(&self, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
        probe::look(self, kind, ctx).await
    }
}

impl Compiled {
    fn rows(&self, method: Method) -> Request {
        Request::at(method, &self.base, &["v0", &self.base_id, &self.table])
    }
}
