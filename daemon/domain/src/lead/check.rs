//! The checks of a lead event, field by field; each names what is wrong and none stops the others.

use std::ops::RangeInclusive;

use jiff::civil::Date;

use super::{
    LeadProblem,
    email::is_email,
    time::{an_hour_after, has_form, instant},
};
use crate::{
    ids::{CompanyId, parse_ulid},
    json::Json,
};

const EVENT_TYPES: [&str; 5] = ["wedding", "corporate", "private_dining", "birthday", "other"];
const GUESTS: RangeInclusive<i128> = 1..=5000;
/// Money that any receiver's 64-bit integers hold, sums included.
const PENCE: RangeInclusive<i128> = -1_000_000_000_000_000..=1_000_000_000_000_000;

/// Everything that is wrong with an event.
pub(super) fn problems(event: &Json, company: CompanyId) -> Vec<LeadProblem> {
    let mut check = Check { problems: Vec::new() };
    if !matches!(event, Json::Object(_)) {
        check.add("", "must be an object with a lead in it");
        return check.problems;
    }
    check.text(event, "", "event", Need::Optional);
    if let Some(version) = check.text(event, "", "version", Need::Optional)
        && version != "v1"
    {
        check.add("/version", "must be \"v1\", or be left out");
    }
    match event.get("lead") {
        None => check.add("/lead", "is required"),
        Some(lead @ Json::Object(_)) => check.lead(lead),
        Some(_) => check.add("/lead", "must be an object"),
    }
    for (key, part) in [
        ("quote", Check::quote as fn(&mut Check, &Json)),
        ("viewing", Check::viewing),
        ("location", Check::location),
    ] {
        if let Some(value) = check.object(event, "", key) {
            part(&mut check, value);
        }
    }
    check.company(event, company);
    check.problems
}

/// Whether a field may be absent or null.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Required,
    Optional,
    Nullable,
}

struct Check {
    problems: Vec<LeadProblem>,
}

impl Check {
    fn add(&mut self, pointer: &str, detail: impl Into<String>) {
        self.problems.push(LeadProblem { pointer: pointer.to_owned(), detail: detail.into() });
    }

    /// The value of a field that should be there; says so if it is not.
    fn value<'a>(&mut self, object: &'a Json, at: &str, key: &str, need: Need) -> Option<&'a Json> {
        match object.get(key) {
            None if need == Need::Required => {
                self.add(&format!("{at}/{key}"), "is required");
                None
            }
            Some(Json::Null) if need == Need::Nullable => None,
            value => value,
        }
    }

    fn text(&mut self, object: &Json, at: &str, key: &str, need: Need) -> Option<String> {
        let value = self.value(object, at, key, need)?;
        let text = value.as_str();
        if text.is_none() {
            self.add(
                &format!("{at}/{key}"),
                if need == Need::Nullable { "must be text or null" } else { "must be text" },
            );
        }
        text.map(Into::into)
    }

    fn integer(
        &mut self,
        object: &Json,
        at: &str,
        key: &str,
        need: Need,
        range: RangeInclusive<i128>,
    ) -> Option<i128> {
        let number = self.value(object, at, key, need)?.as_integer().filter(|number| range.contains(number));
        if number.is_none() {
            let (low, high) = range.into_inner();
            self.add(&format!("{at}/{key}"), format!("must be an integer from {low} to {high}"));
        }
        number
    }

    fn object<'a>(&mut self, object: &'a Json, at: &str, key: &str) -> Option<&'a Json> {
        let value = object.get(key)?;
        if matches!(value, Json::Object(_)) {
            return Some(value);
        }
        self.add(&format!("{at}/{key}"), "must be an object; leave it out if there is none");
        None
    }

    fn lead(&mut self, lead: &Json) {
        let at = "/lead";
        if let Some(uuid) = self.text(lead, at, "uuid", Need::Optional)
            && let Err(error) = parse_ulid(&uuid)
        {
            self.add("/lead/uuid", format!("is {error}; leave it out to have one made"));
        }
        if let Some(name) = self.text(lead, at, "name", Need::Required)
            && name.trim().is_empty()
        {
            self.add("/lead/name", "must not be empty");
        }
        if let Some(email) = self.text(lead, at, "email", Need::Required)
            && !is_email(&email)
        {
            self.add("/lead/email", "must be an e-mail address");
        }
        self.text(lead, at, "phone", Need::Nullable);
        if let Some(kind) = self.text(lead, at, "event_type", Need::Required)
            && !EVENT_TYPES.contains(&kind.as_str())
        {
            self.add("/lead/event_type", format!("must be one of {}", EVENT_TYPES.join(", ")));
        }
        if let Some(date) = self.text(lead, at, "event_date", Need::Required)
            && !is_date(&date)
        {
            self.add("/lead/event_date", "must be a date as YYYY-MM-DD");
        }
        self.integer(lead, at, "guest_count", Need::Required, GUESTS);
        if let Some(consent) = self.value(lead, at, "gdpr_consent", Need::Required)
            && !matches!(consent, Json::Bool(_))
        {
            self.add("/lead/gdpr_consent", "must be true or false");
        }
        self.text(lead, at, "source_url", Need::Nullable);
        if let Some(utm) = self.value(lead, at, "utm", Need::Nullable)
            && !matches!(utm, Json::Object(_))
        {
            self.add("/lead/utm", "must be an object or null");
        }
    }

    fn quote(&mut self, quote: &Json) {
        let at = "/quote";
        for key in ["uuid", "proposal_url", "currency"] {
            self.text(quote, at, key, Need::Optional);
        }
        let [subtotal, rules, vat, total] = ["subtotal_pence", "rules_pence", "vat_pence", "total_pence"]
            .map(|key| self.integer(quote, at, key, Need::Optional, PENCE));
        if let (Some(subtotal), Some(rules), Some(vat), Some(total)) = (subtotal, rules, vat, total) {
            let sum = subtotal + rules + vat;
            if sum != total {
                self.add("/quote/total_pence", format!("must be subtotal + rules + vat, which is {sum}"));
            }
        }
        match quote.get("items") {
            None => {}
            Some(Json::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.item(item, &format!("/quote/items/{index}"));
                }
            }
            Some(_) => self.add("/quote/items", "must be an array"),
        }
    }

    fn item(&mut self, item: &Json, at: &str) {
        if !matches!(item, Json::Object(_)) {
            return self.add(at, "must be an object");
        }
        self.text(item, at, "name", Need::Optional);
        if item.get("quantity").is_some_and(|quantity| !matches!(quantity, Json::Number(_))) {
            self.add(&format!("{at}/quantity"), "must be a number");
        }
        for key in ["unit_pence", "total_pence"] {
            self.integer(item, at, key, Need::Optional, PENCE);
        }
    }

    fn viewing(&mut self, viewing: &Json) {
        const TIME: &str = "must be a time with its offset, as 2026-06-04T14:00:00+01:00";
        let mut instant = |key, need| {
            let text = self.text(viewing, "/viewing", key, need)?;
            let instant = instant(&text);
            if instant.is_none() {
                self.add(&format!("/viewing/{key}"), TIME);
            }
            instant.map(|instant| (instant, text))
        };
        let starts = instant("starts_at", Need::Required);
        let ends = instant("ends_at", Need::Optional);
        match (starts, ends) {
            (Some((starts, _)), Some((ends, _))) if ends < starts => {
                self.add("/viewing/ends_at", "must not be before starts_at");
            }
            (Some((_, text)), None) if an_hour_after(&text).is_none() => self.add("/viewing/starts_at", TIME),
            _ => {}
        }
    }

    fn location(&mut self, location: &Json) {
        self.integer(location, "/location", "id", Need::Optional, 0..=i64::MAX.into());
        self.text(location, "/location", "name", Need::Optional);
    }

    fn company(&mut self, event: &Json, expected: CompanyId) {
        let Some(company) = self.object(event, "", "company") else { return };
        match company.get("id").map(Json::as_integer) {
            Some(Some(id)) if id == i128::from(expected.0) => {}
            None => self.add("/company/id", "is required; or leave company out"),
            Some(None) => self.add("/company/id", "must be an integer"),
            Some(Some(_)) => {
                self.add("/company/id", format!("must be {expected}, the company of the intake key"))
            }
        }
        self.text(company, "/company", "name", Need::Optional);
    }
}

/// `YYYY-MM-DD`, and a day that exists.
fn is_date(text: &str) -> bool {
    has_form(text, "dddd-dd-dd") && text.parse::<Date>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_that_exist() {
        for (text, good) in
            [("2026-09-12", true), ("1999-01-01", true), ("2024-02-29", true), ("2026-02-29", false)]
        {
            assert_eq!(is_date(text), good, "{text}");
        }
        for bad in
            ["", "2026-9-12", "12/09/2026", "20260912", "2026-09-12T00:00:00", "-2026-09-1", "2026-09-1é"]
        {
            assert!(!is_date(bad), "{bad}");
        }
    }
}
