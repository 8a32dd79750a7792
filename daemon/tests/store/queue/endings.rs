//! Steps that end something: a lease, the time that the sweep comes back, an integration.

use super::*;

impl Scene {
    /// The lease runs out. Whoever beats before anybody saw it goes on; else another daemon takes over.
    pub(super) async fn lapse(&mut self, lapse: Lapse) {
        sqlx::query("UPDATE daemon SET lease_until = clock_timestamp() - interval '1 second' WHERE id = $1")
            .bind(self.daemon)
            .execute(&self.pool)
            .await
            .unwrap();
        let Lapse::Taken(early) = lapse else {
            assert!(self.store.beat(self.daemon, LEASE_SECONDS).await.unwrap().is_alive);
            assert_eq!(self.store.orphans().await.unwrap(), [0; 0], "its claims are its own");
            return;
        };
        let dead = self.daemon;
        self.daemon = self.store.enroll(LEASE_SECONDS).await.unwrap();
        assert_eq!(self.store.remove_expired(self.daemon, false).await.unwrap(), 1);
        assert!(!self.store.beat(dead, LEASE_SECONDS).await.unwrap().is_alive, "it is told that it is dead");
        let mut late = std::mem::take(&mut self.working);
        for item in late.drain(..early.min(late.len())) {
            // Nobody has the claim yet: what is recorded now is left out of what is taken over.
            let finished: Vec<Finished> = finished(&item, PushEnd::Delivered, 0).into_iter().collect();
            let flushed = self.store.finish(dead, &finished, &[]).await.unwrap();
            assert_eq!(flushed.recorded, finished.len());
        }
        self.take_over(dead, late).await;
    }

    pub(super) async fn age(&mut self) {
        sqlx::query(
            "UPDATE delivery SET created_at = created_at - $2 * interval '1 second' WHERE company_id = $1",
        )
        .bind(self.company.0)
        .bind(SweepPolicy::default().age.as_secs_f64())
        .execute(&self.pool)
        .await
        .unwrap();
    }

    /// What is dead and older than the sweep returns to.
    pub(super) async fn dead_of_age(&self) -> Vec<Uuid> {
        let dead = "SELECT id FROM delivery WHERE company_id = $1 AND integration_id = $2 AND state = 'dead'
                        AND created_at <= now() - $3 * interval '1 second' ORDER BY id";
        sqlx::query_scalar(dead)
            .bind(self.company.0)
            .bind(self.integration.uuid())
            .bind(SweepPolicy::default().age.as_secs_f64())
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    pub(super) async fn delete(&mut self) {
        let mut command = self.command().await;
        let integration = command.integration(&self.integration.to_string()).await.unwrap();
        command.delete_integration(&integration).await.unwrap();
        self.deleted.push(self.integration);
        self.integration = add_integration(&mut command, self.company, "crm").await;
        command.commit().await.unwrap();
        // What is being pushed keeps some of them for the next time.
        self.store.finish_deletions().await.unwrap();
    }

    /// Of integrations that were deleted nothing is left, once the pushes to them have ended.
    pub(super) async fn check_deleted(&self) {
        self.store.finish_deletions().await.unwrap();
        let deleted: Vec<Uuid> = self.deleted.iter().map(|id| id.uuid()).collect();
        for table in ["due", "undelivered", "attempt", "delivery", "sweep", "job", "integration_stat"] {
            let rows: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
                "SELECT count(*) FROM {table} WHERE company_id = $1 AND integration_id = ANY($2)"
            )))
            .bind(self.company.0)
            .bind(&deleted)
            .fetch_one(&self.pool)
            .await
            .unwrap();
            assert_eq!(rows, 0, "{table}");
        }
    }
}
