//! Who may come in: intake keys, and the companies' views that they are found in.
//!
//! A view may be old. What is committed is committed against its version, so an old one is refused by the store and
//! the decision made again; what is only read checks the version first.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::{HeaderMap, header};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use super::{
    intake_store::{IntakeStore, StoreFailure},
    problem::ProblemDetails,
};
use crate::{
    domain::{
        ids::{CompanyId, FormId, KeyId},
        moment::Moment,
        signing::{self, SignatureKind},
    },
    doors::security::AttemptedBy,
    store::{
        company::form::IntakeForm,
        lead::intake::{CompanyView, KeyView},
    },
};

/// The most companies whose views are kept.
const VIEWS_CAP: usize = 10_000;
/// The most look-ups at once: a flood of wrong keys must leave the database to those who commit leads.
const LOOK_UPS: usize = 4;

/// What a request shows.
#[derive(Debug)]
pub(super) struct Credential {
    company: CompanyId,
    shown: ShownCredential,
}

#[derive(Debug)]
enum ShownCredential {
    /// The hash of `llk_<company id>_<43 characters>`.
    Key([u8; 32]),
    /// A form's id, which is no secret and can only write.
    Form(FormId),
}

impl Credential {
    /// Reads the one `Authorization` header; none if it is no intake key.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let value = values.next().filter(|_| values.next().is_none())?.to_str().ok()?;
        let (scheme, key) = value.split_once(' ')?;
        let key = key.trim();
        let (company, random) = key.strip_prefix("llk_")?.split_once('_')?;
        let well_formed = scheme.eq_ignore_ascii_case("bearer")
            && company.bytes().all(|byte| byte.is_ascii_digit())
            && random.len() == 43
            && random.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !well_formed {
            return None;
        }
        let shown = ShownCredential::Key(Sha256::digest(key).into());
        Some(Self { company: CompanyId(company.parse().ok()?), shown })
    }

    /// What a post of a form shows.
    pub(super) fn form(company: CompanyId, form: FormId) -> Self {
        Self { company, shown: ShownCredential::Form(form) }
    }

    /// Who shows it, as far as it says itself.
    pub(super) fn claimed(&self) -> AttemptedBy {
        AttemptedBy { company: Some(self.company.0), ..AttemptedBy::default() }
    }

    /// What is said of one that opens nothing, or nothing any more.
    pub(super) fn unknown(&self) -> ProblemDetails {
        match self.shown {
            ShownCredential::Key(_) => ProblemDetails::unauthorized(),
            ShownCredential::Form(_) => ProblemDetails::no_form(),
        }
    }
}

/// A view that a credential opened.
#[derive(Clone, Debug)]
pub(super) struct KeyMatch {
    pub(super) view: Arc<CompanyView>,
    by: By,
}

/// What opened it, by its place in the view.
#[derive(Clone, Copy, Debug)]
enum By {
    Key(usize),
    Form(usize),
}

/// How a body is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signed {
    /// It need not be.
    No,
    Simple,
    /// With the hash of its webhook-id.
    Standard([u8; 32]),
}

impl KeyMatch {
    fn find(view: Arc<CompanyView>, credential: &Credential) -> Option<Self> {
        let by = match &credential.shown {
            // Every key is compared, so that time tells nothing of which one came close.
            ShownCredential::Key(hash) => {
                let found = view.keys.iter().enumerate().fold(None, |found, (index, key)| {
                    if bool::from(key.token_hash.ct_eq(hash)) { Some(index) } else { found }
                });
                By::Key(found?)
            }
            ShownCredential::Form(id) => By::Form(view.forms.iter().position(|form| form.id == *id)?),
        };
        Some(Self { view, by })
    }

    fn key(&self) -> Option<&KeyView> {
        match self.by {
            By::Key(index) => self.view.keys.get(index),
            By::Form(_) => None,
        }
    }

    /// The form, if that is what opened it.
    pub(super) fn form(&self) -> Option<&IntakeForm> {
        match self.by {
            By::Key(_) => None,
            By::Form(index) => self.view.forms.get(index),
        }
    }

    /// Which key it was; a form counts as one.
    pub(super) fn key_id(&self) -> KeyId {
        match self.by {
            By::Key(index) => self.view.keys[index].id,
            By::Form(index) => KeyId::from(self.view.forms[index].id.uuid()),
        }
    }

    /// Whose it is, for the security log.
    pub(super) fn holder(&self) -> AttemptedBy {
        AttemptedBy {
            company: Some(self.view.id.0),
            key: Some(self.key_id().to_string()),
            ..AttemptedBy::default()
        }
    }

    /// The first characters of the key.
    pub(super) fn prefix(&self) -> &str {
        self.key().map_or("", |key| &key.prefix)
    }

    /// How many leads a second may come with the key; none for no limit.
    pub(super) fn rate(&self) -> Option<f64> {
        self.key().and_then(|key| key.rate_per_second)
    }

    /// Whether it reads what became of leads, too.
    pub(super) fn may_read(&self) -> bool {
        self.key().is_some_and(|key| key.may_read)
    }

    /// Whether it may be told of a lead that was made with this key: its own, or one that is gone and has a successor.
    pub(super) fn knows(&self, made_with: Option<KeyId>) -> bool {
        let is_own = |made_with: KeyId| {
            made_with == self.key_id() || !self.view.keys.iter().any(|other| other.id == made_with)
        };
        self.may_read() || made_with.is_none_or(is_own)
    }

    /// Whether the key wants every body signed, or what this daemon does not know.
    pub(super) fn wants_signature(&self) -> bool {
        self.key().is_some_and(|key| key.signing_secret.is_some() || key.signature.is_none())
    }

    /// What is said of a body that is not signed as the key requires it.
    pub(super) fn unsigned(&self) -> ProblemDetails {
        match self.key().map_or(Some(SignatureKind::Any), |key| key.signature) {
            Some(kind) => ProblemDetails::unsigned(kind),
            None => ProblemDetails::key_of_a_newer_daemon(),
        }
    }

    /// How the body is signed; none if not as the key requires it.
    pub(super) fn admits(&self, headers: &HeaderMap, body: &[u8], now: Moment) -> Option<Signed> {
        let Some(key) = self.key() else { return Some(Signed::No) };
        let kind = key.signature?;
        let Some(secret) = &key.signing_secret else { return Some(Signed::No) };
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let secret = secret.expose_secret();
        let standard = || {
            let headers = signing::StandardHeaders {
                id: header("webhook-id")?,
                timestamp: header("webhook-timestamp")?,
                signature: header("webhook-signature")?,
            };
            signing::verify_standard(secret, headers, body, now)
                .then(|| Signed::Standard(Sha256::digest(headers.id).into()))
        };
        let simple = || {
            let signature = header("x-leadline-signature")?;
            signing::verify_simple(secret, body, signature).then_some(Signed::Simple)
        };
        match kind {
            SignatureKind::Any => standard().or_else(simple),
            SignatureKind::Standard => standard(),
            SignatureKind::Simple => simple(),
        }
    }

    /// Refuses a browser's page that may not use it. Servers send no origin.
    pub(super) fn check_origin(&self, headers: &HeaderMap) -> Result<(), ProblemDetails> {
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let is_named = |origins: &[String]| {
            origin.to_str().is_ok_and(|origin| origins.iter().any(|named| named.eq_ignore_ascii_case(origin)))
        };
        match (self.key(), self.form()) {
            (Some(key), _) if !is_named(&key.allow_origins) => Err(ProblemDetails::key_in_a_page()),
            (_, Some(form)) if !form.allow_origins.is_empty() && !is_named(&form.allow_origins) => {
                Err(ProblemDetails::form_in_another_page())
            }
            _ => Ok(()),
        }
    }
}

/// The views of the companies that sent leads lately.
#[derive(Debug)]
pub(super) struct Views<S> {
    store: Arc<S>,
    kept: Mutex<HashMap<CompanyId, Arc<CompanyView>>>,
    /// Whose forms are whose: that never changes.
    forms: Mutex<HashMap<FormId, CompanyId>>,
    look_ups: Semaphore,
}

impl<S: IntakeStore> Views<S> {
    pub(super) fn new(store: Arc<S>) -> Self {
        Self { store, kept: Mutex::default(), forms: Mutex::default(), look_ups: Semaphore::new(LOOK_UPS) }
    }

    /// What the kept view of the company says of a credential, if it knows it.
    pub(super) fn kept_match(&self, credential: &Credential) -> Option<KeyMatch> {
        let kept = self.kept().get(&credential.company).cloned();
        kept.and_then(|view| KeyMatch::find(view, credential))
    }

    /// A form that is known, with what the kept view of its company says of it.
    pub(super) fn kept_form(&self, form: FormId) -> Option<(Credential, KeyMatch)> {
        let company = self.forms().get(&form).copied()?;
        let credential = Credential::form(company, form);
        let matched = self.kept_match(&credential)?;
        Some((credential, matched))
    }

    /// Whose form this is; none if there is no such form.
    pub(super) async fn company_of_form(&self, form: FormId) -> Result<Option<CompanyId>, StoreFailure> {
        if let Some(company) = self.forms().get(&form) {
            return Ok(Some(*company));
        }
        let _permit = self.look_ups.acquire().await.map_err(|_| StoreFailure::Busy)?;
        let company = self.store.company_of_form(form).await?;
        if let Some(company) = company {
            let mut forms = self.forms();
            if forms.len() >= VIEWS_CAP {
                forms.clear();
            }
            forms.insert(form, company);
        }
        Ok(company)
    }

    fn forms(&self) -> MutexGuard<'_, HashMap<FormId, CompanyId>> {
        self.forms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the company's view, which may be old. A key that an old one does not know may be new, so it is looked for.
    pub(super) async fn open(&self, credential: &Credential) -> Result<Option<KeyMatch>, StoreFailure> {
        let kept = self.kept().get(&credential.company).cloned();
        let version = kept.as_ref().map(|view| view.version);
        if let Some(matched) = kept.and_then(|view| KeyMatch::find(view, credential)) {
            return Ok(Some(matched));
        }
        self.open_newer(credential, version).await
    }

    /// Opens the company's view as it stands now.
    pub(super) async fn open_current(
        &self,
        credential: &Credential,
    ) -> Result<Option<KeyMatch>, StoreFailure> {
        let version = self.kept().get(&credential.company).map(|view| view.version);
        self.open_newer(credential, version).await
    }

    /// Opens the company's view if this version of it may be outdated.
    pub(super) async fn open_newer(
        &self,
        credential: &Credential,
        version: Option<i64>,
    ) -> Result<Option<KeyMatch>, StoreFailure> {
        let view = self.current(credential.company, version).await?;
        Ok(view.and_then(|view| KeyMatch::find(view, credential)))
    }

    async fn current(
        &self,
        company: CompanyId,
        version: Option<i64>,
    ) -> Result<Option<Arc<CompanyView>>, StoreFailure> {
        let _permit = self.look_ups.acquire().await.map_err(|_| StoreFailure::Busy)?;
        let kept = self.kept().get(&company).cloned();
        if let Some(view) = kept {
            // Another request has loaded it while this one waited.
            if Some(view.version) != version {
                return Ok(Some(view));
            }
            if self.store.company_version(company).await? == version {
                return Ok(Some(view));
            }
        }
        let loaded = self.store.company_view(company).await?.map(Arc::new);
        self.keep(company, loaded.clone());
        Ok(loaded)
    }

    fn keep(&self, company: CompanyId, loaded: Option<Arc<CompanyView>>) {
        let mut kept = self.kept();
        let Some(view) = loaded else {
            kept.remove(&company);
            return;
        };
        // Any one may go: it costs its company one look-up.
        if kept.len() >= VIEWS_CAP
            && !kept.contains_key(&company)
            && let Some(other) = kept.keys().next().copied()
        {
            kept.remove(&other);
        }
        kept.insert(company, view);
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<CompanyId, Arc<CompanyView>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
