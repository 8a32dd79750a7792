//! The lead told to a person: every field that came, in the order in which somebody who sells reads, amounts and times as
//! a person writes them, and what the sender added of its own at the end.

use jiff::{Zoned, civil::Date};

use super::crm::{cut, escape_html, text, units};
use leadline_domain::{fields, json::Json, money};

/// So many lines tell of what a sender added, and of a quote's items.
const OWN_MAX: usize = 40;
const ITEMS_MAX: usize = 30;
/// The longest text of a field that only a sender knows, in characters.
const OWN_TEXT_MAX: usize = 2_000;
/// What is told elsewhere, or is no news to a person.
const SILENT: [&str; 6] = ["event", "version", "event_id", "test", "company", "lead.uuid"];

/// The lead as lines, each a label and what stands there. What the lead does not have is left out.
#[must_use]
pub fn lines(event: &Json) -> Vec<(String, String)> {
    let at = |path: &str| filled(event.at(path));
    let price = |path: &str| event.at(path)?.as_integer().map(|minor| amount(minor, at("quote.currency")));
    let consent = match event.at("lead.gdpr_consent").map(text).as_deref() {
        Some("true") => Some("yes".to_owned()),
        Some("false") => Some("no".to_owned()),
        _ => None,
    };
    let utm: Vec<String> = ["source", "medium", "campaign", "term", "content"]
        .iter()
        .filter_map(|part| at(&format!("lead.utm.{part}")))
        .collect();
    let told = [
        ("Name", at("lead.name")),
        ("Email", at("lead.email")),
        ("Phone", at("lead.phone")),
        ("Company", at("lead.profile.company")),
        ("Position", at("lead.profile.position")),
        ("Website", at("lead.profile.website")),
        ("Twitter", at("lead.profile.twitter")),
        ("LinkedIn", at("lead.profile.linkedin")),
        ("Score", at("lead.profile.score")),
        ("Event type", at("lead.event_type").map(|kind| kind.replace('_', " "))),
        ("Event date", at("lead.event_date").map(|date| day(&date))),
        ("Guests", at("lead.guest_count")),
        ("Quote total", price("quote.total_pence")),
        ("Of it VAT", price("quote.vat_pence")),
        ("Items", items(event)),
        ("Proposal", at("quote.proposal_url")),
        ("Viewing", viewing(at("viewing.starts_at"), at("viewing.ends_at"))),
        ("Venue", at("location.name").or_else(|| at("company.name"))),
        ("Notes", at("lead.profile.notes")),
        ("Consent", consent),
        ("Source", at("lead.source_url")),
        ("Campaign", Some(utm.join(" / ")).filter(|utm| !utm.is_empty())),
    ];
    let mut lines: Vec<(String, String)> =
        told.into_iter().filter_map(|(label, value)| Some((label.to_owned(), value?))).collect();
    let mut own = Vec::new();
    gather(event, "", &mut own);
    let more = own.len().saturating_sub(OWN_MAX);
    own.truncate(OWN_MAX);
    lines.extend(own);
    if more > 0 {
        lines.push(("And".to_owned(), format!("{more} more fields, in Leadline")));
    }
    lines.extend(at("lead.uuid").map(|uuid| ("Lead".to_owned(), uuid)));
    lines
}

/// A value as text, if it says anything.
fn filled(value: Option<&Json>) -> Option<String> {
    value.map(text).filter(|text| !text.trim().is_empty())
}

/// What stands at no canonical field, each by its path: `budget`, `quote.discount`.
fn gather(value: &Json, path: &str, own: &mut Vec<(String, String)>) {
    let Json::Object(members) = value else { return };
    for (key, value) in members {
        let key = key.decode();
        let at = if path.is_empty() { key.into_owned() } else { format!("{path}.{key}") };
        if SILENT.contains(&at.as_str()) {
            continue;
        }
        match (fields::find(&at), value) {
            (Some(_), Json::Object(_)) => gather(value, &at, own),
            (Some(_), _) => {}
            (None, _) => {
                let label = at.strip_prefix("lead.").unwrap_or(&at).replace('_', " ");
                let told = filled(Some(value)).map(|text| cut(&text, OWN_TEXT_MAX).into_owned());
                own.extend(told.map(|told| (label, told)));
            }
        }
    }
}

/// `£12,696.00`; a currency without a sign of its own goes behind.
fn amount(minor: i128, currency: Option<String>) -> String {
    let currency = currency.unwrap_or_default().trim().to_uppercase();
    let decimal = money::decimal(minor, &currency);
    let (sign, digits) = decimal.strip_prefix('-').map_or(("", decimal.as_str()), |digits| ("-", digits));
    let (whole, part) = digits.split_once('.').map_or((digits, ""), |(whole, part)| (whole, part));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if !part.is_empty() {
        grouped = format!("{grouped}.{part}");
    }
    match currency.as_str() {
        "GBP" => format!("{sign}£{grouped}"),
        "EUR" => format!("{sign}€{grouped}"),
        "" => format!("{sign}{grouped}"),
        other => format!("{sign}{grouped} {other}"),
    }
}

/// A line for each item of the quote: its name, how many, and what they cost.
fn items(event: &Json) -> Option<String> {
    let Json::Array(items) = event.at("quote.items")? else { return None };
    let currency = || filled(event.at("quote.currency"));
    let told = |item: &Json| {
        let name = filled(item.get("name").or_else(|| item.get("description")));
        let quantity = filled(item.get("quantity")).filter(|many| many != "1");
        let cost = ["total_pence", "price_pence", "unit_price_pence"]
            .iter()
            .find_map(|key| item.get(key)?.as_integer());
        let name = name.unwrap_or_else(|| cut(&item.to_string(), 200).into_owned());
        let many = quantity.map(|many| format!("{many} × ")).unwrap_or_default();
        let cost = cost.map(|minor| format!(", {}", amount(minor, currency()))).unwrap_or_default();
        format!("{many}{name}{cost}")
    };
    let mut lines: Vec<String> = items.iter().take(ITEMS_MAX).map(told).collect();
    if items.len() > ITEMS_MAX {
        lines.push(format!("and {} more", items.len() - ITEMS_MAX));
    }
    Some(lines.join("\n")).filter(|lines| !lines.is_empty())
}

/// `12 September 2026`; what is no date stays as it is.
fn day(text: &str) -> String {
    text.trim()
        .parse::<Date>()
        .map_or_else(|_| text.to_owned(), |date| date.strftime("%-d %B %Y").to_string())
}

/// `4 September 2026, 14:00 to 15:00 (+01:00)`, by the sender's clock.
fn viewing(starts: Option<String>, ends: Option<String>) -> Option<String> {
    let starts = starts?;
    let Some(start) = moment(&starts) else {
        return Some(ends.map_or_else(|| starts.clone(), |end| format!("{starts} to {end}")));
    };
    let end = ends.and_then(|end| moment(&end)).map(|end| {
        let end = end.with_time_zone(start.time_zone().clone());
        let same_day = end.date() == start.date();
        end.strftime(if same_day { " to %H:%M" } else { " to %-d %B %Y, %H:%M" }).to_string()
    });
    Some(format!(
        "{}{} ({})",
        start.strftime("%-d %B %Y, %H:%M"),
        end.unwrap_or_default(),
        start.strftime("%:z")
    ))
}

/// A time with its offset.
fn moment(text: &str) -> Option<Zoned> {
    let pieces = jiff::fmt::temporal::Pieces::parse(text.trim()).ok()?;
    let time = pieces.date().to_datetime(pieces.time()?);
    pieces.to_numeric_offset()?.to_time_zone().to_zoned(time).ok()
}

/// The lead as plain text, a line each.
#[must_use]
pub fn plain(event: &Json) -> String {
    let lines: Vec<String> = lines(event).iter().map(|(label, value)| format!("{label}: {value}")).collect();
    lines.join("\n")
}

/// The lead as HTML of at most so many UTF-16 units, a few hundred or more: the longest values are cut. What it contains
/// is escaped.
#[must_use]
pub fn html_within(event: &Json, max: usize) -> String {
    let lines = lines(event);
    let mut told = String::new();
    for limit in [usize::MAX, 16_000, 4_000, 1_000, 100] {
        let cut: Vec<String> = lines
            .iter()
            .map(|(label, value)| {
                let value = escape_html(&cut(value, limit)).replace('\n', "<br>");
                format!("<b>{}:</b> {value}", escape_html(label))
            })
            .collect();
        told = cut.join("<br>");
        if units(&told) <= max {
            break;
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(event: &str) -> String {
        plain(&Json::parse(event.as_bytes()).unwrap())
    }

    #[test]
    fn a_lead_is_told_to_people_without_what_it_lacks() {
        let event = r#"{"lead":{"uuid":"U1","name":"A <b>","email":"a@b.c","phone":"  ","event_type":"private_dining",
            "gdpr_consent":true,"utm":{"source":"google","medium":"cpc"}},"quote":{"total_pence":-5,"currency":"GBP"}}"#;
        assert_eq!(
            told(event),
            "Name: A <b>\nEmail: a@b.c\nEvent type: private dining\nQuote total: -£0.05\nConsent: yes\nCampaign: google / cpc\nLead: U1"
        );
        let html = html_within(&Json::parse(event.as_bytes()).unwrap(), usize::MAX);
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

    #[test]
    fn what_a_sender_adds_is_bounded() {
        let own: Vec<String> = (0..60).map(|n| format!("\"f{n}\":\"{}\"", "x".repeat(5_000))).collect();
        let event = format!("{{\"lead\":{{{}}}}}", own.join(","));
        let lines = lines(&Json::parse(event.as_bytes()).unwrap());
        assert_eq!((lines.len(), lines.last().unwrap().1.as_str()), (41, "20 more fields, in Leadline"));
        assert!(lines.iter().all(|(_, value)| units(value) <= 2_000));
    }

    #[test]
    fn money_days_and_times_are_written_as_a_person_writes_them() {
        for (minor, currency, expected) in [
            (1_269_600, "GBP", "£12,696.00"),
            (-123_456, "eur", "-€1,234.56"),
            (1_269_600, "JPY", "1,269,600 JPY"),
            (12_345, "KWD", "12.345 KWD"),
            (5, "", "0.05"),
        ] {
            assert_eq!(amount(minor, Some(currency.to_owned())), expected);
        }
        assert_eq!(day("2026-09-12"), "12 September 2026");
        assert_eq!(day("soon"), "soon");
        for (start, end, expected) in [
            (
                "2026-09-04T14:00:00+01:00",
                Some("2026-09-04T15:30:00+01:00"),
                "4 September 2026, 14:00 to 15:30 (+01:00)",
            ),
            (
                "2026-09-04T23:00:00+01:00",
                Some("2026-09-04T23:30:00Z"),
                "4 September 2026, 23:00 to 5 September 2026, 00:30 (+01:00)",
            ),
            ("2026-09-04T14:00:00Z", None, "4 September 2026, 14:00 (+00:00)"),
            ("tomorrow", Some("later"), "tomorrow to later"),
        ] {
            assert_eq!(viewing(Some(start.to_owned()), end.map(str::to_owned)).as_deref(), Some(expected));
        }
    }
}
