//! The executable's own face: help, version and exit codes. That this test is here also makes `cargo test` build the
//! executable that the end-to-end tests start, so that nothing is compiled twice.

#![allow(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

use std::process::{Command, Output};

fn leadline(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leadline"));
    command.args(args).env_remove("LEADLINE_SERVER").env_remove("LEADLINE_DATA_DIR").output().unwrap()
}

#[test]
fn help_and_version_go_to_stdout() {
    for (args, expected) in [
        (["--help"], "Exit codes: 0 done, 1 refused or failed, 2 usage,"),
        (["--version"], concat!("leadline ", env!("CARGO_PKG_VERSION"))),
    ] {
        let output = leadline(&args);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert!(String::from_utf8(output.stdout).unwrap().contains(expected), "{args:?}");
    }
}

#[test]
fn errors_are_one_line_and_each_kind_has_its_exit_code() {
    let temp = tempfile::tempdir().unwrap();
    let nobody = format!("unix:{}", temp.path().join("control.sock").display());
    for (args, code) in [
        (&["company", "lsit"][..], 2),
        (&["--server", "https://example.com", "company", "list"], 2),
        (&["--server", &nobody, "company", "list"], 69),
    ] {
        let output = leadline(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.starts_with("leadline: ") && error.lines().count() == 1, "{error}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn completions_are_there_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "zsh"] {
        let output = leadline(&["completions", shell]);
        assert!(output.status.success() && !output.stdout.is_empty(), "{shell}: {output:?}");
    }
}
