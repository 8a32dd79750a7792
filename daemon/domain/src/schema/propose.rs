//! Proposes where a lead's fields could go: from the names, labels, types and choices that the target's schema tells.

use serde_json::{Map, Value, json};

use super::{
    FieldChoice, Kind, Takes, TargetField,
    kind::{EVENT_TYPES, kind_of},
};
use crate::{mapping::Mapping, person::fold};

/// A rule that could be added to a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub field: String,
    /// As a mapping has it: the target's name, or an object with `to`.
    pub rule: Value,
    /// Why, in a sentence.
    pub why: String,
}

/// What people call the fields of a lead, in the order in which a name is believed. Case, accents and punctuation do
/// not matter.
const NAMES: [(&str, &[&str]); 34] = [
    ("lead.uuid", &["lead id", "lead uuid", "lead ref", "lead reference", "enquiry id"]),
    ("lead.name", &["name", "full name", "lead name", "contact name"]),
    ("lead.email", &["email", "email address", "e mail"]),
    ("lead.phone", &["phone", "phone number", "telephone", "tel", "mobile", "mobile phone"]),
    ("lead.event_type", &["event type", "type of event", "kind of event", "event kind", "occasion"]),
    ("lead.event_date", &["event date", "date of event", "event day", "wedding date", "function date"]),
    (
        "lead.guest_count",
        &[
            "guest count",
            "guests",
            "number of guests",
            "no of guests",
            "guest number",
            "party size",
            "headcount",
            "covers",
            "pax",
            "expected guests",
        ],
    ),
    (
        "lead.gdpr_consent",
        &["gdpr consent", "consent", "marketing consent", "gdpr", "opt in", "marketing opt in"],
    ),
    ("lead.source_url", &["source url", "landing page", "landing page url", "page url", "enquiry page"]),
    ("lead.utm.source", &["utm source"]),
    ("lead.utm.medium", &["utm medium"]),
    ("lead.utm.campaign", &["utm campaign", "campaign", "campaign name"]),
    ("lead.utm.term", &["utm term", "keyword"]),
    ("lead.utm.content", &["utm content"]),
    ("lead.profile.first_name", &["first name", "given name", "forename", "prénom", "vorname"]),
    ("lead.profile.last_name", &["last name", "surname", "family name", "nachname"]),
    ("lead.profile.company", &["company", "company name", "organisation", "organization"]),
    ("lead.profile.website", &["website", "web site", "website url", "company website", "homepage"]),
    ("lead.profile.position", &["job title", "position", "title", "role"]),
    ("lead.profile.twitter", &["twitter", "twitter handle", "twitter username"]),
    ("lead.profile.linkedin", &["linkedin", "linkedin url", "linkedin profile"]),
    ("lead.profile.notes", &["notes", "message", "comments", "enquiry", "enquiry notes", "remarks"]),
    ("lead.profile.score", &["lead score", "score"]),
    ("quote.uuid", &["quote id", "quote uuid", "quote reference", "quote number"]),
    ("quote.proposal_url", &["proposal url", "proposal", "proposal link", "quote url", "quote link"]),
    ("quote.subtotal_pence", &["quote subtotal", "subtotal"]),
    ("quote.vat_pence", &["quote vat", "vat", "vat amount"]),
    (
        "quote.total_pence",
        &[
            "quote total",
            "total quote",
            "quote amount",
            "quote value",
            "quoted amount",
            "estimated value",
            "total",
        ],
    ),
    ("quote.currency", &["quote currency", "currency", "currency code"]),
    (
        "viewing.starts_at",
        &["viewing start", "viewing", "viewing date", "viewing time", "show round", "tour date"],
    ),
    ("viewing.ends_at", &["viewing end"]),
    ("location.id", &["venue id", "location id"]),
    ("location.name", &["venue", "venue name", "location", "location name", "site"]),
    ("company.name", &["account name", "business unit"]),
];

/// Rules for the fields that a mapping says nothing of, each to a target that nothing goes to yet.
#[must_use]
pub fn propose(mapping: &Mapping, targets: &[TargetField]) -> Vec<Proposal> {
    let mut taken: Vec<&str> = Vec::new();
    let mut proposals = Vec::new();
    for (field, names) in NAMES {
        if mapping.mentions(field) {
            continue;
        }
        let is_free = |target: &&TargetField| {
            !target.is_ours
                && target.fixed.is_none()
                && !taken.contains(&target.name.as_str())
                && !mapping.targets().any(|(_, name)| target.is_called(name))
        };
        let free: Vec<&TargetField> = targets.iter().filter(is_free).collect();
        let named =
            |name: &&str| free.iter().find_map(|target| Some((*target, fitting(field, name, target)?)));
        if let Some((target, proposal)) = names.iter().find_map(named) {
            taken.push(&target.name);
            proposals.push(proposal);
        }
    }
    proposals
}

/// The rule by which a field goes to a target that is called so, if its values can be made to fit.
fn fitting(field: &str, name: &str, target: &TargetField) -> Option<Proposal> {
    let names = [target.name.as_str(), &target.label];
    if !names.iter().any(|own| plain(own) == plain(name)) {
        return None;
    }
    let (more, how) = made(field, target)?;
    let mut rule = Map::from_iter([("to".to_owned(), json!(target.name))]);
    rule.extend(more);
    let rule = if rule.len() == 1 { json!(target.name) } else { Value::Object(rule) };
    let label = if plain(&target.label) == plain(&target.name) {
        String::new()
    } else {
        format!(" ({})", target.label)
    };
    let kind =
        if target.kind.is_empty() { String::new() } else { format!(" and is of type {}", target.kind) };
    let how = how.map(|how| format!("; {how}")).unwrap_or_default();
    let why = format!("{}{label} is called as the field is{kind}{how}", target.name);
    Some(Proposal { field: field.to_owned(), rule, why })
}

type Members = Vec<(String, Value)>;

/// What a rule needs beside its target so that the values fit, and what that does; none if they never do.
fn made(field: &str, target: &TargetField) -> Option<(Members, Option<String>)> {
    let own = kind_of(field);
    let with =
        |key: &str, value: Value, how: &str| Some((vec![(key.to_owned(), value)], Some(how.to_owned())));
    if field.ends_with("_pence") {
        let mut members = vec![("value".to_owned(), json!(format!("{{{{ {field} | money }}}}")))];
        if target.takes == Takes::Text {
            members.push(("as".to_owned(), json!("text")));
        }
        let fits = matches!(target.takes, Takes::Any | Takes::Scalar | Takes::Text | Takes::Number);
        return fits.then(|| (members, Some("minor units become an amount".to_owned())));
    }
    if field == "lead.event_type" && !target.choices.is_empty() {
        return words(target, &EVENT_TYPES, &[]);
    }
    if field == "lead.gdpr_consent" && !target.choices.is_empty() {
        return words(target, &["true", "false"], &[("true", &YES), ("false", &NO)]);
    }
    match target.takes {
        // What is no word of ours is none of its choices either.
        Takes::Choice => None,
        takes if takes.fits(own) => Some((Vec::new(), None)),
        Takes::Text if own != Kind::Whole => with("as", json!("text"), "it is written as text"),
        Takes::Date if own == Kind::Time => with("as", json!("date"), "the day alone is written"),
        _ => None,
    }
}

/// What people call the choices of a question.
const YES: [&str; 6] = ["true", "yes", "y", "ja", "oui", "si"];
const NO: [&str; 5] = ["false", "no", "n", "nein", "non"];

/// The table that makes a target's choices of our words; none if no word is among them.
fn words(
    target: &TargetField,
    ours: &[&str],
    others: &[(&str, &[&str])],
) -> Option<(Members, Option<String>)> {
    let of = |word: &str| {
        let called = others.iter().find(|(own, _)| *own == word).map_or(&[][..], |(_, called)| *called);
        choice(target, word, called)
    };
    let found: Vec<(&str, &FieldChoice)> = ours.iter().filter_map(|word| Some((*word, of(word)?))).collect();
    if found.is_empty() {
        return None;
    }
    // Consent comes as true or false, which is no text.
    let is_text = !ours.contains(&"true");
    if is_text && found.len() == ours.len() && found.iter().all(|(word, choice)| choice.value == **word) {
        return Some((Vec::new(), None));
    }
    let mut values: Map<String, Value> =
        found.iter().map(|(word, choice)| ((*word).to_owned(), choice.value.clone())).collect();
    let mut told: Vec<String> =
        found.iter().map(|(word, choice)| format!("{word} → {}", choice.label)).collect();
    if found.len() < ours.len() && target.takes == Takes::Choice {
        let other = choice(target, "other", &[]);
        told.push(
            other.map_or_else(
                || "others are left out".to_owned(),
                |other| format!("others → {}", other.label),
            ),
        );
        values.insert("*".to_owned(), other.map_or(Value::Null, |other| other.value.clone()));
    }
    Some((vec![("values".to_owned(), Value::Object(values))], Some(told.join(", "))))
}

/// The choice that says a word: the same one, else one that begins with it, as Wedding Fair does.
fn choice<'a>(target: &'a TargetField, word: &str, called: &[&str]) -> Option<&'a FieldChoice> {
    let text =
        |choice: &FieldChoice| [choice.value.as_str().map(plain).unwrap_or_default(), plain(&choice.label)];
    let same = |word: &str| target.choices.iter().find(|choice| text(choice).contains(&plain(word)));
    let begins = || {
        let is_it = |choice: &&FieldChoice| text(choice).iter().any(|own| own.starts_with(&plain(word)));
        target.choices.iter().find(is_it).filter(|_| called.is_empty())
    };
    same(word).or_else(|| called.iter().find_map(|word| same(word))).or_else(begins)
}

/// A name without what does not tell names apart: case, accents, punctuation, the mark of a custom field and the
/// record that the field is of.
fn plain(name: &str) -> String {
    let name = name.rsplit_once('.').filter(|_| !name.contains(' ')).map_or(name, |(_, name)| name);
    let name = name.strip_suffix("__c").unwrap_or(name);
    fold(name).chars().filter(|c| c.is_alphanumeric()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str, label: &str, takes: Takes) -> TargetField {
        TargetField::new(name, format!("{takes:?}").to_lowercase(), takes).labelled(Some(label))
    }

    fn choosing(name: &str, label: &str, takes: Takes, choices: &[&str]) -> TargetField {
        let list: Vec<Value> = choices.iter().map(|one| json!({ "value": one, "label": one })).collect();
        target(name, label, takes).choosing(&json!(list), "value", "label")
    }

    fn proposed(mapping: Value, targets: &[TargetField]) -> Value {
        let proposals = propose(&Mapping::parse(&mapping).unwrap(), targets);
        Value::Object(proposals.into_iter().map(|one| (one.field, one.rule)).collect())
    }

    #[test]
    fn fields_go_to_targets_that_are_called_so_and_take_their_kind() {
        for (target, expected) in [
            (target("Guests__c", "Guests", Takes::Number), json!({"lead.guest_count": "Guests__c"})),
            (target("x1", "No. of guests", Takes::Number), json!({"lead.guest_count": "x1"})),
            (
                target("x1", "GUEST COUNT", Takes::Text),
                json!({"lead.guest_count": {"to": "x1", "as": "text"}}),
            ),
            (target("Guests", "Guests", Takes::Date), json!({})),
            (target("deal.prenom", "Prénom", Takes::Any), json!({"lead.profile.first_name": "deal.prenom"})),
            (target("Event_Date__c", "When", Takes::Date), json!({"lead.event_date": "Event_Date__c"})),
            (target("event_date", "When", Takes::Time), json!({})),
            (
                target("viewing", "Viewing", Takes::Date),
                json!({"viewing.starts_at": {"to": "viewing", "as": "date"}}),
            ),
            (
                target("quote_total", "Quote total", Takes::Number),
                json!({"quote.total_pence": {"to": "quote_total", "value": "{{ quote.total_pence | money }}"}}),
            ),
            (target("UTM_Source", "UTM source", Takes::Text), json!({"lead.utm.source": "UTM_Source"})),
            (choosing("venue", "Venue", Takes::Choice, &["Barn"]), json!({})),
            (target("favourite_colour", "Colour", Takes::Any), json!({})),
        ] {
            assert_eq!(proposed(json!({}), std::slice::from_ref(&target)), expected, "{target:?}");
        }
    }

    #[test]
    fn words_become_the_choices_that_say_the_same() {
        for (takes, choices, expected) in [
            (
                Takes::Choice,
                &["Wedding Fair", "Corporate", "Private dining", "Birthday", "Other"][..],
                json!({"wedding": "Wedding Fair", "corporate": "Corporate", "private_dining": "Private dining",
                    "birthday": "Birthday", "other": "Other"}),
            ),
            (
                Takes::Choice,
                &["Weddings", "Other"],
                json!({"wedding": "Weddings", "other": "Other", "*": "Other"}),
            ),
            (Takes::Choice, &["Weddings"], json!({"wedding": "Weddings", "*": null})),
            (Takes::Any, &["Weddings"], json!({"wedding": "Weddings"})),
        ] {
            let target = choosing("kind", "Event type", takes, choices);
            let expected = json!({"lead.event_type": {"to": "kind", "values": expected}});
            assert_eq!(proposed(json!({}), &[target]), expected, "{choices:?}");
        }
        let own = choosing("event_type", "Event type", Takes::Choice, &EVENT_TYPES);
        assert_eq!(proposed(json!({}), &[own]), json!({"lead.event_type": "event_type"}));
        let none = choosing("event_type", "Event type", Takes::Choice, &["Green", "Blue"]);
        assert_eq!(proposed(json!({}), &[none]), json!({}));
        let consent = choosing("consent", "Consent", Takes::Choice, &["Ja", "Nein"]);
        let expected =
            json!({"lead.gdpr_consent": {"to": "consent", "values": {"true": "Ja", "false": "Nein"}}});
        assert_eq!(proposed(json!({}), &[consent]), expected);
        let same = choosing("consent", "Consent", Takes::Choice, &["true", "false"]);
        let expected =
            json!({"lead.gdpr_consent": {"to": "consent", "values": {"true": "true", "false": "false"}}});
        assert_eq!(proposed(json!({}), &[same]), expected, "a choice is text, and consent is none");
    }

    #[test]
    fn nothing_that_is_mapped_left_out_or_fixed_is_proposed() {
        let guests = || target("guests", "Guests", Takes::Any);
        let covers = || target("covers", "Covers", Takes::Any);
        let fixed = guests().fixed(true, "it is counted");
        let ours = TargetField { is_ours: true, ..guests() };
        for (mapping, targets, expected) in [
            (json!({"lead.guest_count": "elsewhere"}), vec![guests()], json!({})),
            (json!({"lead.guest_count": null}), vec![guests()], json!({})),
            (json!({"lead.profile.score": "guests"}), vec![guests()], json!({})),
            (
                json!({"lead.profile.score": "guests"}),
                vec![guests(), covers()],
                json!({"lead.guest_count": "covers"}),
            ),
            (json!({}), vec![fixed, covers()], json!({"lead.guest_count": "covers"})),
            (json!({}), vec![ours], json!({})),
            (json!({}), vec![covers(), guests()], json!({"lead.guest_count": "guests"})),
        ] {
            assert_eq!(proposed(mapping.clone(), &targets), expected, "{mapping} {targets:?}");
        }
    }

    #[test]
    fn each_proposal_says_why() {
        let targets = [
            target("Guests__c", "Number of guests", Takes::Text),
            choosing("Kind__c", "Event type", Takes::Choice, &["Wedding", "Other"]),
            choosing("consent", "Consent", Takes::Choice, &["Yes"]),
            target("quote_total", "Quote total", Takes::Number),
            target("viewing", "Viewing", Takes::Date),
        ];
        let proposals = propose(&Mapping::default(), &targets);
        let why: Vec<&str> = proposals.iter().map(|one| one.why.as_str()).collect();
        assert_eq!(
            why,
            [
                "Kind__c (Event type) is called as the field is and is of type choice; wedding → Wedding, other → Other, others → Other",
                "Guests__c (Number of guests) is called as the field is and is of type text; it is written as text",
                "consent is called as the field is and is of type choice; true → Yes, others are left out",
                "quote_total is called as the field is and is of type number; minor units become an amount",
                "viewing is called as the field is and is of type date; the day alone is written",
            ]
        );
    }
}
