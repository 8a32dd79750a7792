//! What intake needs of the store, as a seam for tests that need no database.

use std::future::Future;

use bytes::Bytes;

use super::problem::ProblemDetails;
use crate::{
    domain::ids::{CompanyId, FormId, KeyId, LeadId},
    store::{
        self, Store,
        company::{
            refusal::NewRefusal,
            signed::{Remembered, SignedPost},
        },
        lead::{
            Reaccepted,
            intake::{CompanyView, Flushed, NewEvent},
            read::LeadStatus,
            save::{SaveKey, Saved},
        },
        operator::reading::Reading,
    },
    telemetry,
};

/// Why a lead was neither accepted nor found wanting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreFailure {
    /// More leads wait than can be committed, or another transaction was in the way.
    Busy,
    /// The database is away, and may be back in a moment.
    Away,
    /// The database refused, which repeating will not change.
    Failed,
}

impl From<store::Error> for StoreFailure {
    /// Logs the cause: from here on only the kind matters, and one flush may answer many requests.
    fn from(error: store::Error) -> Self {
        if matches!(error, store::Error::Away(_)) {
            tracing::warn!(
                event = "intake_database_away",
                error = telemetry::causes(&error),
                "the database is away; intake refuses leads until it is back"
            );
            Self::Away
        } else if error.is_passing() {
            tracing::warn!(
                event = "intake_conflicted",
                error = telemetry::causes(&error),
                "another transaction was in the way of a lead"
            );
            Self::Busy
        } else {
            tracing::error!(
                event = "intake_database_refused",
                error = telemetry::causes(&error),
                "the database refused what intake asked"
            );
            Self::Failed
        }
    }
}

/// Where leads are committed.
pub(super) trait IntakeStore: Send + Sync + 'static {
    fn company_view(
        &self,
        company: CompanyId,
    ) -> impl Future<Output = Result<Option<CompanyView>, StoreFailure>> + Send;

    fn company_version(
        &self,
        company: CompanyId,
    ) -> impl Future<Output = Result<Option<i64>, StoreFailure>> + Send;

    fn accept(&self, events: &[NewEvent]) -> impl Future<Output = Result<Vec<Flushed>, StoreFailure>> + Send;

    fn accept_again(
        &self,
        update: &NewEvent,
    ) -> impl Future<Output = Result<Reaccepted, StoreFailure>> + Send;

    fn save<F: Future<Output = Result<NewEvent, ProblemDetails>> + Send>(
        &self,
        key: &SaveKey,
        decide: impl Fn(Option<Bytes>) -> F + Send + Sync,
    ) -> impl Future<Output = Result<Result<Saved, ProblemDetails>, StoreFailure>> + Send;

    fn lead_status(
        &self,
        company: CompanyId,
        lead: LeadId,
    ) -> impl Future<Output = Result<Option<LeadStatus>, StoreFailure>> + Send;

    fn company_of_form(
        &self,
        form: FormId,
    ) -> impl Future<Output = Result<Option<CompanyId>, StoreFailure>> + Send;

    fn begin_signed(&self, post: SignedPost)
    -> impl Future<Output = Result<Remembered, StoreFailure>> + Send;

    fn end_signed(
        &self,
        post: SignedPost,
        lead: Option<LeadId>,
    ) -> impl Future<Output = Result<(), StoreFailure>> + Send;

    fn note_read(&self, readings: &[Reading]) -> impl Future<Output = Result<(), StoreFailure>> + Send;

    fn refused(&self, refusals: &[NewRefusal]) -> impl Future<Output = Result<(), StoreFailure>> + Send;

    fn keys_used(&self, keys: &[(CompanyId, KeyId)])
    -> impl Future<Output = Result<(), StoreFailure>> + Send;

    fn is_ready(&self) -> impl Future<Output = bool> + Send;
}

impl IntakeStore for Store {
    async fn company_view(&self, company: CompanyId) -> Result<Option<CompanyView>, StoreFailure> {
        Ok(self.unless_away(Self::company_view(self, company)).await?)
    }

    async fn company_version(&self, company: CompanyId) -> Result<Option<i64>, StoreFailure> {
        Ok(self.unless_away(Self::company_version(self, company)).await?)
    }

    async fn accept(&self, events: &[NewEvent]) -> Result<Vec<Flushed>, StoreFailure> {
        Ok(self.unless_away(Self::accept(self, events)).await?)
    }

    async fn accept_again(&self, update: &NewEvent) -> Result<Reaccepted, StoreFailure> {
        Ok(self.unless_away(Self::accept_again(self, update)).await?)
    }

    async fn save<F: Future<Output = Result<NewEvent, ProblemDetails>> + Send>(
        &self,
        key: &SaveKey,
        decide: impl Fn(Option<Bytes>) -> F + Send + Sync,
    ) -> Result<Result<Saved, ProblemDetails>, StoreFailure> {
        Ok(self.unless_away(self.save_lead(key, decide)).await?)
    }

    async fn lead_status(
        &self,
        company: CompanyId,
        lead: LeadId,
    ) -> Result<Option<LeadStatus>, StoreFailure> {
        Ok(self.unless_away(Self::lead_status(self, company, lead)).await?)
    }

    async fn company_of_form(&self, form: FormId) -> Result<Option<CompanyId>, StoreFailure> {
        Ok(Self::company_of_form(self, form).await?)
    }

    async fn begin_signed(&self, post: SignedPost) -> Result<Remembered, StoreFailure> {
        Ok(Self::begin_signed(self, post).await?)
    }

    async fn end_signed(&self, post: SignedPost, lead: Option<LeadId>) -> Result<(), StoreFailure> {
        Ok(Self::end_signed(self, post, lead).await?)
    }

    async fn note_read(&self, readings: &[Reading]) -> Result<(), StoreFailure> {
        Ok(self.unless_away(self.count_readings(readings)).await?)
    }

    async fn refused(&self, refusals: &[NewRefusal]) -> Result<(), StoreFailure> {
        Ok(self.keep_refusals(refusals).await?)
    }

    async fn keys_used(&self, keys: &[(CompanyId, KeyId)]) -> Result<(), StoreFailure> {
        Ok(self.note_keys_used(keys).await?)
    }

    async fn is_ready(&self) -> bool {
        Self::is_ready(self).await
    }
}
