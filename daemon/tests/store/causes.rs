//! What fails, by cause: how it is named and counted, how the counts follow the rows, and which of it lists show.

use jiff::{SignedDuration, Timestamp};
use leadlined::{
    domain::{
        cause::CauseId,
        delivery::{Reason, State, Transition},
        fanout::Fate,
        ids::CompanyId,
        lane::LaneId,
        outcome::FailureClass,
    },
    store::{
        failure::list::{FailureFilter, FailureView, Failures},
        queue::retry::RetryOptions,
    },
};

use uuid::Uuid;

use super::bench::{Bench, dead, retry};

impl Bench {
    /// A lead of somebody whose push to a lane ends so, with this error.
    pub(super) async fn fails(
        &mut self,
        lane: LaneId,
        how: &Transition,
        name: &str,
        pence: i64,
        error: &str,
    ) {
        let body = format!(
            r#"{{"lead": {{"name": "{name}"}}, "quote": {{"total_pence": {pence}, "currency": "EUR"}}}}"#
        );
        self.somebody(lane.company, name, &body, &Fate::Pending).await;
        self.push_in(lane, how, error).await;
        // What else it goes to, and its retry, are for later.
        self.sql("UPDATE due SET due_at = now() + interval '1 day'").await;
    }

    pub(super) async fn dies(&mut self, name: &str, error: &str) {
        self.fails(self.lane(), &dead(), name, 100, error).await;
    }

    pub(super) async fn failures(&self, filter: &FailureFilter) -> Failures {
        self.store.failures(filter, 0, 50).await.unwrap()
    }

    async fn listed(&self, filter: FailureFilter) -> Vec<(String, i64)> {
        let failures = self.failures(&filter).await;
        failures.page.into_iter().map(|one| (one.text, one.dead + one.retrying)).collect()
    }

    pub(super) async fn only_failure(&self) -> FailureView {
        let mut failures = self.failures(&FailureFilter::default()).await;
        assert_eq!(failures.page.len(), 1);
        failures.page.remove(0)
    }

    pub(super) async fn retry_dead(&self) {
        let targets = self.targets(State::Dead).await;
        let mut command = self.command().await;
        command.retry(self.company, &targets, RetryOptions::default()).await.unwrap();
        command.commit().await.unwrap();
    }
}

pub(super) fn in_an_hour() -> Option<Timestamp> {
    Some(Timestamp::now() + SignedDuration::from_hours(1))
}

pub(super) fn all() -> FailureFilter {
    FailureFilter::default()
}

#[tokio::test]
async fn errors_that_differ_by_the_leads_own_values_are_one_cause() {
    let mut bench = Bench::new().await;
    bench.dies("Ann Archer", "no owner for Ann Archer").await;
    bench.dies("Bob Butcher", "no owner for Bob Butcher").await;
    bench.dies("Cat Carter", "no such field").await;
    bench.name_all_causes().await;
    let page = bench.failures(&all()).await.page;
    assert_eq!(page.iter().map(|one| one.dead).collect::<Vec<_>>(), [2, 1], "most deliveries first");
    assert!(!page[0].text.contains("Ann") && page[0].text.starts_with("no owner for "), "{}", page[0].text);
    assert_eq!((&*page[0].connector, page[0].class.known()), ("webhook", Some(FailureClass::Rejected)));
    let (id, error) = page[0].sample.clone().unwrap();
    assert_eq!(
        (bench.state(id).await, &*error),
        ("dead".to_owned(), "no owner for Bob Butcher"),
        "the newest"
    );
    // The same words of another connector, or of another class, are another cause.
    bench.sql("UPDATE undelivered SET class = 'transient' WHERE error = 'no owner for Bob Butcher'").await;
    bench.name_all_causes().await;
    assert_eq!(bench.failures(&all()).await.page.len(), 3, "what died of another error is named anew");
    assert_eq!(bench.store.check_causes().await.unwrap(), 0);
}

#[tokio::test]
async fn counts_follow_whatever_becomes_of_the_rows() {
    let mut bench = Bench::new().await;
    for name in ["Ann", "Bob", "Cat", "Dan"] {
        bench.dies(name, "no such field").await;
    }
    bench.name_all_causes().await;
    let ids: Vec<_> = bench.targets(State::Dead).await.into_iter().map(|target| target.id).collect();
    let mut command = bench.command().await;
    command.skip(bench.company, &ids[..1], &Reason::skipped("ann")).await.unwrap();
    command.commit().await.unwrap();
    assert_eq!(bench.only_failure().await.dead, 3);
    let mut command = bench.command().await;
    command.unskip(bench.company, &ids[..1]).await.unwrap();
    command.commit().await.unwrap();
    bench.name_all_causes().await;
    let back = bench.only_failure().await;
    assert_eq!((back.dead, back.money["EUR"]), (4, 400));
    bench.retry_dead().await;
    assert!(bench.listed(all()).await.is_empty(), "what an operator pushes does not fail now");
    assert_eq!(bench.store.check_causes().await.unwrap(), 0, "the counts were right all the while");
}

/// "Since when" is what triage asks first: a retry of all that fails must not begin it anew.
#[tokio::test]
async fn a_cause_begins_anew_only_when_there_was_none_for_an_hour() {
    let mut bench = Bench::new().await;
    bench.dies("Ann", "no such field").await;
    bench.name_all_causes().await;
    bench.sql("UPDATE cause_count SET first_at = now() - interval '1 day'").await;
    let first = bench.only_failure().await.first_at;
    bench.retry_dead().await;
    assert!(bench.listed(all()).await.is_empty());
    bench.push_in(bench.lane(), &dead(), "no such field").await;
    bench.name_all_causes().await;
    assert_eq!(bench.only_failure().await.first_at, first, "the retry has failed");
    bench.retry_dead().await;
    bench.sql("UPDATE cause_count SET emptied_at = now() - interval '2 hours'").await;
    bench.push_in(bench.lane(), &dead(), "no such field").await;
    bench.name_all_causes().await;
    assert!(bench.only_failure().await.first_at > first);
}

/// What the leads and their companies say differs, and nothing else.
#[tokio::test]
async fn a_fault_of_two_customers_is_one_cause() {
    let mut bench = Bench::new().await;
    let other = bench.add_company("The Mill").await;
    let theirs = LaneId::new(other, bench.integration(other, "crm").await);
    for how in [dead(), retry()] {
        let lane = bench.lane();
        bench.fails(lane, &how, "Ann", 0, "Event of Ann at The Old Barn not found").await;
        bench.fails(theirs, &how, "Bob", 0, "Event of Bob at The Mill not found").await;
    }
    bench.name_all_causes().await;
    let fault = ("Event of <lead> at <lead> not found".to_owned(), 2);
    assert_eq!(bench.listed(all()).await, [fault.clone(), fault], "one that is dead, one that retries");
}

#[tokio::test]
async fn causes_are_listed_by_company_integration_class_time_and_page() {
    let mut bench = Bench::new().await;
    let other = bench.add_company("The Mill").await;
    let mill = LaneId::new(other, bench.integration(other, "mill").await);
    let own = bench.lane();
    for (lane, how, error, count) in [
        (own, dead(), "alpha", 3),
        (mill, dead(), "alpha", 2),
        (mill, dead(), "beta", 4),
        (own, super::bench::exhausted(), "gamma", 1),
    ] {
        for n in 0..count {
            bench.fails(lane, &how, &format!("Lead {n}"), 100, error).await;
        }
    }
    bench.name_all_causes().await;
    let places = |list: &[(&str, i64)]| -> Vec<(String, i64)> {
        list.iter().map(|(text, count)| ((*text).to_owned(), *count)).collect()
    };
    let everything = places(&[("alpha", 5), ("beta", 4), ("gamma", 1)]);
    assert_eq!(bench.listed(all()).await, everything);
    for (what, filter, expected) in [
        ("own", FailureFilter { company: Some(own.company), ..all() }, &[("alpha", 3), ("gamma", 1)][..]),
        ("theirs", FailureFilter { company: Some(other), ..all() }, &[("beta", 4), ("alpha", 2)]),
        (
            "lane",
            FailureFilter { integration: Some(mill.integration), ..all() },
            &[("beta", 4), ("alpha", 2)],
        ),
        (
            "lane of another",
            FailureFilter { company: Some(own.company), integration: Some(mill.integration), ..all() },
            &[],
        ),
        ("class", FailureFilter { classes: vec![FailureClass::Transient], ..all() }, &[("gamma", 1)]),
        (
            "classes",
            FailureFilter {
                classes: vec![FailureClass::Transient, FailureClass::Rejected],
                company: Some(other),
                ..all()
            },
            &[("beta", 4), ("alpha", 2)],
        ),
        ("since", FailureFilter { since: in_an_hour(), ..all() }, &[]),
        ("nobody", FailureFilter { company: Some(CompanyId(99)), ..all() }, &[]),
    ] {
        assert_eq!(bench.listed(filter).await, places(expected), "{what}");
    }
    let alpha = bench.failures(&all()).await.page[0].cause;
    let of = FailureFilter { cause: Some(alpha), company: Some(other), ..all() };
    assert_eq!(bench.listed(of).await, places(&[("alpha", 2)]));
    let page = async |skip, limit| bench.store.failures(&all(), skip, limit).await.unwrap();
    let first = page(0, 2).await;
    assert_eq!(
        (first.page.len(), first.has_more, first.deliveries, first.leads),
        (2, true, 10, 10),
        "of all pages"
    );
    let second = page(2, 2).await;
    assert_eq!((second.page.len(), second.has_more, &*second.page[0].text), (1, false, "gamma"));
    assert!(page(9, 2).await.page.is_empty());
    let unknown = CauseId(1);
    let refusal = bench.store.failure(None, unknown).await.unwrap_err().to_string();
    assert_eq!(refusal, format!("nothing fails of cause {unknown} now"));
    assert!(bench.store.failure(Some(CompanyId(99)), alpha).await.is_err());
}

#[tokio::test]
async fn what_waits_for_its_retry_is_counted_with_what_died_of_the_same() {
    let mut bench = Bench::new().await;
    let lane = bench.lane();
    bench.fails(lane, &super::bench::exhausted(), "Ann", 100, "gateway down").await;
    bench.fails(lane, &retry(), "Bob", 100, "gateway down").await;
    bench.fails(lane, &retry(), "Cat", 100, "gateway down").await;
    bench.name_all_causes().await;
    let one = bench.only_failure().await;
    assert_eq!((one.dead, one.retrying, one.leads), (1, 2, 3));
    for (change, undo, retrying) in [
        // What somebody hurries, or never failed, waits for no retry.
        ("due SET trigger = 'manual'", "due SET trigger = 'retry'", 0),
        ("due SET kind = 0", "due SET kind = 1", 0),
        (
            "attempt SET started_at = started_at - interval '4 days' WHERE error = 'gateway down'",
            "attempt SET started_at = started_at + interval '4 days'",
            0,
        ),
        ("delivery SET attempts = 9", "delivery SET attempts = 1", 0),
    ] {
        bench.sql(&format!("UPDATE {change}")).await;
        assert_eq!(bench.only_failure().await.retrying, retrying, "{change}");
        bench.sql(&format!("UPDATE {undo}")).await;
    }
    let of = FailureFilter { cause: Some(one.cause), company: Some(CompanyId(99)), ..all() };
    assert!(bench.listed(of).await.is_empty());
    // Of a cause of which nothing is dead any more, the rest is shown.
    bench.retry_dead().await;
    let left = bench.only_failure().await;
    assert_eq!((left.dead, left.retrying, left.cause), (0, 2, one.cause));
}

#[tokio::test]
async fn the_trend_of_a_day_is_by_quarters_and_keeps_what_came_back() {
    let mut bench = Bench::new().await;
    let quarter = "SELECT date_bin('15 minutes', now(), 'epoch')::text";
    let quarter: String = sqlx::query_scalar(quarter).fetch_one(&bench.pool).await.unwrap();
    for (name, ago) in [("Ann", "0"), ("Bob", "20 minutes"), ("Cat", "20 minutes"), ("Dan", "25 hours")] {
        bench.dies(name, "no such field").await;
        bench
            .sql(&format!("UPDATE undelivered SET since = '{quarter}'::timestamptz - interval '{ago}' WHERE cause_id IS NULL"))
            .await;
        bench.name_all_causes().await;
    }
    let trend = async || bench.only_failure().await.trend;
    assert_eq!(
        trend().await.iter().map(|quarter| quarter.1).collect::<Vec<_>>(),
        [2, 1],
        "oldest first, within a day"
    );
    let newest = bench.targets(State::Dead).await.pop().unwrap();
    let mut command = bench.command().await;
    command.skip(bench.company, &[newest.id], &Reason::skipped("ann")).await.unwrap();
    command.commit().await.unwrap();
    assert_eq!(trend().await.len(), 2);
    let by_integration = bench.store.integration_trends(&[bench.crm]).await.unwrap();
    assert_eq!(by_integration[&bench.crm], trend().await, "of the one integration that has the cause");
    let other = bench.integration(bench.company, "other").await;
    assert!(bench.store.integration_trends(&[other]).await.unwrap().is_empty());
    bench.sql("UPDATE cause_trend SET at = at - interval '25 hours'").await;
    assert!(trend().await.is_empty());
}

#[tokio::test]
async fn what_was_changed_in_the_hour_before_is_named_beside_a_cause() {
    let mut bench = Bench::new().await;
    let other = bench.integration(bench.company, "other").await;
    bench.sql("UPDATE integration SET enabled = false WHERE name = 'other'").await;
    let targets = [
        (format!("integration {}", bench.crm), "10 minutes", true),
        (format!("integration {}", bench.crm), "59 minutes", true),
        (format!("integration {}", bench.crm), "61 minutes", false),
        (format!("integration {other}"), "10 minutes", false),
        ("company 1".to_owned(), "10 minutes", false),
    ];
    let began = Timestamp::now();
    for (target, ago, _) in &targets {
        bench
            .sql(&format!(
                "INSERT INTO audit (company_id, id, at, operator, action, target)
                 SELECT {}, (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || substr(md5(random()::text), 1, 20))::uuid,
                     at, 'ann', 'UpdateIntegration {ago}', '{target}' FROM (SELECT now() - interval '{ago}' AS at) t",
                bench.company
            ))
            .await;
    }
    bench.dies("Ann", "no such field").await;
    bench.name_all_causes().await;
    let one = bench.only_failure().await;
    assert!(one.first_at >= began);
    let named: Vec<_> =
        one.changed_before.iter().map(|line| (line.action.clone(), line.target.clone())).collect();
    let expected: Vec<_> = targets
        .iter()
        .filter(|(.., is_named)| *is_named)
        .map(|(target, ago, _)| (format!("UpdateIntegration {ago}"), target.clone()))
        .collect();
    assert_eq!(named, expected, "newest first");
    assert!(one.changed_before.iter().all(|line| line.target_name.as_deref() == Some("crm")));
}

#[tokio::test]
async fn what_nobody_asks_for_any_more_is_forgotten() {
    let mut bench = Bench::new().await;
    bench.dies("Ann", "alpha").await;
    bench.dies("Bob", "beta").await;
    bench.name_all_causes().await;
    let gone =
        |table: &str, at: &str, ago: &str| format!("UPDATE {table} SET {at} = now() - interval '{ago}'");
    bench.sql(&gone("cause_trend", "at", "47 hours")).await;
    bench.store.check_causes().await.unwrap();
    assert_eq!(bench.count("cause_trend").await, 2);
    bench.sql(&gone("cause_trend", "at", "49 hours")).await;
    bench.sql(&gone("cause", "created_at", "31 days")).await;
    bench.sql(&gone("cause_count", "last_at", "25 hours")).await;
    bench.store.check_causes().await.unwrap();
    assert_eq!(
        (bench.count("cause_trend").await, bench.count("cause_count").await, bench.count("cause").await),
        (0, 2, 2),
        "what is dead keeps its cause"
    );
    bench.retry_dead().await;
    bench.sql(&gone("cause_count", "last_at", "23 hours")).await;
    bench.store.check_causes().await.unwrap();
    assert_eq!(bench.count("cause_count").await, 2, "a count of none is kept for a day");
    assert_eq!(bench.count("cause").await, 0);
}

#[tokio::test]
async fn one_daemon_at_a_time_names_and_takes_no_row_that_changed() {
    let mut bench = Bench::new().await;
    bench.dies("Ann", "alpha").await;
    let mut other = bench.pool.begin().await.unwrap();
    let lock = i64::from_be_bytes(*b"\0\0lead\0\x08");
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(lock).execute(&mut *other).await.unwrap();
    bench.store.name_causes().await.unwrap();
    assert_eq!(bench.count("undelivered WHERE cause_id IS NULL").await, 1, "another is at it");
    other.rollback().await.unwrap();
    bench.name_all_causes().await;
    assert_eq!(bench.count("undelivered WHERE cause_id IS NULL").await, 0);
}

#[tokio::test]
async fn whoever_names_goes_on_behind_what_is_named() {
    let mut bench = Bench::new().await;
    for text in ["alpha", "beta", "gamma"] {
        bench.dies(text, text).await;
    }
    let first = bench.store.name_causes_behind(Uuid::nil(), 1).await.unwrap().unwrap();
    bench.sql("UPDATE undelivered SET cause_id = NULL").await;
    let second = bench.store.name_causes_behind(first, 1).await.unwrap().unwrap();
    assert!(second > first, "{second} {first}");
    assert_eq!(bench.store.name_causes_behind(second, 5).await.unwrap(), None);
    assert_eq!(bench.count("undelivered WHERE cause_id IS NULL").await, 1, "nobody looks back");
    bench.store.name_causes().await.unwrap();
    assert_eq!(bench.count("undelivered WHERE cause_id IS NULL").await, 0);
}

#[tokio::test]
async fn what_failed_in_a_newer_daemons_words_is_left_to_it_and_stops_no_other() {
    let mut bench = Bench::new().await;
    bench.dies("Ann", "alpha").await;
    bench.sql("UPDATE undelivered SET class = 'embargoed'").await;
    bench.dies("Bob", "beta").await;
    bench.name_all_causes().await;
    assert_eq!(bench.count("undelivered WHERE cause_id IS NULL").await, 1);
    let named = bench.only_failure().await;
    assert_eq!((&*named.text, named.dead), ("beta", 1));
}
