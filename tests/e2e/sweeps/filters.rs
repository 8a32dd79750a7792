//! Which deliveries a filter means, on a real database: each condition alone and with others.

use super::*;

/// A scene whose leads ended in different ways at different times; lead `n` is `leads[n - 1]`.
struct Filtered {
    scene: Scene,
    leads: Vec<String>,
}

const DAY: i64 = 24 * 60 * 60;

/// So many days ago.
fn days_ago(days: i64) -> prost_types::Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    prost_types::Timestamp { seconds: i64::try_from(now.as_secs()).unwrap() - days * DAY, nanos: 0 }
}

fn between(since: Option<i64>, until: Option<i64>) -> Option<v1::Window> {
    Some(v1::Window { since: since.map(days_ago), until: until.map(days_ago) })
}

impl Filtered {
    async fn start() -> Self {
        let scene = scene_of(refusing(), json!({ "retries": 0 }), Duration::from_secs(900)).await;
        let pool = scene.daemon.database().pool().await;
        let mut leads = Vec::new();
        for (n, (behaviour, state, created, finished)) in [
            (Behaviour::RefuseAll(422, "No such date".into()), "dead", 10, 10),
            (Behaviour::RefuseAll(500, "out of order".into()), "dead", 5, 5),
            (Behaviour::RefuseAll(422, "No such hall".into()), "dead", 1, 1),
            (Behaviour::Good, "delivered", 10, 10),
            // It had to wait; the target had it only when it was delivered.
            (Behaviour::Good, "delivered", 10, 1),
        ]
        .into_iter()
        .enumerate()
        {
            scene.receiver.set(behaviour);
            scene.post(n + 1).await;
            wait_until(&format!("lead {} is {state}", n + 1), async || {
                scene.deliveries().await.get(n).is_some_and(|it| it.state().word() == state)
            })
            .await;
            let delivery = scene.deliveries().await.remove(n);
            sqlx::query(
                "UPDATE delivery SET created_at = now() - $2 * interval '1 day',
                     finished_at = now() - $3 * interval '1 day' WHERE id = $1",
            )
            .bind(uuid::Uuid::from(delivery.id.parse::<ulid::Ulid>().unwrap()))
            .bind(f64::from(created))
            .bind(f64::from(finished))
            .execute(&pool)
            .await
            .unwrap();
            leads.push(delivery.lead);
        }
        pool.close().await;
        Self { scene, leads }
    }

    fn filter(&self) -> v1::DeliveryFilter {
        v1::DeliveryFilter { integration: self.scene.integration.clone(), ..Default::default() }
    }

    /// The numbers of the leads that these deliveries are of.
    fn numbers(&self, deliveries: &[v1::Delivery]) -> Vec<usize> {
        let number = |it: &v1::Delivery| self.leads.iter().position(|lead| *lead == it.lead).unwrap() + 1;
        deliveries.iter().map(number).collect()
    }

    /// Filters, and the leads that each means in a retry.
    fn cases(&self) -> Vec<(v1::DeliveryFilter, &'static [usize])> {
        let all = || self.filter();
        let named = |class: &str| v1::FailureClass::from_word(class).unwrap().into();
        let class = |class: &str| v1::DeliveryFilter { failure_class: named(class), ..all() };
        let error = |error: &str| v1::DeliveryFilter { error: error.into(), ..all() };
        let at = |since, until| v1::DeliveryFilter { at: between(since, until), ..all() };
        let lead = |n: usize| v1::DeliveryFilter { lead: self.leads[n - 1].clone(), ..all() };
        let states = |states: &[&str], more: v1::DeliveryFilter| v1::DeliveryFilter {
            states: states.iter().map(|word| v1::DeliveryState::from_word(word).unwrap().into()).collect(),
            ..more
        };
        let together = |class: &str, error: &str, n: usize| v1::DeliveryFilter {
            failure_class: named(class),
            error: error.into(),
            at: between(Some(6), Some(2)),
            ..lead(n)
        };
        vec![
            (all(), &[1, 2, 3]),
            (class("rejected"), &[1, 3]),
            (class("transient"), &[2]),
            (class("mapping"), &[]),
            (error("no SUCH"), &[1, 3]),
            (error("such date"), &[1]),
            (error("50% off_"), &[]),
            (at(Some(6), None), &[2, 3]),
            (at(None, Some(2)), &[1, 2]),
            (at(Some(6), Some(2)), &[2]),
            (lead(3), &[3]),
            (lead(4), &[]),
            (v1::DeliveryFilter { error: "such".into(), ..class("rejected") }, &[1, 3]),
            (v1::DeliveryFilter { error: "such".into(), ..class("transient") }, &[]),
            (v1::DeliveryFilter { at: between(Some(2), None), ..class("rejected") }, &[3]),
            (v1::DeliveryFilter { at: between(None, Some(6)), ..error("such") }, &[1]),
            (v1::DeliveryFilter { failure_class: v1::FailureClass::Rejected.into(), ..lead(2) }, &[]),
            (together("transient", "order", 2), &[2]),
            (together("rejected", "order", 2), &[]),
            (together("transient", "such", 2), &[]),
            (together("transient", "order", 1), &[]),
            (states(&["delivered"], all()), &[4, 5]),
            (states(&["delivered"], at(Some(2), None)), &[5]),
            (states(&["delivered"], at(None, Some(2))), &[4]),
            (states(&["delivered"], class("rejected")), &[]),
            (states(&["delivered"], lead(4)), &[4]),
            (states(&["dead", "delivered"], at(Some(6), None)), &[2, 3, 5]),
            (states(&["dead", "delivered"], class("rejected")), &[1, 3]),
            (
                states(
                    &["dead", "delivered"],
                    v1::DeliveryFilter { error: "DATE".into(), ..at(None, Some(6)) },
                ),
                &[1],
            ),
            (v1::DeliveryFilter { undelivered: true, ..at(Some(6), None) }, &[2, 3]),
            (
                v1::DeliveryFilter { company: "7".into(), integration: String::new(), ..class("transient") },
                &[2],
            ),
        ]
    }
}

#[tokio::test]
async fn a_filter_means_what_all_its_conditions_say() {
    let filtered = Filtered::start().await;
    let pushes = filtered.scene.receiver.count();
    for (filter, expected) in filtered.cases() {
        let request =
            v1::RetryDeliveriesRequest { filter: Some(filter.clone()), dry_run: true, ..Default::default() };
        let plan = filtered.scene.retry(request).await;
        assert_eq!(filtered.numbers(&plan.sample), expected, "a retry of {filter:?}");
        assert_eq!(plan.count, expected.len() as u64, "a retry of {filter:?}");
        if filter.states.is_empty() && !filter.undelivered {
            continue;
        }
        let list = v1::ListDeliveriesRequest { filter: Some(filter.clone()), ..Default::default() };
        let mut list =
            filtered.scene.operator.deliveries().list_deliveries(list).await.unwrap().into_inner().deliveries;
        list.sort_by(|one, other| one.id.cmp(&other.id));
        assert_eq!(filtered.numbers(&list), expected, "a list of {filter:?}");
    }
    assert_eq!(filtered.scene.receiver.count(), pushes, "a dry run pushes nothing");
    filtered.scene.end().await;
}

#[tokio::test]
async fn a_job_pushes_what_its_filter_means_and_nothing_else() {
    let filtered = Filtered::start().await;
    let scene = &filtered.scene;
    scene.receiver.set(Behaviour::Good);
    let lost = v1::DeliveryFilter {
        states: vec![v1::DeliveryState::Delivered.into()],
        at: between(Some(2), None),
        ..filtered.filter()
    };
    let date = v1::DeliveryFilter {
        failure_class: v1::FailureClass::Rejected.into(),
        error: "such date".into(),
        at: between(None, Some(6)),
        lead: filtered.leads[0].clone(),
        ..filtered.filter()
    };
    let mut jobs = JobServiceClient::new(scene.daemon.control().await);
    for (filter, lead) in [(lost, 5), (date, 1)] {
        let before = scene.receiver.count();
        let started =
            scene.retry(v1::RetryDeliveriesRequest { filter: Some(filter), ..Default::default() }).await;
        let mut changes =
            jobs.watch_job(v1::WatchJobRequest { id: started.job_id }).await.unwrap().into_inner();
        let mut last = None;
        while let Some(told) = changes.message().await.unwrap() {
            last = told.job;
        }
        let job = last.unwrap();
        assert_eq!((job.state().word(), job.total, job.delivered), ("done", 1, 1), "{job:?}");
        let pushed: Vec<Value> = scene.receiver.requests()[before..]
            .iter()
            .map(|request| serde_json::from_slice(&request.body).unwrap())
            .collect();
        assert_eq!(pushed.len(), 1);
        assert_eq!(pushed[0]["lead"]["uuid"], filtered.leads[lead - 1].as_str());
    }
    filtered.scene.end().await;
}
