//! Tables on a terminal of 80 columns: they lead with names, wrap nowhere and say when more follows.

use leadline_fakes::{Behaviour, Receiver, sample_lead};
use leadline_tests::{Scene, post_lead, wait_until};
use serde_json::{Value, json};

use super::{LEAD, on_a_terminal};

/// Texts that stand whole below a thing that is shown: the terminal wraps them.
const WHOLE: [&str; 11] = [
    "last_error",
    "url",
    "when",
    "error",
    "sample_error",
    "advice",
    "text",
    "response_body",
    "request_body",
    "event",
    "config",
];

/// The lead of the fixture.
const UUID: &str = "01j8h6kqh4yg3xr8rwm6t6xfqe";

/// Company 7 and company 8 with two of everything that lists have, and who else takes part.
struct Lists {
    scene: Scene,
    others: [Receiver; 2],
    cause: String,
    job: String,
}

impl Lists {
    async fn start() -> Self {
        let scene = Scene::set()
            .behaviour(Behaviour::RefuseAll(422, "no such date ".repeat(20)))
            .webhook("the hook", "/")
            .start()
            .await;
        let mill = Receiver::start(Behaviour::RefuseAll(404, "nobody lives here".into())).await.unwrap();
        let ops = Receiver::start(Behaviour::Good).await.unwrap();
        let cli = &scene.cli;
        let key = scene.operator.company(8).await;
        scene.operator.webhook(8, "mill hook", &mill.url("/"), json!({})).await;
        let told = json!({ "url": ops.url("/") }).to_string();
        for (company, hook) in [("7", "7/the hook"), ("8", "8/mill hook")] {
            let new =
                ["integration", "create", "--company", company, "--connector", "webhook", "--name", "ops"];
            cli.json(&[&new[..], &["--notices", "--config", &told]].concat()).await;
            let flow = ["--when", "lead.guest_count > 0", "--then", hook];
            cli.json(&[&["flow", "create", "--company", company, "--name", "all"], &flow[..]].concat()).await;
            cli.json(&["form", "create", "--company", company, "--name", "the page"]).await;
            let token = ["token", "create", "--role", "viewer", "--company", company, "--name", "mara"];
            cli.json(&token).await;
        }
        let mut sarah = sample_lead(2);
        sarah["lead"]["name"] = json!("Sarah Mill");
        sarah["lead"]["event_type"] = json!("wedding");
        for (key, lead) in [(&scene.key, LEAD.to_owned()), (&key, sarah.to_string())] {
            let (status, told) = post_lead(&scene.daemon.url("/v1/leads"), key, lead).await;
            assert_eq!(status, 202, "{told}");
        }
        let causes = async || cli.json(&["failure", "list"]).await;
        wait_until("both causes are known", async || causes().await.as_array().unwrap().len() == 2).await;
        let mut job = Value::Null;
        for hook in ["7/the hook", "8/mill hook"] {
            job = cli.json(&["delivery", "retry", "--integration", hook, "--no-wait"]).await["job_id"].take();
        }
        let jobs = async || cli.json(&["job", "list"]).await;
        let is_done = |jobs: Value| jobs.as_array().unwrap().iter().all(|job| job["state"] == "done");
        wait_until("both jobs are done", async || is_done(jobs().await)).await;
        let notices = async || cli.json(&["notice", "list"]).await.as_array().unwrap().len();
        wait_until("both were told of", async || notices().await >= 2).await;
        // What was retried failed again.
        wait_until("both causes are back", async || causes().await.as_array().unwrap().len() == 2).await;
        let cause = causes().await[0]["cause"].as_str().unwrap().to_owned();
        let job = job.as_str().unwrap().to_owned();
        Self { scene, others: [mill, ops], cause, job }
    }

    async fn printed(&self, args: &[&str]) -> String {
        on_a_terminal(self.scene.daemon.socket(), args).await
    }
}

/// Fails where a line is wider than the terminal, but for whole texts that stand below what is shown.
fn fits(args: &[&str], text: &str) {
    let mut below = "";
    for line in text.lines().map(str::trim_end) {
        below = line.strip_suffix(':').filter(|key| !key.contains(' ')).unwrap_or(below);
        let is_whole = args[1..].contains(&"show") && WHOLE.contains(&below);
        assert!(is_whole || line.chars().count() <= 80, "{args:?}: too wide below {below:?}: {line:?}");
    }
}

#[tokio::test]
async fn lists_fit_lead_with_names_and_say_when_more_follows() {
    let lists = Lists::start().await;
    for (args, first, cell) in [
        (&["company", "list"][..], "NAME", "The Old Barn"),
        (&["intake-key", "list"], "PREFIX", "llk_7_"),
        (&["integration", "list"], "COMPANY", "failing"),
        (&["flow", "list"], "NAME", "mill hook"),
        (&["form", "list"], "NAME", "the page"),
        (&["lead", "list"], "NAME", "unsynced"),
        (&["lead", "find", "sarah"], "NAME", "Sarah Patel"),
        (&["delivery", "list"], "LEAD", "the hook"),
        // Two companies may call an integration the same.
        (&["attempt", "list"], "COMPANY", "rejected"),
        (&["attempt", "list", "--integration", "the hook"], "COMPANY", "rejected"),
        (&["failure", "list"], "TEXT", "422 Unprocessable Entity"),
        (&["job", "list"], "ABOUT", "STATE"),
        (&["token", "list"], "NAME", "mara"),
        // What happened when leads with its time.
        (&["audit", "list"], "AT", "created"),
        (&["notice", "list"], "CREATED AT", "Integration \"the hook\""),
    ] {
        let text = lists.printed(args).await;
        assert!(text.starts_with(first) && text.contains(cell), "{args:?}: {text}");
        fits(args, &text);
        let page = lists.printed(&[args, &["--limit", "1"]].concat()).await;
        fits(args, &page);
        let rest = page.lines().filter(|line| line.contains("More follow: --after ")).count();
        assert_eq!(rest, 1, "{args:?}: {page}");
    }
    let args = ["lead", "find", "wedding", "--anywhere", "--limit", "1"];
    let page = lists.printed(&args).await;
    fits(&args, &page);
    assert!(page.starts_with("NAME") && page.contains("\nFurther back: --after "), "{page}");
    let args = ["activity", "--limit", "1"];
    let page = lists.printed(&args).await;
    fits(&args, &page);
    assert!(page.contains("\nMore follow: --after "), "{page}");
    let args = ["activity"];
    let whole = lists.printed(&args).await;
    fits(&args, &whole);
    assert!(whole.contains("Sarah Patel attempt 1 failed") && whole.contains('…'), "{whole}");

    // The ids that other commands take are one word away.
    let attempt = lists.scene.operator.finished(&lists.scene.integration).await.remove(0);
    for (args, id) in [
        (&["lead", "find", "sarah patel"][..], UUID),
        (&["lead", "trace", UUID], &*attempt.delivery_id),
        (&["delivery", "list"], &*attempt.delivery_id),
        (&["company", "show", "7"], &*lists.scene.integration),
    ] {
        let text = lists.printed(args).await;
        assert!(
            !text.contains(id) && text.contains("\n--wide shows ids, which other commands take"),
            "{args:?}: {text}"
        );
        let wide = lists.printed(&[args, &["--wide"]].concat()).await;
        assert!(wide.contains(id) && !wide.contains("--wide"), "{args:?}: {wide}");
    }

    // A pipe gets tabs and the whole text.
    let attempt = lists.scene.operator.finished(&lists.scene.integration).await.pop().unwrap();
    let args = ["attempt", "list", "--integration", "the hook", "--limit", "1"];
    let plain = lists.scene.cli.run(&args).await.stdout;
    let cells: Vec<_> = plain.trim_end_matches('\n').split('\t').collect();
    assert_eq!((cells.len(), cells[0], cells[5], cells[12]), (13, &*attempt.id, "422", "The Old Barn"));
    assert!(cells[9].len() > 60, "a pipe gets the whole text: {plain}");
    lists.end().await;
}

#[tokio::test]
async fn what_is_shown_fits() {
    let lists = Lists::start().await;
    let attempt = lists.scene.operator.finished(&lists.scene.integration).await.remove(0);
    let uuid = UUID;
    for (args, cells) in [
        (&["company", "show", "7"][..], &["The Old Barn", "keys:", "integrations:", "the hook"][..]),
        (&["integration", "show", "the hook"], &["failing"]),
        (&["lead", "show", uuid], &["deliveries:", "the hook"]),
        (&["lead", "trace", uuid], &["steps:", "the hook", "rejected"]),
        (&["delivery", "show", &attempt.delivery_id], &["history:", "CLASS     STARTED AT", "rejected"]),
        (&["attempt", "show", &attempt.id], &["rejected"]),
        (&["failure", "show", &lists.cause], &["changed_before:", "integrations", "advice"]),
        (&["job", "show", &lists.job], &["total", "mill hook"]),
        (&["system", "show"], &["daemons:", "queue:", "rates:", "database:"]),
    ] {
        let text = lists.printed(args).await;
        for cell in cells {
            assert!(text.contains(cell), "{args:?} says nothing of {cell}: {text}");
        }
        fits(args, &text);
    }
    lists.end().await;
}

impl Lists {
    async fn end(self) {
        self.scene.daemon.stop().await;
        self.scene.receiver.stop().await;
        for other in self.others {
            other.stop().await;
        }
    }
}
