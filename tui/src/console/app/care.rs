//! The only way out for a change; and what is typed before it where each is to be weighed (`careful` in the settings).

use super::App;
use super::shared::{Pending, Shared};
use crate::console::data::{Flow, Mutation};
use crate::console::dialogs::{Confirm, Dialog};
use crate::console::keymap::Action;
use crate::console::msg::{DaemonRequest, Effect};

/// Has something typed before this is confirmed, where that is wanted of all: how many deliveries it is about, else whom,
/// else what it does.
pub(super) fn weigh(confirm: &mut Confirm, shared: &Shared, flow: Option<&Flow>) {
    if shared.setup.careful {
        confirm.weigh(whom(&confirm.mutation, shared, flow).filter(|name| !name.trim().is_empty()));
    }
}

/// Whom a change is about, by name. Each has its line here, so that a new one is weighed when it is made.
fn whom(mutation: &Mutation, shared: &Shared, flow: Option<&Flow>) -> Option<String> {
    let company = |id: i64| shared.company_for(Some(id)).map(|(_, name)| name);
    match mutation {
        // Their deliveries are counted.
        Mutation::Retry { .. }
        | Mutation::Hold(_)
        | Mutation::Release(_)
        | Mutation::Skip(_)
        | Mutation::Unskip(_) => None,
        Mutation::Enable { integration, .. }
        | Mutation::Disable { integration }
        | Mutation::Test { integration }
        | Mutation::Reset { integration }
        | Mutation::Rotate { integration, .. }
        | Mutation::CutOver { integration }
        | Mutation::Revoke { integration }
        | Mutation::Credentials { integration, .. }
        | Mutation::Mapping { integration, .. }
        | Mutation::Settings { integration, .. }
        | Mutation::Push { integration: Some(integration), .. } => {
            shared.integration(integration).map(|it| it.name.clone())
        }
        Mutation::SetPlan { company: id, .. }
        | Mutation::PauseCompany { company: id, .. }
        | Mutation::Push { company: id, integration: None, .. } => company(*id),
        Mutation::Create(new) => Some(new.name.clone()),
        Mutation::FlowWhen { .. } | Mutation::FlowEnabled { .. } => flow.map(|flow| flow.name.clone()),
        // The flow that is selected may be another one.
        Mutation::PutBack(back) => whom(&back.change, shared, None),
        Mutation::Snooze { .. } | Mutation::CancelJob { .. } | Mutation::ResumeJob { .. } => None,
    }
}

impl App {
    /// The only place that lets a change leave for the daemon.
    pub(super) fn change(&mut self, mutation: Mutation, what: String, effects: &mut Vec<Effect>) {
        let reason = if self.shared.is_usable() {
            self.shared.locked()
        } else {
            Some("the dialog cannot be seen, make the window larger".to_owned())
        };
        if let Some(reason) = reason {
            return self.refuse(&reason);
        }
        if self.shared.setup.careful && !self.is_weighed() {
            return self.weigh_first(mutation, what);
        }
        if let Some(Dialog::Confirm(confirm)) = &mut self.dialog
            && let Some(form) = confirm.form.take()
        {
            self.dialog = Some(Dialog::Editor(form));
        }
        let ticket = self.shared.ticket();
        // What was typed into a form stays until the daemon has taken it.
        let stays = match &mut self.dialog {
            Some(Dialog::Editor(editor)) => editor.sent(ticket),
            _ => false,
        };
        if !stays {
            self.dialog = None;
        }
        self.on_top(effects, |screen, cx| screen.perform(Action::ClearMarks, cx));
        self.shared.pending.insert(ticket, Pending { what, is_delayed: false });
        effects.push(Effect::Net(DaemonRequest::Mutate { ticket, mutation }));
    }

    /// Whether something had to be typed for what is confirmed now.
    fn is_weighed(&self) -> bool {
        matches!(&self.dialog, Some(Dialog::Confirm(confirm)) if confirm.expected().is_some())
    }

    /// Asks about a form that is to be saved; it waits below. A question that wanted nothing typed is asked once more.
    fn weigh_first(&mut self, mutation: Mutation, what: String) {
        let mut flow = None;
        let mut confirm = match self.dialog.take() {
            Some(Dialog::Confirm(confirm)) => confirm,
            below => {
                let question = format!("Save the {what}?");
                let form = match below {
                    Some(Dialog::Editor(form)) => Some(form),
                    _ => None,
                };
                flow = form.as_ref().and_then(|form| form.edited_flow()).cloned();
                let mut confirm = Confirm::new("Save", "Save", question, mutation);
                (confirm.what, confirm.form) = (what, form);
                Box::new(confirm)
            }
        };
        (confirm.opened_at, confirm.zone) = (self.shared.now, self.shared.setup.zone.clone());
        weigh(&mut confirm, &self.shared, flow.as_ref());
        self.dialog = Some(Dialog::Confirm(confirm));
    }

    /// Closes what is open; a form that a question was asked about comes back.
    pub(super) fn close(&mut self) {
        self.dialog = match self.dialog.take() {
            Some(Dialog::Confirm(confirm)) => confirm.form.map(Dialog::Editor),
            _ => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::console::app::acts::{needs_estimate, question};
    use crate::console::app::pictures::shown;
    use crate::console::app::tests::{last, mutation};
    use crate::console::app::undo::Saved;
    use crate::console::data::undo::{Replaced, Stood};
    use crate::console::data::{Cause, DeliveryState, Estimate, Job};
    use crate::console::dialogs::Estimating;
    use crate::console::fixtures::answers::{cause, delivery};
    use crate::console::fixtures::{ago, feed, live, press, visit};
    use crate::console::keymap::BINDINGS;
    use crate::console::msg::Msg;
    use crate::console::screen::{Chosen, Subject};
    use crate::console::screens::integration::chosen_delivery;

    fn careful() -> App {
        let mut app = live(120, 36);
        app.shared.setup.careful = true;
        app
    }

    /// Whatever an act may be about: each alone and all of them together.
    fn subjects(app: &App) -> Vec<Subject> {
        let jobs = || {
            let mut app = live(120, 36);
            visit(&mut app, "4");
            app.top().subject(&app.shared).job.unwrap()
        };
        let cancelled = Job { state: "cancelled".to_owned(), ..jobs() };
        let flow = Flow {
            id: "01F1".to_owned(),
            company_id: 7,
            name: "big weddings".to_owned(),
            when: "true".to_owned(),
            targets: Vec::new(),
            enabled: true,
        };
        let chosen = |state| vec![chosen_delivery(&delivery("01D1", state))];
        let lead = Some(("01L".to_owned(), 7, "Sarah Patel".to_owned()));
        let of = |id: &str| Subject { integration: Some(id.to_owned()), ..Subject::default() };
        let with = |deliveries: Vec<Chosen>| Subject { deliveries, ..of("01I1") };
        let asleep = Cause { snoozed_until: Some(ago(-60)), ..cause("c2", "transient", "x", 4) };
        let integrations = app.shared.integrations.iter().map(|it| of(&it.id));
        let others = [
            with(chosen(DeliveryState::Dead)),
            with(chosen(DeliveryState::Skipped)),
            Subject { cause: Some(cause("c1", "rejected", "x", 1)), ..of("01I1") },
            Subject { cause: Some(asleep), ..Subject::default() },
            Subject { job: Some(jobs()), ..Subject::default() },
            Subject { job: Some(cancelled), ..Subject::default() },
            Subject { flow: Some(flow.clone()), ..of("01I3") },
            Subject { flow: Some(Flow { enabled: false, ..flow }), ..Subject::default() },
            Subject { lead: lead.clone(), ..of("01I1") },
            Subject { lead, company: Some(7), ..Subject::default() },
        ];
        integrations.chain(others).collect()
    }

    /// Walks all acts there are: a new one that nobody has something typed for is found here.
    #[test]
    fn every_act_wants_something_typed_where_each_is_to_be_weighed() {
        let mut app = careful();
        let replaced = Replaced { before: Stood::when("01F1", "true"), after: Stood::when("01F1", "false") };
        app.shared.saved = Some(Saved::new("flow big weddings", replaced));
        let subjects = subjects(&app);
        let mut forms = BTreeSet::new();
        for action in BINDINGS.iter().map(|it| it.action).filter(|action| action.is_mutating()) {
            if action.is_form() {
                forms.insert(action);
                continue;
            }
            let questions = subjects.iter().filter_map(|subject| question(&app.shared, subject, action));
            let mut asked = 0;
            for mut confirm in questions {
                asked += 1;
                if needs_estimate(&confirm.mutation) {
                    let estimate = Estimate { count: 1, seconds: 0.0, sample: Vec::new() };
                    confirm.estimate = Estimating::Done(estimate);
                }
                assert!(confirm.expected().is_some_and(|it| !it.is_empty()), "{action:?}: {confirm:?}");
                assert!(confirm.obstacle().is_some_and(|it| it.starts_with("type ")), "{action:?}");
            }
            assert!(asked > 0, "{action:?} asks nothing of any subject here");
        }
        let saved = [
            Action::Credentials,
            Action::Mapping,
            Action::Settings,
            Action::EditFlow,
            Action::NewIntegration,
        ];
        assert_eq!(forms, BTreeSet::from(saved), "each form is saved below");
    }

    #[test]
    fn whom_or_what_an_act_is_about_is_typed() {
        for (keys, typed) in [
            ("3 s a r a h enter P", "hubspot-eu"),
            ("a d", "Rosewood space Barn"),
            ("a y tab", "Rosewood space Barn"),
            ("C down down a g", "big space weddings"),
            ("4 X", "cancel space it"),
            ("2 s", "snooze"),
        ] {
            let mut app = careful();
            visit(&mut app, keys);
            let asked = format!("Type {} to confirm", typed.replace(" space ", " "));
            assert!(shown(&app).contains(&asked), "{keys}: {}", shown(&app));
            assert!(mutation(&press(&mut app, "enter")).is_none(), "{keys}: {}", shown(&app));
            assert!(last(&app).starts_with("not possible: type "), "{keys}: {}", last(&app));
            let effects = press(&mut app, &format!("{typed} enter"));
            assert!(mutation(&effects).is_some(), "{keys}: {}", shown(&app));
        }
    }

    /// A form that is ready to be saved by `^s`.
    fn ready(form: &str) -> App {
        let mut app = careful();
        for it in &mut app.shared.integrations {
            if form.starts_with(',') {
                it.connector = "webhook".to_owned();
            }
            it.config = r#"{"url":"https://a.example/"}"#.to_owned();
        }
        visit(&mut app, form);
        match form {
            "m" => drop(feed(&mut app, Msg::Edited(Ok(r#"{"lead.budget":"money"}"#.to_owned())))),
            "n" => {
                visit(&mut app, "w e b h enter");
                feed(&mut app, Msg::Paste("https://b.example/".to_owned()));
            }
            _ => {}
        }
        app
    }

    #[test]
    fn a_form_is_saved_once_that_is_typed_and_comes_back_where_it_is_not() {
        for (form, question, typed) in [
            ("m", "Save the mapping of Rosewood Barn / hubspot-eu?", "hubspot-eu"),
            ("K h u n t e r", "Save the new credentials of Rosewood Barn / hubspot-eu?", "hubspot-eu"),
            ("3 s a r a h enter down E", "Save the flow big weddings?", "big space weddings"),
            (", x", "Save the settings of Rosewood Barn / hubspot-eux?", "hubspot-eu"),
            ("n", "Save the new integration Rosewood Barn / webhook?", "webhook"),
        ] {
            let mut app = ready(form);
            let before = format!("{:?}", app.dialog);
            assert!(mutation(&press(&mut app, "^s")).is_none(), "{form}: {}", shown(&app));
            assert!(shown(&app).contains(question), "{form}: {}", shown(&app));
            assert!(mutation(&press(&mut app, "y enter")).is_none(), "{form}: {}", shown(&app));
            press(&mut app, "esc");
            assert_eq!(format!("{:?}", app.dialog), before, "{form}: as it was left");
            press(&mut app, "^s");
            let effects = press(&mut app, &format!("{typed} enter"));
            assert!(mutation(&effects).is_some(), "{form}: {}", shown(&app));
            // One that waits for its answer is open still.
            let waits = matches!(form, ", x" | "n");
            assert_eq!(app.dialog.is_some(), waits, "{form}: {}", shown(&app));
        }
    }
}
