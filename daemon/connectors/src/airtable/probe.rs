//! Looks at a base: whose token it is, and what its tables say against what we want to write there.

use http::Method;
use serde_json::Value;

use super::{KEY, NAME, Ready, VENDOR, error};
use crate::{
    Conversation, Found, Problem, Request, crm,
    field_kind::{Kind, kind_brought},
    vendor::word,
};
use leadline_domain::{
    integration::ProbeKind,
    mapping::Mapping,
    nearest::unknown,
    outcome::{Failure, FailureClass},
};

/// The types of columns that Airtable merges on.
const MERGED: [&str; 6] =
    ["singleLineText", "multilineText", "number", "singleSelect", "multipleSelects", "date"];
/// The types of columns that Airtable fills itself.
const COMPUTED: [&str; 13] = [
    "aiText",
    "autoNumber",
    "button",
    "count",
    "createdBy",
    "createdTime",
    "externalSyncSource",
    "formula",
    "lastModifiedBy",
    "lastModifiedTime",
    "lookup",
    "multipleLookupValues",
    "rollup",
];

pub(super) async fn look(
    ready: &Ready,
    kind: ProbeKind,
    ctx: &mut Conversation<'_>,
    found: &mut Found,
) -> Result<(), Failure> {
    let token = ready.token()?;
    if kind != ProbeKind::Mapping {
        let whoami = Request::at(Method::GET, &ready.base, &["v0", "meta", "whoami"]).bearer(token);
        found.account = name_of(&VENDOR.json(ctx, whoami).await?);
    }
    let path = ["v0", "meta", "bases", &ready.base_id, "tables"];
    let tables = ctx.send(Request::at(Method::GET, &ready.base, &path).bearer(token)).await?;
    if let Some(schema) = tables.json().filter(|_| tables.is_good()) {
        found.findings = findings(&schema, &ready.table, &ready.mapping, &ready.key)
            .map_err(|problem| Failure::new(FailureClass::Rejected, format!("{NAME} {problem}")))?;
        return Ok(());
    }
    if tables.status != 403 || kind == ProbeKind::Mapping {
        return Err(error::failure(&tables, ctx.now));
    }
    VENDOR.json(ctx, ready.rows(Method::GET).query(&[("pageSize", "1")]).bearer(token)).await?;
    let finding = "the columns could not be checked: the token lacks the scope schema.bases:read";
    found.findings.push(finding.to_owned());
    Ok(())
}

fn name_of(user: &Value) -> Option<String> {
    word(user, "email").or_else(|| word(user, "id")).map(str::to_owned)
}

/// What is wrong with the mapping, a sentence each; an error if the table is not there.
fn findings(schema: &Value, table: &str, mapping: &Mapping, key: &str) -> Result<Vec<String>, Problem> {
    let tables = list(schema, "tables");
    let Some(found) = tables.iter().find(|one| is_called(one, table)) else {
        let names = tables.iter().filter_map(|one| word(one, "name"));
        return Err(Problem::at(
            "table",
            format!("{}: the base does not have it", unknown("table", table, names)),
        ));
    };
    let columns = list(found, "fields");
    let names: Vec<String> = columns
        .iter()
        .flat_map(|column| [word(column, "name"), word(column, "id")])
        .flatten()
        .map(str::to_owned)
        .collect();
    let mut findings = crm::unknown_targets(mapping, "column", &names);
    for rule in mapping.rules() {
        let Some(target) = rule.to.as_deref() else { continue };
        let column = columns.iter().find(|column| is_called(column, target));
        let kind = column.and_then(|column| word(column, "type")).unwrap_or_default();
        if COMPUTED.contains(&kind) {
            findings
                .push(format!("{}: Airtable fills column {target} itself ({kind}); use another", rule.field));
        } else if target == key && !kind.is_empty() && !MERGED.contains(&kind) {
            findings.push(format!(
                "{KEY}: Airtable finds no records by a column of type {kind}; make {key} single line text"
            ));
        } else if let Some(own) = kind_brought(rule).filter(|own| !fits(kind, *own)) {
            findings.push(format!("{}: column {target} holds {kind}, and this is {own}", rule.field));
        }
    }
    Ok(findings)
}

/// Whether a column takes values of this kind. What holds text takes all: Airtable writes anything else as text.
fn fits(column: &str, own: Kind) -> bool {
    match column {
        "number" | "currency" | "percent" | "duration" | "rating" => own == Kind::Number,
        "checkbox" => own == Kind::Truth,
        "date" | "dateTime" => matches!(own, Kind::Date | Kind::Time),
        "barcode" | "multipleAttachments" | "multipleCollaborators" | "singleCollaborator" => false,
        _ => true,
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn is_called(thing: &Value, name: &str) -> bool {
    word(thing, "id") == Some(name) || word(thing, "name") == Some(name)
}
