//! Steps that should never be, and what looks for them: stranded deliveries, words of a newer daemon, counts that change.

use super::*;

impl Scene {
    /// Looks at everything. Answers how much was mended.
    pub(super) async fn mend(&self) -> u64 {
        let (mut total, mut position) = (0, Position::default());
        loop {
            let mended = self.store.mend(position).await.unwrap();
            total += mended.total();
            match mended.next {
                Some(next) => position = next,
                None => return total,
            }
        }
    }

    /// A due row or a place in the line is lost: its delivery stands nowhere until it is found.
    pub(super) async fn strand(&self, n: usize) {
        let lost: i64 = sqlx::query_scalar(
            "WITH place AS MATERIALIZED (
                 SELECT id, row_number() OVER (ORDER BY id) AS n, count(*) OVER () AS many FROM delivery d
                 WHERE company_id = $1 AND state = 'pending' AND integration_id = $3
                     AND NOT EXISTS (SELECT FROM in_flight f WHERE f.delivery_id = d.id)
             ), meant AS MATERIALIZED (SELECT id FROM place WHERE n = 1 + $2 % many),
             queued AS (DELETE FROM due q USING meant WHERE q.delivery_id = meant.id),
             lined AS (UPDATE delivery p SET successor_id = NULL FROM meant
                 WHERE p.company_id = $1 AND p.successor_id = meant.id)
             SELECT count(*) FROM meant",
        )
        .bind(self.company.0)
        .bind((n % 1000) as i64)
        .bind(self.integration.uuid())
        .fetch_one(&self.pool)
        .await
        .unwrap();
        assert_eq!(self.mend().await, lost.unsigned_abs(), "it is not found");
    }

    /// A newer daemon has queued one in a word that this one does not know: what made it due, in which line it stands,
    /// or what happened.
    pub(super) async fn make_strange(&self, n: usize) {
        let change = [
            "UPDATE due SET trigger = 'comet' FROM one WHERE due.ctid = one.place",
            "UPDATE due SET kind = 7 FROM one WHERE due.ctid = one.place",
            "UPDATE delivery d SET event = 'comet' FROM one WHERE d.company_id = $1 AND d.id = one.delivery_id",
        ][n % 3];
        let sql = format!(
            "WITH one AS MATERIALIZED (SELECT ctid AS place, delivery_id FROM (
                 SELECT ctid, delivery_id, row_number() OVER (ORDER BY delivery_id) AS n, count(*) OVER () AS many
                 FROM due WHERE company_id = $1) q WHERE n = 1 + $2 % many)
             {change}"
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(self.company.0)
            .bind((n / 3 % 1000) as i64)
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// This daemon is that newer one now.
    pub(super) async fn make_known(&self) {
        for change in [
            "UPDATE due SET trigger = 'retry' WHERE company_id = $1 AND trigger = 'comet'",
            "UPDATE due SET kind = 1 WHERE company_id = $1 AND kind = 7",
            "UPDATE delivery SET event = 'lead.updated' WHERE company_id = $1 AND event = 'comet'",
        ] {
            sqlx::query(change).bind(self.company.0).execute(&self.pool).await.unwrap();
        }
    }

    /// An operator opens a lane that its target has asked to wait for long, and pushes what waits.
    pub(super) async fn lift(&self) {
        let mut command = self.command().await;
        command.reset_integration(&self.integration.to_string()).await.unwrap();
        command.commit().await.unwrap();
        let states = vec![State::Pending];
        let filter = DeliveryFilter { company: Some(self.company), states, ..DeliveryFilter::default() };
        let waiting = self.store.targets(&filter).await.unwrap();
        let mut command = self.command().await;
        command.retry(self.company, &waiting, RetryOptions::default()).await.unwrap();
        command.commit().await.unwrap();
    }

    /// What a job has brought to an end stays counted as that.
    pub(super) async fn check_jobs(&mut self, step: Option<Step>) -> Result<(), TestCaseError> {
        if matches!(step, Some(Step::Delete)) {
            // They go with their deliveries.
            self.jobs.clear();
        }
        for (job, ended) in &mut self.jobs {
            let view = self.store.job(*job).await.unwrap();
            let now = view.delivered + view.dead;
            prop_assert!(now >= *ended, "after {step:?}: {view:?} has counted {ended} before");
            prop_assert_eq!(view.pending + now + view.other, view.released, "after {:?}: {:?}", step, view);
            *ended = now;
        }
        Ok(())
    }
}
