//! What the daemon answered to a change, and what one key may do next.

use jiff::Timestamp;

use super::App;
use super::shared::Tone;
use super::undo::Saved;
use crate::console::data::change::{BulkTarget, Lifted};
use crate::console::data::{AttemptState, CallFailure, Done, Integration, Query, Secret};
use crate::console::dialogs::confirm::count;
use crate::console::dialogs::editor::IntegrationForm;
use crate::console::dialogs::{Dialog, OneTime};
use crate::console::keymap::Action;
use crate::console::msg::{DaemonRequest, Effect, Ticket};
use crate::console::screen::{Event, Subject};
use crate::console::widgets::time;

impl App {
    pub(super) fn done(
        &mut self,
        ticket: Ticket,
        done: Result<Done, CallFailure>,
        effects: &mut Vec<Effect>,
    ) {
        let pending = self.shared.pending.remove(&ticket);
        let what = pending.map_or_else(|| "request".to_owned(), |it| it.what);
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                if let Some(form) = self.form_of(ticket) {
                    form.refused(&error.to_string());
                }
                return self.shared.say(Tone::Bad, format!("{what}: {error}"));
            }
        };
        if self.form_of(ticket).is_some() {
            self.dialog = None;
        }
        self.report(Event::Done { done: &done }, effects);
        let (done, way_back) = self.keep_way_back(done, &what);
        match done {
            Done::Moved { count: moved, job } => {
                let job = if job.is_empty() { "" } else { "; a job goes through them (4)" };
                self.shared
                    .say(Tone::Good, format!("{what}: {}{job}", count(moved, "delivery", "deliveries")));
            }
            Done::Enabled { integration, held } => {
                let held = if held == 0 { String::new() } else { format!(", {held} deliveries were held") };
                self.shared.say(Tone::Good, format!("{what}: done{held}"));
                self.shared.upsert(*integration);
            }
            Done::Changed(integration) => self.changed(*integration, &what, &way_back),
            Done::Reset { integration, lifted } => {
                let said = self.lifted(&lifted);
                self.shared.say(Tone::Good, format!("{what}: {said}"));
                self.shared.upsert(*integration);
            }
            Done::Tested { integration, state, status, duration_ms, error } => {
                let status = status.map(|s| format!(" {s}")).unwrap_or_default();
                let taken = duration_ms.map(|ms| format!(" in {}", time::millis(ms))).unwrap_or_default();
                let is_good = state == AttemptState::Delivered;
                let tone = if is_good { Tone::Good } else { Tone::Bad };
                let error = if error.is_empty() { error } else { format!(": {error}") };
                self.prove(&integration, is_good);
                self.shared.say(tone, format!("{what}: {}{status}{taken}{error}", state.word()));
            }
            Done::Credentials { integration, error } if error.is_empty() => {
                self.prove(&integration, true);
                self.shared.say(Tone::Good, format!("{what}: the target takes them"));
                self.offer_retry(&integration, effects);
            }
            Done::Credentials { integration, error } => {
                self.prove(&integration, false);
                self.shared.say(Tone::Bad, format!("{what} refused, the old ones stay: {error}"));
            }
            Done::Rotated { integration, secret } => self.rotated(*integration, secret, &what),
            Done::Created { integration, secret } => self.created(*integration, secret, &what),
            Done::Noted(notes) => self.noted(&what, notes, &way_back),
            // What was done stands within, and was taken out above.
            Done::Saved { .. } => {}
        }
        // What the change touched is shown as it is now.
        self.load(effects);
    }

    /// Keeps the way back of a save. Answers what was done, and how that is undone; nothing for what is no save.
    fn keep_way_back(&mut self, done: Done, what: &str) -> (Done, String) {
        let (done, replaced) = match done {
            Done::Saved { done, replaced } => (done, replaced),
            done => return (done, String::new()),
        };
        // Where this save has none, that of an older one would be taken for it.
        self.shared.saved = replaced.map(|it| Saved::new(what, *it));
        let way_back = if self.shared.saved.is_some() { self.way_back() } else { String::new() };
        (*done, way_back)
    }

    /// It is done. Of what else is to be known, which may be long, the last line is seen: the way back comes first there.
    fn noted(&mut self, what: &str, mut notes: Vec<String>, way_back: &str) {
        self.shared.say(Tone::Good, format!("{what}: done{way_back}"));
        if let Some(seen) = notes.last_mut().filter(|_| !way_back.is_empty()) {
            *seen = format!("{}. {seen}", way_back.trim_start_matches("; "));
        }
        notes.into_iter().for_each(|note| self.shared.say(Tone::Plain, note));
    }

    /// How a save is undone; nothing where its key was taken away.
    fn way_back(&self) -> String {
        self.shared.setup.keymap.hint(Action::Undo, "; ", " undoes it")
    }

    /// What a reset did, in a line.
    fn lifted(&self, it: &Lifted) -> String {
        let zone = &self.shared.setup.zone;
        let gates = [("wait that the target asked for", it.throttled_until), ("breaker", it.breaker_until)];
        let until = |(gate, at): (&str, Option<Timestamp>)| {
            at.map(|at| format!("the {gate} is lifted (until {})", time::moment(at, zone)))
        };
        let failures = count(it.failures, "failure forgotten", "failures forgotten");
        let lifted: Vec<String> = [failures].into_iter().chain(gates.into_iter().filter_map(until)).collect();
        lifted.join("; ")
    }

    /// A new secret is shown once, over everything else.
    fn rotated(&mut self, integration: Integration, secret: Option<Secret>, what: &str) {
        match secret {
            Some(secret) => {
                let (name, grace) = (integration.full_name(), integration.grace_until);
                let is_staged = integration.staged_version > 0;
                let shown = OneTime { is_staged, ..OneTime::new(name, secret, grace, self.shared.now) };
                self.secrets.push_back(shown);
            }
            None => self.shared.say(
                Tone::Bad,
                format!("{what}: rotated, but the secret was already shown; rotate again if it is lost"),
            ),
        }
        self.shared.upsert(integration);
    }

    /// What was changed of an integration; a check of its mapping has followed where there is one.
    fn changed(&mut self, integration: Integration, what: &str, way_back: &str) {
        let is_mapping = what.starts_with("mapping");
        let more = match integration.proposals.len() {
            more @ 1.. if is_mapping => {
                let how = self.shared.setup.keymap.hint(Action::Mapping, ": ", ", then ^p");
                format!("; the target has fields for {more} more{how}")
            }
            _ => String::new(),
        };
        self.shared.say(Tone::Good, format!("{what}: done{way_back}{more}"));
        if is_mapping {
            self.shared.remapped.insert(integration.id.clone());
        }
        for finding in integration.findings.iter().filter(|_| is_mapping) {
            self.shared.say(Tone::Bad, format!("{what} is saved, but the target says: {finding}"));
        }
        self.shared.upsert(integration);
    }

    fn created(&mut self, integration: Integration, secret: Option<Secret>, what: &str) {
        self.shared.say(Tone::Good, format!("{what}: done"));
        if let Some(secret) = secret {
            let shown = OneTime::new(integration.full_name(), secret, None, self.shared.now);
            self.secrets.push_back(OneTime { is_first: true, ..shown });
        }
        self.shared.upsert(integration);
    }

    /// The form whose change this ticket is.
    fn form_of(&mut self, ticket: Ticket) -> Option<&mut IntegrationForm> {
        let editor = self.dialog.as_mut().and_then(Dialog::editor)?;
        editor.new_integration().filter(|form| form.is_for(ticket))
    }

    fn prove(&mut self, integration: &str, is_good: bool) {
        if is_good {
            self.shared.proven.insert(integration.to_owned());
        } else {
            self.shared.proven.remove(integration);
        }
    }

    /// New credentials pass: retrying what the old ones had stopped is one key.
    fn offer_retry(&mut self, integration: &str, effects: &mut Vec<Effect>) {
        let has_dead = self.shared.integration(integration).is_some_and(|it| it.dead > 0);
        if !has_dead
            || self.dialog.is_some()
            || self.stacks[self.at].last_mut().is_some_and(|s| s.typing().is_some())
        {
            return;
        }
        let subject = Subject { integration: Some(integration.to_owned()), ..Subject::default() };
        let Some(mut confirm) = super::acts::question(&self.shared, &subject, Action::Retry) else { return };
        let mutation = crate::console::data::Mutation::retry(
            BulkTarget::Dead { integration: integration.to_owned() },
            false,
        );
        confirm.title = "The new credentials work";
        let ticket = self.shared.ticket();
        confirm.estimate = crate::console::dialogs::Estimating::Waiting(ticket);
        let query = Query::Estimate(Box::new(mutation));
        effects.push(Effect::Net(DaemonRequest::Ask { ticket, query }));
        self.dialog = Some(Dialog::Confirm(Box::new(confirm)));
    }

    /// Asks who a lead is; the daemon writes down that we did.
    pub(super) fn reveal(&mut self, subject: Subject, effects: &mut Vec<Effect>) {
        let Some((uuid, company, _)) = subject.lead else { return };
        let ticket = self.shared.ticket();
        self.revealed = Some(ticket);
        effects.push(Effect::Net(DaemonRequest::Ask { ticket, query: Query::Reveal { uuid, company } }));
    }

    /// Asks for a lead's history; it goes to the clipboard when it is there.
    pub(super) fn evidence(&mut self, query: Query, effects: &mut Vec<Effect>) {
        let ticket = self.shared.ticket();
        self.evidence = Some(ticket);
        effects.push(Effect::Net(DaemonRequest::Ask { ticket, query }));
    }
}
