//! Integrations made ready to push: loaded, opened and compiled once for each version.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;
use tokio::sync::{RwLock, Semaphore};

use super::{
    lanes::LaneId,
    session::{Session, Turn},
};
use crate::{
    connectors::{self, Prepared},
    domain::{
        ids::IntegrationId,
        integration::{Integration, Policy},
        outcome::{Failure, FailureClass},
    },
    store::{Error, Store},
};

/// So many integrations are loaded side by side, however many lanes wake at once.
const LOADS_MAX: usize = 8;

/// An integration ready to push, or the reason why none of its pushes can be rendered.
pub(super) struct Ready {
    pub(super) integration: Integration,
    pub(super) policy: Policy,
    pub(super) prepared: Result<Box<dyn Prepared>, Failure>,
    pub(super) session: Arc<Session>,
}

impl Ready {
    /// Waits until another call may be made, if the target takes only so many.
    pub(super) async fn turn(&self, prepared: &dyn Prepared) -> Option<Turn> {
        match prepared.pace() {
            Some(pace) => Some(self.session.turn(pace).await),
            None => None,
        }
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready").field("integration", &self.integration.id).finish_non_exhaustive()
    }
}

/// What was made ready.
#[derive(Debug)]
pub(super) struct Shelf {
    store: Store,
    /// The daemon's own, for companies that have none.
    brand: String,
    /// One for each integration that is pushed to, until it is gone.
    ready: RwLock<HashMap<IntegrationId, Arc<Ready>>>,
    sessions: Mutex<HashMap<IntegrationId, Arc<Session>>>,
    loads: Semaphore,
}

impl Shelf {
    pub(super) fn new(store: Store, brand: String) -> Self {
        Self {
            store,
            brand,
            ready: RwLock::default(),
            sessions: Mutex::default(),
            loads: Semaphore::new(LOADS_MAX),
        }
    }

    /// An integration at this version or a later one; none if it is gone.
    pub(super) async fn get(&self, id: LaneId, version: i32) -> Result<Option<Arc<Ready>>, Error> {
        if let Some(ready) = self.ready.read().await.get(&id.1)
            && ready.integration.version >= version
        {
            return Ok(Some(Arc::clone(ready)));
        }
        self.load(id).await
    }

    /// Reads an integration anew, whatever is on the shelf.
    pub(super) async fn load(&self, id: LaneId) -> Result<Option<Arc<Ready>>, Error> {
        let _permit = self.loads.acquire().await;
        let Some(integration) = self.store.integration(id.0, id.1).await? else {
            self.ready.write().await.remove(&id.1);
            self.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(&id.1);
            return Ok(None);
        };
        let session = self.session(id.1);
        let ready = Arc::new(self.prepare(integration, session));
        let mut shelf = self.ready.write().await;
        // Two loads may overtake each other.
        let is_newest =
            shelf.get(&id.1).is_none_or(|other| other.integration.version <= ready.integration.version);
        if is_newest {
            shelf.insert(id.1, Arc::clone(&ready));
        }
        Ok(Some(ready))
    }

    /// An integration as it would be with other credentials, with a login of its own.
    pub(super) async fn load_with(&self, id: LaneId, credentials: Value) -> Result<Option<Ready>, Error> {
        let Some(mut integration) = self.store.integration(id.0, id.1).await? else { return Ok(None) };
        integration.credentials = credentials;
        let session = Arc::new(self.session(id.1).with_other_login());
        Ok(Some(self.prepare(integration, session)))
    }

    fn session(&self, id: IntegrationId) -> Arc<Session> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(sessions.entry(id).or_default())
    }

    fn prepare(&self, integration: Integration, session: Arc<Session>) -> Ready {
        let brand = integration.brand.as_deref().unwrap_or(&self.brand);
        let connector = connectors::find(&integration.connector);
        let policy = connectors::policy(&integration.connector, &integration.config);
        let prepared = match connector {
            Some(connector) => connector.prepare(&integration, brand),
            None => Err(Failure::new(
                FailureClass::Mapping,
                format!(
                    "this daemon has no connector {}: run the version that made it",
                    integration.connector
                ),
            )),
        };
        Ready { policy, prepared, session, integration }
    }
}
