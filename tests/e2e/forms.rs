//! Forms, keys that may read, and signed posts, on a real daemon with its database.

use std::time::{SystemTime, UNIX_EPOCH};

use leadline_fakes::sample_lead;
use leadline_proto::v1::{self, form_service_client::FormServiceClient};
use leadline_tests::{Daemon, http, post_lead, request_id};
use leadlined::domain::{moment::Moment, signing};
use serde_json::{Value, json};
use tonic::transport::Channel;

struct Scene {
    set: leadline_tests::Scene,
    forms: FormServiceClient<Channel>,
}

leadline_tests::stands_on_scene!(Scene, set);

impl Scene {
    async fn start() -> Self {
        let set = leadline_tests::Scene::set().no_webhook().start().await;
        let forms = FormServiceClient::new(set.daemon.control().await);
        Self { set, forms }
    }

    async fn key(&self, change: impl FnOnce(&mut v1::CreateIntakeKeyRequest)) -> v1::CreateIntakeKeyResponse {
        let mut request = v1::CreateIntakeKeyRequest {
            request_id: request_id(),
            company: "7".into(),
            ..Default::default()
        };
        change(&mut request);
        self.operator.keys().create_intake_key(request).await.unwrap().into_inner()
    }

    fn new_form(&self, name: &str) -> v1::CreateFormRequest {
        v1::CreateFormRequest {
            request_id: request_id(),
            company: "7".into(),
            name: name.into(),
            map: r#"{"your-email": "lead.email"}"#.into(),
            constants: r#"{"lead.event_type": "wedding"}"#.into(),
            honeypot: "website".into(),
            ..Default::default()
        }
    }

    async fn post_form(&self, path: &str) -> (u16, Value) {
        let fields = [
            ("name", "Zoë Patel"),
            ("your-email", "zoe@example.com"),
            ("event_date", "2026-09-12"),
            ("guest_count", "80"),
            ("message", "Two\nlines"),
        ];
        let body: String = fields
            .iter()
            .map(|(name, text)| {
                format!("{name}={}&", text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>())
            })
            .collect();
        let kind = "application/x-www-form-urlencoded";
        let answer =
            http().post(self.daemon.url(path)).header("content-type", kind).body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

#[tokio::test]
async fn a_form_is_made_posted_changed_and_removed() {
    let mut scene = Scene::start().await;
    let form = scene.forms.create_form(scene.new_form("contact")).await.unwrap().into_inner().form.unwrap();
    assert_eq!(form.path, format!("/v1/forms/{}", form.id));
    let thanks = json!({"status": "accepted", "redirect": null});
    assert_eq!(scene.post_form(&form.path).await, (202, thanks));
    let leads = v1::ListLeadsRequest { company: "7".into(), ..Default::default() };
    let leads = scene.operator.leads().list_leads(leads).await.unwrap().into_inner().leads;
    assert_eq!(leads.len(), 1);
    let update = v1::UpdateFormRequest {
        request_id: request_id(),
        form: "contact".into(),
        constants: Some("{}".into()),
        redirect: Some("https://example.com/thanks".into()),
        ..Default::default()
    };
    let updated = scene.forms.update_form(update).await.unwrap().into_inner().form.unwrap();
    assert_eq!(
        (updated.honeypot.as_str(), updated.redirect.as_str()),
        ("website", "https://example.com/thanks")
    );
    let (status, problem) = scene.post_form(&form.path).await;
    assert_eq!(
        (status, &problem["errors"][0]["pointer"]),
        (422, &json!("/event_type")),
        "the change counts at once"
    );
    leadline_tests::wait_until("the refusal is kept", async || {
        let request = v1::ListFormRefusalsRequest { form: form.id.clone(), ..Default::default() };
        let refused = scene.forms.clone().list_form_refusals(request).await.unwrap().into_inner().refusals;
        refused.len() == 1 && refused[0].path == "/v1/forms/{form}"
    })
    .await;
    let delete = v1::DeleteFormRequest { request_id: request_id(), form: form.id.clone() };
    scene.forms.delete_form(delete).await.unwrap();
    assert_eq!(scene.post_form(&form.path).await.0, 404);
    let listed = scene.forms.list_forms(v1::ListFormsRequest::default()).await.unwrap().into_inner().forms;
    assert!(listed.is_empty());
    scene.set.end().await;
}

#[tokio::test]
async fn forms_that_cannot_be_are_refused_in_these_words() {
    let mut scene = Scene::start().await;
    scene.forms.create_form(scene.new_form("contact")).await.unwrap();
    let contact = v1::GetFormRequest { form: "contact".into() };
    let id = scene.forms.get_form(contact).await.unwrap().into_inner().form.unwrap().id;
    type Change<'a> = &'a dyn Fn(&mut v1::CreateFormRequest);
    let long = "x".repeat(201);
    let cases: [(Change<'_>, String); 7] = [
        (
            &|it| it.name = "contact".into(),
            format!("company 7 has a form \"contact\" already ({id}): choose another name"),
        ),
        (
            &|it| it.map = r#"{"a": "lead.emial"}"#.into(),
            "map: unknown field lead.emial; did you mean lead.email?".into(),
        ),
        (
            &|it| it.honeypot = long.clone(),
            "honeypot: the name of a field, at most 200 bytes in one line".into(),
        ),
        (
            &|it| it.redirect = "javascript:alert(1)".into(),
            "redirect \"javascript:alert(1)\": write the address of a page, as https://example.com/thanks"
                .into(),
        ),
        (
            &|it| it.allow_origins = vec!["https://example.com/book".into()],
            "origin \"https://example.com/book\": write scheme and host alone, as https://example.com".into(),
        ),
        (&|it| it.allow_origins = vec!["https://example.com".into(); 51], "allow_origins: at most 50".into()),
        (&|it| it.company = "9".into(), "no company \"9\"".into()),
    ];
    for (change, reported) in cases {
        let mut request = scene.new_form("other");
        change(&mut request);
        assert_eq!(scene.forms.create_form(request).await.unwrap_err().message(), reported);
    }
    let both = v1::UpdateFormRequest {
        request_id: request_id(),
        form: "contact".into(),
        allow_origins: vec!["https://example.com".into()],
        any_origin: true,
        ..Default::default()
    };
    let reported = "name the origins, or let every page post: not both";
    assert_eq!(scene.forms.update_form(both).await.unwrap_err().message(), reported);
    let nameless = scene.forms.get_form(v1::GetFormRequest::default()).await.unwrap_err();
    assert_eq!(nameless.message(), "name a form, by its id or its name");
    let key = v1::CreateIntakeKeyRequest {
        request_id: request_id(),
        company: "7".into(),
        signature: 9,
        ..Default::default()
    };
    let reported = "signature 9: use a value of SignatureKind";
    assert_eq!(scene.operator.keys().create_intake_key(key).await.unwrap_err().message(), reported);
    sqlx::query(
        "INSERT INTO form (company_id, id, name, enabled, map, constants, allow_origins)
         SELECT 7, gen_random_uuid(), 'form ' || n, true, '{}', '{}', '{}' FROM generate_series(1, 199) n",
    )
    .execute(&scene.pool)
    .await
    .unwrap();
    let full = scene.forms.create_form(scene.new_form("one more")).await.unwrap_err();
    assert_eq!(full.message(), "company 7 has 200 forms, which are the most: delete one");
    scene.set.end().await;
}

#[tokio::test]
async fn reading_is_a_right_of_its_own_and_is_written_down() {
    let scene = Scene::start().await;
    let (writes, reads) = (scene.key(|_| {}).await, scene.key(|it| it.may_read = true).await);
    let (status, made) =
        post_lead(&scene.daemon.url("/v1/leads"), &writes.key, sample_lead(1).to_string()).await;
    assert_eq!(status, 202);
    let url = scene.daemon.url(&format!("/v1/leads/{}", made["lead"].as_str().unwrap()));
    for (key, status) in [(&writes.key, 403), (&reads.key, 200), (&reads.key, 200)] {
        let answer = http().get(&url).bearer_auth(key).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers()["cache-control"], "no-store");
    }
    let lines: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT operator, target, sum(times)::bigint FROM reading GROUP BY operator, target")
            .fetch_all(&scene.pool)
            .await
            .unwrap();
    assert_eq!((lines.len(), lines[0].2), (1, 2), "each answer is counted: {lines:?}");
    assert!(lines[0].0.starts_with("intake key llk_7_") && lines[0].1.starts_with("lead 01"), "{lines:?}");
    // What cannot be written down is an answer that is not given.
    sqlx::query("ALTER TABLE reading ADD CONSTRAINT nothing CHECK (times = 0) NOT VALID")
        .execute(&scene.pool)
        .await
        .unwrap();
    let answer = http().get(&url).bearer_auth(&reads.key).send().await.unwrap();
    assert_eq!(answer.status(), 500);
    assert!(!answer.text().await.unwrap().contains("@example.com"));
    scene.set.end().await;
}

#[tokio::test]
async fn a_flat_lead_of_another_key_is_not_named() {
    let scene = Scene::start().await;
    let (one, other) = (scene.key(|_| {}).await, scene.key(|_| {}).await);
    let url = scene.daemon.url("/v1/save_lead");
    let flat = |phone: &str| json!({"data": {"email": "victim@example.com", "phone": phone}}).to_string();
    let (_, made) = post_lead(&url, &one.key, flat("1")).await;
    assert!(made["lead"].is_string(), "{made}");
    let (_, seen) = post_lead(&url, &other.key, flat("2")).await;
    assert_eq!(seen, json!({"lead": null, "status": "updated", "deliveries": []}));
    let (_, seen) = post_lead(&url, &one.key, flat("2")).await;
    assert_eq!((&seen["lead"], &seen["status"]), (&made["lead"], &json!("duplicate")));
    scene.set.end().await;
}

#[tokio::test]
async fn a_signed_post_is_remembered_by_the_database() {
    let scene = Scene::start().await;
    let key = scene.key(|it| it.signature = v1::SignatureKind::Standard.into()).await;
    let second = Daemon::start_on(scene.daemon.database()).await;
    let mut lead = sample_lead(1);
    lead["lead"].as_object_mut().unwrap().remove("uuid");
    let body = lead.to_string();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
    let post = async |daemon: &Daemon, id: &str| {
        let signature =
            signing::standard(&key.signing_secret, id, Moment::from_seconds(now), body.as_bytes());
        let request = http()
            .post(daemon.url("/v1/leads"))
            .bearer_auth(&key.key)
            .header("content-type", "application/json");
        let request = request.header("webhook-id", id).header("webhook-timestamp", now.to_string());
        let answer = request.header("webhook-signature", signature).body(body.clone()).send().await.unwrap();
        answer.json::<Value>().await.unwrap()
    };
    let first = post(&scene.daemon, "msg_1").await;
    assert_eq!(first["status"], "accepted", "{first}");
    for daemon in [&scene.daemon, &second] {
        let again = post(daemon, "msg_1").await;
        assert_eq!((&again["status"], &again["lead"]), (&json!("duplicate"), &first["lead"]));
    }
    assert_eq!(post(&second, "msg_2").await["status"], "accepted");
    let simple = signing::simple(&key.signing_secret, body.as_bytes());
    let request = http()
        .post(scene.daemon.url("/v1/leads"))
        .bearer_auth(&key.key)
        .header("content-type", "application/json");
    let refused = request.header("x-leadline-signature", simple).body(body.clone()).send().await.unwrap();
    assert_eq!(refused.status().as_u16(), 401, "the simple one has no time");
    second.stop().await;
    scene.set.end().await;
}
