//! Flags, environment and file: which wins, and what is refused.

use std::{fs, os::unix::fs::PermissionsExt as _};

use clap::Parser as _;

use super::*;
use crate::cli::Args;

fn read_args(args: &[&str]) -> Result<Config, String> {
    let mut all = vec!["leadlined"];
    all.extend(args);
    if !args.contains(&"--data-dir") {
        all.extend(["--data-dir", "/data"]);
    }
    let args = Args::try_parse_from(all).map_err(|error| error.to_string())?;
    args.read().map(|(_, config)| config).map_err(|error| error.to_string())
}

#[test]
fn without_settings_the_defaults_hold() {
    let config = read_args(&[]).unwrap();
    assert_eq!(config.control, Path::new("/data/control.sock"));
    assert_eq!(config.master_key, Path::new("/data/master.key"));
    assert_eq!(config.intake_listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.admin_listen.unwrap().to_string(), "127.0.0.1:8081");
    assert!(read_args(&["--admin-listen", "off"]).unwrap().admin_listen.is_none());
    let proxies =
        read_args(&["--trusted-proxy", "10.1.2.3/8", "--trusted-proxy", "::1"]).unwrap().trusted_proxies;
    assert_eq!(proxies.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "::1/128"]);
    assert!(config.brand.as_str().starts_with("Leadline/"));
    assert!(config.allow_egress.is_empty() && config.database_url.is_none());
    assert_eq!(config.user, DaemonUser::Own);
    assert_eq!(read_args(&["--user", "leads"]).unwrap().user, DaemonUser::Named("leads".to_owned()));
    assert_eq!(read_args(&["--user", ""]).unwrap().user, DaemonUser::Own);
}

#[test]
fn spans_have_a_number_and_a_unit() {
    let config = read_args(&["--sweep-interval", "500ms", "--sweep-age", "3d"]).unwrap();
    assert_eq!(config.sweep.interval, Duration::from_millis(500));
    assert_eq!(config.sweep.age, Duration::from_secs(72 * 3600));
    assert_eq!(read_args(&[]).unwrap().sweep.interval, Duration::from_secs(900));
    assert_eq!(read_args(&[]).unwrap().keep_attempts, Duration::from_secs(30 * 86_400));
    let config = read_args(&["--keep-attempts", "36h"]).unwrap();
    assert_eq!(config.keep_attempts, Duration::from_secs(36 * 3600));
    assert_eq!(config.keep_leads, None);
    let config = read_args(&["--keep-leads", "730d"]).unwrap();
    assert_eq!(config.keep_leads, Some(Duration::from_secs(730 * 86_400)));
    assert_eq!(read_args(&[]).unwrap().keep_readings, Duration::from_secs(730 * 86_400));
    let config = read_args(&["--keep-readings", "90d"]).unwrap();
    assert_eq!(config.keep_readings, Duration::from_secs(90 * 86_400));
    assert_eq!(read_args(&[]).unwrap().max_retry_after, Duration::from_secs(3600));
    let config = read_args(&["--max-retry-after", "30m"]).unwrap();
    assert_eq!(config.max_retry_after, Duration::from_secs(1800));
    let error = read_args(&["--keep-attempts", "23h"]).unwrap_err();
    assert_eq!(error, "--keep-attempts \"23h\": write a day at least, such as 30d");
    for bad in ["", "15", "m", "0s", "-1s", "1w", "nans", "infh", "9e9d", "15 m"] {
        let error = read_args(&[&format!("--sweep-interval={bad}")]).unwrap_err();
        let told = "write a number and its unit, such as 500ms, 30s, 15m, 72h or 3d; a year at most";
        assert_eq!(error, format!("--sweep-interval {bad:?}: {told}"));
    }
}

#[test]
fn traces_go_to_a_collector_beside_the_daemon() {
    assert_eq!(read_args(&[]).unwrap().traces, None);
    assert_eq!(read_args(&["--otlp-endpoint", ""]).unwrap().traces, None);
    let args = ["--otlp-endpoint", "http://127.0.0.1:4317", "--otlp-share", "0.1"];
    let traces = read_args(&args).unwrap().traces.unwrap();
    assert_eq!(traces, TraceSettings { endpoint: "http://127.0.0.1:4317".to_owned(), share: 0.1 });
    for bad in [
        "127.0.0.1:4317",
        "https://otel.example.com:4317",
        "http://127.0.0.1",
        "http://h:1/v1/traces",
        "http://:hunter2@h:1",
    ] {
        let error = read_args(&["--otlp-endpoint", bad]).unwrap_err();
        let told = "write http:// with a host and a port, such as http://127.0.0.1:4317: run a collector beside the daemon";
        assert_eq!(error, format!("--otlp-endpoint {bad:?}: {told}"));
    }
    let error = read_args(&["--otlp-share", "1.5"]).unwrap_err();
    assert_eq!(error, "--otlp-share \"1.5\": write a share of all leads from 0 to 1, such as 0.1");
}

#[test]
fn flags_win_over_the_file() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("leadlined.toml");
    let text = "brand = 'File/1'\nlog = 'json'\nallow_egress = ['10.1.2.3/8', '::1']\nlog_level = 'warn'\n";
    fs::write(&file, text).unwrap();
    let config = read_args(&["--config", file.to_str().unwrap(), "--brand", "Flag"]).unwrap();
    assert_eq!(config.brand.as_str(), "Flag");
    assert_eq!(config.log, LogFormat::Json);
    assert_eq!(config.log_level, "warn");
    let networks: Vec<_> = config.allow_egress.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.0.0.0/8", "::1/128"]);
}

#[test]
fn the_example_names_every_setting_and_is_right() {
    let example = include_str!("../../../packaging/leadlined.toml");
    let text: String =
        example.lines().filter_map(|line| line.strip_prefix('#')).fold(String::new(), |text, line| {
            if line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains(" = ") {
                text + line + "\n"
            } else {
                text
            }
        });
    let settings: ConfigSettings = toml::from_str(&text).unwrap();
    let unset = format!("{settings:?}");
    assert!(!unset.contains("None") && !unset.contains("[]"), "the example leaves out a setting: {unset}");
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("password");
    fs::write(&file, "hunter2").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let settings = ConfigSettings { database_password_file: Some(file), ..settings };
    Config::read(settings, None).unwrap();
}

#[test]
fn a_bad_file_is_refused_by_line() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("leadlined.toml");
    for (text, expected) in [
        ("brand = 'A'\nbrnad = 'B'\n", "line 2: unknown field `brnad`"),
        ("\n\nlog = 3\n", "line 3: "),
        ("= 1\n", "line 1: "),
    ] {
        fs::write(&file, text).unwrap();
        let error = read_args(&["--config", file.to_str().unwrap()]).unwrap_err();
        assert!(error.contains(expected) && !error.contains('\n'), "{error}");
    }
    let error = read_args(&["--config", "/no/such/file"]).unwrap_err();
    assert_eq!(error, "cannot read the configuration file /no/such/file");
}

#[test]
fn files_with_passwords_are_not_for_everybody() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("leadlined.toml");
    let shown = file.display();
    let set = |text: &str, mode| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    };
    let read_file = |flag| read_args(&[flag, file.to_str().unwrap()]);
    let refusal = format!("others may read {shown}, which holds a password: chmod 600 {shown}");
    let main = "database_url = 'postgres://ann@localhost/leads'\n";
    for secret in [
        "database_url = 'postgres://ann:hunter2@localhost/leads'\n".to_owned(),
        "database_url = 'postgres://ann@localhost/leads?password=hunter2'\n".to_owned(),
        "database_url = 'postgres://ann@a,b:5433/leads?sslmode=disable&password=hunter2'\n".to_owned(),
        format!("{main}read_url = 'postgres://ann:hunter2@localhost/leads'\n"),
        format!("{main}read_url = 'postgres://ann@localhost/leads?pass%77ord=hunter2'\n"),
        "database_url = 'postgres://ann:hunter2@loc alhost/leads'\n".to_owned(),
    ] {
        set(&secret, 0o644);
        assert_eq!(read_file("--config").unwrap_err(), refusal, "{secret}");
    }
    for (text, mode) in [
        ("database_url = 'postgres://ann:hunter2@localhost/leads'\n", 0o640),
        (main, 0o644),
        ("database_url = 'postgres://ann@localhost/leads?sslmode=disable'\n", 0o644),
    ] {
        set(text, mode);
        read_file("--config").unwrap();
    }
    set("hunter2\n", 0o644);
    assert_eq!(read_file("--database-password-file").unwrap_err(), refusal);
    set("hunter2\n", 0o640);
    let config = read_file("--database-password-file").unwrap();
    assert_eq!(config.database_password.unwrap().expose_secret(), "hunter2");
    let error = read_args(&["--database-password-file", "/no/such/file"]).unwrap_err();
    assert_eq!(error, "cannot read the password file /no/such/file");
}

#[test]
fn bad_values_are_refused_with_what_to_write() {
    let long = format!("unix:/{}", "x".repeat(100));
    for (args, expected) in [
        (["--intake-listen", "8080"], "write an address and a port, such as 127.0.0.1:8080 or [::]:8080"),
        (
            ["--control-listen", "0.0.0.0:9000"],
            "--control-listen 0.0.0.0:9000 needs TLS: give --control-tls-cert and --control-tls-key",
        ),
        (
            ["--control-listen", "9000"],
            "write unix:PATH, or an address and a port, such as 0.0.0.0:7443 or [::]:7443",
        ),
        (["--tls-cert", "a.pem"], "--tls-cert alone is not enough: give --tls-key, too"),
        (
            ["--control-tls-key", "a.pem"],
            "--control-tls-key alone is not enough: give --control-tls-cert, too",
        ),
        (["--keep-leads", "2y"], "write a number of days, such as 730d"),
        (["--control-group", "support=boss"], "write GROUP=viewer, GROUP=operator or GROUP=admin"),
        (["--control-listen", "unix:"], "write unix:PATH"),
        (
            ["--control-listen", &long],
            "longer than the 100 bytes of a socket's path: give a shorter unix:PATH",
        ),
        (["--allow-egress", "10.0.0.0/33"], "write a network or an address, such as 10.0.0.0/8 or ::1"),
        (["--brand", "Two words"], "NAME/VERSION"),
        (["--log-level", "leadlined=loud"], "such as info"),
        (
            ["--database-url", "mysql://x/y"],
            "--database-url is no URL of a PostgreSQL database, such as postgres://user:password@host/database",
        ),
    ] {
        let error = read_args(&args).unwrap_err();
        assert!(error.contains(expected) && !error.contains('\n'), "{args:?}: {error}");
    }
    for two in [["unix:/a", "unix:/b"], ["0.0.0.0:7443", "[::]:7443"]] {
        let error = read_args(&["--control-listen", two[0], "--control-listen", two[1]]).unwrap_err();
        let told = "one unix:PATH and one address with its port are the most: take the other one away";
        assert_eq!(error, format!("--control-listen {:?}: {told}", two[1]));
    }
    let replica = ["--database-url", "postgres://ann@db.example.com/leads", "--read-url", "mysql://x/y"];
    assert!(read_args(&replica).unwrap_err().contains(
        "--read-url is no URL of a PostgreSQL database, such as postgres://user@replica.example.com/database"
    ));
    let several = [&replica[..3], &["postgres://ann@a,b:5433/leads"]].concat();
    assert_eq!(
        read_args(&several).unwrap_err(),
        "--read-url names several servers: name the one replica that answers lists"
    );
    let alone = read_args(&replica[2..]).unwrap_err();
    assert!(alone.contains("--read-url alone is not enough: give --database-url, too"), "{alone}");
    let homeless = ConfigError::NoHome.to_string();
    assert_eq!(homeless, "this user has no home directory: give --data-dir");
}

#[test]
fn a_password_is_not_shown() {
    let config = read_args(&["--database-url", "postgres://ann:hunter2@db/leads"]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}
