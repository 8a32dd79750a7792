//! What two daemons reach for in one moment, one of them has: the second one's statement began before the first one's ended.

use leadlined::store::integration::refresh::{LoginGiven, LoginStart};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::AssertSqlSafe;

use super::bench::{Bench, wait_for_lock};

/// Whoever has this lock holds up the changes of a table that is waited on.
const HELD_UP: &str = "SELECT pg_advisory_xact_lock(7)";

impl Bench {
    /// Has each change of a kind to a table wait, once it has its snapshot and before it reads a row.
    async fn hold_up(&self, change: &str, table: &str) {
        self.sql(&format!(
            "CREATE FUNCTION hold_up_{table}() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END $$;
             CREATE TRIGGER hold_up BEFORE {change} ON {table} FOR EACH STATEMENT EXECUTE FUNCTION hold_up_{table}()"
        ))
        .await;
    }

    /// How many are taken by a statement that began before another daemon took all of the table.
    async fn taken_late(&self, table: &str, other: i64, take: impl Future<Output = usize>) -> usize {
        let mut first = self.pool.begin().await.unwrap();
        sqlx::raw_sql("SET LOCAL session_replication_role = replica").execute(&mut *first).await.unwrap();
        sqlx::raw_sql(HELD_UP).execute(&mut *first).await.unwrap();
        let beside = async {
            wait_for_lock(&self.pool).await;
            let sql = AssertSqlSafe(format!("UPDATE {table} SET daemon_id = {other}"));
            sqlx::raw_sql(sql).execute(&mut *first).await.unwrap();
            first.commit().await.unwrap();
        };
        tokio::join!(take, beside).0
    }
}

#[tokio::test]
async fn a_claim_of_the_dead_has_one_heir() {
    let mut bench = Bench::new().await;
    bench.pending().await;
    let claim = bench.claim_one().await.claim;
    bench.store.leave(bench.daemon).await.unwrap();
    let [heir, other] = [bench.store.enroll(600.0).await.unwrap(), bench.store.enroll(600.0).await.unwrap()];
    bench.hold_up("UPDATE", "claim").await;
    let adopt = async || bench.store.adopt(heir, &[claim]).await.unwrap().len();
    assert_eq!(bench.taken_late("claim", other, adopt()).await, 0);
    bench.store.leave(other).await.unwrap();
    assert_eq!(adopt().await, 1);
}

#[tokio::test]
async fn a_notice_is_sent_by_one() {
    let bench = Bench::new().await;
    let other = bench.store.enroll(600.0).await.unwrap();
    bench.sql("UPDATE integration SET notices = true; UPDATE integration_stat SET failing = true").await;
    let pager = bench.integration(bench.company, "pager").await;
    bench.sql(&format!("UPDATE integration SET notices = true WHERE id = '{}'", pager.uuid())).await;
    assert!(bench.store.watch_notices().await.unwrap() > 0);
    bench.hold_up("UPDATE", "notice").await;
    let take = async || bench.store.take_notices(bench.daemon, &[], 10).await.unwrap().len();
    assert_eq!(bench.taken_late("notice", other, take()).await, 0);
    bench.store.leave(other).await.unwrap();
    assert_eq!(take().await, 1);
}

#[tokio::test]
async fn a_test_of_an_integration_is_carried_out_by_one() {
    let bench = Bench::new().await;
    let other = bench.store.enroll(600.0).await.unwrap();
    bench
        .sql(
            "INSERT INTO probe (company_id, id, integration_id, operator)
             SELECT company_id, gen_random_uuid(), id, 'ann' FROM integration LIMIT 1",
        )
        .await;
    bench.hold_up("UPDATE", "probe").await;
    let take = async || bench.store.take_probes(bench.daemon, |_| true).await.unwrap().probes.len();
    assert_eq!(bench.taken_late("probe", other, take()).await, 0);
    bench.store.leave(other).await.unwrap();
    assert_eq!(take().await, 1);
}

#[tokio::test]
async fn a_login_that_an_integration_gets_meanwhile_is_not_forgotten() {
    let bench = Bench::new().await;
    let (login, own) = ([7; 32], SecretString::from("own"));
    // Credentials that were in use long ago.
    let given = LoginGiven { refresh: Some("newest".into()), token: "token".into() };
    let begin = async || {
        let read = |_: &SecretString| None::<()>;
        match bench.store.begin_refresh(bench.lane(), None, &login, &own, &read).await.unwrap() {
            LoginStart::Begun(turn) => turn,
            start => panic!("{start:?}"),
        }
    };
    bench.store.end_refresh(&login, begin().await.number, Some(&given)).await.unwrap();
    bench.sql("UPDATE login SET refreshing_until = now() - interval '31 days'").await;
    bench.hold_up("DELETE", "login").await;
    let mut holder = bench.pool.begin().await.unwrap();
    sqlx::raw_sql(HELD_UP).execute(&mut *holder).await.unwrap();
    let joins = async {
        wait_for_lock(&bench.pool).await;
        bench.store.join_login(bench.lane(), 1, &login, &own).await.unwrap();
        holder.commit().await.unwrap();
    };
    let (left, ()) = tokio::join!(bench.store.finish_deletions(), joins);
    assert_eq!(left.unwrap(), 0);
    assert_eq!(begin().await.refresh.expose_secret(), "newest");
}
