//! How meanings look: roles become styles, states become glyphs. Colour is never the only sign of anything.

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;
use ratatui::text::Span;

use super::data::{AttemptState, Badge, DeliveryState};

/// How many colours may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    Mono,
    /// The sixteen names, so that the reader's own palette decides.
    Ansi16,
    Ansi256,
    /// No colour and nothing faint: weight, underlines and reversed text.
    Contrast,
}

/// What a piece of text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Plain,
    Strong,
    /// Labels and frames: what could be missing without harm.
    Quiet,
    Accent,
    Good,
    Bad,
    Warn,
    Odd,
    /// The selected row or the focused button.
    Selected,
    /// The count of failures: reversed, so that it shows without colour.
    Alarm,
}

/// The look of a run of the console.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    pub depth: Depth,
    pub ascii: bool,
    /// Without frames and bars, for whoever has the screen read out.
    pub plain: bool,
}

/// Where the cursor of a terminal belongs while it is drawn plain: the selected row, and the corner of what has the focus.
/// Private characters that nobody sees: they are replaced before a frame leaves.
pub const SELECTED: &str = "\u{e000}";
pub const FOCUSED: &str = "\u{e001}";

impl Theme {
    /// The style of a meaning. Backgrounds stay the terminal's own.
    pub fn style(self, role: Role) -> Style {
        let plain = Style::default();
        let paint = |name: Color, index: u8| match self.depth {
            Depth::Mono | Depth::Contrast => plain,
            Depth::Ansi16 => plain.fg(name),
            Depth::Ansi256 => plain.fg(Color::Indexed(index)),
        };
        if self.depth == Depth::Contrast {
            return match role {
                Role::Plain | Role::Quiet => plain,
                Role::Strong | Role::Accent | Role::Good => plain.add_modifier(Modifier::BOLD),
                Role::Warn | Role::Odd => plain.add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
                Role::Selected | Role::Bad | Role::Alarm => {
                    plain.add_modifier(Modifier::BOLD | Modifier::REVERSED)
                }
            };
        }
        match role {
            Role::Plain => plain,
            Role::Strong => plain.add_modifier(Modifier::BOLD),
            Role::Quiet => plain.add_modifier(Modifier::DIM),
            Role::Accent => paint(Color::Cyan, 73),
            Role::Good => paint(Color::Green, 71),
            Role::Bad => paint(Color::Red, 167).add_modifier(Modifier::BOLD),
            Role::Warn => paint(Color::Yellow, 178),
            Role::Odd => paint(Color::Magenta, 140).add_modifier(Modifier::BOLD),
            Role::Selected => plain.add_modifier(Modifier::REVERSED),
            Role::Alarm => paint(Color::Red, 167).add_modifier(Modifier::REVERSED | Modifier::BOLD),
        }
    }

    /// Text in a meaning.
    pub fn span<'a>(self, role: Role, text: impl Into<std::borrow::Cow<'a, str>>) -> Span<'a> {
        Span::styled(text, self.style(role))
    }

    /// The sign of a badge.
    pub const fn badge(self, badge: Badge) -> (&'static str, Role) {
        let (unicode, ascii, role) = match badge {
            Badge::Failing => ("✗", "x", Role::Bad),
            Badge::Credentials => ("!", "!", Role::Odd),
            Badge::Retrying => ("…", "~", Role::Warn),
            Badge::Unknown => ("?", "?", Role::Warn),
            Badge::Disabled => ("⏸", "-", Role::Quiet),
            Badge::Ok => ("✓", "+", Role::Good),
        };
        (if self.ascii { ascii } else { unicode }, role)
    }

    /// The sign of an attempt's state.
    pub const fn attempt(self, state: AttemptState) -> (&'static str, Role) {
        let (unicode, ascii, role) = match state {
            AttemptState::Running => ("…", "~", Role::Warn),
            AttemptState::Delivered => ("✓", "+", Role::Good),
            AttemptState::Failed => ("✗", "x", Role::Bad),
            AttemptState::Unknown => ("?", "?", Role::Warn),
        };
        (if self.ascii { ascii } else { unicode }, role)
    }

    /// The sign of a delivery's state.
    pub const fn delivery(self, state: DeliveryState) -> (&'static str, Role) {
        let (unicode, ascii, role) = match state {
            DeliveryState::Dead => ("✗", "x", Role::Bad),
            DeliveryState::Held => ("⏸", "-", Role::Warn),
            DeliveryState::Pending => ("…", "~", Role::Warn),
            DeliveryState::Skipped => ("»", ">", Role::Quiet),
            DeliveryState::Unknown => ("?", "?", Role::Warn),
            DeliveryState::Delivered => ("✓", "+", Role::Good),
        };
        (if self.ascii { ascii } else { unicode }, role)
    }

    /// Picks by the set of signs.
    pub const fn pick(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.ascii { ascii } else { unicode }
    }

    /// The sign of the selected row.
    pub const fn pointer(self) -> &'static str {
        if self.plain { SELECTED } else { self.pick("▶", ">") }
    }

    /// What a line is drawn with, sign by sign.
    pub const fn rule(self) -> &'static str {
        if self.plain { " " } else { self.pick("─", "-") }
    }

    /// Text with our own signs spelled in ASCII where that is asked for.
    pub fn spell(self, text: &str) -> String {
        const SIGNS: [(&str, &str); 12] = [
            ("✗", "x"),
            ("⏸", "-"),
            ("✓", "+"),
            ("⏎", "Enter"),
            ("↑", "Up"),
            ("↓", "Down"),
            ("←", "Left"),
            ("→", "Right"),
            ("·", "-"),
            ("›", ">"),
            ("…", "..."),
            ("•", "*"),
        ];
        if !self.ascii {
            return text.to_owned();
        }
        SIGNS.iter().fold(text.to_owned(), |text, (sign, word)| text.replace(sign, word))
    }

    /// The lines of a frame; a heavy one has the focus.
    pub const fn border(self, heavy: bool) -> border::Set<'static> {
        match (self.ascii, heavy) {
            _ if self.plain && heavy => border::Set { top_left: FOCUSED, ..BLANK },
            _ if self.plain => BLANK,
            (false, false) => border::PLAIN,
            (false, true) => border::THICK,
            (true, false) => ASCII,
            (true, true) => ASCII_HEAVY,
        }
    }
}

const BLANK: border::Set<'static> = border::Set {
    top_left: " ",
    top_right: " ",
    bottom_left: " ",
    bottom_right: " ",
    vertical_left: " ",
    vertical_right: " ",
    horizontal_top: " ",
    horizontal_bottom: " ",
};
const ASCII: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};
const ASCII_HEAVY: border::Set<'static> = border::Set {
    top_left: "#",
    top_right: "#",
    bottom_left: "#",
    bottom_right: "#",
    vertical_left: "#",
    vertical_right: "#",
    horizontal_top: "=",
    horizontal_bottom: "=",
};
