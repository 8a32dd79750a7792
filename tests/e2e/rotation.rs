//! Rotations of signing secrets, with receivers that verify what they get and refuse the rest.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use leadline_fakes::{Behaviour, Judge, Receiver, Request, sample_lead};
use leadline_tests::{check_invariants, wait_until};
use serde_json::{Value, json};
use sha2::Sha256;

/// Which signature a receiver reads.
#[derive(Clone, Copy)]
enum Reads {
    Simple,
    Standard,
}

/// A receiver's knowledge: one secret at a time, and how often it refused.
#[derive(Clone)]
struct Knows {
    secret: Arc<Mutex<String>>,
    refused: Arc<AtomicUsize>,
}

impl Knows {
    fn judge(&self, reads: Reads) -> Judge {
        let knows = self.clone();
        Judge::new(move |request| {
            let secret = knows.secret.lock().unwrap().clone();
            let is_good = match reads {
                Reads::Simple => simple(request, &secret),
                Reads::Standard => standard(request, &secret),
            };
            if is_good {
                return 200;
            }
            knows.refused.fetch_add(1, Ordering::SeqCst);
            401
        })
    }
}

fn simple(request: &Request, secret: &str) -> bool {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(&request.body);
    let expected = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    request.header("x-leadline-signature") == Some(&expected)
}

fn standard(request: &Request, secret: &str) -> bool {
    let mut headers = reqwest::header::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, request.header(name).unwrap().parse().unwrap());
    }
    standardwebhooks::Webhook::new(secret).unwrap().verify(&request.body, &headers).is_ok()
}

/// A company whose leads go to a receiver that verifies, and to a witness.
struct Scene {
    set: leadline_tests::Scene,
    witness: Receiver,
    knows: Knows,
    posted: AtomicUsize,
}

leadline_tests::stands_on_scene!(Scene, set);

impl Scene {
    async fn start(reads: Reads) -> Self {
        let set = leadline_tests::Scene::set().webhook("hook", "/").start().await;
        // The first command may have to be built, which must not hold up a push.
        set.cli.json(&["company", "list"]).await;
        let witness = Receiver::start(Behaviour::Good).await.unwrap();
        set.operator.webhook(7, "witness", &witness.url("/"), json!({})).await;
        let knows = Knows { secret: Arc::new(Mutex::new(set.secret.clone())), refused: Arc::default() };
        set.receiver.set(Behaviour::Judged(knows.judge(reads)));
        Self { set, witness, knows, posted: AtomicUsize::new(0) }
    }

    /// Posts another lead. The answer is what became of it at the hook, and its uuid.
    async fn post(&self) -> (Value, String) {
        let answer = self.post_lead(&sample_lead(self.posted.fetch_add(1, Ordering::SeqCst))).await;
        let deliveries = answer["deliveries"].as_array().unwrap();
        let hook =
            deliveries.iter().find(|it| it["integration_id"] == json!(self.integration)).unwrap().clone();
        (hook, answer["lead"].as_str().unwrap().to_owned())
    }

    /// Posts leads one after another until told to stop.
    async fn feed(&self, stop: &AtomicBool) {
        while !stop.load(Ordering::SeqCst) {
            self.post().await;
        }
    }

    /// Waits until nothing is in flight that was claimed before now. The daemon claims one batch after another, so what
    /// was claimed earlier is known once a lead that comes in now has reached the witness.
    async fn settle(&self) {
        let (_, uuid) = self.post().await;
        wait_until("the witness has a new lead", async || {
            self.witness
                .requests()
                .iter()
                .any(|request| String::from_utf8_lossy(&request.body).contains(&uuid))
        })
        .await;
    }

    async fn running(&self) -> usize {
        let request = leadline_proto::v1::ListAttemptsRequest {
            integration: self.integration.clone(),
            ..Default::default()
        };
        let attempts = self.operator.attempts().list_attempts(request).await.unwrap().into_inner().attempts;
        attempts.iter().filter(|attempt| attempt.state().word() == "running").count()
    }

    /// Everything has reached the receiver, and it refused nothing.
    async fn all_arrived(&self) {
        let posted = self.posted.load(Ordering::SeqCst) as u64;
        wait_until("every lead is delivered", async || {
            let health = self.health().await;
            health.held == 0 && health.pending == 0
        })
        .await;
        assert_eq!(self.knows.refused.load(Ordering::SeqCst), 0, "a push was refused");
        let attempts = self.operator.finished(&self.integration).await;
        let failed: Vec<_> = attempts.iter().filter(|attempt| attempt.state().word() == "failed").collect();
        let health = self.health().await;
        assert_eq!((health.failure_count, health.dead), (0, 0), "{:?}: {failed:?}", health.last_error);
        let leads = self.receiver.requests();
        let leads = leads.iter().filter(|it| it.header("x-leadline-event") == Some("lead.created"));
        assert_eq!(leads.count() as u64, posted);
        check_invariants(&self.pool).await;
    }

    async fn versions(&self) -> Vec<u64> {
        let attempts =
            self.cli.json(&["attempt", "list", "--integration", &self.integration, "--limit", "1000"]).await;
        let mut versions = Vec::new();
        for attempt in [attempts.as_array().unwrap().first(), attempts.as_array().unwrap().last()] {
            let id = attempt.unwrap()["id"].as_str().unwrap();
            versions.push(self.cli.json(&["attempt", "show", id]).await["secret_version"].as_u64().unwrap());
        }
        versions
    }

    async fn end(self) {
        self.set.end().await;
        self.witness.stop().await;
    }
}

#[tokio::test]
async fn a_receiver_that_knows_one_secret_at_a_time_refuses_nothing_with_hold() {
    let scene = Scene::start(Reads::Simple).await;
    let (cli, stop) = (&scene.cli, AtomicBool::new(false));
    let new = "a secret that the receiver had before";
    let rotate = async {
        scene.settle().await;
        let args =
            ["integration", "rotate-secret", "hook", "--staged", "--hold", "--secret-stdin", "-o", "json"];
        let staged = cli.run_with(new, &args).await.json();
        assert_eq!((&staged["rotation"], &staged["signing_secret"]), (&json!("staged"), &Value::Null));
        let (held, _) = scene.post().await;
        assert_eq!(
            (&held["state"], &held["reason"]),
            (&json!("held"), &json!("rotation: held until cut over"))
        );
        scene.settle().await;
        wait_until("nothing is in flight", async || scene.running().await == 0).await;
        *scene.knows.secret.lock().unwrap() = new.to_owned();

        let test = cli.json(&["integration", "test", "hook"]).await;
        assert_eq!((&test["state"], &test["status_code"]), (&json!("delivered"), &json!(200)));
        let shown = cli.json(&["integration", "show", "hook"]).await;
        assert_eq!(
            (&shown["rotation"], &shown["secret_version"], &shown["staged_secret_version"]),
            (&json!("staged"), &json!(1), &json!(2))
        );
        assert_eq!(shown["awaits_cut_over"], true);
        assert!(shown["held"].as_u64().unwrap() > 0);
        let cut = cli.json(&["integration", "cut-over", "hook"]).await;
        assert_eq!((&cut["rotation"], &cut["secret_version"]), (&json!("none"), &json!(2)));
        assert_eq!((&cut["awaits_cut_over"], &cut["staged_secret_version"]), (&json!(false), &Value::Null));
        scene.settle().await;
        stop.store(true, Ordering::SeqCst);
    };
    tokio::join!(scene.feed(&stop), scene.feed(&stop), rotate);
    scene.all_arrived().await;
    assert_eq!(scene.versions().await, [2, 1]);
    scene.end().await;
}

#[tokio::test]
async fn a_receiver_that_reads_webhook_signature_refuses_nothing_without_hold() {
    let scene = Scene::start(Reads::Standard).await;
    let (cli, stop) = (&scene.cli, AtomicBool::new(false));
    let rotate = async {
        scene.settle().await;
        let staged = cli.json(&["integration", "rotate-secret", "hook", "--staged"]).await;
        let (lead, _) = scene.post().await;
        assert_eq!(lead["state"], "pending");
        scene.settle().await;
        // What was signed by the old one alone has ended once both sign what came later.
        wait_until("nothing is in flight", async || scene.running().await == 0).await;
        *scene.knows.secret.lock().unwrap() = staged["signing_secret"].as_str().unwrap().to_owned();
        assert_eq!(cli.json(&["integration", "test", "hook"]).await["state"], "delivered");
        scene.settle().await;
        assert_eq!(cli.json(&["integration", "cut-over", "hook"]).await["rotation"], "none");
        scene.settle().await;
        stop.store(true, Ordering::SeqCst);
    };
    tokio::join!(scene.feed(&stop), rotate);
    scene.all_arrived().await;
    assert_eq!(scene.versions().await, [2, 1]);
    scene.end().await;
}

#[tokio::test]
async fn a_test_while_staged_is_signed_by_the_staged_one_alone() {
    let scene = Scene::start(Reads::Simple).await;
    let cli = &scene.cli;
    let staged = cli.json(&["integration", "rotate-secret", "hook", "--staged"]).await;
    let refused = cli.run(&["integration", "test", "hook", "-o", "json"]).await;
    assert_eq!((refused.code, &refused.json()["status_code"]), (1, &json!(401)), "it knows the old one only");
    let sent = scene.receiver.requests().remove(0);
    let new = staged["signing_secret"].as_str().unwrap();
    let old = scene.knows.secret.lock().unwrap().clone();
    assert!(simple(&sent, new) && standard(&sent, new) && !standard(&sent, &old));
    let tested = cli.json(&["attempt", "show", refused.json()["id"].as_str().unwrap()]).await;
    assert_eq!(tested["secret_version"], 2);
    // A lead is signed by the old one, and by both where there is room for two.
    scene.post().await;
    let sent = scene.receiver.wait_for(2).await.remove(1);
    assert!(simple(&sent, &old) && standard(&sent, new) && standard(&sent, &old));
    scene.end().await;
}

#[tokio::test]
async fn a_staged_secret_is_cut_over_to_or_cancelled_before_another_one() {
    let scene = Scene::start(Reads::Simple).await;
    let (cli, hook) = (&scene.cli, &scene.integration);
    let refused = async |args: &[&str], line: String| {
        let before = scene.contents().await;
        assert_eq!(cli.run(args).await.error(1), line);
        assert_eq!(scene.contents().await, before, "a refusal changed something");
    };
    let none = format!(
        "integration \"hook\" has no staged secret: make one with `leadline integration rotate-secret {hook} --staged`"
    );
    refused(&["integration", "cut-over", "hook"], none).await;
    cli.json(&["integration", "rotate-secret", "hook", "--staged", "--hold"]).await;
    let staged = format!(
        "integration \"hook\" has a staged secret: cut over, or cancel it with \
         `leadline integration cut-over {hook}` or `leadline integration revoke-secret {hook}`"
    );
    refused(&["integration", "rotate-secret", "hook"], staged.clone()).await;
    refused(&["integration", "rotate-secret", "hook", "--staged"], staged).await;
    cli.run(&["integration", "rotate-secret", "hook", "--staged", "--grace", "1h"]).await.error(2);
    cli.run(&["integration", "rotate-secret", "hook", "--hold"]).await.error(2);

    // Cancelled, what was held goes out under the old one, and its number is never given again.
    let (held, _) = scene.post().await;
    assert_eq!(held["state"], "held");
    let cancelled = cli.json(&["integration", "revoke-secret", "hook"]).await;
    assert_eq!((&cancelled["rotation"], &cancelled["secret_version"]), (&json!("none"), &json!(1)));
    scene.all_arrived().await;
    let restaged = cli.json(&["integration", "rotate-secret", "hook", "--staged"]).await;
    assert_eq!(restaged["rotation"], "staged");
    let shown = cli.json(&["integration", "show", "hook"]).await;
    assert_eq!(shown["staged_secret_version"], 3);
    cli.json(&["integration", "cut-over", "hook"]).await;

    // In a grace the oldest goes: there are never more than two.
    let count = async || -> i64 {
        let sql = "SELECT count(*) FROM signing_secret WHERE integration_id = (SELECT id FROM integration WHERE name = 'hook')";
        sqlx::query_scalar(sql).fetch_one(&scene.pool).await.unwrap()
    };
    for version in 4..7 {
        let rotated = cli.json(&["integration", "rotate-secret", "hook"]).await;
        assert_eq!(rotated["rotation"], "grace");
        assert_eq!(cli.json(&["integration", "show", "hook"]).await["secret_version"], version);
        assert_eq!(count().await, 2);
    }
    let staged = cli.json(&["integration", "rotate-secret", "hook", "--staged"]).await;
    assert_eq!((&staged["rotation"], count().await), (&json!("staged"), 2));
    cli.json(&["integration", "cut-over", "hook"]).await;
    assert_eq!(count().await, 1);
    scene.end().await;
}
