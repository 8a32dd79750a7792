//! Looks whether a custom CRM answers and lets us in.

use super::Compiled;
use crate::prelude::*;
use crate::webhook::url::{UrlTemplate, with_sample};

pub(super) async fn look(ready: &Compiled, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
    if kind == ProbeKind::Mapping {
        return Ok(());
    }
    ready.key()?;
    let Some(test) = &ready.settings.test else {
        let answer = ctx.send(sample(ready, Method::OPTIONS, &ready.settings.target)?).await?;
        return options(ready, &answer, ctx);
    };
    let answer = ctx.send(sample(ready, Method::GET, test)?).await?;
    if answer.is_good() { Ok(()) } else { Err(ready.failure(&answer, ctx.now)) }
}

/// A request for a probe: the placeholders are filled from the sample lead.
fn sample(ready: &Compiled, method: Method, target: &UrlTemplate) -> Result<Request> {
    let request = with_sample(|sample| ready.request(method, target, sample, None));
    request.map(|request| ready.logged_in(request))
}

/// What OPTIONS came to: that the host answers, and whether it let us in. Few servers say more by it.
fn options(ready: &Compiled, answer: &Response, ctx: &mut Conversation<'_>) -> Result<()> {
    match answer.status {
        200..=299 | 400 | 404..=407 | 409..=424 | 426..=428 => {
            let finding = "test_path is not set: the host answers, but whether the login is right shows only when a lead is pushed";
            ctx.found.findings.push(finding.to_owned());
            Ok(())
        }
        _ => Err(ready.failure(answer, ctx.now)),
    }
}
