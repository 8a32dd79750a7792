//! The way back from what was saved last: a mapping, settings, the condition of a flow.

use super::shared::Shared;
use crate::console::data::Mutation;
use crate::console::data::undo::{PutBack, Replaced, Stood};
use crate::console::dialogs::Confirm;

/// So much of what stood somewhere is quoted in a question.
const QUOTED: usize = 300;

/// A save: what it replaced, and what stands there since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// What was saved, in the words of its message.
    what: String,
    before: Stood,
    after: Stood,
}

/// What is said of a save that is put back.
const BACK: &str = " as before";

impl Saved {
    /// What a save came to that was called so.
    pub(super) fn new(what: &str, replaced: Replaced) -> Self {
        let Replaced { before, after } = replaced;
        Self { what: what.trim_end_matches(BACK).to_owned(), before, after }
    }
}

/// Why the last save cannot be undone.
pub(super) fn obstacle(shared: &Shared) -> Option<String> {
    let Some(saved) = &shared.saved else {
        return Some("nothing was saved here that could be put back".to_owned());
    };
    let it = saved.after.integration().map(|id| shared.integration(id));
    match it {
        Some(None) => Some("the integration is gone".to_owned()),
        Some(Some(it)) if !saved.after.is_same(&saved.after.now(it)) => {
            Some(format!("the {} is not what you saved: somebody has changed it since", saved.what))
        }
        _ => None,
    }
}

/// The question before it is put back.
pub(super) fn question(shared: &Shared) -> Option<Confirm> {
    let Saved { what, before, after } = shared.saved.clone()?;
    let it = before.integration().and_then(|id| shared.integration(id));
    let change = before.change(it);
    let back = PutBack { change, brings: before.clone(), replaces: after.clone() };
    let mutation = Mutation::PutBack(Box::new(back));
    let mut confirm =
        Confirm::new("Undo", "Put it back", format!("Put the {what} back as before?"), mutation);
    let quoted = |stood: &Stood| stood.sentence().chars().take(QUOTED).collect::<String>();
    confirm.facts = vec![
        format!("again: {}", quoted(&before)),
        format!("instead of: {}", quoted(&after)),
        "what was pushed meanwhile stays as it is".to_owned(),
        "refused if somebody has changed it since".to_owned(),
    ];
    confirm.what = format!("{what}{BACK}");
    Some(confirm)
}
