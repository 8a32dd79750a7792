//! The way back from what was saved last: a mapping, settings, the condition of a flow.

use super::shared::Shared;
use crate::console::data::undo::{PutBack, Stood, replaced};
use crate::console::data::{Done, Mutation};
use crate::console::dialogs::{Confirm, Dialog};

/// So much of what stood somewhere is quoted in a question.
const QUOTED: usize = 300;

/// A save: what it replaced, and what stands there since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// What was saved, in the words of its message.
    pub what: String,
    pub before: Stood,
    pub after: Stood,
}

/// Whether a change is a save, with or without a way back.
pub(super) const fn is_save(mutation: &Mutation) -> bool {
    matches!(
        mutation,
        Mutation::Mapping { .. }
            | Mutation::Settings { .. }
            | Mutation::FlowWhen { .. }
            | Mutation::PutBack(_)
    )
}

/// What a change that leaves now would replace, if it is a save that has a way back.
pub(super) fn saving(
    mutation: &Mutation,
    what: &str,
    dialog: Option<&Dialog>,
    shared: &Shared,
) -> Option<Saved> {
    let what = what.trim_end_matches(BACK).to_owned();
    // Of a save that puts something back, what it replaces is what the next one puts back again.
    let (change, known) = match mutation {
        Mutation::PutBack(back) => (&back.change, Some(&back.replaces)),
        change => (change, None),
    };
    let (before, after) = match (change, dialog) {
        (Mutation::FlowWhen { flow, when }, dialog) => {
            let edited = match dialog {
                Some(Dialog::Editor(editor)) => editor.edited_flow().map(|it| it.when.clone()),
                _ => None,
            };
            let before = match (known, edited) {
                (Some(known), _) => known.clone(),
                (None, before) => Stood::When { flow: flow.clone(), when: before? },
            };
            (before, Stood::When { flow: flow.clone(), when: when.clone() })
        }
        (Mutation::Mapping { integration, json }, _) => {
            let after = Stood::Mapping { integration: integration.clone(), json: json.clone() };
            (replaced(change, shared.integration(integration)?)?, after)
        }
        (Mutation::Settings { integration, .. }, _) => {
            let before = replaced(change, shared.integration(integration)?)?;
            // What stands there then is what the daemon answers.
            (before.clone(), before)
        }
        _ => return None,
    };
    Some(Saved { what, before, after })
}

/// What is said of a save that is put back.
const BACK: &str = " as before";

impl Saved {
    /// The same with the settings that the daemon says that stand there now. A mapping is what was sent: it is read again
    /// after a check, and somebody else may have saved another one by then.
    pub(super) fn answered(self, done: &Done) -> Self {
        match done {
            Done::Changed(it) if matches!(self.after, Stood::Settings { .. }) => {
                Self { after: self.after.now(it), ..self }
            }
            _ => self,
        }
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
