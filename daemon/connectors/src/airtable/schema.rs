//! What a base says of its tables, against what we want to write there.

use serde_json::Value;

use super::KEY;
use crate::{
    crm,
    field_kind::{Kind, kind_of},
    vendor::word,
};
use leadline_domain::{mapping::Mapping, nearest::unknown};

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

/// What is wrong with the mapping, a sentence each; an error if the table is not there.
pub(super) fn findings(
    schema: &Value,
    table: &str,
    mapping: &Mapping,
    key: &str,
) -> Result<Vec<String>, String> {
    let tables = list(schema, "tables");
    let Some(found) = tables.iter().find(|one| is_called(one, table)) else {
        let names = tables.iter().filter_map(|one| word(one, "name"));
        return Err(format!("{}: the base does not have it", unknown("table", table, names)));
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
        } else if !rule.is_computed() && !fits(kind, kind_of(rule.field)) {
            let own = kind_of(rule.field);
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
