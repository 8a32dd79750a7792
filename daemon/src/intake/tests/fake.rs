//! A store in memory that can be slow, away, or refuse.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::{
    domain::{
        delivery::Reason,
        fanout::Routing,
        flow::Flows,
        form::Form,
        ids::{CompanyId, EventId, FormId, IntegrationId, KeyId, LeadId},
        integration::EventKind,
        signing::SignatureKind,
    },
    intake::{
        intake_store::{IntakeStore, StoreFailure},
        problem::ProblemDetails,
    },
    store::{
        company::{
            form::IntakeForm,
            refusal::NewRefusal,
            signed::{Remembered, SignedPost},
        },
        delivery::read::DeliveryView,
        lead::{
            Reaccepted,
            intake::{
                AcceptedDelivery, CompanyView, Flushed, IntakeIntegration, KeyView, NewDelivery, NewEvent,
            },
            read::{LeadStatus, LeadView},
            save::{SaveKey, Saved},
        },
        operator::reading::Reading,
        shown::Shown,
    },
};

pub(in crate::intake) const COMPANY: CompanyId = CompanyId(7);

/// Another company, with the same integrations and no flows.
pub(in crate::intake) const NEIGHBOUR: CompanyId = CompanyId(8);

/// The text of the neighbour's key.
pub(super) fn neighbours_key() -> String {
    format!("llk_{NEIGHBOUR}_{}", "n".repeat(43))
}

/// The text of a key of the company, told apart by a letter.
pub(super) fn key(letter: char) -> String {
    format!("llk_{COMPANY}_{}", letter.to_string().repeat(43))
}

#[derive(Clone, Debug)]
pub(super) struct Company {
    pub(super) version: i64,
    /// Key texts with the signing secret of those that require one.
    pub(super) keys: Vec<(String, Option<String>)>,
    pub(super) rate_per_second: Option<f64>,
    /// Of every key.
    pub(super) signature: SignatureKind,
    pub(super) may_read: bool,
    pub(super) allow_origins: Vec<String>,
    pub(super) integrations: Vec<IntakeIntegration>,
}

#[derive(Clone, Debug)]
pub(super) struct FakeForm {
    pub(super) id: FormId,
    pub(super) form: Form,
    pub(super) redirect: Option<String>,
    pub(super) allow_origins: Vec<String>,
}

#[derive(Debug)]
pub(in crate::intake) struct State {
    pub(super) company: Company,
    pub(super) leads: HashMap<LeadId, NewEvent>,
    pub(super) flows: Arc<Flows>,
    /// Of each form: its id, map, constants, honeypot, redirect and origins.
    pub(super) forms: Vec<FakeForm>,
    pub(super) signed: HashMap<[u8; 32], Option<LeadId>>,
    /// What was read, by whom.
    pub(in crate::intake) read: Vec<(String, LeadId)>,
    /// How often readings were to be written.
    pub(in crate::intake) reads_begun: usize,
    /// Whose readings wait for a permit.
    pub(in crate::intake) held_reads: Option<CompanyId>,
    /// Which key each saved lead was made with.
    pub(super) made_with: HashMap<[u8; 32], KeyId>,
    pub(super) key_ids: HashMap<String, KeyId>,
    /// By the hash of the address.
    pub(super) saved: HashMap<[u8; 32], LeadId>,
    /// What is kept of refusals.
    pub(super) refused: Vec<NewRefusal>,
    /// Which keys were noted as used.
    pub(super) used: Vec<(CompanyId, KeyId)>,
    pub(super) failure: Option<StoreFailure>,
    /// A flush that holds this lead is refused.
    pub(super) poison: Option<LeadId>,
    /// The leads of every flush, in order.
    pub(super) flushes: Vec<Vec<LeadId>>,
    pub(super) views_loaded: usize,
    /// Raises the version as soon as a view was loaded, so that every decision is stale.
    pub(super) restless: bool,
    pub(super) ready: bool,
}

#[derive(Debug)]
pub(in crate::intake) struct Fake {
    state: Mutex<State>,
    /// Every flush takes one permit.
    pub(super) gate: Semaphore,
    /// Readings that are held take one each.
    pub(in crate::intake) reads: Semaphore,
}

impl Fake {
    pub(in crate::intake) fn new() -> Arc<Self> {
        let integration = |name: &str, enabled| IntakeIntegration {
            id: IntegrationId::generate(),
            name: name.into(),
            enabled,
            awaits_cut_over: false,
            events: vec![EventKind::Created, EventKind::Updated],
            routing: Routing::All,
            needs_consent: false,
        };
        let company = Company {
            version: 1,
            keys: vec![(key('a'), None)],
            rate_per_second: None,
            signature: SignatureKind::Any,
            may_read: true,
            allow_origins: Vec::new(),
            integrations: vec![integration("crm", true), integration("mail", false)],
        };
        let state = State {
            company,
            leads: HashMap::new(),
            flows: Arc::default(),
            forms: Vec::new(),
            signed: HashMap::new(),
            read: Vec::new(),
            reads_begun: 0,
            held_reads: None,
            made_with: HashMap::new(),
            key_ids: HashMap::new(),
            saved: HashMap::new(),
            refused: Vec::new(),
            used: Vec::new(),
            failure: None,
            poison: None,
            flushes: Vec::new(),
            views_loaded: 0,
            restless: false,
            ready: true,
        };
        Arc::new(Self { state: Mutex::new(state), gate: Semaphore::new(1_000_000), reads: Semaphore::new(0) })
    }

    pub(in crate::intake) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap())
    }

    /// Changes the company as an operator would.
    pub(super) fn change(&self, change: impl FnOnce(&mut Company)) {
        self.with(|state| {
            state.company.version += 1;
            change(&mut state.company);
        });
    }
}

pub(super) fn event(lead: LeadId) -> NewEvent {
    NewEvent {
        company: COMPANY,
        version: 1,
        lead,
        uuid: lead.to_string(),
        digest: [0; 32],
        event: EventId::generate(),
        kind: EventKind::Created,
        body: Bytes::from_static(b"{}"),
        person: Default::default(),
        deliveries: Vec::new(),
        trace: None,
    }
}

fn committed(event: &NewEvent) -> Vec<AcceptedDelivery> {
    let shown = |one: &NewDelivery| AcceptedDelivery {
        integration: one.integration,
        id: one.id,
        state: one.fate.state().into(),
        reason: one.fate.reason().map(Reason::text),
    };
    event.deliveries.iter().map(shown).collect()
}

impl IntakeStore for Fake {
    async fn company_view(&self, company: CompanyId) -> Result<Option<CompanyView>, StoreFailure> {
        self.with(|state| {
            if let Some(failure) = state.failure {
                return Err(failure);
            }
            state.views_loaded += 1;
            let is_neighbour = company == NEIGHBOUR;
            let neighbours = [(neighbours_key(), None)];
            let keys = if is_neighbour { &neighbours } else { &state.company.keys[..] };
            let view = CompanyView {
                id: company,
                name: "The Old Barn".into(),
                version: state.company.version,
                keys: keys
                    .iter()
                    .map(|(text, secret)| KeyView {
                        id: *state.key_ids.entry(text.clone()).or_insert_with(KeyId::generate),
                        prefix: text[..8].to_owned(),
                        signature: state.company.signature,
                        may_read: state.company.may_read,
                        allow_origins: state.company.allow_origins.clone(),
                        token_hash: Sha256::digest(text).into(),
                        signing_secret: secret.clone().map(SecretString::from),
                        rate_per_second: state.company.rate_per_second,
                    })
                    .collect(),
                integrations: state
                    .company
                    .integrations
                    .iter()
                    .cloned()
                    .map(|one| IntakeIntegration {
                        routing: if is_neighbour { Routing::All } else { one.routing },
                        ..one
                    })
                    .collect(),
                flows: if is_neighbour { Arc::default() } else { Arc::clone(&state.flows) },
                forms: state
                    .forms
                    .iter()
                    .cloned()
                    .map(|FakeForm { id, form, redirect, allow_origins }| IntakeForm {
                        id,
                        form,
                        redirect,
                        allow_origins,
                    })
                    .collect(),
            };
            if state.restless {
                state.company.version += 1;
            }
            Ok((is_neighbour || company == COMPANY).then_some(view))
        })
    }

    async fn company_version(&self, company: CompanyId) -> Result<Option<i64>, StoreFailure> {
        self.with(|state| Ok([COMPANY, NEIGHBOUR].contains(&company).then_some(state.company.version)))
    }

    async fn accept(&self, events: &[NewEvent]) -> Result<Vec<Flushed>, StoreFailure> {
        self.with(|state| state.flushes.push(events.iter().map(|event| event.lead).collect()));
        self.gate.acquire().await.unwrap().forget();
        self.with(|state| {
            if let Some(failure) = state.failure {
                return Err(failure);
            }
            if events.iter().any(|event| Some(event.lead) == state.poison) {
                return Err(StoreFailure::Failed);
            }
            let flush = events.iter().map(|event| match state.leads.entry(event.lead) {
                _ if event.version != state.company.version => Flushed::Stale,
                Entry::Occupied(_) => Flushed::Known,
                Entry::Vacant(free) => {
                    free.insert(event.clone());
                    Flushed::Created
                }
            });
            Ok(flush.collect())
        })
    }

    async fn accept_again(&self, update: &NewEvent) -> Result<Reaccepted, StoreFailure> {
        assert_eq!(update.kind, EventKind::Updated);
        self.with(|state| {
            if update.version != state.company.version {
                return Ok(Reaccepted::Stale);
            }
            let known = state.leads.get_mut(&update.lead).unwrap();
            if known.digest == update.digest {
                return Ok(Reaccepted::Duplicate(committed(known)));
            }
            *known = update.clone();
            Ok(Reaccepted::Updated(committed(update)))
        })
    }

    async fn save<F: Future<Output = Result<NewEvent, ProblemDetails>> + Send>(
        &self,
        key: &SaveKey,
        decide: impl Fn(Option<Bytes>) -> F + Send + Sync,
    ) -> Result<Result<Saved, ProblemDetails>, StoreFailure> {
        let (is_stale, known) = self.with(|state| {
            let known = state.saved.get(&key.email_hash).and_then(|lead| state.leads.get(lead)).cloned();
            (key.version != state.company.version, known)
        });
        if is_stale {
            return Ok(Ok(Saved::Stale));
        }
        let event = match decide(known.as_ref().map(|event| event.body.clone())).await {
            Ok(event) => event,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.with(|state| {
            let (uuid, deliveries) = (event.uuid.clone(), committed(&event));
            let made_with = Some(*state.made_with.entry(key.email_hash).or_insert(key.key));
            if known.as_ref().is_some_and(|known| known.digest == event.digest) {
                return Ok(Ok(Saved::Duplicate(uuid, deliveries, made_with)));
            }
            state.saved.insert(key.email_hash, event.lead);
            state.leads.insert(event.lead, event);
            Ok(Ok(match known {
                Some(_) => Saved::Updated(uuid, deliveries, made_with),
                None => Saved::Created(uuid, deliveries),
            }))
        })
    }

    async fn lead_status(&self, _: CompanyId, lead: LeadId) -> Result<Option<LeadStatus>, StoreFailure> {
        self.with(|state| {
            let Some(event) = state.leads.get(&lead) else { return Ok(None) };
            let delivery = |one: AcceptedDelivery| DeliveryView {
                company: event.company,
                id: one.id,
                lead: event.uuid.clone(),
                integration: one.integration,
                integration_name: "hook".into(),
                event: Shown::read(EventKind::Created.as_str(), EventKind::parse),
                due_at: one.reason.is_none().then_some(jiff::Timestamp::UNIX_EPOCH),
                state: one.state,
                reason: one.reason,
                reason_code: None,
                reason_flows: Vec::new(),
                attempts: 0,
                running: false,
                created_at: jiff::Timestamp::UNIX_EPOCH,
                finished_at: None,
                company_name: "The Old Barn".into(),
                lead_name: String::new(),
                lead_email: String::new(),
                class: None,
                error: None,
                cause: None,
                job: None,
            };
            let lead = LeadView {
                id: lead,
                uuid: event.uuid.clone(),
                company: event.company,
                company_name: "The Old Barn".into(),
                person: Default::default(),
                state: crate::domain::delivery::LeadState::Unsynced,
                undelivered: 0,
                received_at: jiff::Timestamp::UNIX_EPOCH,
                updated_at: None,
            };
            let deliveries = committed(event).into_iter().map(delivery).collect();
            Ok(Some(LeadStatus { lead, event: event.body.clone(), deliveries }))
        })
    }

    async fn company_of_form(&self, form: FormId) -> Result<Option<CompanyId>, StoreFailure> {
        self.with(|state| Ok(state.forms.iter().any(|known| known.id == form).then_some(COMPANY)))
    }

    async fn begin_signed(&self, post: SignedPost) -> Result<Remembered, StoreFailure> {
        self.with(|state| {
            Ok(match state.signed.insert(post.id_hash, None) {
                None => Remembered::New,
                Some(None) => Remembered::UnderWay,
                Some(Some(lead)) => {
                    state.signed.insert(post.id_hash, Some(lead));
                    Remembered::Done(lead)
                }
            })
        })
    }

    async fn end_signed(&self, post: SignedPost, lead: Option<LeadId>) -> Result<(), StoreFailure> {
        self.with(|state| match lead {
            Some(lead) => drop(state.signed.insert(post.id_hash, Some(lead))),
            None => drop(state.signed.remove(&post.id_hash)),
        });
        Ok(())
    }

    async fn note_read(&self, readings: &[Reading]) -> Result<(), StoreFailure> {
        let held = self.with(|state| {
            state.reads_begun += 1;
            state.held_reads
        });
        if readings.iter().any(|reading| Some(reading.company) == held) {
            self.reads.acquire().await.unwrap().forget();
        }
        self.with(|state| match state.failure {
            Some(failure) => Err(failure),
            None => {
                let read = readings.iter().map(|reading| (reading.operator.clone(), reading.lead));
                state.read.extend(read);
                Ok(())
            }
        })
    }

    async fn refused(&self, refusals: &[NewRefusal]) -> Result<(), StoreFailure> {
        self.with(|state| state.refused.extend_from_slice(refusals));
        Ok(())
    }

    async fn keys_used(&self, keys: &[(CompanyId, KeyId)]) -> Result<(), StoreFailure> {
        self.with(|state| state.used.extend_from_slice(keys));
        Ok(())
    }

    async fn is_ready(&self) -> bool {
        self.with(|state| state.ready)
    }
}
