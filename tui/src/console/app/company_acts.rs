//! The questions before what is done to a whole company.

use super::shared::Shared;
use crate::console::data::Mutation;
use crate::console::dialogs::confirm::Way;
use crate::console::dialogs::{Choice, Confirm, Focus};

/// Changes the plan.
pub(super) fn set_plan(shared: &Shared, company: Option<i64>) -> Option<Confirm> {
    let (id, name) = shared.company_for(company)?;
    let plan = shared.companies.iter().find(|it| it.id == id).map(|it| it.plan.clone()).unwrap_or_default();
    let way = |plan: &'static str| Way {
        label: plan,
        mutation: Mutation::SetPlan { company: id, plan },
        facts: Vec::new(),
    };
    let ways = ["free", "starter", "pro", "multi"].map(way).to_vec();
    let at = ways.iter().position(|way| way.label == plan).unwrap_or(0);
    let mutation = ways.get(at)?.mutation.clone();
    let mut confirm = Confirm::new("Plan", "Change it", format!("Change the plan of {name}?"), mutation);
    confirm.facts = vec![
        format!("it is {plan} now"),
        "a plan says how many integrations may be enabled; a smaller one is refused while more are"
            .to_owned(),
    ];
    confirm.choice = Some(Choice { label: "plan", ways, at });
    confirm.focus = Focus::Choice;
    Some(confirm)
}

/// Pauses it, or resumes it.
pub(super) fn pause(shared: &Shared, company: Option<i64>) -> Option<Confirm> {
    let (id, name) = shared.company_for(company)?;
    // What is told of integrations is newer than the list of companies.
    let is_paused = match shared.integrations.iter().find(|it| it.company_id == id) {
        Some(it) => it.paused,
        None => shared.companies.iter().any(|it| it.id == id && it.paused_at.is_some()),
    };
    let mutation = Mutation::PauseCompany { company: id, paused: !is_paused };
    let (word, fact) = if is_paused {
        ("Resume", "what waits is pushed as fast as its lanes go")
    } else {
        ("Pause", "leads are taken in all the same; none of their pushes starts until it is resumed")
    };
    let mut confirm = Confirm::new(word, word, format!("{word} {name}?"), mutation);
    confirm.facts = vec![fact.to_owned()];
    Some(confirm)
}
