//! What was found, and how far back that goes.

use crate::console::app::shared::Shared;
use crate::console::data::lead::Searched;
use crate::console::data::{Answer, Lead};
use crate::console::keymap::Action;
use crate::console::widgets::time;

/// What was found.
#[derive(Clone, Debug)]
pub(super) struct Hits {
    pub rows: Vec<Lead>,
    pub more: bool,
    /// How far back, of a search anywhere.
    pub searched: Option<Searched>,
}

impl Hits {
    /// What an answer has of them.
    pub(super) fn of(answer: &Answer) -> Option<Self> {
        let Answer::Leads { rows, more, searched } = answer else { return None };
        Some(Self { rows: rows.clone(), more: *more, searched: searched.clone() })
    }

    /// Where it is looked further; none where all was looked through.
    pub(super) fn next(&self) -> Option<String> {
        self.searched.as_ref().map(|it| it.next.clone()).filter(|next| !next.is_empty())
    }

    /// How much was looked through, or that there is more.
    pub(super) fn reach(&self, shared: &Shared) -> String {
        let Some(it) = &self.searched else {
            return if self.more { ", more behind them: type on" } else { "" }.to_owned();
        };
        let back_to = it.back_to.map(|at| format!(", back to {}", time::stamp(at, &shared.setup.zone)));
        let further = if it.next.is_empty() {
            String::new()
        } else {
            shared.setup.keymap.hint(Action::Older, "; ", " looks further")
        };
        format!(", in the newest {}{}{further}", it.leads, back_to.unwrap_or_default())
    }
}

/// What was found further back, behind what was found before; that alone where nothing came.
pub(super) fn joined(before: Option<Hits>, older: Option<Hits>) -> Option<Hits> {
    let (Some(mut hits), Some(older)) = (before.clone(), older) else { return before };
    hits.rows.extend(older.rows);
    let (leads, back_to) = hits.searched.map(|it| (it.leads, it.back_to)).unwrap_or_default();
    // Where there was nothing further back, that goes as far back as before.
    let further = |it: Searched| Searched { leads: it.leads + leads, back_to: it.back_to.or(back_to), ..it };
    hits.searched = older.searched.map(further);
    Some(hits)
}
