//! The teller of notices: looks for what operators should hear of, and pushes it to the integrations that are marked
//! for it. Notices are few and about no lead, so they need no lane.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::join_all;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{
    attempt::{Duty, attempt},
    pusher::Pusher,
};
use crate::{
    domain::{integration::EventKind, notice, outcome::Outcome},
    store::{
        Error,
        notice::{NoticeEnd, TakenNotice},
    },
};

/// How often it looks.
const LOOK: Duration = Duration::from_secs(2);

/// Tells notices, with what the pusher pushes with.
#[derive(Debug)]
pub(super) struct Teller(pub(super) Arc<Pusher>);

impl Teller {
    /// Runs until told to stop. A push that is cut off then is taken over by another daemon, or the next.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let work = async {
            loop {
                looks.tick().await;
                if let Err(error) = self.look().await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "notices wait for the database");
                }
            }
        };
        let stopped: Option<()> = stop.run_until_cancelled(work).await;
        debug_assert!(stopped.is_none(), "the loop has no end");
    }

    async fn look(&self) -> Result<(), Error> {
        let told = self.0.store.watch_notices().await?;
        if told > 0 {
            tracing::info!(notices = told, "operators are told of what changed");
        }
        if !self.0.life.is_trusted() {
            return Ok(());
        }
        let daemon = self.0.life.id();
        let taken = self.0.store.take_notices(daemon).await?;
        let ends = join_all(taken.iter().map(|notice| self.push(daemon, notice))).await;
        ends.into_iter().collect()
    }

    async fn push(&self, daemon: i64, notice: &TakenNotice) -> Result<(), Error> {
        // The shelf may have an older version whose secrets or URL are not right any more.
        let Some(ready) = self.0.shelf.load((notice.company, notice.integration)).await? else {
            return Ok(());
        };
        let (id, body) = (notice.id.to_string(), Bytes::from(notice.body.clone()));
        let now = self.0.life.now().div_euclid(1_000_000);
        let duty = Duty {
            id: &id,
            of: None,
            event: EventKind::Notice(notice.kind),
            body: &body,
            // A template of the integration's is made for leads.
            rendered: Some(&body),
            is_repeat: notice.attempts > 0,
            created_at: now,
            now,
        };
        let tried = attempt(&self.0.client, &self.0.store, &ready, duty).await;
        let end = end(notice, tried.outcome, rand::random());
        if let NoticeEnd::Dead { error } = &end {
            tracing::warn!(notice = %notice.id, integration = %notice.integration, error, "a notice is given up");
        }
        self.0.store.finish_notice(daemon, notice, &end).await
    }
}

fn end(notice: &TakenNotice, outcome: Outcome, jitter: f64) -> NoticeEnd {
    let failure = match outcome {
        Outcome::Delivered => return NoticeEnd::Delivered,
        Outcome::Failed(failure) => failure,
    };
    let error = format!("{}: {}", failure.class, failure.error);
    let next = notice::next(notice.attempts + 1, notice.age, jitter).filter(|_| failure.class.is_retried());
    match next {
        Some(gap) => {
            NoticeEnd::Again { after: failure.retry_after.map_or(gap, |asked| asked.max(gap)), error }
        }
        None => NoticeEnd::Dead { error },
    }
}
