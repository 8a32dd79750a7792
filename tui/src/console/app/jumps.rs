//! Where the palette jumps to: what screens have told of, and anything else by its id.

use std::collections::BTreeSet;

use super::App;
use crate::console::dialogs::{Jump, Place};
use crate::console::msg::Effect;
use crate::console::screen::{Event, Screen};
use crate::console::screens::attempt::AttemptScreen;
use crate::console::screens::company::CompanyScreen;
use crate::console::screens::failures::FailuresScreen;
use crate::console::screens::jobs::JobsScreen;
use crate::console::screens::lead::LeadScreen;
use crate::console::screens::leads::LeadsScreen;
use crate::console::screens::{FAILURES, JOBS, LEADS};

impl App {
    /// What the screens have loaded, those on top first; nothing twice.
    pub(super) fn places(&self) -> Vec<Place> {
        let here = self.stacks[self.at].iter().rev();
        let others = self.stacks.iter().enumerate().filter(|(at, _)| *at != self.at);
        let screens = here.chain(others.flat_map(|(_, stack)| stack.iter().rev()));
        let mut seen = BTreeSet::new();
        let mut places: Vec<Place> = screens.flat_map(|screen| screen.places()).collect();
        places.retain(|place| seen.insert(place.label.clone()));
        places
    }

    pub(super) fn jump(&mut self, jump: Jump, effects: &mut Vec<Effect>) {
        match jump {
            Jump::Profile(profile) => self.connect(profile, None, effects),
            Jump::Integration(id) => self.open_integration(&id, effects),
            Jump::Company(id) => self.open(Box::new(CompanyScreen::new(id)), effects),
            Jump::Narrow(company) => {
                self.shared.company = company;
                self.report(Event::Narrowed, effects);
                self.load(effects);
            }
            Jump::Find(text) => self.begin(LEADS, Box::new(LeadsScreen::looking_for(&text)), effects),
            Jump::Lead { uuid, company, person } => {
                self.open(Box::new(LeadScreen::new(uuid, company, person)), effects);
            }
            Jump::Delivery(id) => self.open(Box::new(LeadScreen::of_delivery(id)), effects),
            Jump::Attempt(id) => self.open(Box::new(AttemptScreen::of(id)), effects),
            Jump::Flow(id) => self.open(Box::new(CompanyScreen::of_flow(id)), effects),
            Jump::Cause(id) => self.begin(FAILURES, Box::new(FailuresScreen::looking_for(id)), effects),
            Jump::Job(id) => self.begin(JOBS, Box::new(JobsScreen::looking_for(id)), effects),
        }
    }

    /// To a number, whose screens begin anew with this one.
    fn begin(&mut self, at: usize, screen: Box<dyn Screen>, effects: &mut Vec<Effect>) {
        self.at = at;
        self.stacks[at] = vec![screen];
        self.closed.clear();
        self.load(effects);
    }
}
