//! Settings of one's own: the file and what is wrong with it, profiles, keys and commands, and a console that opens
//! where it was left.

use std::{fs, path::Path};

use leadline_fakes::Behaviour;
use leadline_tests::{Cli, Pty, Ran, Scene, leadline};
use serde_json::json;

const SIZE: (u16, u16) = (100, 30);

async fn run(cli: &Cli, config: &Path, args: &[&str]) -> Ran {
    let mut command = cli.command(args);
    command.env("LEADLINE_CONFIG", config).env_remove("LEADLINE_SERVER");
    let output = command.spawn().unwrap().wait_with_output().await.unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn the_file_is_made_found_printed_and_corrected() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("leadline/config.toml");
    let cli = Cli::new(Path::new("/nonexistent/control.sock"));
    let shown = path.display().to_string();
    assert_eq!(run(&cli, &path, &["config", "path"]).await.stdout, format!("{shown}\n"));
    let missing = run(&cli, &path, &["config", "print"]).await;
    let expected = format!("cannot read {shown}: No such file or directory (os error 2)");
    assert_eq!(missing.error(2), expected);

    assert_eq!(run(&cli, &path, &["config", "init"]).await.stdout, format!("{shown}\n"));
    let again = run(&cli, &path, &["config", "init"]).await;
    assert_eq!(again.error(1), format!("{shown} is there already: edit it, or take it away first"));
    let printed = run(&cli, &path, &["config", "print", "-o", "json"]).await;
    assert_eq!(printed.json(), json!({"read_only": false, "remember": true}));

    fs::write(&path, "color = \"256\"\n\n[keys]\nretry = \"x\"\nevidence = \"x\"\n").unwrap();
    let clash = "`x` would be both retry and evidence: give one of them another key, or \"none\"";
    for args in [&["config", "print"][..], &[]] {
        let wrong = run(&cli, &path, args).await;
        assert_eq!(wrong.error(2), format!("{shown}:5: {clash}"));
    }
    // Keys are the console's: commands go on without them.
    let listed = run(&cli, &path, &["lead", "list"]).await;
    assert!(!listed.stderr.contains("evidence"), "{}", listed.stderr);
    // What helps to mend it works.
    assert_eq!(run(&cli, &path, &["config", "path"]).await.code, 0);
    assert_eq!(run(&cli, &path, &["completions", "bash"]).await.code, 0);
    let unset = run(&cli, Path::new("/dev/null/x/config.toml"), &["config", "init"]).await;
    assert_eq!(unset.error(1), "cannot make /dev/null/x: Not a directory (os error 20)");
    let full = run(&cli, dir.path(), &["config", "init"]).await;
    assert_eq!(
        full.error(1),
        format!("{} is there already: edit it, or take it away first", dir.path().display())
    );
    let unwritable = run(&cli, Path::new("/proc/leadline.toml"), &["config", "init"]).await;
    assert!(unwritable.error(1).starts_with("cannot write /proc/leadline.toml: "), "{unwritable:?}");
}

#[tokio::test]
async fn a_file_that_is_no_toml_stops_what_needs_it_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let (cli, shown) = (Cli::new(Path::new("/nonexistent/control.sock")), path.display().to_string());
    let text = "read_only = true\n\n[profiles.barn\nserver = \"unix:/x\"\n";
    fs::write(&path, text).unwrap();
    for args in [&["lead", "list"][..], &["company", "show", "7"], &[]] {
        let ran = run(&cli, &path, args).await;
        let said = ran.error(2);
        let expected = format!(
            "{shown}:3: this is no TOML: unclosed table, expected `]`; correct that line, or move the file away and have \
             `leadline config init` write another"
        );
        assert_eq!(said, expected, "{args:?}");
    }
    // What helps to mend it goes on.
    assert_eq!(run(&cli, &path, &["config", "path"]).await.stdout, format!("{shown}\n"));
    let printed = run(&cli, &path, &["config", "print"]).await;
    assert_eq!((printed.code, &*printed.stdout), (2, text), "{printed:?}");
    assert!(printed.stderr.contains(":3: this is no TOML: "), "{printed:?}");
    for args in [&["--help"][..], &["lead", "--help"], &["--version"], &["completions", "bash"]] {
        assert_eq!(run(&cli, &path, args).await.code, 0, "{args:?}");
    }
    let again = run(&cli, &path, &["config", "init"]).await;
    assert_eq!(again.error(1), format!("{shown} is there already: edit it, or take it away first"));
    fs::rename(&path, dir.path().join("broken.toml")).unwrap();
    assert_eq!(run(&cli, &path, &["config", "init"]).await.code, 0);
    assert_eq!(run(&cli, &path, &["lead", "list"]).await.code, 69, "only the daemon is missing now");
}

#[tokio::test]
async fn a_profile_names_the_daemon_for_commands_and_console() {
    let scene = Scene::set().behaviour(Behaviour::Good).webhook("crm-of-barn", "/hook").start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let socket = scene.daemon.socket().display().to_string();
    let text = format!(
        "profile = \"away\"\n[profiles.away]\nserver = \"unix:/nonexistent/control.sock\"\n[profiles.barn]\n\
         server = \"unix:{socket}\"\nread_only = true\n"
    );
    fs::write(&path, text).unwrap();
    let cli = Cli::new(Path::new("/nonexistent"));
    assert_eq!(run(&cli, &path, &["company", "list"]).await.code, 69);
    let barn = run(&cli, &path, &["--profile", "barn", "company", "list", "-o", "json"]).await;
    assert_eq!(barn.json()[0]["name"], "The Old Barn");
    let unknown = run(&cli, &path, &["--profile", "bar", "company", "list"]).await;
    assert_eq!(unknown.error(2), "there is no profile bar: choose one of away, barn");

    let config = path.display().to_string();
    let mut console = Pty::start_with(&[("LEADLINE_CONFIG", &config)], leadline(), &[], SIZE);
    console.wait_for_all(&["LOST", "away: unix:/nonexistent"]).await;
    console.press(":connect b");
    console.wait_for_all(&["connect barn"]).await;
    console.press("\r");
    console.wait_for_all(&["LIVE", "crm-of-barn", "READ-ONLY"]).await;
    console.press("q");
    assert_eq!(console.end().await.exit_code(), 0);
    assert!(console.is_untouched());
    scene.end().await;
}

/// One console over two clusters, of which one can be reached by its profile alone.
#[tokio::test]
async fn all_profiles_are_one_overview() {
    let near = Scene::set().behaviour(Behaviour::Good).webhook("crm-near", "/hook").start().await;
    let far = Scene::set()
        .behaviour(Behaviour::RefuseAll(400, "no".to_owned()))
        .webhook("crm-far", "/hook")
        .start()
        .await;
    far.post(1).await;
    far.wait_for_badge("failing").await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let server = |scene: &Scene| format!("server = \"unix:{}\"", scene.daemon.socket().display());
    let text = format!(
        "profile = \"near\"\n[profiles.near]\n{}\n[profiles.far]\n{}\n[profiles.gone]\n\
         server = \"unix:/nonexistent/control.sock\"\n",
        server(&near),
        server(&far)
    );
    fs::write(&path, text).unwrap();
    let config = path.display().to_string();
    let mut console = Pty::start_with(&[("LEADLINE_CONFIG", &config)], leadline(), &[], SIZE);
    console.wait_for_all(&["LIVE", "crm-near"]).await;
    console.press("0");
    console.wait_for_all(&["crm-near", "crm-far", "FAILING", "1 of 1 failing", "LOST: no daemon"]).await;
    // What fails is the first row, wherever it is.
    console.press("\r");
    console.wait_for_all(&["LIVE", "far: unix:", "crm-far", "400"]).await;
    console.wait_for_none(&["crm-near"]).await;
    console.press("\x03");
    assert_eq!(console.end().await.exit_code(), 0);
    near.end().await;
    far.end().await;
}

#[tokio::test]
async fn keys_commands_and_the_editor_are_ones_own_and_it_opens_where_it_was_left() {
    let scene = Scene::set().behaviour(Behaviour::Good).webhook("crm-of-barn", "/hook").start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let out = dir.path().join("out");
    let text = format!(
        "[keys]\ntest = \"f5\"\n[[command]]\nname = \"note it\"\nkey = \"J\"\nwait = false\n\
         run = \"leadline=$SELECTED_INTEGRATION; echo \\\"$leadline $LEADLINE_SERVER\\\" > '{}'\"\n",
        out.display()
    );
    fs::write(&path, text).unwrap();
    let (config, state) = (path.display().to_string(), dir.path().display().to_string());
    let server = format!("unix:{}", scene.daemon.socket().display());
    let variables = [
        ("LEADLINE_CONFIG", config.as_str()),
        ("XDG_STATE_HOME", &state),
        ("VISUAL", "sed -i s/budget/price/"),
    ];
    let start = || Pty::start_with(&variables, leadline(), &["--server", &server], SIZE);
    let mut console = start();
    console.wait_for_all(&["LIVE", "crm-of-barn", "F5 test"]).await;
    console.press("J");
    let written = async || fs::read_to_string(&out).is_ok_and(|text| text.contains(&server));
    leadline_tests::wait_until("the command has run", written).await;
    assert!(fs::read_to_string(&out).unwrap().starts_with(&scene.integration));
    // The terminal is the console's again.
    console.press("m");
    console.wait_for_all(&["Mapping of", "^o $EDITOR"]).await;
    console.press("\x0b{\"lead.budget\": \"x\"}");
    console.wait_for_all(&["lead.budget"]).await;
    console.press("\x0f");
    console.wait_for_all(&["lead.price"]).await;
    console.press("\x1b");
    console.wait_for_all(&["Discard what you typed?"]).await;
    console.press("y");
    console.wait_for_all(&["1 Overview"]).await;
    console.press("/barn\r");
    console.wait_for_all(&["[/barn]"]).await;
    console.press("5");
    console.wait_for_all(&["[5 Activity]"]).await;
    console.press("\x03");
    assert_eq!(console.end().await.exit_code(), 0);
    assert!(console.is_untouched());

    let mut console = start();
    console.wait_for_all(&["LIVE", "[5 Activity]"]).await;
    console.press("1");
    console.wait_for_all(&["[/barn]", "crm-of-barn"]).await;
    drop(console);
    scene.end().await;
}

#[tokio::test]
async fn high_contrast_has_neither_colour_nor_anything_faint() {
    let mut console =
        Pty::start(leadline(), &["--server", "unix:/nonexistent/control.sock", "--color", "contrast"], SIZE);
    console.wait_for_all(&["LOST", "Overview"]).await;
    let shown = console.shown();
    let (rows, columns) = shown.screen().size();
    for (row, column) in (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |column| (row, column))) {
        let cell = shown.screen().cell(row, column).unwrap();
        assert_eq!((cell.fgcolor(), cell.dim()), (vt100::Color::Default, false), "{row} {column}");
    }
    assert!(shown.cell("LOST").inverse());
}

/// A console without a daemon, on a terminal with these variables.
async fn lonely(variables: &[(&str, &str)], args: &[&str]) -> Pty {
    let args = [&["--server", "unix:/nonexistent/control.sock"], args].concat();
    let mut console = Pty::start_with(variables, leadline(), &args, SIZE);
    console.wait_for_all(&["LOST", "Overview"]).await;
    console
}

/// Whether any cell has a colour.
fn is_coloured(console: &Pty) -> bool {
    let shown = console.shown();
    let (rows, columns) = shown.screen().size();
    let mut places = (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |column| (row, column)));
    places.any(|(row, column)| {
        let cell = shown.screen().cell(row, column).unwrap();
        cell.fgcolor() != vt100::Color::Default || cell.bgcolor() != vt100::Color::Default
    })
}

#[tokio::test]
async fn no_color_takes_the_colours_away_unless_some_are_asked_for() {
    for (value, args, coloured) in [
        ("1", &[][..], false),
        // As no-color.org has it: an empty one says nothing.
        ("", &[], true),
        ("1", &["--color", "16"], true),
    ] {
        let console = lonely(&[("NO_COLOR", value)], args).await;
        assert_eq!(is_coloured(&console), coloured, "NO_COLOR={value} {args:?}");
        assert!(console.shown().cell("LOST").inverse(), "what is wrong shows all the same");
    }
}

#[tokio::test]
async fn a_locale_without_more_signs_than_ascii_gets_no_others() {
    for (variables, args, ascii) in [
        (&[("LANG", "C")][..], &[][..], true),
        (&[("LANG", "en_GB.ISO-8859-1")], &[], true),
        (&[("LC_ALL", "POSIX"), ("LANG", "en_GB.UTF-8")], &[], true),
        (&[("LC_CTYPE", "C.utf8"), ("LANG", "C")], &[], false),
        (&[("LANG", "")], &[], false),
        (&[("LANG", "en_GB.UTF-8")], &["--ascii"], true),
    ] {
        let console = lonely(variables, args).await;
        assert_eq!(console.shown().text().is_ascii(), ascii, "{variables:?}: {}", console.shown().text());
        let sent = String::from_utf8_lossy(console.shown().raw()).is_ascii();
        assert_eq!(sent, ascii, "{variables:?}: nothing else reached the terminal");
    }
}
