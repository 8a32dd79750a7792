//! CPU time of processes, from `/proc`.

use std::{fs, ops::Sub, path::Path};

/// Seconds of CPU, user and system together.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cpu {
    pub(crate) daemon: f64,
    pub(crate) postgres: f64,
}

impl Sub for Cpu {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { daemon: self.daemon - other.daemon, postgres: self.postgres - other.postgres }
    }
}

/// The ticks in which the kernel counts are a hundredth of a second on every Linux that we know.
const TICK: f64 = 0.01;

/// What a daemon and its cluster have used so far. Children of the postmaster that ended are in its own account.
pub(crate) fn usage(daemon: u32, cluster: &Path) -> Cpu {
    let pid_file = fs::read_to_string(cluster.join("postmaster.pid")).unwrap();
    let postmaster: u32 = pid_file.lines().next().unwrap().trim().parse().unwrap();
    let postgres: f64 = processes()
        .into_iter()
        .filter_map(stat)
        .filter(|stat| stat.pid == postmaster || stat.parent == postmaster)
        .map(|stat| stat.own + if stat.pid == postmaster { stat.children } else { 0.0 })
        .sum();
    Cpu { daemon: stat(daemon).map_or(0.0, |stat| stat.own), postgres }
}

/// Resident memory in MiB.
pub(crate) fn memory_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

struct Stat {
    pid: u32,
    parent: u32,
    own: f64,
    children: f64,
}

fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// None if the process has ended meanwhile.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some(Stat {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        own: (ticks(11)? + ticks(12)?) * TICK,
        children: (ticks(13)? + ticks(14)?) * TICK,
    })
}
