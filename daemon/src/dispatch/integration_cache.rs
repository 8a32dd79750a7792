//! Integrations made ready to push: loaded, opened and compiled once for each version.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use secrecy::SecretString;
use serde_json::Value;
use tokio::{
    sync::{RwLock, Semaphore},
    time::Instant,
};

use super::{
    beside::{is_light_to_prepare, unrendered},
    quota::{Quota, Quotas},
    session::{Session, Sessions, login_hash},
};
use crate::{
    compute::{Compute, Unfinished},
    connectors::{self, Connector, Prepared},
    domain::{
        ids::IntegrationId,
        integration::{Integration, Policy},
        lane::LaneId,
        moment::Moment,
        outcome::{Failure, FailureClass},
        template,
    },
    push::Pool,
    store::{Error, Store, integration::refresh::LoginHash},
};

/// So many integrations are loaded side by side, however many lanes wake at once.
const LOADS_MAX: usize = 8;

/// An integration ready to push, or the reason why none of its pushes can be rendered.
pub(super) struct PreparedIntegration {
    pub(super) integration: Integration,
    pub(super) policy: Policy,
    /// How much work its templates can cause.
    pub(super) template_weight: usize,
    pub(super) prepared: Result<Box<dyn Prepared>, Failure>,
    pub(super) session: Arc<Session>,
    /// What daemons know its login by, if that has a refresh token.
    pub(super) login: Option<LoginHash>,
    /// Its credentials are not the integration's yet.
    pub(super) is_tried: bool,
    pub(super) quota: Arc<Quota>,
    /// Its own, so that no other integration's target closes a connection under its pushes.
    pub(super) pool: Arc<Pool>,
}

impl PreparedIntegration {
    /// The refresh token of its credentials.
    fn refresh_token(&self) -> Option<&SecretString> {
        self.prepared.as_ref().ok()?.login()?.refresh_token()
    }
}

impl fmt::Debug for PreparedIntegration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedIntegration")
            .field("integration", &self.integration.id)
            .finish_non_exhaustive()
    }
}

/// What an integration keeps from version to version.
#[derive(Clone, Debug, Default)]
struct Lasting {
    session: Arc<Session>,
    pool: Arc<Pool>,
}

/// The integrations that were prepared, one version of each.
#[derive(Debug)]
pub(super) struct IntegrationCache {
    store: Store,
    compute: Compute,
    /// The daemon's own, for companies that have none.
    brand: String,
    /// When this daemon began, by its timer, and by the database's clock.
    began: (Instant, Moment),
    /// Until when other daemons may have pushed, since then.
    others: Mutex<Option<Instant>>,
    /// One for each integration that is pushed to, until it is gone.
    ready: RwLock<HashMap<IntegrationId, Arc<PreparedIntegration>>>,
    lasting: Mutex<HashMap<IntegrationId, Lasting>>,
    quotas: Quotas,
    sessions: Sessions,
    loads: Semaphore,
}

impl IntegrationCache {
    /// An empty cache.
    pub(super) fn new(store: Store, compute: Compute, brand: String, now: Moment) -> Self {
        Self {
            store,
            compute,
            brand,
            began: (Instant::now(), now),
            others: Mutex::default(),
            ready: RwLock::default(),
            lasting: Mutex::default(),
            quotas: Quotas::default(),
            sessions: Sessions::default(),
            loads: Semaphore::new(LOADS_MAX),
        }
    }

    /// An integration at this version or a later one; none if it is gone.
    pub(super) async fn get(
        &self,
        id: LaneId,
        version: i32,
    ) -> Result<Option<Arc<PreparedIntegration>>, Error> {
        if let Some(ready) = self.ready.read().await.get(&id.integration)
            && ready.integration.version >= version
        {
            return Ok(Some(Arc::clone(ready)));
        }
        // Rare, and larger than all else of a push.
        Box::pin(self.load(id)).await
    }

    #[cfg(test)]
    pub(super) async fn insert(&self, ready: Arc<PreparedIntegration>) {
        self.ready.write().await.insert(ready.integration.id, ready);
    }

    /// Reads an integration anew, whatever is cached.
    pub(super) async fn load(&self, id: LaneId) -> Result<Option<Arc<PreparedIntegration>>, Error> {
        let permit = self.loads.acquire().await;
        let loaded = self.store.integration(id).await?;
        // Templates that take long to compile keep no other integration waiting.
        drop(permit);
        let Some(integration) = loaded else {
            self.ready.write().await.remove(&id.integration);
            self.lasting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id.integration);
            return Ok(None);
        };
        let lasting = self.lasting(id.integration);
        // What was called under other credentials or another pace may count at the target too.
        let is_known = self.ready.read().await.contains_key(&id.integration);
        let others_until = if is_known { Some(Instant::now()) } else { self.others_until(id.integration) };
        let ready = Arc::new(self.prepare(integration, lasting, others_until).await);
        if ready.prepared.as_ref().is_err_and(|failure| failure.class == FailureClass::Transient) {
            // The next push tries it again.
            return Ok(Some(ready));
        }
        if let Some((login, own)) = ready.login.zip(ready.refresh_token()) {
            self.store.join_login(id, ready.integration.version, &login, own).await?;
        }
        let mut integrations = self.ready.write().await;
        // Two loads may overtake each other.
        let is_newest = integrations
            .get(&id.integration)
            .is_none_or(|other| other.integration.version <= ready.integration.version);
        if is_newest {
            integrations.insert(id.integration, Arc::clone(&ready));
        }
        Ok(Some(ready))
    }

    /// An integration as it would be with other credentials, with a login and connections of its own.
    pub(super) async fn load_with(
        &self,
        id: LaneId,
        credentials: Value,
    ) -> Result<Option<PreparedIntegration>, Error> {
        // Those in use join their login first, which takes over what was given for them before others take their place.
        let Some(in_use) = self.load(id).await? else { return Ok(None) };
        let mut integration = in_use.integration.clone();
        // They are given for what the integration pushes to now.
        (integration.credentials, integration.credentials_for) = (credentials, None);
        let ready = self.prepare(integration, Lasting::default(), self.others_until(id.integration)).await;
        Ok(Some(PreparedIntegration { is_tried: true, ..ready }))
    }

    /// The daemons are others than before, and lanes go from one to another: until then another may have pushed to any
    /// target. It lets no window begin anew.
    pub(super) fn meet_others(&self, until: Instant) {
        *self.others.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        self.quotas.meet_others(until);
    }

    /// Until when an earlier daemon, or another, may have pushed to an integration. A daemon that was restarted knows nothing of the calls
    /// that were made a moment before; to an integration that is younger there were none. By which clock an id was made
    /// is not known, and at stake is one window.
    fn others_until(&self, id: IntegrationId) -> Option<Instant> {
        let (began, began_at) = self.began;
        let earlier = (id.made_at() < began_at).then_some(began);
        earlier.max(*self.others.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Closes connections to targets that nobody has pushed over for a while.
    pub(super) async fn close_idle(&self) {
        for ready in self.ready.read().await.values() {
            ready.pool.close_idle();
        }
    }

    fn lasting(&self, id: IntegrationId) -> Lasting {
        let mut lasting = self.lasting.lock().unwrap_or_else(PoisonError::into_inner);
        lasting.entry(id).or_default().clone()
    }

    async fn prepare(
        &self,
        integration: Integration,
        Lasting { session, pool }: Lasting,
        others_until: Option<Instant>,
    ) -> PreparedIntegration {
        let mut policy = connectors::policy(&integration.connector, &integration.config);
        let Some(connector) = connectors::find(&integration.connector) else {
            let error = format!(
                "this daemon has no connector {}: run the version that made it",
                integration.connector
            );
            let prepared = Err(Failure::new(FailureClass::Mapping, error));
            return PreparedIntegration {
                pool,
                policy,
                template_weight: 0,
                prepared,
                session,
                login: None,
                is_tried: false,
                quota: Arc::default(),
                integration,
            };
        };
        let template_weight = template::weight(&integration.config) + template::weight(&integration.mapping);
        let prepared = self.compile(connector, &integration, template_weight).await;
        let pace = prepared.as_ref().ok().and_then(|prepared| prepared.pace());
        if let Some(pace) = pace {
            // More pushes would do nothing but wait, and a daemon that died then would seem to have died in them.
            policy.concurrency = policy.concurrency.min(pace.calls);
        }
        let account = connector.account(&integration.config, &integration.credentials);
        let quota = self.quotas.of(connector.manifest().name, &account, pace, others_until);
        let login = prepared.as_ref().ok().and_then(|prepared| login_hash(&integration, prepared.login()));
        let session = login.map_or(session, |login| self.sessions.of(login));
        pool.resize(policy.concurrency as usize);
        PreparedIntegration {
            policy,
            template_weight,
            prepared,
            session,
            login,
            is_tried: false,
            quota,
            pool,
            integration,
        }
    }

    /// Compiles an integration, beside the async workers where its templates may take long.
    async fn compile(
        &self,
        connector: &'static dyn Connector,
        integration: &Integration,
        template_weight: usize,
    ) -> Result<Box<dyn Prepared>, Failure> {
        if let Some(sentence) = integration.suspension() {
            return Err(Failure::new(FailureClass::Credentials, format!("nothing was sent: {sentence}")));
        }
        let brand = integration.brand.as_deref().unwrap_or(&self.brand);
        if is_light_to_prepare(template_weight) {
            return connector.prepare(integration, brand);
        }
        let (company, integration, brand) = (integration.company, integration.clone(), brand.to_owned());
        let prepared = self.compute.run(company, move || connector.prepare(&integration, &brand)).await;
        prepared.unwrap_or_else(|error| Err(unrendered(Unfinished { error, has_begun: false })))
    }
}
