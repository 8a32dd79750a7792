//! The scene most tests play in: a daemon, company 7 with one integration, and the receiver behind it.

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_proto::v1;
use serde_json::{Value, json};
use sqlx::PgPool;
use tonic::transport::Channel;

use super::{
    cli::Cli,
    daemon::Daemon,
    database::Database,
    invariants::check_invariants,
    mended::check_unmended,
    operator::{Operator, post_lead, request_id},
    wait::wait_until,
};

/// A daemon whose company 7 pushes its leads to one target. Tests of a subject stand theirs on it.
pub struct Scene {
    pub daemon: Daemon,
    pub operator: Operator,
    pub cli: Cli,
    pub receiver: Receiver,
    pub pool: PgPool,
    /// The intake key.
    pub key: String,
    /// Where its leads go; empty if the company has no integration yet.
    pub integration: String,
    /// What the webhook signs with.
    pub secret: String,
}

/// A scene without its daemon, for those that are killed, or have a PostgreSQL of their own: company 7 with its
/// integration, and the receiver behind it.
#[derive(Debug)]
pub struct Cast {
    pub operator: Operator,
    pub receiver: Receiver,
    /// The intake key.
    pub key: String,
    /// Where its leads go; empty if the company has no integration yet.
    pub integration: String,
    /// What the webhook signs with.
    pub secret: String,
}

/// Lets a test's own scene be used as the one in its field, on which it stands.
#[macro_export]
macro_rules! stands_on_scene {
    ($own:ty, $field:tt) => {
        impl ::std::ops::Deref for $own {
            type Target = $crate::Scene;

            fn deref(&self) -> &Self::Target {
                &self.$field
            }
        }
    };
}

/// Where the company's leads go.
#[derive(Debug)]
enum Target {
    Nowhere,
    /// To the receiver, by a webhook of this name at this path.
    Webhook(String, String),
    /// To what this connector speaks with, logged in so.
    Connector(String, Value),
}

/// A scene that is being set.
#[derive(Debug)]
pub struct Setting {
    daemon: Option<Daemon>,
    key: Option<String>,
    behaviour: Behaviour,
    target: Target,
    config: Value,
}

impl Setting {
    /// Plays on this daemon.
    #[must_use]
    pub fn daemon(self, daemon: Daemon) -> Self {
        Self { daemon: Some(daemon), ..self }
    }

    /// The company is there already, and this is its key.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }

    /// The receiver behaves so.
    #[must_use]
    pub fn behaviour(self, behaviour: Behaviour) -> Self {
        Self { behaviour, ..self }
    }

    /// The webhook has this name and posts to this path.
    #[must_use]
    pub fn webhook(self, name: &str, path: &str) -> Self {
        Self { target: Target::Webhook(name.to_owned(), path.to_owned()), ..self }
    }

    /// The company's leads go to what this connector speaks with.
    #[must_use]
    pub fn connector(self, connector: &str, config: Value, credentials: Value) -> Self {
        Self { target: Target::Connector(connector.to_owned(), credentials), config, ..self }
    }

    /// The company has no integration.
    #[must_use]
    pub fn no_webhook(self) -> Self {
        Self { target: Target::Nowhere, ..self }
    }

    /// This is laid over the webhook's configuration.
    #[must_use]
    pub fn config(self, config: Value) -> Self {
        Self { config, ..self }
    }

    /// The scene, ready to be played in.
    pub async fn start(mut self) -> Scene {
        let daemon = match self.daemon.take() {
            Some(daemon) => daemon,
            None => Daemon::start_on(&Database::create().await).await,
        };
        let Cast { operator, receiver, key, integration, secret } = self.cast(daemon.control().await).await;
        let (cli, pool) = (Cli::new(daemon.socket()), daemon.database().pool().await);
        Scene { daemon, operator, cli, receiver, pool, key, integration, secret }
    }

    /// Who plays in it, at the control API of a daemon that stands elsewhere.
    pub async fn cast(self, control: Channel) -> Cast {
        let operator = Operator::new(control);
        let receiver = Receiver::start(self.behaviour).await.unwrap();
        let key = match self.key {
            Some(key) => key,
            None => operator.company(7).await,
        };
        let (mut integration, mut secret) = (String::new(), String::new());
        match self.target {
            Target::Nowhere => {}
            Target::Webhook(name, path) => {
                let created = operator.webhook(7, &name, &receiver.url(&path), self.config).await;
                (integration, secret) = (created.integration.unwrap().id, created.signing_secret);
            }
            Target::Connector(connector, credentials) => {
                integration = operator.connect(7, &connector, self.config, credentials).await.id;
            }
        }
        Cast { operator, receiver, key, integration, secret }
    }
}

impl Scene {
    /// A scene as it is unless told otherwise: a receiver that takes everything behind the webhook `crm`.
    #[must_use]
    pub fn set() -> Setting {
        let target = Target::Webhook("crm".to_owned(), "/".to_owned());
        Setting { daemon: None, key: None, behaviour: Behaviour::Good, target, config: json!({}) }
    }

    /// A scene whose receiver behaves so.
    pub async fn with(behaviour: Behaviour) -> Self {
        Self::set().behaviour(behaviour).start().await
    }

    /// A scene on this daemon. `more` is laid over the webhook's configuration.
    pub async fn on(daemon: Daemon, behaviour: Behaviour, more: Value) -> Self {
        Self::set().daemon(daemon).behaviour(behaviour).config(more).start().await
    }

    /// Posts the nth sample lead.
    pub async fn post(&self, n: usize) {
        self.post_lead(&sample_lead(n)).await;
    }

    /// Posts a lead. The answer is what the intake said.
    pub async fn post_lead(&self, lead: &Value) -> Value {
        let (status, answer) = post_lead(&self.daemon.url("/v1/leads"), &self.key, lead.to_string()).await;
        assert_eq!(status, 202, "{answer}");
        answer
    }

    /// The integration's health now.
    pub async fn health(&self) -> v1::Health {
        self.operator.integration(&self.integration).await.health.unwrap()
    }

    /// Waits for a badge.
    pub async fn wait_for_badge(&self, badge: &str) {
        wait_until(&format!("the badge is {badge}"), async || self.health().await.badge().word() == badge)
            .await;
    }

    /// The deliveries of the integration, oldest first.
    pub async fn deliveries(&self) -> Vec<v1::Delivery> {
        self.operator.deliveries_of(&self.integration).await
    }

    /// Waits until the deliveries, oldest first, are in these states.
    pub async fn wait_for_states(&self, expected: &[&str]) {
        wait_until(&format!("the deliveries are {expected:?}"), async || {
            self.deliveries().await.iter().map(|it| it.state().word()).collect::<Vec<_>>() == expected
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

    /// Everything that operators and senders can change, a line for each table.
    pub async fn contents(&self) -> String {
        self.daemon.database().contents().await
    }

    /// The daemon goes and another one comes.
    pub async fn restarted(self) -> Self {
        let database = self.daemon.database().clone();
        self.daemon.stop().await;
        let daemon = Daemon::start_on(&database).await;
        let (operator, cli) = (Operator::new(daemon.control().await), Cli::new(daemon.socket()));
        Self { daemon, operator, cli, ..self }
    }

    /// The end: what the queue promises is true, and was without anybody putting it right.
    pub async fn end(self) {
        self.daemon.stop().await;
        check_unmended(&self.pool).await;
        check_invariants(&self.pool).await;
        self.receiver.stop().await;
    }
}
