//! What frames every screen: header, crumbs, the status line and the keys.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::overview;
use super::widgets::{cut, input, line_width, safe};
use crate::keymap::{Action, BINDINGS};
use crate::model::data::{Badge, Conn};
use crate::model::filter::Filter;
use crate::model::{Model, Screen, Tone, time};
use crate::theme::{Role, Theme};
use crate::update::obstacle;

/// The state of the connection in a word.
pub(super) const fn connection_word(model: &Model) -> &'static str {
    match model.conn {
        Conn::Connecting => "CONNECTING",
        Conn::Live => "LIVE",
        Conn::Lost { .. } => "LOST",
        Conn::Incompatible(_) => "INCOMPATIBLE",
        Conn::Denied(_) => "DENIED",
    }
}

/// Connection, counts, and whether changes are possible. The counts give way first when it is narrow.
pub(super) fn header(model: &Model, theme: Theme, width: u16) -> Line<'static> {
    let width = usize::from(width);
    let role = match model.conn {
        Conn::Live => Role::Good,
        Conn::Connecting => Role::Warn,
        Conn::Lost { .. } | Conn::Incompatible(_) | Conn::Denied(_) => Role::Alarm,
    };
    let dot = if model.conn == Conn::Live { theme.pick("●", "*") } else { theme.pick("○", "o") };
    let mut left = vec![
        theme.span(Role::Strong, " leadline  "),
        theme.span(role, format!("{dot} {}", connection_word(model))),
    ];
    if let Conn::Lost { retry_at, attempt, .. } = &model.conn {
        let age = model.stale_since.map(|since| {
            format!("  data STALE for {}", time::span(model.now.duration_since(since).as_secs()))
        });
        left.push(theme.span(Role::Warn, age.unwrap_or_default()));
        let retry = format!("  retry {} (try {attempt})", time::until(model.now, *retry_at));
        for text in [retry, "  R now".to_owned()] {
            if line_width(&left) + text.len() + 10 < width {
                left.push(Span::raw(text));
            }
        }
    } else if model.stale_since.is_some() {
        left.push(theme.span(Role::Warn, "  data STALE"));
    }
    let mode = if model.setup.read_only { "READ-ONLY " } else { "RW " };
    let mode = theme.span(if model.setup.read_only { Role::Warn } else { Role::Quiet }, mode);
    let room = width.saturating_sub(line_width(&left) + mode.width());
    left.extend(counts(model, theme, room));
    let gap = width.saturating_sub(line_width(&left) + mode.width());
    left.push(Span::raw(" ".repeat(gap)));
    left.push(mode);
    Line::from(left)
}

fn counts(model: &Model, theme: Theme, room: usize) -> Vec<Span<'static>> {
    let mut spans = Vec::new();
    let mut add = |span: Span<'static>| {
        if line_width(&spans) + span.width() < room {
            spans.push(span);
        }
    };
    if model.loaded {
        for badge in [Badge::Failing, Badge::Credentials, Badge::Retrying, Badge::Disabled] {
            let count = model.count(|other| other == badge);
            if count > 0 {
                let (glyph, role) = theme.badge(badge);
                add(theme.span(role, format!("   {glyph} {count}")));
            }
        }
        let sum =
            |of: fn(&crate::model::data::Integration) -> u64| model.integrations.iter().map(of).sum::<u64>();
        for (label, count) in
            [("dead", sum(|it| it.dead)), ("held", sum(|it| it.held)), ("pending", sum(|it| it.pending))]
        {
            if count > 0 {
                add(Span::raw(format!("   {label} {count}")));
            }
        }
    }
    let version = safe(&model.daemon_version, 20, theme);
    let target = format!("   {} {version}", safe(&model.setup.target, 60, theme));
    add(theme.span(Role::Quiet, target.trim_end().to_owned()));
    spans
}

/// Where we are, and the filter that is in force.
pub(super) fn crumbs(model: &Model, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let mut spans = vec![Span::raw(" ")];
    let sep = || theme.span(Role::Quiet, theme.pick(" › ", " > "));
    match &model.open {
        None => {
            spans.push(theme.span(Role::Strong, "Overview"));
            if model.size.is_wide() && !model.visible().is_empty() {
                spans.push(Span::raw("   "));
                spans.extend(overview::note(model, theme));
            }
            let overview = &model.overview;
            let shown = (model.visible().len(), model.integrations.len());
            chips(
                &mut spans,
                theme,
                &overview.filter,
                overview.failing_only.then_some("failing only"),
                shown,
            );
        }
        Some(open) => {
            spans.extend([Span::raw("Overview"), sep()]);
            let name = safe(&open.name, 40, theme);
            if model.screen() == Screen::Attempt {
                let id = open.selected.as_deref().unwrap_or_default();
                spans.extend([Span::raw(name), sep(), theme.span(Role::Strong, safe(id, 30, theme))]);
            } else {
                spans.push(theme.span(Role::Strong, name));
                let shown = (open.visible().len(), open.attempts.len());
                chips(&mut spans, theme, &open.filter, open.failed_only.then_some("failed only"), shown);
            }
        }
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}

fn chips(
    spans: &mut Vec<Span<'static>>,
    theme: Theme,
    filter: &Filter,
    only: Option<&'static str>,
    (seen, all): (usize, usize),
) {
    if let Some(only) = only {
        spans.push(theme.span(Role::Warn, format!("   [{only}]")));
    }
    if filter.editing {
        spans.push(theme.span(Role::Accent, "   /"));
        spans.extend(input(&filter.input, 30, theme));
    } else if !filter.is_empty() {
        spans.push(theme.span(Role::Warn, format!("   [/{}]", safe(filter.input.text(), 30, theme))));
    }
    if filter.editing || !filter.is_empty() || only.is_some() {
        spans.push(Span::raw(format!(" ({seen}/{all})")));
    }
}

/// The latest toast, else what is under way, else what is wrong with the connection.
pub(super) fn status(model: &Model, theme: Theme, width: u16) -> Line<'static> {
    let width = usize::from(width).saturating_sub(3);
    if let Some(toast) = model.toasts.back() {
        let (glyph, role) = match toast.tone {
            Tone::Good => (theme.pick("✓", "+"), Role::Good),
            Tone::Bad => (theme.pick("✗", "x"), Role::Bad),
            Tone::Plain => (theme.pick("•", "*"), Role::Plain),
        };
        let text = safe(&toast.text, width.saturating_sub(2), theme);
        return Line::from(vec![Span::raw(" "), theme.span(role, format!("{glyph} ")), Span::raw(text)]);
    }
    if let Some(pending) = model.pending.values().next() {
        let more = model.pending.len() - 1;
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        let how = if pending.delayed { "waits for the connection, is sent again" } else { "sent" };
        let text = format!("{} {}: {how}{more}", theme.pick("…", "~"), safe(&pending.what, 60, theme));
        return Line::from(theme.span(Role::Warn, format!(" {}", cut(&text, width, theme))));
    }
    match &model.conn {
        Conn::Lost { error, .. } | Conn::Incompatible(error) | Conn::Denied(error) => {
            let text = safe(error, width.saturating_sub(2), theme);
            Line::from(vec![theme.span(Role::Bad, format!(" {} ", theme.pick("✗", "x"))), Span::raw(text)])
        }
        Conn::Connecting | Conn::Live => {
            let marks = model.open.as_ref().map_or(0, |open| open.marks.len());
            let text = if marks > 0 { format!(" {marks} marked") } else { String::new() };
            Line::from(theme.span(Role::Accent, text))
        }
    }
}

/// The keys that matter here, from the key map; what is not possible now is left out.
pub(super) fn keys(model: &Model, theme: Theme, width: u16) -> Line<'static> {
    let mut bindings: Vec<_> =
        BINDINGS.iter().filter(|b| b.footer > 0 && b.place.covers(model.screen())).collect();
    bindings.sort_by_key(|b| b.footer);
    // Help stands at the end, but must not be the one that is cut off.
    let help = "? help";
    let room = usize::from(width).saturating_sub(help.len() + 3);
    let mut spans = vec![Span::raw(" ")];
    for binding in bindings.iter().filter(|b| b.action != Action::Help) {
        if obstacle(model, binding.action).is_some() || leads_nowhere(model, binding.action) {
            continue;
        }
        let label = label(model, binding.action, binding.label);
        let pair = [theme.span(Role::Strong, theme.spell(binding.shown)), Span::raw(format!(" {label}  "))];
        if line_width(&spans) + line_width(&pair) <= room {
            spans.extend(pair);
        }
    }
    spans.extend([theme.span(Role::Strong, "?"), Span::raw(" help")]);
    Line::from(spans)
}

/// Esc is harmless everywhere, but worth a place only where there is a way back.
fn leads_nowhere(model: &Model, action: Action) -> bool {
    action == Action::Back && model.open.is_none() && model.overview.filter.is_empty()
}

fn label(model: &Model, action: Action, label: &str) -> String {
    let marks = model.open.as_ref().map_or(0, |open| open.marks.len());
    match action {
        Action::Retry if marks > 0 => format!("retry {marks} marked"),
        Action::Retry if model.open.is_none() => "retry dead".to_owned(),
        Action::Toggle => match model.current() {
            Some(it) if !it.enabled => "enable".to_owned(),
            _ => "disable".to_owned(),
        },
        Action::FailingOnly if model.open.is_some() => "failed only".to_owned(),
        Action::Test => "test".to_owned(),
        _ => label.to_owned(),
    }
}
