//! Leads as a wedding venue's configurator would make them: varied, plausible, with totals that add up.

use jiff::{Span, Timestamp, tz::TimeZone};
use serde_json::{Value, json};
use ulid::Ulid;

const FIRST: [&str; 12] = [
    "Sarah",
    "Tom",
    "Aoife",
    "Priya",
    "Zoë",
    "Marcus",
    "Hannah",
    "Oluwaseun",
    "Mei",
    "Łukasz",
    "Chloé",
    "James",
];
const LAST: [&str; 11] = [
    "Patel",
    "O'Brien",
    "Nowak",
    "Okafor",
    "Hughes",
    "García",
    "Chen",
    "MacDonald",
    "Evans",
    "Brontë",
    "Singh",
];
const EVENTS: [&str; 5] = ["wedding", "corporate", "private_dining", "birthday", "other"];
const VENUES: [(i64, &str, &str); 4] = [
    (12, "The Old Barn", "theoldbarn.co.uk"),
    (13, "Mill House", "millhouse.example"),
    (14, "Harbour Loft", "harbourloft.example"),
    (15, "Orchard Marquee", "orchard.example"),
];
const MENUS: [(&str, i64); 4] = [
    ("Wedding feast — main course", 4_500),
    ("Three-course dinner", 5_250),
    ("Garden buffet", 2_950),
    ("Canapés and fizz", 1_875),
];
const SOURCES: [(&str, &str); 3] = [("google", "cpc"), ("instagram", "social"), ("newsletter", "email")];

/// The nth sample lead: the same n has the same person and prices, but fresh ids, so that it is a new lead.
#[must_use]
pub fn sample_lead(n: usize) -> Value {
    let (first, last) = (FIRST[n % FIRST.len()], LAST[n % LAST.len()]);
    let (location, venue, host) = VENUES[n % VENUES.len()];
    let guests = 20 + (n * 37) % 180;
    let mut lead = json!({
        "event": "lead.created",
        "version": "v1",
        "lead": {
            "uuid": id(),
            "name": format!("{first} {last}"),
            "email": email(first, last, n),
            "phone": (n % 5 != 4).then(|| format!("+447700900{:03}", n % 1000)),
            "event_type": EVENTS[n % EVENTS.len()],
            "event_date": day(30 + (n * 11) % 500).strftime("%Y-%m-%d").to_string(),
            "guest_count": guests,
            "gdpr_consent": true,
            "source_url": format!("https://{host}/book"),
            "utm": (n % 3 != 2).then(|| utm(n)),
        },
        "quote": quote(n, guests),
        "location": { "id": location, "name": venue },
    });
    if n.is_multiple_of(2) {
        let start = day(3 + n % 20).strftime("%Y-%m-%d").to_string();
        let hour = 10 + n % 7;
        lead["viewing"] = json!({
            "starts_at": format!("{start}T{hour:02}:00:00+01:00"),
            "ends_at": format!("{start}T{:02}:00:00+01:00", hour + 1),
        });
    }
    lead
}

fn quote(n: usize, guests: usize) -> Value {
    let guests = i64::try_from(guests).unwrap_or(i64::MAX);
    let hire = 200_000 + i64::try_from(n % 8).unwrap_or(0) * 25_000;
    let (menu, unit) = MENUS[n % MENUS.len()];
    let subtotal = hire + guests * unit;
    let rules = match n % 3 {
        0 => subtotal * 15 / 100,
        1 => 0,
        _ => -(subtotal / 10),
    };
    let vat = (subtotal + rules) / 5;
    json!({
        "uuid": id(),
        "proposal_url": format!("https://quote.example.com/p/{}", id()),
        "subtotal_pence": subtotal,
        "rules_pence": rules,
        "vat_pence": vat,
        "total_pence": subtotal + rules + vat,
        "currency": "GBP",
        "items": [
            { "name": "Exclusive venue hire", "quantity": 1, "unit_pence": hire, "total_pence": hire },
            { "name": menu, "quantity": guests, "unit_pence": unit, "total_pence": guests * unit },
        ],
    })
}

fn utm(n: usize) -> Value {
    let (source, medium) = SOURCES[n % SOURCES.len()];
    json!({ "source": source, "medium": medium, "campaign": "summer_weddings" })
}

fn email(first: &str, last: &str, n: usize) -> String {
    let plain =
        |name: &str| name.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_lowercase();
    format!("{}.{}.{n}@example.com", plain(first), plain(last))
}

fn id() -> String {
    Ulid::generate().to_string().to_lowercase()
}

fn day(ahead: usize) -> jiff::civil::Date {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    today.saturating_add(Span::new().days(i32::try_from(ahead).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn totals_add_up_and_people_differ() {
        let mut ids = HashSet::new();
        let mut emails = HashSet::new();
        for n in 0..500 {
            let lead = sample_lead(n);
            let quote = &lead["quote"];
            let pence = |key: &str| quote[key].as_i64().unwrap();
            assert_eq!(
                pence("total_pence"),
                pence("subtotal_pence") + pence("rules_pence") + pence("vat_pence")
            );
            let items = quote["items"].as_array().unwrap();
            let sum: i64 = items.iter().map(|item| item["total_pence"].as_i64().unwrap()).sum();
            assert_eq!(sum, pence("subtotal_pence"));
            assert!((1..=5000).contains(&lead["lead"]["guest_count"].as_u64().unwrap()));
            let uuid = lead["lead"]["uuid"].as_str().unwrap();
            assert!(uuid.len() == 26 && uuid.starts_with(|c: char| c <= '7'), "{uuid}");
            assert!(ids.insert(uuid.to_owned()) && emails.insert(lead["lead"]["email"].to_string()));
        }
        assert_ne!(sample_lead(1)["lead"]["uuid"], sample_lead(1)["lead"]["uuid"]);
    }
}
