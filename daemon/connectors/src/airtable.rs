//! Airtable: one record for each lead, made or changed by one call that merges on the column with the lead's id.
//!
//! Names of error codes are from memory of the vendor's documents, statuses from the documents: so the status decides
//! wherever a code is not known.

mod schema;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

use super::{
    ConfigField, Connector, Conversation, Found, Ids, Manifest, Pace, Prepared, Push, Record, Request,
    Response, config, crm, named_as,
    vendor::{self, Vendor, word},
};
use leadline_domain::{
    address::EgressPolicy,
    integration::{Integration, ProbeKind},
    json::Json,
    mapping::Mapping,
    outcome::{Failure, FailureClass},
};

const NAME: &str = "airtable";
const VENDOR: Vendor = Vendor { name: NAME, failure };
const API: &str = "https://api.airtable.com";
/// Airtable takes five calls a second for each base; the fifth is left to others.
const PACE: Pace = Pace { calls: 4, per: Duration::from_secs(1) };
/// After a 429 nothing succeeds for so long.
const PENALTY: Duration = Duration::from_secs(30);
/// A monthly allowance that is used up comes back by an upgrade or a new month: it is looked for now and then.
const MONTHLY: Duration = Duration::from_secs(60 * 60);
/// The longest text of a cell, in characters.
const CELL_MAX: usize = 100_000;
/// The field whose column records are found by.
const KEY: &str = "lead.uuid";

/// The connector `airtable`.
#[derive(Debug)]
pub(super) struct Airtable;

const FIELDS: &[ConfigField] = &[
    ConfigField::required(
        "base_id",
        "text",
        "The id of the base, app…: it stands in the address bar when the base is open",
    ),
    ConfigField::required(
        "table",
        "text",
        "The table that gets the records: its id, tbl…, which survives renaming, or its name",
    ),
];

const CREDENTIALS: &[ConfigField] = &[ConfigField::required(
    "token",
    "text",
    "A personal access token, pat…, with data.records:read, data.records:write and schema.bases:read, for the base",
)];

/// The columns that the docs page has the operator make.
fn own_mapping() -> Value {
    json!({
        "lead.uuid": "Lead ID",
        "lead.name": "Name",
        "lead.email": "Email",
        "lead.phone": "Phone",
        "lead.event_type": "Event type",
        "lead.event_date": "Event date",
        "lead.guest_count": "Guests",
        "lead.gdpr_consent": "Consent",
        "lead.source_url": "Source URL",
        "lead.utm.source": "UTM source",
        "lead.utm.medium": "UTM medium",
        "lead.utm.campaign": "UTM campaign",
        "quote.total_pence": {"to": "Quote total", "value": "{{ quote.total_pence | money }}"},
        "quote.currency": "Currency",
        "quote.proposal_url": "Proposal",
        "viewing.starts_at": "Viewing start",
        "location.name": "Venue",
    })
}

static MANIFEST: Manifest = Manifest {
    checks_mapping: true,
    ..Manifest::new(
        NAME,
        "Keeps one record for each lead in a table of an Airtable base",
        FIELDS,
        CREDENTIALS,
    )
};

impl Connector for Airtable {
    fn manifest(&self) -> &Manifest {
        &MANIFEST
    }

    /// The quota is the base's, whoever calls.
    fn account(&self, config: &Value, _credentials: &Value) -> String {
        format!("{} {}", config["base_url"], config["base_id"])
    }

    fn problems(&self, config: &Value, mapping: &Value, _egress: &EgressPolicy, _brand: &str) -> Vec<String> {
        let mut problems = read_mapping(mapping).err().unwrap_or_default();
        if config::text(config, "base_id").is_some_and(|id| id.contains(['/', '?', '#', ' '])) {
            problems.push("base_id must be the id alone, as appAbCdEfGhIjKlMn, not the address".to_owned());
        }
        problems
    }

    fn prepare(&self, integration: &Integration, _brand: &str) -> Result<Box<dyn Prepared>, Failure> {
        let config = &integration.config;
        let base = config::base_or(config, API).map_err(crm::unrenderable)?;
        let (mapping, key) = read_mapping(&integration.mapping)
            .map_err(|problems| crm::unrenderable(format!("mapping: {}", problems.join("; "))))?;
        let text = |key: &str| config::text(config, key).unwrap_or_default().trim().to_owned();
        Ok(Box::new(Ready {
            base,
            base_id: text("base_id"),
            table: text("table"),
            mapping,
            key,
            token: config::credential(&integration.credentials, "token"),
        }))
    }
}

/// The mapping with the operator's laid over ours, and the column that records are found by.
fn read_mapping(mapping: &Value) -> Result<(Mapping, String), Vec<String>> {
    if !matches!(mapping, Value::Null | Value::Object(_)) {
        return Err(Mapping::parse(mapping).err().unwrap_or_default());
    }
    let mapping = Mapping::parse(&crm::overlay(&own_mapping(), mapping))?;
    let key = mapping.rules().iter().find(|rule| rule.field == KEY).and_then(|rule| rule.to.clone());
    match key {
        Some(key) => Ok((mapping, key)),
        None => Err(vec![format!("{KEY}: must go to a column, records are found by it; remove the null")]),
    }
}

/// A table that is ready to get records.
#[derive(Debug)]
struct Ready {
    base: Url,
    base_id: String,
    table: String,
    mapping: Mapping,
    key: String,
    token: Option<SecretString>,
}

#[async_trait]
impl Prepared for Ready {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>, Failure> {
        let event = crm::event(push)?;
        let mut fields = Json::Object(Vec::new());
        for (column, value) in crm::fields(&self.mapping, &event, push)? {
            fields.insert(usize::MAX, &column, cell(value, column == self.key));
        }
        if fields.get(&self.key).is_none() {
            return Err(crm::unrenderable(format!("{KEY}: is empty, and records are found by it")));
        }
        let body = Json::object([
            (
                "performUpsert",
                Json::object([("fieldsToMergeOn", Json::Array(vec![Json::string(&self.key)]))]),
            ),
            ("records", Json::Array(vec![Json::object([("fields", fields)])])),
            ("typecast", Json::Bool(true)),
        ]);
        Ok(Some(body.to_bytes()))
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
        let token = self.token()?;
        let body = push.rendered.cloned().unwrap_or_default();
        let answer = ctx.send(self.rows(Method::PATCH).bearer(token).json(body)).await?;
        if !is_done(&answer) {
            return Err(failure(&answer, ctx.now));
        }
        let body = answer.json().unwrap_or_default();
        if let Some(id) = vendor::id_of(&body["records"][0]["id"]) {
            ctx.keep(&[("record", &id)]).await;
        }
        Ok(())
    }

    fn keeps_ids(&self) -> bool {
        true
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

    fn probes(&self, _kind: ProbeKind) -> bool {
        true
    }

    async fn probe(
        &self,
        kind: ProbeKind,
        ctx: &mut Conversation<'_>,
        found: &mut Found,
    ) -> Result<(), Failure> {
        let token = self.token()?;
        if kind != ProbeKind::Mapping {
            let whoami = Request::at(Method::GET, &self.base, &["v0", "meta", "whoami"]).bearer(token);
            found.account = name_of(&VENDOR.json(ctx, whoami).await?);
        }
        let path = ["v0", "meta", "bases", &self.base_id, "tables"];
        let tables = ctx.send(Request::at(Method::GET, &self.base, &path).bearer(token)).await?;
        if let Some(schema) = tables.json().filter(|_| tables.is_good()) {
            found.findings = schema::findings(&schema, &self.table, &self.mapping, &self.key)
                .map_err(|problem| Failure::new(FailureClass::Rejected, format!("{NAME} {problem}")))?;
            return Ok(());
        }
        if tables.status != 403 || kind == ProbeKind::Mapping {
            return Err(failure(&tables, ctx.now));
        }
        VENDOR.json(ctx, self.rows(Method::GET).query(&[("pageSize", "1")]).bearer(token)).await?;
        let finding = "the columns could not be checked: the token lacks the scope schema.bases:read";
        found.findings.push(finding.to_owned());
        Ok(())
    }
}

impl Ready {
    fn token(&self) -> Result<&SecretString, Failure> {
        self.token.as_ref().ok_or_else(|| config::no_credentials("token"))
    }

    fn rows(&self, method: Method) -> Request {
        Request::at(method, &self.base, &["v0", &self.base_id, &self.table])
    }
}

/// A value as a cell takes it; the key in one case, because a lead's id may come in either.
fn cell(value: Json, is_key: bool) -> Json {
    match value {
        Json::Array(_) | Json::Object(_) => Json::string(&crm::cut(&value.to_string(), CELL_MAX)),
        Json::String(text) if is_key => Json::string(&text.decode().to_ascii_uppercase()),
        Json::String(text) => Json::string(&crm::cut(&text.decode(), CELL_MAX)),
        other => other,
    }
}

fn name_of(user: &Value) -> Option<String> {
    word(user, "email").or_else(|| word(user, "id")).map(str::to_owned)
}

/// Whether the record is written. An answer that is cut still says so.
fn is_done(response: &Response) -> bool {
    let has_records = |body: Value| body.get("records").is_some_and(Value::is_array);
    let is_cut = response.truncated && response.body.starts_with(b"{\"records\"");
    response.is_good() && response.json().map_or(is_cut, has_records)
}

/// What went wrong: by Airtable's code, else by the status.
fn failure(response: &Response, now: i64) -> Failure {
    let by_status = vendor::by_status(NAME, response, now);
    let told = response.json().and_then(|body| code_of(&body));
    let failure = match &told {
        Some((code, message)) => {
            Failure { error: vendor::told(NAME, by_status.class, code, message).error, ..by_status }
        }
        None => by_status,
    };
    let code = told.as_ref().map_or("", |(code, _)| code.as_str());
    match (code, response.status) {
        ("PUBLIC_API_BILLING_LIMIT_EXCEEDED", _) => vendor::waiting(failure, response, now, MONTHLY),
        (_, 429) => vendor::waiting(failure, response, now, PENALTY),
        _ => failure,
    }
}

/// Code and message, in each of the shapes that Airtable answers with.
fn code_of(body: &Value) -> Option<(String, String)> {
    let message = |error: &Value| word(error, "message").unwrap_or_default().to_owned();
    let first = body.get("errors").and_then(|errors| errors.get(0));
    if let Some(error) = first {
        return Some((word(error, "error")?.to_owned(), message(error)));
    }
    match body.get("error")? {
        Value::String(code) => Some((code.clone(), message(body))),
        error => Some((word(error, "type")?.to_owned(), message(error))),
    }
}

#[cfg(test)]
mod tests;
