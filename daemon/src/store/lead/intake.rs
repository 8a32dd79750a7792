//! What intake reads and writes: a company's view to decide on, and leads with their whole fan-out in one statement.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use secrecy::SecretString;
use tokio::time::timeout;

pub use crate::domain::fanout::{IntakeIntegration, NewDelivery};
use crate::{
    domain::{
        delivery::{Reason, State},
        fanout::{Fate, Routing, fan_out, fan_out_unasked},
        flow::Flows,
        ids::{CompanyId, DeliveryId, EventId, IntegrationId, KeyId, LeadId},
        integration::EventKind,
        lane::LaneId,
        lead::Accepted,
        person::Person,
        signing::SignatureKind,
        trace::TraceContext,
    },
    store::{
        Change, Error, Store,
        company::form::{self, IntakeForm},
        flow,
        kept::KeptConnection,
        queue::enqueue::enqueue,
        sealed,
        shown::Shown,
    },
};

/// Everything intake decides on, at one version of the company's configuration.
#[derive(Debug)]
pub struct CompanyView {
    pub id: CompanyId,
    pub name: String,
    pub version: i64,
    pub keys: Vec<KeyView>,
    pub integrations: Vec<IntakeIntegration>,
    /// The enabled ones, in order; compiled once for each view.
    pub flows: Arc<Flows>,
    /// The enabled ones.
    pub forms: Vec<IntakeForm>,
}

impl CompanyView {
    /// Whether any flow is asked about its leads.
    #[must_use]
    pub fn asks_flows(&self) -> bool {
        !self.flows.0.is_empty()
            && self.integrations.iter().any(|integration| integration.routing == Some(Routing::Flows))
    }
}

/// A live intake key.
#[derive(Debug)]
pub struct KeyView {
    pub id: KeyId,
    /// SHA-256 of the whole key text.
    pub token_hash: [u8; 32],
    /// Set if bodies must be signed.
    pub signing_secret: Option<SecretString>,
    /// Which signature is taken then; none if only a newer daemon knows it, so that nothing can be checked here.
    pub signature: Option<SignatureKind>,
    /// Whether it reads what became of leads, too.
    pub may_read: bool,
    /// The browser pages that may use it.
    pub allow_origins: Vec<String>,
    /// Its first characters, to be named by.
    pub prefix: String,
    /// How many leads a second each daemon takes in with it; none for no limit.
    pub rate_per_second: Option<f64>,
}

/// A lead event to be committed with its deliveries.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub company: CompanyId,
    /// The version of the view that `deliveries` were decided on.
    pub version: i64,
    pub lead: LeadId,
    /// As received.
    pub uuid: String,
    pub digest: [u8; 32],
    pub event: EventId,
    pub kind: EventKind,
    /// The canonical event text.
    pub body: Bytes,
    /// Who it is, for lists and searches.
    pub person: Person,
    pub deliveries: Vec<NewDelivery>,
    /// Where its pushes stand in a trace, if it is traced.
    pub trace: Option<TraceContext>,
}

impl NewEvent {
    /// What committing an event means for a company as it was seen.
    #[must_use]
    pub fn decide(view: &CompanyView, accepted: &Accepted, kind: EventKind) -> Self {
        let event = &accepted.event;
        let deliveries = fan_out(&view.integrations, &view.flows, kind, event, DeliveryId::generate);
        Self::new(view, accepted, kind, deliveries)
    }

    /// The same where flows could not be asked: what they would decide about is held for this cause.
    #[must_use]
    pub fn without_flows(view: &CompanyView, accepted: &Accepted, kind: EventKind, cause: &str) -> Self {
        let (integrations, event) = (&view.integrations, &accepted.event);
        let deliveries = fan_out_unasked(integrations, &view.flows, cause, kind, event, DeliveryId::generate);
        Self::new(view, accepted, kind, deliveries)
    }

    fn new(view: &CompanyView, accepted: &Accepted, kind: EventKind, deliveries: Vec<NewDelivery>) -> Self {
        Self {
            company: view.id,
            version: view.version,
            lead: accepted.lead,
            uuid: accepted.uuid.clone(),
            digest: accepted.digest,
            event: EventId::generate(),
            kind,
            body: accepted.body(kind),
            person: Person::of(&accepted.event),
            deliveries,
            trace: None,
        }
    }
}

/// A delivery as the 202 answer shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedDelivery {
    pub integration: IntegrationId,
    pub id: DeliveryId,
    pub state: Shown<State>,
    pub reason: Option<String>,
}

impl From<&NewDelivery> for AcceptedDelivery {
    fn from(delivery: &NewDelivery) -> Self {
        Self {
            integration: delivery.integration,
            id: delivery.id,
            state: delivery.fate.state().into(),
            reason: delivery.fate.reason().map(Reason::text),
        }
    }
}

/// What became of one event of a flush.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Committed as given.
    Created,
    /// The company's configuration is no longer the one decided on: load the view again.
    Stale,
    /// The lead is known: take it to [`Store::accept_again`].
    Known,
    /// Somebody holds the company, so that nothing could be committed for it: try again.
    Locked,
}

impl Store {
    /// A company's view, or none if there is no such company.
    pub async fn company_view(&self, company: CompanyId) -> Result<Option<CompanyView>, Error> {
        // One snapshot for all reads: the version must be that of what is read with it.
        let mut tx = self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let Some(row) = sqlx::query!("SELECT name, config_version FROM company WHERE id = $1", company.0)
            .fetch_optional(&mut *tx)
            .await?
        else {
            return Ok(None);
        };
        let keys = sqlx::query!(
            "SELECT id, prefix, token_hash, sealed_secret, rate_per_second, signature, may_read, allow_origins
             FROM intake_key
             WHERE company_id = $1 AND revoked_at IS NULL",
            company.0
        )
        .fetch_all(&mut *tx)
        .await?;
        let integrations = sqlx::query!(
            "SELECT id, name, enabled, awaits_cut_over, events, routing, needs_consent FROM integration
             WHERE company_id = $1 AND deleted_at IS NULL ORDER BY id",
            company.0
        )
        .fetch_all(&mut *tx)
        .await?;
        let flows = flow::deciding(&mut tx, company).await?;
        let forms = form::deciding(&mut tx, company).await?;
        tx.commit().await?;
        let keys = keys.into_iter().map(|key| {
            let id = key.id.into();
            Ok::<_, Error>(KeyView {
                id,
                token_hash: key.token_hash.try_into().map_err(|_| Error::Corrupt("intake key"))?,
                signing_secret: self.signing_secret(company, id, key.sealed_secret)?,
                signature: SignatureKind::parse(&key.signature),
                may_read: key.may_read,
                allow_origins: key.allow_origins,
                prefix: key.prefix,
                rate_per_second: key.rate_per_second,
            })
        });
        let integrations = integrations.into_iter().map(|row| {
            IntakeIntegration {
                id: row.id.into(),
                name: row.name,
                enabled: row.enabled,
                awaits_cut_over: row.awaits_cut_over,
                // An event that only a newer daemon takes in does not come in here.
                events: row.events.iter().filter_map(|word| EventKind::parse(word)).collect(),
                routing: Routing::parse(&row.routing),
                needs_consent: row.needs_consent,
            }
        });
        Ok(Some(CompanyView {
            id: company,
            name: row.name,
            version: row.config_version,
            keys: keys.collect::<Result<_, _>>()?,
            integrations: integrations.collect(),
            flows: Arc::new(flows),
            forms,
        }))
    }

    fn signing_secret(
        &self,
        company: CompanyId,
        id: KeyId,
        value: Option<Vec<u8>>,
    ) -> Result<Option<SecretString>, Error> {
        let open = |value: Vec<u8>| self.open_text(&sealed::intake_secret(company, id), &value);
        value.map(open).transpose()
    }

    /// The version of a company's configuration: cheap, to see whether a view is still true.
    pub async fn company_version(&self, company: CompanyId) -> Result<Option<i64>, Error> {
        let version = sqlx::query_scalar!("SELECT config_version FROM company WHERE id = $1", company.0)
            .fetch_optional(&self.pool)
            .await?;
        Ok(version)
    }

    /// Commits new leads with their deliveries, all in one statement. The answers are in the order of the events,
    /// which must not name a lead twice.
    pub async fn accept(&self, events: &[NewEvent]) -> Result<Vec<Flushed>, Error> {
        self.accept_on(&self.intakes, events).await
    }

    /// The same for leads of a file, beside what is taken in.
    pub async fn accept_file(&self, events: &[NewEvent]) -> Result<Vec<Flushed>, Error> {
        self.accept_on(&self.imports, events).await
    }

    async fn accept_on(&self, kept: &KeptConnection, events: &[NewEvent]) -> Result<Vec<Flushed>, Error> {
        let mut db = kept.take().await?;
        let answer = timeout(self.silence_max, enqueue(&mut db, events)).await;
        let (flushed, hints) = db.heard(answer)?;
        self.wake_ups.due(hints);
        self.report_held(events);
        self.wake_ups.leads.notify_one();
        Ok(flushed)
    }

    /// Reports to whoever watches the integrations that keep a new delivery back: no push will report it.
    pub(super) fn report_held(&self, events: &[NewEvent]) {
        let held = events.iter().flat_map(|event| {
            let held = event.deliveries.iter().filter(|it| matches!(it.fate, Fate::Held(_)));
            held.map(|it| LaneId::new(event.company, it.integration))
        });
        for lane in held.collect::<HashSet<_>>() {
            self.wake_ups.changed(Change { lane, config: false });
        }
    }
}
