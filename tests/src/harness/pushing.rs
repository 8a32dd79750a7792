//! Pushes carried out as the daemon does, but without daemon and database: for the many ways a vendor's call can fail.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use leadlined::{
    connectors::{self, Call, Exchange, Ids, Prepared, Probe, ProbeStep, Push, Report, Step, Token},
    domain::{
        address::EgressPolicy,
        ids::{CompanyId, IntegrationId},
        integration::{EventKind, Integration, ProbeKind},
        outcome::{Failure, FailureClass, Outcome},
    },
    push::{Client, PROBE_CAP, PUSH_CAP},
};
use serde_json::Value;

/// More calls than any push takes.
const CALLS_MAX: usize = 32;

/// An integration that is pushed to, and what is kept of its leads.
pub struct Pushing {
    prepared: Box<dyn Prepared>,
    client: Client,
    timeout: Duration,
    ids: HashMap<String, Ids>,
    token: Option<Token>,
    /// Seconds since 1970; tests let time pass by raising it.
    pub now: i64,
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
    since: Option<i64>,
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

    /// With the daemon dies what it had rendered and not written yet.
    fn die(&mut self) {
        if !self.is_repeat {
            self.rendered = None;
        }
        self.is_repeat = true;
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
        let egress = EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
        let found = connectors::find(connector).unwrap();
        assert_eq!(found.check(&config, &mapping, &egress, "Leadline"), Vec::<String>::new());
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
            brand: None,
            secrets: Vec::new(),
        };
        Self {
            prepared: found.prepare(&integration, "Leadline").unwrap(),
            client: Client::new(egress).unwrap(),
            timeout,
            ids: HashMap::new(),
            token: None,
            now: 1_795_000_000,
        }
    }

    /// One attempt.
    pub async fn attempt(&mut self, bringing: &mut Bringing) -> Outcome {
        self.attempt_until(bringing, CALLS_MAX).await.expect("the push ends")
    }

    /// One attempt whose daemon dies when so many calls are answered; none if it did.
    pub async fn attempt_until(&mut self, bringing: &mut Bringing, calls: usize) -> Option<Outcome> {
        let mut exchanges = Vec::new();
        let mut renewed_after = None;
        if let Err(failure) = self.log_in().await {
            return Some(Outcome::Failed(failure));
        }
        let outcome = loop {
            let ids = self.ids.entry(bringing.lead.clone()).or_default();
            let push = Push {
                id: &bringing.id,
                event: bringing.event,
                body: &bringing.body,
                rendered: bringing.rendered.as_ref(),
                is_repeat: bringing.is_repeat,
                same: &[],
                since: *bringing.since.get_or_insert(self.now),
                recently_pushed: false,
                ids,
                token: self.token.as_ref(),
                now: self.now,
            };
            if push.rendered.is_none() {
                match self.prepared.render(&push) {
                    Ok(Some(rendered)) => {
                        bringing.rendered = Some(rendered);
                        continue;
                    }
                    Ok(None) => {}
                    Err(failure) => break Outcome::Failed(failure),
                }
            }
            match self.prepared.step(&push, &exchanges) {
                Step::Done(outcome) => break outcome,
                Step::Keep(more) => ids.extend(more),
                Step::Call(_) if exchanges.len() >= calls => {
                    bringing.die();
                    return None;
                }
                Step::Call(call) => exchanges.push(self.call(call, PUSH_CAP).await),
                Step::Renew if renewed_after == Some(exchanges.len() - 1) => {
                    let failure = Failure::new(FailureClass::Credentials, "refused with a fresh token too");
                    break Outcome::Failed(failure);
                }
                Step::Renew => {
                    renewed_after = Some(exchanges.len() - 1);
                    self.token = None;
                    if let Err(failure) = self.log_in().await {
                        break Outcome::Failed(failure);
                    }
                    exchanges.pop();
                }
            }
            if exchanges.len() >= calls && calls < CALLS_MAX {
                bringing.die();
                return None;
            }
        };
        bringing.is_repeat = true;
        Some(outcome)
    }

    /// Attempts until it is delivered or cannot be, at most so often, letting the time pass that the vendor asks for.
    pub async fn deliver(&mut self, bringing: &mut Bringing, attempts: usize) -> Outcome {
        let mut outcome = self.attempt(bringing).await;
        for _ in 1..attempts {
            match &outcome {
                Outcome::Failed(failure) if failure.class.is_retried() => {
                    let wait = failure.retry_after.unwrap_or_default().as_secs();
                    self.now += i64::try_from(wait).unwrap();
                }
                _ => break,
            }
            outcome = self.attempt(bringing).await;
        }
        outcome
    }

    /// A look at the vendor.
    pub async fn probe(&mut self, kind: ProbeKind) -> Report {
        let mut exchanges = Vec::new();
        let failed = |failure| Report { outcome: Outcome::Failed(failure), account: None, findings: vec![] };
        if let Err(failure) = self.log_in().await {
            return failed(failure);
        }
        loop {
            let probe = Probe { kind, token: self.token.as_ref(), now: self.now };
            match self.prepared.probe(&probe, &exchanges) {
                ProbeStep::Done(report) => return report,
                ProbeStep::Call(call) => exchanges.push(self.call(call, PROBE_CAP).await),
                ProbeStep::Renew => {
                    self.token = None;
                    if let Err(failure) = self.log_in().await {
                        return failed(failure);
                    }
                    exchanges.pop();
                }
                ProbeStep::Sample => panic!("there is nothing to look at"),
            }
            assert!(exchanges.len() < CALLS_MAX, "the probe does not end");
        }
    }

    /// What is kept of a lead.
    #[must_use]
    pub fn ids(&self, lead: &str) -> Ids {
        self.ids.get(lead).cloned().unwrap_or_default()
    }

    async fn call(&self, call: Call, cap: usize) -> Exchange {
        let answer = self.client.call(&call, self.timeout, cap).await;
        Exchange { call, answer }
    }

    async fn log_in(&mut self) -> Result<(), Failure> {
        if self.token.as_ref().is_some_and(|token| token.expires_at.is_none_or(|at| at - 60 > self.now)) {
            return Ok(());
        }
        let Some(login) = self.prepared.login(self.now) else { return Ok(()) };
        let exchange = self.call(Call::Http(login?), PUSH_CAP).await;
        self.token = Some(self.prepared.token(&exchange, self.now)?);
        Ok(())
    }
}
