//! A push to Airtable: the lead as a row, written by one call.

use http::Method;

use super::{KEY, Ready, error};
use crate::{Conversation, Push, crm, vendor::id_of};
use leadline_domain::{json::Json, mapping::Mapping, outcome::Failure};

/// The longest text of a cell, in characters.
const CELL_MAX: usize = 100_000;

/// The request that makes or changes the record.
pub(super) fn row(mapping: &Mapping, key: &str, push: &Push<'_>) -> Result<Json, Failure> {
    let event = crm::event(push)?;
    let mut fields = Json::Object(Vec::new());
    for (column, value) in crm::fields(mapping, &event, push)? {
        if column != key || !value.is_null() {
            fields.insert(usize::MAX, &column, cell(value, column == key));
        }
    }
    if fields.get(key).is_none() {
        return Err(crm::unrenderable(format!("{KEY}: is empty, and records are found by it")));
    }
    let body = Json::object([
        ("performUpsert", Json::object([("fieldsToMergeOn", Json::Array(vec![Json::string(key)]))])),
        ("records", Json::Array(vec![Json::object([("fields", fields)])])),
        ("typecast", Json::Bool(true)),
    ]);
    Ok(body)
}

pub(super) async fn bring(ready: &Ready, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
    let token = ready.token()?;
    let body = push.rendered.cloned().unwrap_or_default();
    let answer = ctx.send(ready.rows(Method::PATCH).bearer(token).json(body)).await?;
    if !error::is_done(&answer) {
        return Err(error::failure(&answer, ctx.now));
    }
    let body = answer.json().unwrap_or_default();
    if let Some(id) = id_of(&body["records"][0]["id"]) {
        ctx.keep(&[("record", &id)]).await;
    }
    Ok(())
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
