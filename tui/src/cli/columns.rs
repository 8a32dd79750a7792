//! What lists show of their rows: each column is said once, for tables, plain lines and whoever adds another.

/// A column: the value of a key, under a heading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column<'a> {
    /// The key in the row's JSON.
    pub(crate) key: &'a str,
    pub(crate) head: &'a str,
    /// The key that is shown where the first one has nothing.
    pub(crate) or: Option<&'a str>,
    /// Where it stands in a table; equal ones stand as they are declared, which is how plain lines have them.
    pub(crate) place: u8,
    /// How easily a narrow terminal does without it; 0: never.
    pub(crate) rank: u8,
    /// Tables show it on request only.
    pub(crate) is_wide: bool,
    /// A long text may be cut to this many columns.
    pub(crate) cut: Option<usize>,
}

/// A column that every table shows.
pub(crate) const fn column(key: &str) -> Column<'_> {
    Column { key, head: key, or: None, place: 100, rank: 0, is_wide: false, cut: None }
}

/// An id, which people ask for.
pub(crate) const fn id(key: &str) -> Column<'_> {
    Column { is_wide: true, place: 0, ..column(key) }
}

impl<'a> Column<'a> {
    /// Under another heading than its key.
    pub(crate) const fn head(self, head: &'a str) -> Self {
        Self { head, ..self }
    }

    /// Further to the left than those of higher places.
    pub(crate) const fn place(self, place: u8) -> Self {
        Self { place, ..self }
    }

    /// Left out of narrow tables, the highest rank first.
    pub(crate) const fn rank(self, rank: u8) -> Self {
        Self { rank, ..self }
    }

    /// May be cut where the terminal is narrow.
    pub(crate) const fn cut(self, columns: usize) -> Self {
        Self { cut: Some(columns), ..self }
    }
}

/// The attempts of one delivery.
pub(crate) const HISTORY: &[Column<'static>] = &[
    id("id"),
    column("number").rank(3),
    column("trigger").rank(4),
    column("state"),
    column("status_code").head("status").rank(1),
    column("failure_class").head("class"),
    column("started_at").rank(2),
    column("duration_ms").rank(5),
    column("error").cut(12),
];

/// A row of a list.
pub(crate) trait Row: serde::Serialize {
    /// Its columns in the order of plain lines.
    const COLUMNS: &'static [Column<'static>];
}
