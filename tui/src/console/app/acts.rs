//! Acts: why one is not possible now, and the question that comes before it.

use crate::console::data::cause::Remedy;
use crate::console::data::change::{BulkTarget, Skipped, Snooze};
use crate::console::data::{Badge, Cause, Integration, Job, Mutation};
use crate::console::dialogs::confirm::Way;
use crate::console::dialogs::{Choice, Confirm, Focus, Weight};
use crate::console::keymap::Action;
use crate::console::screen::{Chosen, NO_ROW, Subject};
use crate::console::widgets::time;

use super::shared::Shared;
use super::{care, company_acts, integration_acts, undo};

/// Why the action is not possible now; `None` if it is.
pub fn obstacle(shared: &Shared, subject: &Subject, action: Action) -> Option<String> {
    let locked = action.is_mutating().then(|| shared.locked()).flatten();
    if let Some(reason) = locked.or_else(|| shared.denied(action)) {
        return Some(reason);
    }
    if action == Action::Undo {
        return undo::obstacle(shared);
    }
    let it = subject.integration.as_deref().and_then(|id| shared.integration(id));
    let reason = match action {
        _ if subject.is_rowless && is_of_rows(action, it) => Some(NO_ROW),
        Action::Own(at) => super::outside::obstacle(shared, subject, at),
        Action::Reveal if !shared.is_masked() => Some("nobody is masked for you"),
        Action::Profiles if shared.setup.others.is_empty() => {
            Some("the settings name no other daemon: `leadline config init` shows how")
        }
        Action::Older if !shared.is_live() => Some("not connected"),
        Action::Mark | Action::Range | Action::MarkAll => no_mark(subject),
        Action::Retry => no_retry(subject, it),
        Action::NewIntegration | Action::SetPlan | Action::PauseCompany
            if shared.company_for(subject.company.or(it.map(|it| it.company_id))).is_none() =>
        {
            Some("no company is selected")
        }
        Action::Unskip if subject.deliveries.is_empty() && subject.job.is_some() => {
            let is_skip = subject.job.as_ref().is_some_and(|job| job.kind == "skip");
            (!is_skip).then_some("this job skipped nothing")
        }
        Action::Hold | Action::Release | Action::Skip | Action::Unskip if subject.deliveries.is_empty() => {
            match (action, it) {
                (Action::Release, Some(it)) if it.held > 0 => None,
                (Action::Release, Some(_)) => Some("nothing is held"),
                _ => Some("no delivery is selected"),
            }
        }
        Action::Unskip if !subject.deliveries.iter().any(|it| it.is_skipped) => {
            Some("nothing of it is skipped")
        }
        Action::RetryWaiting if it.is_some_and(|it| it.pending == 0 && it.dead == 0) => Some("nothing waits"),
        _ if it.is_none() && is_of_integration(action) => Some("no integration is selected"),
        Action::Rotate | Action::Stage => it.and_then(no_rotation),
        Action::CutOver if it.is_some_and(|it| it.staged_version == 0) => Some("no secret is staged"),
        Action::Revoke if it.is_some_and(|it| it.staged_version == 0 && it.grace_until.is_none()) => {
            Some("there is one secret only")
        }
        Action::Reset if it.is_some_and(|it| has_nothing_to_reset(it, shared)) => {
            Some("there is no failure to forget, and nothing to lift")
        }
        Action::Push | Action::Trace | Action::Evidence | Action::Reveal if subject.lead.is_none() => {
            Some("no lead is selected")
        }
        Action::Snooze if subject.cause.is_none() => Some("no cause is selected"),
        Action::CancelJob => match &subject.job {
            None => Some("no job is selected"),
            Some(job) if job.state != "running" && job.state != "cancelled" => Some("the job is over"),
            Some(_) => None,
        },
        Action::EditFlow | Action::ToggleFlow if subject.flow.is_none() && subject.flows.is_empty() => {
            Some("no flow is selected")
        }
        Action::CompanyPage if subject.company.is_none() && shared.company.is_none() => {
            Some("no company is selected")
        }
        Action::CopyRecord if subject.record.is_none() => Some("nothing is selected"),
        _ => None,
    };
    reason.map(str::to_owned)
}

/// Whether it is about the rows of the pane that has the keys; what is about an integration is so where the screen itself
/// has none.
const fn is_of_rows(action: Action, it: Option<&Integration>) -> bool {
    matches!(
        action,
        Action::Retry
            | Action::Hold
            | Action::Release
            | Action::Skip
            | Action::Unskip
            | Action::Push
            | Action::Snooze
            | Action::Trace
            | Action::Evidence
            | Action::Reveal
            | Action::CopyRecord
    ) || it.is_none() && is_of_integration(action)
}

const fn is_of_integration(action: Action) -> bool {
    matches!(
        action,
        Action::RetryWaiting
            | Action::Toggle
            | Action::Test
            | Action::Reset
            | Action::Rotate
            | Action::Stage
            | Action::CutOver
            | Action::Revoke
            | Action::Credentials
            | Action::Mapping
            | Action::Settings
            | Action::OpenIntegration
    )
}

fn has_nothing_to_reset(it: &Integration, shared: &Shared) -> bool {
    let is_throttled = it.throttled_until.is_some_and(|until| until > shared.now);
    it.failures == 0 && it.last_error.is_empty() && it.breaker.is_empty() && !is_throttled
}

fn no_retry(subject: &Subject, it: Option<&Integration>) -> Option<&'static str> {
    match (&subject.cause, subject.deliveries.is_empty(), it) {
        (Some(cause), ..) => (cause.dead == 0).then_some("none of it is dead: it is retried by itself"),
        (None, false, _) => None,
        (None, true, _) if subject.attempt.is_some() => Some("a test has no delivery"),
        (None, true, Some(it)) => (it.dead == 0).then_some("no delivery is dead"),
        (None, true, None) => Some("nothing is selected"),
    }
}

/// Rows that are opened for what they list are not marked themselves.
fn no_mark(subject: &Subject) -> Option<&'static str> {
    let is_job = subject.job.is_some() && subject.deliveries.is_empty() && !subject.is_rowless;
    match &subject.cause {
        Some(_) => Some("leads are marked, causes are not: open one"),
        None => is_job.then_some("what a job touched is marked, jobs are not: open one"),
    }
}

fn no_rotation(it: &Integration) -> Option<&'static str> {
    match (it.secret_version, it.staged_version) {
        (0, _) => Some("this connector signs nothing"),
        (_, 1..) => Some("a secret is staged: cut over or cancel it first"),
        _ => None,
    }
}

/// The question before an act; `None` if the act needs none of this kind.
pub fn question(shared: &Shared, subject: &Subject, action: Action) -> Option<Confirm> {
    let mut confirm = unweighed(shared, subject, action)?;
    confirm.opened_at = shared.now;
    confirm.zone = shared.setup.zone.clone();
    if confirm.what.is_empty() {
        confirm.what = confirm.question.trim_end_matches('?').to_owned();
    }
    care::weigh(&mut confirm, shared, subject.flow.as_ref());
    Some(confirm)
}

/// The question as it is where nobody asked to be careful.
fn unweighed(shared: &Shared, subject: &Subject, action: Action) -> Option<Confirm> {
    let it = subject.integration.as_deref().and_then(|id| shared.integration(id));
    Some(match action {
        Action::Retry => retry(shared, subject, it)?,
        Action::Hold | Action::Release | Action::Skip => moving(shared, subject, action, it)?,
        Action::Unskip => unskip(shared, subject),
        Action::SetPlan => company_acts::set_plan(shared, subject.company.or(it.map(|it| it.company_id)))?,
        Action::PauseCompany => company_acts::pause(shared, subject.company.or(it.map(|it| it.company_id)))?,
        Action::Push => push(shared, subject)?,
        Action::Snooze => snooze(shared, subject.cause.as_ref()?),
        Action::Undo => undo::question(shared)?,
        Action::CancelJob => cancel_or_resume(subject.job.as_ref()?),
        Action::ToggleFlow => {
            let flow = subject.flow.as_ref()?;
            let word = if flow.enabled { "Disable" } else { "Enable" };
            let mutation = Mutation::FlowEnabled { flow: flow.id.clone(), enabled: !flow.enabled };
            Confirm::new("Flow", word, format!("{word} the flow {}?", flow.name), mutation)
        }
        _ => integration_acts::question(it?, shared, action)?,
    })
}

/// Same bytes or rendered anew: what a mapping stopped is of no use with the same bytes.
fn ways(target: &BulkTarget, anew_first: bool) -> Choice {
    let way = |re_render: bool| Way {
        label: if re_render { "rendered anew" } else { "the same bytes" },
        mutation: Mutation::retry(target.clone(), re_render),
        facts: vec![if re_render {
            "with the mapping as it is now; under an id of its own once something was sent".to_owned()
        } else {
            "the same bytes go out again under the same id".to_owned()
        }],
    };
    Choice { label: "what goes out", ways: vec![way(false), way(true)], at: usize::from(anew_first) }
}

fn retry(shared: &Shared, subject: &Subject, it: Option<&Integration>) -> Option<Confirm> {
    if let Some(cause) = &subject.cause {
        return Some(retry_cause(shared, cause));
    }
    let (target, question, mut facts, class) = if subject.deliveries.is_empty() {
        let it = it?;
        let question = format!("Retry every dead delivery of {}?", it.full_name());
        let facts =
            it.last_error_at.map(|at| format!("last error {}: {}", time::ago(shared.now, at), it.last_error));
        let target = BulkTarget::Dead { integration: it.id.clone() };
        (target, question, facts.into_iter().collect(), String::new())
    } else {
        let chosen = &subject.deliveries;
        let ids: Vec<String> = chosen.iter().map(|c| c.delivery.clone()).collect();
        let class = chosen.first().map(|c| c.class.clone()).unwrap_or_default();
        (BulkTarget::Ids(ids), named("Retry", chosen), facts(shared, chosen), class)
    };
    let delivered = subject.deliveries.iter().filter(|c| c.is_delivered).count();
    if delivered > 0 {
        facts.push(format!("! {delivered} delivered already: the target gets that a second time"));
    }
    facts.extend(it.and_then(|it| warning(shared, it)));
    let is_remapped = it.is_some_and(|it| shared.remapped.contains(&it.id));
    let choice = ways(&target, class == "mapping" || is_remapped);
    let mutation = Mutation::retry(target, false);
    let mut confirm = Confirm::new("Retry", "Retry", question, mutation);
    (confirm.facts, confirm.choice, confirm.weight) = (facts, Some(choice), Weight::Count);
    Some(confirm)
}

fn retry_cause(shared: &Shared, cause: &Cause) -> Confirm {
    // The company that is looked at is the only one whose deliveries are seen, counted and retried.
    let company = shared.company.as_ref();
    let target = BulkTarget::Cause { cause: cause.id.clone(), company: company.map(|(id, _)| *id) };
    let anew = cause.remedies.contains(&Remedy::RetryReRendered)
        || cause.class == "mapping"
        || cause.places.iter().any(|place| shared.remapped.contains(&place.integration));
    // How many they are is the dry run's to say: the list is older.
    let of = company.map(|(_, name)| format!(" of {name}")).unwrap_or_default();
    let question = format!("Retry all dead deliveries of this cause{of}?");
    let mut facts = vec![cause.text.clone()];
    facts.extend(cause.places.iter().take(3).map(|place| format!("{} / {}", place.company, place.name)));
    if cause.retrying > 0 {
        facts.push("what waits for its automatic retry is left alone".to_owned());
    }
    let places = cause.places.iter().filter_map(|place| shared.integration(&place.integration));
    facts.extend(places.filter_map(|it| warning(shared, it)).take(1));
    let choice = ways(&target, anew);
    let mut confirm = Confirm::new("Retry cause", "Retry", question, Mutation::retry(target, anew));
    (confirm.facts, confirm.choice, confirm.weight) = (facts, Some(choice), Weight::Count);
    confirm
}

/// One delivery by its person, many by their number.
fn named(verb: &str, chosen: &[Chosen]) -> String {
    match chosen {
        [one] => format!("{verb} {} to {}?", one.person, one.integration),
        many => format!("{verb} {} deliveries?", many.len()),
    }
}

/// Whom it is about, since when, and the error: so that nobody confirms something else than what was seen.
fn facts(shared: &Shared, chosen: &[Chosen]) -> Vec<String> {
    let line = |it: &Chosen| {
        let at = it.at.map(|at| time::moment(at, &shared.setup.zone)).unwrap_or_default();
        let error = if it.error.is_empty() { String::new() } else { format!(": {}", it.error) };
        format!("{}, {at}{error}", it.person)
    };
    match chosen {
        many if many.len() <= 3 => many.iter().map(line).collect(),
        many => {
            let mut lines: Vec<String> = many.iter().take(2).map(line).collect();
            lines.push(format!("and {} more", many.len() - 2));
            lines
        }
    }
}

/// What makes a retry likely to fail again.
fn warning(shared: &Shared, it: &Integration) -> Option<String> {
    match it.badge {
        Badge::Disabled => {
            Some(format!("! {} is disabled: nothing is pushed until it is enabled", it.full_name()))
        }
        Badge::Credentials if !shared.proven.contains(&it.id) => {
            Some("! the last push was refused for its login: this likely fails again".to_owned())
        }
        _ => None,
    }
}

fn moving(shared: &Shared, subject: &Subject, action: Action, it: Option<&Integration>) -> Option<Confirm> {
    let verb = match action {
        Action::Hold => "Hold",
        Action::Release => "Release",
        _ => "Skip",
    };
    let (target, question, facts) = if subject.deliveries.is_empty() {
        let it = it?;
        let target = BulkTarget::HeldOf { integration: it.id.clone() };
        let question = format!("Release everything that is held for {}?", it.full_name());
        (target, question, Vec::new())
    } else {
        let ids: Vec<String> = subject.deliveries.iter().map(|c| c.delivery.clone()).collect();
        (BulkTarget::Ids(ids), named(verb, &subject.deliveries), facts(shared, &subject.deliveries))
    };
    let mutation = match action {
        Action::Hold => Mutation::Hold(target),
        Action::Release => Mutation::Release(target),
        _ => Mutation::Skip(target),
    };
    let mut confirm = Confirm::new(verb, verb, question, mutation);
    confirm.facts = facts;
    confirm.facts.push(match action {
        Action::Hold => "it waits until somebody releases it".to_owned(),
        Action::Release => "it is pushed now, whatever it was held for".to_owned(),
        _ => "it is not pushed any more, unless an operator pushes the lead again".to_owned(),
    });
    confirm.weight = Weight::Count;
    Some(confirm)
}

fn cancel_or_resume(job: &Job) -> Confirm {
    let (rest, total) = (job.progress.rest(), job.progress.total);
    if job.state != "cancelled" {
        let question = format!("Cancel this job: {rest} of {total} not yet in the queue?");
        let mutation = Mutation::CancelJob { job: job.id.clone() };
        let mut confirm = Confirm::new("Cancel job", "Cancel it", question, mutation);
        confirm.facts = vec![
            "what is in the queue already is pushed; the rest stays as it is, and the job can be resumed"
                .to_owned(),
        ];
        return confirm;
    }
    let question = format!("Resume this job: {rest} of {total} are not yet in the queue?");
    let mutation = Mutation::ResumeJob { job: job.id.clone() };
    let mut confirm = Confirm::new("Resume job", "Resume it", question, mutation);
    confirm.facts =
        vec!["it goes on where it was; what was brought back is not brought back again".to_owned()];
    confirm.what = "resume the job".to_owned();
    confirm
}

fn unskip(shared: &Shared, subject: &Subject) -> Confirm {
    let skipped: Vec<Chosen> = subject.deliveries.iter().filter(|it| it.is_skipped).cloned().collect();
    let job = subject.job.as_ref().filter(|_| subject.deliveries.is_empty());
    let (undone, question, count) = match (job, skipped.as_slice()) {
        (Some(job), _) => {
            let question = format!("Put back all {} that this job skipped?", job.progress.total);
            (Skipped::Job(job.id.clone()), question, job.progress.total)
        }
        (None, chosen) => {
            let ids: Vec<String> = chosen.iter().map(|it| it.delivery.clone()).collect();
            let question = match chosen {
                [one] => format!("Put {} back on its way to {}?", one.person, one.integration),
                many => format!("Put {} skipped deliveries back?", many.len()),
            };
            (Skipped::Ids(ids), question, chosen.len() as u64)
        }
    };
    let mut confirm = Confirm::new("Put back", "Put back", question, Mutation::Unskip(undone));
    confirm.facts = facts(shared, &skipped);
    confirm.facts.push(
        "what an operator skipped within the last 24 hours stands where it stood; what was due goes"
            .to_owned(),
    );
    confirm.weight = Weight::Known(count);
    if confirm.expected().is_some() {
        confirm.focus = Focus::Input;
    }
    confirm
}

fn push(shared: &Shared, subject: &Subject) -> Option<Confirm> {
    let (uuid, company, person) = subject.lead.clone()?;
    let it = subject.integration.as_deref().and_then(|id| shared.integration(id));
    let to = it.map_or_else(|| "every enabled integration".to_owned(), Integration::full_name);
    let mutation = Mutation::Push { lead: uuid, company, integration: it.map(|it| it.id.clone()) };
    let mut confirm = Confirm::new("Push", "Push", format!("Push {person} to {to}?"), mutation);
    confirm.facts = vec![
        "the lead as it is now goes there, whatever flows say; it counts as a push of its own".to_owned(),
        "where one is on its way already, nothing is added".to_owned(),
    ];
    Some(confirm)
}

fn snooze(shared: &Shared, cause: &Cause) -> Confirm {
    let mutation = |until| Mutation::Snooze { cause: cause.id.clone(), until };
    if let Some(at) = cause.snoozed_until {
        let question = "Put this cause back on the list?".to_owned();
        let mut confirm = Confirm::new("Wake", "Wake it", question, mutation(Snooze::End));
        let until = time::moment(at, &shared.setup.zone);
        confirm.facts = vec![cause.text.clone(), format!("it would come back by itself {until}")];
        return confirm;
    }
    let way = |label, hours| Way { label, mutation: mutation(Snooze::Hours(hours)), facts: Vec::new() };
    let question = "Take this cause off the list for a while?".to_owned();
    let mut confirm = Confirm::new("Snooze", "Snooze", question, mutation(Snooze::Hours(24)));
    confirm.facts = vec![cause.text.clone(), "nothing about its deliveries changes".to_owned()];
    if shared.company.is_some() {
        confirm
            .facts
            .push("! it is off the list of every company, not of the one that you look at".to_owned());
    }
    confirm.choice = Some(Choice {
        label: "for",
        ways: vec![way("an hour", 1), way("a day", 24), way("a week", 168)],
        at: 1,
    });
    confirm
}

/// Whether a dry run must say how many deliveries a change is about.
pub const fn needs_estimate(mutation: &Mutation) -> bool {
    matches!(mutation, Mutation::Retry { .. } | Mutation::Hold(_) | Mutation::Release(_) | Mutation::Skip(_))
}
