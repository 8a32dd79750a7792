//! Looks at a base: whose token it is, and what its tables say against what we want to write there.

use super::{Compiled, KEY, NAME, VENDOR, error};
use crate::prelude::*;
use leadline_domain::nearest::unknown;

/// The types of columns that Airtable merges on.
const MERGED: Terms = "singleLineText multilineText number singleSelect multipleSelects date";
/// The types of columns that Airtable fills itself.
const COMPUTED: Terms = "aiText autoNumber button count createdBy createdTime externalSyncSource formula lastModifiedBy \
    lastModifiedTime lookup multipleLookupValues rollup";

pub(super) async fn look(ready: &Compiled, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
    let token = needed(&ready.token, "token")?;
    if kind != ProbeKind::Mapping {
        let whoami = Request::at(Method::GET, &ready.base, &["v0", "meta", "whoami"]).bearer(token);
        ctx.found.account = name_of(&VENDOR.json(ctx, whoami).await?);
    }
    let path = ["v0", "meta", "bases", &ready.base_id, "tables"];
    let tables = ctx.send(Request::at(Method::GET, &ready.base, &path).bearer(token)).await?;
    if let Some(schema) = tables.json().filter(|_| tables.is_good()) {
        ctx.found.targets = columns(&schema, &ready.table)
            .map_err(|problem| Failure::new(FailureClass::Rejected, format!("{NAME} {problem}")))?;
        ctx.found.findings = schema::findings(&ready.mapping, "column", &ctx.found.targets);
        ctx.found.findings.extend(key_finding(&ready.key, &ctx.found.targets));
        return Ok(());
    }
    if tables.status != 403 || kind == ProbeKind::Mapping {
        return Err(error::failure(&tables, ctx.now));
    }
    VENDOR.json(ctx, ready.rows(Method::GET).query(&[("pageSize", "1")]).bearer(token)).await?;
    let finding = "the columns could not be checked: the token lacks the scope schema.bases:read";
    ctx.found.findings.push(finding.to_owned());
    Ok(())
}

fn name_of(user: &Value) -> Option<String> {
    word(user, "email").or_else(|| word(user, "id")).map(str::to_owned)
}

/// The columns of the table; an error if it is not there.
fn columns(schema: &Value, table: &str) -> Result<Vec<TargetField>, Problem> {
    let mut tables = each(&schema["tables"]);
    let names = tables.clone().filter_map(|one| word(one, "name"));
    let Some(found) = tables.find(|one| is_called(one, table)) else {
        return Err(Problem::at(
            "table",
            format!("{}: the base does not have it", unknown("table", table, names)),
        ));
    };
    Ok(each(&found["fields"]).filter_map(column).collect())
}

fn column(column: &Value) -> Option<TargetField> {
    let kind = word(column, "type").unwrap_or_default();
    // What holds text takes all: Airtable writes anything else as text.
    let takes = match kind {
        "number" | "currency" | "percent" | "duration" | "rating" => Takes::Number,
        "checkbox" => Takes::Truth,
        "date" | "dateTime" => Takes::Day,
        "barcode" | "multipleAttachments" | "multipleCollaborators" | "singleCollaborator" => Takes::Nothing,
        _ => Takes::Any,
    };
    let column = TargetField {
        aliases: word(column, "id").map(str::to_owned).into_iter().collect(),
        ..TargetField::new(word(column, "name")?, kind, takes)
    }
    .choosing(&column["options"]["choices"], "name", "name");
    Some(column.fixed(named(COMPUTED, kind), "Airtable fills it itself"))
}

/// What is wrong with the column that records are found by.
fn key_finding(key: &str, columns: &[TargetField]) -> Option<String> {
    let column = columns.iter().find(|column| column.is_called(key) && column.fixed.is_none())?;
    let kind = &column.kind;
    let is_merged = kind.is_empty() || named(MERGED, kind);
    (!is_merged).then(|| {
        format!("{KEY}: Airtable finds no records by a column of type {kind}; make {key} single line text")
    })
}

fn is_called(thing: &Value, name: &str) -> bool {
    word(thing, "id") == Some(name) || word(thing, "name") == Some(name)
}
