//! The routes: who may come in, what is refused and how, what is answered.

use std::sync::Arc;

use axum::{Router, body::Body};
use futures::future::join_all;
use http::{Request, StatusCode, header};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use super::fake::{Fake, key};
use crate::{
    compute::Compute,
    domain::ids::LeadId,
    intake::{
        Flusher, IntakeApp, IntakeSettings, Notes, Readiness, Readings, Refusals, UsedKeys, admin,
        client::TrustedProxies, intake_store::StoreFailure, readings, refusals, routes, used_keys,
    },
    telemetry::FaultCounts,
};

pub(super) struct TestIntake {
    /// Told to stop, batches end.
    pub(super) stop: CancellationToken,
    pub(super) router: Router,
    pub(super) admin: Router,
    pub(super) store: Arc<Fake>,
    pub(super) app: Arc<IntakeApp<Fake>>,
    _flushing: JoinSet<()>,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: http::HeaderMap,
    pub(super) text: String,
}

impl Answer {
    async fn of(response: axum::response::Response) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.into()).unwrap();
        Self { status: parts.status, headers: parts.headers, text }
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// Checks that this is a whole problem document, and returns it.
    pub(super) fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["status"], status);
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()));
        assert!(
            problem["detail"].as_str().is_some_and(|detail| !detail.is_empty() && !detail.contains('\n'))
        );
        problem
    }

    /// Checks that this is a problem in these words.
    pub(super) fn refused(&self, status: u16, detail: &str) {
        assert_eq!(self.problem(status)["detail"], detail);
    }
}

pub(super) fn settings(ready: Readiness) -> IntakeSettings {
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    IntakeSettings {
        metrics,
        ready,
        faults: || FaultCounts { panics: 2, log_lines_lost: 31 },
        compute: Compute::default(),
        traces: Default::default(),
        proxies: TrustedProxies::default(),
    }
}

fn intake_with(ready: Readiness) -> TestIntake {
    let store = Fake::new();
    let (queue, flusher) = Flusher::new(Arc::clone(&store));
    let mut flushing = JoinSet::new();
    flushing.spawn(flusher.run());
    let (refusals, refused) = Refusals::new();
    flushing.spawn(refusals::write(Arc::clone(&store), refused));
    let (used_keys, used) = UsedKeys::new();
    flushing.spawn(used_keys::write(Arc::clone(&store), used));
    let settings = settings(ready);
    let (readings, read) = Readings::new();
    flushing.spawn(readings::write(Arc::clone(&store), read));
    let notes = Notes { refusals, used_keys, readings };
    let (lines, stop) = (TaskTracker::new(), CancellationToken::new());
    let app = Arc::new(IntakeApp::new(Arc::clone(&store), queue, notes, settings, lines, stop.clone()));
    let (router, admin) = (routes::router(Arc::clone(&app)), admin::router(Arc::clone(&app)));
    TestIntake { stop, router, admin, store, app, _flushing: flushing }
}

pub(super) fn intake() -> TestIntake {
    intake_with(Arc::new(|| true))
}

impl TestIntake {
    pub(super) async fn ask(&self, request: Request<Body>) -> Answer {
        Answer::of(self.router.clone().oneshot(request).await.unwrap()).await
    }

    async fn ask_admin(&self, path: &str) -> Answer {
        let request = Request::get(path).body(Body::empty()).unwrap();
        Answer::of(self.admin.clone().oneshot(request).await.unwrap()).await
    }

    pub(super) async fn post(&self, body: impl ToString) -> Answer {
        self.ask(posted(&key('a'), body)).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        let request = Request::get(path).header("authorization", format!("Bearer {}", key('a')));
        self.ask(request.body(Body::empty()).unwrap()).await
    }
}

pub(super) fn posted(key: &str, body: impl ToString) -> Request<Body> {
    Request::post("/v1/leads")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json; charset=utf-8")
        .body(Body::from(body.to_string()))
        .unwrap()
}

pub(super) fn lead(uuid: &str) -> Value {
    json!({"lead": {
        "uuid": uuid, "name": "Sarah Patel", "email": "sarah@example.com", "event_type": "wedding",
        "event_date": "2026-09-12", "guest_count": 80, "gdpr_consent": true, "unknown": 1.10,
    }})
}

pub(super) const UUID: &str = "01j8h6kqh4yg3xr8rwm6t6xfqe";

#[tokio::test]
async fn a_key_with_a_rate_is_told_when_to_come_back() {
    let intake = intake();
    intake.store.change(|company| company.rate_per_second = Some(0.01));
    assert_eq!(intake.post(lead(UUID)).await.status, StatusCode::ACCEPTED);
    let refused = intake.post(lead(UUID)).await;
    let problem = refused.problem(429);
    let wait: u64 = refused.headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((90..=101).contains(&wait), "{wait}");
    assert_eq!(
        problem["detail"],
        "this intake key may send 0.01 leads a second: send this one again after Retry-After seconds"
    );
}

#[tokio::test]
async fn refusals_are_kept_without_anybodys_data() {
    let intake = intake();
    let mut bad = lead(UUID);
    bad["lead"]["event_type"] = json!("weding");
    intake.post(bad).await.problem(422);
    intake.post("{").await.problem(400);
    let flat = posted(&key('a'), json!({"data": {"email": "sarah"}}));
    let (mut parts, body) = flat.into_parts();
    parts.uri = "/v1/save_lead".parse().unwrap();
    intake.ask(Request::from_parts(parts, body)).await.problem(422);
    // Nobody's key, and what is not the sender's fault.
    intake.ask(posted(&key('b'), "{")).await.problem(401);
    intake.store.with(|state| state.failure = Some(StoreFailure::Away));
    intake.post(lead(&LeadId::generate().to_string())).await.problem(503);
    super::until(|| intake.store.with(|state| state.refused.len() == 3)).await;
    let refused = intake.store.with(|state| state.refused.clone());
    let seen: Vec<_> = refused.iter().map(|it| (it.path, it.status, it.detail.as_str())).collect();
    assert_eq!(seen[0].1, 422);
    assert_eq!(seen[1].0, "/v1/leads");
    assert_eq!(seen[2], ("/v1/save_lead", 422, "/data/email: must be an e-mail address"));
    assert_eq!(refused[0].errors[0].0, "/lead/event_type");
    let body = refused[0].body.as_deref().unwrap();
    // A form that mixes up its fields puts a name anywhere: of an open field, too, only a word of its own is shown.
    assert!(body.contains(r#""event_type":"xxxxxx""#) && body.contains("xxxxx@xxxxxxx.xxx"), "{body}");
    assert!(!["Sarah", "sarah", "weding"].iter().any(|part| body.contains(part)), "{body}");
}

#[tokio::test]
async fn a_lead_is_accepted_then_a_duplicate_then_updated() {
    let intake = intake();
    let first = intake.post(lead(UUID)).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.text);
    let receipt = first.json();
    assert_eq!(receipt["lead"], UUID);
    assert_eq!(receipt["status"], "accepted");
    let integrations = intake.store.with(|state| state.company.integrations.clone());
    let shown: Vec<_> = receipt["deliveries"].as_array().unwrap().iter().collect();
    let keys: Vec<_> = shown[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["integration_id", "delivery_id", "state", "reason"]);
    assert_eq!(shown[0]["integration_id"], integrations[0].id.to_string());
    assert_eq!((&shown[0]["state"], &shown[0]["reason"]), (&json!("pending"), &Value::Null));
    assert_eq!((&shown[1]["state"], &shown[1]["reason"]), (&json!("held"), &json!("integration disabled")));

    let again = intake.post(lead(UUID)).await.json();
    assert_eq!((&again["status"], &again["deliveries"]), (&json!("duplicate"), &receipt["deliveries"]));

    let mut changed = lead(UUID);
    changed["lead"]["guest_count"] = json!(81);
    let updated = intake.post(changed).await.json();
    assert_eq!(updated["status"], "updated");
    assert_ne!(updated["deliveries"], receipt["deliveries"]);
}

#[tokio::test]
async fn many_posts_of_one_lead_make_one() {
    let intake = intake();
    let answers = join_all((0..50).map(|_| intake.post(lead(UUID)))).await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.json()["status"].clone()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == "accepted").count(), 1);
    assert_eq!(statuses.iter().filter(|status| **status == "duplicate").count(), 49);
}

#[tokio::test]
async fn a_lead_is_decided_on_again_when_its_company_changed() {
    let intake = intake();
    assert_eq!(intake.post(lead(UUID)).await.status, StatusCode::ACCEPTED);
    intake.store.change(|company| company.integrations.truncate(1));
    let receipt = intake.post(lead(&LeadId::generate().to_string())).await.json();
    assert_eq!(receipt["deliveries"].as_array().unwrap().len(), 1);
    intake.store.change(|company| company.integrations.clear());
    let mut changed = lead(UUID);
    changed["lead"]["guest_count"] = json!(81);
    let receipt = intake.post(changed).await.json();
    assert_eq!((&receipt["status"], &receipt["deliveries"]), (&json!("updated"), &json!([])));
}

#[tokio::test]
async fn a_company_that_never_rests_sends_the_lead_away() {
    let intake = intake();
    intake.store.with(|state| state.restless = true);
    let answer = intake.post(lead(UUID)).await;
    answer.refused(
        503,
        "the company is being changed, nothing was accepted: send the lead again after Retry-After seconds",
    );
    assert_eq!(answer.headers[header::RETRY_AFTER], "1");
}

#[tokio::test]
async fn a_key_may_require_a_signed_body() {
    let intake = intake();
    intake.store.change(|company| company.keys[0].1 = Some("whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=".into()));
    let unsigned = "this intake key requires a signed body: send X-Leadline-Signature or webhook-signature, made with \
                    its signing secret";
    intake.post(lead(UUID)).await.refused(401, unsigned);
    assert!(intake.store.with(|state| state.leads.is_empty()));
}

#[tokio::test]
async fn bodies_that_are_no_leads_are_refused_with_their_fields() {
    let intake = intake();
    assert!(intake.post("{").await.problem(400).get("errors").is_none());
    let mut nameless = lead(UUID);
    nameless["lead"].as_object_mut().unwrap().remove("email");
    let problem = intake.post(nameless).await.problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/lead/email");
    assert!(problem["errors"][0]["detail"].is_string());
}

#[tokio::test]
async fn only_plain_json_of_bounded_size_is_read() {
    let intake = intake();
    let media = "the body must be JSON: send it with the header Content-Type: application/json";
    let page = "a page of a browser cannot post its form here: post JSON from your server, or the form to /v1/forms/{form}";
    let packed = "compressed bodies are not accepted: send the JSON as it is, without Content-Encoding";
    let large = "the body is larger than 256 KiB: send one lead per request";
    for (name, value, status, reported) in [
        ("content-type", "text/plain", 415, page),
        ("content-type", "application/jsonp", 415, media),
        ("content-type", "", 415, media),
        ("content-encoding", "gzip", 415, packed),
        ("content-length", "262145", 413, large),
    ] {
        let mut request = posted(&key('a'), lead(UUID));
        request.headers_mut().insert(name, value.parse().unwrap());
        intake.ask(request).await.refused(status, reported);
    }
    let mut request = posted(&key('a'), lead(UUID));
    request.headers_mut().remove("content-type");
    intake.ask(request).await.refused(415, media);
    intake.post(" ".repeat(256 * 1024 + 1)).await.refused(413, large);
    intake.post(" ".repeat(256 * 1024)).await.problem(400);
}

#[tokio::test]
async fn a_database_that_is_away_asks_the_sender_to_come_back() {
    let intake = intake();
    assert_eq!(intake.post(lead(UUID)).await.status, StatusCode::ACCEPTED);
    let away = "the database is away, nothing was accepted: send the request again after Retry-After seconds";
    let busy = "more requests wait than can be answered: send this one again after Retry-After seconds";
    let failed =
        "the request failed inside the daemon: its log says why; send it again when that is put right";
    for (failure, status, retry_after, detail) in [
        (StoreFailure::Away, 503, Some("1"), away),
        (StoreFailure::Busy, 503, Some("1"), busy),
        (StoreFailure::Failed, 500, None, failed),
    ] {
        intake.store.with(|state| state.failure = Some(failure));
        let answer = intake.post(lead(UUID)).await;
        answer.refused(status, detail);
        let reported = answer.headers.get(header::RETRY_AFTER).map(|value| value.to_str().unwrap());
        assert_eq!(reported, retry_after);
    }
}

#[tokio::test]
async fn what_became_of_a_lead_is_told_with_its_text_untouched() {
    let intake = intake();
    let text = lead(UUID).to_string().replace("1.1", "1.10");
    assert_eq!(intake.post(&text).await.status, StatusCode::ACCEPTED);
    let stored = text.replacen('{', r#"{"event": "lead.created", "huge": 100000000000000000000.50, "#, 1);
    intake.store.with(|state| state.leads.values_mut().next().unwrap().body = stored.clone().into());
    let answer = intake.get(&format!("/v1/leads/{}", UUID.to_uppercase())).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.text.contains(&format!(r#""event":{stored},"#)), "{}", answer.text);
    let shown = answer.json();
    let keys: Vec<_> = shown.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["uuid", "state", "received_at", "event", "deliveries"]);
    assert_eq!((&shown["uuid"], &shown["received_at"]), (&json!(UUID), &json!("1970-01-01T00:00:00Z")));
    let delivery = shown["deliveries"][1].as_object().unwrap();
    let keys: Vec<_> = delivery.keys().collect();
    let named = ["id", "lead", "integration_id", "event", "state", "reason", "attempts", "due_at"];
    assert_eq!(keys[..named.len()], named);
    assert_eq!((&delivery["lead"], &delivery["due_at"]), (&json!(UUID), &Value::Null));
    for unknown in [LeadId::generate().to_string(), "nonsense".into(), "%ff".into()] {
        let reported = "this company has no lead of this uuid: check the uuid and the intake key";
        intake.get(&format!("/v1/leads/{unknown}")).await.refused(404, reported);
    }
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_are_problems() {
    let intake = intake();
    for path in ["/", "/v1/lead"] {
        let reported = "there is nothing at this path: /openapi.json lists what there is";
        intake.get(path).await.refused(404, reported);
    }
    let reported = "there is nothing at /v1/leads/: leave out the slash at its end";
    intake.get("/v1/leads/").await.refused(404, reported);
    let answer = intake.get("/v1/leads").await;
    answer.refused(405, "this path does not take GET: use a method that the Allow header names");
    assert_eq!(answer.headers[header::ALLOW], "POST");
}

#[tokio::test]
async fn readiness_is_told_to_all_and_its_reason_to_operators() {
    let up = intake();
    assert_eq!(up.get("/healthz").await.text, "ok\n");
    assert_eq!(up.get("/readyz").await.text, "ready\n");
    assert_eq!(
        up.get("/metrics").await.status,
        StatusCode::NOT_FOUND,
        "operators have a listener of their own"
    );
    assert_eq!(up.ask_admin("/metrics").await.status, StatusCode::OK);
    assert_eq!(up.ask_admin("/healthz").await.text, "ok\n");
    assert_eq!(
        up.ask_admin("/readyz").await.text,
        r#"{"ready":true,"daemon":true,"database":true,"panics":2,"log_lines_lost":31}"#
    );
    up.store.with(|state| state.ready = false);
    let starting = intake_with(Arc::new(|| false));
    for (intake, detail) in [
        (&up, r#"{"ready":false,"daemon":true,"database":false,"panics":2,"log_lines_lost":31}"#),
        (&starting, r#"{"ready":false,"daemon":false,"database":true,"panics":2,"log_lines_lost":31}"#),
    ] {
        intake.get("/readyz").await.refused(503, "leads cannot be taken in now: ask again in a moment");
        let reported = intake.ask_admin("/readyz").await;
        assert_eq!((reported.status.as_u16(), reported.text.as_str()), (503, detail));
        assert_eq!(intake.get("/healthz").await.status, StatusCode::OK);
    }
    assert_eq!(up.ask_admin("/v1/leads").await.text, "there are /healthz, /readyz and /metrics here\n");
}

#[tokio::test]
async fn no_answer_is_kept_or_taken_for_another_kind() {
    let intake = intake();
    for answer in
        [intake.post(lead(UUID)).await, intake.get("/v1/nowhere").await, intake.get("/openapi.json").await]
    {
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
}

#[tokio::test]
async fn leads_refusals_and_flushes_are_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let intake = intake();
    for body in [lead(UUID).to_string(), lead(UUID).to_string(), "{".into()] {
        intake.post(body).await;
    }
    let rendered = recorder.handle().render();
    for line in [
        r#"leadline_intake_leads_total{status="accepted"} 1"#,
        r#"leadline_intake_leads_total{status="duplicate"} 1"#,
        r#"leadline_intake_refusals_total{status="400"} 1"#,
        "leadline_intake_flush_leads_count 2",
        "leadline_intake_flush_seconds_count 2",
    ] {
        assert!(rendered.lines().any(|rendered| rendered == line), "{line} in {rendered}");
    }
}
