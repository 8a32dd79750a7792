//! The scene most tests play in: a daemon, a company with one webhook, and the receiver behind it.

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_proto::v1;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{
    daemon::Daemon,
    invariants::check_invariants,
    operator::{Operator, post_lead, request_id},
    wait::wait_until,
};

/// A daemon whose company 7 pushes its leads to one receiver.
pub struct Scene {
    pub daemon: Daemon,
    pub operator: Operator,
    pub receiver: Receiver,
    pub pool: PgPool,
    /// The intake key.
    pub key: String,
    pub integration: String,
}

impl Scene {
    /// A scene of a daemon as it is, whose receiver behaves so.
    pub async fn with(behaviour: Behaviour) -> Self {
        Self::on(Daemon::start().await, behaviour, json!({})).await
    }

    /// A scene on this daemon. `more` is laid over the webhook's configuration.
    pub async fn on(daemon: Daemon, behaviour: Behaviour, more: Value) -> Self {
        let operator = Operator::new(daemon.control().await);
        let receiver = Receiver::start(behaviour).await.unwrap();
        let key = operator.company(7).await;
        let created = operator.webhook(7, "crm", &receiver.url("/"), more).await;
        let pool = daemon.database().pool().await;
        Self { daemon, operator, receiver, pool, key, integration: created.integration.unwrap().id }
    }

    /// Posts the nth sample lead.
    pub async fn post(&self, n: usize) {
        self.post_lead(&sample_lead(n)).await;
    }

    /// Posts a lead.
    pub async fn post_lead(&self, lead: &Value) {
        let (status, answer) = post_lead(&self.daemon.url("/v1/leads"), &self.key, lead.to_string()).await;
        assert_eq!(status, 202, "{answer}");
    }

    /// The integration's health now.
    pub async fn health(&self) -> v1::Health {
        self.operator.integration(&self.integration).await.health.unwrap()
    }

    /// Waits for a badge.
    pub async fn wait_for_badge(&self, badge: &str) {
        wait_until(&format!("the badge is {badge}"), async || self.health().await.badge == badge).await;
    }

    /// The deliveries of the integration, oldest first.
    pub async fn deliveries(&self) -> Vec<v1::Delivery> {
        self.operator.deliveries_of(&self.integration).await
    }

    /// Waits until the deliveries, oldest first, are in these states.
    pub async fn wait_for_states(&self, expected: &[&str]) {
        wait_until(&format!("the deliveries are {expected:?}"), async || {
            self.deliveries().await.iter().map(|it| it.state.clone()).collect::<Vec<_>>() == expected
        })
        .await;
    }

    /// Retries what a request means.
    pub async fn retry(&self, request: v1::RetryDeliveriesRequest) -> v1::RetryDeliveriesResponse {
        let request = v1::RetryDeliveriesRequest { request_id: request_id(), ..request };
        self.operator.deliveries().retry_deliveries(request).await.unwrap().into_inner()
    }

    /// Whether a condition in SQL holds.
    pub async fn holds(&self, condition: &'static str) -> bool {
        // What is unknown does not hold.
        sqlx::query_scalar::<_, Option<bool>>(condition).fetch_one(&self.pool).await.unwrap().unwrap_or(false)
    }

    /// Waits until a condition in SQL holds.
    pub async fn wait_until(&self, condition: &'static str) {
        wait_until(condition, async || self.holds(condition).await).await;
    }

    /// The end: what the queue promises is true.
    pub async fn end(self) {
        self.daemon.stop().await;
        check_invariants(&self.pool).await;
        self.receiver.stop().await;
    }
}
