//! Questions before acts, and menus.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::widgets::{column, cut, input, pad, popup, safe};
use crate::model::Model;
use crate::model::data::{Badge, Entry, Estimate};
use crate::model::dialog::{Ask, Choice, Confirm, DryRun, Focus, Menu};
use crate::model::layout::window_start;
use crate::theme::{Role, Theme};

const WIDTH: u16 = 72;

/// Draws a question.
pub(super) fn confirm(model: &Model, ask: &Confirm, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let width = usize::from(WIDTH.min(area.width.saturating_sub(2))).saturating_sub(6);
    let (title, verb, question) = words(&ask.ask, width, theme);
    let mut lines = vec![Line::default(), Line::from(theme.span(Role::Strong, question)), Line::default()];
    lines.extend(facts(model, ask, width, theme).into_iter().map(Line::from));
    if let Some(told) = dry_run(&ask.dry_run, width, theme) {
        lines.push(told);
    }
    if let Some(choice) = ask.choice() {
        lines.push(Line::default());
        lines.push(Line::from(theme.span(Role::Quiet, format!("{}:", choice.label))));
        lines.extend(options(ask, &choice, width, theme));
    }
    if let Some(expected) = ask.expected() {
        lines.push(Line::default());
        lines.push(Line::from(vec![
            theme.span(Role::Quiet, "Type "),
            theme.span(Role::Strong, safe(&expected, width.saturating_sub(18), theme)),
            theme.span(Role::Quiet, " to confirm:"),
        ]));
        let mut line = vec![theme.span(Role::Accent, theme.pick("┃ ", "> "))];
        if ask.focus == Focus::Input {
            line.extend(input(&ask.input, width.saturating_sub(2), theme));
        } else {
            line.push(Span::raw(safe(ask.input.text(), width.saturating_sub(2), theme)));
        }
        lines.push(Line::from(line));
    }
    lines.push(Line::default());
    let obstacle = model.locked().or_else(|| ask.obstacle().map(str::to_owned));
    lines.push(buttons(ask, verb, obstacle, theme));
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(3);
    let inner = popup(frame, area, title, (WIDTH, height), theme);
    frame.render_widget(Paragraph::new(lines), inner);
}

/// The options of a choice, side by side as far as there is room.
fn options(ask: &Confirm, choice: &Choice, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let (mut lines, mut spans, mut used) = (Vec::new(), Vec::new(), 0);
    for (at, option) in choice.options.iter().enumerate() {
        let chosen = at == ask.choice;
        let role = match (chosen, ask.focus) {
            (true, Focus::Choice) => Role::Selected,
            (true, _) => Role::Strong,
            _ => Role::Quiet,
        };
        let mark = if chosen { "(x)" } else { "( )" };
        let text = format!("{mark} {option}");
        if used + text.len() > width && used > 0 {
            lines.push(Line::from(std::mem::take(&mut spans)));
            used = 0;
        }
        used += text.len() + 3;
        spans.extend([theme.span(role, text), Span::raw("   ")]);
    }
    lines.push(Line::from(spans));
    lines
}

fn words(ask: &Ask, width: usize, theme: Theme) -> (&'static str, &'static str, String) {
    let room = width.saturating_sub(32);
    let name = |name: &str| safe(name, room, theme);
    match ask {
        Ask::Retry { of, .. } => {
            ("Retry", "Retry", format!("Retry {}?", safe(of, width.saturating_sub(8), theme)))
        }
        Ask::Enable { name: n, .. } => ("Enable", "Enable", format!("Enable {}?", name(n))),
        Ask::Disable { name: n, .. } => ("Disable", "Disable", format!("Disable {}?", name(n))),
        Ask::Test { name: n, .. } => ("Test push", "Push", format!("Push a test to {}?", name(n))),
        Ask::Reset { name: n, .. } => ("Reset", "Reset", format!("Reset the failure count of {}?", name(n))),
        Ask::Rotate { name: n, .. } => {
            ("Rotate secret", "Rotate", format!("Rotate the signing secret of {}?", name(n)))
        }
        Ask::CutOver { name: n, .. } => {
            ("Cut over", "Cut over", format!("Cut over {} to the staged secret?", name(n)))
        }
        Ask::Revoke { name: n, staged: true, .. } => {
            ("Cancel secret", "Cancel it", format!("Cancel the staged secret of {}?", name(n)))
        }
        Ask::Revoke { name: n, .. } => {
            ("Revoke secret", "Revoke", format!("Revoke the old secret of {}?", name(n)))
        }
    }
}

fn facts(model: &Model, confirm: &Confirm, width: usize, theme: Theme) -> Vec<String> {
    let bullet = theme.pick("•", "*");
    let told = match &confirm.ask {
        Ask::Rotate { pending, .. } => rotation_facts(confirm.entry(), *pending),
        Ask::CutOver { held, .. } => vec![
            "the staged secret signs from now on, the old one nothing".to_owned(),
            "a receiver that does not know it yet refuses: test first".to_owned(),
            format!(
                "{} held; what the rotation held is pushed",
                count(*held, "delivery is", "deliveries are")
            ),
        ],
        Ask::Revoke { staged: true, .. } => vec![
            "the old secret goes on alone; what the rotation held is pushed".to_owned(),
            "a receiver that knows the new one only refuses from now on".to_owned(),
        ],
        Ask::Revoke { .. } => vec![
            "the old secret signs nothing any more".to_owned(),
            "a receiver that does not know the new one yet refuses".to_owned(),
        ],
        ask => other_facts(model, ask),
    };
    told.into_iter().map(|fact| cut(&format!("{bullet} {fact}"), width, theme)).collect()
}

fn rotation_facts(entry: Entry, pending: u64) -> Vec<String> {
    let made = "a new secret is made now and shown once".to_owned();
    match entry {
        Entry::Now { .. } => vec![
            made,
            "it signs the simple header at once: tell those receivers now".to_owned(),
            count(
                pending,
                "pending delivery will be signed with it",
                "pending deliveries will be signed with it",
            ),
        ],
        Entry::Staged { hold: false } => vec![
            made,
            "until you cut over it only joins webhook-signature".to_owned(),
            "a test push is signed by it alone: it shows who knows it".to_owned(),
        ],
        Entry::Staged { hold: true } => vec![
            made,
            "nothing is pushed until you cut over; new leads are held".to_owned(),
            "a test push is signed by it alone: it shows who knows it".to_owned(),
        ],
    }
}

fn other_facts(model: &Model, ask: &Ask) -> Vec<String> {
    let badge = model.current().map(|it| it.badge);
    let mut facts: Vec<String> = Vec::new();
    let mut add = |text: &str| facts.push(text.to_owned());
    match ask {
        Ask::Retry { delivered, .. } => {
            add("the same bytes go out again, under the same id");
            if *delivered > 0 {
                add(&format!("{delivered} delivered already: the target gets that a second time"));
            }
            if badge == Some(Badge::Credentials) {
                add("the last push was refused for its login: this likely fails again");
            }
            if badge == Some(Badge::Disabled) {
                add("it is disabled: nothing is pushed until it is enabled");
            }
        }
        Ask::Enable { held, .. } => {
            add("new leads are pushed again");
            add(&count(*held, "delivery is held", "deliveries are held"));
        }
        Ask::Disable { pending, .. } => {
            add("pushes in flight finish; new leads are kept, held");
            add(&count(*pending, "pending delivery waits", "pending deliveries wait"));
        }
        Ask::Test { .. } => {
            add("a sample lead goes to the real target as webhook.test");
            add("it never counts as a failure");
        }
        Ask::Reset { failures, .. } => {
            add(&count(
                *failures,
                "failure and its error are forgotten",
                "failures and the last error are forgotten",
            ));
            add("attempts and dead deliveries stay as they are");
        }
        Ask::Rotate { .. } | Ask::CutOver { .. } | Ask::Revoke { .. } => {}
    }
    facts
}

fn dry_run(told: &DryRun, width: usize, theme: Theme) -> Option<Line<'static>> {
    let label = theme.span(Role::Quiet, "dry run   ");
    let value = match told {
        DryRun::NotNeeded => return None,
        DryRun::Waiting(_) => theme.span(Role::Quiet, theme.pick("counting…", "counting...")),
        DryRun::Told(estimate) => Span::raw(estimated(estimate)),
        DryRun::Failed(error) => theme.span(Role::Bad, safe(error, width.saturating_sub(10), theme)),
    };
    Some(Line::from(vec![label, value]))
}

fn count(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn estimated(estimate: &Estimate) -> String {
    let deliveries = count(estimate.count, "delivery", "deliveries");
    let taken = match estimate.seconds {
        seconds if seconds < 1.0 => "under a second".to_owned(),
        seconds => format!("about {}", crate::model::time::span(seconds.ceil() as i64)),
    };
    format!("{deliveries}, {taken}")
}

fn buttons(ask: &Confirm, verb: &str, obstacle: Option<String>, theme: Theme) -> Line<'static> {
    let focused = |focus: Focus| if ask.focus == focus { Role::Selected } else { Role::Plain };
    let key = if ask.expected().is_none() { "y  " } else { "" };
    let mut spans = vec![theme.span(focused(Focus::Cancel), "[ Cancel ]"), Span::raw("    ")];
    match obstacle {
        None => {
            spans.push(theme.span(Role::Strong, key));
            spans.push(theme.span(focused(Focus::Confirm), format!("[ {verb} ]")));
        }
        Some(reason) => {
            spans.push(theme.span(Role::Quiet, format!("  {verb}  ")));
            spans.push(theme.span(Role::Warn, format!(" {reason}")));
        }
    }
    Line::from(spans)
}

/// Draws a menu.
pub(super) fn menu(menu: &Menu, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let visible = menu.visible();
    let query = u16::from(menu.query.is_some()) * 2;
    let height = u16::try_from(menu.items.len()).unwrap_or(20).min(18).saturating_add(query + 4);
    let inner = popup(frame, area, menu.title, (64, height), theme);
    let width = usize::from(inner.width);
    let mut lines = vec![Line::default()];
    if let Some(query) = &menu.query {
        let mut line = vec![theme.span(Role::Accent, ": ")];
        line.extend(input(query, width.saturating_sub(2), theme));
        lines.extend([Line::from(line), Line::default()]);
    }
    let rows = usize::from(inner.height).saturating_sub(lines.len() + 1);
    let start = window_start(menu.selected, rows, visible.len());
    for (at, item) in visible.iter().enumerate().skip(start).take(rows) {
        let key = pad(theme.spell(&item.key), 9);
        let label = match &item.reason {
            Some(reason) => column(&format!("{} ({reason})", item.label), width.saturating_sub(9), theme),
            None => column(&item.label, width.saturating_sub(9), theme),
        };
        let role = if item.reason.is_some() { Role::Quiet } else { Role::Plain };
        let line = Line::from(vec![theme.span(Role::Strong, key), theme.span(role, label)]);
        lines.push(if at == menu.selected { line.style(theme.style(Role::Selected)) } else { line });
    }
    if visible.is_empty() {
        lines.push(Line::from(theme.span(Role::Quiet, "nothing of that name")));
    }
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), inner);
}
