//! What to do about a refusal, as commands: the daemon says why, and each of its clients knows its own way out.

use leadline_client::{ClientError, Why};

/// What to put behind a refusal's sentence; empty where it says all there is to say.
pub(super) fn after(error: &ClientError) -> String {
    error.why().and_then(hint).unwrap_or_default()
}

fn hint(why: &Why) -> Option<String> {
    let about = |what: &str| why.about.get(what).map(String::as_str);
    Some(match why.reason.as_str() {
        "UNKNOWN" => {
            let noun = about("kind")?.replace(' ', "-");
            format!(": `leadline {noun} list` shows those there are")
        }
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
        "JOB_STANDS_STILL" => format!(" Then `leadline job show {} --wait` follows it on", about("job")?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_that_has_a_command_names_it() {
        for (reason, about, reported) in [
            ("UNKNOWN", &[("kind", "intake key")][..], ": `leadline intake-key list` shows those there are"),
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
            ("JOB_STANDS_STILL", &[("job", "J")], " Then `leadline job show J --wait` follows it on"),
            ("WRONG_STATE", &[], ""),
            ("PLAN_FULL", &[], ""),
        ] {
            let about = about.iter().map(|(what, id)| ((*what).to_owned(), (*id).to_owned())).collect();
            let why = Why { reason: reason.to_owned(), about };
            assert_eq!(hint(&why).unwrap_or_default(), reported, "{reason}");
        }
    }
}
