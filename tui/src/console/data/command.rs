//! A change as the command that makes it: what the console shows for `!` is what it would do, whatever was chosen.

use std::fmt::Write as _;

use super::change::{BulkTarget, Held, Mutation, NewIntegration, SecretEntry, Skipped, Snooze};

/// A word for the shell: nothing in it can end the quotes.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Which company, where a command is about one only.
pub fn of_company(company: Option<i64>) -> String {
    company.map(|id| format!(" --company {id}")).unwrap_or_default()
}

impl BulkTarget {
    /// The arguments that name it.
    fn arguments(&self) -> String {
        match self {
            Self::Ids(ids) => ids.join(" "),
            Self::Dead { integration } => format!("--integration {integration}"),
            Self::Waiting { integration } => format!("--waiting --integration {integration}"),
            Self::Undelivered { integration } => format!("--integration {integration} --state pending,dead"),
            Self::HeldOf { integration } => format!("--integration {integration} --state held"),
            Self::Cause { cause, company } => format!("--cause {cause}{}", of_company(*company)),
        }
    }
}

impl SecretEntry {
    fn arguments(self) -> String {
        match self {
            Self::Now { grace_seconds } => format!("--grace {grace_seconds}s"),
            Self::Staged { hold: true } => "--staged --hold".to_owned(),
            Self::Staged { hold: false } => "--staged".to_owned(),
        }
    }
}

impl Mutation {
    /// The command that does the same. What is secret stands in none: such a command asks for it.
    pub fn command(&self) -> String {
        match self {
            Self::Retry { target, re_render, per_minute } => {
                let anew = if *re_render { " --re-render" } else { "" };
                format!("leadline delivery retry {}{anew}{}", target.arguments(), paced(*per_minute))
            }
            Self::Hold(target) => format!("leadline delivery hold {}", target.arguments()),
            Self::Release(target) => format!("leadline delivery release {}", target.arguments()),
            Self::Skip(target) => format!("leadline delivery skip {}", target.arguments()),
            Self::Unskip(Skipped::Ids(ids)) => format!("leadline delivery unskip {}", ids.join(" ")),
            Self::Unskip(Skipped::Job(job)) => format!("leadline delivery unskip --job {job}"),
            Self::SetPlan { company, plan } => format!("leadline company set-plan {company} --plan {plan}"),
            Self::PauseCompany { company, paused: true } => format!("leadline company pause {company}"),
            Self::PauseCompany { company, paused: false } => format!("leadline company resume {company}"),
            Self::Push { lead, company, integration } => {
                let company = of_company(Some(*company).filter(|id| *id != 0));
                let to = integration.as_ref().map(|id| format!(" --integration {id}")).unwrap_or_default();
                format!("leadline lead push {lead}{company}{to}")
            }
            Self::Snooze { cause, until: Snooze::Hours(hours) } => {
                format!("leadline failure snooze {cause} --for {hours}h")
            }
            Self::Snooze { cause, until: Snooze::Until(at) } => {
                format!("leadline failure snooze {cause} --until {at}")
            }
            Self::Snooze { cause, until: Snooze::End } => format!("leadline failure snooze {cause} --end"),
            Self::CancelJob { job } => format!("leadline job cancel {job}"),
            Self::ResumeJob { job } => format!("leadline job resume {job}"),
            Self::FlowWhen { flow, when } => format!("leadline flow update {flow} --when {}", quote(when)),
            Self::FlowEnabled { flow, enabled } => {
                format!("leadline flow update {flow} --{}", if *enabled { "enable" } else { "disable" })
            }
            Self::Create(new) => created(new),
            Self::PutBack(back) => back.change.command(),
            other => other.of_integration(),
        }
    }

    /// The command of a change of an integration that there is.
    fn of_integration(&self) -> String {
        let (verb, integration, more) = match self {
            Self::Enable { integration, held: Held::Keep } => ("enable", integration, String::new()),
            Self::Enable { integration, held } => ("enable", integration, format!(" --held {}", held.word())),
            Self::Disable { integration } => ("disable", integration, String::new()),
            Self::Test { integration } => ("test", integration, String::new()),
            Self::Reset { integration } => ("reset", integration, String::new()),
            Self::Rotate { integration, entry } => {
                ("rotate-secret", integration, format!(" {}", entry.arguments()))
            }
            Self::CutOver { integration } => ("cut-over", integration, String::new()),
            Self::Revoke { integration } => ("revoke-secret", integration, String::new()),
            Self::Credentials { integration, .. } => ("set-credentials", integration, String::new()),
            Self::Mapping { integration, json } => {
                ("set-mapping", integration, format!(" --mapping {}", quote(json)))
            }
            Self::Settings { integration, name, config } => {
                let named = |option: &str, value: &Option<String>| {
                    value.as_ref().map(|value| format!(" --{option} {}", quote(value))).unwrap_or_default()
                };
                ("update", integration, named("name", name) + &named("config", config))
            }
            _ => return String::new(),
        };
        format!("leadline integration {verb} {integration}{more}")
    }
}

/// A pace is typed by the minute, and commands take it by the second.
fn paced(per_minute: Option<u32>) -> String {
    let Some(rate) = per_minute else { return String::new() };
    let rate = format!("{:.6}", f64::from(rate) / 60.0);
    format!(" --per-second {}", rate.trim_end_matches('0').trim_end_matches('.'))
}

fn created(new: &NewIntegration) -> String {
    let mut command = format!(
        "leadline integration create --company {} --connector {} --name {} --config {}",
        new.company,
        new.connector,
        quote(&new.name),
        quote(&new.config)
    );
    for (option, is_wanted) in
        [("--credentials-stdin", new.credentials.is_some()), ("--disabled", new.is_disabled)]
    {
        if is_wanted {
            let written = write!(command, " {option}");
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;
    use crate::console::data::Secret;

    fn id() -> String {
        "01I1".to_owned()
    }

    fn retry(target: BulkTarget) -> Mutation {
        Mutation::retry(target, false)
    }

    fn deliveries() -> Vec<(Mutation, &'static str)> {
        let ids = || BulkTarget::Ids(vec!["01D1".to_owned(), "01D2".to_owned()]);
        let cause = |company| BulkTarget::Cause { cause: "c1".to_owned(), company };
        let integration = id;
        vec![
            (retry(ids()), "delivery retry 01D1 01D2"),
            (Mutation::retry(ids(), true), "delivery retry 01D1 01D2 --re-render"),
            (retry(BulkTarget::Dead { integration: integration() }), "delivery retry --integration 01I1"),
            (
                retry(BulkTarget::Waiting { integration: integration() }).paced(Some(60)),
                "delivery retry --waiting --integration 01I1 --per-second 1",
            ),
            (
                retry(BulkTarget::Undelivered { integration: integration() }).paced(Some(1)),
                "delivery retry --integration 01I1 --state pending,dead --per-second 0.016667",
            ),
            (retry(cause(None)), "delivery retry --cause c1"),
            (
                Mutation::retry(cause(Some(7)), true).paced(Some(90)),
                "delivery retry --cause c1 --company 7 --re-render --per-second 1.5",
            ),
            (Mutation::Hold(ids()), "delivery hold 01D1 01D2"),
            (Mutation::Release(ids()), "delivery release 01D1 01D2"),
            (
                Mutation::Release(BulkTarget::HeldOf { integration: integration() }),
                "delivery release --integration 01I1 --state held",
            ),
            (Mutation::Skip(ids()), "delivery skip 01D1 01D2"),
            (Mutation::Unskip(Skipped::Ids(vec!["01D1".to_owned()])), "delivery unskip 01D1"),
            (Mutation::Unskip(Skipped::Job("01J1".to_owned())), "delivery unskip --job 01J1"),
            (Mutation::CancelJob { job: "01J1".to_owned() }, "job cancel 01J1"),
            (Mutation::ResumeJob { job: "01J1".to_owned() }, "job resume 01J1"),
        ]
    }

    fn integrations() -> Vec<(Mutation, &'static str)> {
        let enable = |held| Mutation::Enable { integration: id(), held };
        let rotate = |entry| Mutation::Rotate { integration: id(), entry };
        let new = NewIntegration {
            company: 7,
            connector: "hubspot".to_owned(),
            name: "Ann's".to_owned(),
            config: "{}".to_owned(),
            credentials: Some(Secret::new("{}".to_owned())),
            is_disabled: true,
        };
        let settings = Mutation::Settings { integration: id(), name: None, config: Some("{}".to_owned()) };
        vec![
            (enable(Held::Keep), "integration enable 01I1"),
            (enable(Held::Release), "integration enable 01I1 --held release"),
            (enable(Held::Skip), "integration enable 01I1 --held skip"),
            (Mutation::Disable { integration: id() }, "integration disable 01I1"),
            (Mutation::Test { integration: id() }, "integration test 01I1"),
            (Mutation::Reset { integration: id() }, "integration reset 01I1"),
            (rotate(SecretEntry::Now { grace_seconds: 0 }), "integration rotate-secret 01I1 --grace 0s"),
            (
                rotate(SecretEntry::Now { grace_seconds: 3600 }),
                "integration rotate-secret 01I1 --grace 3600s",
            ),
            (rotate(SecretEntry::Staged { hold: true }), "integration rotate-secret 01I1 --staged --hold"),
            (rotate(SecretEntry::Staged { hold: false }), "integration rotate-secret 01I1 --staged"),
            (Mutation::CutOver { integration: id() }, "integration cut-over 01I1"),
            (Mutation::Revoke { integration: id() }, "integration revoke-secret 01I1"),
            (
                Mutation::Credentials { integration: id(), json: Secret::new("{\"token\":1}".to_owned()) },
                "integration set-credentials 01I1",
            ),
            (
                Mutation::Mapping { integration: id(), json: "{\"a\":\"b\"}".to_owned() },
                "integration set-mapping 01I1 --mapping '{\"a\":\"b\"}'",
            ),
            (settings, "integration update 01I1 --config '{}'"),
            (
                Mutation::Create(Box::new(new)),
                "integration create --company 7 --connector hubspot --name 'Ann'\\''s' --config '{}' \
                 --credentials-stdin --disabled",
            ),
        ]
    }

    fn others() -> Vec<(Mutation, &'static str)> {
        let snooze = |until| Mutation::Snooze { cause: "c1".to_owned(), until };
        let push = |company, integration: Option<&str>| Mutation::Push {
            lead: "U".to_owned(),
            company,
            integration: integration.map(str::to_owned),
        };
        let flow = |enabled| Mutation::FlowEnabled { flow: "01F1".to_owned(), enabled };
        vec![
            (Mutation::SetPlan { company: 7, plan: "multi" }, "company set-plan 7 --plan multi"),
            (Mutation::PauseCompany { company: 7, paused: true }, "company pause 7"),
            (Mutation::PauseCompany { company: 7, paused: false }, "company resume 7"),
            (push(0, None), "lead push U"),
            (push(7, Some("01I1")), "lead push U --company 7 --integration 01I1"),
            (snooze(Snooze::Hours(1)), "failure snooze c1 --for 1h"),
            (snooze(Snooze::Hours(168)), "failure snooze c1 --for 168h"),
            (
                snooze(Snooze::Hours(24)).until("2100-01-01T00:00:00Z".parse().ok()),
                "failure snooze c1 --until 2100-01-01T00:00:00Z",
            ),
            (snooze(Snooze::End), "failure snooze c1 --end"),
            (flow(true), "flow update 01F1 --enable"),
            (flow(false), "flow update 01F1 --disable"),
            (
                Mutation::FlowWhen { flow: "01F1".to_owned(), when: "a == 'b c'".to_owned() },
                "flow update 01F1 --when 'a == '\\''b c'\\'''",
            ),
        ]
    }

    /// The words of a line as a shell takes them.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut is_quoted, mut letters) = (Vec::new(), None, false, line.chars());
        while let Some(c) = letters.next() {
            match c {
                '\'' => {
                    is_quoted = !is_quoted;
                    word.get_or_insert_with(String::new);
                }
                '\\' if !is_quoted => word.get_or_insert_with(String::new).extend(letters.next()),
                ' ' if !is_quoted => words.extend(word.take()),
                c => word.get_or_insert_with(String::new).push(c),
            }
        }
        words.extend(word);
        words
    }

    #[test]
    fn every_change_is_a_command_that_is_understood() {
        for (mutation, expected) in [deliveries(), integrations(), others()].concat() {
            let command = mutation.command();
            assert_eq!(command, format!("leadline {expected}"));
            let read = Cli::command().try_get_matches_from(words(&command));
            assert!(read.is_ok(), "{command}: {}", read.unwrap_err());
        }
    }
}
