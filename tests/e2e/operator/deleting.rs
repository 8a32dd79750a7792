//! A deletion of much: in batches, so that it holds nothing up for long.

use super::*;

#[tokio::test]
async fn a_deleted_integration_goes_in_batches() {
    let scene = Scene::start(Behaviour::Good, json!({})).await;
    let delivery = scene.post(&sample_lead(1)).await;
    scene.wait_for(&delivery, "delivered").await;
    let pool = scene.daemon.database().pool().await;
    for sql in [
        "INSERT INTO delivery (company_id, id, integration_id, lead_id, event_id, event, automatic, state, finished_at)
         SELECT company_id, gen_random_uuid(), integration_id, lead_id, event_id, event, false, state, finished_at
         FROM delivery, generate_series(1, 6000)",
        "CREATE TABLE removed (rows bigint)",
        "CREATE FUNCTION note_removed() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN INSERT INTO removed SELECT count(*) FROM gone HAVING count(*) > 0; RETURN NULL; END $$",
        "CREATE TRIGGER removed AFTER DELETE ON delivery REFERENCING OLD TABLE AS gone
         FOR EACH STATEMENT EXECUTE FUNCTION note_removed()",
    ] {
        sqlx::query(sql).execute(&pool).await.unwrap();
    }
    let reported = scene.cli.json(&["integration", "delete", "hook", "--yes"]).await;
    assert_eq!(reported["deliveries"], 6001);
    let mut batches: Vec<i64> = Vec::new();
    wait_until("all are gone", async || {
        batches = sqlx::query_scalar("SELECT rows FROM removed").fetch_all(&pool).await.unwrap();
        batches.iter().sum::<i64>() == 6001
    })
    .await;
    assert!(batches.len() > 1 && batches.iter().all(|rows| *rows <= 5000), "{batches:?}");
    scene.end().await;
}
