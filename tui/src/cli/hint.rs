//! What to do about a refusal, as commands: the daemon says why, and each of its clients knows its own way out.

use leadline_client::{ClientError, Why};
use leadline_proto::v1::{DeliveryState, ExplainDeliveryResponse, NextAct};

/// What to put behind a refusal's sentence; empty where it says all there is to say.
pub(super) fn after(error: &ClientError) -> String {
    error.why().and_then(hint).unwrap_or_default()
}

/// Why a delivery stands where it does, with the commands that move it.
pub(super) fn explained(it: &ExplainDeliveryResponse) -> String {
    let steps: Vec<String> =
        it.next_steps.iter().filter_map(|step| next(step.act(), &step.id, it.state())).collect();
    if steps.is_empty() {
        return it.why.clone();
    }
    format!("{}: {}.", it.why.trim_end_matches('.'), steps.join("; "))
}

/// What somebody can do about a delivery in a state, as a command.
fn next(act: NextAct, id: &str, state: DeliveryState) -> Option<String> {
    Some(match act {
        // A newer daemon's.
        NextAct::Unspecified => return None,
        NextAct::RetryDelivery if state == DeliveryState::Dead => {
            format!("`leadline delivery retry {id}` pushes it again")
        }
        NextAct::RetryDelivery => format!("`leadline delivery retry {id}` pushes it now"),
        NextAct::ReleaseDelivery => format!("`leadline delivery release {id}` lets it go"),
        NextAct::ExplainDelivery => format!("`leadline delivery why {id}` says what that one waits for"),
        NextAct::EnableIntegration if state == DeliveryState::Held => {
            format!("`leadline integration enable {id} --held release` lets it go")
        }
        NextAct::EnableIntegration => format!("`leadline integration enable {id}` lets it go"),
        NextAct::ShowIntegration => {
            format!("`leadline integration show {id}` shows its limits and what is pending")
        }
        NextAct::SetCredentials => format!("`leadline integration set-credentials {id}` takes them"),
        NextAct::CorrectMapping => format!("`leadline integration set-mapping {id}` corrects the mapping"),
        NextAct::CutOverSecret => format!("`leadline integration cut-over {id}` lets it go"),
        NextAct::ResumeCompany => format!("`leadline company resume {id}` lets it go"),
        NextAct::AskFlowsAgain => format!("`leadline flow ask-again --company {id}` asks the flows again"),
    })
}

fn hint(why: &Why) -> Option<String> {
    let about = |what: &str| why.about.get(what).map(String::as_str);
    Some(match why.reason.as_str() {
        "UNKNOWN" => {
            let noun = about("kind")?.replace(' ', "-");
            format!(": `leadline {noun} list` shows those there are")
        }
        "NOT_AN_ID" => match about("kind")? {
            "lead" => "; `leadline lead find` finds leads by name, e-mail address or phone number".to_owned(),
            kind => format!("; `leadline {} list` shows them", kind.replace(' ', "-")),
        },
        "NOTHING_FAILS" => ": `leadline failure list` shows what does".to_owned(),
        "NOBODY_HAS" => ": `leadline lead find` finds parts of it".to_owned(),
        "TIME_IS_OVER" => ", as in --until 18:00 or --for 2h".to_owned(),
        "NO_TOKEN" => " with `leadline token create`: --token TOKEN or LEADLINE_TOKEN".to_owned(),
        "DELIVERY_HELD" => match about("delivery") {
            Some(id) => format!("; use `leadline delivery release {id}`"),
            None => ": use `leadline delivery release`".to_owned(),
        },
        "DELIVERY_SKIPPED" => " with `leadline lead push`".to_owned(),
        "DELIVERY_PENDING" => ", and `leadline delivery why` says when".to_owned(),
        "NO_SCOPE" => "; --all means every one".to_owned(),
        "STAGED_SECRET" => {
            let id = about("integration")?;
            format!(" with `leadline integration cut-over {id}` or `leadline integration revoke-secret {id}`")
        }
        "NO_STAGED_SECRET" => {
            format!(": make one with `leadline integration rotate-secret {} --staged`", about("integration")?)
        }
        "PLAN_FULL" => format!(" with `leadline company set-plan {} --plan pro`", about("company")?),
        "PLAN_TOO_SMALL" => format!(
            " with `leadline company set-plan {} --plan {} --disable ID`",
            about("company")?,
            about("plan")?
        ),
        "BRAND_CLASH" => "; `leadline integration update ID --config …` changes it".to_owned(),
        "CHECKS_NOTHING" => ": `leadline integration test` pushes a sample".to_owned(),
        "DELIVERY_WAITS" => waits(about("next_act")?, about("next_id")?)?,
        "JOB_STANDS_STILL" => {
            let next = about("next_act").zip(about("next_id")).and_then(|(act, id)| waits(act, id));
            format!(
                "{}. Then `leadline job show {} --wait` follows it on",
                next.unwrap_or_default(),
                about("job")?
            )
        }
        _ => return None,
    })
}

/// What lets a delivery go on that waits for somebody.
fn waits(act: &str, id: &str) -> Option<String> {
    Some(format!(": {}", next(NextAct::from_word(act)?, id, DeliveryState::Pending)?))
}

#[cfg(test)]
mod tests {
    use leadline_proto::v1::NextStep;

    use super::*;

    #[test]
    fn what_moves_a_delivery_is_told_as_commands() {
        let told = |state: DeliveryState, steps: &[(NextAct, &str)]| {
            let next_steps =
                steps.iter().map(|(act, id)| NextStep { act: (*act).into(), id: (*id).to_owned() });
            explained(&ExplainDeliveryResponse {
                state: state.into(),
                why: "It waits.".to_owned(),
                next_steps: next_steps.collect(),
                ..Default::default()
            })
        };
        for (state, steps, expected) in [
            (DeliveryState::Pending, &[(NextAct::Unspecified, "")][..], "It waits."),
            (
                DeliveryState::Pending,
                &[(NextAct::RetryDelivery, "D")],
                "It waits: `leadline delivery retry D` pushes it now.",
            ),
            (
                DeliveryState::Dead,
                &[(NextAct::RetryDelivery, "D")],
                "It waits: `leadline delivery retry D` pushes it again.",
            ),
            (
                DeliveryState::Pending,
                &[(NextAct::ExplainDelivery, "E")],
                "It waits: `leadline delivery why E` says what that one waits for.",
            ),
            (
                DeliveryState::Pending,
                &[(NextAct::EnableIntegration, "I")],
                "It waits: `leadline integration enable I` lets it go.",
            ),
            (
                DeliveryState::Held,
                &[(NextAct::EnableIntegration, "I")],
                "It waits: `leadline integration enable I --held release` lets it go.",
            ),
            (
                DeliveryState::Pending,
                &[(NextAct::ShowIntegration, "I")],
                "It waits: `leadline integration show I` shows its limits and what is pending.",
            ),
            (
                DeliveryState::Dead,
                &[(NextAct::SetCredentials, "I"), (NextAct::RetryDelivery, "D")],
                "It waits: `leadline integration set-credentials I` takes them; `leadline delivery retry D` pushes it again.",
            ),
            (
                DeliveryState::Dead,
                &[(NextAct::CorrectMapping, "I")],
                "It waits: `leadline integration set-mapping I` corrects the mapping.",
            ),
            (
                DeliveryState::Held,
                &[(NextAct::CutOverSecret, "I")],
                "It waits: `leadline integration cut-over I` lets it go.",
            ),
            (
                DeliveryState::Pending,
                &[(NextAct::ResumeCompany, "7")],
                "It waits: `leadline company resume 7` lets it go.",
            ),
            (
                DeliveryState::Held,
                &[(NextAct::AskFlowsAgain, "7"), (NextAct::ReleaseDelivery, "D")],
                "It waits: `leadline flow ask-again --company 7` asks the flows again; `leadline delivery release D` lets it go.",
            ),
        ] {
            assert_eq!(told(state, steps), expected);
        }
    }

    #[test]
    fn each_reason_that_has_a_command_names_it() {
        for (reason, about, reported) in [
            ("UNKNOWN", &[("kind", "intake key")][..], ": `leadline intake-key list` shows those there are"),
            (
                "NOT_AN_ID",
                &[("kind", "lead")],
                "; `leadline lead find` finds leads by name, e-mail address or phone number",
            ),
            ("NOT_AN_ID", &[("kind", "intake key")], "; `leadline intake-key list` shows them"),
            ("NOTHING_FAILS", &[], ": `leadline failure list` shows what does"),
            ("NOBODY_HAS", &[], ": `leadline lead find` finds parts of it"),
            ("TIME_IS_OVER", &[], ", as in --until 18:00 or --for 2h"),
            ("NO_TOKEN", &[], " with `leadline token create`: --token TOKEN or LEADLINE_TOKEN"),
            ("DELIVERY_HELD", &[("delivery", "D")], "; use `leadline delivery release D`"),
            ("DELIVERY_HELD", &[], ": use `leadline delivery release`"),
            ("DELIVERY_SKIPPED", &[], " with `leadline lead push`"),
            ("DELIVERY_PENDING", &[], ", and `leadline delivery why` says when"),
            ("NO_SCOPE", &[], "; --all means every one"),
            (
                "STAGED_SECRET",
                &[("integration", "I")],
                " with `leadline integration cut-over I` or `leadline integration revoke-secret I`",
            ),
            (
                "NO_STAGED_SECRET",
                &[("integration", "I")],
                ": make one with `leadline integration rotate-secret I --staged`",
            ),
            ("PLAN_FULL", &[("company", "7")], " with `leadline company set-plan 7 --plan pro`"),
            (
                "PLAN_TOO_SMALL",
                &[("company", "7"), ("plan", "free")],
                " with `leadline company set-plan 7 --plan free --disable ID`",
            ),
            ("BRAND_CLASH", &[], "; `leadline integration update ID --config …` changes it"),
            ("CHECKS_NOTHING", &[], ": `leadline integration test` pushes a sample"),
            (
                "DELIVERY_WAITS",
                &[("next_act", "release_delivery"), ("next_id", "E")],
                ": `leadline delivery release E` lets it go",
            ),
            ("DELIVERY_WAITS", &[("next_act", "a newer one"), ("next_id", "E")], ""),
            ("JOB_STANDS_STILL", &[("job", "J")], ". Then `leadline job show J --wait` follows it on"),
            (
                "JOB_STANDS_STILL",
                &[("job", "J"), ("next_act", "resume_company"), ("next_id", "7")],
                ": `leadline company resume 7` lets it go. Then `leadline job show J --wait` follows it on",
            ),
            ("WRONG_STATE", &[], ""),
            ("PLAN_FULL", &[], ""),
        ] {
            let about = about.iter().map(|(what, id)| ((*what).to_owned(), (*id).to_owned())).collect();
            let why = Why { reason: reason.to_owned(), about };
            assert_eq!(hint(&why).unwrap_or_default(), reported, "{reason}");
        }
    }
}
