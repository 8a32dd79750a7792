//! Wrong input at the intake and at the control API: one line that says what to do, and nothing has changed.

use leadline_proto::v1;
use leadline_tests::{http, post_lead, request_id, wait_until};
use serde_json::{Value, json};
use tonic::{Code, Response, Status};

const LEAD: &str = include_str!("../fixtures/lead.json");

/// A daemon with two companies; 7 has a key and an integration.
struct Scene(leadline_tests::Scene);

leadline_tests::stands_on_scene!(Scene, 0);

impl Scene {
    async fn start() -> Self {
        let scene = leadline_tests::Scene::set().webhook("hook", "/").start().await;
        scene.operator.companies().create_company(company("The Mill", 8)).await.unwrap();
        Self(scene)
    }

    async fn end(self) {
        self.0.end().await;
    }

    /// A call that must be refused in one line with these parts in it.
    #[track_caller]
    fn refused<T: std::fmt::Debug>(answer: Result<Response<T>, Status>, code: Code, parts: &[&str]) {
        let status = answer.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        let line = status.message();
        assert!(!line.is_empty() && !line.contains('\n'), "{line:?}");
        for part in parts {
            assert!(line.contains(part), "{part:?} is not in {line:?}");
        }
    }

    async fn create(
        &self,
        change: impl FnOnce(&mut v1::CreateIntegrationRequest),
    ) -> Result<Response<v1::CreateIntegrationResponse>, Status> {
        let mut request = integration();
        change(&mut request);
        self.operator.integrations().create_integration(request).await
    }
}

fn company(name: &str, id: i64) -> v1::CreateCompanyRequest {
    v1::CreateCompanyRequest {
        request_id: request_id(),
        name: name.into(),
        plan: v1::Plan::Free.into(),
        id: Some(id),
        brand: String::new(),
    }
}

fn integration() -> v1::CreateIntegrationRequest {
    v1::CreateIntegrationRequest {
        request_id: request_id(),
        company: "7".into(),
        connector: "webhook".into(),
        name: "new".into(),
        config: json!({"url": "https://example.com/"}).to_string(),
        ..Default::default()
    }
}

/// Posts to the intake and expects problem+json. The answer is the whole of it.
async fn problem(request: reqwest::RequestBuilder, status: u16, part: &str) -> Value {
    let response = request.send().await.unwrap();
    let headers = response.headers().clone();
    let (reported, text) = (response.status().as_u16(), response.text().await.unwrap());
    assert_eq!(reported, status, "{text}");
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(headers.contains_key("www-authenticate"), status == 401);
    assert_eq!(headers.contains_key("allow"), status == 405);
    let problem: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&problem["type"], &problem["status"]), (&json!("about:blank"), &json!(status)));
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(part) && !detail.contains('\n'), "{detail}");
    problem
}

#[tokio::test]
async fn the_intake_says_what_is_wrong_and_changes_nothing() {
    let scene = Scene::start().await;
    let url = scene.daemon.url("/v1/leads");
    let before = scene.contents().await;
    let post = || http().post(&url).bearer_auth(&scene.key);
    let json = |body: &str| post().header("content-type", "application/json").body(body.to_owned());
    let large = LEAD.replacen("Sarah Patel", &"x".repeat(256 * 1024), 1);
    problem(json("{\"lead\": "), 400, "line 1, column").await;
    problem(json(r#"{"lead": {"name": "a", "name": "b"}}"#), 400, "duplicate key \"name\"").await;
    problem(json(&LEAD.replacen("Sarah", "Sa\\u0000rah", 1)), 400, "NUL").await;
    problem(json(""), 400, "").await;
    problem(post().header("content-type", "text/plain").body(LEAD), 415, "the form to /v1/forms/{form}")
        .await;
    problem(post().header("content-type", "text/csv").body(LEAD), 415, "application/json").await;
    problem(post().body(LEAD), 415, "application/json").await;
    problem(json(LEAD).header("content-encoding", "gzip"), 415, "Content-Encoding").await;
    problem(json(&large), 413, "256 KiB").await;
    let other = LEAD.replacen("\"id\": 7", "\"id\": 8", 1);
    let reported = problem(json(&other), 422, "must be 7, the company of the intake key").await;
    assert_eq!(reported["errors"][0]["pointer"], "/company/id");
    let bad = LEAD
        .replacen("sarah@example.com", "sarah", 1)
        .replacen("\"guest_count\": 80", "\"guest_count\": 5001", 1)
        .replacen("2026-09-12", "12/09/2026", 1);
    let reported = problem(json(&bad), 422, "3 fields are not valid").await;
    let errors = reported["errors"].as_array().unwrap();
    let pointers: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/lead/email", "/lead/event_date", "/lead/guest_count"]);
    assert!(errors.iter().all(|error| !error["detail"].as_str().unwrap().is_empty()), "{reported}");

    problem(http().get(scene.daemon.url("/v2/leads")), 404, "/openapi.json").await;
    problem(http().put(&url).bearer_auth(&scene.key), 405, "does not take PUT").await;
    let unknown = scene.daemon.url("/v1/leads/01ARZ3NDEKTSV4RRFFQ69G5FAV");
    problem(http().get(&unknown).bearer_auth(&scene.key), 404, "no lead of this uuid").await;
    assert_eq!(scene.contents().await, before);
    assert_eq!(post_lead(&url, &scene.key, LEAD).await.0, 202, "the door is still open");
    scene.end().await;
}

#[tokio::test]
async fn one_answer_to_every_key_that_opens_nothing() {
    let scene = Scene::start().await;
    let keys = scene.operator.keys();
    let request =
        v1::CreateIntakeKeyRequest { request_id: request_id(), company: "7".into(), ..Default::default() };
    let revoked = keys.clone().create_intake_key(request).await.unwrap().into_inner();
    // Now the daemon knows the key, and must learn that it is revoked.
    assert_eq!(post_lead(&scene.daemon.url("/v1/leads"), &revoked.key, "{}").await.0, 422);
    let request = v1::RevokeIntakeKeyRequest { request_id: request_id(), id: revoked.id };
    keys.clone().revoke_intake_key(request).await.unwrap();
    let before = scene.contents().await;
    let other = scene.key.replacen("llk_7_", "llk_8_", 1);
    let wrong = format!("{}x", &scene.key[..scene.key.len() - 1]);
    let headers = [&*revoked.key, &other, &wrong, "llk_7_short", "nonsense", ""]
        .map(|key| Some(format!("Bearer {key}")))
        .into_iter()
        .chain([Some(format!("Basic {}", scene.key)), None]);
    let mut answers = Vec::new();
    for header in headers {
        for path in ["/v1/leads", "/v1/leads/01j8h6kqh4yg3xr8rwm6t6xfqe"] {
            let url = scene.daemon.url(path);
            let request = if path == "/v1/leads" { http().post(url).body(LEAD) } else { http().get(url) };
            let request = match &header {
                Some(header) => request.header("authorization", header),
                None => request,
            };
            answers.push(problem(request, 401, "Authorization: Bearer llk_").await);
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(scene.contents().await, before);
    scene.end().await;
}

#[tokio::test]
async fn configurations_that_could_not_be_pushed_with_are_refused() {
    let scene = Scene::start().await;
    let before = scene.contents().await;
    let url = "https://example.com/";
    for (config, parts) in [
        (json!({"url": "https://example.com/{{ lead.emial }}"}), &["lead.emial", "lead.email"][..]),
        (json!({"url": url, "body": "{{ quote.total }}"}), &["body", "quote.total"]),
        (json!({"url": "http://93.184.216.34/"}), &["plain http", "use https"]),
        (json!({"url": "https://10.0.0.1/"}), &["10.0.0.1", "--allow-egress"]),
        (json!({"url": "https://[fe80::1]/"}), &["fe80::1", "--allow-egress"]),
        (json!({"url": "not a url"}), &["url"]),
        (json!({"url": "https://{{ lead.name }}.example/"}), &["url"]),
        (json!({}), &["url"]),
        (json!({"url": url, "headers": {"Host": "a"}}), &["Host"]),
        (json!({"url": url, "headers": {"webhook-id": "a"}}), &["webhook-id"]),
        (json!({"url": url, "headers": {"X-Leadline-Event": "a"}}), &["X-Leadline-Event"]),
        (json!({"url": url, "metod": "PUT"}), &["metod", "method"]),
        (json!({"url": url, "method": "FETCH"}), &["method", "FETCH"]),
        (json!({"url": url, "timeout_seconds": "soon"}), &["timeout_seconds"]),
        (json!({"url": url, "headers": {"X-Key": "abcd…"}}), &["config.headers.X-Key", "send the whole one"]),
        (json!({"url": url, "body": "a\u{0}b"}), &["NUL"]),
    ] {
        let answer = scene.create(|request| request.config = config.to_string()).await;
        Scene::refused(answer, Code::InvalidArgument, parts);
        let update = v1::UpdateIntegrationRequest {
            request_id: request_id(),
            integration: scene.integration.clone(),
            config: Some(config.to_string()),
            ..Default::default()
        };
        let answer = scene.operator.integrations().update_integration(update).await;
        Scene::refused(answer, Code::InvalidArgument, parts);
    }
    type Change = fn(&mut v1::CreateIntegrationRequest);
    let changes: [(Change, &[&str]); 9] = [
        (|it| it.config = "{".into(), &["config is not JSON"]),
        (|it| it.config = "[]".into(), &["config: give one JSON object"]),
        (|it| it.connector = "webhok".into(), &["webhok", "webhook"]),
        (|it| it.mapping = r#"{"lead.event_dat": "x"}"#.into(), &["lead.event_dat", "lead.event_date"]),
        (|it| it.events = vec![v1::Event::WebhookTest.into()], &["LEAD_CREATED or LEAD_UPDATED"]),
        (|it| it.payload = 9, &["payload 9", "a value of Payload"]),
        (|it| it.routing = 9, &["routing 9", "use a value of Routing"]),
        (|it| it.name = " ".into(), &["name: give 1 to 200 characters without control characters"]),
        (
            |it| it.signing_secret = "short".into(),
            &["the signing secret has 5 bytes; it must have 16 to 256"],
        ),
    ];
    for (change, parts) in changes {
        Scene::refused(scene.create(change).await, Code::InvalidArgument, parts);
    }
    assert_eq!(scene.contents().await, before);
    scene.end().await;
}

#[tokio::test]
async fn commands_that_do_not_fit_the_state_of_things_are_refused() {
    let scene = Scene::start().await;
    let (mut companies, mut integrations) = (scene.operator.companies(), scene.operator.integrations());
    // Names of companies need not be unique.
    companies.create_company(company("The Mill", 9)).await.unwrap();
    let before = scene.contents().await;
    let unknown = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

    Scene::refused(companies.create_company(company("Another", 7)).await, Code::AlreadyExists, &["7"]);
    let bad = v1::CreateCompanyRequest { brand: "Inn kept".into(), ..company("Another", 10) };
    Scene::refused(companies.create_company(bad).await, Code::InvalidArgument, &["brand"]);
    let bad = v1::CreateCompanyRequest { plan: 0, ..company("Another", 10) };
    Scene::refused(
        companies.create_company(bad).await,
        Code::InvalidArgument,
        &["free, starter, pro or multi"],
    );
    let bad = v1::CreateCompanyRequest { id: Some(-1), ..company("Another", 10) };
    Scene::refused(companies.create_company(bad).await, Code::InvalidArgument, &["id"]);
    let bad = v1::CreateCompanyRequest { request_id: String::new(), ..company("Another", 10) };
    Scene::refused(companies.create_company(bad).await, Code::InvalidArgument, &["request_id"]);

    Scene::refused(scene.create(|it| it.name = "hook".into()).await, Code::AlreadyExists, &["hook"]);
    let limited = scene.create(|it| it.company = "8".into()).await;
    Scene::refused(limited, Code::FailedPrecondition, &["free", "create it disabled", "change the plan"]);
    Scene::refused(scene.create(|it| it.company = "The Mil".into()).await, Code::NotFound, &["The Mil"]);
    let ambiguous = scene.create(|it| it.company = "The Mill".into()).await;
    Scene::refused(ambiguous, Code::InvalidArgument, &["several companies", "8, 9"]);
    let enable = v1::EnableIntegrationRequest {
        request_id: request_id(),
        integration: unknown.into(),
        ..Default::default()
    };
    Scene::refused(integrations.enable_integration(enable).await, Code::NotFound, &[unknown]);
    let get = v1::GetIntegrationRequest { integration: "hok".into() };
    Scene::refused(integrations.get_integration(get).await, Code::NotFound, &["hok"]);
    let rotate = v1::RotateSecretRequest {
        request_id: request_id(),
        integration: "hook".into(),
        grace: Some(prost_types::Duration { seconds: 700_000, nanos: 0 }),
        ..Default::default()
    };
    Scene::refused(integrations.rotate_secret(rotate).await, Code::InvalidArgument, &["7 days"]);
    let revoke = v1::RevokeSecretRequest { request_id: request_id(), integration: "hook".into() };
    Scene::refused(
        integrations.revoke_secret(revoke).await,
        Code::FailedPrecondition,
        &["nothing to revoke"],
    );

    assert_eq!(scene.contents().await, before);
    scene.end().await;
}

#[tokio::test]
async fn what_cannot_be_retried_is_refused_with_the_way_out() {
    let scene = Scene::start().await;
    let mut deliveries = scene.operator.deliveries();
    let (_, posted) = post_lead(&scene.daemon.url("/v1/leads"), &scene.key, LEAD).await;
    let delivery = posted["deliveries"][0]["delivery_id"].as_str().unwrap().to_owned();
    wait_until("the lead is delivered", async || {
        scene.operator.integration(&scene.integration).await.health.unwrap().last_pushed_at.is_some()
    })
    .await;
    let disable = v1::DisableIntegrationRequest { request_id: request_id(), integration: "hook".into() };
    scene.operator.integrations().disable_integration(disable).await.unwrap();
    let before = scene.contents().await;
    let unknown = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

    let retry = |ids: &[&str], integration: &str| v1::RetryDeliveriesRequest {
        request_id: request_id(),
        ids: ids.iter().map(ToString::to_string).collect(),
        filter: (!integration.is_empty()).then(|| v1::DeliveryFilter {
            integration: integration.into(),
            states: vec![v1::DeliveryState::Delivered.into()],
            ..Default::default()
        }),
        re_render: false,
        per_second: None,
        dry_run: false,
    };
    let disabled = &["\"hook\" is disabled", "enable it first"];
    Scene::refused(
        deliveries.retry_deliveries(retry(&[&delivery], "")).await,
        Code::FailedPrecondition,
        disabled,
    );
    Scene::refused(deliveries.retry_deliveries(retry(&[], "hook")).await, Code::FailedPrecondition, disabled);
    Scene::refused(deliveries.retry_deliveries(retry(&[unknown], "")).await, Code::NotFound, &[unknown]);
    Scene::refused(deliveries.retry_deliveries(retry(&["D"], "")).await, Code::InvalidArgument, &["ULID"]);
    Scene::refused(deliveries.retry_deliveries(retry(&[], "")).await, Code::InvalidArgument, &["filter"]);
    Scene::refused(
        deliveries.retry_deliveries(retry(&[unknown], "hook")).await,
        Code::InvalidArgument,
        &["not both"],
    );
    assert_eq!(scene.contents().await, before);
    scene.end().await;
}

#[tokio::test]
async fn a_repeated_request_gets_its_answer_again_without_the_secret() {
    let scene = Scene::start().await;
    let mut integrations = scene.operator.integrations();
    let request = integration();
    let first = integrations.create_integration(request.clone()).await.unwrap().into_inner();
    let after_first = scene.contents().await;
    let again = integrations.create_integration(request.clone()).await.unwrap().into_inner();
    assert_eq!(again.integration, first.integration);
    assert_eq!((&*again.signing_secret, again.secret_already_shown), ("", true));
    assert!(!first.signing_secret.is_empty() && !first.secret_already_shown);
    let other = v1::CreateIntegrationRequest { name: "other".into(), ..request.clone() };
    let taken = integrations.create_integration(other).await;
    Scene::refused(taken, Code::AlreadyExists, &[&request.request_id, "another request"]);
    let other =
        v1::ResetIntegrationRequest { request_id: request.request_id.clone(), integration: "new".into() };
    Scene::refused(integrations.reset_integration(other).await, Code::AlreadyExists, &["another request"]);
    assert_eq!(scene.contents().await, after_first);

    let request =
        v1::RotateSecretRequest { request_id: request_id(), integration: "new".into(), ..Default::default() };
    let rotate = async |request: &v1::RotateSecretRequest| {
        scene.operator.integrations().rotate_secret(request.clone()).await.unwrap().into_inner()
    };
    let (first, again) = tokio::join!(rotate(&request), rotate(&request));
    assert_ne!(
        first.signing_secret.is_empty(),
        again.signing_secret.is_empty(),
        "one of two at once rotates"
    );
    assert_eq!(first.integration, again.integration);
    assert_ne!(first.secret_already_shown, again.secret_already_shown);
    scene.end().await;
}
