//! Ranges in A1 notation.

/// The cells from one to another, rows first; both count from zero and belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: (usize, usize),
    pub(super) last: (usize, usize),
}

impl Range {
    /// The sheet's title and the cells of `'A sheet'!A1:B2`, `Leads!A1` or `Leads!1:1`.
    pub(super) fn parse(text: &str) -> Option<(String, Self)> {
        let (title, cells) = text.rsplit_once('!')?;
        let title = match title.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
            Some(quoted) => quoted.replace("''", "'"),
            None => title.to_owned(),
        };
        let (first, last) = cells.split_once(':').unwrap_or((cells, cells));
        let ((first_row, first_column), (last_row, last_column)) = (cell(first)?, cell(last)?);
        let first = (first_row.unwrap_or(0), first_column.unwrap_or(0));
        let last = (last_row.unwrap_or(usize::MAX), last_column.unwrap_or(usize::MAX));
        (!cells.is_empty()).then_some((title, Self { first, last }))
    }

    /// With whole rows as wide as the grid, and whole columns as long.
    pub(super) fn within(mut self, grid: (usize, usize)) -> Self {
        if self.last.0 == usize::MAX {
            self.last.0 = grid.0.saturating_sub(1);
        }
        if self.last.1 == usize::MAX {
            self.last.1 = grid.1.saturating_sub(1);
        }
        self
    }
}

/// Row and column of `A1`, `1` or `A`; none of what is not said.
fn cell(text: &str) -> Option<(Option<usize>, Option<usize>)> {
    let digits = text.trim_start_matches(|character: char| character.is_ascii_uppercase());
    let row = if digits.is_empty() { None } else { Some(digits.parse::<usize>().ok()?.checked_sub(1)?) };
    let name = &text[..text.len() - digits.len()];
    let column = name.bytes().fold(0, |column, letter| column * 26 + usize::from(letter - b'A') + 1);
    Some((row, column.checked_sub(1)))
}

/// The letters of a column.
pub(super) fn letters(column: usize) -> String {
    let last = char::from(b'A' + u8::try_from(column % 26).unwrap_or(0));
    if column < 26 { last.to_string() } else { format!("{}{last}", letters(column / 26 - 1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_columns_named() {
        let range = |first, last| Range { first, last };
        for (text, title, expected) in [
            ("'Old ''Barn'''!A1", "Old 'Barn'", range((0, 0), (0, 0))),
            ("Leads!B2:AA1000", "Leads", range((1, 1), (999, 26))),
            ("Leads!A:A", "Leads", range((0, 0), (usize::MAX, 0))),
            ("Leads!1:1", "Leads", range((0, 0), (0, usize::MAX))),
        ] {
            assert_eq!(Range::parse(text), Some((title.to_owned(), expected)), "{text}");
        }
        assert_eq!((Range::parse("A1"), Range::parse("Leads!")), (None, None));
        assert_eq!([0, 25, 26, 701, 702].map(letters), ["A", "Z", "AA", "ZZ", "AAA"]);
    }
}
