//! What the connectors that speak of people, deals and notes share: the mapped fields, the lead told to a person, texts
//! cut to a vendor's limits, and the search for the nearest existing name.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{Push, Result, config::Problem};
pub use crate::told::{html_within, plain};
use leadline_domain::{
    fanout::has_consent,
    json::Json,
    mapping::{Mapping, Rule},
    outcome::{Failure, FailureClass},
    template::Context,
};

/// The columns of a table with a row for each lead, in the order in which an empty one gets them.
#[must_use]
pub fn columns() -> Value {
    json!({
        "lead.uuid": "Lead ID",
        "lead.name": "Name",
        "lead.email": "Email",
        "lead.phone": "Phone",
        "lead.event_type": "Event type",
        "lead.event_date": "Event date",
        "lead.guest_count": "Guests",
        "lead.gdpr_consent": "Consent",
        "quote.total_pence": {"to": "Quote total", "value": "{{ quote.total_pence | money }}"},
        "quote.currency": "Currency",
        "quote.proposal_url": "Proposal",
        "viewing.starts_at": "Viewing start",
        "location.name": "Venue",
        "lead.profile.notes": "Notes",
        "lead.source_url": "Source URL",
        "lead.utm.source": "UTM source",
        "lead.utm.medium": "UTM medium",
        "lead.utm.campaign": "UTM campaign",
    })
}

/// Reads the operator's mapping, laid over a connector's own field by field.
pub fn read_mapping(own: &Value, operators: &Value) -> Result<Mapping, Vec<Problem>> {
    let laid = match operators {
        Value::Null => own.clone(),
        Value::Object(members) => {
            let mut laid = own.as_object().cloned().unwrap_or_default();
            laid.extend(members.clone());
            Value::Object(laid)
        }
        other => other.clone(),
    };
    Mapping::parse(&laid).map_err(|problems| Problem::all("mapping", problems))
}

/// What is wrong with the mapping of a connector that finds people by their address, which goes to this target.
#[must_use]
pub fn moved_email(mapping: &Mapping, target: &str) -> Option<Problem> {
    let is_key = |rule: &&Rule| {
        rule.field == "lead.email" && rule.to.as_deref() == Some(target) && !rule.is_computed()
    };
    if mapping.rules().iter().any(|rule| is_key(&rule)) {
        return None;
    }
    let problem = format!(
        "lead.email: goes to {target} as it is, for leads are found by it; take lead.email out of the mapping"
    );
    Some(Problem::at("mapping", problem))
}

/// What is wrong with the mapping of a connector that cannot tell which records are new.
#[must_use]
pub fn untold_new(mapping: &Mapping) -> Option<Problem> {
    let rule = mapping.rules().iter().find(|rule| rule.is_for_new())?;
    let problem =
        format!("{}: \"new\" must go: this connector cannot tell which records are new", rule.field);
    Some(Problem::at("mapping", problem))
}

/// A failure of the mapping: nothing was sent.
pub fn unrenderable(error: impl Into<String>) -> Failure {
    Failure::new(FailureClass::Mapping, error)
}

/// The event, if the lead agreed to be written to.
pub fn consented(vendor: &str, push: &Push<'_>) -> Result<Json> {
    let event = event(push)?;
    if has_consent(&event) {
        return Ok(event);
    }
    let error = format!("{vendor} was not called: the lead gave no consent");
    Err(Failure::new(FailureClass::Rejected, error))
}

/// The address of a lead, which its person is found by: trimmed and in lower case.
pub fn email(vendor: &str, event: &Json) -> Result<String> {
    let email = event.at("lead.email").map(text).unwrap_or_default().trim().to_lowercase();
    if email.is_empty() {
        let error = format!("{vendor} was not called: the lead has no email");
        return Err(Failure::new(FailureClass::Rejected, error));
    }
    Ok(email)
}

/// What was rendered for this push, as a tree.
pub fn rendered(push: &Push<'_>) -> Result<Json> {
    let rendered = push.rendered.map(Bytes::as_ref).unwrap_or_default();
    Json::parse(rendered).map_err(|error| unrenderable(format!("what was rendered cannot be read: {error}")))
}

/// A time in seconds since 1970 as vendors read it: `2026-11-21T12:00:00Z`.
#[must_use]
pub fn utc(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

/// The event of a push, as a tree.
pub fn event(push: &Push<'_>) -> Result<Json> {
    Json::parse(push.body).map_err(|error| unrenderable(format!("the event cannot be read: {error}")))
}

/// The target's fields with their values, in the order of the mapping. What the lead does not have is left out; null is
/// what a rule wants emptied.
pub fn fields(mapping: &Mapping, event: &Json, push: &Push<'_>) -> Result<Vec<(String, Json)>> {
    let context = Context::new(event, push.event, push.id);
    let mut fields = Vec::new();
    for (rule, target) in mapping.targets() {
        let value = rule.told(&context).map_err(|error| unrenderable(format!("{}: {error}", rule.field)))?;
        fields.extend(value.map(|value| (target.to_owned(), value)));
    }
    Ok(fields)
}

/// A value as text: what vendors take that know nothing but strings. Null is the empty text.
#[must_use]
pub fn text(value: &Json) -> String {
    match value.as_str() {
        None if value.is_null() => String::new(),
        Some(text) => text.into_owned(),
        None => value.to_string(),
    }
}

/// A JSON tree of ours as one that requests are built from; numbers keep their text.
#[must_use]
pub fn value(json: &Json) -> Value {
    serde_json::from_slice(&json.to_bytes()).unwrap_or(Value::Null)
}

/// How long a text is, in UTF-16 units: some vendors count them, the others characters, of which there are no more.
#[must_use]
pub fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Cuts a text to so many UTF-16 units, on the boundary of a character, the last one a mark that something is missing.
#[must_use]
pub fn cut(text: &str, max: usize) -> Cow<'_, str> {
    if units(text) <= max {
        return Cow::Borrowed(text);
    }
    let mut left = max.saturating_sub('…'.len_utf16());
    let fits = |character: &char| {
        let room = left.checked_sub(character.len_utf16());
        left = room.unwrap_or(left);
        room.is_some()
    };
    let mut cut: String = text.chars().take_while(fits).collect();
    cut.push('…');
    Cow::Owned(cut)
}

/// Cuts a text to so many bytes of UTF-8, on the boundary of a character, with a mark.
#[must_use]
pub fn cut_bytes(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    let room = max.saturating_sub('…'.len_utf8());
    let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    Cow::Owned(format!("{}…", &text[..end]))
}

/// The first word of a name and the rest; the rest is empty for a single word.
#[must_use]
pub fn split_name(name: &str) -> (&str, &str) {
    let name = name.trim();
    name.split_once(char::is_whitespace).map_or((name, ""), |(first, rest)| (first, rest.trim_start()))
}

/// Whether the lead's name was made from its address because the sender gave none. It names nobody, so it is never
/// written over what a record that exists is called.
#[must_use]
pub fn is_made_name(event: &Json) -> bool {
    let at = |path: &str| event.at(path).and_then(Json::as_str).unwrap_or_default().trim().to_lowercase();
    let name = at("lead.name");
    !name.is_empty() && name == at("lead.email")
}

/// Takes out of the fields a name that was made from the address.
pub fn drop_made_name(fields: &mut Vec<(String, Json)>, mapping: &Mapping, event: &Json) {
    if !is_made_name(event) {
        return;
    }
    for (rule, target) in mapping.targets() {
        if rule.field == "lead.name" && !rule.is_computed() {
            fields.retain(|(name, _)| name != target);
        }
    }
}

/// The fields of a person, by target. First and last name come from the lead's name where it has none of its own; a name
/// that was made from the address names nobody.
pub fn person_fields(mapping: &Mapping, event: &Json, push: &Push<'_>) -> Result<Vec<(String, Json)>> {
    let mut fields = fields(mapping, event, push)?;
    if is_made_name(event) {
        drop_made_name(&mut fields, mapping, event);
    } else {
        add_names(&mut fields, mapping, event);
    }
    Ok(fields)
}

fn add_names(fields: &mut Vec<(String, Json)>, mapping: &Mapping, event: &Json) {
    let Some(name) = event.at("lead.name").and_then(Json::as_str) else { return };
    let (first, rest) = split_name(&name);
    for (field, part) in [("lead.profile.first_name", first), ("lead.profile.last_name", rest)] {
        for (_, target) in mapping.targets().filter(|(rule, _)| rule.field == field) {
            if !part.is_empty() && !fields.iter().any(|(name, _)| name == target) {
                fields.push((target.to_owned(), Json::string(part)));
            }
        }
    }
}

/// What a deal is called: `Wedding – Sarah Patel – 2026-09-12`, within so many UTF-16 units.
#[must_use]
pub fn deal_title(event: &Json, max: usize) -> String {
    let at = |path: &str| event.at(path).map(text).unwrap_or_default();
    let kind = at("lead.event_type").replace('_', " ");
    let mut kind = kind.chars();
    let kind: String = kind.next().into_iter().flat_map(char::to_uppercase).chain(kind).collect();
    // A long name must not push out the date.
    let name = cut(&at("lead.name"), max - 60).into_owned();
    let parts = [kind, name, at("lead.event_date")].into_iter().filter(|part| !part.trim().is_empty());
    cut(&parts.collect::<Vec<_>>().join(" – "), max).into_owned()
}

/// Text that is safe within HTML.
#[must_use]
pub fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The members of an object as they are, for requests that are built from such.
#[must_use]
pub fn strings_of(fields: &Json) -> Map<String, Value> {
    match value(fields) {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// The fields as a JSON object whose values are all text.
#[must_use]
pub fn strings(fields: &[(String, Json)]) -> Map<String, Value> {
    fields.iter().map(|(name, value)| (name.clone(), json!(text(value)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_on_characters_with_a_mark() {
        for (text, max, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("日本語です", 3, "日本…"),
            ("👰🤵🎂", 6, "👰🤵🎂"),
            ("👰🤵🎂", 5, "👰🤵…"),
            ("👰🤵🎂", 4, "👰…"),
            ("a👰", 2, "a…"),
            ("", 0, ""),
        ] {
            let cut = cut(text, max);
            assert_eq!(cut, expected);
            assert!(units(&cut) <= max);
        }
        for (text, max, expected) in
            [("abcdef", 6, "abcdef"), ("abcdefg", 6, "abc…"), ("👰🤵🎂", 11, "👰🤵…"), ("👰🤵🎂", 10, "👰…")]
        {
            let cut = cut_bytes(text, max);
            assert_eq!(cut, expected);
            assert!(cut.len() <= max);
        }
    }

    #[test]
    fn names_are_split_at_the_first_word() {
        for (name, expected) in [
            ("Sarah Patel", ("Sarah", "Patel")),
            (" Ada  von Lovelace ", ("Ada", "von Lovelace")),
            ("Cher", ("Cher", "")),
            ("", ("", "")),
        ] {
            assert_eq!(split_name(name), expected);
        }
    }
}
