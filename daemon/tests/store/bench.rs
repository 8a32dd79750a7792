//! A store on a database of its own, with one company, one integration and one daemon, and short words for what the tests do.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use leadlined::{
    domain::{
        delivery::{LaneKind, Reason, State, Transition},
        fanout::{Arrival, Fate, NewDelivery, Routing},
        ids::{CompanyId, DeliveryId, EventId, IntegrationId, JobId, LeadId},
        integration::EventKind,
        lane::LaneId,
        moment::Moment,
        outcome::{Failure, FailureClass, Outcome},
        plan::Plan,
    },
    postgres::{embedded::Cluster, setup},
    store::{
        DueHint, Store, WakeUps,
        delivery::read::{DeliveryFilter, Target},
        integration::NewIntegration,
        lead::{
            Reaccepted,
            intake::{Flushed, NewEvent},
        },
        operator::command::{Command, Mutation},
        queue::{
            claim::{Ask, Claimed, Claimer},
            finish::{self, AttemptResult, Finished},
        },
    },
};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::{OnceCell, mpsc};

use super::server;

const LEASE_SECONDS: f64 = 600.0;

/// The server of all tests. It is never dropped: its watchdog removes it when the process ends.
static SERVER: OnceCell<(Cluster, PathBuf)> = OnceCell::const_new();

/// The file of the key that everything is sealed with.
pub(crate) async fn master_key() -> PathBuf {
    SERVER.get_or_init(server::start).await.1.clone()
}

/// A lead, and its deliveries in the order of their integrations.
pub(crate) struct Lead {
    pub(crate) id: LeadId,
    pub(crate) deliveries: Vec<DeliveryId>,
}

pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) pool: PgPool,
    pub(crate) company: CompanyId,
    pub(crate) crm: IntegrationId,
    pub(crate) daemon: i64,
    pub(crate) claimer: Claimer,
    pub(crate) hints: mpsc::UnboundedReceiver<Vec<DueHint>>,
    contents: u8,
}

pub(crate) fn call() -> Mutation {
    Mutation {
        operator: "ann".into(),
        method: "Test",
        request_id: JobId::generate().to_string(),
        fingerprint: [0; 32],
    }
}

/// A store on a database of its own, with these settings of the server.
pub(crate) async fn open(
    settings: &[(&str, &str)],
) -> (Store, PgPool, mpsc::UnboundedReceiver<Vec<DueHint>>) {
    let (cluster, master_key) = SERVER.get_or_init(server::start).await;
    let name = format!("test_{}", JobId::generate().uuid().simple());
    server::create(cluster, &name, server::TEMPLATE).await;
    let options = cluster.connect_options(&name).options(settings.to_vec());
    let pool = setup::connect(&options).await.unwrap();
    let sealer = setup::unseal(&pool, master_key).await.unwrap();
    let (wake_ups, hints) = WakeUps::new();
    (Store::new(pool.clone(), sealer, Arc::new(wake_ups)), pool, hints)
}

/// Adds an integration that takes every lead.
/// What commands close a lane, each with what opens it again.
pub(crate) const COMMANDS: [(&str, &str); 3] = [
    ("integration SET enabled = false", "integration SET enabled = true"),
    ("integration SET awaits_cut_over = true", "integration SET awaits_cut_over = false"),
    ("company SET paused_at = now()", "company SET paused_at = NULL"),
];

pub(crate) async fn add_integration(command: &mut Command, company: CompanyId, name: &str) -> IntegrationId {
    let (config, events) = (json!({}), [EventKind::Created, EventKind::Updated]);
    let new = NewIntegration {
        company,
        name,
        connector: "webhook",
        enabled: true,
        config: &config,
        shown: &config,
        mapping: &config,
        events: &events,
        payload: "v1",
        routing: Routing::All,
        needs_consent: false,
        notices: false,
        secret: None,
        credentials: None,
    };
    command.create_integration(&new).await.unwrap()
}

/// Waits until a condition holds of the rows.
pub(crate) async fn wait_for(pool: &PgPool, condition: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let sql = format!("SELECT {condition}");
    while !sqlx::query_scalar::<_, bool>(AssertSqlSafe(sql.clone())).fetch_one(pool).await.unwrap() {
        assert!(Instant::now() < deadline, "waited in vain: {condition}");
    }
}

/// Waits until somebody waits for a lock.
pub(crate) async fn wait_for_lock(pool: &PgPool) {
    let waits = "EXISTS (SELECT FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock')";
    wait_for(pool, waits).await;
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let (store, pool, hints) = open(&[]).await;
        let mut command = store.batch(&call()).await.unwrap();
        let company = command.create_company(None, "The Old Barn", Plan::Pro, None).await.unwrap().id;
        command.commit().await.unwrap();
        let daemon = store.enroll(LEASE_SECONDS).await.unwrap();
        let claimer = Claimer::new(store.clone());
        let crm = IntegrationId::generate();
        let mut bench = Self { store, pool, company, crm, daemon, claimer, hints, contents: 0 };
        bench.crm = bench.integration(company, "crm").await;
        bench
    }

    pub(crate) async fn integration(&self, company: CompanyId, name: &str) -> IntegrationId {
        let mut command = self.command().await;
        let id = add_integration(&mut command, company, name).await;
        command.commit().await.unwrap();
        id
    }

    pub(crate) async fn command(&self) -> Command {
        self.store.batch(&call()).await.unwrap()
    }

    /// Carries out statements that no function of the store offers.
    pub(crate) async fn sql(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.pool).await.unwrap();
    }

    /// Lets a table hold what only a newer version knows.
    pub(crate) async fn forget_checks(&self, table: &str) {
        self.sql(&format!(
            "DO $$ DECLARE c record; BEGIN
                 FOR c IN SELECT conname FROM pg_constraint
                     WHERE contype = 'c' AND conislocal AND coninhcount = 0 AND conrelid = '{table}'::regclass
                 LOOP EXECUTE format('ALTER TABLE {table} DROP CONSTRAINT %I', c.conname); END LOOP;
             END $$"
        ))
        .await;
    }

    pub(crate) async fn holds(&self, condition: &str) -> bool {
        let sql = AssertSqlSafe(format!("SELECT {condition}"));
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    pub(crate) async fn count(&self, rows: &str) -> i64 {
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {rows}"));
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    /// What is to be committed of a lead of a company, with this fate at each of its integrations.
    pub(crate) async fn event(
        &mut self,
        company: CompanyId,
        lead: LeadId,
        kind: EventKind,
        fate: &Fate,
    ) -> NewEvent {
        self.contents += 1;
        let view = self.store.company_view(company).await.unwrap().unwrap();
        let deliveries = view.integrations.iter().map(|integration| NewDelivery {
            id: DeliveryId::generate(),
            integration: integration.id,
            fate: fate.clone(),
            arrival: Arrival::AsIs,
        });
        NewEvent {
            company,
            version: view.version,
            lead,
            uuid: lead.to_string(),
            digest: [self.contents; 32],
            event: EventId::generate(),
            kind,
            body: "{}".into(),
            person: Default::default(),
            deliveries: deliveries.collect(),
            trace: None,
        }
    }

    pub(crate) async fn lead(&mut self, fate: Fate) -> Lead {
        let id = LeadId::generate();
        let event = self.event(self.company, id, EventKind::Created, &fate).await;
        let deliveries = event.deliveries.iter().map(|delivery| delivery.id).collect();
        assert_eq!(self.store.accept(&[event]).await.unwrap(), [Flushed::Created]);
        Lead { id, deliveries }
    }

    pub(crate) async fn pending(&mut self) -> Lead {
        self.lead(Fate::Pending).await
    }

    pub(crate) async fn held(&mut self) -> Lead {
        self.lead(Fate::Held(Reason::IntegrationDisabled)).await
    }

    /// An update of a lead at the first integration.
    pub(crate) async fn update(&mut self, lead: LeadId) -> DeliveryId {
        let event = self.event(self.company, lead, EventKind::Updated, &Fate::Pending).await;
        assert!(matches!(self.store.accept_again(&event).await.unwrap(), Reaccepted::Updated(_)));
        event.deliveries[0].id
    }

    /// The lane of the first integration.
    pub(crate) fn lane(&self) -> LaneId {
        LaneId::new(self.company, self.crm)
    }

    pub(crate) fn ask(&self, kind: LaneKind, room: i32) -> Ask {
        Ask { lane: self.lane(), kind, room, watermark: Moment::EPOCH }
    }

    /// Claims what is due at the first integration.
    pub(crate) async fn claim(&mut self, room: i32) -> Vec<Claimed> {
        let asks = LaneKind::ALL.map(|kind| self.ask(kind, room));
        let (_, mut items) = self.claimer.claim(self.daemon, &asks).await.unwrap();
        items.sort_by_key(|item| item.due_at);
        items
    }

    pub(crate) async fn claim_one(&mut self) -> Claimed {
        let mut items = self.claim(1).await;
        assert_eq!(items.len(), 1);
        items.remove(0)
    }

    /// Ends items so, with all of their claims.
    pub(crate) async fn end(&self, items: &[Claimed], how: &Transition) -> finish::FinishedFlush {
        let finished: Vec<Finished> = items.iter().map(|item| ended(item, how)).collect();
        let claims: Vec<i64> = items.iter().map(|item| item.claim).collect();
        self.store.finish(self.daemon, &finished, &claims).await.unwrap()
    }

    /// Pushes the next one that is due, and ends it so.
    pub(crate) async fn push(&mut self, how: &Transition) -> Claimed {
        let item = self.claim_one().await;
        assert_eq!(self.end(std::slice::from_ref(&item), how).await.recorded, 1);
        item
    }

    /// State and reason of a delivery.
    pub(crate) async fn stands(&self, id: DeliveryId) -> (String, Option<String>) {
        sqlx::query_as("SELECT state, reason_code FROM delivery WHERE id = $1")
            .bind(id.uuid())
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    pub(crate) async fn state(&self, id: DeliveryId) -> String {
        self.stands(id).await.0
    }

    pub(crate) async fn targets(&self, state: State) -> Vec<Target> {
        let filter =
            DeliveryFilter { company: Some(self.company), states: vec![state], ..DeliveryFilter::default() };
        self.store.targets(&filter).await.unwrap()
    }

    pub(crate) fn reported(&mut self) -> Vec<DueHint> {
        let mut reported = Vec::new();
        while let Ok(hints) = self.hints.try_recv() {
            reported.extend(hints);
        }
        reported
    }
}

pub(crate) fn retry() -> Transition {
    Transition::Retry { after: Duration::ZERO, retries: 1, waits: 0, throttle: false }
}

pub(crate) fn dead() -> Transition {
    Transition::Dead { reason: Reason::Failed(FailureClass::Rejected), throttle: None }
}

pub(crate) fn exhausted() -> Transition {
    let reason = Reason::RetriesFailed { class: FailureClass::Transient, retries: 3 };
    Transition::Dead { reason, throttle: None }
}

/// An attempt of an item that came to this.
pub(crate) fn ended(item: &Claimed, how: &Transition) -> Finished {
    let class = match how {
        Transition::Delivered => None,
        Transition::Dead { reason, .. } if !reason.is_swept() => Some(FailureClass::Rejected),
        Transition::Skipped { .. } => Some(FailureClass::Rejected),
        Transition::Retry { .. } | Transition::Dead { .. } => Some(FailureClass::Transient),
    };
    let outcome =
        class.map_or(Outcome::Delivered, |class| Outcome::Failed(Failure::new(class, "out of order")));
    let mut claimed = item.clone();
    let pending = claimed.pending.take().unwrap();
    Finished {
        config_version: pending.version,
        claimed,
        pending,
        result: AttemptResult { took: Duration::from_millis(1), ..AttemptResult::without_call(outcome) },
        transition: how.clone(),
        verbatim: false,
    }
}
