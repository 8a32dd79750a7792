//! The filter language: words that must occur, `key:word` for one field, `!` in front to turn it round, and spans of
//! age such as `died:<2h`.

use std::borrow::Cow;

use jiff::Timestamp;

use super::input::Input;

/// A filter that is typed or in force.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub input: Input,
    /// True while keys go into the input.
    pub editing: bool,
}

/// What a row tells of itself: names and their texts. A word without a key is looked for in all of them.
pub type Fields<'a> = Vec<(&'static str, Cow<'a, str>)>;

impl Filter {
    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        self.input.text().trim().is_empty()
    }

    /// Whether a row with these fields, of that time, passes.
    pub fn passes(&self, fields: &Fields<'_>, at: Option<Timestamp>, now: Timestamp) -> bool {
        self.input.text().split_whitespace().all(|term| {
            let (negated, term) = match term.strip_prefix('!') {
                Some("") => return true,
                Some(rest) => (true, rest),
                None => (false, term),
            };
            matches(term, fields, at, now) != negated
        })
    }
}

fn matches(term: &str, fields: &Fields<'_>, at: Option<Timestamp>, now: Timestamp) -> bool {
    let Some((key, word)) = term.split_once(':') else {
        return fields.iter().any(|(_, text)| contains(text, term));
    };
    if word.is_empty() {
        return true;
    }
    if matches!(key, "age" | "died" | "at") {
        return aged(word, at, now);
    }
    let named: Vec<_> = fields.iter().filter(|(name, _)| *name == key).collect();
    match (named.is_empty(), key) {
        // `http://x` is a word like any other.
        (true, _) => fields.iter().any(|(_, text)| contains(text, term)),
        (false, "code") => named.iter().any(|(_, text)| is_code(text, word)),
        (false, _) => named.iter().any(|(_, text)| contains(text, word)),
    }
}

/// `<2h`: younger than two hours; `>30m`: older than thirty minutes.
fn aged(word: &str, at: Option<Timestamp>, now: Timestamp) -> bool {
    let (younger, span) = match (word.strip_prefix('<'), word.strip_prefix('>')) {
        (Some(span), _) => (true, span),
        (_, Some(span)) => (false, span),
        (None, None) => (true, word),
    };
    let (Some(seconds), Some(at)) = (seconds(span), at) else { return false };
    let age = now.duration_since(at).as_secs();
    if younger { age <= seconds } else { age > seconds }
}

/// A span such as `90s`, `30m`, `2h` or `3d`, in seconds.
pub fn seconds(span: &str) -> Option<i64> {
    let end = span.find(|c: char| !c.is_ascii_digit())?;
    let number: i64 = span[..end].parse().ok()?;
    let unit = match &span[end..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(unit)
}

fn contains(text: &str, word: &str) -> bool {
    text.to_lowercase().contains(&word.to_lowercase())
}

fn is_code(status: &str, word: &str) -> bool {
    let word = word.trim_end_matches(['x', 'X']);
    !word.is_empty() && status.starts_with(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(text: &str) -> bool {
        let fields = vec![
            ("name", Cow::Borrowed("hubspot-eu")),
            ("badge", Cow::Borrowed("FAILING")),
            ("err", Cow::Borrowed("503 upstream: token expired")),
            ("code", Cow::Borrowed("503")),
        ];
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let at = Timestamp::from_second(1_800_000_000 - 3600).unwrap();
        Filter { input: Input::with(text), editing: false }.passes(&fields, Some(at), now)
    }

    #[test]
    fn terms_are_joined_by_and() {
        let cases = [
            ("", true),
            ("hub", true),
            ("HUB", true),
            ("!hub", false),
            ("badge:failing", true),
            ("badge:ok", false),
            ("!badge:ok hub", true),
            ("badge:", true),
            ("!", true),
            ("http://x", false),
            ("err:expired", true),
            ("code:5xx", true),
            ("code:50", true),
            ("code:4xx", false),
            ("died:<2h", true),
            ("died:<30m", false),
            ("died:>30m", true),
            ("age:2h", true),
            ("age:<nonsense", false),
        ];
        for (text, expected) in cases {
            assert_eq!(passes(text), expected, "{text}");
        }
    }
}
