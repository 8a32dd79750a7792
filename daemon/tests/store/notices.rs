//! Notices: what changed is told once to each who is to hear of it, and tried until its time is over.

use std::time::Duration;

use leadlined::{
    domain::notice::{Notice, NoticeState},
    store::notice::{NoticeEnd, TakenNotice},
};

use super::bench::Bench;

impl Bench {
    /// The first integration fails, and another is to be told so.
    async fn failing(&self) {
        let pager = self.integration(self.company, "pager").await;
        self.sql(&format!("UPDATE integration SET notices = true WHERE id = '{}'", pager.uuid())).await;
        self.sql(&format!(
            "UPDATE integration_stat SET failing = true WHERE integration_id = '{}'",
            self.crm.uuid()
        ))
        .await;
    }

    async fn taken(&self) -> Vec<TakenNotice> {
        self.store.take_notices(self.daemon, &[], 10).await.unwrap()
    }
}

#[tokio::test]
async fn a_change_is_told_once_to_those_who_are_to_hear() {
    let bench = Bench::new().await;
    assert_eq!(bench.store.watch_notices().await.unwrap(), 0);
    bench.failing().await;
    assert_eq!(bench.store.watch_notices().await.unwrap(), 1);
    assert_eq!(bench.store.watch_notices().await.unwrap(), 0, "it was told");
    bench.sql("UPDATE integration_stat SET failing = false").await;
    assert_eq!(bench.store.watch_notices().await.unwrap(), 1, "and that it is over");
    let notices = bench.store.notices(Some(bench.company), None, 10).await.unwrap();
    let mut kinds: Vec<_> = notices.iter().map(|notice| notice.kind.as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, [Notice::IntegrationFailing.as_str(), Notice::IntegrationRecovered.as_str()]);
    assert!(
        notices.iter().all(|notice| notice.state == NoticeState::Pending && notice.integration != bench.crm)
    );
    assert_eq!(bench.store.notices(None, Some(notices[0].id), 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_silent_company_is_told_of_and_so_is_its_next_lead() {
    let mut bench = Bench::new().await;
    bench.sql("UPDATE integration SET notices = true").await;
    bench.sql("UPDATE company SET quiet_hours = 5, quiet_since = now() - interval '6 hours'").await;
    assert_eq!(bench.store.watch_notices().await.unwrap(), 1);
    bench.pending().await;
    assert_eq!(bench.store.watch_notices().await.unwrap(), 1);
    let kinds: Vec<_> = bench.taken().await.iter().map(|notice| notice.kind.as_str()).collect();
    assert_eq!(kinds, [Notice::NoLeads.as_str()], "each receiver is told one after another");
}

#[tokio::test]
async fn silence_counts_from_the_last_lead_whenever_the_hours_were_set() {
    let mut bench = Bench::new().await;
    bench.sql("UPDATE integration SET notices = true").await;
    // Where none ever came in, it counts from then on.
    bench.sql("UPDATE company SET quiet_hours = 5, quiet_since = now()").await;
    assert_eq!(bench.store.watch_notices().await.unwrap(), 0);
    bench.pending().await;
    assert_eq!(bench.store.watch_notices().await.unwrap(), 0);
    bench.sql("UPDATE lead SET received_at = now() - interval '6 hours'").await;
    assert_eq!(bench.store.watch_notices().await.unwrap(), 1, "its last lead is older than that");
    let kinds: Vec<_> = bench.taken().await.iter().map(|notice| notice.kind.as_str()).collect();
    assert_eq!(kinds, [Notice::NoLeads.as_str()]);
}

#[tokio::test]
async fn a_notice_is_taken_by_one_daemon_and_tried_again_until_its_end() {
    let bench = Bench::new().await;
    bench.failing().await;
    bench.store.watch_notices().await.unwrap();
    let notice = bench.taken().await.remove(0);
    assert_eq!((notice.kind.as_str(), notice.attempts), (Notice::IntegrationFailing.as_str(), 0));
    let another = bench.store.enroll(600.0).await.unwrap();
    assert!(bench.store.take_notices(another, &[], 10).await.unwrap().is_empty(), "it is the first one's");
    assert!(bench.store.take_notices(bench.daemon, &[notice.lane.integration], 10).await.unwrap().is_empty());
    let end = async |daemon, end: NoticeEnd| bench.store.finish_notice(daemon, &notice, &end).await.unwrap();
    end(another, NoticeEnd::Delivered).await;
    let shown = async || bench.store.notices(None, None, 1).await.unwrap().remove(0);
    assert_eq!(
        (shown().await.state.known().unwrap(), shown().await.attempts),
        (NoticeState::Pending, 0),
        "that one may say nothing"
    );
    end(bench.daemon, NoticeEnd::Retry { after: Duration::from_secs(60), error: "busy".to_owned() }).await;
    assert_eq!((shown().await.attempts, shown().await.error.as_deref()), (1, Some("busy")));
    assert!(bench.taken().await.is_empty(), "it waits");
    bench.sql("UPDATE notice SET due_at = now()").await;
    let again = bench.taken().await.remove(0);
    assert_eq!(again.attempts, 1);
    bench
        .store
        .finish_notice(bench.daemon, &again, &NoticeEnd::Dead { error: "gone".to_owned() })
        .await
        .unwrap();
    assert_eq!(shown().await.state, NoticeState::Dead);
    assert!(shown().await.finished_at.is_some());
}
