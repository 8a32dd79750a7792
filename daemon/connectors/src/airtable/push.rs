//! A push to Airtable: the lead as a row, written by one call.

use super::{Compiled, KEY, VENDOR, error};
use crate::{
    crm::{NEW, NOTES},
    prelude::*,
};

/// The longest text of a cell, in characters.
const CELL_MAX: usize = 100_000;

/// The request that makes or changes the record, and beside it what only a record gets that is made.
pub(super) fn row(mapping: &Mapping, key: &str, push: &Push<'_>) -> Result<Json> {
    let event = crm::event(push)?;
    let (mut fields, mut new, mut notes) = (Json::Object(Vec::new()), Json::Object(Vec::new()), Vec::new());
    let mut lesser = crm::lesser_name(mapping, &event, push);
    lesser.retain(|_| push.event == EventKind::Updated);
    for (column, value) in crm::fields(mapping, &event, push)? {
        let is_for_new = mapping.is_for_new(&column) || lesser.contains(&column.as_str());
        let part = if column != key && is_for_new { &mut new } else { &mut fields };
        if column != key || !value.is_null() {
            let (cell, name) = (cell(value, column == key), format!("column {column}"));
            part.insert(usize::MAX, &column, crm::fit(&name, cell, (CELL_MAX, crm::cut), &mut notes));
        }
    }
    if fields.get(key).is_none() {
        return Err(crm::unrenderable(format!("{KEY}: is empty, and records are found by it")));
    }
    let mut plan = Json::object([
        ("performUpsert", Json::object([("fieldsToMergeOn", Json::Array(vec![Json::string(key)]))])),
        ("records", Json::Array(vec![Json::object([("fields", fields)])])),
        ("typecast", Json::Bool(true)),
    ]);
    crm::put_extras(&mut plan, [new, Json::Null, Json::Array(notes)]);
    Ok(plan)
}

/// Writes what the lead says anew; a record that took the place of the known one gets all.
pub(super) async fn bring(ready: &Compiled, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
    let mut plan = crm::rendered(push, ctx)?;
    // What stands beside the request's own members.
    let [new, _] = [NEW, NOTES].map(|extra| plan.take_at(extra));
    let mut all = fields_of(&plan);
    // As it was rendered: the mapping may be another by now.
    let key = match plan.at("performUpsert.fieldsToMergeOn") {
        Some(Json::Array(keys)) => keys.first().map(crm::text).unwrap_or_default(),
        _ => String::new(),
    };
    let id = all.get(&key).cloned().unwrap_or(Json::Null);
    let mut is_made = false;
    if let Some(Json::Object(new)) = new
        && is_new(ready, &key, &crm::text(&id), ctx).await?
    {
        new.into_iter().for_each(|(column, value)| all.insert(usize::MAX, &column.decode(), value));
        is_made = true;
    }
    let written = Written::of(push, ctx).unless(is_made);
    let mut news = written.news(&all);
    news.insert(0, &key, id);
    let mut answer = write(ready, &plan, &key, &news, ctx).await?;
    if !written.is_empty() && id_in(&answer) != ctx.id("record") {
        answer = write(ready, &plan, &key, &all, ctx).await?;
    }
    if let Some(id) = id_in(&answer) {
        ctx.keep(&[("record", &id)]).await;
        written::keep(&all, ctx).await;
        crm::keep_name(push, ctx).await?;
    }
    Ok(())
}

/// Whether the table has no record of this id yet.
async fn is_new(ready: &Compiled, key: &str, id: &str, ctx: &mut Conversation<'_>) -> Result<bool> {
    // A formula, in which braces end names and quotes end texts.
    let (column, id) = (key.replace('}', "\\}"), id.replace('\\', "\\\\").replace('\'', "\\'"));
    let formula = format!("{{{column}}}&''='{id}'");
    // One cell of it: a record may be longer than what is read of an answer.
    let query = [("filterByFormula", formula.as_str()), ("maxRecords", "1"), ("fields[]", key)];
    let look = ready.rows(Method::GET).query(&query);
    Ok(VENDOR.listed(ctx, look.bearer(needed(&ready.token, "token")?), "records").await?.is_empty())
}

fn fields_of(plan: &Json) -> Json {
    let record = match plan.get("records") {
        Some(Json::Array(records)) => records.first(),
        _ => None,
    };
    record.and_then(|record| record.get("fields")).cloned().unwrap_or(Json::Null)
}

/// Writes the record, but for the columns that Airtable refuses; never without the one that it is found by.
async fn write(
    ready: &Compiled,
    plan: &Json,
    key: &str,
    fields: &Json,
    ctx: &mut Conversation<'_>,
) -> Result<Response> {
    let token = needed(&ready.token, "token")?;
    let request = |fields: &Json| {
        let mut body = plan.clone();
        body.set_at("records", Json::Array(vec![Json::object([("fields", fields.clone())])]));
        ready.rows(Method::PATCH).bearer(token).json(body.to_bytes())
    };
    let answer = without_refused(fields, ("column ", [key, ""]), error::flaws, request, ctx).await?;
    if error::is_done(&answer) { Ok(answer) } else { Err(error::failure(&answer, ctx.now)) }
}

fn id_in(answer: &Response) -> Option<String> {
    answer.json().and_then(|body| id_of(&body["records"][0]["id"]))
}

/// A value as a cell takes it; the key in one case, because a lead's id may come in either.
fn cell(value: Json, is_key: bool) -> Json {
    match value {
        Json::Array(_) | Json::Object(_) => Json::string(&value.to_string()),
        Json::String(text) if is_key => Json::string(&text.decode().to_ascii_uppercase()),
        other => other,
    }
}
