//! Commands of triage that narrow, follow or print what others wrote.

use leadline_fakes::Receiver;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::*;

#[tokio::test]
async fn a_lead_is_found_at_one_company_only() {
    let scene = Scene::with(Behaviour::Good).await;
    let cli = Cli::new(scene.daemon.socket());
    let key = scene.operator.company(8).await;
    let [here, there] = [1, 2].map(|n| lead_of(n, "Sarah Patel", &format!("s{n}@example.com"), ""));
    scene.post_lead(&here).await;
    let (status, answer) = post_lead(&scene.daemon.url("/v1/leads"), &key, there.to_string()).await;
    assert_eq!(status, 202, "{answer}");
    let found = async |args: &[&str]| {
        let found = cli.json(&[&["lead", "find", "sarah"], args].concat()).await;
        let uuid = |lead: &Value| lead["uuid"].as_str().unwrap().to_owned();
        found.as_array().unwrap().iter().map(uuid).collect::<Vec<_>>()
    };
    assert_eq!(found(&[]).await, [uuid_of(&there), uuid_of(&here)]);
    assert_eq!(found(&["--company", "7"]).await, [uuid_of(&here)]);
    assert_eq!(found(&["--company", "8"]).await, [uuid_of(&there)]);
    let refused = cli.run(&["lead", "find", "sarah", "--company", "9"]).await;
    assert!(refused.error(1).contains("no company \"9\""), "{refused:?}");
    scene.end().await;
}

#[tokio::test]
async fn what_died_since_a_time_is_retried_and_nothing_older() {
    let scene = Scene::with(Behaviour::RefuseAll(422, "no".into())).await;
    let cli = Cli::new(scene.daemon.socket());
    for n in 1..=2 {
        scene.post(n).await;
    }
    scene.wait_for_states(&["dead"; 2]).await;
    let aged = "UPDATE undelivered SET since = since - interval '3 hours'";
    sqlx::query(aged).execute(&scene.pool).await.unwrap();
    scene.post(3).await;
    scene.wait_for_states(&["dead"; 3]).await;
    scene.receiver.set(Behaviour::Good);
    let retry = ["delivery", "retry", "--integration", "crm", "--died-since"];
    let counted = async |since: &str| {
        cli.json(&[&retry[..], &[since, "--dry-run"]].concat()).await["count"].as_u64().unwrap()
    };
    assert_eq!((counted("1h").await, counted("4h").await), (1, 3));
    let job = cli.json(&[&retry[..], &["1h"]].concat()).await;
    assert_eq!((&job["state"], &job["delivered"]), (&json!("done"), &json!(1)), "{job}");
    let about = job["about"].as_str().unwrap();
    assert!(
        about.starts_with("retry dead died since 2") && about.ends_with(" at The Old Barn / crm"),
        "{about}"
    );
    assert_eq!(job["integrations"][0]["name"], "crm", "{job}");
    scene.wait_for_states(&["dead", "dead", "delivered"]).await;
    // A time alone says not whose they are.
    let refused = cli.run(&["delivery", "retry", "--died-since", "1h"]).await;
    assert!(refused.error(2).contains("say which deliveries"), "{refused:?}");
    scene.end().await;
}

#[tokio::test]
async fn what_happens_is_followed_line_by_line() {
    let scene = Scene::with(Behaviour::Good).await;
    let cli = Cli::new(scene.daemon.socket());
    let key = scene.operator.company(8).await;
    let args = ["activity", "--follow", "--company", "7", "-o", "json"];
    let mut child = cli.command(&args).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut line = async |is_awaited: &dyn Fn(&Value) -> bool| -> Value {
        loop {
            let line: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
            assert_eq!(line["company_id"], 7, "{line}");
            if is_awaited(&line) {
                return line;
            }
        }
    };
    let first = line(&|_| true).await;
    assert!(first["act"]["action"].is_string(), "what operators did so far: {first}");
    // Nothing is said of another company.
    let (status, _) = post_lead(&scene.daemon.url("/v1/leads"), &key, sample_lead(7).to_string()).await;
    assert_eq!(status, 202);
    scene.post(1).await;
    let attempt = line(&|line| line["attempt"].is_object()).await;
    assert_eq!((&attempt["attempt"]["state"], &attempt["integration"]), (&json!("delivered"), &json!("crm")));
    cli.json(&["integration", "disable", "crm"]).await;
    let act = line(&|line| line["act"]["action"] == "DisableIntegration").await;
    assert_eq!(act["act"]["target_name"], "crm", "{act}");
    scene.daemon.stop().await;
    assert_eq!(child.wait().await.unwrap().code(), Some(69), "the daemon has stopped");
    scene.receiver.stop().await;
}

#[tokio::test]
async fn activity_says_that_more_follows_and_goes_on_there() {
    let scene = Scene::with(Behaviour::Good).await;
    let cli = Cli::new(scene.daemon.socket());
    for n in 1..=3 {
        scene.post(n).await;
    }
    scene.wait_for_states(&["delivered"; 3]).await;
    let whole = cli.run(&["activity", "-o", "table"]).await;
    assert_eq!((whole.code, &*whole.stderr), (0, ""), "all of it was told");
    // Page by page, the newest first.
    let (mut told, mut after) = (Vec::new(), None::<String>);
    loop {
        let more: Vec<&str> = after.iter().flat_map(|after| ["--after", after]).collect();
        let page = cli.run(&[&["activity", "-o", "table", "--limit", "2"], &more[..]].concat()).await;
        assert_eq!(page.code, 0, "{page:?}");
        told.extend(page.stdout.lines().map(str::to_owned));
        match page.stderr.trim().strip_prefix("More follow: --after ") {
            Some(token) => after = Some(token.to_owned()),
            None => break assert_eq!(page.stderr, ""),
        }
    }
    assert_eq!(told, whole.stdout.lines().collect::<Vec<_>>());
    let both = cli.run(&["activity", "--follow", "--after", "x"]).await;
    assert!(both.error(2).contains("cannot be used with"), "{both:?}");
    scene.end().await;
}

/// What steers a terminal, or hides on it.
fn is_hidden(c: char) -> bool {
    c.is_control() && c != '\n' || matches!(c, '\u{202e}' | '\u{2066}' | '\u{200b}' | '\u{1160}' | '\u{feff}')
}

#[tokio::test]
async fn json_of_any_command_steers_no_terminal() {
    let name = "Sarah \u{202e}\u{2066}\u{200b}\u{1160}\u{feff}\u{9b}31m Patel";
    let scene = Scene::with(Behaviour::RefuseAll(422, format!("{name} is taken"))).await;
    let cli = Cli::new(scene.daemon.socket());
    let lead = lead_of(1, name, "sarah@example.com", "");
    scene.post_lead(&lead).await;
    scene.wait_for_states(&["dead"]).await;
    let uuid = uuid_of(&lead);
    for args in [
        &["lead", "evidence", uuid, "-o", "json"][..],
        &["lead", "evidence", uuid, "--format", "json"],
        &["lead", "export", "--email", "sarah@example.com"],
        &["lead", "export", "--email", "sarah@example.com", "-o", "json"],
        &["lead", "show", uuid, "-o", "json"],
        &["lead", "trace", uuid, "-o", "json"],
        &["lead", "find", "sarah", "-o", "json"],
        &["delivery", "list", "-o", "json"],
        &["failure", "list", "-o", "json"],
        &["activity", "-o", "json"],
    ] {
        let ran = cli.run(args).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(!ran.stdout.contains(is_hidden), "{args:?}: {}", ran.stdout.escape_debug());
        if args[1] == "export" || args[1] == "show" {
            assert!(ran.json().to_string().contains('\u{202e}'), "it means the same: {args:?}");
        }
    }
    scene.end().await;
}

#[tokio::test]
async fn causes_are_narrowed_by_company_integration_class_and_time() {
    let scene = Scene::with(Behaviour::RefuseAll(422, "no such date".into())).await;
    let cli = Cli::new(scene.daemon.socket());
    let key = scene.operator.company(8).await;
    let gone = Receiver::start(Behaviour::RefuseAll(404, "nobody lives here".into())).await.unwrap();
    scene.operator.webhook(8, "crm", &gone.url("/"), json!({})).await;
    scene.post(1).await;
    let (status, answer) = post_lead(&scene.daemon.url("/v1/leads"), &key, sample_lead(2).to_string()).await;
    assert_eq!(status, 202, "{answer}");
    let codes = async |more: &[&str]| {
        let list = cli.json(&[&["failure", "list"], more].concat()).await;
        let code = |it: &Value| it["text"].as_str().unwrap()[..3].to_owned();
        let mut codes: Vec<_> = list.as_array().unwrap().iter().map(code).collect();
        codes.sort_unstable();
        codes
    };
    wait_until("both are causes", async || codes(&[]).await == ["404", "422"]).await;
    for (more, expected) in [
        (&["--company", "8"][..], &["404"][..]),
        (&["--company", "7"], &["422"]),
        (&["--integration", "7/crm"], &["422"]),
        (&["--integration", "8/crm"], &["404"]),
        (&["--company", "8", "--integration", "crm"], &["404"]),
        (&["--class", "credentials"], &[]),
        (&["--class", "credentials,rejected"], &["404", "422"]),
        (&["--since", "1h"], &["404", "422"]),
        (&["--since", "tomorrow"], &[]),
    ] {
        assert_eq!(codes(more).await, expected, "{more:?}");
    }
    gone.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_cause_is_snoozed_until_the_next_of_a_time() {
    let scene = Scene::with(Behaviour::RefuseAll(422, "no".into())).await;
    let cli = Cli::new(scene.daemon.socket());
    scene.post(1).await;
    scene.wait_for_states(&["dead"]).await;
    wait_until("it is a cause", async || cli.json(&["failure", "list"]).await != json!([])).await;
    let causes = cli.json(&["failure", "list"]).await;
    let cause = causes[0]["cause"].as_str().unwrap();
    // Whatever time it is now, this one is to come.
    let snoozed = cli.json(&["failure", "snooze", cause, "--until", "00:00"]).await;
    assert!(snoozed["snoozed_until"].as_str().unwrap().ends_with("T00:00:00Z"), "{snoozed}");
    assert_eq!(cli.json(&["failure", "list"]).await, json!([]));
    assert_eq!(
        cli.json(&["failure", "list", "--snoozed"]).await[0]["snoozed_until"],
        snoozed["snoozed_until"]
    );
    cli.json(&["failure", "snooze", cause, "--end"]).await;
    assert_eq!(cli.json(&["failure", "list"]).await[0]["snoozed_until"], Value::Null);
    let refused = cli.run(&["failure", "snooze", cause, "--until", "yesterday"]).await;
    assert!(refused.error(2).contains("give a time to come such as 14:00"), "{refused:?}");
    scene.end().await;
}
