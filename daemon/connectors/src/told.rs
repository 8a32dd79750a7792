//! The lead told to a person: every field that came, in the order in which somebody who sells reads, amounts and times as
//! a person writes them, and what the sender added of its own at the end.

use super::{
    Push,
    crm::{cut, escape_html, text, units},
    vendor::{Terms, named},
};
use leadline_domain::{fields, integration::EventKind, json::Json, telling::Telling};

/// So many lines tell of what a sender added, and of a quote's items.
const OWN_MAX: usize = 40;
const ITEMS_MAX: usize = 30;
/// The longest text of a field that only a sender knows, in characters.
const OWN_TEXT_MAX: usize = 2_000;
/// So many changes are told, and so much of each value, in characters.
const CHANGES_MAX: usize = 20;
const CHANGE_TEXT_MAX: usize = 120;
/// The line that says which lead it is, and where it is seen, is cut to no less than this, in UTF-16 units.
const PAGE_MAX: usize = 1_000;
/// No value is cut to less than this so that a text fits, in UTF-16 units.
const SHORTEST: usize = 100;
/// What has no line of its own. What happened is said above the lines, and the rest of it is for programs; the company is
/// who is told, and its name stands for a venue that has none; the last line says the uuid, or leads to it; the name is made
/// of its two halves; and by the ids the sender's own programs know quote and place, which no reader can look up.
const SILENT: Terms = "event version event_id test company lead.uuid lead.profile.first_name lead.profile.last_name \
    quote.uuid location.id";

/// A line that tells of a lead: what it is called, and what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) label: String,
    pub(super) value: String,
    /// Which fields it tells, with blanks between them; none where it is the sender's own, or is called otherwise.
    pub(super) fields: &'static str,
    /// It says which lead it is, and where that is seen, whatever it is called.
    pub(super) is_page: bool,
}

impl Line {
    pub(super) fn new(label: impl Into<String>, value: String) -> Self {
        Self { label: label.into(), value, fields: "", is_page: false }
    }
}

/// The lead of a push as lines: what an update changed, then all that the lead has.
fn lines(event: &Json, push: &Push<'_>) -> Vec<Line> {
    let now = lines_of(event, push.telling);
    let before = before(push).map(|before| lines_of(&before, push.telling));
    let mut lines = before.map_or_else(Vec::new, |before| changes(&before, &now));
    lines.extend(now);
    lines
}

/// What the lead was before an update, if that is known.
pub(super) fn before(push: &Push<'_>) -> Option<Json> {
    let before = push.before.filter(|_| push.event == EventKind::Updated)?;
    Json::parse(before).ok()
}

/// What is told otherwise now, a line each: `Guests changed: 80 → 120`.
pub(super) fn changes(before: &[Line], now: &[Line]) -> Vec<Line> {
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
pub(super) fn lines_of(event: &Json, telling: &Telling) -> Vec<Line> {
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

/// Lines joined to a text that fits: the longest values are cut first, so that none pushes out what stands behind it. Where
/// the lead itself is seen stays whole.
pub(super) fn fitted(
    lines: &[Line],
    joint: &str,
    told_as: impl Fn(&Line, &str) -> String,
    fits: impl Fn(&str) -> bool,
) -> String {
    let told = |limit: usize| {
        let within = |line: &Line| if line.is_page { limit.max(PAGE_MAX) } else { limit };
        let cut = lines.iter().map(|line| told_as(line, &cut(&line.value, within(line))));
        cut.collect::<Vec<_>>().join(joint)
    };
    let longest = lines.iter().map(|line| units(&line.value)).max().unwrap_or_default();
    let (mut least, mut most) = (SHORTEST.min(longest), longest);
    if fits(&told(most)) {
        return told(most);
    }
    while least < most {
        let middle = least.midpoint(most + 1);
        if fits(&told(middle)) {
            least = middle;
        } else {
            most = middle - 1;
        }
    }
    told(least)
}

/// The lead as plain text that fits, a line each.
#[must_use]
pub fn plain(event: &Json, push: &Push<'_>, fits: impl Fn(&str) -> bool) -> String {
    fitted(&lines(event, push), "\n", |line, value| format!("{}: {value}", line.label), fits)
}

/// The note of a push as HTML that holds the lead in so many UTF-16 units. One whose answer was lost is found by the
/// delivery's id.
#[must_use]
pub fn html_note(event: &Json, push: &Push<'_>, max: usize) -> String {
    let heading = if push.event == EventKind::Updated { "Lead updated" } else { "New lead" };
    let told = html_within(event, push, max);
    format!("<b>{heading}</b><br><b>Delivery:</b> {}<br>{told}", push.id)
}

/// The lead as HTML of at most so many UTF-16 units, a few hundred or more. What it contains is escaped.
fn html_within(event: &Json, push: &Push<'_>, max: usize) -> String {
    let page = filled(event.at("lead.uuid")).and_then(|uuid| push.telling.page_of(&uuid));
    let line = |line: &Line, value: &str| {
        let (label, told) = (escape_html(&line.label), escape_html(value).replace('\n', "<br>"));
        if line.is_page && Some(value) == page.as_deref() {
            return format!("<b>{label}:</b> <a href=\"{told}\">{told}</a>");
        }
        format!("<b>{label}:</b> {told}")
    };
    fitted(&lines(event, push), "<br>", line, |told| units(told) <= max)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use leadline_domain::fields::{Leaf, Shape};

    use super::*;
    use crate::testkit::push;

    fn told(event: &str) -> String {
        plain(&Json::parse(event.as_bytes()).unwrap(), &push(&Bytes::new()), |_| true)
    }

    #[test]
    fn a_lead_is_told_to_people_without_what_it_lacks() {
        let event = r#"{"lead":{"uuid":"U1","name":"A <b>","email":"a@b.c","phone":"  ","event_type":"private_dining",
            "gdpr_consent":true,"utm":{"source":"google","medium":"cpc"}},"quote":{"total_pence":-5,"currency":"GBP"}}"#;
        assert_eq!(
            told(event),
            "Name: A <b>\nEmail: a@b.c\nEvent type: private dining\nQuote total: -£0.05\nConsent: yes\nCampaign: google / cpc\nLead: U1"
        );
        let html = html_within(&Json::parse(event.as_bytes()).unwrap(), &push(&Bytes::new()), usize::MAX);
        assert!(html.starts_with("<b>Name:</b> A &lt;b&gt;<br>"));
    }

    #[test]
    fn every_field_that_came_is_told_unknown_ones_last() {
        let event = r#"{"event":"lead.created","lead":{"uuid":"U1","name":"Ann","email":"a@b.c","budget":"5000",
            "message":"Is there\nparking?","blank":"","profile":{"company":"Acme","position":"CEO","website":"https://acme.example",
            "twitter":"@ann","linkedin":"in/ann","score":7,"notes":"VIP","pet":"cat"}},
            "quote":{"items":[{"name":"Hall","quantity":1,"total_pence":120000},{"name":"Chair","quantity":80,"price_pence":350}],
            "currency":"gbp","discount":"10%"},"extra":true}"#;
        assert_eq!(
            told(event),
            "Name: Ann\nEmail: a@b.c\nCompany: Acme\nPosition: CEO\nWebsite: https://acme.example\nTwitter: @ann\nLinkedIn: in/ann\nScore: 7\n\
            Items: Hall, £1,200.00\n80 × Chair, £3.50\nNotes: VIP\nbudget: 5000\nmessage: Is there\nparking?\nprofile.pet: cat\n\
            quote.discount: 10%\nextra: true\nLead: U1"
        );
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
        let told_of = |event: &Json| plain(event, &push(&Bytes::new()), |_| true);
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

    #[test]
    fn only_the_page_of_the_lead_is_a_link() {
        let event =
            Json::parse(br#"{"lead":{"uuid":"U1","Lead":"javascript://x"},"Lead":"https://evil.example/"}"#);
        let (event, none) = (event.unwrap(), Bytes::new());
        let telling = Telling::of(None, None, Some("https://example.com/{uuid}".to_owned()));
        let push = Push { telling: &telling, ..push(&none) };
        assert_eq!(
            html_within(&event, &push, usize::MAX),
            "<b>Lead:</b> javascript://x<br><b>Lead:</b> https://evil.example/<br>\
            <b>Lead:</b> <a href=\"https://example.com/U1\">https://example.com/U1</a>"
        );
    }

    #[test]
    fn an_update_tells_first_what_it_changed() {
        let before = Bytes::from_static(
            br#"{"event":"lead.created","lead":{"uuid":"U1","name":"Ann","guest_count":80,"phone":"+441","budget":"5000",
            "profile":{"notes":"one\ntwo"}},"quote":{"total_pence":120000,"currency":"GBP"}}"#,
        );
        let now = Bytes::from_static(
            br#"{"event":"lead.updated","lead":{"uuid":"U1","name":"Ann","guest_count":120,"email":"a@b.c","budget":"5000",
            "profile":{"notes":"one\nthree"}},"quote":{"total_pence":180000,"currency":"GBP"}}"#,
        );
        let telling = Telling::of(None, Some("de-DE"), Some("https://example.com/{uuid}".to_owned()));
        let update =
            Push { event: EventKind::Updated, before: Some(&before), telling: &telling, ..push(&now) };
        let event = Json::parse(&now).unwrap();
        assert_eq!(
            plain(&event, &update, |_| true),
            "Email changed: none → a@b.c\nGuests changed: 80 → 120\n\
            Quote total changed: 1.200,00\u{a0}£ → 1.800,00\u{a0}£\nNotes changed: one two → one three\nPhone changed: +441 → none\n\
            Name: Ann\nEmail: a@b.c\nGuests: 120\nQuote total: 1.800,00\u{a0}£\nNotes: one\nthree\nbudget: 5000\n\
            Lead: https://example.com/U1"
        );
        let unchanged = Push { before: Some(&now), ..update };
        assert!(plain(&event, &unchanged, |_| true).starts_with("Name: Ann"));
        let new = Push { event: EventKind::Created, ..update };
        assert!(plain(&event, &new, |_| true).starts_with("Name: Ann"), "only an update changes anything");
    }
}
