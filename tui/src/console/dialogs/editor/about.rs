//! What a form is about: fixed when it opens, whatever is typed or reported while it is open.

use super::{Editor, EditorForm};
use crate::console::data::Mutation;

/// Whom a form would change, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Credentials { integration: String },
    Mapping { integration: String },
    Settings { integration: String },
    NewIntegration { company: i64 },
    Flow { flow: String },
}

impl Editor {
    /// What it is about.
    pub(crate) fn about(&self) -> About {
        match &self.form {
            EditorForm::Credentials(it) => About::Credentials { integration: it.integration.clone() },
            EditorForm::Mapping(it) => About::Mapping { integration: it.integration.clone() },
            EditorForm::Flow(it) => About::Flow { flow: it.flow.id.clone() },
            EditorForm::Integration(it) => it.about(),
        }
    }
}

impl About {
    /// What this change is about, if a form makes such.
    pub(crate) fn of(mutation: &Mutation) -> Option<Self> {
        Some(match mutation {
            Mutation::Credentials { integration, .. } => {
                Self::Credentials { integration: integration.clone() }
            }
            Mutation::Mapping { integration, .. } => Self::Mapping { integration: integration.clone() },
            Mutation::Settings { integration, .. } => Self::Settings { integration: integration.clone() },
            Mutation::Create(it) => Self::NewIntegration { company: it.company },
            Mutation::FlowWhen { flow, .. } => Self::Flow { flow: flow.clone() },
            _ => return None,
        })
    }
}
