//! The lead that test pushes bring: every field of the canonical event is there.

use crate::domain::{ids::CompanyId, json::Json};

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
