//! `leadline` as people meet it: help, completions, wrong command lines, tables on a narrow terminal.

mod tables;

use std::{ffi::OsStr, io::Read as _, os::unix::ffi::OsStrExt as _, path::Path};

use leadline_fakes::{Behaviour, Receiver};
use leadline_tests::{Cli, Daemon, Scene, leadline, post_lead, wait_until};
use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use serde_json::{Value, json};

const LEAD: &str = include_str!("../fixtures/lead.json");
const NOUNS: [&str; 15] = [
    "company",
    "intake-key",
    "integration",
    "flow",
    "form",
    "lead",
    "delivery",
    "job",
    "attempt",
    "failure",
    "activity",
    "system",
    "token",
    "audit",
    "notice",
];
/// What is a command without verbs.
const ALONE: &str = "activity";

/// Commands where no daemon is.
fn alone() -> (tempfile::TempDir, Cli) {
    let dir = tempfile::tempdir().unwrap();
    let cli = Cli::new(&dir.path().join("control.sock"));
    (dir, cli)
}

/// What a command prints on a terminal of 80 columns.
pub(crate) async fn on_a_terminal(socket: &Path, args: &[&str]) -> String {
    let pair =
        native_pty_system().openpty(PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 }).unwrap();
    let mut command = CommandBuilder::new(leadline());
    command.args(args);
    command.env("LEADLINE_SERVER", format!("unix:{}", socket.display()));
    let mut child = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    let mut reader = pair.master.try_clone_reader().unwrap();
    let read = move || {
        let mut bytes = Vec::new();
        // The end of a pty is an error on some systems.
        drop(reader.read_to_end(&mut bytes));
        let (ended, told) = (child.wait().unwrap(), String::from_utf8(bytes).unwrap());
        assert!(ended.success(), "{told}");
        told
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

/// The commands that a help lists; what a long text goes on with stands further to the right.
fn verbs(help: &str) -> impl Iterator<Item = &str> {
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    commands.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next())
}

#[tokio::test]
async fn help_is_there_for_everything_without_a_daemon() {
    let (_dir, cli) = alone();
    let whole = cli.run(&["--help"]).await;
    assert_eq!((whole.code, &*whole.stderr), (0, ""));
    for noun in NOUNS {
        assert!(whole.stdout.contains(&format!("  {noun} ")), "{noun} is not in the help");
        let help = cli.run(&[noun, "--help"]).await;
        assert_eq!((help.code, &*help.stderr), (0, ""), "{noun}");
        assert!(help.stdout.contains("Examples:") && help.stdout.contains("-o, --output"), "{}", help.stdout);
        if noun == ALONE {
            continue;
        }
        let mut verbs = verbs(&help.stdout).peekable();
        assert!(verbs.peek().is_some(), "{}", help.stdout);
        for verb in verbs.filter(|verb| *verb != "help") {
            let help = cli.run(&[noun, verb, "--help"]).await;
            assert_eq!((help.code, &*help.stderr), (0, ""), "{noun} {verb}");
        }
        let bare = cli.run(&[noun]).await;
        assert_eq!((bare.code, &*bare.stdout), (2, ""), "{noun} alone");
    }
    assert_eq!(cli.run(&["--version"]).await.code, 0);
    for shell in ["bash", "zsh", "fish"] {
        let completions = cli.run(&["completions", shell, "--static"]).await;
        assert_eq!((completions.code, &*completions.stderr), (0, ""));
        assert!(NOUNS.iter().all(|noun| completions.stdout.contains(noun)), "{shell}");
    }
}

#[tokio::test]
async fn a_wrong_command_line_is_told_in_one_line() {
    let (_dir, cli) = alone();
    let new = ["integration", "create", "--company", "7", "--connector", "webhook", "--name", "n"];
    let create = |more: &[&'static str]| [&new[..], more].concat();
    for (args, expected) in [
        (vec!["compny", "list"], "company"),
        (vec!["company", "create", "--name", "N"], "--plan"),
        (vec!["company", "create", "--name", "N", "--plan", "gold"], "free, starter, pro, multi"),
        (vec!["company", "create", "--name", "N", "--plan", "pro", "--id", "0"], "--id"),
        (vec!["company", "update", "7"], "--name"),
        (vec!["delivery", "list", "--limit", "0"], "--limit"),
        (vec!["delivery", "list", "--limt", "5"], "--limit"),
        (vec!["delivery", "list", "--undelivered", "--state", "dead"], "cannot be used with"),
        (vec!["delivery", "retry"], "say which deliveries: by ID"),
        (vec!["delivery", "retry", "D", "--integration", "I"], "not both"),
        (vec!["delivery", "list", "--since", "soon"], "2h"),
        (
            vec!["delivery", "skip", "--integration", ""],
            "--integration has an empty value: give one, or leave it out",
        ),
        (vec!["integration", "update", "hook"], "--config"),
        (vec!["integration", "rotate-secret", "hook", "--grace", "soon"], "24h"),
        (vec!["integration", "enable", "hook", "--held", "drop"], "keep, release, skip"),
        (vec!["company", "list", "--server", "127.0.0.1:80"], "unix:"),
        (vec!["company", "list", "-o", "yaml"], "table"),
        (create(&["--events", "lead.deleted"]), "lead.created"),
    ] {
        let ran = cli.run(&args).await;
        assert!(ran.error(2).contains(expected), "{args:?}: {ran:?}");
        assert_eq!(ran.stdout, "");
    }
    // So is what is no text at all.
    for (form, begins) in [("plain", "leadline: invalid UTF-8"), ("json", r#"{"error":{"code":"usage""#)] {
        let mut command = cli.command(&["-o", form, "company", "show"]);
        let output = command.arg(OsStr::from_bytes(b"\xff")).output().await.unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.starts_with(begins) && told.lines().count() == 1, "{told}");
    }
    let daemon = Daemon::start().await;
    let cli = Cli::new(daemon.socket());
    for (more, code, expected) in [
        (&["--config", "{"][..], 2, "--config is no JSON"),
        (&["--config", "[]"], 2, "--config must be a JSON object"),
        (&["--config", "@nowhere.json"], 1, "cannot read nowhere.json"),
        (&["--config", r#"{"url": "https://a.example/"}"#, "--secret-stdin"], 2, "found nothing on stdin"),
    ] {
        let ran = cli.run(&create(more)).await;
        assert!(ran.error(code).contains(expected), "{ran:?}");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn no_daemon_is_told_with_its_socket_and_what_to_start() {
    let (dir, cli) = alone();
    let socket = dir.path().join("control.sock");
    for args in [&["company", "list"][..], &["watch"], &["delivery", "retry", "D"]] {
        let ran = cli.run(args).await;
        let line = ran.error(69);
        assert!(line.contains(socket.to_str().unwrap()) && line.contains("`leadlined`"), "{line}");
    }
    let ran = cli.run(&["company", "list", "-o", "json"]).await;
    let error: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!((ran.code, &error["error"]["code"]), (69, &json!("unreachable")));
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(cli.run(&["company", "list"]).await.error(69).contains("nobody listens"));
}

#[tokio::test]
async fn a_reader_that_has_gone_is_no_failure_and_a_full_disk_is_one() {
    let (_dir, cli) = alone();
    for args in [&["--help"][..], &["completions", "bash"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = cli.command(args).stdout(writer).spawn().unwrap();
        let left = child.wait_with_output().await.unwrap();
        assert_eq!((left.status.code(), &*left.stderr), (Some(0), &b""[..]), "{args:?}");
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let child = cli.command(args).stdout(full).spawn().unwrap();
        let left = child.wait_with_output().await.unwrap();
        let told = String::from_utf8(left.stderr).unwrap();
        assert_eq!(left.status.code(), Some(1), "{args:?}: {told}");
        assert!(told.starts_with("leadline: stdout: No space left on device"), "{args:?}: {told}");
    }
}

#[tokio::test]
async fn a_daemon_that_hangs_is_told_after_a_while() {
    let (dir, cli) = alone();
    let socket = dir.path().join("control.sock");
    // It listens, and takes nobody in.
    let _hung = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let (listed, watched) = tokio::join!(cli.run(&["company", "list"]), cli.run(&["watch"]));
    let told = format!(
        "the daemon at unix:{} did not answer within 10 s; see its log, then try again",
        socket.display()
    );
    assert_eq!([listed.error(69), watched.error(69)], [&*told, &*told]);
}

/// What a shell is told when the last of these words is to be completed.
async fn proposed(cli: &Cli, words: &[&str]) -> Vec<String> {
    let mut command = cli.command(&[&["--"], words].concat());
    command.env("LEADLINE_COMPLETE", "bash").env("_CLAP_IFS", "\n");
    command.env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string());
    let output = command.output().await.unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]), "{words:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn completions_ask_the_daemon_and_propose_nothing_where_it_is_away() {
    let Scene { daemon, operator, key, .. } = Scene::set().no_webhook().start().await;
    operator.company(8).await;
    let receiver = Receiver::start(Behaviour::RefuseAll(422, "no".into())).await.unwrap();
    for (company, name) in [(7, "crm"), (8, "crm"), (7, "barn-hook")] {
        operator.webhook(company, name, &receiver.url("/hook"), json!({})).await;
    }
    assert_eq!(post_lead(&daemon.url("/v1/leads"), &key, LEAD).await.0, 202);
    let cli = Cli::new(daemon.socket());
    wait_until("it is a cause", async || cli.json(&["failure", "list"]).await != json!([])).await;
    let causes = cli.json(&["failure", "list"]).await;
    let cause = causes[0]["cause"].as_str().unwrap();
    for (line, expected) in [
        ("leadline company show ", vec!["8", "7"]),
        ("leadline lead list --company ", vec!["8", "7"]),
        ("leadline integration show barn", vec!["barn-hook"]),
        ("leadline integration show 8/", vec!["8/crm"]),
        ("leadline delivery retry --integration 7/c", vec!["7/crm"]),
        ("leadline failure show ", vec![cause]),
        ("leadline delivery retry --cause ", vec![cause]),
        ("leadline delivery retry --died-s", vec!["--died-since"]),
        ("leadline integration create --connector web", vec!["webhook"]),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let found = proposed(&cli, &words).await;
        let values: Vec<&str> = found
            .iter()
            .map(|it| it.trim())
            .filter(|it| !it.starts_with("--") || line.contains("--died"))
            .collect();
        assert_eq!(values, expected, "{line}: {found:?}");
    }
    let retried = cli.run(&["delivery", "retry", "--cause", cause, "--no-wait", "-o", "json"]).await.json();
    let job = retried["job_id"].as_str().unwrap();
    assert!(proposed(&cli, &["leadline", "job", "show", ""]).await.contains(&job.to_owned()));
    daemon.stop().await;
    receiver.stop().await;
    // Options are known without it.
    assert!(proposed(&cli, &["leadline", "company", "show", "7"]).await.is_empty());
    assert!(proposed(&cli, &["leadline", "comp"]).await.contains(&"company".to_owned()));
    for shell in ["bash", "zsh", "fish"] {
        let script = cli.run(&["completions", shell]).await;
        assert_eq!((script.code, &*script.stderr), (0, ""));
        assert!(script.stdout.contains("LEADLINE_COMPLETE"), "{shell}: {}", script.stdout);
    }
}
