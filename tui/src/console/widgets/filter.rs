//! The filter language: words that must occur, `key:word` for one field, `!` in front to turn it round, and spans of
//! age such as `died:<2h`. Where a word occurs nowhere, its letters in this order, close together, are enough.

use std::borrow::Cow;

use jiff::Timestamp;

use super::input::Input;

/// So much of a text is looked at for letters that stand apart.
const LOOKED_AT: usize = 500;

/// A filter that is typed or in force.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub input: Input,
    /// True while keys go into the input.
    pub editing: bool,
    /// Whether rows are shown that have no more than the letters of its words: none has the words.
    pub is_fuzzy: bool,
    /// Once rows were seen: the text that they were seen for, and whether none of them had its words.
    decided: Option<(String, bool)>,
}

/// What a row tells of itself: names and their texts. A word without a key is looked for in all of them.
pub type RowTexts<'a> = Vec<(&'static str, Cow<'a, str>)>;

impl Filter {
    /// What of it is meant for other rows, too: what is being typed, as the next letters would be keys otherwise. How
    /// the rows so far were found says nothing of others.
    pub fn for_others(&mut self) -> Self {
        let input = std::mem::take(&mut self.input);
        if self.editing { Self { input, editing: true, ..Self::default() } } else { Self::default() }
    }

    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        self.input.text().trim().is_empty()
    }

    /// Whether rows have only the letters of its words, where that was found for the text as it is.
    pub fn decided(&self) -> Option<bool> {
        self.decided.as_ref().filter(|(text, _)| text == self.input.text()).map(|(_, is_fuzzy)| *is_fuzzy)
    }

    /// Keeps how rows were found until the text changes.
    pub fn decide(&mut self, is_fuzzy: bool) {
        if self.decided().is_none() {
            self.decided = Some((self.input.text().to_owned(), is_fuzzy));
        }
    }

    /// Whether a row with these fields, of that time, passes.
    pub fn passes(&self, fields: &RowTexts<'_>, at: Option<Timestamp>, now: Timestamp) -> bool {
        self.terms().all(|(negated, term)| matches(term, fields, at, now) != negated)
    }

    /// How far a row is from having the words, 0 being nearest; none if not even their letters are there. A term with a
    /// key, or turned round, is meant as it stands.
    pub fn distance(&self, fields: &RowTexts<'_>, at: Option<Timestamp>, now: Timestamp) -> Option<usize> {
        self.terms().try_fold(0, |sum, (negated, term)| {
            if matches(term, fields, at, now) != negated {
                return Some(sum);
            }
            if negated || term.contains(':') {
                return None;
            }
            fields.iter().filter_map(|(_, text)| spread(text, term)).min().map(|spread| sum + spread)
        })
    }

    /// The terms, and whether each is turned round.
    fn terms(&self) -> impl Iterator<Item = (bool, &str)> {
        self.input.text().split_whitespace().filter_map(|term| match term.strip_prefix('!') {
            Some("") => None,
            Some(rest) => Some((true, rest)),
            None => Some((false, term)),
        })
    }
}

/// How many letters stand between those of a word where they are closest together; none if they are not there in this
/// order, or so far apart that this says nothing. One letter alone says nothing either.
fn spread(text: &str, word: &str) -> Option<usize> {
    let lower = |text: &str| text.chars().take(LOOKED_AT).flat_map(char::to_lowercase).collect::<Vec<char>>();
    let (text, word) = (lower(text), lower(word));
    let (first, most) = (word.first().filter(|_| word.len() > 1)?, word.len() * 3 + 4);
    let from = |start: usize| {
        let mut wanted = word.iter().peekable();
        for (at, c) in text.iter().enumerate().skip(start).take(most) {
            wanted.next_if(|wanted| *wanted == c);
            if wanted.peek().is_none() {
                return Some(at + 1 - start - word.len());
            }
        }
        None
    };
    text.iter().enumerate().filter(|(_, c)| *c == first).filter_map(|(start, _)| from(start)).min()
}

fn matches(term: &str, fields: &RowTexts<'_>, at: Option<Timestamp>, now: Timestamp) -> bool {
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
        Filter { input: Input::with(text), ..Filter::default() }.passes(&fields, Some(at), now)
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

    #[test]
    fn letters_in_this_order_close_together_are_nearly_a_word() {
        for (text, word, expected) in [
            ("hubspot-eu", "hbs", Some(1)),
            ("hubspot-eu", "HSPT", Some(3)),
            ("Sarah Patel", "sptl", Some(7)),
            ("a b ab", "ab", Some(0)),
            ("hubspot-eu", "sbuh", None),
            ("hubspot-eu", "h", None),
            ("timeout while the target was asked", "tgw", Some(5)),
            ("the one that was far away from here", "tm", None),
        ] {
            assert_eq!(spread(text, word), expected, "{text} {word}");
        }
        let fields = vec![("name", Cow::Borrowed("hubspot-eu")), ("badge", Cow::Borrowed("FAILING"))];
        let distance = |text: &str| {
            let filter = Filter { input: Input::with(text), ..Filter::default() };
            filter.distance(&fields, None, Timestamp::UNIX_EPOCH)
        };
        assert_eq!(distance("hbs fail"), Some(1), "a word that is there is near");
        assert_eq!(distance("hbs !fail"), None);
        assert_eq!(distance("name:hbs"), None, "a key is meant as it stands");
        assert_eq!(distance("hbs zz"), None);
    }
}
