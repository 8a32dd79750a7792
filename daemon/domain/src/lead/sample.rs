//! The lead that test pushes bring: every field of the canonical event is there.

use crate::{ids::CompanyId, json::Json};

/// The sample event of a company.
#[must_use]
pub fn sample(company: CompanyId, name: &str) -> Json {
    let item = |name: &str, quantity, unit_pence| {
        Json::object([
            ("name", Json::string(name)),
            ("quantity", Json::integer(quantity)),
            ("unit_pence", Json::integer(unit_pence)),
            ("total_pence", Json::integer(quantity * unit_pence)),
        ])
    };
    Json::object([
        ("event", Json::string("webhook.test")),
        ("version", Json::string("v1")),
        ("lead", lead()),
        (
            "quote",
            Json::object([
                ("uuid", Json::string("01j8h6kqh5gqp8m8t9wnf8c2y0")),
                ("proposal_url", Json::string("https://example.com/p/9f3aXjh2z6kQpTu1mVeR")),
                ("subtotal_pence", Json::integer(710_000)),
                ("rules_pence", Json::integer(-10_000)),
                ("vat_pence", Json::integer(140_000)),
                ("total_pence", Json::integer(840_000)),
                ("currency", Json::string("GBP")),
                (
                    "items",
                    Json::Array(vec![
                        item("Exclusive venue hire", 1, 350_000),
                        item("Wedding feast — main course", 80, 4500),
                    ]),
                ),
            ]),
        ),
        (
            "viewing",
            Json::object([
                ("starts_at", Json::string("2026-06-04T14:00:00+01:00")),
                ("ends_at", Json::string("2026-06-04T15:00:00+01:00")),
            ]),
        ),
        ("location", Json::object([("id", Json::integer(1)), ("name", Json::string(name))])),
        ("company", Json::object([("id", Json::integer(company.0.into())), ("name", Json::string(name))])),
    ])
}

/// An event in which every canonical field is present.
#[must_use]
pub fn full_sample() -> Json {
    let mut event = sample(CompanyId(1), "The Old Barn");
    for key in ["first_name", "last_name", "company", "website", "position", "twitter", "linkedin", "notes"] {
        event.set_at(&format!("lead.profile.{key}"), Json::string("sample"));
    }
    event.set_at("lead.profile.score", Json::integer(0));
    event.set_at("lead.utm.term", Json::string("sample"));
    event.set_at("lead.utm.content", Json::string("sample"));
    event
}

/// An event of the fields that `/v1/leads` requires.
#[must_use]
pub fn required_sample() -> Json {
    let mut event = sample(CompanyId(1), "The Old Barn");
    for path in ["lead.phone", "lead.source_url", "lead.utm", "quote", "viewing", "location"] {
        event.take_at(path);
    }
    event
}

/// An event of the fields that every door requires.
#[must_use]
pub fn bare_sample() -> Json {
    let mut event = required_sample();
    for key in ["event_type", "event_date", "guest_count", "gdpr_consent"] {
        event.take_at(&format!("lead.{key}"));
    }
    event
}

fn lead() -> Json {
    Json::object([
        ("uuid", Json::string("01j8h6kqh4yg3xr8rwm6t6xfqe")),
        ("name", Json::string("Sarah Sample")),
        ("email", Json::string("sarah.sample@example.com")),
        ("phone", Json::string("+447700900123")),
        ("event_type", Json::string("wedding")),
        ("event_date", Json::string("2026-09-12")),
        ("guest_count", Json::integer(80)),
        ("gdpr_consent", Json::Bool(true)),
        ("source_url", Json::string("https://example.com/book")),
        (
            "utm",
            Json::object([
                ("source", Json::string("google")),
                ("medium", Json::string("cpc")),
                ("campaign", Json::string("summer_weddings")),
            ]),
        ),
    ])
}
