//! The secret that is shown once: masked, and not to be left before it is stored.

use crossterm::event::KeyCode;
use jiff::{SignedDuration, Timestamp};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use zeroize::Zeroizing;

use super::QUIET;
use crate::console::data::Secret;
use crate::console::keymap::{Action, Press};
use crate::console::msg::Effect;
use crate::console::screen::View;
use crate::console::theme::{Role, Theme};
use crate::console::widgets::draw::{input, popup, safe, wrapped};
use crate::console::widgets::input::Input;
use crate::console::widgets::time;

/// How long a secret is shown in clear.
const SHOWN: SignedDuration = SignedDuration::from_secs(30);

/// A secret that is shown this one time.
#[derive(Clone, Debug)]
pub struct OneTime {
    pub integration: String,
    pub secret: Secret,
    pub grace_until: Option<Timestamp>,
    /// The old one signs until cut over.
    pub is_staged: bool,
    /// There is no old one.
    pub is_first: bool,
    pub opened_at: Timestamp,
    /// Until when it is shown in clear.
    pub shown_until: Option<Timestamp>,
    pub is_stored: bool,
    /// Whether it was put on the clipboard, where it may be still.
    pub is_copied: bool,
    /// The file name that is being typed.
    pub path: Option<Input>,
    pub note: Option<String>,
    /// The key that would close it without the tick, if it is pressed once more.
    pub warned: Option<KeyCode>,
}

/// What a key did to it.
#[derive(Debug)]
pub enum Closed {
    No(Option<Effect>),
    Stored,
    ThrownAway,
}

impl OneTime {
    /// Masked, not stored.
    pub fn new(integration: String, secret: Secret, grace_until: Option<Timestamp>, now: Timestamp) -> Self {
        Self {
            integration,
            secret,
            grace_until,
            is_staged: false,
            is_first: false,
            opened_at: now,
            shown_until: None,
            is_stored: false,
            is_copied: false,
            path: None,
            note: None,
            warned: None,
        }
    }

    /// A file name to start from, made of harmless characters only.
    pub fn suggested_path(&self) -> String {
        let slug: String =
            self.integration.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
        format!("leadline-{slug}.secret")
    }

    /// Takes a key in.
    pub fn key(&mut self, press: Press, now: Timestamp) -> Closed {
        if now.duration_since(self.opened_at) < QUIET || press.repeat {
            return Closed::No(None);
        }
        // Only the same key twice in a row throws it away.
        let before = self.warned.take();
        if self.path.is_some() && !press.ctrl {
            self.note = self.note.take().filter(|_| before.is_none());
            return Closed::No(self.path_key(press));
        }
        let warned = before.filter(|warned| *warned == press.code);
        if before != warned {
            self.note = None;
        }
        match press.code {
            KeyCode::Char('c') if press.ctrl => return self.leave(press.code, warned.is_some()),
            _ if press.ctrl => {}
            KeyCode::Char('v') => {
                self.shown_until = if self.shown_until.is_some() { None } else { Some(now + SHOWN) };
            }
            KeyCode::Char('y') => {
                self.is_copied = true;
                let text = Zeroizing::new(self.secret.reveal().to_owned());
                return Closed::No(Some(Effect::Copy { what: self.copied_as(), text }));
            }
            // Nobody tells whether it went: the key stays, to be pressed once more.
            KeyCode::Char('k') if self.is_copied => {
                return Closed::No(Some(Effect::Copy { what: self.copied_as(), text: Zeroizing::default() }));
            }
            KeyCode::Char('w') => self.path = Some(Input::with(self.suggested_path())),
            KeyCode::Char(' ') => self.is_stored = !self.is_stored,
            KeyCode::Enter if self.is_stored => return Closed::Stored,
            KeyCode::Enter => self.note = Some("tick the box first: space".to_owned()),
            KeyCode::Esc | KeyCode::Char('q') => return self.leave(press.code, warned.is_some()),
            _ => {}
        }
        Closed::No(None)
    }

    /// What it is called when it is copied, so that the answer, which comes late, is not taken for another one's.
    pub fn copied_as(&self) -> String {
        format!("the secret of {}", self.integration)
    }

    /// Says something beside it. A warning that this takes the place of is not seen any more, and is given again.
    pub fn say(&mut self, text: String) {
        (self.note, self.warned) = (Some(text), None);
    }

    /// Leaving without the tick warns once, because the secret is gone afterwards.
    fn leave(&mut self, key: KeyCode, is_warned: bool) -> Closed {
        match (self.is_stored, is_warned) {
            (true, _) => Closed::Stored,
            (false, true) => Closed::ThrownAway,
            (false, false) => {
                self.warned = Some(key);
                let note = "not ticked: it cannot be read again. The same key once more throws it away";
                self.note = Some(note.to_owned());
                Closed::No(None)
            }
        }
    }

    fn path_key(&mut self, press: Press) -> Option<Effect> {
        let path = self.path.as_mut()?;
        match press.code {
            KeyCode::Esc => self.path = None,
            KeyCode::Enter => {
                let path = path.text().trim().to_owned();
                self.path = None;
                if !path.is_empty() {
                    return Some(Effect::Save { path, secret: self.secret.clone() });
                }
            }
            _ => {
                path.key(press);
            }
        }
        None
    }

    /// Draws the dialog.
    pub fn draw(&self, view: View<'_>, frame: &mut Frame<'_>, area: Rect) {
        let theme = view.theme;
        let width = usize::from(area.width.min(74)).saturating_sub(8);
        let quiet = |text: String| Line::from(theme.span(Role::Quiet, text));
        let name = safe(&self.integration, width.saturating_sub(20), theme);
        let mut lines = vec![
            Line::default(),
            Line::from(theme.span(
                Role::Strong,
                format!("The {}secret of {name}", if self.is_first { "" } else { "new " }),
            )),
            Line::from("It is shown once and cannot be read again."),
            Line::default(),
        ];
        lines.extend(self.shown(width, theme));
        lines.push(Line::default());
        lines.push(self.keys(width, theme));
        let until = match self.grace_until {
            _ if self.is_first => "It signs every push from now on.".to_owned(),
            _ if self.is_staged => {
                let how = view.shared.setup.keymap.hint(Action::Actions, " (", ", then cut over)");
                format!("The old secret signs until you cut over{how}.")
            }
            Some(at) => {
                format!("The old secret stays valid until {}.", time::moment(at, &view.shared.setup.zone))
            }
            None => "The old secret is not valid any more.".to_owned(),
        };
        lines.push(quiet(until));
        lines.extend(wrapped(self.note.as_deref().unwrap_or_default(), "", width, Role::Warn, theme));
        lines.push(Line::default());
        let tick = if self.is_stored { "[x]" } else { "[ ]" };
        lines.push(Line::from(vec![
            theme.span(Role::Strong, format!("{tick} I have stored it")),
            theme.span(Role::Quiet, "   space"),
        ]));
        lines.push(if self.is_stored {
            Line::from(vec![
                theme.span(Role::Selected, "[ Done ]"),
                theme.span(Role::Quiet, theme.spell("   ⏎")),
            ])
        } else {
            quiet("  Done     tick the box first".to_owned())
        });
        let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(3);
        let inner = popup(frame, area, "One-time secret", (74, height), theme);
        // Where it does not fit, blank lines go first, then its head: the box to tick must still be seen.
        if lines.len() > usize::from(inner.height) {
            lines.retain(|line| line.width() > 0);
        }
        let hidden = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_sub(inner.height);
        frame.render_widget(Paragraph::new(lines).scroll((hidden, 0)), inner);
    }

    fn keys(&self, width: usize, theme: Theme) -> Line<'static> {
        let key = |key: &'static str, label: &'static str| {
            [theme.span(Role::Strong, key), Span::raw(format!(" {label}   "))]
        };
        match &self.path {
            None => {
                let show = if self.shown_until.is_some() { "hide" } else { "show" };
                let mut keys = vec![key("v", show), key("y", "copy"), key("w", "write to a file")];
                if self.is_copied {
                    keys.push(key("k", "clear the clipboard"));
                }
                Line::from(keys.concat())
            }
            Some(path) => {
                let mut line = vec![theme.span(Role::Quiet, "new file: ")];
                line.extend(input(path, width.saturating_sub(10), theme));
                Line::from(line)
            }
        }
    }

    /// The secret in clear, over several lines if it is long, or as many dots whatever its length.
    fn shown(&self, width: usize, theme: Theme) -> Vec<Line<'static>> {
        if self.shown_until.is_none() {
            return vec![Line::from(theme.pick("•", "*").repeat(44.min(width)))];
        }
        let clear = safe(self.secret.reveal(), usize::MAX / 8, theme);
        let chars: Vec<char> = clear.chars().collect();
        chars
            .chunks(width.max(1))
            .map(|part| Line::from(theme.span(Role::Accent, part.iter().collect::<String>())))
            .collect()
    }
}
