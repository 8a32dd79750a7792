//! The frame of operators' commands: one transaction, its answer kept for a repeat, its line in the audit.

use leadlined::store::operator::{
    audit::AuditFilter,
    command::{Begun, Command, Mutation, Refusal},
};
use serde_json::json;

use super::bench::{Bench, call};

impl Bench {
    async fn fresh(&self, call: &Mutation) -> Box<Command> {
        match self.store.begin(call).await.unwrap() {
            Begun::Fresh(command) => command,
            Begun::Repeat(answer) => panic!("it was answered with {answer:?} before"),
        }
    }
}

#[tokio::test]
async fn a_repeat_of_a_request_gets_the_first_answer() {
    let bench = Bench::new().await;
    let call = call();
    assert_eq!(bench.store.answered(&call).await.unwrap(), None);
    bench.fresh(&call).await.answer(&call, b"done").await.unwrap();
    let Begun::Repeat(answer) = bench.store.begin(&call).await.unwrap() else { panic!("it began again") };
    assert_eq!(answer, b"done");
    assert_eq!(bench.store.answered(&call).await.unwrap().as_deref(), Some(&b"done"[..]));
    let other = Mutation { fingerprint: [1; 32], ..call.clone() };
    let refusal = bench.store.begin(&other).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Exists(_)));
    let expected =
        format!("request id {} was used for another request: make a new one for each", call.request_id);
    assert_eq!(refusal.to_string(), expected);
    // The ids of another operator are others.
    bench.fresh(&Mutation { operator: "ben".into(), ..other }).await.answer(&call, b"").await.unwrap();
}

#[tokio::test]
async fn a_command_that_is_not_committed_was_never_asked_for() {
    let bench = Bench::new().await;
    let call = call();
    let mut command = bench.fresh(&call).await;
    command.audit(bench.company, "nothing", None, None).await.unwrap();
    drop(command);
    bench.fresh(&call).await.answer(&call, b"now").await.unwrap();
    assert_eq!(bench.count("audit WHERE target = 'nothing'").await, 0);
}

#[tokio::test]
async fn requests_are_forgotten_after_a_day() {
    let bench = Bench::new().await;
    let call = call();
    bench.fresh(&call).await.answer(&call, b"done").await.unwrap();
    assert_eq!(bench.store.forget_requests().await.unwrap(), 0);
    bench.sql("UPDATE request SET at = now() - interval '25 hours'").await;
    assert_eq!(bench.store.answered(&call).await.unwrap(), None);
    bench.fresh(&call).await.answer(&call, b"again").await.unwrap();
    bench.sql("UPDATE request SET at = now() - interval '25 hours'").await;
    assert_eq!(bench.store.forget_requests().await.unwrap(), 1);
}

#[tokio::test]
async fn the_audit_is_read_newest_first_by_company_operator_and_time() {
    let bench = Bench::new().await;
    let mut command = bench.command().await;
    let other =
        command.create_company(None, "The Mill", leadlined::domain::plan::Plan::Pro, None).await.unwrap().id;
    for target in ["first", "second"] {
        let (before, after) = (Some(json!({"n": 1})), Some(json!({"n": 2})));
        command.audit(bench.company, target, before, after).await.unwrap();
    }
    command.audit(other, "third", None, None).await.unwrap();
    command.commit().await.unwrap();
    let targets = async |filter: AuditFilter| {
        let lines = bench.store.audit_lines(&AuditFilter { limit: 10, ..filter }).await.unwrap();
        assert!(lines.is_sorted_by(|newer, older| newer.id > older.id));
        let mut targets: Vec<_> = lines.into_iter().map(|line| line.target).collect();
        targets.sort();
        targets
    };
    assert_eq!(targets(AuditFilter::default()).await, ["first", "second", "third"]);
    let filter = AuditFilter { company: Some(bench.company), limit: 10, ..AuditFilter::default() };
    let lines = bench.store.audit_lines(&filter).await.unwrap();
    assert_eq!((lines.len(), &*lines[0].operator, &*lines[0].action), (2, "ann", "Test"));
    assert_eq!((&lines[0].before, &lines[0].after), (&Some(json!({"n": 1})), &Some(json!({"n": 2}))));
    let after =
        AuditFilter { after: Some(lines[0].id), company: Some(bench.company), ..AuditFilter::default() };
    assert_eq!(targets(after).await, [&*lines[1].target]);
    let nobody = AuditFilter { operator: Some("ben".to_owned()), ..AuditFilter::default() };
    assert!(targets(nobody).await.is_empty());
    // All were written at once: by one transaction.
    let at = Some(lines[0].at);
    assert!(targets(AuditFilter { until: at, ..AuditFilter::default() }).await.is_empty());
    assert_eq!(targets(AuditFilter { since: at, ..AuditFilter::default() }).await.len(), 3);
}
