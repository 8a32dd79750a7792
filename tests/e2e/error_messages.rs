//! What commands and calls are refused with, word for word, and that nothing is half-applied after any of them.

use std::fs;

use leadline_fakes::{Behaviour, sample_lead};
use leadline_tests::{Ran, post_lead, wait_until};
use serde_json::{Value, json};
use tonic::transport::Channel;

mod calls;
mod connectors;

/// What a shell types (`~` is a blank in a word, `$…` a thing of the scene), the exit code, and the line on stderr.
#[rustfmt::skip]
const COMMANDS: &[(&str, i32, &str)] = &[
    ("company create --name ~ --plan pro", 2, "--name has an empty value: give one, or leave it out; --help tells more"),
    ("company create --name X --plan pro --id 7", 1, "company 7 exists already: choose another id, or none to get the next free"),
    ("company create --name X --plan pro --brand a~b", 1, r#"brand "a b" must be NAME or NAME/VERSION of letters, digits, '-', '.' and '_'"#),
    ("company update Twin --name Y", 1, r#"several companies are named "Twin": use one of the ids 10, 11"#),
    ("company update Nobody --name Y", 1, r#"no company "Nobody": `leadline company list` shows those there are"#),
    ("company set-plan 7 --plan starter", 1, r#"plan starter allows 1 enabled integration and "flowed", "hook" are enabled: name those to disable with `leadline company set-plan 7 --plan starter --disable ID`"#),
    ("company set-plan 7 --plan free --disable nothing", 1, r#"no integration "nothing": `leadline integration list` shows those there are"#),
    ("company set-plan 10 --plan free", 1, r#"plan free allows no enabled integration and "one" is enabled: name those to disable with `leadline company set-plan 10 --plan free --disable ID`"#),
    ("company list --after x", 1, r#"page_token "x": give the next_page_token of the page before, or the last id on it"#),
    ("intake-key create --company 7 --rate-per-second 0", 1, "rate_per_second 0: give 0.001 to 1000000, or leave it out for no limit"),
    ("intake-key create --company Nobody", 1, r#"no company "Nobody": `leadline company list` shows those there are"#),
    ("intake-key revoke x", 1, r#"intake key "x" is not a ULID: 26 characters of 0-9 and A-Z without I, L, O, U, the first at most 7; `leadline intake-key list` shows them"#),
    ("intake-key revoke $none", 1, "no intake key $none: `leadline intake-key list` shows those there are"),
    ("intake-key refusals $none", 1, "no intake key $none: `leadline intake-key list` shows those there are"),
    (r#"integration create --company 8 --connector webhook --name new --config {"url":"$url"}"#, 1, "plan free allows no enabled integration: create it disabled, or change the plan with `leadline company set-plan 8 --plan pro`"),
    (r#"integration create --company 10 --connector webhook --name new --config {"url":"$url"}"#, 1, r#"plan starter allows 1 enabled integration and "one" is enabled: create it disabled, disable it, or change the plan with `leadline company set-plan 10 --plan pro`"#),
    ("integration enable twin", 1, r#"several integrations are named "twin": use one of the ids $twin8 (company 8), $twin9 (company 9)"#),
    ("integration enable $twin8", 1, "plan free allows no enabled integration: change the plan with `leadline company set-plan 8 --plan pro`"),
    ("integration enable two", 1, r#"plan starter allows 1 enabled integration and "one" is enabled: disable it, or change the plan with `leadline company set-plan 10 --plan pro`"#),
    ("integration enable $none", 1, r#"no integration "$none": `leadline integration list` shows those there are"#),
    ("integration create --company 7 --connector webhok --name new", 1, r#"connector "webhok": use one of $connectors"#),
    (r#"integration create --company 7 --connector webhook --name hook --config {"url":"$url"}"#, 1, r#"company 7 has an integration "hook" already ($hook): choose another name"#),
    ("integration create --company 7 --connector webhook --name new", 1, "url is required: Where to push to; a template after the host, as https://example.com/leads/{{ lead.uuid }}"),
    ("integration create --company 7 --connector webhook --name new --config {", 2, "--config is no JSON (EOF while parsing an object at line 1 column 1); give an object, or @FILE to read one"),
    ("integration create --company 7 --connector webhook --name new --config []", 2, r#"--config must be a JSON object such as {"url": "https://…"}"#),
    ("integration create --company 7 --connector webhook --name new --config @nowhere.json", 1, "--config: cannot read nowhere.json: No such file or directory (os error 2)"),
    (r#"integration create --company 7 --connector webhook --name new --config {"url":"a\u0000"}"#, 1, "config: take out the NUL character"),
    (r#"integration create --company 7 --connector webhook --name new --config {"url":"https://a/?k=abcd…"}"#, 1, "config.url: this is the credential as it is shown, shortened; send the whole one"),
    (r#"integration create --company 7 --connector webhook --name new --config {"url":"$url"} --credentials-stdin"#, 2, r#"stdin must be one JSON object, as {"token": "…"}"#),
    (r#"integration create --company 7 --connector webhook --name new --config {"url":"$url"} --secret-stdin"#, 2, "--secret-stdin found nothing on stdin; pipe the secret in"),
    ("integration create --company 7 --connector airtable --name new --notices", 1, "notices: connector airtable carries leads only; use a webhook, slack or email for them"),
    ("integration create --help-connector nothing", 1, "no connector 'nothing'; this daemon speaks $connectors"),
    (r#"integration update off --config {"url":"$url","headers":{"X-Key":"ab…"}}"#, 1, "config.headers.X-Key: this is the credential as it is shown, shortened; send the whole one"),
    ("integration update off --name hook", 1, r#"company 7 has an integration "hook" already ($hook): choose another name"#),
    ("integration update hook", 2, "the following required arguments were not provided: <--name <NAME>|--config <JSON>|--mapping <JSON>|--events <EVENTS>|--payload <PAYLOAD>|--routing <ROUTING>|--notices <BOOL>>; --help tells more"),
    ("integration check hook", 1, "connector webhook has no fields of the target's to compare with: `leadline integration test` pushes a sample"),
    ("integration rotate-secret chat", 1, "connector slack signs nothing: there is no secret to rotate"),
    ("integration rotate-secret hook --grace 8d", 1, "grace of 691200 s: give whole seconds, at most 604800, 7 days"),
    ("integration rotate-secret hook --grace 1mo", 2, "invalid value '1mo' for '--grace <SPAN>': give it in days, hours, minutes or seconds; --help tells more"),
    ("integration rotate-secret hook --grace 0.5s", 2, "invalid value '0.5s' for '--grace <SPAN>': give whole seconds, not negative; --help tells more"),
    ("integration rotate-secret hook --grace soon", 2, "invalid value 'soon' for '--grace <SPAN>': give a span such as 90s, 24h or 7d; --help tells more"),
    ("integration cut-over hook", 1, r#"integration "hook" has no staged secret: make one with `leadline integration rotate-secret $hook --staged`"#),
    ("integration revoke-secret hook", 1, r#"integration "hook" has no old secret in its grace and none is staged: there is nothing to revoke"#),
    ("integration preview hook --lead $none", 1, "no lead $none: `leadline lead list` shows those there are"),
    (r#"integration preview hook --config {"url":5}"#, 1, "url must be text"),
    ("integration show nothing", 1, r#"no integration "nothing": `leadline integration list` shows those there are"#),
    ("integration show rule", 1, r#"no integration "rule": `leadline integration list` shows those there are"#),
    ("integration delete hook", 2, "This removes 'hook' with 2 deliveries and 2 attempts, for good. Add --yes to do so"),
    ("integration delete twin", 1, r#"several integrations are named "twin": use one of the ids $twin8 (company 8), $twin9 (company 9)"#),
    ("lead show $none", 1, "no lead $none: `leadline lead list` shows those there are"),
    ("lead show 01J8H6KQH4YG3XR8RWM6T6XFQE", 1, "several companies know lead 01J8H6KQH4YG3XR8RWM6T6XFQE: name one of the companies 7, 9"),
    ("lead show nonsense", 1, r#"lead "nonsense" is not a ULID: 26 characters of 0-9 and A-Z without I, L, O, U, the first at most 7; `leadline lead find` finds leads by name, e-mail address or phone number"#),
    ("lead trace $none", 1, "no lead $none: `leadline lead list` shows those there are"),
    ("lead erase $none --yes", 1, "no lead $none: `leadline lead list` shows those there are"),
    ("lead erase $lead", 2, "This removes lead $lead for good, with what its 5 deliveries sent and received. Add --yes to do so"),
    ("lead push --company 7 --unsynced --integration off", 1, r#"integration "off" is disabled: enable it first"#),
    ("lead push $none", 1, "no lead $none: `leadline lead list` shows those there are"),
    ("lead import nowhere.csv --company 7", 1, "cannot read nowhere.csv: No such file or directory (os error 2)"),
    ("lead import nowhere.txt --company 7", 2, "nowhere.txt: its name does not end in .csv or .ndjson; add --format csv or --format ndjson"),
    ("delivery list --since soon", 2, "invalid value 'soon' for '--since <WHEN>': give a time such as 14:00, yesterday, 2h, '2026-11-28 13:30' or 2026-11-28T13:30:00Z; --help tells more"),
    ("delivery list --since 2026-13-01", 2, "invalid value '2026-13-01' for '--since <WHEN>': give a time such as 14:00, yesterday, 2h, '2026-11-28 13:30' or 2026-11-28T13:30:00Z; --help tells more"),
    ("delivery show $none", 1, "no delivery $none: `leadline delivery list` shows those there are"),
    ("delivery show nonsense", 1, r#"delivery "nonsense" is not a ULID: 26 characters of 0-9 and A-Z without I, L, O, U, the first at most 7; `leadline delivery list` shows them"#),
    ("delivery why $none", 1, "no delivery $none: `leadline delivery list` shows those there are"),
    ("delivery retry", 2, "say which deliveries: by ID, --company, --integration or --lead; --all means every one"),
    ("delivery retry $delivered --integration hook", 2, "name deliveries by ID or find them by a filter, not both"),
    ("delivery retry $held", 1, "delivery $held is held (integration disabled): it is released, not retried; use `leadline delivery release $held`"),
    ("delivery retry $skipped", 1, r#"delivery $skipped is skipped (flow "rule" not met) and not pushed any more: push its lead anew with `leadline lead push`"#),
    ("delivery retry --all --state held", 1, "held deliveries are released, not retried: use `leadline delivery release`"),
    ("delivery retry --all --state skipped", 1, "skipped deliveries are not retried: push their leads anew with `leadline lead push`"),
    ("delivery retry --integration off --state held", 1, "held deliveries are released, not retried: use `leadline delivery release`"),
    ("delivery retry $none", 1, "no delivery $none: `leadline delivery list` shows those there are"),
    ("delivery hold", 2, "say which deliveries: by ID, --company, --integration or --lead; --all means every one"),
    ("delivery skip --state dead", 2, "say which deliveries: by ID, --company, --integration or --lead; --all means every one"),
    ("delivery hold $delivered", 1, "delivery $delivered is delivered and cannot be held, only what is pending can; nothing is pushed any more"),
    ("delivery hold $held", 1, "delivery $held is held and cannot be held, only what is pending can; nothing is left to do"),
    ("delivery hold $skipped", 1, "delivery $skipped is skipped and cannot be held, only what is pending can; nothing is pushed any more"),
    ("delivery hold $none", 1, "no delivery $none: `leadline delivery list` shows those there are"),
    ("delivery hold --all --state dead", 1, "dead deliveries cannot be held, only what is pending can; skip it so that nothing returns to it"),
    ("delivery release $delivered", 1, "delivery $delivered is delivered and cannot be released, only what is held can; retry it to push it again"),
    ("delivery release $skipped", 1, "delivery $skipped is skipped and cannot be released, only what is held can; nothing is pushed any more"),
    ("delivery release --all --state pending", 1, "pending deliveries cannot be released, only what is held can; it is pushed by itself, and `leadline delivery why` says when"),
    ("delivery release --all --state delivered", 1, "delivered deliveries cannot be released, only what is held can; retry it to push it again"),
    ("delivery skip $delivered", 1, "delivery $delivered is delivered and cannot be skipped, only what is pending or held or dead can; nothing is pushed any more"),
    ("delivery skip $skipped", 1, "delivery $skipped is skipped and cannot be skipped, only what is pending or held or dead can; nothing is pushed any more"),
    ("delivery skip --all --state delivered", 1, "delivered deliveries cannot be skipped, only what is pending or held or dead can; nothing is pushed any more"),
    ("job show $none", 1, "no job $none: `leadline job list` shows those there are"),
    ("job show x", 1, r#"job "x" is not a ULID: 26 characters of 0-9 and A-Z without I, L, O, U, the first at most 7; `leadline job list` shows them"#),
    ("job cancel $none", 1, "no job $none: `leadline job list` shows those there are"),
    ("attempt list --integration nothing", 1, r#"no integration "nothing": `leadline integration list` shows those there are"#),
    ("attempt show $none", 1, "no attempt $none: `leadline attempt list` shows those there are"),
    ("attempt show x", 1, r#"attempt "x" is not a ULID: 26 characters of 0-9 and A-Z without I, L, O, U, the first at most 7; `leadline attempt list` shows them"#),
    ("flow create --company 7 --name new --when true --then nothing", 1, r#"no integration "nothing": `leadline integration list` shows those there are"#),
    ("flow create --company 7 --name new --when lead.nothing~==~1 --then hook", 1, r#"when: line 1, column 1: unknown field lead.nothing; a field that your sender adds is written lead["nothing"]"#),
    ("flow create --company 7 --name rule --when true --then hook", 1, r#"company 7 has a flow "rule" already ($rule7): choose another name"#),
    ("flow create --company 7 --name new --when true --then twin", 1, r#"no integration "twin": `leadline integration list` shows those there are"#),
    ("flow update rule --when false", 1, r#"several flows are named "rule": use one of the ids $rule7 (company 7), $rule9 (company 9)"#),
    ("flow show nothing", 1, r#"no flow "nothing": `leadline flow list` shows those there are"#),
    ("flow delete nothing", 1, r#"no flow "nothing": `leadline flow list` shows those there are"#),
    ("flow test $none", 1, r#"no flow "$none": `leadline flow list` shows those there are"#),
    ("flow ask-again --company Nobody", 1, r#"no company "Nobody": `leadline company list` shows those there are"#),
    ("audit list --company Nobody", 1, r#"no company "Nobody": `leadline company list` shows those there are"#),
    ("audit list --after x", 1, r#"page_token "x": give the next_page_token of the page before, or the last id on it"#),
    ("audit list --lead nonsense", 1, r#"lead "nonsense" is not a ULID: 26 characters of 0-9 and A-Z without I, L, O, U, the first at most 7; `leadline lead find` finds leads by name, e-mail address or phone number"#),
    ("audit list --since sometime", 2, "invalid value 'sometime' for '--since <WHEN>': give a time such as 14:00, yesterday, 2h, '2026-11-28 13:30' or 2026-11-28T13:30:00Z; --help tells more"),
    ("notice list --company Nobody", 1, r#"no company "Nobody": `leadline company list` shows those there are"#),
    ("watch --company Nobody", 1, r#"no company "Nobody": `leadline company list` shows those there are"#),
    ("--server tcp:1 company list", 2, "'tcp:1' is no server; use unix:PATH of its control.sock, or https://HOST:PORT"),
    ("--server unix:/nowhere/control.sock company list", 69, "no daemon answers at unix:/nowhere/control.sock (no such socket); start `leadlined`, or say where it is with --server unix:PATH or https://HOST:PORT"),
    ("--server https://x company list", 2, "'https://x' is no server; use unix:PATH of its control.sock, or https://HOST:PORT"),
    ("company create --name X --plan pro --id 9007199254740992", 1, "a company's id is a number from 1 to 9007199254740991"),
    (r#"integration set-credentials hook < {"a":1}"#, 1, "credentials: connector webhook needs none, leave them out"),
    ("integration create --company 7 --connector slack --name new --secret-stdin < 0123456789abcdef", 1, "signing_secret: connector slack signs nothing, leave it out"),
    ("integration rotate-secret hook --secret-stdin < short", 1, "the signing secret has 5 bytes; it must have 16 to 256"),
    ("integration rotate-secret hook --secret-stdin <  0123456789abcdef", 1, "the signing secret has white space around it or control characters in it; remove them"),
    ("integration rotate-secret hook --secret-stdin < whsec_!!!!!!!!!!!!", 1, "what follows whsec_ in the signing secret must be base64"),
    ("integration rotate-secret hook --secret-stdin < whsec_MDEyMzQ1Njc4", 1, "the signing secret's key has 9 bytes; it must have at least 16"),
    ("integration rotate-secret hook --secret-stdin < 0123456789abcdef", 1, "this is the secret that signs already: bring another one"),
    ("integration rotate-secret staged", 1, r#"integration "staged" has a staged secret: cut over, or cancel it with `leadline integration cut-over $staged` or `leadline integration revoke-secret $staged`"#),
    ("integration update quiet --notices false", 1, "notices: it is subscribed to no event, and without notices nothing would reach it; name events too, or delete it"),
    ("lead import $dir/wide.csv --company 7", 1, "columns: at most 1000; leave out those that no lead needs"),
    ("lead import $dir/bad.ndjson --company 7 --dry-run", 1, "2 of 2 lines would be refused: correct them and import the file again, what is in stays as it is"),
    ("lead import $dir/strange.csv --company 7 --dry-run --strict", 1, r#"column "wedding day" is called like no field: add it to the map, with null to leave it out"#),
    ("company update", 2, "the following required arguments were not provided: <--name <NAME>|--brand <NAME[/VERSION]>|--clear-brand|--quiet-hours <HOURS>|--time-zone <ZONE>|--locale <TAG>|--lead-url <URL>> <COMPANY>; --help tells more"),
];

/// A daemon with things in every state, and the words that commands use for their ids.
struct Scene {
    set: leadline_tests::Scene,
    channel: Channel,
    /// What commands read files from.
    folder: tempfile::TempDir,
    words: Vec<(&'static str, String)>,
}

leadline_tests::stands_on_scene!(Scene, set);

impl Scene {
    async fn start() -> Self {
        let set = leadline_tests::Scene::set().no_webhook().start().await;
        let other = set.operator.company(9).await;
        let folder = tempfile::tempdir().unwrap();
        let columns: Vec<_> = (0..1001).map(|column| column.to_string()).collect();
        fs::write(folder.path().join("wide.csv"), columns.join(",") + "\n").unwrap();
        fs::write(folder.path().join("bad.ndjson"), "{}\n[]\n").unwrap();
        fs::write(folder.path().join("strange.csv"), "wedding day\n2026-01-01\n").unwrap();
        let scene = Self {
            channel: set.daemon.control().await,
            words: vec![
                ("$url", set.receiver.url("/")),
                ("$none", "01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned()),
                ("$dir", folder.path().to_str().unwrap().to_owned()),
            ],
            set,
            folder,
        };
        scene.fill(&other).await
    }

    /// Integrations, flows and leads.
    async fn fill(mut self, other: &str) -> Self {
        for line in [
            "company create --name Mill --plan free --id 8",
            "company create --name Twin --plan starter --id 10",
            "company create --name Twin --plan pro --id 11",
            "integration create --company 7 --connector webhook --name hook --config {\"url\":\"$url\"} --secret-stdin < 0123456789abcdef",
            "integration create --company 7 --connector webhook --name quiet --config {\"url\":\"$url\"} --disabled --notices",
            "integration create --company 7 --connector webhook --name staged --config {\"url\":\"$url\"} --disabled",
            "integration rotate-secret staged --staged",
            "integration create --company 7 --connector webhook --name off --config {\"url\":\"$url\"} --disabled",
            "integration create --company 7 --connector webhook --name flowed --config {\"url\":\"$url\"} --routing flows",
            "integration create --company 7 --connector slack --name chat --disabled",
            "integration create --company 8 --connector webhook --name twin --config {\"url\":\"$url\"} --disabled",
            "integration create --company 9 --connector webhook --name twin --config {\"url\":\"$url\"}",
            "integration create --company 10 --connector webhook --name one --config {\"url\":\"$url\"}",
            "integration create --company 10 --connector webhook --name two --config {\"url\":\"$url\"} --disabled",
            "flow create --company 7 --name rule --when lead.guest_count~>~9000 --then flowed",
            "flow create --company 9 --name rule --when true --then twin",
        ] {
            let ran = self.run(line).await;
            assert_eq!(ran.code, 0, "{line}: {ran:?}");
        }
        let url = self.daemon.url("/v1/leads");
        let (_, posted) = post_lead(&url, &self.key, sample_lead(1).to_string()).await;
        let mut shared = sample_lead(2);
        shared["lead"]["uuid"] = "01j8h6kqh4yg3xr8rwm6t6xfqe".into();
        shared.as_object_mut().unwrap().remove("company");
        for key in [&self.key, other] {
            assert_eq!(post_lead(&url, key, shared.to_string()).await.0, 202);
        }
        wait_until("the lead is delivered", async || {
            let list = self.cli.json(&["delivery", "list", "--company", "7", "--state", "delivered"]).await;
            list.as_array().unwrap().len() == 2
        })
        .await;
        let only = |list: Value| list[0]["id"].as_str().unwrap().to_owned();
        for (word, integration) in [("$delivered", "hook"), ("$held", "off"), ("$skipped", "flowed")] {
            let list = self.cli.json(&["delivery", "list", "--integration", integration]).await;
            self.words.push((word, only(list)));
        }
        for (word, company) in [("$rule7", "7"), ("$rule9", "9")] {
            let list = self.cli.json(&["flow", "list", "--company", company]).await;
            self.words.push((word, only(list)));
        }
        for (word, company) in [("$twin8", "8"), ("$twin9", "9")] {
            let list = self.cli.json(&["integration", "list", "--company", company]).await;
            self.words.push((word, only(list)));
        }
        for (word, name) in [("$hook", "hook"), ("$staged", "staged")] {
            let shown = self.cli.json(&["integration", "show", name]).await;
            self.words.push((word, shown["id"].as_str().unwrap().to_owned()));
        }
        let lead = posted["lead"].as_str().unwrap().to_owned();
        self.words.push(("$lead", lead));
        let connectors: Vec<&str> =
            leadlined::connectors::ALL.iter().map(|connector| connector.manifest().name).collect();
        self.words.push(("$connectors", connectors.join(", ")));
        self
    }

    /// The words of a line, `~` for a blank in one.
    fn args(&self, line: &str) -> Vec<String> {
        line.split_whitespace().map(|word| self.put(&word.replace('~', " "))).collect()
    }

    fn put(&self, text: &str) -> String {
        self.words.iter().fold(text.to_owned(), |text, (word, id)| text.replace(word, id))
    }

    /// Runs a line as a shell would: `< text` at its end is what stands on stdin.
    async fn run(&self, line: &str) -> Ran {
        let (line, stdin) = line.split_once(" < ").unwrap_or((line, ""));
        let args = self.args(line);
        let args: Vec<_> = args.iter().map(|arg| &**arg).collect();
        self.cli.run_with(stdin, &args).await
    }

    async fn end(self) {
        drop(self.folder);
        self.set.end().await;
    }
}

#[tokio::test]
async fn commands_are_refused_in_these_words_and_change_nothing() {
    let scene = Scene::start().await;
    let before = scene.contents().await;
    let mut findings = Vec::new();
    for (line, code, reported) in COMMANDS {
        let ran = scene.run(line).await;
        let reported = format!("leadline: {}\n", scene.put(reported));
        if (ran.code, &*ran.stderr) != (*code, &*reported) {
            findings.push(format!("{line}\n  {} {}  {code} {reported}", ran.code, ran.stderr));
        }
        if scene.contents().await != before {
            findings.push(format!("{line}\n  something has changed"));
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    scene.end().await;
}

#[tokio::test]
async fn credentials_that_are_refused_leave_the_old_ones() {
    let scene = Scene::start().await;
    scene.receiver.set(Behaviour::RefuseAll(401, String::new()));
    let config = json!({
        "base_url": scene.receiver.url(""), "path": "/leads", "auth": "bearer", "test_path": "/me",
    });
    let create = format!("integration create --company 7 --connector rest --name login --config {config}");
    assert_eq!(scene.run(&create).await.code, 0);
    let ran = scene.run("integration set-credentials login < {\"token\": \"wrong\"}").await;
    let reported = ran.error(1).strip_prefix("the old credentials stay: ");
    assert!(reported.is_some_and(|reported| reported.contains("401")), "{ran:?}");
    assert_eq!(scene.cli.json(&["integration", "show", "login"]).await["has_credentials"], false);
    scene.end().await;
}
