//! Pushes carried out as the daemon does, but without daemon and database: for the many ways a vendor's call can fail.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use leadlined::{
    connectors::{
        self, Answer, Call, Driven, Ids, Login, LoginTransport, Prepared, Push, RefreshTurn, Report, Token,
        Transport, drive, log_in,
    },
    domain::{
        address::EgressPolicy,
        ids::{CompanyId, IntegrationId},
        integration::{EventKind, Integration, ProbeKind, SigningSecret},
        moment::Moment,
        outcome::{Failure, FailureClass, Outcome},
        telling::Telling,
    },
    push::{Client, PROBE_CAP, PUSH_CAP, Pool},
};
use secrecy::SecretString;
use serde_json::Value;

/// An integration that is pushed to, and what is kept of its leads.
pub struct Pushing {
    prepared: Box<dyn Prepared>,
    client: Client,
    pool: Pool,
    /// How long a call may take.
    pub timeout: Duration,
    ids: HashMap<String, Ids>,
    /// The events that were brought last, by their leads.
    brought: HashMap<String, Bytes>,
    /// How people are told things.
    pub telling: Telling,
    token: Option<Arc<Token>>,
    refresh: Option<SecretString>,
    /// Tests let time pass by raising it.
    pub now: Moment,
    /// What the last attempt noted.
    pub note: Option<String>,
}

/// One event that is brought to one integration, over all its attempts.
#[derive(Clone, Debug)]
pub struct Bringing {
    pub id: String,
    pub lead: String,
    pub event: EventKind,
    pub body: Bytes,
    pub rendered: Option<Bytes>,
    pub is_repeat: bool,
    /// When the first attempt began.
    since: Option<Moment>,
}

impl Bringing {
    /// An event of a lead that was not pushed yet.
    #[must_use]
    pub fn new(event: EventKind, lead: &Value) -> Self {
        Self {
            id: ulid::Ulid::generate().to_string(),
            lead: lead["lead"]["uuid"].as_str().unwrap().to_owned(),
            event,
            body: Bytes::from(lead.to_string()),
            rendered: None,
            is_repeat: false,
            since: None,
        }
    }
}

/// The network, and what of the store a push needs.
struct Network<'a> {
    client: &'a Client,
    pool: &'a Pool,
    timeout: Duration,
    cap: usize,
    now: Moment,
    /// After so many answers the daemon dies.
    calls_left: usize,
    is_dead: bool,
    ids: &'a mut Ids,
    token: &'a mut Option<Arc<Token>>,
    /// The newest refresh token, if the vendor gave one.
    refresh: &'a mut Option<SecretString>,
}

#[async_trait]
impl Transport for Network<'_> {
    async fn call(&mut self, call: &Call) -> Result<Answer, Failure> {
        if self.calls_left > 0 {
            self.calls_left -= 1;
            let answer = self.client.call(self.pool, call, self.timeout, self.cap).await;
            if self.calls_left > 0 {
                return Ok(answer);
            }
        }
        self.is_dead = true;
        Err(Failure::new(FailureClass::Unknown, "the daemon died"))
    }

    async fn keep(&mut self, ids: &Ids) -> Result<(), Failure> {
        self.ids.extend(ids.clone());
        Ok(())
    }

    async fn token(
        &mut self,
        login: &dyn Login,
        refused: Option<&Arc<Token>>,
    ) -> Result<Arc<Token>, Failure> {
        let is_good =
            |token: &&Arc<Token>| token.expires_at.is_none_or(|at| at > self.now + Duration::from_secs(60));
        if let Some(token) = self.token.as_ref().filter(|_| refused.is_none()).filter(is_good) {
            return Ok(Arc::clone(token));
        }
        let now = self.now;
        let got = log_in(self, login, now).await;
        Ok(Arc::clone(self.token.insert(Arc::new(got?))))
    }

    async fn lock_person(&mut self, _person: &str) -> bool {
        false
    }
}

#[async_trait]
impl LoginTransport for Network<'_> {
    /// No call of the push: the daemon does not die in it.
    async fn call(&mut self, call: &Call) -> Result<Answer, Failure> {
        Ok(self.client.call(self.pool, call, self.timeout, self.cap).await)
    }

    async fn begin_refresh(&mut self, own: &SecretString) -> Result<RefreshTurn, Failure> {
        Ok(RefreshTurn::Begun(self.refresh.clone().unwrap_or_else(|| own.clone())))
    }

    async fn end_refresh(&mut self, given: Option<&Token>) {
        if let Some(given) = given.and_then(|token| token.refresh.as_ref()) {
            *self.refresh = Some(given.clone());
        }
    }
}

impl Pushing {
    /// An integration with these settings; its calls may go to loopback and end after `timeout`.
    #[must_use]
    pub fn new(
        connector: &str,
        config: Value,
        credentials: Value,
        mapping: Value,
        timeout: Duration,
    ) -> Self {
        let found = connectors::find(connector).unwrap();
        assert_eq!(found.check(&config, &mapping, &loopback(), "Leadline"), []);
        Self::unchecked(connector, config, credentials, mapping, timeout)
    }

    /// The same, with settings that a daemon would refuse to save.
    #[must_use]
    pub fn unchecked(
        connector: &str,
        config: Value,
        credentials: Value,
        mapping: Value,
        timeout: Duration,
    ) -> Self {
        let found = connectors::find(connector).unwrap();
        let integration = Integration {
            company: CompanyId(7),
            company_name: "The Old Barn".to_owned(),
            id: IntegrationId::generate(),
            name: connector.to_owned(),
            connector: connector.to_owned(),
            enabled: true,
            config,
            credentials,
            mapping,
            payload: "v1".to_owned(),
            version: 1,
            credentials_for: None,
            brand: None,
            telling: Telling::default(),
            secrets: vec![SigningSecret {
                version: 1,
                secret: "whsec_c2VjcmV0".into(),
                expires_at: None,
                staged: false,
            }],
        };
        Self {
            prepared: found.prepare(&integration, "Leadline").unwrap(),
            client: Client::new(loopback()).unwrap(),
            pool: Pool::new(1),
            timeout,
            ids: HashMap::new(),
            brought: HashMap::new(),
            telling: Telling::default(),
            token: None,
            refresh: None,
            now: Moment::from_seconds(1_795_000_000),
            note: None,
        }
    }

    /// Whether people are told what an update changed.
    #[must_use]
    pub fn tells_changes(&self) -> bool {
        self.prepared.abilities().tells_changes
    }

    /// What is kept of a lead as people are shown it beside a delivery.
    #[must_use]
    pub fn shown(&self, bringing: &Bringing) -> Vec<connectors::Record> {
        let ids = self.ids(&bringing.lead);
        connectors::records(Some(self.prepared.as_ref()), &ids, Some(&bringing.id), None)
    }

    /// Whether it keeps what the vendor calls things.
    #[must_use]
    pub fn keeps_ids(&self) -> bool {
        self.prepared.abilities().keeps_ids
    }

    /// What all calls of a push are made from; empty where one call says all.
    #[must_use]
    pub fn rendered(&self, event: EventKind, lead: &Value) -> Bytes {
        let (bringing, ids) = (Bringing::new(event, lead), Ids::new());
        let push = Push {
            id: "01J8H6KQH4YG3XR8RWM6T6XFQ0",
            event,
            body: &bringing.body,
            rendered: None,
            is_repeat: false,
            same: &[],
            since: self.now,
            ids: &ids,
            before: None,
            telling: &self.telling,
            now: self.now,
        };
        self.prepared.render(&push).unwrap().unwrap_or_default()
    }

    /// One attempt.
    pub async fn attempt(&mut self, bringing: &mut Bringing) -> Outcome {
        self.attempt_until(bringing, usize::MAX).await.expect("the push ends")
    }

    /// One attempt whose daemon dies when so many calls are answered; none if it did.
    pub async fn attempt_until(&mut self, bringing: &mut Bringing, calls: usize) -> Option<Outcome> {
        let known = self.ids.entry(bringing.lead.clone()).or_default();
        let ids = known.clone();
        let before = self.brought.get(&bringing.lead).cloned();
        let push = Push {
            id: &bringing.id,
            event: bringing.event,
            body: &bringing.body,
            rendered: bringing.rendered.as_ref(),
            is_repeat: bringing.is_repeat,
            same: &[],
            since: *bringing.since.get_or_insert(self.now),
            ids: &ids,
            before: before.as_ref(),
            telling: &self.telling,
            now: self.now,
        };
        let mut network = Network {
            client: &self.client,
            pool: &self.pool,
            timeout: self.timeout,
            cap: PUSH_CAP,
            now: self.now,
            calls_left: calls,
            is_dead: false,
            ids: known,
            token: &mut self.token,
            refresh: &mut self.refresh,
        };
        let Driven { outcome, rendered, note } = drive(self.prepared.as_ref(), &mut network, push).await;
        let is_dead = network.is_dead;
        bringing.is_repeat = true;
        self.note = note;
        // With the daemon dies what it had rendered and not written yet.
        if is_dead {
            return None;
        }
        bringing.rendered = rendered.or(bringing.rendered.take());
        if outcome == Outcome::Delivered {
            self.brought.insert(bringing.lead.clone(), bringing.body.clone());
        }
        Some(outcome)
    }

    /// Attempts until it is delivered or cannot be, at most so often, letting the time pass that the vendor asks for.
    pub async fn deliver(&mut self, bringing: &mut Bringing, attempts: usize) -> Outcome {
        let mut outcome = self.attempt(bringing).await;
        for _ in 1..attempts {
            match &outcome {
                Outcome::Failed(failure) if failure.class.is_retried() => {
                    self.now = self.now + failure.retry_after.unwrap_or_default();
                }
                _ => break,
            }
            outcome = self.attempt(bringing).await;
        }
        outcome
    }

    /// A look at the vendor.
    pub async fn probe(&mut self, kind: ProbeKind) -> Report {
        let mut network = Network {
            client: &self.client,
            pool: &self.pool,
            timeout: self.timeout,
            cap: PROBE_CAP,
            now: self.now,
            calls_left: usize::MAX,
            is_dead: false,
            ids: &mut Ids::new(),
            token: &mut self.token,
            refresh: &mut self.refresh,
        };
        let report = connectors::probe(self.prepared.as_ref(), &mut network, kind, self.now).await;
        report.expect("there is something to look at")
    }

    /// What is kept of a lead.
    #[must_use]
    pub fn ids(&self, lead: &str) -> Ids {
        self.ids.get(lead).cloned().unwrap_or_default()
    }
}

fn loopback() -> EgressPolicy {
    EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()])
}
