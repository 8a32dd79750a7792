//! Signed posts are taken in once: a webhook-id that comes again is answered with what it brought the first time.

use http::StatusCode;

use super::{
    IntakeApp,
    accept::{self, Post, Receipt},
    intake_store::IntakeStore,
    problem::ProblemDetails,
    views::{KeyMatch, Signed},
};
use crate::{
    domain::lead::LeadRefusal,
    store::company::signed::{Remembered, SignedPost},
};

/// Takes a lead in, unless its signed request has been taken in already.
pub(super) async fn accept_once<S: IntakeStore>(
    app: &IntakeApp<S>,
    post: Post<'_>,
    matched: KeyMatch,
) -> Result<Receipt, ProblemDetails> {
    let Some(Signed::Standard(id_hash)) = post.signed(&matched) else {
        return accept::accept(app, post, matched).await;
    };
    let signed = SignedPost { company: matched.view.id, key: matched.key_id(), id_hash };
    match app.store.begin_signed(signed).await? {
        Remembered::New => {}
        Remembered::UnderWay => {
            return Err(ProblemDetails::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "this webhook-id is being worked on: send it again after Retry-After seconds",
            ));
        }
        Remembered::Done(lead) => {
            // Nothing is committed that would notice a key that is gone, or wants another signature by now.
            let current = app.views.open_current(post.credential).await?;
            let current = current.ok_or_else(|| post.credential.unknown())?;
            if post.signed(&current).is_none() {
                return Err(current.unsigned());
            }
            let status =
                app.store.lead_status(signed.company, lead).await?.ok_or_else(LeadRefusal::erased)?;
            return Ok(Receipt::repeated(status));
        }
    }
    let accepted = accept::accept(app, post, matched).await;
    let lead = accepted.as_ref().ok().and_then(Receipt::id);
    if app.store.end_signed(signed, lead).await.is_err() {
        tracing::debug!("a signed post is not remembered; until 30 s are over it counts as being worked on");
    }
    accepted
}
