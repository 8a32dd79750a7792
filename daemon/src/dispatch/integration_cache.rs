//! Integrations made ready to push: loaded, opened and compiled once for each version.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    sync::{RwLock, Semaphore},
    time::Instant,
};

use super::{
    beside::{is_light_to_prepare, unrendered},
    quota::{Quota, Quotas},
    session::{Session, Sessions},
};
use crate::{
    compute::{Compute, Unfinished},
    connectors::{self, Call, Connector, Prepared},
    domain::{
        ids::IntegrationId,
        integration::{Integration, Policy},
        lane::LaneId,
        moment::Moment,
        outcome::{Failure, FailureClass},
        template,
    },
    push::Pool,
    store::{Error, Store, integration::refresh::TURN},
};

/// So many integrations are loaded side by side, however many lanes wake at once.
const LOADS_MAX: usize = 8;
/// How long a login may take, whatever other calls have: it is kept before another takes its turn.
const LOGIN_TIMEOUT: Duration = TURN.saturating_sub(Duration::from_secs(15));

/// An integration ready to push, or the reason why none of its pushes can be rendered.
pub(super) struct PreparedIntegration {
    pub(super) integration: Integration,
    pub(super) policy: Policy,
    /// How much work its templates can cause.
    pub(super) template_weight: usize,
    pub(super) prepared: Result<Box<dyn Prepared>, Failure>,
    pub(super) session: Arc<Session>,
    pub(super) quota: Arc<Quota>,
    /// Its own, so that no other integration's target closes a connection under its pushes.
    pub(super) pool: Arc<Pool>,
}

impl fmt::Debug for PreparedIntegration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedIntegration")
            .field("integration", &self.integration.id)
            .finish_non_exhaustive()
    }
}

impl PreparedIntegration {
    /// How long this call may take.
    pub(super) fn time_for(&self, call: &Call) -> Duration {
        time_for(call, self.policy.timeout)
    }
}

fn time_for(call: &Call, timeout: Duration) -> Duration {
    if call.is_secret() { timeout.min(LOGIN_TIMEOUT) } else { timeout }
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
    /// They outlast the versions of their integrations.
    pools: Mutex<HashMap<IntegrationId, Arc<Pool>>>,
    sessions: Sessions,
    quotas: Quotas,
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
            pools: Mutex::default(),
            sessions: Sessions::default(),
            quotas: Quotas::default(),
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
            self.pools.lock().unwrap_or_else(PoisonError::into_inner).remove(&id.integration);
            return Ok(None);
        };
        let pool = self.pool(id.integration);
        // What was called under other credentials or another pace may count at the target too.
        let is_known = self.ready.read().await.contains_key(&id.integration);
        let others_until = if is_known { Some(Instant::now()) } else { self.others_until(id.integration) };
        let mut ready = self.prepare(integration, pool, others_until).await;
        let login = ready.prepared.as_ref().ok().and_then(|prepared| prepared.login());
        ready.session = self.sessions.of(&ready.integration, login);
        let ready = Arc::new(ready);
        if ready.prepared.as_ref().is_err_and(|failure| failure.class == FailureClass::Transient) {
            // The next push tries it again.
            return Ok(Some(ready));
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
        let Some(mut integration) = self.store.integration(id).await? else { return Ok(None) };
        // They are given for what the integration pushes to now.
        (integration.credentials, integration.credentials_for) = (credentials, None);
        Ok(Some(self.prepare(integration, Arc::default(), self.others_until(id.integration)).await))
    }

    /// The daemons are others than before, and lanes go from one to another: until then another may have pushed to any
    /// target. It lets no window begin anew.
    pub(super) fn meet_others(&self, until: Instant) {
        *self.others.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        self.quotas.meet_others(until);
    }

    /// Until when an earlier daemon, or another, may have pushed to an integration. A daemon that was restarted knows
    /// nothing of the calls that were made a moment before; to an integration that is younger there were none. By which
    /// clock an id was made is not known, and at stake is one window.
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

    fn pool(&self, id: IntegrationId) -> Arc<Pool> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(pools.entry(id).or_default())
    }

    async fn prepare(
        &self,
        integration: Integration,
        pool: Arc<Pool>,
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
                session: Arc::default(),
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
        pool.resize(policy.concurrency as usize);
        let session = Arc::default();
        PreparedIntegration { policy, template_weight, prepared, session, quota, pool, integration }
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

#[cfg(test)]
mod tests {
    use http::Method;
    use url::Url;

    use super::*;
    use crate::connectors::Request;

    #[test]
    fn a_login_ends_before_another_takes_its_turn() {
        let request = Request::new(Method::POST, Url::parse("https://crm.example/token").unwrap());
        let login = Call::from(request.clone().secret_form(&[("grant_type", "refresh_token")]));
        let (long, short) = (Duration::from_secs(300), Duration::from_secs(5));
        assert_eq!(time_for(&Call::from(request), long), long);
        assert_eq!(time_for(&login, short), short);
        assert!(time_for(&login, long) < TURN);
    }
}
