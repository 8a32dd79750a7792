//! The database goes away while a daemon runs, and comes back.

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_proto::v1;
use leadline_tests::{Cli, Daemon, Database, Operator, Wire, http, post_lead, wait_until};
use serde_json::json;
use tonic::Code;

#[tokio::test]
async fn a_database_that_goes_away_is_told_and_what_was_acknowledged_arrives_when_it_is_back() {
    let database = Database::create().await;
    let mut wire = Wire::to(&database);
    let daemon = Daemon::start_on(wire.database()).await;
    let operator = Operator::new(daemon.control().await);
    let receiver = Receiver::start(Behaviour::RefuseAll(500, String::new())).await.unwrap();
    let key = operator.company(7).await;
    operator.webhook(7, "crm", &receiver.url("/"), json!({})).await;
    let url = daemon.url("/v1/leads");
    let (first, second) = (sample_lead(1), sample_lead(2));
    assert_eq!(post_lead(&url, &key, first.to_string()).await.0, 202);
    receiver.wait_for(1).await;

    wire.cut().await;
    let post = http().post(&url).bearer_auth(&key).header("content-type", "application/json");
    let refused = post.body(second.to_string()).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    let problem = refused.text().await.unwrap();
    let reported =
        "the database is away, nothing was accepted: send the request again after Retry-After seconds";
    assert!(problem.contains(reported), "{problem}");
    let ready = http().get(daemon.url("/readyz")).send().await.unwrap();
    assert_eq!(ready.status().as_u16(), 503);
    assert_eq!(http().get(daemon.url("/healthz")).send().await.unwrap().status().as_u16(), 200);
    let request = v1::ListCompaniesRequest::default();
    let status = operator.companies().list_companies(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    let reported = Cli::new(daemon.socket()).run(&["company", "list"]).await;
    let line = reported.error(1);
    assert!(line.contains("the database is away") && line.contains("try again"), "{line}");

    wire.mend();
    receiver.set(Behaviour::Good);
    wait_until("the daemon is ready again", async || {
        http().get(daemon.url("/readyz")).send().await.unwrap().status().as_u16() == 200
    })
    .await;
    wait_until("leads are accepted again", async || post_lead(&url, &key, second.to_string()).await.0 == 202)
        .await;
    for lead in [first, second] {
        let uuid = lead["lead"]["uuid"].as_str().unwrap();
        wait_until("both leads are delivered", async || {
            let request = v1::GetLeadRequest { uuid: uuid.to_owned(), company: String::new() };
            operator.leads().get_lead(request).await.unwrap().into_inner().lead.unwrap().state()
                == leadline_proto::v1::LeadState::Complete
        })
        .await;
    }
    daemon.stop().await;
    receiver.stop().await;
}
