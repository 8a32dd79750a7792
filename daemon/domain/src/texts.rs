//! Values as texts, and texts cut to what a target takes of one.

use std::borrow::Cow;

use crate::json::Json;

/// A value as text: what vendors take that know nothing but strings. Null is the empty text.
#[must_use]
pub fn text(value: &Json) -> String {
    match value.as_str() {
        None if value.is_null() => String::new(),
        Some(text) => text.into_owned(),
        None => value.to_string(),
    }
}

/// How long a text is, in UTF-16 units: some vendors count them, the others characters, of which there are no more.
#[must_use]
pub fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Cuts a text to so many UTF-16 units, on the boundary of a character, the last one a mark that something is missing.
#[must_use]
pub fn cut(text: &str, max: usize) -> Cow<'_, str> {
    if units(text) <= max {
        return Cow::Borrowed(text);
    }
    let mut left = max.saturating_sub('…'.len_utf16());
    let fits = |character: &char| {
        let room = left.checked_sub(character.len_utf16());
        left = room.unwrap_or(left);
        room.is_some()
    };
    let mut cut: String = text.chars().take_while(fits).collect();
    cut.push('…');
    Cow::Owned(cut)
}

/// Cuts a text to so many bytes of UTF-8, on the boundary of a character, with a mark.
#[must_use]
pub fn cut_bytes(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    let room = max.saturating_sub('…'.len_utf8());
    let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    Cow::Owned(format!("{}…", &text[..end]))
}

/// Text that is safe within HTML.
#[must_use]
pub fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Whether a word is one of these.
#[must_use]
pub fn named(terms: &str, word: &str) -> bool {
    terms.split(' ').any(|term| term == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_on_characters_with_a_mark() {
        for (text, max, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("日本語です", 3, "日本…"),
            ("👰🤵🎂", 6, "👰🤵🎂"),
            ("👰🤵🎂", 5, "👰🤵…"),
            ("👰🤵🎂", 4, "👰…"),
            ("a👰", 2, "a…"),
            ("", 0, ""),
        ] {
            let cut = cut(text, max);
            assert_eq!(cut, expected);
            assert!(units(&cut) <= max);
        }
        for (text, max, expected) in
            [("abcdef", 6, "abcdef"), ("abcdefg", 6, "abc…"), ("👰🤵🎂", 11, "👰🤵…"), ("👰🤵🎂", 10, "👰…")]
        {
            let cut = cut_bytes(text, max);
            assert_eq!(cut, expected);
            assert!(cut.len() <= max);
        }
    }
}
