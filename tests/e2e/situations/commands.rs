//! The same situations with commands alone, as the triage guide tells them: from the red badge to fixed, and known to be.

use leadline_tests::{Cli, Ran};

use super::*;

/// Noun, verb and options of a command.
type Shape = (String, Vec<String>);

fn shape<'a>(words: impl Iterator<Item = &'a str>) -> Shape {
    let words: Vec<&str> = words.collect();
    let mut options: Vec<String> =
        words.iter().filter(|word| word.starts_with("--")).map(|word| (*word).to_owned()).collect();
    options.sort();
    (words[..2].join(" "), options)
}

/// The commands of a row of the guide.
fn of_guide(situation: &str) -> Vec<Shape> {
    let rows = GUIDE.split("The same with commands").nth(1).unwrap();
    let row = rows.lines().find(|line| line.starts_with(&format!("| {situation} |"))).unwrap();
    let quoted = row.split('`').skip(1).step_by(2);
    quoted.filter_map(|text| text.strip_prefix("leadline ")).map(|text| shape(text.split(' '))).collect()
}

/// A shell in which a situation is played: it runs what the guide says, all of it, and nothing else.
struct Shell {
    cli: Cli,
    left: Vec<Shape>,
    all: Vec<Shape>,
}

impl Shell {
    fn start(daemon: &Daemon, situation: &str) -> Self {
        let all = of_guide(situation);
        Self { cli: Cli::new(daemon.socket()), left: all.clone(), all }
    }

    fn note(&mut self, args: &[&str]) {
        let ran = shape(args.iter().copied());
        assert!(self.all.contains(&ran), "the guide does not say {ran:?}, but {:?}", self.all);
        self.left.retain(|shape| *shape != ran);
    }

    async fn run(&mut self, args: &[&str]) -> Ran {
        self.note(args);
        self.cli.run(&[args, &["-o", "json"]].concat()).await
    }

    async fn json(&mut self, args: &[&str]) -> Value {
        let ran = self.run(args).await;
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran.json()
    }

    fn end(self) {
        assert_eq!(self.left, [], "the guide says more than it takes");
    }
}

/// The cause of a property that is missing, once it counts so many dead: they are counted behind the pushes.
async fn cause(shell: &mut Shell, dead: usize) -> Value {
    wait_until("the dead are counted", async || {
        missing(&shell.cli.json(&["failure", "list"]).await).is_some_and(|it| it["dead"] == json!(dead))
    })
    .await;
    missing(&shell.json(&["failure", "list"]).await).unwrap().clone()
}

fn missing(causes: &Value) -> Option<&Value> {
    rows(causes).find(|it| text(&it["text"]).contains("PROPERTY_DOESNT_EXIST"))
}

fn rows(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().unwrap().iter()
}

/// The row in which a key has this value.
fn row<'v>(list: &'v Value, key: &str, value: &Value) -> &'v Value {
    rows(list).find(|it| it[key] == *value).unwrap_or_else(|| panic!("no {key} {value} in {list}"))
}

/// How many there are.
fn count(list: &Value) -> usize {
    list.as_array().unwrap().len()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

#[tokio::test]
async fn a_person_is_found_explained_and_brought_there() {
    let scene = Crm::start().await;
    scene.missed_a_property(0..1, None).await;
    scene.somebody_of_the_same_name().await;

    let mut shell = Shell::start(&scene.daemon, "a");
    let found = shell.json(&["lead", "find", "sarah patel"]).await;
    assert_eq!((count(&found), &found[0]["company_id"]), (6, &json!(11)), "{found}");
    let uuid = &row(&found, "undelivered", &json!(1))["uuid"];
    let trace = shell.json(&["lead", "trace", text(uuid)]).await;
    let at_the_crm = |step: &&Value| step["integration"] == "HubSpot" && step["delivery_id"].is_string();
    let delivery = text(&rows(&trace["steps"]).find(at_the_crm).unwrap()["delivery_id"]);
    let why = shell.json(&["delivery", "why", delivery]).await;
    assert!(text(&why["why"]).contains("firstname"), "{why}");
    let attempt = shell.json(&["delivery", "retry", delivery]).await;
    assert_eq!(attempt["state"], "delivered", "{attempt}");
    let found = shell.json(&["lead", "find", "sarah patel"]).await;
    let found = row(&found, "uuid", uuid);
    assert_eq!((&found["undelivered"], &found["state"]), (&json!(0), &json!("complete")), "{found}");
    shell.end();
    scene.end().await;
}

#[tokio::test]
async fn a_token_is_replaced_and_what_it_stopped_goes() {
    let scene = Crm::start().await;
    scene.revoke_token();
    scenes::die(&scene, 0..40).await;

    let mut shell = Shell::start(&scene.daemon, "b");
    let failing = ["integration", "list", "--badge", "failing,credentials"];
    let red = shell.json(&failing).await;
    let crm = row(&red, "name", &json!("HubSpot"));
    assert_eq!((count(&red), &crm["badge"], &crm["dead"]), (2, &json!("credentials"), &json!(40)), "{red}");
    let set = ["integration", "set-credentials", "7/HubSpot"];
    shell.note(&set);
    let refused = shell.cli.run_with(r#"{"token": "pat-eu1-wrong"}"#, &set).await;
    assert!(refused.error(1).contains("the old credentials stay"), "{refused:?}");
    let kept = shell.cli.run_with(r#"{"token": "pat-eu1-second"}"#, &set).await;
    assert_eq!(kept.code, 0, "{kept:?}");
    let job =
        shell.json(&["delivery", "retry", "--integration", "7/HubSpot", "--class", "credentials"]).await;
    assert_eq!((&job["state"], &job["delivered"]), (&json!("done"), &json!(40)), "{job}");
    let red = shell.json(&failing).await;
    assert_eq!((count(&red), &red[0]["name"]), (1, &json!("archive")), "{red}");
    shell.end();
    scene.end().await;
}

#[tokio::test]
async fn a_mapping_is_previewed_corrected_and_rendered_anew() {
    let scene = Crm::mapped(json!({ "lead.guest_count": "no_such_property" })).await;
    scenes::die(&scene, 0..12).await;

    let mut shell = Shell::start(&scene.daemon, "c");
    let cause = cause(&mut shell, 12).await;
    assert_eq!(cause["actions"], json!(["edit_mapping", "retry_re_rendered", "skip"]), "{cause}");
    let cause = text(&cause["cause"]);
    let dead = shell.json(&["delivery", "list", "--cause", cause]).await;
    let lead = text(&dead[0]["lead"]);
    let mapping = r#"{"lead.guest_count": "guests"}"#;
    let new = ["--lead", lead, "--mapping", mapping];
    let preview = shell.json(&[&["integration", "preview", "7/HubSpot"][..], &new].concat()).await;
    assert!(text(&preview["request"]["body"]).contains("guests"), "{preview}");
    shell.json(&["integration", "set-mapping", "7/HubSpot", "--mapping", mapping]).await;
    let job = shell.json(&["delivery", "retry", "--cause", cause, "--re-render"]).await;
    assert_eq!((&job["state"], &job["delivered"]), (&json!("done"), &json!(12)), "{job}");
    assert_eq!(missing(&shell.json(&["failure", "list"]).await), None);
    assert_eq!(scene.guests(), 12);
    shell.end();
    scene.end().await;
}

#[tokio::test]
async fn an_outage_is_caught_up_with_slowly_stopped_and_resumed() {
    let scene = scenes::outage(7, 3).await;
    let before = scene.receiver.count();

    let mut shell = Shell::start(&scene.daemon, "d");
    let retry = ["delivery", "retry", "--integration", "7/hook"];
    let died = shell.json(&[&retry[..], &["--died-since", "1h", "--dry-run"]].concat()).await;
    assert_eq!(died["count"], 7, "{died}");
    let slowly = ["--state", "pending,dead", "--per-second", "1", "--no-wait"];
    let started = shell.json(&[&retry[..], &slowly].concat()).await;
    let job = text(&started["job_id"]);
    scene.receiver.wait_for(before + 1).await;
    let jobs = shell.json(&["job", "list"]).await;
    assert_eq!((&jobs[0]["id"], &jobs[0]["state"]), (&json!(job), &json!("running")), "{jobs}");
    assert_eq!(
        jobs[0]["about"], "retry pending and dead at The Old Barn / hook, at most 60 a minute",
        "{jobs}"
    );
    let cancelled = shell.json(&["job", "cancel", job]).await;
    assert_eq!(cancelled["total"], 10, "{cancelled}");
    let released = cancelled["released"].as_u64().unwrap();
    assert!((1..10).contains(&released), "it is stopped midway: {cancelled}");
    shell.json(&["job", "resume", job]).await;
    let ended = shell.json(&["job", "show", job, "--wait"]).await;
    assert_eq!((&ended["state"], &ended["delivered"]), (&json!("done"), &json!(10)), "{ended}");
    assert_eq!(scene.receiver.count() - before, 10, "nothing went twice");
    shell.end();
    scene.end().await;
}

#[tokio::test]
async fn one_cause_is_retried_at_all_its_companies_and_nothing_else() {
    let (scene, _other) = Crm::one_cause_among_others().await;
    let before = scene.receiver.count();

    let mut shell = Shell::start(&scene.daemon, "e");
    let cause = cause(&mut shell, 312).await;
    assert_eq!(count(&cause["integrations"]), 2, "{cause}");
    // At one of the two companies it is as many as are told of that one.
    let id = text(&cause["cause"]);
    let of_one = ["delivery", "retry", "--cause", id, "--company", "10", "--dry-run"];
    assert_eq!(shell.cli.json(&of_one).await["count"], 112);
    let job = shell.json(&["delivery", "retry", "--cause", id]).await;
    assert_eq!((&job["state"], &job["delivered"]), (&json!("done"), &json!(312)), "{job}");
    // Sixty of five kinds, and what the crowd has.
    let left = shell.json(&["failure", "list"]).await;
    let dead: Vec<&Value> = rows(&left).map(|it| &it["dead"]).collect();
    assert_eq!(dead, [&json!(45), &json!(12), &json!(12), &json!(12), &json!(12), &json!(12)], "{left}");
    assert!(scene.holds(scenes::FORMS_REFUSED).await);
    assert_eq!(scene.receiver.count(), before, "the other causes were left alone");
    shell.end();
    scene.end().await;
}

#[tokio::test]
async fn a_secret_is_rotated_at_once_and_another_as_planned() {
    let scene = scenes::hook().await;
    let knows = scenes::knows_one_secret(&scene);

    let mut shell = Shell::start(&scene.daemon, "f");
    let leaked = shell.json(&["integration", "rotate-secret", "7/hook"]).await;
    knows.only(text(&leaked["signing_secret"]));
    scene.post(0).await;
    wait_state(&scene, &scene.integration, "delivered", 1).await;
    let planned = shell.json(&["integration", "rotate-secret", "7/hook", "--staged", "--hold"]).await;
    scene.post(1).await;
    wait_state(&scene, &scene.integration, "held", 1).await;
    knows.only(text(&planned["signing_secret"]));
    shell.json(&["integration", "cut-over", "7/hook"]).await;
    wait_state(&scene, &scene.integration, "delivered", 2).await;
    assert_eq!((scene.receiver.count(), knows.refused()), (2, 0), "no push was refused");
    shell.end();
    scene.end().await;
}

#[tokio::test]
async fn evidence_is_printed_for_a_ticket() {
    let (scene, lead) = scenes::refused(2).await;

    let mut shell = Shell::start(&scene.daemon, "g");
    let found = shell.json(&["lead", "find", text(&lead["lead"]["email"])]).await;
    let uuid = text(&found[0]["uuid"]);
    shell.note(&["lead", "evidence", uuid]);
    let document = shell.cli.run(&["lead", "evidence", uuid]).await.stdout;
    for part in [&format!("# Lead {uuid}"), "400", "the date is in the past", "/hook"] {
        assert!(document.contains(part), "no {part} in {document}");
    }
    shell.end();
    scene.end().await;
}

#[tokio::test]
async fn a_full_plan_takes_one_that_is_disabled_and_then_a_larger_plan() {
    let scene = scenes::full_plan().await;

    let mut shell = Shell::start(&scene.daemon, "h");
    let config = json!({ "url": scene.receiver.url("/second") }).to_string();
    let mut create = vec!["integration", "create", "--company", "11", "--connector", "webhook"];
    create.extend(["--name", "second", "--config", &config]);
    let refused = shell.cli.run(&create).await;
    assert!(refused.error(1).contains("plan starter"), "{refused:?}");
    create.push("--disabled");
    let created = shell.json(&create).await;
    assert_eq!(created["enabled"], false, "{created}");
    assert_eq!(shell.json(&["company", "set-plan", "11", "--plan", "pro"]).await["plan"], "pro");
    assert_eq!(shell.json(&["integration", "enable", "11/second"]).await["enabled"], true);
    shell.end();
    scene.end().await;
}

#[tokio::test]
async fn a_flow_is_seen_tried_changed_and_the_lead_pushed() {
    let scene = scenes::kept_away().await;

    let mut shell = Shell::start(&scene.daemon, "i");
    let found = shell.json(&["lead", "find", "sarah.patel.0@example.com"]).await;
    let uuid = text(&found[0]["uuid"]);
    let trace = shell.json(&["lead", "trace", uuid]).await;
    assert!(trace.to_string().contains("big weddings"), "{trace}");
    let flow = shell.json(&["flow", "show", "big weddings"]).await;
    assert_eq!(flow["when"], "lead.guest_count > 150", "{flow}");
    assert_eq!(shell.json(&["lead", "show", uuid]).await["event"]["lead"]["guest_count"], 20);
    let when = ["--when", "lead.guest_count > 10"];
    let tried = shell.json(&[&["flow", "test", "big weddings"][..], &when].concat()).await;
    assert_eq!((&tried["tested"], &tried["sent"]), (&json!(500), &json!(500)), "{tried}");
    shell.json(&[&["flow", "update", "big weddings"][..], &when].concat()).await;
    shell.json(&["lead", "push", uuid, "--integration", "7/planner"]).await;
    scene.receiver.wait_for(1).await;
    assert_eq!(shell.json(&["lead", "find", uuid]).await[0]["state"], "complete");
    shell.end();
    scene.end().await;
}

#[tokio::test]
async fn a_silent_company_says_what_was_refused_and_to_whom() {
    let scene = scenes::silent().await;

    let mut shell = Shell::start(&scene.daemon, "j");
    let silent = shell.json(&["company", "list", "--silent", "4h"]).await;
    assert_eq!((count(&silent), &silent[0]["id"]), (1, &json!(7)), "{silent}");
    wait_until("what was refused is kept", async || {
        shell.cli.json(&["company", "show", "7"]).await["refused_24h"] == 1
    })
    .await;
    let page = shell.json(&["company", "show", "7"]).await;
    assert!(page["last_lead_at"].is_string() && page["keys"][0]["last_used_at"].is_string(), "{page}");
    let refused = shell.json(&["intake-key", "refusals", text(&page["keys"][0]["id"])]).await;
    assert_eq!(refused[0]["errors"][0]["pointer"], "/lead/email", "{refused}");
    shell.end();
    // Who looks at the whole sees it without knowing the company.
    let system = scene.cli.json(&["system", "show"]).await;
    let worst = &system["refused"][0];
    assert_eq!(
        (&worst["company_id"], &worst["refused"], &worst["status"]),
        (&json!(7), &json!(1), &json!(422)),
        "{system}"
    );
    scene.end().await;
}
