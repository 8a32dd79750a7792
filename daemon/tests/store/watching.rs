//! What operators are told of, arm by arm: which change makes which notice, for whom, and who pushes it when.

use std::time::Duration;

use leadlined::{
    domain::{
        ids::IntegrationId,
        notice::{Notice, NoticeState},
    },
    store::{notice::NoticeEnd, queue::finish::ERROR_MAX},
};

use super::bench::Bench;

impl Bench {
    /// An integration that is told of what changes.
    async fn pager(&self, name: &str) -> IntegrationId {
        let pager = self.integration(self.company, name).await;
        self.sql(&format!("UPDATE integration SET notices = true WHERE id = '{}'", pager.uuid())).await;
        pager
    }

    async fn of_crm(&self, table: &str, change: &str) {
        let key = if table == "integration" { "id" } else { "integration_id" };
        self.sql(&format!("UPDATE {table} SET {change} WHERE {key} = '{}'", self.crm.uuid())).await;
    }

    /// The notices of what has changed since the last look, and whom they go to.
    async fn watched(&self) -> Vec<(Notice, IntegrationId)> {
        self.sql("DELETE FROM notice").await;
        let count = self.store.watch_notices().await.unwrap();
        let notices = self.store.notices(None, None, 50).await.unwrap();
        assert_eq!(notices.len(), count);
        let mut told: Vec<_> =
            notices.into_iter().map(|notice| (notice.kind.known().unwrap(), notice.integration)).collect();
        told.sort_by_key(|(kind, to)| (kind.as_str(), *to));
        told
    }

    async fn secret_until(&self, until: &str) {
        self.sql(&format!(
            "DELETE FROM signing_secret;
             INSERT INTO signing_secret (company_id, integration_id, version, sealed, expires_at)
             VALUES ({}, '{}', 3, '', {until})",
            self.company,
            self.crm.uuid()
        ))
        .await;
    }
}

#[tokio::test]
async fn each_change_is_told_as_what_it_is_and_no_other() {
    let bench = Bench::new().await;
    let pager = bench.pager("pager").await;
    for (what, table, change, told) in [
        ("it fails", "integration_stat", "failing = true", Some(Notice::IntegrationFailing)),
        ("it fails still", "integration_stat", "failure_count = 7", None),
        (
            "its login is refused",
            "integration_stat",
            "last_class = 'credentials'",
            Some(Notice::CredentialsRefused),
        ),
        (
            "it fails otherwise",
            "integration_stat",
            "last_class = 'rejected'",
            Some(Notice::IntegrationFailing),
        ),
        ("it is well again", "integration_stat", "failing = false", Some(Notice::IntegrationRecovered)),
        ("it is disabled", "integration", "enabled = false", None),
        ("it fails while it is disabled", "integration_stat", "failing = true", None),
        ("it is enabled, and fails", "integration", "enabled = true", Some(Notice::IntegrationFailing)),
        ("it is deleted", "integration", "deleted_at = now()", None),
    ] {
        bench.of_crm(table, change).await;
        let expected: Vec<_> = told.into_iter().map(|notice| (notice, pager)).collect();
        assert_eq!(bench.watched().await, expected, "{what}");
    }
}

#[tokio::test]
async fn the_end_of_a_secret_is_told_an_hour_before_it_and_once_for_each() {
    let bench = Bench::new().await;
    let pager = bench.pager("pager").await;
    for (until, is_told) in [
        ("NULL", false),
        ("now() + interval '61 minutes'", false),
        ("now() - interval '1 second'", false),
        ("now() + interval '59 minutes'", true),
        // It is the same one, and nearer.
        ("now() + interval '5 minutes'", false),
    ] {
        bench.secret_until(until).await;
        let expected = if is_told { vec![(Notice::SecretExpiring, pager)] } else { Vec::new() };
        assert_eq!(bench.watched().await, expected, "{until}");
    }
    bench.sql("UPDATE signing_secret SET version = 4").await;
    assert_eq!(bench.watched().await, [(Notice::SecretExpiring, pager)], "another one");
    let body = bench.store.notices(None, None, 1).await.unwrap().remove(0).body;
    assert!(String::from_utf8(body).unwrap().contains("grace_until"));
}

#[tokio::test]
async fn silence_is_told_when_it_is_as_long_as_the_company_says() {
    let mut bench = Bench::new().await;
    let pager = bench.pager("pager").await;
    let quiet = async |hours: &str, since: &str| {
        bench.sql(&format!("UPDATE company SET quiet_hours = {hours}, quiet_since = {since}")).await;
        bench.watched().await
    };
    assert_eq!(quiet("NULL", "NULL").await, [], "it asked for nothing");
    assert_eq!(quiet("5", "now() - interval '4 hours'").await, []);
    assert_eq!(quiet("5", "now() - interval '301 minutes'").await, [(Notice::NoLeads, pager)]);
    assert_eq!(quiet("5", "now() - interval '9 hours'").await, [], "it was told");
    bench.pending().await;
    assert_eq!(bench.watched().await, [(Notice::LeadsAgain, pager)]);
    // The last lead counts, or its last change.
    bench.sql("UPDATE lead SET received_at = now() - interval '6 hours'").await;
    assert_eq!(bench.watched().await, [(Notice::NoLeads, pager)]);
    bench.sql("UPDATE lead SET updated_at = now()").await;
    assert_eq!(bench.watched().await, [(Notice::LeadsAgain, pager)]);
}

#[tokio::test]
async fn nobody_is_told_of_itself_of_others_companies_or_after_it_is_deleted() {
    let bench = Bench::new().await;
    let other = bench.add_company("The Mill").await;
    let theirs = bench.integration(other, "theirs").await;
    bench.of_crm("integration_stat", "failing = true").await;
    assert_eq!(bench.watched().await, [], "nobody wants to hear");
    bench.sql(&format!("UPDATE integration SET notices = true WHERE id = '{}'", theirs.uuid())).await;
    assert_eq!(bench.watched().await, [], "another company's change");
    bench.of_crm("integration", "notices = true").await;
    assert_eq!(bench.watched().await, [], "it cannot tell that of itself");
    let [first, second] = [bench.pager("first").await, bench.pager("second").await];
    bench.sql("DELETE FROM notice_told").await;
    let mut both = [(Notice::IntegrationFailing, first), (Notice::IntegrationFailing, second)];
    both.sort_by_key(|(_, to)| *to);
    assert_eq!(bench.watched().await, both);
    bench.sql(&format!("UPDATE integration SET deleted_at = now() WHERE id = '{}'", second.uuid())).await;
    bench.sql("DELETE FROM notice_told").await;
    assert_eq!(bench.watched().await, [(Notice::IntegrationFailing, first)]);
}

#[tokio::test]
async fn two_that_look_at_once_tell_a_change_once() {
    let bench = Bench::new().await;
    bench.pager("pager").await;
    bench.of_crm("integration_stat", "failing = true").await;
    let (one, other) = tokio::join!(bench.store.watch_notices(), bench.store.watch_notices());
    assert_eq!(one.unwrap() + other.unwrap(), 1);
    assert_eq!(bench.count("notice").await, 1);
}

#[tokio::test]
async fn a_notice_waits_while_its_receiver_may_not_be_pushed_to() {
    let bench = Bench::new().await;
    let pager = bench.pager("pager").await;
    bench.of_crm("integration_stat", "failing = true").await;
    bench.store.watch_notices().await.unwrap();
    let take = async || bench.store.take_notices(bench.daemon, &[], 10).await.unwrap().len();
    let of = |change: &str| format!("UPDATE integration SET {change} WHERE id = '{}'", pager.uuid());
    for (close, open) in [
        (of("enabled = false"), of("enabled = true")),
        (of("awaits_cut_over = true"), of("awaits_cut_over = false")),
        (of("deleted_at = now()"), of("deleted_at = NULL")),
        ("UPDATE company SET paused_at = now()".to_owned(), "UPDATE company SET paused_at = NULL".to_owned()),
        (
            "UPDATE notice SET due_at = now() + interval '1 hour'".to_owned(),
            "UPDATE notice SET due_at = now()".to_owned(),
        ),
        (
            "UPDATE notice SET kind = 'notice.of_a_newer_daemon'".to_owned(),
            "UPDATE notice SET kind = 'notice.integration_failing'".to_owned(),
        ),
        (
            "UPDATE notice SET state = 'dead', finished_at = now()".to_owned(),
            "UPDATE notice SET state = 'pending', finished_at = NULL".to_owned(),
        ),
    ] {
        bench.sql(&close).await;
        assert_eq!(take().await, 0, "{close}");
        bench.sql(&open).await;
    }
    assert_eq!(take().await, 1);
    assert_eq!(take().await, 1, "what it took before without getting to an end");
    let another = bench.store.enroll(600.0).await.unwrap();
    assert!(bench.store.take_notices(another, &[], 10).await.unwrap().is_empty());
    bench.store.leave(bench.daemon).await.unwrap();
    assert_eq!(bench.store.take_notices(another, &[], 10).await.unwrap().len(), 1, "its daemon is gone");
}

#[tokio::test]
async fn each_receiver_gets_the_oldest_first_and_as_many_are_taken_as_there_is_room() {
    let bench = Bench::new().await;
    let mut pagers = Vec::new();
    for name in ["a", "b", "c"] {
        pagers.push(bench.pager(name).await);
    }
    for failing in [true, false] {
        bench.of_crm("integration_stat", &format!("failing = {failing}")).await;
        bench.store.watch_notices().await.unwrap();
    }
    bench.sql("UPDATE notice SET due_at = created_at").await;
    let take = async |busy: &[IntegrationId], room| {
        let taken = bench.store.take_notices(bench.daemon, busy, room).await.unwrap();
        assert!(taken.iter().all(|notice| notice.kind == Notice::IntegrationFailing), "the older one");
        let mut to: Vec<_> = taken.into_iter().map(|notice| notice.lane.integration).collect();
        to.sort();
        to
    };
    pagers.sort();
    assert_eq!(take(&[], 10).await, pagers);
    assert_eq!(take(&pagers[1..], 10).await, pagers[..1]);
    assert_eq!(take(&[], 2).await.len(), 2);
    // One that waits for its time keeps nobody from the next.
    bench
        .sql("UPDATE notice SET due_at = now() + interval '1 hour' WHERE kind = 'notice.integration_failing'")
        .await;
    let taken = bench.store.take_notices(bench.daemon, &[], 10).await.unwrap();
    assert_eq!(taken.iter().filter(|notice| notice.kind == Notice::IntegrationRecovered).count(), 3);
}

#[tokio::test]
async fn what_a_notice_came_to_is_kept_with_an_error_that_fits() {
    let bench = Bench::new().await;
    bench.pager("pager").await;
    bench.of_crm("integration_stat", "failing = true").await;
    bench.store.watch_notices().await.unwrap();
    let long = format!("\0{}", "x".repeat(2 * ERROR_MAX));
    for (end, state, attempts, is_over) in [
        (NoticeEnd::Retry { after: Duration::ZERO, error: long }, NoticeState::Pending, 1, false),
        (NoticeEnd::Retry { after: Duration::ZERO, error: "b".into() }, NoticeState::Pending, 2, false),
        (NoticeEnd::Delivered, NoticeState::Delivered, 3, true),
    ] {
        let notice = bench.store.take_notices(bench.daemon, &[], 10).await.unwrap().remove(0);
        bench.store.finish_notice(bench.daemon, &notice, &end).await.unwrap();
        let view = bench.store.notices(None, None, 1).await.unwrap().remove(0);
        assert_eq!(
            (view.state.known().unwrap(), view.attempts, view.finished_at.is_some()),
            (state, attempts, is_over)
        );
        assert!(view.error.is_none_or(|error| !error.contains('\0') && error.len() <= ERROR_MAX));
        // It is nobody's any more: who says something of it now says it too late.
        bench
            .store
            .finish_notice(bench.daemon, &notice, &NoticeEnd::Dead { error: "late".into() })
            .await
            .unwrap();
        assert_eq!(bench.count("notice WHERE error = 'late'").await, 0);
    }
}
