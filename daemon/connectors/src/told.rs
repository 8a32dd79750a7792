//! The lead told to a person, in a text or HTML that fits.

use super::{
    Push,
    crm::{cut, escape_html, text, units},
};
pub(super) use leadline_domain::told::{Line, changes, lines_of};
use leadline_domain::{integration::EventKind, json::Json};

/// The line that says which lead it is, and where it is seen, is cut to no less than this, in UTF-16 units.
const PAGE_MAX: usize = 1_000;
/// No value is cut to less than this so that a text fits, in UTF-16 units.
const SHORTEST: usize = 100;

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
    let page = event.at("lead.uuid").map(text).and_then(|uuid| push.telling.page_of(&uuid));
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

    use leadline_domain::telling::Telling;

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
