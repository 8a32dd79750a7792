//! Lists of what happened: attempts, the audit, and both in one.

use leadlined::{
    domain::{
        ids::{AttemptId, AuditId, CompanyId, DeliveryId, IntegrationId, LeadId},
        outcome::FailureClass,
    },
    store::{
        activity::{ActivityFilter, What},
        delivery::{
            attempt_list::{AttemptFilter, AttemptState},
            attempts::AttemptsOf,
        },
        operator::audit::AuditFilter,
    },
};
use sqlx::FromRow;
use uuid::Uuid;

use super::{
    bench::{Bench, call},
    crowd::{Crowd, crowd},
    matrix::{Arm, arm, check_arms},
};

/// What a test knows of an attempt, finished or not, newest first.
#[derive(Debug, FromRow)]
struct KnownAttempt {
    id: Uuid,
    company_id: i64,
    integration_id: Uuid,
    delivery_id: Option<Uuid>,
    lead_id: Option<Uuid>,
    state: String,
    class: Option<String>,
    status_code: Option<i16>,
    at: i64,
}

const KNOWN_ATTEMPTS: &str = "
    SELECT a.id, a.company_id, a.integration_id, a.delivery_id, a.lead_id,
        CASE WHEN a.delivered THEN 'delivered' ELSE 'failed' END AS state, a.class, a.status_code,
        (extract(epoch FROM a.started_at) * 1000000)::bigint AS at FROM attempt a
    UNION ALL
    SELECT f.attempt_id, f.company_id, f.integration_id, f.delivery_id, d.lead_id, 'running', NULL, NULL,
        (extract(epoch FROM f.claimed_at) * 1000000)::bigint FROM in_flight f JOIN delivery d ON d.id = f.delivery_id
    ORDER BY 1 DESC";

type AttemptArm = Arm<AttemptFilter, KnownAttempt>;

fn time(micros: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(micros).unwrap()
}

fn of_whom(crowd: &Crowd, rows: &[KnownAttempt]) -> Vec<AttemptArm> {
    let mut arms = Vec::new();
    for company in [crowd.bench.company, crowd.other_company] {
        arms.push(arm(
            "company",
            company,
            move |filter: &mut AttemptFilter| filter.company = Some(company),
            move |row: &KnownAttempt| CompanyId(row.company_id) == company,
        ));
    }
    for integrations in [vec![crowd.bench.crm], vec![crowd.bench.crm, crowd.disabled]] {
        let those = integrations.clone();
        arms.push(arm(
            "integrations",
            those.clone(),
            move |filter: &mut AttemptFilter| filter.integrations.clone_from(&those),
            move |row: &KnownAttempt| integrations.contains(&IntegrationId::from(row.integration_id)),
        ));
    }
    for delivery in [rows[0].delivery_id.unwrap(), rows[rows.len() - 1].delivery_id.unwrap()] {
        arms.push(arm(
            "delivery",
            delivery,
            move |filter: &mut AttemptFilter| filter.delivery = Some(DeliveryId::from(delivery)),
            move |row: &KnownAttempt| row.delivery_id == Some(delivery),
        ));
    }
    for lead in [crowd.leads[0], crowd.leads[4]] {
        arms.push(arm(
            "lead",
            lead,
            move |filter: &mut AttemptFilter| filter.lead = Some(lead),
            move |row: &KnownAttempt| row.lead_id.map(LeadId::from) == Some(lead),
        ));
    }
    arms
}

fn of_what(rows: &[KnownAttempt]) -> Vec<AttemptArm> {
    let mut arms = Vec::new();
    for classes in [vec![FailureClass::Transient], vec![FailureClass::Transient, FailureClass::Rejected]] {
        let those = classes.clone();
        arms.push(arm(
            "classes",
            those.clone(),
            move |filter: &mut AttemptFilter| filter.classes.clone_from(&those),
            move |row: &KnownAttempt| {
                classes.iter().any(|class| row.class.as_deref() == Some(class.as_str()))
            },
        ));
    }
    for (states, words) in [
        (vec![AttemptState::Running], vec!["running"]),
        (vec![AttemptState::Delivered], vec!["delivered"]),
        (vec![AttemptState::Failed], vec!["failed"]),
        (vec![AttemptState::Delivered, AttemptState::Running], vec!["delivered", "running"]),
        (vec![AttemptState::Delivered, AttemptState::Failed], vec!["delivered", "failed"]),
    ] {
        arms.push(arm(
            "states",
            words.clone(),
            move |filter: &mut AttemptFilter| filter.states.clone_from(&states),
            move |row: &KnownAttempt| words.contains(&&*row.state),
        ));
    }
    arms.push(arm(
        "status",
        503,
        |filter: &mut AttemptFilter| filter.status = Some(503),
        |row: &KnownAttempt| row.status_code == Some(503),
    ));
    let (at, after) = (rows[rows.len() / 2].at, rows[rows.len() / 3].id);
    arms.push(arm(
        "since",
        at,
        move |filter: &mut AttemptFilter| filter.since = Some(time(at)),
        move |row: &KnownAttempt| row.at >= at,
    ));
    arms.push(arm(
        "until",
        at,
        move |filter: &mut AttemptFilter| filter.until = Some(time(at)),
        move |row: &KnownAttempt| row.at < at,
    ));
    arms.push(arm(
        "after",
        after,
        move |filter: &mut AttemptFilter| filter.after = Some(AttemptId::from(after)),
        move |row: &KnownAttempt| row.id < after,
    ));
    arms
}

#[tokio::test]
async fn each_restriction_of_attempts_restricts_alone_and_with_each_other() {
    let crowd = crowd().await;
    crowd
        .bench
        .sql("UPDATE attempt SET status_code = 503, response_headers = '[]' WHERE error = 'out of order'")
        .await;
    let rows: Vec<KnownAttempt> = sqlx::query_as(KNOWN_ATTEMPTS).fetch_all(&crowd.bench.pool).await.unwrap();
    let mut arms = of_whom(&crowd, &rows);
    arms.extend(of_what(&rows));
    let list = async |filter: AttemptFilter| {
        let attempts = crowd.bench.store.attempt_list(&filter, 500).await.unwrap().rows;
        attempts.into_iter().map(|attempt| attempt.id.uuid()).collect::<Vec<_>>()
    };
    check_arms(&arms, &rows, |row| row.id, list).await;
}

#[tokio::test]
async fn attempts_are_found_however_old_they_are_page_by_page() {
    let crowd = crowd().await;
    let store = &crowd.bench.store;
    let all = store.attempt_list(&AttemptFilter::default(), 500).await.unwrap().rows;
    let all: Vec<AttemptId> = all.into_iter().map(|attempt| attempt.id).collect();
    let mut read: Vec<AttemptId> = Vec::new();
    loop {
        let filter = AttemptFilter { after: read.last().copied(), ..AttemptFilter::default() };
        let page = store.attempt_list(&filter, 3).await.unwrap().rows;
        read.extend(page.iter().map(|attempt| attempt.id));
        if page.len() < 3 {
            break;
        }
    }
    assert_eq!(read, all);
    for of in [
        AttemptsOf::Lane(crowd.bench.lane()),
        AttemptsOf::Delivery(crowd.bench.company, crowd.running[0].delivery),
    ] {
        let all = store.attempts(of, None, 500).await.unwrap();
        let mut read = Vec::new();
        while let Some(next) = store.attempts(of, read.last().copied(), 1).await.unwrap().pop() {
            read.push(next.id);
        }
        assert_eq!(read, all.into_iter().map(|attempt| attempt.id).collect::<Vec<_>>(), "{of:?}");
        assert!(!read.is_empty());
    }
}

#[tokio::test]
async fn what_another_company_has_under_an_id_is_not_found_with_ones_own() {
    let crowd = crowd().await;
    let store = &crowd.bench.store;
    let lead = crowd.leads[0];
    let theirs =
        AttemptFilter { company: Some(crowd.other_company), lead: Some(lead), ..AttemptFilter::default() };
    assert!(store.attempt_list(&theirs, 10).await.unwrap().rows.is_empty());
    let own = AttemptFilter { company: Some(crowd.bench.company), ..theirs };
    let attempts = store.attempt_list(&own, 10).await.unwrap().rows;
    assert_eq!(attempts.len(), 2, "one at each integration");
    let (id, delivery) = (attempts[0].id, attempts[0].delivery.unwrap());
    let of = AttemptsOf::Delivery(crowd.other_company, delivery);
    assert!(store.attempts(of, None, 10).await.unwrap().is_empty());
    assert!(
        store
            .finished_attempts(crowd.other_company, attempts[0].integration, &[id])
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        store
            .finished_attempts(crowd.bench.company, attempts[1].integration, &[id])
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(store.attempt_behind(crowd.other_company, delivery, 0).await.unwrap(), None);
}

#[tokio::test]
async fn attempts_of_a_deleted_integration_are_found_by_nobody() {
    let crowd = crowd().await;
    let store = &crowd.bench.store;
    let attempts = store.attempts(AttemptsOf::Lane(crowd.bench.lane()), None, 500).await.unwrap();
    let finished = attempts.iter().find(|attempt| attempt.finished.is_some()).unwrap();
    crowd.bench.sql("UPDATE integration SET deleted_at = now() WHERE name = 'crm'").await;
    assert!(store.attempt(finished.id).await.unwrap().is_none());
    let lead = Some(crowd.leads[0]);
    for filter in [
        AttemptFilter::default(),
        AttemptFilter { integrations: vec![crowd.bench.crm], ..AttemptFilter::default() },
        AttemptFilter { lead, ..AttemptFilter::default() },
        AttemptFilter { delivery: finished.delivery, ..AttemptFilter::default() },
    ] {
        let found = store.attempt_list(&filter, 500).await.unwrap().rows;
        let of_deleted = |id: IntegrationId| id == crowd.bench.crm;
        assert!(found.iter().all(|attempt| !of_deleted(attempt.integration)), "{filter:?}");
    }
}

/// A line of the audit, as a test knows it.
#[derive(Debug, FromRow)]
struct Line {
    id: Uuid,
    company_id: i64,
    operator: String,
    at: i64,
}

impl Bench {
    async fn note_act(&self, company: CompanyId, operator: &str) {
        let call = leadlined::store::operator::command::Mutation { operator: operator.to_owned(), ..call() };
        let mut command = self.store.batch(&call).await.unwrap();
        command.audit(company, "something", None, None).await.unwrap();
        command.commit().await.unwrap();
    }
}

#[tokio::test]
async fn each_restriction_of_the_audit_restricts_alone_and_with_each_other() {
    let bench = Bench::new().await;
    let other = bench.add_company("The Mill").await;
    for _ in 0..2 {
        for company in [bench.company, other, CompanyId(0)] {
            for operator in ["ann", "Ann", "ben"] {
                bench.note_act(company, operator).await;
            }
        }
    }
    let sql = "SELECT id, company_id, operator, (extract(epoch FROM at) * 1000000)::bigint AS at FROM audit ORDER BY id DESC";
    let rows: Vec<Line> = sqlx::query_as(sql).fetch_all(&bench.pool).await.unwrap();
    let mut arms: Vec<Arm<AuditFilter, Line>> = Vec::new();
    // What concerns no company is kept under none.
    for company in [bench.company, other, CompanyId(0)] {
        arms.push(arm(
            "company",
            company,
            move |filter: &mut AuditFilter| filter.company = Some(company),
            move |row: &Line| CompanyId(row.company_id) == company,
        ));
    }
    for operator in ["ann", "Ann"] {
        arms.push(arm(
            "operator",
            operator,
            move |filter: &mut AuditFilter| filter.operator = Some(operator.to_owned()),
            move |row: &Line| row.operator == operator,
        ));
    }
    let (at, after) = (rows[9].at, rows[5].id);
    arms.push(arm(
        "since",
        at,
        move |filter: &mut AuditFilter| filter.since = Some(time(at)),
        move |row: &Line| row.at >= at,
    ));
    arms.push(arm(
        "until",
        at,
        move |filter: &mut AuditFilter| filter.until = Some(time(at)),
        move |row: &Line| row.at < at,
    ));
    arms.push(arm(
        "after",
        after,
        move |filter: &mut AuditFilter| filter.after = Some(AuditId::from(after)),
        move |row: &Line| row.id < after,
    ));
    let list = async |filter: AuditFilter| {
        let lines = bench.store.audit_lines(&AuditFilter { limit: 100, ..filter }).await.unwrap();
        lines.into_iter().map(|line| line.id.uuid()).collect::<Vec<_>>()
    };
    check_arms(&arms, &rows, |row| row.id, list).await;
    let some = AuditFilter { limit: 4, ..AuditFilter::default() };
    assert_eq!(bench.store.audit_lines(&some).await.unwrap().len(), 4, "of all companies together");
}

#[tokio::test]
async fn activity_is_of_a_company_of_integrations_and_before_a_time() {
    let crowd = crowd().await;
    crowd.bench.note_act(crowd.bench.company, "ann").await;
    crowd.bench.note_act(crowd.other_company, "ben").await;
    let list = async |filter: ActivityFilter| crowd.bench.store.activity(&filter, 100).await.unwrap();
    let all = list(ActivityFilter::default()).await;
    assert!(all.iter().all(|one| match &one.what {
        What::Attempt(attempt) => attempt.finished.is_some(),
        What::Act(_) => true,
    }));
    for company in [crowd.bench.company, crowd.other_company] {
        let own = list(ActivityFilter { company: Some(company), ..ActivityFilter::default() }).await;
        assert_eq!(own.len(), all.iter().filter(|one| one.company() == company).count());
        let name = if company == crowd.bench.company { "The Old Barn" } else { "The Mill" };
        assert!(own.iter().all(|one| one.company() == company && one.company_name == name));
    }
    // Acts are no integration's, and stay.
    let of = ActivityFilter { integrations: vec![crowd.disabled], ..ActivityFilter::default() };
    let (mut attempts, mut acts) = (0, 0);
    for one in list(of).await {
        match one.what {
            What::Attempt(attempt) => {
                assert_eq!(attempt.integration, crowd.disabled);
                attempts += 1;
            }
            What::Act(_) => acts += 1,
        }
    }
    assert!(attempts > 0 && acts == 2, "{attempts} {acts}");
    let middle = all[all.len() / 2].at();
    let before = list(ActivityFilter { before: Some(middle), ..ActivityFilter::default() }).await;
    assert_eq!(before.len(), all.iter().filter(|one| one.at() < middle).count());
    let few = crowd.bench.store.activity(&ActivityFilter::default(), 1).await.unwrap();
    assert_eq!(few.len(), 2, "the newest attempt and the newest act");
}
