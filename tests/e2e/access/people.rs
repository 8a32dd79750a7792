//! People are masked for viewers, whatever they ask; whoever may look at one leaves a line in the audit.

use leadline_fakes::{Behaviour, Receiver};
use leadline_proto::v1::{
    self, Role, activity_service_client::ActivityServiceClient, attempt_service_client::AttemptServiceClient,
    delivery_service_client::DeliveryServiceClient, failure_service_client::FailureServiceClient,
    integration_service_client::IntegrationServiceClient, lead_service_client::LeadServiceClient,
    token_service_client::TokenServiceClient,
};
use leadline_tests::{Cli, Operator, Scene, post_lead, request_id, wait_until};
use serde_json::json;
use tonic::Code;

use super::{Authority, connect, daemon, leads, show, token, tokens, walk::reason};

/// What must not be seen, in small letters.
const SECRETS: [&str; 5] = ["zebulon", "quackenbush", "zeb@example", "7700900999", "lighthouse keeper"];

/// Fails if an answer shows the person.
fn closed(what: &str, answer: &impl prost::Message) {
    let bytes = answer.encode_to_vec();
    let text = String::from_utf8_lossy(&bytes).to_lowercase();
    for secret in SECRETS {
        assert!(!text.contains(secret), "{what} shows {secret}: {text}");
    }
}

/// What else may show a person: attempts, deliveries, failures, the trace, activity, the integration, and each stream.
async fn everything_else_is_closed(wire: &super::Wire, crm: &str, uuid: &str, delivery: String) {
    let mut attempts = AttemptServiceClient::new(wire.clone());
    let listed = attempts.list_attempts(v1::ListAttemptsRequest::default()).await.unwrap().into_inner();
    closed("attempts", &listed);
    let asked = v1::GetAttemptRequest { id: listed.attempts[0].id.clone() };
    closed("attempt", attempts.get_attempt(asked).await.unwrap().get_ref());
    let mut deliveries = DeliveryServiceClient::new(wire.clone());
    closed(
        "deliveries",
        deliveries.list_deliveries(v1::ListDeliveriesRequest::default()).await.unwrap().get_ref(),
    );
    let asked = v1::GetDeliveryRequest { id: delivery.clone() };
    closed("delivery", deliveries.get_delivery(asked).await.unwrap().get_ref());
    let asked = v1::ExplainDeliveryRequest { id: delivery };
    closed("why", DeliveryServiceClient::new(wire.clone()).explain_delivery(asked).await.unwrap().get_ref());
    let failures =
        FailureServiceClient::new(wire.clone()).list_failures(v1::ListFailuresRequest::default()).await;
    closed("failures", failures.unwrap().get_ref());
    let asked = v1::TraceLeadRequest { uuid: uuid.to_owned(), ..Default::default() };
    closed("trace", LeadServiceClient::new(wire.clone()).trace_lead(asked).await.unwrap().get_ref());
    let mut activity = ActivityServiceClient::new(wire.clone());
    closed("activity", activity.list_activity(v1::ListActivityRequest::default()).await.unwrap().get_ref());
    let mut stream = activity.watch_activity(v1::WatchActivityRequest::default()).await.unwrap().into_inner();
    closed("watched activity", &stream.message().await.unwrap().unwrap());
    let asked = v1::GetIntegrationRequest { integration: crm.to_owned() };
    let shown = IntegrationServiceClient::new(wire.clone()).get_integration(asked).await.unwrap();
    closed("integration", shown.get_ref());
    let mut watch = IntegrationServiceClient::new(wire.clone());
    let mut stream =
        watch.watch_integrations(v1::WatchIntegrationsRequest::default()).await.unwrap().into_inner();
    closed("watch", &stream.message().await.unwrap().unwrap());
    let asked = v1::WatchAttemptsRequest { integration: crm.to_owned() };
    let mut stream = attempts.watch_attempts(asked).await.unwrap().into_inner();
    closed("watched attempts", &stream.message().await.unwrap().unwrap());
    let asked = v1::PreviewIntegrationRequest {
        integration: crm.to_owned(),
        lead: uuid.to_owned(),
        ..Default::default()
    };
    let preview = IntegrationServiceClient::new(wire.clone()).preview_integration(asked).await.unwrap();
    closed("preview", preview.get_ref());
}

/// Parts of what leads say would list people.
async fn no_search_goes_through_what_leads_say(seen: &mut LeadServiceClient<super::Wire>, uuid: &str) {
    for text in ["lighthouse", "zeb@example.com", uuid] {
        let asked = v1::FindLeadsAnywhereRequest { text: text.to_owned(), ..Default::default() };
        let refused = seen.find_leads_anywhere(asked).await.unwrap_err();
        assert_eq!(
            (refused.code(), refused.message()),
            (
                Code::InvalidArgument,
                "text: people are masked for you, and what leads say names them: find one by a whole e-mail address, \
                 phone number or uuid"
            )
        );
    }
}

/// Shuts the breaker and the throttle of an integration, which say why in the target's words.
async fn both_gates_are_shut(daemon: &leadline_tests::Daemon, operator: &Operator, crm: &str) {
    let shut = "UPDATE integration SET throttled_until = now() + interval '1 hour';
        UPDATE integration_stat SET last_class = 'throttled', streak = 20, trips = 1, breaker_error = last_error,
            breaker_until = now() + interval '1 hour'";
    sqlx::raw_sql(shut).execute(&daemon.database().pool().await).await.unwrap();
    let health = operator.integration(crm).await.health.unwrap();
    let whys = [&health.throttle_why, &health.breaker.unwrap().why];
    assert!(whys.iter().all(|why| why.contains("Quackenbush")), "{whys:?}");
}

/// A viewer finds by what is whole, and looks through nothing that leads say.
async fn only_whole_words_find(seen: &mut LeadServiceClient<super::Wire>, uuid: &str) {
    let find = |text: &str| v1::FindLeadsRequest { text: text.to_owned(), ..Default::default() };
    let part = seen.find_leads(find("zebu")).await.unwrap_err();
    assert_eq!(
        (part.code(), part.message()),
        (
            Code::InvalidArgument,
            "text: people are masked for you, so give a whole e-mail address, phone number or uuid"
        )
    );
    for whole in ["zeb@example.com", "07700 900999", uuid] {
        let found = seen.find_leads(find(whole)).await.unwrap().into_inner();
        assert_eq!(found.leads.len(), 1, "{whole}");
        closed("find", &found);
    }
    for denied in ["b@example.com", "900999"] {
        let found = seen.find_leads(find(denied)).await.map(|found| found.into_inner().leads.len());
        assert!(found.is_err() || found.is_ok_and(|found| found == 0), "{denied}");
    }
    let asked = v1::FindLeadsAnywhereRequest { text: "lighthouse".to_owned(), ..Default::default() };
    let refused = seen.find_leads_anywhere(asked).await.unwrap_err();
    assert_eq!(
        (refused.code(), &*reason(&refused)),
        (Code::PermissionDenied, "NEEDS_ROLE"),
        "no viewer may, by the rule in the contract"
    );
}

#[tokio::test]
async fn a_viewer_sees_nobody_and_an_operator_who_reveals_leaves_a_line() {
    let authority = Authority::new();
    let daemon = daemon(&authority).await;
    let operator = Operator::new(daemon.control().await);
    let error = "Zebulon Quackenbush <zeb@example.com> is known, call +44 7700900999";
    let receiver = Receiver::start(Behaviour::RefuseAll(422, error.to_owned())).await.unwrap();
    let key = operator.company(7).await;
    let more = json!({ "headers": { "X-Person": { "value": "{{ lead.name }}", "public": true } } });
    let url = receiver.url("/people/{{ lead.email }}");
    let crm = operator.webhook(7, "crm", &url, more).await.integration.unwrap().id;
    let lead = json!({ "lead": { "name": "Zebulon Quackenbush", "email": "zeb@example.com", "phone": "+447700900999",
        "event_type": "wedding", "event_date": "2027-05-01", "guest_count": 80, "gdpr_consent": true,
        "message": "I am a lighthouse keeper" } });
    let (status, posted) = post_lead(&daemon.url("/v1/leads"), &key, lead.to_string()).await;
    assert_eq!(status, 202, "{posted}");
    let uuid = posted["lead"].as_str().unwrap().to_owned();
    let delivery = posted["deliveries"][0]["delivery_id"].as_str().unwrap().to_owned();
    wait_until("a delivery is dead", async || operator.badge(&crm).await == "failing").await;

    both_gates_are_shut(&daemon, &operator, &crm).await;
    let channel = connect(&daemon, &authority.file(), None).await.unwrap();
    let (_, viewer) = token(&daemon, Role::Viewer, "", false).await;
    let wire = show(channel.clone(), Some(&viewer));
    let mut seen = leads(&wire);
    closed("list", seen.list_leads(v1::ListLeadsRequest::default()).await.unwrap().get_ref());
    let asked = v1::GetLeadRequest { uuid: uuid.clone(), ..Default::default() };
    let got = seen.get_lead(asked).await.unwrap().into_inner();
    closed("get", &got);
    assert_eq!(got.lead.unwrap().name, "xxxxxxx xxxxxxxxxxx", "the form is shown");
    for format in [v1::EvidenceFormat::Markdown, v1::EvidenceFormat::Json] {
        let asked =
            v1::GetEvidenceRequest { uuid: uuid.clone(), format: format.into(), ..Default::default() };
        closed("evidence", seen.get_evidence(asked).await.unwrap().get_ref());
    }
    only_whole_words_find(&mut seen, &uuid).await;
    everything_else_is_closed(&wire, &crm, &uuid, delivery).await;
    let reveal = v1::RevealRequest { uuid: uuid.clone(), ..Default::default() };
    assert_eq!(seen.reveal(reveal.clone()).await.unwrap_err().code(), Code::PermissionDenied);

    // An operator from whom people are masked sees one at a time, and each look is told.
    let (_, masked) = token(&daemon, Role::Operator, "7", true).await;
    let mut seen = leads(&show(channel, Some(&masked)));
    closed("list", seen.list_leads(v1::ListLeadsRequest::default()).await.unwrap().get_ref());
    no_search_goes_through_what_leads_say(&mut seen, &uuid).await;
    let revealed = seen.reveal(reveal).await.unwrap().into_inner();
    assert_eq!((&*revealed.name, &*revealed.email), ("Zebulon Quackenbush", "zeb@example.com"));
    let audit = Cli::new(daemon.socket()).json(&["audit", "list", "--limit", "1"]).await;
    let line = &audit[0];
    assert_eq!(
        (&line["action"], &line["operator"]),
        (&json!("Reveal"), &json!("token operator 7")),
        "{line}"
    );
    assert!(line["target"].as_str().unwrap().starts_with("lead "), "{line}");
    daemon.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn a_lead_that_is_read_with_an_intake_key_leaves_a_line() {
    let daemon = leadline_tests::Daemon::start().await;
    let key = Operator::new(daemon.control().await).company(7).await;
    let lead = leadline_fakes::sample_lead(1).to_string();
    let (_, posted) = post_lead(&daemon.url("/v1/leads"), &key, lead).await;
    let url = daemon.url(&format!("/v1/leads/{}", posted["lead"].as_str().unwrap()));
    for _ in 0..3 {
        let answer = leadline_tests::http().get(&url).bearer_auth(&key).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    let uuid = posted["lead"].as_str().unwrap();
    let cli = Cli::new(daemon.socket());
    // Another hour may begin meanwhile.
    let read = cli.json(&["audit", "list", "--readings", "--lead", uuid]).await;
    let read = read.as_array().unwrap();
    let times: u64 = read.iter().map(|line| line["after"]["times"].as_u64().unwrap()).sum();
    assert!(times == 3 && read.len() <= 2, "{read:?}");
    for line in read {
        assert_eq!(line["action"], "ReadLead", "{line}");
        assert!(line["operator"].as_str().unwrap().starts_with("intake key llk_7_"), "{line}");
        assert!(
            line["done"].as_str().unwrap().starts_with(&format!("read lead {}: ", uuid.to_uppercase())),
            "{line}"
        );
        assert!(line["after"]["first_at"].is_string() && line["at"].is_string(), "{line}");
    }
    // Neither among what was changed, nor in what happens.
    for command in [&["audit", "list"][..], &["activity"]] {
        let listed = cli.run(&[command, &["-o", "json"]].concat()).await.stdout;
        assert!(listed.contains("CreateCompany") && !listed.contains("ReadLead"), "{command:?}: {listed}");
    }
    let revealed = cli.json(&["lead", "reveal", uuid]).await;
    assert_eq!(revealed["company_id"], 7, "{revealed}");
    let read = cli.json(&["audit", "list", "--readings", "--limit", "1"]).await;
    assert_eq!(read[0]["action"], "Reveal", "{read}");
    daemon.stop().await;
}

#[tokio::test]
async fn nobody_makes_a_token_that_sees_more_or_lasts_longer_than_their_own() {
    let authority = Authority::new();
    let daemon = daemon(&authority).await;
    let channel = connect(&daemon, &authority.file(), None).await.unwrap();
    let make = async |secret: Option<&str>, masked: bool, hours: Option<i64>| {
        let request = v1::CreateTokenRequest {
            request_id: request_id(),
            role: Role::Admin.into(),
            masked,
            expires_in: hours.map(|hours| prost_types::Duration { seconds: hours * 3600, nanos: 0 }),
            ..Default::default()
        };
        match secret {
            Some(_) => TokenServiceClient::new(show(channel.clone(), secret)).create_token(request).await,
            None => tokens(&daemon).await.create_token(request).await,
        }
        .unwrap()
        .into_inner()
    };
    let who = async |token: &str| {
        let mut tokens = TokenServiceClient::new(show(channel.clone(), Some(token)));
        tokens.who_am_i(v1::WhoAmIRequest {}).await.unwrap().into_inner()
    };
    let own = make(None, true, Some(24)).await;
    let ends = own.expires_at.unwrap();
    for (masked, hours) in [(false, None), (true, Some(48)), (false, Some(1))] {
        let made = make(Some(&own.token), masked, hours).await;
        let (made_ends, seen) = (made.expires_at.unwrap(), who(&made.token).await);
        assert!(seen.masked, "{masked} {hours:?}: {seen:?}");
        // The database keeps less of a second than the answer that was given before.
        assert_eq!(seen.expires_at.unwrap().seconds, made_ends.seconds);
        match hours {
            Some(1) => assert!(made_ends.seconds < ends.seconds - 3600),
            _ => assert_eq!(made_ends.seconds, ends.seconds, "{hours:?}"),
        }
    }
    // Whoever sees people may still make both.
    let open = make(None, false, None).await;
    assert!(open.expires_at.is_none() && !who(&open.token).await.masked);
    daemon.stop().await;
}

#[tokio::test]
async fn an_export_leaves_a_line_for_each_lead_before_it_is_told() {
    let Scene { daemon, key, .. } = Scene::set().no_webhook().start().await;
    for guests in [10, 20] {
        let lead = json!({ "lead": { "name": "Zebulon", "email": "zeb@example.com", "event_type": "wedding",
            "event_date": "2027-05-01", "guest_count": guests, "gdpr_consent": true } });
        let (status, posted) = post_lead(&daemon.url("/v1/leads"), &key, lead.to_string()).await;
        assert_eq!(status, 202, "{posted}");
    }
    let cli = Cli::new(daemon.socket());
    let readings = async || -> Vec<String> {
        let audit = cli.json(&["audit", "list"]).await;
        let lines = audit.as_array().unwrap().iter().filter(|line| line["action"] == "ExportPerson");
        lines.map(|line| line["target"].as_str().unwrap().to_owned()).collect()
    };
    // Who asks for nobody has read nobody.
    cli.run(&["lead", "export", "--email", "nobody@example.com"]).await.error(1);
    assert!(readings().await.is_empty());
    let exported = cli.run(&["lead", "export", "--email", "zeb@example.com"]).await;
    assert!(exported.stdout.contains("zeb@example.com"), "{exported:?}");
    let noted = readings().await;
    assert_eq!(noted.len(), 2, "{noted:?}");
    assert!(noted.iter().all(|target| target.starts_with("lead ")), "{noted:?}");
    daemon.stop().await;
}
