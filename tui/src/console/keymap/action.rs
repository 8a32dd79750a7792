//! What an operator can do. The names are those of the settings file.

use serde::{Deserialize, Serialize};

/// What an operator can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Up,
    Down,
    Left,
    Right,
    First,
    Last,
    PageUp,
    PageDown,
    NextSection,
    PreviousSection,
    Open,
    Back,
    Quit,
    QuitNow,
    Suspend,
    Redraw,
    Backward,
    Forward,
    /// The first screen of a number.
    #[serde(skip)]
    Go(u8),
    /// A command of the reader's own, by its place in the file.
    #[serde(skip)]
    Own(usize),
    Pane,
    Filter,
    Anywhere,
    FailingOnly,
    Follow,
    Wrap,
    Full,
    Sort,
    SortLeft,
    SortRight,
    Invert,
    Layout,
    Mark,
    Range,
    MarkAll,
    ClearMarks,
    Older,
    Diff,
    Pager,
    InEditor,
    Export,
    Retry,
    RetryWaiting,
    Test,
    Toggle,
    Reset,
    Hold,
    Release,
    Skip,
    Unskip,
    NewIntegration,
    Settings,
    SetPlan,
    PauseCompany,
    Push,
    Credentials,
    Mapping,
    EditFlow,
    ToggleFlow,
    Rotate,
    Stage,
    CutOver,
    Revoke,
    Snooze,
    CancelJob,
    Undo,
    Trace,
    OpenIntegration,
    Evidence,
    Reveal,
    Actions,
    PickCompany,
    CompanyPage,
    Profiles,
    Palette,
    Copy,
    CopyRecord,
    Command,
    Messages,
    Mouse,
    Help,
    Reload,
}

impl Action {
    /// Whether its keys are the same for everybody: one must always get out, and get help.
    pub const fn is_fixed(self) -> bool {
        matches!(self, Self::Back | Self::QuitNow | Self::Suspend | Self::Redraw | Self::Go(_))
    }

    /// The name in the settings file; none if its keys are fixed.
    pub fn name(self) -> Option<String> {
        let name = serde_json::to_value(self).ok()?;
        name.as_str().filter(|_| !self.is_fixed()).map(str::to_owned)
    }

    /// Whether it may be repeated by holding the key down.
    pub const fn is_move(self) -> bool {
        matches!(
            self,
            Self::Up
                | Self::Down
                | Self::Left
                | Self::Right
                | Self::First
                | Self::Last
                | Self::PageUp
                | Self::PageDown
                | Self::NextSection
                | Self::PreviousSection
        )
    }

    /// The method of the control API that it comes to, where a role may lack it.
    pub const fn method(self) -> Option<&'static str> {
        Some(match self {
            Self::Retry | Self::RetryWaiting => "RetryDeliveries",
            Self::Test => "TestIntegration",
            Self::Toggle => "EnableIntegration",
            Self::Reset => "ResetIntegration",
            Self::Hold => "HoldDeliveries",
            Self::Release => "ReleaseDeliveries",
            Self::Skip => "SkipDeliveries",
            Self::Push => "PushLeads",
            Self::Credentials => "SetCredentials",
            Self::Mapping => "UpdateIntegration",
            Self::EditFlow | Self::ToggleFlow => "UpdateFlow",
            Self::Unskip => "UnskipDeliveries",
            // Admins change settings, operators the mapping: the daemon has one call for both.
            Self::NewIntegration | Self::Settings => "CreateIntegration",
            Self::SetPlan => "SetPlan",
            Self::PauseCompany => "UpdateCompany",
            Self::Rotate | Self::Stage => "RotateSecret",
            Self::CutOver => "CutOver",
            Self::Revoke => "RevokeSecret",
            Self::Snooze => "SnoozeFailure",
            Self::CancelJob => "CancelJob",
            Self::Reveal => "Reveal",
            _ => return None,
        })
    }

    /// Whether it opens a form over the screen.
    pub const fn is_form(self) -> bool {
        matches!(
            self,
            Self::Credentials | Self::Mapping | Self::Settings | Self::EditFlow | Self::NewIntegration
        )
    }

    /// Whether it leads to a change of the daemon's data.
    pub const fn is_mutating(self) -> bool {
        matches!(
            self,
            Self::Retry
                | Self::RetryWaiting
                | Self::Test
                | Self::Toggle
                | Self::Reset
                | Self::Hold
                | Self::Release
                | Self::Skip
                | Self::Unskip
                | Self::NewIntegration
                | Self::Settings
                | Self::SetPlan
                | Self::PauseCompany
                | Self::Push
                | Self::Credentials
                | Self::Mapping
                | Self::EditFlow
                | Self::ToggleFlow
                | Self::Rotate
                | Self::Stage
                | Self::CutOver
                | Self::Revoke
                | Self::Snooze
                | Self::CancelJob
                | Self::Undo
        )
    }
}
