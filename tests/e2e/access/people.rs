//! People are masked for viewers, whatever they ask; whoever may look at one leaves a line in the audit.

use std::collections::BTreeMap;

use leadline_fakes::{Behaviour, Receiver};
use leadline_proto::v1::{
    self, Role, delivery_service_client::DeliveryServiceClient, flow_service_client::FlowServiceClient,
    integration_service_client::IntegrationServiceClient, lead_service_client::LeadServiceClient,
    token_service_client::TokenServiceClient,
};
use leadline_tests::{Cli, Daemon, Operator, Scene, post_lead, request_id, wait_until};
use serde_json::json;
use tonic::Code;

use super::{
    Authority, Wire, connect, daemon, leads,
    reads::{Subjects, everything_read, read, reads_of, searches},
    show, token, tokens,
    walk::{call, job_of, path, reason},
    wire,
};

/// What must not be seen, in small letters.
const SECRETS: [&str; 5] = ["zebulon", "quackenbush", "zeb@example", "7700900999", "lighthouse keeper"];

/// Fails if an answer shows the person.
fn closed(what: &str, answer: &impl prost::Message) {
    closed_text(what, &String::from_utf8_lossy(&answer.encode_to_vec()));
}

fn closed_text(what: &str, text: &str) {
    let text = text.to_lowercase();
    for secret in SECRETS {
        assert!(!text.contains(secret), "{what} shows {secret}: {text}");
    }
}

/// Everything that is there to be asked about, of every kind; `names` has the uuid of the lead and what else texts name.
async fn things(daemon: &Daemon, operator: &Operator, crm: &str) -> BTreeMap<&'static str, Vec<String>> {
    let cli = Cli::new(daemon.socket());
    cli.json(&["flow", "create", "--company", "7", "--name", "big", "--when", "true", "--then", crm]).await;
    cli.json(&["form", "create", "--company", "7", "--name", "page"]).await;
    let job = job_of(operator, crm).await;
    wait_until("it has failed again", async || operator.finished(crm).await.len() > 1).await;
    let list = async |noun: &str| {
        let listed = cli.json(&[noun, "list", "--company", "7"]).await;
        vec![listed[0]["id"].as_str().unwrap().to_owned()]
    };
    let attempts: Vec<_> = operator.finished(crm).await;
    BTreeMap::from([
        ("COMPANY", vec!["7".to_owned()]),
        ("INTEGRATION", vec![crm.to_owned()]),
        ("DELIVERY", vec![attempts[0].delivery_id.clone()]),
        ("ATTEMPT", attempts.iter().map(|it| it.id.clone()).collect()),
        ("JOB", vec![job]),
        ("FLOW", list("flow").await),
        ("FORM", list("form").await),
        ("INTAKE_KEY", list("intake-key").await),
    ])
}

fn all_closed(told: &BTreeMap<String, Vec<String>>) {
    for (method, answers) in told {
        answers.iter().for_each(|answer| closed_text(method, answer));
    }
}

/// Fails if anything that a role may read shows the person, or was not asked.
async fn everything_is_closed(wire: &Wire, role: Role, asked: &Subjects<'_>) {
    let told = everything_read(wire, asked).await;
    all_closed(&told);
    // Not for whoever sees people masked.
    let silent = ["FindLeadsAnywhere", "TestFlow"];
    let missed: Vec<_> = reads_of(role)
        .into_iter()
        .filter(|name| !told.contains_key(name) && !silent.contains(&&**name))
        .collect();
    assert!(missed.is_empty(), "no answer as {role:?}: {missed:?}");
    assert!(told.len() > 35, "{:?}", told.keys());
}

/// Who would read people letter by letter is turned away: by a text of errors, by a condition, by a mapping.
async fn nobody_is_guessed(wire: &Wire, role: Role, crm: &str, uuid: &str) {
    let may = reason_of(role);
    let mut tried = 0;
    for (method, request) in searches("zebulon") {
        let told = call(wire, path(&method), request).await.unwrap_err();
        let is_list = method.name() == "ListDeliveries";
        assert_eq!(told.code(), Code::PermissionDenied, "{}: {told:?}", method.name());
        assert_eq!(reason(&told), if is_list { "PEOPLE_MASKED" } else { may }, "{}", method.name());
        tried += 1;
    }
    assert!(tried >= 5, "{tried}");
    let mut flows = FlowServiceClient::new(wire.clone());
    for asked in [
        v1::TestFlowRequest { flow: "big".into(), ..Default::default() },
        v1::TestFlowRequest {
            flow: "big".into(),
            when: "lead.email.startsWith('z')".into(),
            ..Default::default()
        },
        v1::TestFlowRequest {
            company: "7".into(),
            when: "lead.name.contains('Z')".into(),
            ..Default::default()
        },
    ] {
        let told = flows.test_flow(asked).await.unwrap_err();
        assert_eq!((told.code(), &*reason(&told)), (Code::PermissionDenied, may), "{told:?}");
    }
    let mapping = json!({ "email": { "value": "{{ lead.email }}" } }).to_string();
    let preview = |mapping| v1::PreviewIntegrationRequest {
        integration: crm.to_owned(),
        lead: uuid.to_owned(),
        mapping,
        ..Default::default()
    };
    let mut integrations = IntegrationServiceClient::new(wire.clone());
    let told = integrations.preview_integration(preview(Some(mapping))).await.unwrap_err();
    if role == Role::Viewer {
        assert_eq!(reason(&told), "NEEDS_ROLE", "{told:?}");
        return;
    }
    let saved = integrations.preview_integration(preview(None)).await.unwrap_err();
    for told in [told, saved] {
        assert_eq!(
            (told.code(), told.message()),
            (
                Code::InvalidArgument,
                "lead: people are masked for you, and a mapping of yours could tell who they are: preview the sample"
            )
        );
    }
    let who = TokenServiceClient::new(wire.clone()).who_am_i(v1::WhoAmIRequest {}).await.unwrap();
    assert!(!who.get_ref().may_call.iter().any(|name| name == "TestFlow"), "{who:?}");
}

/// Why somebody is turned away from what an operator may do who sees people.
fn reason_of(role: Role) -> &'static str {
    if role == Role::Viewer { "NEEDS_ROLE" } else { "PEOPLE_MASKED" }
}

/// Parts of what leads say would list people.
async fn no_search_goes_through_what_leads_say(seen: &mut LeadServiceClient<Wire>, uuid: &str) {
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
async fn both_gates_are_shut(daemon: &Daemon, operator: &Operator, crm: &str) {
    let shut = "UPDATE integration SET throttled_until = now() + interval '1 hour';
        UPDATE integration_stat SET last_class = 'throttled', streak = 20, trips = 1, breaker_error = last_error,
            breaker_until = now() + interval '1 hour'";
    sqlx::raw_sql(shut).execute(&daemon.database().pool().await).await.unwrap();
    let health = operator.integration(crm).await.health.unwrap();
    let whys = [&health.throttle_why, &health.breaker.unwrap().why];
    assert!(whys.iter().all(|why| why.contains("Quackenbush")), "{whys:?}");
}

/// A viewer finds by what is whole, and looks through nothing that leads say.
async fn only_whole_words_find(seen: &mut LeadServiceClient<Wire>, uuid: &str) {
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

/// A daemon where a delivery of one person is dead at an integration whose target quotes them.
struct Quoted {
    authority: Authority,
    daemon: Daemon,
    operator: Operator,
    receiver: Receiver,
    crm: String,
    uuid: String,
}

impl Quoted {
    async fn start() -> Self {
        let authority = Authority::new();
        let daemon = daemon(&authority).await;
        let operator = Operator::new(daemon.control().await);
        let error = "Zebulon Quackenbush <zeb@example.com> is known, call +44 7700900999";
        let receiver = Receiver::start(Behaviour::RefuseAll(422, error.to_owned())).await.unwrap();
        let key = operator.company(7).await;
        let more = json!({ "headers": { "X-Person": { "value": "{{ lead.name }}", "public": true } } });
        let url = receiver.url("/people/{{ lead.email }}");
        let crm = operator.webhook(7, "crm", &url, more).await.integration.unwrap().id;
        let lead = json!({ "lead": { "name": "Zebulon Quackenbush", "email": "zeb@example.com",
            "phone": "+447700900999", "event_type": "wedding", "event_date": "2027-05-01", "guest_count": 80,
            "gdpr_consent": true, "message": "I am a lighthouse keeper" } });
        let (status, posted) = post_lead(&daemon.url("/v1/leads"), &key, lead.to_string()).await;
        assert_eq!(status, 202, "{posted}");
        let uuid = posted["lead"].as_str().unwrap().to_owned();
        wait_until("a delivery is dead", async || operator.badge(&crm).await == "failing").await;
        Self { authority, daemon, operator, receiver, crm, uuid }
    }

    async fn wire(&self, role: Role, masked: bool) -> Wire {
        let (_, token) = token(&self.daemon, role, "", masked).await;
        wire(&self.daemon, &self.authority.file(), None, Some(&token)).await
    }

    async fn end(self) {
        self.daemon.stop().await;
        self.receiver.stop().await;
    }
}

#[tokio::test]
async fn a_viewer_sees_nobody_and_an_operator_who_reveals_leaves_a_line() {
    let scene = Quoted::start().await;
    let uuid = scene.uuid.clone();
    let mut seen = leads(&scene.wire(Role::Viewer, false).await);
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
    let reveal = v1::RevealRequest { uuid: uuid.clone(), ..Default::default() };
    assert_eq!(seen.reveal(reveal.clone()).await.unwrap_err().code(), Code::PermissionDenied);

    // An operator from whom people are masked sees one at a time, and each look is told.
    let (_, masked) = token(&scene.daemon, Role::Operator, "7", true).await;
    let channel = connect(&scene.daemon, &scene.authority.file(), None).await.unwrap();
    let mut seen = leads(&show(channel, Some(&masked)));
    closed("list", seen.list_leads(v1::ListLeadsRequest::default()).await.unwrap().get_ref());
    no_search_goes_through_what_leads_say(&mut seen, &uuid).await;
    let revealed = seen.reveal(reveal).await.unwrap().into_inner();
    assert_eq!((&*revealed.name, &*revealed.email), ("Zebulon Quackenbush", "zeb@example.com"));
    let audit = Cli::new(scene.daemon.socket()).json(&["audit", "list", "--limit", "1"]).await;
    let line = &audit[0];
    assert_eq!(
        (&line["action"], &line["operator"]),
        (&json!("Reveal"), &json!("token operator 7")),
        "{line}"
    );
    assert!(line["target"].as_str().unwrap().starts_with("lead "), "{line}");
    scene.end().await;
}

#[tokio::test]
async fn nothing_that_may_be_read_shows_a_person_before_and_after_a_reset() {
    let scene = Quoted::start().await;
    let crm = &scene.crm;
    let ids = things(&scene.daemon, &scene.operator, crm).await;
    let cli = Cli::new(scene.daemon.socket());
    // A cause is named behind the attempt.
    wait_until("the failure has a cause", async || {
        cli.json(&["failure", "list"]).await[0]["cause"].is_string()
    })
    .await;
    let causes = cli.json(&["failure", "list"]).await;
    let cause = causes[0]["cause"].as_str().unwrap();
    let texts =
        vec![("uuid", &*scene.uuid), ("lead", &*scene.uuid), ("cause", cause), ("text", "zeb@example.com")];
    let asked = Subjects { ids, texts };
    both_gates_are_shut(&scene.daemon, &scene.operator, crm).await;
    let viewer = scene.wire(Role::Viewer, false).await;
    everything_is_closed(&viewer, Role::Viewer, &asked).await;
    let operator = scene.wire(Role::Operator, true).await;
    let reset = v1::ResetIntegrationRequest { request_id: request_id(), integration: crm.clone() };
    let mut integrations = IntegrationServiceClient::new(operator.clone());
    for kind in ["reset", "its repeat"] {
        let answer = integrations.reset_integration(reset.clone()).await.unwrap();
        closed(kind, answer.get_ref());
    }
    // A reset changes these of what a viewer was shown before.
    let told = read(&viewer, &asked, &["Integration", "Audit", "Activity"]).await;
    all_closed(&told);
    assert!(told.contains_key("GetIntegration") && told.len() > 3, "{:?}", told.keys());
    everything_is_closed(&operator, Role::Operator, &asked).await;
    scene.end().await;
}

#[tokio::test]
async fn whoever_sees_people_masked_cannot_guess_them_either() {
    let scene = Quoted::start().await;
    let cli = Cli::new(scene.daemon.socket());
    let crm = &scene.crm;
    cli.json(&["flow", "create", "--company", "7", "--name", "big", "--when", "true", "--then", crm]).await;
    for (role, masked) in [(Role::Viewer, false), (Role::Operator, true)] {
        let wire = scene.wire(role, masked).await;
        nobody_is_guessed(&wire, role, crm, &scene.uuid).await;
    }
    // Whoever sees people may ask all of it.
    let wire = scene.wire(Role::Operator, false).await;
    let asked = v1::TestFlowRequest { flow: "big".into(), ..Default::default() };
    let tested = FlowServiceClient::new(wire.clone()).test_flow(asked).await.unwrap().into_inner();
    assert_eq!((tested.tested, tested.sent), (1, 1));
    let filter = v1::DeliveryFilter { error: "zebulon".into(), ..Default::default() };
    let asked = v1::ListDeliveriesRequest { filter: Some(filter), ..Default::default() };
    let found = DeliveryServiceClient::new(wire).list_deliveries(asked).await.unwrap().into_inner();
    assert_eq!(found.deliveries.len(), 1);
    scene.end().await;
}

#[tokio::test]
async fn a_lead_that_is_read_with_an_intake_key_leaves_a_line() {
    let daemon = Daemon::start().await;
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
