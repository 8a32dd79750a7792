//! The executable's own face: flags, version and exit codes. That this test is here also makes `cargo test` build the
//! executable that the end-to-end tests start, so that nothing is compiled twice.

#![allow(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

use std::process::{Command, Output};

fn leadlined(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leadlined"));
    command.args(args).env_remove("LEADLINE_DATABASE_URL").env_remove("LEADLINE_DATA_DIR").output().unwrap()
}

#[test]
fn help_names_every_flag_and_variable() {
    let output = leadlined(&["--help"]);
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    for name in [
        "--database-url <URL>",
        "LEADLINE_DATABASE_URL",
        "--data-dir <DIR>",
        "LEADLINE_DATA_DIR",
        "--config <FILE>",
        "--intake-listen <ADDRESS:PORT>",
        "--admin-listen <ADDRESS:PORT>",
        "--trusted-proxy <CIDR>",
        "--control-listen <unix:PATH|ADDRESS:PORT>",
        "--allow-egress <CIDR>",
        "--brand <NAME[/VERSION]>",
        "--master-key <FILE>",
        "--log <FORMAT>",
        "--log-level <FILTER>",
    ] {
        assert!(help.contains(name), "{name}");
    }
}

#[test]
fn a_secret_in_the_environment_is_not_shown() {
    let help = Command::new(env!("CARGO_BIN_EXE_leadlined"))
        .arg("--help")
        .env("LEADLINE_DATABASE_URL", "postgres://ann:hunter2@db/leads")
        .output()
        .unwrap();
    assert!(!String::from_utf8(help.stdout).unwrap().contains("hunter2"));
}

#[test]
fn usage_errors_are_one_line_and_have_their_own_exit_code() {
    for args in [
        &["--brnad", "x"][..],
        &["stray"],
        &["--log", "xml"],
        &["--brand"],
        &["--brand", "Two words"],
        &["--config", "/no/such/file"],
    ] {
        let output = leadlined(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.starts_with("leadlined: ") && error.lines().count() == 1, "{error}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}
