//! Leads that differ in all that matters to a vendor.

use bytes::Bytes;
use serde_json::{Value, json};

/// Every field of the canonical event, as text whose numbers and order count.
pub(crate) const FULL: &str = include_str!("leads/full.json");
/// The same lead, changed: other guests, another date, no phone any more.
pub(crate) const UPDATED: &str = include_str!("leads/updated.json");
/// What a lead must have, and nothing else.
pub(crate) const MINIMAL: &str = include_str!("leads/minimal.json");
/// What breaks requests that are put together carelessly.
pub(crate) const MAXIMAL: &str = include_str!("leads/maximal.json");

/// Every field of the canonical event, to be changed.
pub(crate) fn lead() -> Value {
    serde_json::from_str(include_str!("../../../../tests/fixtures/lead.json")).unwrap()
}

/// Nothing that may be absent.
pub(crate) fn minimal() -> Value {
    json!({"event": "lead.created", "version": "v1", "lead": {"uuid": "01j8h6kqh4yg3xr8rwm6t6xfqf", "name": "Cher",
        "email": " CHER@Example.com ", "event_type": "other", "event_date": "2026-01-31", "guest_count": 1,
        "gdpr_consent": false}, "company": {"id": 7, "name": "The Old Barn"}})
}

/// Everything, and all of it awkward.
pub(crate) fn maximal() -> Value {
    let mut lead = lead();
    lead["lead"] = json!({"uuid": "01j8h6kqh4yg3xr8rwm6t6xfqg", "name": "Zoë \"𝒵\" O'Brien-García 👰🤵",
        "email": "zoë.o'brien+venue@bücher.example", "phone": "+44 (0) 7700 900123 ext. \"9\"",
        "event_type": "private_dining", "event_date": "2028-02-29", "guest_count": 5000, "gdpr_consent": true,
        "source_url": "https://theoldbarn.co.uk/book?a=1&b=<script>",
        "utm": {"source": "google", "medium": "cpc", "campaign": "100% \\ off", "term": "barn", "content": "a/b"},
        "profile": {"first_name": "Zoë", "last_name": "O'Brien-García", "company": "Bücher & Söhne", "notes": "Line 1\nLine 2 <b>"},
        "budget": 1e3});
    lead["quote"]["rules_pence"] = json!(-138_001);
    lead["quote"]["total_pence"] = json!(999_999_999_999_i64);
    lead
}

/// Every field of the canonical event.
pub(crate) fn full() -> Bytes {
    let lead: Value = serde_json::from_str(include_str!("../../../../tests/fixtures/lead.json")).unwrap();
    lead.to_string().into()
}

/// What a lead must have, and nothing else.
pub(crate) fn minimal_bytes() -> Bytes {
    let lead = json!({
        "event": "lead.created", "version": "v1",
        "lead": {"uuid": "01j8h6kqh4yg3xr8rwm6t6xfqf", "name": "Cher", "email": "cher@example.com", "event_type": "other",
            "event_date": "2026-01-31", "guest_count": 1, "gdpr_consent": false},
        "company": {"id": 7, "name": "The Old Barn"}
    });
    lead.to_string().into()
}

/// What breaks requests that are put together carelessly.
pub(crate) fn maximal_bytes() -> Bytes {
    let mut lead: Value = serde_json::from_slice(&full()).unwrap();
    lead["lead"] = json!({
        "uuid": "01j8h6kqh4yg3xr8rwm6t6xfqg", "name": "Zoë \"𝒵\" O'Brien <!channel> *bold* 👰🤵\r\nBcc: evil@example.com",
        "email": "zoe@example.com\r\nBcc: evil@example.com", "phone": null, "event_type": "private_dining",
        "event_date": "2028-02-29", "guest_count": 5000, "gdpr_consent": true,
        "source_url": "https://theoldbarn.co.uk/book?a=1&b=<script>",
        "utm": {"source": "google", "campaign": "100% \\ off = more"},
        "profile": {"notes": "Line 1\nSubject: no\n.\r\n<https://evil.example|click> & more\u{202e}\u{7}"}
    });
    lead["quote"]["rules_pence"] = json!(-138_001);
    lead["quote"]["total_pence"] = json!(-5);
    lead["quote"]["proposal_url"] = json!("https://quote.innkept.com/p?a=1&b=|x>");
    lead.to_string().into()
}
