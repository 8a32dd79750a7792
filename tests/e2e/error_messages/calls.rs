//! The calls that no command makes, and what they are refused with.

use leadline_proto::v1;
use leadline_tests::request_id;
use prost::Message;
use serde_json::json;
use tonic::{Code, Request, Status, client::Grpc, transport::Channel};

use super::Scene;
use crate::invalid_input::Raw;

/// A call that no command makes: its path, its request, and the words that it is refused with.
type RefusedCall = (String, Vec<u8>, String);

fn call(path: &str, request: impl Message, reported: &str) -> RefusedCall {
    (format!("/leadline.control.v1.{path}"), request.encode_to_vec(), reported.to_owned())
}

fn new_integration(change: fn(&mut v1::CreateIntegrationRequest), reported: &str) -> RefusedCall {
    let mut request = v1::CreateIntegrationRequest {
        request_id: request_id(),
        company: "7".into(),
        connector: "webhook".into(),
        name: "new".into(),
        config: json!({ "url": "https://example.com/" }).to_string(),
        ..Default::default()
    };
    change(&mut request);
    call("IntegrationService/CreateIntegration", request, reported)
}

fn new_flow(change: fn(&mut v1::CreateFlowRequest), reported: &str) -> RefusedCall {
    let mut request = v1::CreateFlowRequest {
        request_id: request_id(),
        company: "7".into(),
        name: "new".into(),
        when: "true".into(),
        then: vec!["hook".into()],
        ..Default::default()
    };
    change(&mut request);
    call("FlowService/CreateFlow", request, reported)
}

fn list(filter: v1::DeliveryFilter, reported: &str) -> RefusedCall {
    call(
        "DeliveryService/ListDeliveries",
        v1::ListDeliveriesRequest { filter: Some(filter), ..Default::default() },
        reported,
    )
}

fn retry(ids: Vec<String>, filter: Option<v1::DeliveryFilter>, reported: &str) -> RefusedCall {
    let request = v1::RetryDeliveriesRequest { request_id: request_id(), ids, filter, ..Default::default() };
    call("DeliveryService/RetryDeliveries", request, reported)
}

fn hold(ids: Vec<String>, filter: Option<v1::DeliveryFilter>, reported: &str) -> RefusedCall {
    let request = v1::HoldDeliveriesRequest { request_id: request_id(), ids, filter, dry_run: false };
    call("DeliveryService/HoldDeliveries", request, reported)
}

/// What the commands do not let through, or say themselves.
#[rustfmt::skip]
fn calls(scene: &Scene) -> Vec<RefusedCall> {
    use v1::*;
    let put = |text: &str| scene.put(text);
    let named = || vec![put("$delivered")];
    let found = || Some(DeliveryFilter { integration: "hook".into(), ..Default::default() });
    let never = || Some(prost_types::Timestamp { seconds: i64::MIN, nanos: 0 });
    vec![
        call("AttemptService/ListAttempts", ListAttemptsRequest { status_code: 1000, ..Default::default() }, "status_code 1000: give a status of HTTP, or 0 for any"),
        call("LeadService/GetEvidence", GetEvidenceRequest { uuid: put("$lead"), format: 9, ..Default::default() }, "format 9: use a value of EvidenceFormat"),
        call("AttemptService/ListAttempts", ListAttemptsRequest { integration: "hook".into(), delivery: put("$delivered"), ..Default::default() }, "send either an integration or a delivery, not both"),
        call("IntegrationService/GetIntegration", GetIntegrationRequest::default(), "name an integration, by its id or its name"),
        call("AttemptService/AwaitAttempt", AwaitAttemptRequest { attempt: put("$none"), delivery: put("$delivered"), after_number: 0 }, "send either an attempt or a delivery, not both"),
        call("AttemptService/AwaitAttempt", AwaitAttemptRequest { delivery: put("$delivered"), after_number: 5, ..Default::default() }, "delivery $delivered is delivered after 1 attempts and is not being pushed: retry or release it"),
        call("CompanyService/ListCompanies", ListCompaniesRequest { page_size: 1001, ..Default::default() }, "page_size 1001: at most 1000; take the next page with `page_token`"),
        call("CompanyService/ListCompanies", ListCompaniesRequest { page_token: "x".into(), ..Default::default() }, "page_token \"x\": give the next_page_token of the page before, or the last id on it"),
        call("ActivityService/ListActivity", ListActivityRequest { page_token: "x".into(), ..Default::default() }, "page_token \"x\": give the next_page_token of the page before, or the last id on it"),
        call("ConnectorService/ListConnectors", ListConnectorsRequest { page_token: "x".into(), ..Default::default() }, "page_token \"x\": give the next_page_token of the page before, or the last id on it"),
        call("CompanyService/GetCompany", GetCompanyRequest::default(), "name a company, by its id or its name"),
        call("CompanyService/CreateCompany", CreateCompanyRequest::default(), "request_id: send one of your own making with every mutation, a ULID or a UUID, at most 100 characters"),
        call("CompanyService/CreateCompany", CreateCompanyRequest { request_id: request_id(), name: "X".into(), ..Default::default() }, "plan: use free, starter, pro or multi"),
        call("CompanyService/UpdateCompany", UpdateCompanyRequest { request_id: request_id(), company: "7".into(), time_zone: Some("Mars".into()), ..Default::default() }, "time_zone: unknown time zone \"Mars\": give a name of the IANA database, as Europe/London"),
        call("CompanyService/UpdateCompany", UpdateCompanyRequest { request_id: request_id(), company: "7".into(), quiet_after: Some(prost_types::Duration { seconds: 1800, nanos: 0 }), ..Default::default() }, "quiet_after: give 0 for no such notice, or 1 to 8760 whole hours"),
        new_integration(|it| it.config = "{".into(), "config is not JSON: EOF while parsing an object at line 1 column 1; give one object"),
        new_integration(|it| it.config = "[]".into(), "config: give one JSON object, as in {\"url\": \"https://…\"}"),
        new_integration(|it| it.events = vec![Event::WebhookTest.into()], "event 3: use LEAD_CREATED or LEAD_UPDATED"),
        new_integration(|it| it.payload = 9, "payload 9: use a value of Payload"),
        new_integration(|it| it.routing = 9, "routing 9: use a value of Routing"),
        list(DeliveryFilter { undelivered: true, states: vec![v1::DeliveryState::Dead.into()], ..Default::default() }, "undelivered means pending, held and dead: send either it or states"),
        list(DeliveryFilter { states: vec![9], ..Default::default() }, "state 9: use a value of DeliveryState"),
        list(DeliveryFilter { failure_class: 9, ..Default::default() }, "failure class 9: use a value of FailureClass"),
        list(DeliveryFilter { at: Some(Window { since: never(), until: None }), ..Default::default() }, "since: give a time in the years 0 to 9999"),
        call("AuditService/ListAudit", ListAuditRequest { at: Some(Window { since: None, until: never() }), ..Default::default() }, "until: give a time in the years 0 to 9999"),
        retry(vec![], None, "name deliveries to retry, or send a filter"),
        retry(named(), found(), "send either ids or a filter, not both"),
        retry(vec![put("$none"); 10_001], None, "10001 ids are too many, at most 10000: send a filter instead"),
        hold(vec![], None, "name deliveries to hold, or send a filter"),
        hold(named(), found(), "send either ids or a filter, not both"),
        hold(vec![], Some(DeliveryFilter::default()), "say which deliveries: name a company, an integration, a lead, a cause or a job"),
        call("FlowService/GetFlow", GetFlowRequest::default(), "name a flow, by its id or its name"),
        call("FlowService/TestFlow", TestFlowRequest::default(), "name a flow, or a company and a condition"),
        call("FlowService/TestFlow", TestFlowRequest { flow: "rule".into(), company: "7".into(), ..Default::default() }, "name a flow or a company, not both: a flow has its company"),
        call("FlowService/TestFlow", TestFlowRequest { company: "7".into(), ..Default::default() }, "when: give the condition to test, or name a flow"),
        call("FlowService/TestFlow", TestFlowRequest { company: "7".into(), when: "true".into(), last: 10_001, ..Default::default() }, "last 10001: at most 10000 leads"),
        new_flow(|it| it.then = vec![], "then: name at least one integration that its leads go to"),
        new_flow(|it| it.then = vec!["hook".into(); 1001], "then: 1001 integrations; at most 1000; name fewer"),
        new_flow(|it| it.when = "x".repeat(5000), "when: the condition is longer than 2000 bytes; make two flows of it"),
        new_flow(|it| it.when = "a\0".into(), "when: take out the NUL character"),
        new_flow(|it| (it.company, it.then) = ("11".into(), vec!["full".into()]), "company 11 has 200 flows, and 200 are the most: delete one, or make one of two with ||"),
        call("LeadService/ImportLeads", ImportLeadsRequest::default(), "start: the first message must have it"),
        call("IntegrationService/PreviewIntegration", PreviewIntegrationRequest { integration: "hook".into(), event: 9, ..Default::default() }, "event 9: use a value of Event"),
        call("LeadService/PushLeads", PushLeadsRequest { request_id: request_id(), lead: put("$lead"), per_second: Some(1.0), ..Default::default() }, "per_second: it is a job that keeps a pace, ask for all that are unsynced"),
        call("DeliveryService/RetryDeliveries", RetryDeliveriesRequest { request_id: request_id(), ids: vec![put("$delivered")], per_second: Some(1.0), ..Default::default() }, "per_second: it is a job that keeps a pace, send a filter"),
        call("DeliveryService/RetryDeliveries", RetryDeliveriesRequest { request_id: request_id(), filter: Some(DeliveryFilter { all: true, ..Default::default() }), per_second: Some(0.0), ..Default::default() }, "per_second 0: give 0.001 to 10000"),
        call("LeadService/PushLeads", PushLeadsRequest { request_id: request_id(), ..Default::default() }, "name a lead to push, or ask for all that are unsynced of a company"),
        call("LeadService/PushLeads", PushLeadsRequest { request_id: request_id(), lead: put("$lead"), unsynced: true, ..Default::default() }, "send either a lead or unsynced, not both"),
    ]
}

/// Makes a call and reads to the end of the answers.
async fn make(channel: &Channel, path: &str, request: Vec<u8>) -> Result<(), Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let mut answer = grpc.server_streaming(Request::new(request), path.parse().unwrap(), Raw).await?;
    while answer.get_mut().message().await?.is_some() {}
    Ok(())
}

#[tokio::test]
async fn calls_are_refused_in_these_words_and_change_nothing() {
    let scene = Scene::start().await;
    let full = "integration create --company 11 --connector webhook --name full --config {\"url\":\"$url\"} --disabled";
    assert_eq!(scene.run(full).await.code, 0);
    let flows = scene.operator.flows();
    for number in 0..200 {
        let request = v1::CreateFlowRequest {
            request_id: request_id(),
            company: "11".into(),
            name: number.to_string(),
            when: "true".into(),
            then: vec!["full".into()],
            ..Default::default()
        };
        flows.clone().create_flow(request).await.unwrap();
    }
    let before = scene.contents().await;
    let mut findings = Vec::new();
    for (path, request, reported) in calls(&scene) {
        let refused = make(&scene.channel, &path, request).await.unwrap_err();
        let reported = scene.put(&reported);
        let code = refused.code();
        if refused.message() != reported || code == Code::Internal || code == Code::Unknown {
            findings.push(format!("{path}\n  {code:?} {}\n  {reported}", refused.message()));
        }
        if scene.contents().await != before {
            findings.push(format!("{path}\n  something has changed"));
        }
    }
    let start = v1::ImportStart { request_id: request_id(), company: "7".into(), ..Default::default() };
    let import = futures::stream::iter([
        v1::ImportLeadsRequest { start: Some(start), lines: Vec::new() },
        v1::ImportLeadsRequest { start: None, lines: vec![v1::ImportLine::default(); 1001] },
    ]);
    let mut intake = v1::lead_service_client::LeadServiceClient::new(scene.channel.clone());
    let mut answers = intake.import_leads(import).await.unwrap().into_inner();
    let refused = answers.message().await.unwrap_err();
    assert_eq!(refused.message(), "lines: at most 1000 in a message; send more messages");
    assert_eq!(scene.contents().await, before);
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    scene.end().await;
}
