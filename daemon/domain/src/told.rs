//! A lead as lines that tell people of it: every field that came, in the order in which somebody who sells reads, amounts and
//! times as a person writes them, and what the sender added of its own at the end.

use serde_json::{Value, json};

use crate::{
    fields,
    json::Json,
    telling::Telling,
    texts::{cut, named, text},
};

/// So many lines tell of what a sender added, and of a quote's items.
const OWN_MAX: usize = 40;
const ITEMS_MAX: usize = 30;
/// The longest text of a field that only a sender knows, in characters.
const OWN_TEXT_MAX: usize = 2_000;
/// So many changes are told, and so much of each value, in characters.
const CHANGES_MAX: usize = 20;
const CHANGE_TEXT_MAX: usize = 120;
/// What has no line of its own. What happened is said above the lines, and the rest of it is for programs; the company is
/// who is told, and its name stands for a venue that has none; the last line says the uuid, or leads to it; the name is made
/// of its two halves; and by the ids the sender's own programs know quote and place, which no reader can look up.
const SILENT: &str = "event version event_id test company lead.uuid lead.profile.first_name lead.profile.last_name \
    quote.uuid location.id";

/// Those of [`columns`] that tables may lack, as they came later.
pub const YOUNG_COLUMNS: [&str; 3] = ["Company", "Position", "Website"];

/// The columns of a table with a row for each lead, in the order in which an empty one gets them.
#[must_use]
pub fn columns() -> Value {
    json!({
        "lead.uuid": "Lead ID",
        "lead.name": "Name",
        "lead.email": "Email",
        "lead.phone": "Phone",
        "lead.profile.company": "Company",
        "lead.profile.position": "Position",
        "lead.profile.website": "Website",
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

/// A line that tells of a lead: what it is called, and what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub label: String,
    pub value: String,
    /// Which fields it tells, with blanks between them; none where it is the sender's own, or is called otherwise.
    pub fields: &'static str,
    /// It says which lead it is, and where that is seen, whatever it is called.
    pub is_page: bool,
}

impl Line {
    #[must_use]
    pub fn new(label: impl Into<String>, value: String) -> Self {
        Self { label: label.into(), value, fields: "", is_page: false }
    }
}

/// What is told otherwise now, a line each: `Guests changed: 80 → 120`.
#[must_use]
pub fn changes(before: &[Line], now: &[Line]) -> Vec<Line> {
    let of = |lines: &[Line], label: &str| {
        lines.iter().find(|line| line.label == label).map(|line| line.value.clone())
    };
    let told = |value: Option<String>| {
        let value = value.unwrap_or_else(|| "none".to_owned());
        cut(&value.split_ascii_whitespace().collect::<Vec<_>>().join(" "), CHANGE_TEXT_MAX).into_owned()
    };
    let gone = before.iter().filter(|line| of(now, &line.label).is_none());
    let labels = now.iter().chain(gone).map(|line| &line.label);
    let changed = labels.filter_map(|label| {
        let (old, new) = (of(before, label), of(now, label));
        (old != new).then(|| Line::new(format!("{label} changed"), format!("{} → {}", told(old), told(new))))
    });
    let mut changes: Vec<_> = changed.collect();
    let more = changes.len().saturating_sub(CHANGES_MAX);
    changes.truncate(CHANGES_MAX);
    if more > 0 {
        changes.push(Line::new("Also changed", format!("{more} more fields")));
    }
    changes
}

/// A lead as lines. What it does not have is left out.
#[must_use]
pub fn lines_of(event: &Json, telling: &Telling) -> Vec<Line> {
    let at = |path: &str| filled(event.at(path));
    let locale = telling.locale();
    let amount = |minor| locale.amount(minor, &at("quote.currency").unwrap_or_default());
    let price = |path: &str| event.at(path)?.as_integer().map(amount);
    let consent = at("lead.gdpr_consent").filter(|told| named("true false", told));
    let consent = consent.map(|told| if told == "true" { "yes" } else { "no" }.to_owned());
    let utm = ["source", "medium", "campaign", "term", "content"];
    let utm: Vec<String> = utm.iter().filter_map(|part| at(&format!("lead.utm.{part}"))).collect();
    let utm = Some(utm.join(" / ")).filter(|utm| !utm.is_empty());
    let times = viewing(at("viewing.starts_at"), at("viewing.ends_at"), telling);
    let plain = |label: &'static str, field: &'static str| (label, field, at(field));
    let told = [
        plain("Name", "lead.name"),
        plain("Email", "lead.email"),
        plain("Phone", "lead.phone"),
        plain("Company", "lead.profile.company"),
        plain("Position", "lead.profile.position"),
        plain("Website", "lead.profile.website"),
        plain("Twitter", "lead.profile.twitter"),
        plain("LinkedIn", "lead.profile.linkedin"),
        plain("Score", "lead.profile.score"),
        ("Event type", "lead.event_type", at("lead.event_type").map(|kind| kind.replace('_', " "))),
        ("Event date", "lead.event_date", at("lead.event_date").map(|date| locale.day(&date))),
        plain("Guests", "lead.guest_count"),
        ("Subtotal", "quote.subtotal_pence", price("quote.subtotal_pence")),
        ("Rules", "quote.rules_pence", price("quote.rules_pence")),
        ("Quote total", "quote quote.total_pence", price("quote.total_pence")),
        ("Of it VAT", "quote.vat_pence", price("quote.vat_pence")),
        ("Items", "quote.items", items(event, amount)),
        plain("Proposal", "quote.proposal_url"),
        ("Viewing", "viewing viewing.starts_at viewing.ends_at", times),
        ("Venue", "location location.name company.name", at("location.name").or_else(|| at("company.name"))),
        plain("Notes", "lead.profile.notes"),
        ("Consent", "lead.gdpr_consent", consent),
        plain("Source", "lead.source_url"),
        ("Campaign", "lead.utm", utm),
    ];
    let mut lines = Vec::new();
    for (label, fields, value) in told {
        lines.extend(value.map(|value| Line { fields, ..Line::new(label, value) }));
    }
    let mut own = Vec::new();
    gather(event, "", &mut own);
    let more = own.len().saturating_sub(OWN_MAX);
    own.truncate(OWN_MAX);
    lines.extend(own);
    if more > 0 {
        lines.push(Line::new("And", format!("{more} more fields, in Leadline")));
    }
    let page = |uuid: String| telling.page_of(&uuid).unwrap_or(uuid);
    let page = at("lead.uuid").map(|uuid| Line::new("Lead", page(uuid)));
    lines.extend(page.map(|line| Line { is_page: true, fields: "lead.uuid", ..line }));
    lines
}

/// A value as text, if it says anything.
fn filled(value: Option<&Json>) -> Option<String> {
    value.map(text).filter(|text| !text.trim().is_empty())
}

/// What stands at no canonical field, each by its path: `budget`, `quote.discount`.
fn gather(value: &Json, path: &str, own: &mut Vec<Line>) {
    let Json::Object(members) = value else { return };
    for (key, value) in members {
        let key = key.decode();
        let at = if path.is_empty() { key.into_owned() } else { format!("{path}.{key}") };
        if named(SILENT, &at) {
            continue;
        }
        match (fields::find(&at), value) {
            (Some(_), Json::Object(_)) => gather(value, &at, own),
            (Some(_), _) => {}
            (None, _) => {
                let label = at.strip_prefix("lead.").unwrap_or(&at).replace('_', " ");
                let told = filled(Some(value)).map(|text| cut(&text, OWN_TEXT_MAX).into_owned());
                own.extend(told.map(|told| Line::new(label, told)));
            }
        }
    }
}

/// A line for each item of the quote: its name, how many, and what they cost.
fn items(event: &Json, amount: impl Fn(i128) -> String) -> Option<String> {
    let Json::Array(items) = event.at("quote.items")? else { return None };
    let told = |item: &Json| {
        let name = filled(item.get("name").or_else(|| item.get("description")));
        let quantity = filled(item.get("quantity")).filter(|many| many != "1");
        let cost = ["total_pence", "price_pence", "unit_price_pence"]
            .iter()
            .find_map(|key| item.get(key)?.as_integer());
        let name = name.unwrap_or_else(|| cut(&item.to_string(), 200).into_owned());
        let many = quantity.map(|many| format!("{many} × ")).unwrap_or_default();
        let cost = cost.map(|minor| format!(", {}", amount(minor))).unwrap_or_default();
        format!("{many}{name}{cost}")
    };
    let mut lines: Vec<String> = items.iter().take(ITEMS_MAX).map(told).collect();
    if items.len() > ITEMS_MAX {
        lines.push(format!("and {} more", items.len() - ITEMS_MAX));
    }
    Some(lines.join("\n")).filter(|lines| !lines.is_empty())
}

/// When it is, by the sender's clock or the company's, as far as it is known.
fn viewing(starts: Option<String>, ends: Option<String>, telling: &Telling) -> Option<String> {
    match starts {
        Some(starts) => Some(telling.time(&starts, ends.as_deref())),
        None => Some(format!("until {}", telling.time(&ends?, None))),
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        fields::{Leaf, Shape},
        texts::units,
    };

    use super::*;

    fn told_of(event: &Json) -> String {
        let lines = lines_of(event, &Telling::default());
        lines.iter().map(|line| format!("{}: {}\n", line.label, line.value)).collect()
    }

    /// A lead with a value of its own in every field.
    fn whole() -> Json {
        let mut event = Json::parse(b"{}").unwrap();
        for (n, field) in (1_000_i128..).zip(fields::FIELDS) {
            let value = match field.shape {
                Shape::Object => continue,
                Shape::List => Json::parse(br#"[{"name": "Hire"}]"#).unwrap(),
                Shape::Leaf(Leaf::Text) => Json::string(&format!("text {n}")),
                Shape::Leaf(Leaf::Integer) => Json::integer(n),
                Shape::Leaf(Leaf::Truth) => Json::Bool(true),
                Shape::Leaf(Leaf::Date) => Json::string("2026-09-12"),
                Shape::Leaf(Leaf::Time) => Json::string(&format!("2026-09-04T14:{:02}:00+01:00", n % 60)),
            };
            event.set_at(field.name, value);
        }
        event
    }

    #[test]
    fn every_canonical_field_is_told_or_silent() {
        let silent = |name: &str| SILENT.split(' ').any(|silent| fields::covers(silent, name));
        let all = told_of(&whole());
        for field in fields::FIELDS.iter().filter(|field| field.shape != Shape::Object) {
            let mut without = whole();
            without.take_at(field.name);
            assert!(silent(field.name) || told_of(&without) != all, "{} is told nowhere:\n{all}", field.name);
        }
        assert!(
            all.contains("Subtotal: 10.") && all.contains("Rules: 10.") && !all.contains("first name"),
            "{all}"
        );
    }

    #[test]
    fn what_a_sender_adds_is_bounded() {
        let own: Vec<String> = (0..60).map(|n| format!("\"f{n}\":\"{}\"", "x".repeat(5_000))).collect();
        let event = format!("{{\"lead\":{{{}}}}}", own.join(","));
        let lines = lines_of(&Json::parse(event.as_bytes()).unwrap(), &Telling::default());
        assert_eq!((lines.len(), lines.last().unwrap().value.as_str()), (41, "20 more fields, in Leadline"));
        assert!(lines.iter().all(|line| units(&line.value) <= 2_000));
    }

    #[test]
    fn a_viewing_of_which_one_end_is_known_is_told() {
        let told = |starts: Option<&str>, ends: Option<&str>| {
            viewing(starts.map(str::to_owned), ends.map(str::to_owned), &Telling::default())
        };
        let (start, end) = (Some("2026-09-04T14:00:00+01:00"), Some("2026-09-04T15:30:00+01:00"));
        assert_eq!(told(start, end).as_deref(), Some("4 September 2026, 14:00 to 15:30 (+01:00)"));
        assert_eq!(told(start, None).as_deref(), Some("4 September 2026, 14:00 (+01:00)"));
        assert_eq!(told(None, end).as_deref(), Some("until 4 September 2026, 15:30 (+01:00)"));
        assert_eq!((told(None, Some("late")).as_deref(), told(None, None)), (Some("until late"), None));
    }
}
