//! What people are called: a name that was made from an address names nobody, and of a single word nobody can tell which half
//! of somebody's name it is.

use crate::{
    json::Json,
    mapping::{Mapping, Rule},
};

/// A person's first and last name, where a lead says them apart.
const HALVES: [&str; 2] = ["lead.profile.first_name", "lead.profile.last_name"];

fn text(event: &Json, path: &str) -> String {
    event.at(path).and_then(Json::as_str).unwrap_or_default().into_owned()
}

/// Whether the lead's name was made from its address because the sender gave none. It names nobody, so it is never
/// written over what a record that exists is called.
#[must_use]
pub fn is_made(event: &Json) -> bool {
    let at = |path: &str| text(event, path).trim().to_lowercase();
    let name = at("lead.name");
    !name.is_empty() && name == at("lead.email")
}

/// The words of the lead's name, in lower case.
pub fn words(event: &Json) -> impl Iterator<Item = String> {
    let words: Vec<String> = text(event, "lead.name").split_whitespace().map(str::to_lowercase).collect();
    words.into_iter()
}

/// Whether a name says less than the one that is there, or the same: `Sarah` of `Sarah Patel`.
#[must_use]
pub fn is_part_of(name: &str, there: &str) -> bool {
    let words = |name: &str| name.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>();
    let (name, there) = (words(name), words(there));
    name.iter().all(|word| there.contains(word))
}

/// The first word of a name and the rest; the rest is empty for a single word.
fn split(name: &str) -> (&str, &str) {
    let name = name.trim();
    name.split_once(char::is_whitespace).map_or((name, ""), |(first, rest)| (first, rest.trim_start()))
}

/// Where the name goes if it is one word: which half of somebody's name that is, nobody can tell.
#[must_use]
pub fn half<'a>(mapping: &'a Mapping, event: &Json) -> Vec<&'a str> {
    let is_word = words(event).count() == 1;
    let is_name = |rule: &Rule| {
        let is_part = HALVES.contains(&rule.field.as_str()) && text(event, &rule.field).trim().is_empty();
        !rule.is_computed() && (rule.field == "lead.name" || is_part)
    };
    mapping.targets().filter(|(rule, _)| is_word && is_name(rule)).map(|(_, target)| target).collect()
}

/// Where the name goes as it is.
#[must_use]
pub fn targets(mapping: &Mapping) -> Vec<&str> {
    let names = mapping.targets().filter(|(rule, _)| rule.field == "lead.name" && !rule.is_computed());
    names.map(|(_, target)| target).collect()
}

/// Puts the halves of the name into a target's fields, where the lead does not say them apart.
pub fn add_to(fields: &mut Vec<(String, Json)>, mapping: &Mapping, event: &Json) {
    let name = text(event, "lead.name");
    let (first, rest) = split(&name);
    for (field, part) in HALVES.into_iter().zip([first, rest]) {
        for (_, target) in mapping.targets().filter(|(rule, _)| rule.field == field) {
            if !part.is_empty() && !fields.iter().any(|(name, _)| name == target) {
                fields.push((target.to_owned(), Json::string(part)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_at_the_first_word() {
        for (name, expected) in [
            ("Sarah Patel", ("Sarah", "Patel")),
            (" Ada  von Lovelace ", ("Ada", "von Lovelace")),
            ("Cher", ("Cher", "")),
            ("", ("", "")),
        ] {
            assert_eq!(split(name), expected);
        }
    }

    #[test]
    fn who_is_called_as_the_address_has_no_name() {
        for (lead, is_made_up, count) in [
            (r#"{"name": " Ada@Example.com ", "email": "ada@example.com"}"#, true, 1),
            (r#"{"name": "Ada", "email": "ada@example.com"}"#, false, 1),
            (r#"{"name": "", "email": ""}"#, false, 0),
            (r#"{"name": " Ada  LOVELACE"}"#, false, 2),
        ] {
            let event = Json::parse(format!("{{\"lead\": {lead}}}").as_bytes()).unwrap();
            assert_eq!((is_made(&event), words(&event).count()), (is_made_up, count), "{lead}");
        }
        assert!(is_part_of("patel", "Sarah Patel") && !is_part_of("Sarah Jones", "Sarah Patel"));
    }
}
