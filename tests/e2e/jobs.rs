//! Jobs as whoever waits for one at a terminal meets them: how far it is, and Ctrl-C.

use leadline_fakes::Behaviour;
use leadline_tests::{Pty, leadline, wait_until};
use serde_json::{Value, json};

/// So many pushes of one a second: no test waits for the last.
const LEADS: usize = 40;

struct Scene(leadline_tests::Scene);

leadline_tests::stands_on_scene!(Scene, 0);

impl Scene {
    async fn start() -> Self {
        Self(leadline_tests::Scene::set().no_webhook().start().await)
    }

    async fn post_all(&self) {
        for n in 0..LEADS {
            self.post(n).await;
        }
    }

    fn config(&self, more: Value) -> String {
        let mut config = json!({ "url": self.receiver.url("/"), "retries": 0 });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config.to_string()
    }

    async fn deliveries(&self, state: &str) -> usize {
        let listed = self.cli.json(&["delivery", "list", "--state", state, "--limit", "100"]).await;
        listed.as_array().unwrap().len()
    }

    /// Watches a command's progress on a terminal, breaks it off, and answers the job it leaves.
    async fn break_off(&self, args: &[&str]) -> Value {
        let server = format!("unix:{}", self.daemon.socket().display());
        let args = [args, &["--server", &server]].concat();
        let mut pty = Pty::start(leadline(), &args, (160, 24));
        let far = format!("of {LEADS} delivered, 0 failed, ");
        pty.wait_for("the progress goes on", |shown| shown.has(&far) && !shown.has(&format!("0 {far}")))
            .await;
        pty.press("\x03");
        assert_eq!(pty.end().await.exit_code(), 1);
        assert!(pty.is_untouched());
        let text = pty.shown().text();
        assert!(!text.contains(&far), "the progress is gone\n{text}");
        for reported in ["broken off", "were not brought back", "`leadline job show ", "cancelled"] {
            assert!(text.contains(reported), "no {reported:?} in\n{text}");
        }
        let jobs = self.cli.json(&["job", "list"]).await;
        assert_eq!(jobs.as_array().unwrap().len(), 1);
        assert_eq!((&jobs[0]["state"], &jobs[0]["total"]), (&json!("cancelled"), &json!(LEADS)));
        jobs[0].clone()
    }

    /// What a broken off job had brought back arrives, and nothing else does.
    async fn check_rest(self, job: &Value) -> usize {
        let released = usize::try_from(job["released"].as_u64().unwrap()).unwrap();
        assert!((1..LEADS).contains(&released), "{job}");
        wait_until("what was brought back is delivered", async || {
            self.deliveries("delivered").await == released
        })
        .await;
        assert_eq!(self.deliveries("pending").await, 0);
        self.0.end().await;
        released
    }
}

#[tokio::test]
async fn who_breaks_off_a_retry_cancels_what_is_not_brought_back() {
    let scene = Scene::start().await;
    scene.receiver.set(Behaviour::RefuseAll(422, "ann@example.com is taken".into()));
    let id =
        scene.operator.webhook(7, "crm", &scene.receiver.url("/"), json!({})).await.integration.unwrap().id;
    scene.post_all().await;
    wait_until("all are dead", async || scene.deliveries("dead").await == LEADS).await;
    scene.receiver.set(Behaviour::Good);
    let slow = scene.config(json!({ "rate_per_second": 1 }));
    scene.cli.json(&["integration", "update", "crm", "--config", &slow]).await;
    let pool = scene.pool.clone();
    let filter =
        async || -> Value { sqlx::query_scalar("SELECT filter FROM job").fetch_one(&pool).await.unwrap() };
    let retry = ["delivery", "retry", "--integration", &id, "--error", "ann@example.com"];
    let job = scene.break_off(&retry).await;
    assert_eq!(
        scene.deliveries("dead").await,
        LEADS - usize::try_from(job["released"].as_u64().unwrap()).unwrap()
    );
    let forgotten = json!({ "states": ["dead"], "known_only": true, "forgot_error": true });
    assert_eq!(filter().await, forgotten, "what was typed is forgotten with the job");
    let id = job["id"].as_str().unwrap();
    let reported = scene.cli.run(&["job", "resume", id]).await.error(1).to_owned();
    assert_eq!(
        reported,
        format!(
            "job {id} cannot be resumed: the error text that it looked for was forgotten with it; start another"
        )
    );
    scene.check_rest(&job).await;
}

#[tokio::test]
async fn a_job_keeps_its_pace_is_cancelled_and_goes_on_where_it_was() {
    let scene = Scene::start().await;
    scene.receiver.set(Behaviour::RefuseAll(422, "closed".into()));
    let hook = scene.operator.webhook(7, "crm", &scene.receiver.url("/"), json!({ "retries": 0 })).await;
    let id = hook.integration.unwrap().id;
    scene.post_all().await;
    wait_until("all are dead", async || scene.deliveries("dead").await == LEADS).await;
    scene.receiver.set(Behaviour::Good);
    let before = scene.receiver.count();
    let by_name = ["delivery", "retry", "ID", "--per-second", "2"];
    assert_eq!(scene.cli.run(&by_name).await.code, 2);
    // One in a hundred seconds: what comes at once is the first, and no other.
    let slow = ["delivery", "retry", "--integration", &id, "--per-second", "0.01", "--no-wait"];
    let job = scene.cli.json(&slow).await["job_id"].as_str().unwrap().to_owned();
    scene.receiver.wait_for(before + 1).await;
    let reported = scene.cli.run(&["job", "resume", &job]).await.error(1).to_owned();
    assert_eq!(reported, format!("job {job} was not cancelled: there is nothing to resume"));
    let shown = scene.cli.json(&["job", "show", &job]).await;
    assert_eq!((&shown["state"], &shown["released"]), (&json!("running"), &json!(1)));
    assert_eq!(shown["per_second"], json!(0.01));
    assert_eq!(scene.cli.json(&["job", "cancel", &job]).await["state"], "cancelled");
    let pool = scene.daemon.database().pool().await;
    let faster = "UPDATE job SET per_second = 1000, paced_until = NULL";
    sqlx::query(faster).execute(&pool).await.unwrap();
    assert_eq!(scene.cli.json(&["job", "resume", &job]).await["state"], "running");
    wait_until("all are delivered", async || scene.deliveries("delivered").await == LEADS).await;
    wait_until("the job is done", async || scene.cli.json(&["job", "show", &job]).await["state"] == "done")
        .await;
    assert_eq!(scene.receiver.count() - before, LEADS, "nothing went twice");
    scene.0.end().await;
}

#[tokio::test]
async fn a_daemon_that_stops_leaves_its_job_to_the_next_and_says_so() {
    let scene = Scene::start().await;
    scene.receiver.set(Behaviour::RefuseAll(422, "closed".into()));
    scene.operator.webhook(7, "crm", &scene.receiver.url("/"), json!({ "retries": 0 })).await;
    scene.post_all().await;
    wait_until("all are dead", async || scene.deliveries("dead").await == LEADS).await;
    scene.receiver.set(Behaviour::Good);
    let before = scene.receiver.count();
    let slowly = ["delivery", "retry", "--integration", "crm", "--per-second", "1"];
    let follows = scene.cli.command(&slowly).spawn().unwrap();
    scene.receiver.wait_for(before + 1).await;
    let jobs = scene.cli.json(&["job", "list"]).await;
    let id = jobs[0]["id"].as_str().unwrap();
    let scene = Scene(scene.0.restarted().await);
    let left = follows.wait_with_output().await.unwrap();
    let told = String::from_utf8(left.stderr).unwrap();
    assert_eq!((left.status.code(), told.lines().count()), (Some(69), 1), "{told}");
    let rest = format!("; job {id} goes on with the daemon: `leadline job show {id} --wait` follows it\n");
    assert!(told.starts_with("leadline: no daemon answers at ") && told.ends_with(&rest), "{told}");
    // So it does.
    let moved = async || scene.cli.json(&["job", "show", id]).await["delivered"].as_u64().unwrap();
    let so_far = moved().await;
    wait_until("the job goes on", async || moved().await > so_far).await;
    let job = scene.cli.json(&["job", "cancel", id]).await;
    scene.check_rest(&job).await;
}

#[tokio::test]
async fn who_breaks_off_a_push_of_leads_cancels_what_is_not_pushed() {
    let scene = Scene::start().await;
    scene.post_all().await;
    let slow = scene.config(json!({ "rate_per_second": 1 }));
    let late = ["--company", "7", "--connector", "webhook", "--name", "late", "--config", &slow];
    scene.cli.json(&[&["integration", "create"], &late[..]].concat()).await;
    let job =
        scene.break_off(&["lead", "push", "--company", "7", "--unsynced", "--integration", "late"]).await;
    let pool = scene.pool.clone();
    let released = scene.check_rest(&job).await;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM delivery").fetch_one(&pool).await.unwrap();
    assert_eq!(rows, i64::try_from(released).unwrap(), "the others have no delivery there");
}

#[tokio::test]
async fn a_job_that_ends_by_itself_forgets_what_was_typed() {
    let scene = Scene::start().await;
    scene.receiver.set(Behaviour::RefuseAll(422, "ann@example.com is taken".into()));
    scene.operator.webhook(7, "crm", &scene.receiver.url("/"), json!({ "retries": 0 })).await;
    scene.post_all().await;
    wait_until("all are dead", async || scene.deliveries("dead").await == LEADS).await;
    scene.receiver.set(Behaviour::Good);
    let job =
        scene.cli.json(&["delivery", "retry", "--integration", "crm", "--error", "ann@example.com"]).await;
    assert_eq!((&job["state"], &job["delivered"]), (&json!("done"), &json!(LEADS)));
    let pool = scene.pool.clone();
    let filter: Value = sqlx::query_scalar("SELECT filter FROM job").fetch_one(&pool).await.unwrap();
    assert_eq!(filter, json!({ "states": ["dead"], "known_only": true }));
    let audit: String =
        sqlx::query_scalar("SELECT string_agg(a::text, ' ') FROM audit a").fetch_one(&pool).await.unwrap();
    assert!(audit.contains(job["id"].as_str().unwrap()) && !audit.contains("ann@"), "{audit}");
    scene.0.end().await;
}
