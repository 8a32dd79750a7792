//! What the machine tells of a daemon: the file that it was given, room on its disks, and how many files it may open.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use tokio::{net::UnixStream, time::timeout};

use super::{ASK_PATIENCE, DoctorReport, Grade};
use crate::config::Config;

/// Below this much room the next hours are at risk, in KiB.
pub(super) const ROOM_MIN: u64 = 1024 * 1024;
/// Each connection is a file.
const FILES_MIN: u64 = 4096;

/// How much room there is on each disk that a daemon fills.
pub(super) fn examine_disks(report: &mut DoctorReport, data_dir: &Path) {
    for place in disks(data_dir) {
        let elsewhere = (place != data_dir).then_some(&*place);
        judge_room(report, elsewhere, room(&place));
    }
}

/// The directory, and of what an operator may have moved out of it to other disks one place for each of these.
pub(super) fn disks(data_dir: &Path) -> Vec<PathBuf> {
    let data = data_dir.join("postgres/data");
    let spaces = fs::read_dir(data.join("pg_tblspc")).into_iter().flatten().flatten().map(|it| it.path());
    let places = [data_dir.to_owned(), data.clone(), data.join("pg_wal")].into_iter().chain(spaces);
    let mut seen = Vec::new();
    let is_new = |place: &PathBuf| {
        fs::metadata(place).is_ok_and(|it| {
            let is_new = !seen.contains(&it.dev());
            seen.push(it.dev());
            is_new
        })
    };
    places.filter(is_new).collect()
}

pub(super) fn judge_room(report: &mut DoctorReport, elsewhere: Option<&Path>, kib: Option<u64>) {
    let at = elsewhere.map_or_else(String::new, |place| format!(" at {}", place.display()));
    match kib {
        Some(kib) if kib < ROOM_MIN => report.add(
            Grade::Look,
            "disk",
            format!("{} MiB are free{at}: make room before PostgreSQL needs it", kib / 1024),
        ),
        Some(kib) => report.add(Grade::Good, "disk", format!("{} GiB are free{at}", kib / ROOM_MIN)),
        None => report.add(Grade::Look, "disk", format!("`df` does not say how much is free{at}")),
    }
}

/// How much room there is, in KiB.
fn room(path: &Path) -> Option<u64> {
    let output = Command::new("df").arg("-Pk").arg(path).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()
}

/// Whether the daemon that runs was given a file of settings, and this command none: it would look at another one.
pub(super) async fn examine_settings(report: &mut DoctorReport, config: &Config) {
    if let (Some(process), None) = (daemon(&config.control).await, &config.file) {
        let words = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        judge_settings(report, &String::from_utf8_lossy(&words));
    }
}

/// What the kernel says of how a process was started: its words, with a zero behind each.
pub(super) fn judge_settings(report: &mut DoctorReport, words: &str) {
    let mut words = words.split('\0').skip_while(|word| !word.starts_with("--config"));
    let file = words.next().and_then(|word| word.strip_prefix("--config="));
    if let Some(file) = file.or_else(|| words.next()) {
        let text = format!("the daemon that runs reads {file}, and this does not: give --config {file}");
        report.add(Grade::Look, "settings", text);
    }
}

/// The limits of the daemon that runs, else our own, which one that is started from here gets: a unit sets others than the
/// shell has.
pub(super) async fn examine_limits(report: &mut DoctorReport, config: &Config, is_running: bool) {
    let process = if is_running {
        daemon(&config.control).await.map(|pid| pid.to_string())
    } else {
        Some("self".to_owned())
    };
    // Nothing is said of a daemon that cannot be found.
    let Some(process) = process else { return };
    judge_limits(report, &fs::read_to_string(format!("/proc/{process}/limits")).unwrap_or_default());
}

/// The process that listens at a control socket.
async fn daemon(control: &Path) -> Option<i32> {
    let connection = timeout(ASK_PATIENCE, UnixStream::connect(control)).await.ok()?.ok()?;
    connection.peer_cred().ok()?.pid()
}

/// What the kernel says of a process's limits.
pub(super) fn judge_limits(report: &mut DoctorReport, limits: &str) {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let Some(files) = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()) else {
        return;
    };
    if files < FILES_MIN {
        let text = format!("{files}: raise it to 65536 (LimitNOFILE= in a unit, `ulimit -n` in a shell)");
        report.add(Grade::Look, "open files", text);
    } else {
        report.add(Grade::Good, "open files", files.to_string());
    }
}
