//! What the tests of vendors share: a daemon with one integration of a connector, and leads pushed through it.

use std::time::Duration;

use leadline_fakes::{Fault, Reply, sample_lead};
use leadline_tests::wait_until;
use leadlined::domain::outcome::{FailureClass, Outcome};
use serde_json::Value;

/// How long a call may take where every call is answered.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A company whose leads go to one vendor.
pub(crate) struct Scene(leadline_tests::Scene);

leadline_tests::stands_on_scene!(Scene, 0);

impl Scene {
    pub(crate) async fn with(connector: &str, config: Value, credentials: Value) -> Self {
        Self(leadline_tests::Scene::set().connector(connector, config, credentials).start().await)
    }

    /// Posts the nth sample lead, changed. The answer is what the intake said.
    pub(crate) async fn post(&self, n: usize, change: impl FnOnce(&mut Value)) -> Value {
        let mut lead = sample_lead(n);
        lead["lead"]["gdpr_consent"] = true.into();
        change(&mut lead);
        self.post_lead(&lead).await
    }

    /// Waits until so many deliveries are in this state.
    pub(crate) async fn wait_for(&self, count: usize, state: &str) {
        wait_until(&format!("{count} deliveries are {state}"), async || {
            self.deliveries().await.iter().filter(|delivery| delivery.state().word() == state).count()
                == count
        })
        .await;
    }

    /// Class and error of the last attempt that pushed a lead, once there is one; probes are attempts too.
    pub(crate) async fn last_failure(&self) -> (String, String) {
        let mut pushes = Vec::new();
        wait_until("a push has finished", async || {
            pushes = self.operator.finished(&self.integration).await;
            pushes.retain(|attempt| attempt.trigger().word() != "test");
            !pushes.is_empty()
        })
        .await;
        let last = pushes.pop().unwrap();
        (last.failure_class().word().to_owned(), last.error)
    }

    /// The daemon goes and another one comes.
    pub(crate) async fn restarted(self) -> Self {
        Self(self.0.restarted().await)
    }

    pub(crate) async fn end(self) {
        self.0.end().await;
    }
}

/// Answers with these statuses and nothing else.
pub(crate) fn statuses(statuses: &[u16]) -> Vec<Fault> {
    statuses.iter().map(|status| Fault::Answer(Reply::status(*status))).collect()
}

/// What became of an attempt that failed.
pub(crate) fn class_and_error(outcome: Outcome) -> (FailureClass, String) {
    match outcome {
        Outcome::Failed(failure) => (failure.class, failure.error),
        Outcome::Delivered => panic!("it was delivered"),
    }
}
