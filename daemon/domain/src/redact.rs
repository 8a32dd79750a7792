//! What may be kept of a body that was refused: its form, without anybody's data.

use super::{
    ids::parse_ulid,
    json::{Json, JsonText},
};

/// The most that is kept, in bytes.
const KEPT_MAX: usize = 4096;
/// The most that is kept of a text, in characters.
const TEXT_MAX: usize = 64;
/// The most that is kept of what is no JSON, in characters.
const RAW_MAX: usize = 512;

/// Fields that say nothing about a person; list positions are left out of the paths.
const OPEN: [&str; 22] = [
    "event",
    "version",
    "lead.uuid",
    "lead.event_type",
    "lead.event_date",
    "lead.guest_count",
    "lead.gdpr_consent",
    "quote.uuid",
    "quote.subtotal_pence",
    "quote.rules_pence",
    "quote.vat_pence",
    "quote.total_pence",
    "quote.currency",
    "quote.items.quantity",
    "quote.items.unit_pence",
    "quote.items.total_pence",
    "viewing.starts_at",
    "viewing.ends_at",
    "location.id",
    "company.id",
    "data.score",
    "data.event",
];

/// A refused body as it may be kept: names stay, values are masked to their form, letters as `x` and digits as `9`,
/// but for fields that say nothing about a person.
#[must_use]
pub fn redact(body: &[u8]) -> String {
    let mut text = match Json::parse(body) {
        Ok(json) => redacted(&json, "").to_string(),
        Err(_) => mask(&String::from_utf8_lossy(&body[..body.len().min(4 * RAW_MAX)]), RAW_MAX),
    };
    if text.len() > KEPT_MAX {
        let end = (0..=KEPT_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

fn redacted(json: &Json, path: &str) -> Json {
    match json {
        Json::Null | Json::Bool(_) => json.clone(),
        Json::Number(number) if !is_open(path) => Json::string(&mask(number, TEXT_MAX)),
        Json::Number(number) if number.len() > TEXT_MAX => Json::string(&mask(number, TEXT_MAX)),
        Json::Number(_) => json.clone(),
        Json::String(text) => {
            let text = text.decode();
            // A form that mixes up its fields puts a name anywhere: only what cannot be one is shown.
            let is_shown = is_open(path) && text.len() <= TEXT_MAX && is_nobody(&text);
            if is_shown { json.clone() } else { Json::string(&mask(&text, TEXT_MAX)) }
        }
        Json::Array(items) => Json::Array(items.iter().map(|item| redacted(item, path)).collect()),
        Json::Object(members) => {
            let member = |(key, value): &(JsonText, Json)| {
                let name = key.decode();
                let path = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
                let is_name = name.len() <= TEXT_MAX
                    && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.$".contains(c));
                let key = if is_name { key.clone() } else { JsonText::new(&mask(&name, TEXT_MAX)) };
                (key, redacted(value, &path))
            };
            Json::Object(members.iter().map(member).collect())
        }
    }
}

/// Words of ours that such fields hold.
const WORDS: [&str; 10] = [
    "wedding",
    "corporate",
    "private_dining",
    "birthday",
    "other",
    "lead.created",
    "lead.updated",
    "v1",
    "yes",
    "no",
];

/// Whether a text is one of our words, a number, a date, a time, a currency or a uuid.
fn is_nobody(text: &str) -> bool {
    let is_time = text.chars().all(|c| !c.is_alphabetic() || matches!(c, 'T' | 'Z')) && !text.contains('@');
    let is_currency = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    WORDS.contains(&text) || is_time || is_currency || parse_ulid(text).is_ok()
}

/// What a sender was told, as it may be kept: what is quoted from what it sent is masked, unless it is the name of a
/// field.
#[must_use]
pub fn redact_detail(detail: &str) -> String {
    let quoted = |(at, part): (usize, &str)| {
        if at % 2 == 1 && !is_field(part) { mask(part, TEXT_MAX) } else { part.to_owned() }
    };
    detail.split('"').enumerate().map(quoted).collect::<Vec<_>>().join("\"")
}

/// A JSON pointer, as it may be kept: what is no name of a field and no position is masked.
#[must_use]
pub fn redact_pointer(pointer: &str) -> String {
    let segment = |part: &str| {
        let is_kept = is_field(part) || part.bytes().all(|byte| byte.is_ascii_digit());
        if is_kept { part.to_owned() } else { mask(part, TEXT_MAX) }
    };
    pointer.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// Whether a text is a name as fields have it, in small letters.
fn is_field(text: &str) -> bool {
    text.len() <= TEXT_MAX
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.".contains(&byte))
}

fn is_open(path: &str) -> bool {
    OPEN.contains(&path)
}

/// A text as its form: letters as `x`, digits as `9`.
pub(super) fn mask(text: &str, max: usize) -> String {
    let mut masked: String = text
        .chars()
        .take(max)
        .map(|c| match c {
            c if c.is_alphabetic() => 'x',
            c if c.is_numeric() => '9',
            c if c.is_ascii() && c != '\0' => c,
            _ => '·',
        })
        .collect();
    if text.chars().nth(max).is_some() {
        masked.push('…');
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobodys_data_is_kept() {
        for (body, expected) in [
            (
                r#"{"event":"lead.created","lead":{"name":"Sarah Patel","email":"sarah@example.com","phone":447700900123,
                    "event_type":"weding","event_date":"12/09/2026","guest_count":5001,"gdpr_consent":"yes","utm":null,"Ann's":1},
                    "quote":{"items":[{"name":"Hire","unit_pence":1.5}]}}"#,
                r#"{"event":"lead.created","lead":{"name":"xxxxx xxxxx","email":"xxxxx@xxxxxxx.xxx","phone":"999999999999","event_type":"xxxxxx","event_date":"12/09/2026","guest_count":5001,"gdpr_consent":"yes","utm":null,"xxx'x":"9"},"quote":{"items":[{"name":"xxxx","unit_pence":1.5}]}}"#,
            ),
            (
                r#"{"lead":{"event_type":"Sarah Patel","event_date":"sarah@example.com"}}"#,
                r#"{"lead":{"event_type":"xxxxx xxxxx","event_date":"xxxxx@xxxxxxx.xxx"}}"#,
            ),
            (
                r#"{"lead":{"event_type":"Sarah","uuid":"01J8H6KQH4YG3XR8RWM6T6XFQE"},"quote":{"currency":"GBP"},"viewing":{"starts_at":"2026-06-04T14:00:00+01:00"}}"#,
                r#"{"lead":{"event_type":"xxxxx","uuid":"01J8H6KQH4YG3XR8RWM6T6XFQE"},"quote":{"currency":"GBP"},"viewing":{"starts_at":"2026-06-04T14:00:00+01:00"}}"#,
            ),
            (r#"{"name": "Zoë", "#, r#"{"xxxx": "xxx", "#),
            ("", ""),
        ] {
            assert_eq!(redact(body.as_bytes()), expected, "{body}");
        }
        assert_eq!(redact(b"\xff\xfe7"), "··9");
        assert_eq!(
            redact_detail("duplicate key \"Sarah Patel\" in \"event_type\""),
            "duplicate key \"xxxxx xxxxx\" in \"event_type\""
        );
        assert_eq!(redact_pointer("/lead/Sarah Patel/0/event_type"), "/lead/xxxxx xxxxx/0/event_type");
        let long = format!(r#"{{"lead":{{"note":"{}"}}}}"#, "é".repeat(500));
        assert_eq!(redact(long.as_bytes()), format!(r#"{{"lead":{{"note":"{}…"}}}}"#, "x".repeat(64)));
        let many = format!("[{}1]", "\"ab\",".repeat(5000));
        assert!(redact(many.as_bytes()).len() <= KEPT_MAX + 3);
    }
}
