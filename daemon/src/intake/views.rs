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

use super::intake_store::{IntakeStore, StoreFailure};
use crate::{
    domain::{
        ids::{CompanyId, KeyId},
        signing,
    },
    store::lead::intake::{CompanyView, KeyView},
};

/// The most companies whose views are kept.
const VIEWS_CAP: usize = 10_000;
/// The most look-ups at once: a flood of wrong keys must leave the database to those who commit leads.
const LOOK_UPS: usize = 4;

/// What a request shows: `llk_<company id>_<43 characters>`.
#[derive(Debug)]
pub(super) struct Credential {
    company: CompanyId,
    hash: [u8; 32],
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
        Some(Self { company: CompanyId(company.parse().ok()?), hash: Sha256::digest(key).into() })
    }
}

/// A view that a credential matched.
#[derive(Clone, Debug)]
pub(super) struct KeyMatch {
    pub(super) view: Arc<CompanyView>,
    key: usize,
}

impl KeyMatch {
    fn find(view: Arc<CompanyView>, credential: &Credential) -> Option<Self> {
        // Every key is compared, so that time tells nothing of which one came close.
        let key = view.keys.iter().enumerate().fold(None, |found, (index, key)| {
            if bool::from(key.token_hash.ct_eq(&credential.hash)) { Some(index) } else { found }
        })?;
        Some(Self { view, key })
    }

    fn key(&self) -> &KeyView {
        &self.view.keys[self.key]
    }

    /// Which key it was.
    pub(super) fn key_id(&self) -> KeyId {
        self.key().id
    }

    /// How many leads a second may come with the key; none for no limit.
    pub(super) fn rate(&self) -> Option<f64> {
        self.key().rate_per_second
    }

    /// Whether the key wants every body signed.
    pub(super) fn wants_signature(&self) -> bool {
        self.key().signing_secret.is_some()
    }

    /// Whether the body is signed as the key requires it.
    pub(super) fn admits(&self, headers: &HeaderMap, body: &[u8], now_unix: i64) -> bool {
        self.key().signing_secret.as_ref().is_none_or(|secret| {
            let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
            let secret = secret.expose_secret();
            let is_simple = header("x-leadline-signature")
                .is_some_and(|signature| signing::verify_simple(secret, body, signature));
            let standard = || {
                Some(signing::StandardHeaders {
                    id: header("webhook-id")?,
                    timestamp: header("webhook-timestamp")?,
                    signature: header("webhook-signature")?,
                })
            };
            is_simple
                || standard().is_some_and(|headers| signing::verify_standard(secret, headers, body, now_unix))
        })
    }
}

/// The views of the companies that sent leads lately.
#[derive(Debug)]
pub(super) struct Views<S> {
    store: Arc<S>,
    kept: Mutex<HashMap<CompanyId, Arc<CompanyView>>>,
    look_ups: Semaphore,
}

impl<S: IntakeStore> Views<S> {
    pub(super) fn new(store: Arc<S>) -> Self {
        Self { store, kept: Mutex::default(), look_ups: Semaphore::new(LOOK_UPS) }
    }

    /// What the kept view of the company says of a credential, if it knows it.
    pub(super) fn kept_match(&self, credential: &Credential) -> Option<KeyMatch> {
        let kept = self.kept().get(&credential.company).cloned();
        kept.and_then(|view| KeyMatch::find(view, credential))
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
