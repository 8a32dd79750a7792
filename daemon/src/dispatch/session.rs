//! What the pushes of one login share: the token they are logged in with.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex as SyncMutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use crate::{
    connectors::{Login, Token},
    domain::{integration::Integration, moment::Moment, origins::origins, outcome::Failure},
};

/// A token is renewed so long before it runs out.
const MARGIN: Duration = Duration::from_secs(60);

/// What the last login came to.
#[derive(Debug, Default)]
struct Held {
    token: Option<Arc<Token>>,
    /// Which failure it was, counted.
    failed: Option<(u64, Failure)>,
}

#[derive(Debug, Default)]
pub(super) struct Session {
    held: Mutex<Held>,
    failures: AtomicU64,
}

impl Session {
    /// The token. If there is none, or it is about to run out, or it is the one that was refused, `login` gets another:
    /// once, however many pushes ask, and its failure is that of all who waited for it. Where it is not needed it is not
    /// begun.
    pub(super) async fn token(
        &self,
        refused: Option<&Arc<Token>>,
        now: Moment,
        login: impl Future<Output = Result<Token, Failure>>,
    ) -> Result<Arc<Token>, Failure> {
        let known = self.failures.load(Ordering::Relaxed);
        let mut held = self.held.lock().await;
        if let Some(token) = &held.token
            && !refused.is_some_and(|refused| Arc::ptr_eq(refused, token))
            && token.expires_at.is_none_or(|at| at > now + MARGIN)
        {
            return Ok(Arc::clone(token));
        }
        if let Some((count, failure)) = &held.failed
            && *count > known
        {
            return Err(failure.clone());
        }
        held.token = None;
        match login.await {
            Ok(token) => {
                let token = Arc::new(token);
                held.token = Some(Arc::clone(&token));
                Ok(token)
            }
            Err(failure) => {
                let count = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
                held.failed = Some((count, failure.clone()));
                Err(failure)
            }
        }
    }
}

/// Whose a login is, without the credentials that it is known by.
type LoginHash = [u8; 32];

/// The sessions of the integrations of this daemon.
#[derive(Debug, Default)]
pub(super) struct Sessions(SyncMutex<HashMap<LoginHash, Weak<Session>>>);

impl Sessions {
    /// The session of an integration's version: new credentials need a new login. A company's integrations that log in
    /// with one refresh token share it, as a vendor may end the tokens of a login when the next one comes.
    pub(super) fn of(&self, integration: &Integration, login: Option<&dyn Login>) -> Arc<Session> {
        let hash = hash_of(integration, login);
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = sessions.get(&hash).and_then(Weak::upgrade) {
            return session;
        }
        sessions.retain(|_, session| session.strong_count() > 0);
        let session = Arc::new(Session::default());
        sessions.insert(hash, Arc::downgrade(&session));
        session
    }
}

fn hash_of(integration: &Integration, login: Option<&dyn Login>) -> LoginHash {
    let shared = login.filter(|login| login.refresh_token().is_some());
    let Some(request) = shared.and_then(|login| login.request(Moment::EPOCH, None).ok()) else {
        return Sha256::digest(format!("{} {}", integration.id, integration.version)).into();
    };
    // Where calls go is part of what a login gives.
    let places = origins(&integration.config);
    let mut hash = Sha256::new();
    hash.update(format!("{} {} {places} {}", integration.company, integration.connector, request.url));
    for header in &request.headers {
        hash.update(header.value.as_bytes());
    }
    hash.update(&request.body);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        connectors,
        domain::{
            ids::{CompanyId, IntegrationId},
            outcome::FailureClass,
        },
    };

    /// The session of an integration that is there with these credentials, in this version.
    fn session_of(sessions: &Sessions, company: i64, version: i32, credentials: Value) -> Arc<Session> {
        let integration = Integration {
            company: CompanyId(company),
            company_name: "Barn".into(),
            id: IntegrationId::generate(),
            name: "crm".into(),
            connector: "pipedrive".into(),
            enabled: true,
            config: json!({}),
            credentials,
            mapping: json!({}),
            payload: "v1".into(),
            version,
            credentials_for: None,
            brand: None,
            telling: Default::default(),
            secrets: Vec::new(),
        };
        let connector = connectors::find(&integration.connector).unwrap();
        let prepared = connector.prepare(&integration, "Leadline").unwrap();
        sessions.of(&integration, prepared.login())
    }

    #[test]
    fn who_logs_in_with_one_refresh_token_shares_a_session_within_a_company() {
        let sessions = Sessions::default();
        let app =
            |refresh: &str| json!({ "client_id": "app", "client_secret": "s", "refresh_token": refresh });
        let first = session_of(&sessions, 7, 1, app("one"));
        let is_shared = |company, version, credentials| {
            Arc::ptr_eq(&first, &session_of(&sessions, company, version, credentials))
        };
        assert!(is_shared(7, 1, app("one")) && is_shared(7, 2, app("one")));
        assert!(!is_shared(7, 1, app("two")), "new credentials need a new login");
        assert!(!is_shared(8, 1, app("one")), "another company may be another daemon's");
        assert!(!is_shared(7, 1, json!({ "api_token": "pipedrive-good" })), "that needs none");
        assert_eq!(sessions.0.lock().unwrap().len(), 2, "what nobody uses is forgotten");
    }

    #[tokio::test]
    async fn a_login_is_shared_until_its_token_is_refused_or_runs_out() {
        let session = Session::default();
        let logins = std::cell::Cell::new(0);
        let login = async || {
            logins.set(logins.get() + 1);
            let secret = logins.get().to_string().into();
            Ok(Token { secret, expires_at: Some(Moment::from_seconds(1000)), base: None, refresh: None })
        };
        let first = session.token(None, Moment::EPOCH, login()).await.unwrap();
        assert!(Arc::ptr_eq(&first, &session.token(None, Moment::EPOCH, login()).await.unwrap()));
        let second = session.token(Some(&first), Moment::EPOCH, login()).await.unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        // A push that was refused with the old token takes the one that another push got meanwhile.
        assert!(Arc::ptr_eq(&second, &session.token(Some(&first), Moment::EPOCH, login()).await.unwrap()));
        session.token(None, Moment::from_seconds(950), login()).await.unwrap();
        assert_eq!(logins.get(), 3);
    }

    #[tokio::test]
    async fn a_login_that_fails_fails_all_who_waited_for_it_and_nobody_later() {
        let session = Session::default();
        let logins = std::cell::Cell::new(0);
        let login = async || {
            logins.set(logins.get() + 1);
            tokio::task::yield_now().await;
            Err(Failure::new(FailureClass::Credentials, "no such app"))
        };
        let asked = (0..16).map(|_| session.token(None, Moment::EPOCH, login()));
        let answers = futures::future::join_all(asked).await;
        assert!(answers.iter().all(Result::is_err));
        assert_eq!(logins.get(), 1);
        session.token(None, Moment::EPOCH, login()).await.unwrap_err();
        assert_eq!(logins.get(), 2);
    }
}
