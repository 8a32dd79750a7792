//! What of a person somebody sees from whom people are masked: the form of it, letters as `x` and digits as `9`. Pure.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::{
    cause::Values,
    redact::{mask, redact},
};

/// The most that is shown of a value, in characters.
const VALUE_MAX: usize = 200;
/// The most that is shown of a sentence, in characters.
const TEXT_MAX: usize = 1000;

/// A person's own value.
#[must_use]
pub fn value(text: &str) -> String {
    mask(text, VALUE_MAX)
}

/// A body of a request or an answer: of JSON the names of fields stay.
#[must_use]
pub fn body(bytes: &[u8]) -> String {
    if bytes.is_empty() { String::new() } else { redact(bytes) }
}

/// An address: whose server it is stays.
#[must_use]
pub fn url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return value(url) };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // What stands before an @ may be a login.
    let shown = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{shown}{}", value(&rest[host.len()..]))
}

/// What a sentence of a target may quote: addresses, quotations, numbers, and words that begin as names do.
static QUOTED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let parts = [
        // How a breaker says why it is open, and how an error begins.
        r"(?<keep>^\d+ pushes in a row failed, the last one so: (?:(?:[a-z_]+: )?[1-5]\d\d\b)?|^(?:[a-z_]+: )?[1-5]\d\d\b)",
        r"(?<mail>[\w.%+-]+@[\w-]+(?:\.[\w-]+)+)",
        r"(?<url>https?://\S+)",
        r#""[^"]*"|'[^']*'|`[^`]*`|“[^”]*”|„[^“”]*[“”]|‘[^’]*’|<[^>]*>"#,
        r"\b[\p{Lu}][\p{Ll}’'-]+(?:\s+[\p{Lu}][\p{L}’'-]*)*",
        r"\+?\d[\d ()./-]{5,}\d",
    ];
    Regex::new(&parts.join("|")).ok()
});

/// A sentence that may quote a person: what is known of it, and whatever looks like somebody's. Where nothing is known, no
/// more than the class and the status with which errors begin.
#[must_use]
pub fn text(text: &str, known: &Values) -> String {
    let Some(quoted) = &*QUOTED else { return String::new() };
    if known.is_empty() {
        let opening = quoted.captures(text).and_then(|found| found.name("keep")).map_or(0, |kept| kept.end());
        let class = text.find(": ").filter(|end| CLASSES.contains(&&text[..*end])).map_or(0, |end| end + 1);
        let shown = opening.max(class);
        return format!("{}{}", &text[..shown], mask(&text[shown..], TEXT_MAX));
    }
    let line: String = known.mask(text).chars().take(TEXT_MAX).collect();
    let shown = quoted.replace_all(&line, |found: &Captures<'_>| {
        let part = &found[0];
        if found.name("keep").is_some() || part == "<lead>" {
            part.to_owned()
        } else if found.name("url").is_some() {
            url(part)
        } else if found.get_match().start() == 0 && !part.contains(char::is_whitespace) && is_word(part) {
            // A sentence begins with a capital, too.
            part.to_owned()
        } else {
            mask(part, VALUE_MAX)
        }
    });
    shown.into_owned()
}

/// Which kind of failure an error may begin with.
const CLASSES: [&str; 7] =
    ["blocked", "credentials", "mapping", "rejected", "throttled", "transient", "unknown"];

fn is_word(part: &str) -> bool {
    const OPENING: [&str; 14] = [
        "Bad", "Cannot", "Contact", "Email", "Failed", "Field", "Invalid", "Missing", "No", "Not",
        "Property", "Request", "The", "Unknown",
    ];
    OPENING.contains(&part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker;

    #[test]
    fn values_and_bodies_keep_their_form_alone() {
        assert_eq!(value("Sarah O'Brien"), "xxxxx x'xxxxx");
        assert_eq!(body(b""), "");
        assert_eq!(body(br#"{"lead":{"name":"Sarah"}}"#), r#"{"lead":{"name":"xxxxx"}}"#);
        assert_eq!(body(b"dear Sarah"), "xxxx xxxxx");
    }

    #[test]
    fn of_addresses_the_server_stays() {
        for (from, shown) in [
            (
                "https://crm.example.com/sarah@example.com?q=Ann",
                "https://crm.example.com/xxxxx@xxxxxxx.xxx?x=xxx",
            ),
            ("https://ann:pw@crm.example.com:8443", "https://crm.example.com:8443"),
            ("sarah", "xxxxx"),
        ] {
            assert_eq!(url(from), shown);
        }
    }

    #[test]
    fn sentences_lose_whatever_may_be_somebodys() {
        let known = Values::of_texts(["sarah o'brien", "sarah@example.com"]);
        for (from, shown) in [
            ("rejected: 422 contact sarah o'brien is known", "rejected: 422 contact <lead> is known"),
            ("409 sarah@example.com is taken", "409 <lead> is taken"),
            ("409 ann@example.com is taken", "409 xxx@xxxxxxx.xxx is taken"),
            ("Invalid value \"Bob\" of field phone", "Invalid value \"xxx\" of field phone"),
            ("Bob Miller is known, call +44 7700 900123", "xxx xxxxxx is known, call +99 9999 999999"),
            ("see https://crm.example.com/Ann", "see https://crm.example.com/xxx"),
            ("no answer within 30 s", "no answer within 30 s"),
        ] {
            assert_eq!(text(from, &known), shown);
        }
        let nobody = Values::default();
        assert_eq!(text("rejected: 422 ann is known", &nobody), "rejected: 422 xxx xx xxxxx");
        assert_eq!(text("mapping: no field ann", &nobody), "mapping: xx xxxxx xxx");
        assert_eq!(text("ann is known", &nobody), "xxx xx xxxxx");
        let shown = "20 pushes in a row failed, the last one so: ";
        for (error, masked, marked) in [
            ("503 sarah is known", "503 xxxxx xx xxxxx", "503 <lead> is known"),
            ("sarah is known", "xxxxx xx xxxxx", "<lead> is known"),
        ] {
            let why = breaker::why(20, Some(error));
            assert_eq!(text(&why, &nobody), format!("{shown}{masked}"));
            assert_eq!(text(&why, &Values::of_texts(["sarah"])), format!("{shown}{marked}"));
        }
    }
}
