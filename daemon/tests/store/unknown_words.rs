//! Words of a newer daemon in the rows of lists: each list is shown, and the row with it.

use leadlined::{
    domain::{
        delivery::{Reason, State},
        fanout::Routing,
        ids::{CompanyId, KeyId, TokenId},
    },
    store::{
        delivery::{
            attempts::AttemptsOf,
            read::{DeliveryFilter, Order},
        },
        failure::list::FailureFilter,
        integration::read::IntegrationFilter,
        job::JobWork,
        queue::retry::RetryOptions,
    },
};

use super::bench::{Bench, dead};

/// Each word that a list shows, and where it stands.
const WORDS: [(&str, &str); 16] = [
    ("integration", "routing = 'comet'"),
    ("integration", "events = ARRAY['lead.created', 'comet']"),
    ("integration_stat", "last_class = 'comet'"),
    ("event", "kind = 'comet'"),
    ("attempt", "event = 'comet'"),
    ("attempt", "trigger = 'comet'"),
    ("attempt", "class = 'comet'"),
    ("undelivered", "class = 'comet'"),
    ("cause", "class = 'comet'"),
    ("notice", "kind = 'comet'"),
    ("notice", "state = 'comet'"),
    ("job", "kind = 'comet'"),
    ("job", "state = 'comet'"),
    ("token", "role = 'comet'"),
    ("intake_key", "signature = 'comet'"),
    // Last: what is listed as undelivered is asked for by its state.
    ("delivery", "event = 'comet', state = 'comet'"),
];

impl Bench {
    /// How many rows each list shows.
    async fn lists(&self, uuid: &str) -> Vec<(&'static str, usize)> {
        let (store, company) = (&self.store, Some(self.company));
        let deliveries = DeliveryFilter { company, ..DeliveryFilter::default() };
        let deliveries = store.delivery_views(&deliveries, Order::NewestFirst, None, Some(9)).await.unwrap();
        let integrations = IntegrationFilter { company, ..IntegrationFilter::default() };
        let attempts = AttemptsOf::Lane(self.lane());
        let failures = store.failures(&FailureFilter::default(), 0, 9).await.unwrap();
        vec![
            ("integrations", store.integration_views(&integrations).await.unwrap().len()),
            ("deliveries", deliveries.len()),
            ("attempts", store.attempts(attempts, None, 9).await.unwrap().len()),
            ("failures", failures.page.len()),
            ("notices", store.notices(company, None, 9).await.unwrap().len()),
            ("jobs", store.jobs(company, None, 9).await.unwrap().len()),
            ("tokens", store.tokens(company, None, 9).await.unwrap().len()),
            ("keys", store.intake_keys(None, None, 9).await.unwrap().len()),
            ("events", store.stored_events(self.company, None, 9).await.unwrap().len()),
            ("leads", store.lead_view(None, uuid).await.unwrap().deliveries.len()),
            ("steps", store.trace(None, uuid).await.unwrap().1.len()),
        ]
    }
}

#[tokio::test]
async fn a_word_of_a_newer_daemon_keeps_no_list_from_being_shown() {
    let mut bench = Bench::new().await;
    let lead = bench.pending().await;
    bench.push(&dead()).await;
    bench.name_all_causes().await;
    let filter = DeliveryFilter {
        company: Some(bench.company),
        states: vec![State::Dead],
        ..DeliveryFilter::default()
    };
    let lanes = bench.store.job_lanes(&filter).await.unwrap();
    let mut command = bench.command().await;
    let work = JobWork::Retry { filter: &filter, re_render: false };
    command.create_job(work, None, &lanes).await.unwrap();
    command.commit().await.unwrap();
    let CompanyId(company) = bench.company;
    let (key, token) = (KeyId::generate().uuid(), TokenId::generate().uuid());
    bench
        .sql(&format!(
            "INSERT INTO notice (company_id, id, integration_id, kind, body) VALUES
                 ({company}, '{key}', '{crm}', 'integration.failing', '');
             INSERT INTO intake_key (company_id, id, prefix, token_hash, require_signature)
                 VALUES ({company}, '{key}', 'lk', sha256('key'), false);
             INSERT INTO token (id, company_id, name, role, masked, prefix, token_hash, created_by)
                 VALUES ('{token}', {company}, 'desk', 'viewer', true, 'lt', sha256('token'), 'mara');
             ALTER TABLE undelivered DISABLE TRIGGER undelivered_renamed",
            crm = bench.crm.uuid()
        ))
        .await;
    for table in WORDS.map(|(table, _)| table) {
        bench.forget_checks(table).await;
    }
    let uuid = lead.id.to_string();
    let known = bench.lists(&uuid).await;
    assert!(known.iter().all(|(_, rows)| *rows > 0), "{known:?}");
    for (table, word) in WORDS {
        bench.sql(&format!("UPDATE {table} SET {word}")).await;
        let mut shown = bench.lists(&uuid).await;
        // An event of a kind that nobody knows is a step of its lead beside the first.
        shown.retain(|(list, _)| *list != "steps");
        assert!(shown.iter().all(|row| known.contains(row)), "{table} {word}: {shown:?}");
    }
}

#[tokio::test]
async fn what_only_a_newer_daemon_knows_keeps_no_act_from_moving_the_others() {
    let mut bench = Bench::new().await;
    let known = bench.pending().await.deliveries[0];
    bench.push(&dead()).await;
    let newer = bench.held().await.deliveries[0];
    bench.forget_checks("delivery").await;
    bench.sql(&format!("UPDATE delivery SET state = 'comet' WHERE id = '{}'", newer.uuid())).await;
    let (company, both) = (bench.company, [known.uuid(), newer.uuid()]);
    let filter = DeliveryFilter { company: Some(company), ..DeliveryFilter::default() };
    let targets = bench.store.targets(&filter).await.unwrap();
    assert_eq!(targets.len(), 2);
    let mut command = bench.command().await;
    let options = RetryOptions { is_bulk: true, ..RetryOptions::default() };
    assert_eq!(command.retry(company, &targets, options).await.unwrap(), [known]);
    let reason = Reason::HeldByOperator("ann".into());
    let held = command.hold(company, &both, &reason).await.unwrap();
    let released = command.release(company, &both).await.unwrap();
    let skipped = command.skip(company, &both, &Reason::skipped("ann")).await.unwrap();
    let back = command.unskip(company, &both).await.unwrap();
    assert_eq!([held, released, skipped, back].map(|moved| moved.changed), [1; 4]);
    command.commit().await.unwrap();
    assert_eq!((&*bench.state(known).await, &*bench.state(newer).await), ("pending", "comet"));
}

#[tokio::test]
async fn a_word_of_a_newer_daemon_about_one_keeps_no_company_from_taking_leads_in() {
    let mut bench = Bench::new().await;
    bench.integration(bench.company, "newer").await;
    let (CompanyId(company), key) = (bench.company, KeyId::generate().uuid());
    bench
        .sql(&format!(
            "INSERT INTO intake_key (company_id, id, prefix, token_hash, require_signature)
                 VALUES ({company}, '{key}', 'lk', sha256('key'), false)"
        ))
        .await;
    for table in ["integration", "intake_key"] {
        bench.forget_checks(table).await;
    }
    bench.sql("UPDATE integration SET routing = 'comet' WHERE name = 'newer'").await;
    bench.sql("UPDATE intake_key SET signature = 'comet'").await;
    let view = bench.store.company_view(bench.company).await.unwrap().unwrap();
    assert_eq!(
        view.integrations.iter().map(|one| one.routing).collect::<Vec<_>>(),
        [Some(Routing::All), None]
    );
    assert_eq!(view.keys[0].signature, None);
    bench.pending().await;
}
