//! The notifier: looks for what operators should hear of, and pushes it to the integrations that are marked
//! for it. Notices are few and about no lead, so they need no lane.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::task::{self, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{attempt::PushRequest, pusher::Pusher};
use crate::{
    domain::{ids::IntegrationId, integration::EventKind, notice, outcome::Outcome},
    store::{
        Error,
        notice::{NoticeEnd, TakenNotice},
    },
    telemetry,
};

/// So many are pushed side by side, to one integration never more than one.
const PUSHES_MAX: usize = 20;

/// Pushes of notices under way, and whom each one notifies.
#[derive(Debug, Default)]
struct Pushes {
    tasks: JoinSet<Result<(), Error>>,
    notified: HashMap<task::Id, IntegrationId>,
}

impl Pushes {
    /// What the next one came to that ends; none if none is under way.
    async fn next(&mut self) -> Option<Result<(), Error>> {
        let (id, ended) = match self.tasks.join_next_with_id().await? {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(
                    event = "notice_panicked",
                    error = telemetry::causes(&error),
                    "the push of a notice panicked; it is tried again"
                );
                (error.id(), Ok(()))
            }
        };
        self.notified.remove(&id);
        Some(ended)
    }
}

/// Pushes notices, with what the pusher pushes with.
#[derive(Clone, Debug)]
pub(super) struct Notifier(pub(super) Arc<Pusher>);

impl Notifier {
    /// Runs until told to stop. A push that is cut off then is taken over by another daemon, or the next.
    pub(super) async fn run(self, stop: CancellationToken) {
        let wake_ups = Arc::clone(self.0.store.wake_ups());
        let mut pushes = Pushes::default();
        loop {
            let done = tokio::select! {
                () = stop.cancelled() => return,
                () = wake_ups.notices.notified() => self.look().await,
                Some(ended) = pushes.next() => ended,
            };
            // A target that hangs keeps no other waiting: whoever got its notice is given the next one at once.
            if let Err(error) = done.and(self.take(&mut pushes).await) {
                tracing::warn!(
                    event = "notices_wait",
                    error = telemetry::causes(&error),
                    "notices wait for the database"
                );
            }
        }
    }

    async fn look(&self) -> Result<(), Error> {
        let created = self.0.store.watch_notices().await?;
        if created > 0 {
            tracing::info!(
                event = "notices_created",
                notices = created,
                "notices of what changed are on their way"
            );
        }
        Ok(())
    }

    async fn take(&self, pushes: &mut Pushes) -> Result<(), Error> {
        let room = PUSHES_MAX.saturating_sub(pushes.tasks.len());
        if room == 0 || !self.0.lease.is_trusted() {
            return Ok(());
        }
        let daemon = self.0.lease.id();
        let busy: Vec<IntegrationId> = pushes.notified.values().copied().collect();
        for notice in self.0.store.take_notices(daemon, &busy, room).await? {
            let (notifier, integration) = (self.clone(), notice.lane.integration);
            let push = pushes.tasks.spawn(async move { notifier.push(daemon, &notice).await });
            pushes.notified.insert(push.id(), integration);
        }
        Ok(())
    }

    async fn push(&self, daemon: i64, notice: &TakenNotice) -> Result<(), Error> {
        // The cache may have an older version whose secrets or URL are not right any more.
        let Some(ready) = self.0.integrations.load(notice.lane).await? else {
            return Ok(());
        };
        let body = Bytes::from(notice.body.clone());
        let (event, now) = (EventKind::Notice(notice.kind), self.0.lease.now());
        let request = PushRequest {
            // A template of the integration's is made for leads.
            rendered: Some(body.clone()),
            is_repeat: notice.attempts > 0,
            ..PushRequest::unclaimed(notice.id.to_string(), event, body, now)
        };
        let result = self.0.push_unclaimed(&ready, request).await;
        let longest = ready.policy.longest_wait(self.0.max_retry_after);
        let end = end(notice, result.outcome, longest, rand::random());
        if let NoticeEnd::Dead { error } = &end {
            tracing::warn!(event = "notice_given_up", notice = %notice.id, integration = %notice.lane.integration, error, "a notice is given up");
        }
        self.0.store.finish_notice(daemon, notice, &end).await
    }
}

fn end(notice: &TakenNotice, outcome: Outcome, longest: (Duration, &str), jitter: f64) -> NoticeEnd {
    let failure = match outcome {
        Outcome::Delivered => return NoticeEnd::Delivered,
        Outcome::Failed(failure) => failure.waiting_at_most(longest),
    };
    let error = format!("{}: {}", failure.class, failure.error);
    let next = notice::next(notice.attempts + 1, notice.age, jitter).filter(|_| failure.class.is_retried());
    match next {
        Some(gap) => {
            NoticeEnd::Retry { after: failure.retry_after.map_or(gap, |asked| asked.max(gap)), error }
        }
        None => NoticeEnd::Dead { error },
    }
}
