//! An item of a claim gets a claim of its own, which says so.

use crate::{
    domain::ids::AttemptId,
    store::{Error, Store},
};

impl Store {
    /// Isolates an item of a claim: nothing else stands in the claim that this answers. None if the claim is not this
    /// daemon's any more.
    pub async fn isolate(&self, daemon: i64, claim: i64, attempt: AttemptId) -> Result<Option<i64>, Error> {
        let own = sqlx::query_file_scalar!("src/store/queue/isolate.sql", daemon, claim, attempt.uuid())
            .fetch_optional(&self.pool)
            .await?;
        Ok(own)
    }
}
