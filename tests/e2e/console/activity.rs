//! Activity where more happens at once than is told at once, in front of a real daemon: nothing of it is passed over.

use ulid::Ulid;
use uuid::Uuid;

use super::{Behaviour, ENTER, Scene, WIDE};

/// Two pages and a half.
const AT_ONCE: u128 = 250;

#[tokio::test]
async fn lines_of_one_transaction_are_told_to_the_last() {
    let mut scene = Scene::set(Behaviour::Good, WIDE).await;
    scene.console.wait_for_all(&["LIVE", "crm-of-barn"]).await;
    scene.console.press("5");
    scene.console.wait_for_all(&["following", "created"]).await;
    let begun = Ulid::generate().timestamp_ms();
    let ids: Vec<Uuid> = (0..AT_ONCE).map(|n| Uuid::from(Ulid::from_parts(begun, n))).collect();
    sqlx::query(
        "INSERT INTO audit (company_id, id, operator, action, target)
         SELECT 7, id, 'batch', 'UpdateFlow', 'flow ' || n FROM unnest($1::uuid[]) WITH ORDINALITY u(id, n)",
    )
    .bind(&ids)
    .execute(&scene.set.pool)
    .await
    .unwrap();
    let all: i64 = sqlx::query_scalar("SELECT count(*) FROM audit").fetch_one(&scene.set.pool).await.unwrap();

    let console = &mut scene.console;
    console.wait_for_all(&["more happened than is shown"]).await;
    console.press("g");
    for _ in 0..2 {
        // A page of a hundred, then the line that stands for the rest.
        console.press(&"j".repeat(100));
        console.wait_for_all(&["More happened here than was told at once."]).await;
        console.press(ENTER);
        console.wait_for_none(&["More happened here than was told at once."]).await;
    }
    console.wait_for_none(&["more happened than is shown"]).await;
    console.wait_for_all(&[&format!("Activity {all}")]).await;
    scene.end().await;
}
