//! How the screen is divided, in numbers alone, so that moving by a page and drawing one agree.

/// Below this the screen is too small to show anything but a line.
pub const SMALLEST: (u16, u16) = (60, 15);
/// From this width on there are cards and a side pane.
pub const WIDE: u16 = 100;
/// The rows of a card, its border included.
pub const CARD_ROWS: u16 = 7;
/// The rows that header, crumbs, status and keys take.
pub const CHROME_ROWS: u16 = 4;
/// The rows of the strip below a list.
pub const STRIP_ROWS: u16 = 6;

/// The size of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub width: u16,
    pub height: u16,
}

impl Size {
    /// Whether the panes fit at all.
    pub const fn is_usable(self) -> bool {
        self.width >= SMALLEST.0 && self.height >= SMALLEST.1
    }

    /// Whether there is room for cards and a side pane.
    pub const fn is_wide(self) -> bool {
        self.width >= WIDE
    }

    /// How many rows lie between the chrome.
    pub const fn body(self) -> u16 {
        self.height.saturating_sub(CHROME_ROWS)
    }

    /// How many cards stand beside each other.
    pub const fn card_columns(self) -> usize {
        let columns = (self.width / 38) as usize;
        if columns == 0 { 1 } else { columns }
    }

    /// How many rows of cards are seen at once.
    pub const fn card_rows(self) -> usize {
        let rows = (self.body() / CARD_ROWS) as usize;
        if rows == 0 { 1 } else { rows }
    }

    /// How many rows of a list are seen at once, less its borders and heads.
    pub const fn list_rows(self) -> usize {
        let taken = if self.is_wide() { 3 + 4 } else { 3 + STRIP_ROWS };
        self.body().saturating_sub(taken) as usize
    }

    /// The inner size of the pane that shows an attempt.
    pub const fn detail(self, full: bool) -> (u16, u16) {
        let height = if full { self.body() } else { self.body().saturating_sub(4) };
        let width = if full { self.width } else { self.width - side_split(self.width) };
        (width.saturating_sub(4), height.saturating_sub(2))
    }
}

/// The width of the list beside the side pane.
pub const fn side_split(width: u16) -> u16 {
    width / 2 + width / 20
}

/// Where a window of `rows` starts so that `selected` is seen, as near the middle as the ends allow.
pub fn window_start(selected: usize, rows: usize, len: usize) -> usize {
    selected.saturating_sub(rows / 2).min(len.saturating_sub(rows))
}
