//! The screens, a folder each. A new one is its folder and, if it has a number, a line of `ROOTS`.

pub mod activity;
pub mod attempt;
pub mod company;
pub mod failures;
pub mod integration;
pub mod jobs;
pub mod lead;
pub mod leads;
pub mod messages;
pub mod overview;
pub mod pages;
pub mod profiles;
pub mod system;

use super::screen::Screen;

/// The places of some among the roots: the palette jumps there.
pub const FAILURES: usize = 1;
pub const LEADS: usize = 2;
pub const JOBS: usize = 3;

type Root = (&'static str, fn() -> Box<dyn Screen>);

/// The first screen of each number key.
pub const ROOTS: [Root; 6] = [
    ("Overview", || Box::new(overview::OverviewScreen::default())),
    ("Failures", || Box::new(failures::FailuresScreen::default())),
    ("Leads", || Box::new(leads::LeadsScreen::default())),
    ("Jobs", || Box::new(jobs::JobsScreen::default())),
    ("Activity", || Box::new(activity::ActivityScreen::default())),
    ("System", || Box::new(system::SystemScreen::default())),
];
