//! How many leads fail: each once, at however many places, or it is said that it is not so.

use std::collections::BTreeMap;

use leadlined::{
    domain::{fanout::Fate, ids::IntegrationId, lane::LaneId},
    store::failure::list::FailureFilter,
};

use super::{
    bench::{Bench, dead, exhausted, retry},
    causes::all,
};

#[tokio::test]
async fn a_lead_counts_once_however_many_places_it_failed_at() {
    let mut bench = Bench::new().await;
    let mail = LaneId::new(bench.company, bench.integration(bench.company, "mail").await);
    let body = r#"{"lead": {"name": "Ann"}, "quote": {"total_pence": 700, "currency": "EUR"}}"#;
    bench.somebody(bench.company, "Ann", body, &Fate::Pending).await;
    let crm = bench.lane();
    bench.push_in(crm, &dead(), "no such field").await;
    bench.push_in(mail, &dead(), "no such field").await;
    bench.somebody(bench.company, "Bob", "{}", &Fate::Pending).await;
    bench.push_in(crm, &dead(), "no such field").await;
    bench.name_all_causes().await;
    let one = bench.only_failure().await;
    assert_eq!((one.dead, one.leads, &one.money), (3, 2, &BTreeMap::from([("EUR".to_owned(), 700)])));
    let places: Vec<(IntegrationId, i64)> =
        one.places.iter().map(|place| (place.integration, place.deliveries)).collect();
    assert_eq!(places, [(crm.integration, 2), (mail.integration, 1)], "most deliveries first");
    assert!(one.places.iter().all(|place| place.company_name == "The Old Barn"));
    assert_eq!(one.places[1].name, "mail");
    let of_mail = bench.failures(&FailureFilter { integration: Some(mail.integration), ..all() }).await;
    assert_eq!((of_mail.deliveries, of_mail.leads, of_mail.page[0].places.len()), (1, 1, 1));
}

#[tokio::test]
async fn a_lead_that_is_dead_here_and_waits_there_counts_once_unless_it_is_said() {
    let mut bench = Bench::new().await;
    let mail = LaneId::new(bench.company, bench.integration(bench.company, "mail").await);
    let body = r#"{"lead": {"name": "Ann"}, "quote": {"total_pence": 700, "currency": "EUR"}}"#;
    bench.somebody(bench.company, "Ann", body, &Fate::Pending).await;
    bench.push_in(bench.lane(), &exhausted(), "gateway down").await;
    bench.push_in(mail, &retry(), "gateway down").await;
    bench.name_all_causes().await;
    let counted = async || {
        let all = bench.failures(&all()).await;
        let one = &all.page[0];
        assert_eq!((all.leads, all.leads_exact), (one.leads, one.leads_exact));
        assert_eq!(all.deliveries_exact, one.deliveries_exact);
        ([one.dead, one.retrying, one.leads, one.money["EUR"]], one.deliveries_exact, one.leads_exact)
    };
    assert_eq!(counted().await, ([1, 1, 1, 700], true, true));
    // More wait than are looked at.
    bench
        .sql(
            "INSERT INTO due (company_id, integration_id, kind, due_at, delivery_id, trigger)
             SELECT company_id, integration_id, 1, due_at, gen_random_uuid(), 'retry' FROM due, generate_series(1, 500)",
        )
        .await;
    assert_eq!(counted().await, ([1, 1, 1, 700], false, false));
    // Nothing can be told of those that are looked at; they wait all the same.
    bench.sql("UPDATE delivery SET attempts = 9").await;
    assert_eq!(counted().await, ([1, 0, 1, 700], false, false));
    let of_mail = bench.failures(&FailureFilter { integration: Some(mail.integration), ..all() }).await;
    assert_eq!((of_mail.page.len(), of_mail.deliveries_exact, of_mail.leads_exact), (0, false, false));
    bench.sql("UPDATE delivery SET attempts = 1").await;
    bench.sql("DELETE FROM due WHERE delivery_id NOT IN (SELECT id FROM delivery)").await;
    // More are dead than are counted lead by lead.
    bench.sql("UPDATE cause_count SET deliveries = 10001").await;
    assert_eq!(counted().await, ([10_001, 1, 10_002, 1400], true, false));
}

#[tokio::test]
async fn a_lead_that_fails_of_two_causes_is_one_of_each_and_one_of_all() {
    let mut bench = Bench::new().await;
    let mail = LaneId::new(bench.company, bench.integration(bench.company, "mail").await);
    bench.somebody(bench.company, "Ann", r#"{"lead": {"name": "Ann"}}"#, &Fate::Pending).await;
    bench.push_in(bench.lane(), &exhausted(), "gateway down").await;
    bench.push_in(mail, &exhausted(), "mailbox full").await;
    bench.name_all_causes().await;
    let all = bench.failures(&all()).await;
    let each: Vec<_> = all.page.iter().map(|one| (one.leads, one.leads_exact)).collect();
    assert_eq!((each, all.deliveries, all.leads, all.leads_exact), (vec![(1, true); 2], 2, 1, true));
}
