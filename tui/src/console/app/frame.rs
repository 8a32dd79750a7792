//! What frames every screen: the header, the numbers and crumbs, the status line and the keys.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::acts::obstacle;
use super::shared::{SMALLEST, Tone, WIDE};
use super::{App, menus, plain};
use crate::console::data::{Badge, Conn, Integration};
use crate::console::dialogs::Dialog;
use crate::console::keymap::Action;
use crate::console::screen::View;
use crate::console::screens;
use crate::console::theme::{Role, Theme};
use crate::console::widgets::draw::{cut, input, line_width, safe, wrapped};
use crate::console::widgets::time;

/// Draws everything.
pub(super) fn draw(app: &App, view: View<'_>, frame: &mut Frame<'_>) {
    // Whatever lies over a screen is read alone where all is read out.
    draw_parts(app, view, !(view.theme.plain && is_covered(app)), frame);
}

/// Whether something lies over the screen.
pub(super) fn is_covered(app: &App) -> bool {
    app.dialog.is_some() || !app.secrets.is_empty()
}

/// Draws everything, with the screen or without it.
pub(super) fn draw_parts(app: &App, view: View<'_>, has_screen: bool, frame: &mut Frame<'_>) {
    let area = frame.area();
    if !view.shared.is_usable() {
        return too_small(view, frame);
    }
    let status = status(view, area.width);
    let rows = [
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(u16::try_from(status.len()).unwrap_or(1)),
        Constraint::Length(1),
    ];
    let [header_area, crumbs_area, body, status_area, keys_area] = Layout::vertical(rows).areas(area);
    frame.render_widget(header(view, header_area.width), header_area);
    frame.render_widget(crumbs(app, view, crumbs_area.width), crumbs_area);
    if has_screen {
        app.top().draw(view, frame, body);
    }
    frame.render_widget(Paragraph::new(status), status_area);
    frame.render_widget(keys(app, view, keys_area.width), keys_area);
    match (app.secrets.front(), &app.dialog) {
        (Some(secret), _) => secret.draw(view, frame, area),
        (None, Some(Dialog::Confirm(confirm))) => confirm.draw(view, frame, area),
        (None, Some(Dialog::Menu(menu))) => menu.draw(view, frame, area),
        (None, Some(Dialog::Editor(editor))) => editor.draw(view, frame, area),
        (None, Some(Dialog::Notice(notice))) => notice.draw(view, frame, area),
        (None, None) => {}
    }
    if view.theme.plain {
        plain::put_cursor(frame, app.dialog.is_none() && app.top().is_typing());
    }
}

fn too_small(view: View<'_>, frame: &mut Frame<'_>) {
    let area = frame.area();
    let (width, height) = SMALLEST;
    let text = [
        Line::from(
            view.theme.span(Role::Strong, format!(" leadline {}", connection_word(&view.shared.conn))),
        ),
        Line::from(format!(" {}x{} is too small: {width}x{height} at least", area.width, area.height)),
        Line::from(format!(" {} failing; q quits", view.shared.count(Badge::is_bad))),
    ];
    frame.render_widget(Paragraph::new(text.to_vec()), area);
}

/// The state of the connection in a word.
const fn connection_word(conn: &Conn) -> &'static str {
    match conn {
        Conn::Connecting => "CONNECTING",
        Conn::Live => "LIVE",
        Conn::Lost { .. } => "LOST",
        Conn::Incompatible(_) => "INCOMPATIBLE",
        Conn::Denied(_) => "DENIED",
    }
}

/// Connection, counts, and whether changes are possible. The counts give way first when it is narrow.
fn header(view: View<'_>, width: u16) -> Line<'static> {
    let (shared, theme, width) = (view.shared, view.theme, usize::from(width));
    let role = match shared.conn {
        Conn::Live => Role::Good,
        Conn::Connecting => Role::Warn,
        Conn::Lost { .. } | Conn::Incompatible(_) | Conn::Denied(_) => Role::Alarm,
    };
    let dot = if shared.is_live() { theme.pick("●", "*") } else { theme.pick("○", "o") };
    let mut left = vec![
        theme.span(Role::Strong, " leadline  "),
        theme.span(role, format!("{dot} {}", connection_word(&shared.conn))),
    ];
    if let Conn::Lost { retry_at, attempt, .. } = &shared.conn {
        let age = shared
            .stale_since
            .map(|since| format!("  data STALE for {}", time::age(shared.now, Some(since))));
        left.push(theme.span(Role::Warn, age.unwrap_or_default()));
        let retry = format!("  retry {} (try {attempt})", time::until(shared.now, *retry_at));
        let now = shared.setup.keymap.hint(Action::Reload, "  ", " now");
        for text in [retry, now] {
            if line_width(&left) + text.len() + 10 < width {
                left.push(Span::raw(text));
            }
        }
    } else if shared.stale_since.is_some() {
        left.push(theme.span(Role::Warn, "  data STALE"));
    }
    if let Some((_, name)) = &shared.company {
        left.push(theme.span(Role::Accent, format!("  [{}]", safe(name, 24, theme))));
    }
    let role = shared.who.as_ref().map(|who| who.role.as_str()).filter(|role| *role != "admin");
    let mode = match role {
        _ if shared.setup.read_only => "READ-ONLY ".to_owned(),
        Some(role) => format!("{} ", role.to_uppercase()),
        None => "RW ".to_owned(),
    };
    let tone = if shared.setup.read_only || role.is_some() { Role::Warn } else { Role::Quiet };
    let mode = theme.span(tone, mode);
    let room = width.saturating_sub(line_width(&left) + mode.width());
    left.extend(counts(view, room));
    let gap = width.saturating_sub(line_width(&left) + mode.width());
    left.push(Span::raw(" ".repeat(gap)));
    left.push(mode);
    Line::from(left)
}

fn counts(view: View<'_>, room: usize) -> Vec<Span<'static>> {
    let (shared, theme) = (view.shared, view.theme);
    let mut spans = Vec::new();
    let mut add = |span: Span<'static>| {
        if line_width(&spans) + span.width() < room {
            spans.push(span);
        }
    };
    if shared.is_loaded {
        for badge in [Badge::Failing, Badge::Credentials, Badge::Retrying, Badge::Disabled] {
            let count = shared.count(|other| other == badge);
            if count > 0 {
                let (glyph, role) = theme.badge(badge);
                add(theme.span(role, format!("   {glyph} {count}")));
            }
        }
        let silent = shared.silent();
        if silent > 0 {
            let companies = if silent == 1 { "company" } else { "companies" };
            add(theme.span(Role::Alarm, format!("   {silent} {companies} silent (6)")));
        }
        let sum = |of: fn(&Integration) -> u64| shared.in_view().map(of).sum::<u64>();
        for (label, count) in
            [("dead", sum(|it| it.dead)), ("held", sum(|it| it.held)), ("pending", sum(|it| it.pending))]
        {
            if count > 0 {
                add(Span::raw(format!("   {label} {count}")));
            }
        }
    }
    let version = safe(&shared.daemon_version, 20, theme);
    let profile = shared.setup.profile.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    let target = format!("   {} {version}", safe(&format!("{profile}{}", shared.setup.target), 60, theme));
    add(theme.span(Role::Quiet, target.trim_end().to_owned()));
    spans
}

/// The numbers of the first screens, or the way to where we are; and what narrows it.
fn crumbs(app: &App, view: View<'_>, width: u16) -> Line<'static> {
    let (theme, stack) = (view.theme, &app.stacks[app.at]);
    let mut spans = vec![Span::raw(" ")];
    // What restricts the list is shown whatever has to give way to it.
    let chips = app.top().chips();
    let is_filtered =
        !chips.is_empty() || app.top().filter().is_some_and(|filter| filter.editing || !filter.is_empty());
    if stack.len() == 1 {
        let is_shown = |at: &usize| *at == app.at || !is_filtered || width >= WIDE;
        let roots = screens::ROOTS.iter().enumerate().filter(|(at, _)| is_shown(at));
        for (at, (name, _)) in roots {
            let dead = view.shared.in_view().map(|it| it.dead).sum::<u64>();
            let count = if at == 1 && dead > 0 { format!(" {dead}") } else { String::new() };
            let text = format!("{} {name}{count}", at + 1);
            spans.push(if at == app.at {
                theme.span(Role::Strong, format!("[{text}]"))
            } else {
                Span::raw(format!(" {text} "))
            });
            spans.push(Span::raw(" "));
        }
    } else {
        let sep = theme.pick(" › ", " > ");
        let last = stack.len() - 1;
        for (at, screen) in stack.iter().enumerate() {
            let name = safe(&screen.crumb(&app.shared), 40, theme);
            if at > 0 {
                spans.push(theme.span(Role::Quiet, sep));
            }
            spans.push(if at == last { theme.span(Role::Strong, name) } else { Span::raw(name) });
        }
    }
    let room = usize::from(width);
    for chip in chips {
        let left = room.saturating_sub(line_width(&spans) + 5);
        spans.push(theme.span(Role::Warn, format!("  [{}]", safe(&chip, left.min(40), theme))));
    }
    if let Some(filter) = app.top().filter() {
        let fuzzy = if filter.is_fuzzy { " fuzzy" } else { "" };
        let room = room.saturating_sub(line_width(&spans) + 6 + fuzzy.len());
        if filter.editing {
            spans.push(theme.span(Role::Accent, "  /"));
            spans.extend(input(&filter.input, room.min(40), theme));
            spans.push(theme.span(Role::Warn, fuzzy));
        } else if !filter.is_empty() {
            let text = safe(filter.input.text(), room.min(40), theme);
            spans.push(theme.span(Role::Warn, format!("  [/{text}{fuzzy}]")));
        }
    }
    Line::from(spans)
}

/// The latest message, else what is under way, else what is wrong with the connection.
fn status(view: View<'_>, width: u16) -> Vec<Line<'static>> {
    let (shared, theme, width) = (view.shared, view.theme, usize::from(width).saturating_sub(3));
    if let Some(message) = shared.shown() {
        let (glyph, role) = sign(message.tone, theme);
        let hint = shared.setup.keymap.hint(Action::Messages, "  (", " for all of it)");
        let whole = safe(&message.text, usize::MAX / 8, theme);
        let is_cut = unicode_width::UnicodeWidthStr::width(whole.as_str()) > width.saturating_sub(2);
        let room = width.saturating_sub(2 + if is_cut { hint.len() } else { 0 });
        let mut spans =
            vec![Span::raw(" "), theme.span(role, format!("{glyph} ")), Span::raw(cut(&whole, room, theme))];
        if is_cut {
            spans.push(theme.span(Role::Quiet, hint));
        }
        return vec![Line::from(spans)];
    }
    if let Some(pending) = shared.pending.values().next() {
        let more = shared.pending.len() - 1;
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        let how = if pending.is_delayed { "waits for the connection, is sent again" } else { "sent" };
        let text = format!("{} {}: {how}{more}", theme.pick("…", "~"), safe(&pending.what, 60, theme));
        return vec![Line::from(theme.span(Role::Warn, format!(" {}", cut(&text, width, theme))))];
    }
    match &shared.conn {
        Conn::Lost { error, .. } | Conn::Incompatible(error) | Conn::Denied(error) => {
            // What to do about it stands at its end: it goes on below rather than being cut.
            let mut lines = wrapped(error, "   ", width, Role::Plain, theme);
            lines.truncate(2);
            if let Some(lead) = lines.first_mut().and_then(|line| line.spans.first_mut()) {
                *lead = theme.span(Role::Bad, format!(" {} ", theme.pick("✗", "x")));
            }
            lines
        }
        Conn::Connecting | Conn::Live => vec![Line::default()],
    }
}

/// The sign of a message.
pub fn sign(tone: Tone, theme: Theme) -> (&'static str, Role) {
    match tone {
        Tone::Good => (theme.pick("✓", "+"), Role::Good),
        Tone::Bad => (theme.pick("✗", "x"), Role::Bad),
        Tone::Plain => (theme.pick("•", "*"), Role::Plain),
    }
}

/// The keys that matter here, from the key map; what is not possible now is left out.
fn keys(app: &App, view: View<'_>, width: u16) -> Line<'static> {
    let (theme, screen) = (view.theme, app.top());
    if screen.is_typing() && app.dialog.is_none() {
        let text = " ⏎ takes it   ↑ ↓ choose   Esc leaves the line, then every key works";
        return Line::from(theme.span(Role::Quiet, cut(&theme.spell(text), usize::from(width), theme)));
    }
    let subject = screen.subject(&app.shared);
    let offered = screen.actions();
    let mut bindings: Vec<_> = app
        .shared
        .setup
        .keymap
        .iter()
        .filter(|b| b.footer > 0 && !b.shown.is_empty() && (b.is_global() || offered.contains(&b.action)))
        .collect();
    bindings.sort_by_key(|b| b.footer);
    // Help stands at the end, but must not be the one that is cut off.
    let help = app.shared.setup.keymap.hint(Action::Help, "", " help");
    let room = usize::from(width).saturating_sub(help.len() + 3);
    let mut spans = vec![Span::raw(" ")];
    for binding in bindings.iter().filter(|b| b.action != Action::Help) {
        let leads_nowhere = binding.action == Action::Back && app.at == 0 && app.stacks[0].len() == 1;
        if leads_nowhere || obstacle(&app.shared, &subject, binding.action).is_some() {
            continue;
        }
        let label = short(&menus::label(screen, &app.shared, &subject, binding.action).unwrap_or_default());
        let pair = [theme.span(Role::Strong, theme.spell(&binding.shown)), Span::raw(format!(" {label}  "))];
        if line_width(&spans) + line_width(&pair) <= room {
            spans.extend(pair);
        }
    }
    if let Some((key, word)) = help.split_once(' ') {
        spans.extend([theme.span(Role::Strong, theme.spell(key)), Span::raw(format!(" {word}"))]);
    }
    Line::from(spans)
}

/// The first words of a label: the footer has little room, the help says it whole.
fn short(label: &str) -> String {
    let words = match label {
        "replace credentials" => "credentials",
        "edit the mapping" => "mapping",
        "all actions" => "actions",
        "test push" => "test",
        "one company only" => "company",
        "command, or jump to anything" => "command",
        "mark all that is shown" => "all",
        "evidence for a ticket" => "evidence",
        "open the integration" => "integration",
        "compare with the attempt before" => "compare",
        "edit the flow" => "flow",
        other => {
            other.split_whitespace().next().filter(|w| matches!(*w, "enable" | "disable")).unwrap_or(other)
        }
    };
    words.to_owned()
}
