//! What somebody probably meant: the known word nearest to an unknown one.

/// The nearest of the known words, if it is near enough to be a slip of the fingers.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    nearest_within(word, limit, known)
}

/// The nearest of the known words that so many slips of the fingers make of this one.
pub fn nearest_within<'a>(
    word: &str,
    limit: usize,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let length = word.chars().count();
    known
        .into_iter()
        // Words of other lengths are further away than that; to measure it may take seconds.
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= limit)
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `unknown KIND WORD`, with the nearest known word if there is one.
pub fn unknown<'a>(kind: &str, word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(word, known) {
        Some(candidate) => format!("unknown {kind} {word}; did you mean {candidate}?"),
        None => format!("unknown {kind} {word}"),
    }
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().flat_map(char::to_lowercase).collect();
    let right: Vec<char> = right.chars().flat_map(char::to_lowercase).collect();
    let mut rows: [Vec<usize>; 3] = [Vec::new(), Vec::new(), (0..=right.len()).collect()];
    for (i, a) in left.iter().enumerate() {
        rows.rotate_left(1);
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let mut best = (rows[1][j] + usize::from(a != b)).min(rows[1][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                best = best.min(rows[0][j - 1] + 1);
            }
            row.push(best);
        }
        rows[2] = row;
    }
    rows[2][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let known = ["lead.email", "lead.name", "quote.total_pence", "url"];
        for (word, meant) in [
            ("lead.emial", Some("lead.email")),
            ("Lead.Email", Some("lead.email")),
            ("lead.mail", Some("lead.email")),
            ("quote.total", None),
            ("quote.total_pense", Some("quote.total_pence")),
            ("ulr", Some("url")),
            ("", None),
            ("wedding", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
        assert_eq!(distance("ca", "abc"), 3);
        assert_eq!(unknown("key", "urll", known), "unknown key urll; did you mean url?");
        assert_eq!(unknown("key", "nothing", known), "unknown key nothing");
    }
}
