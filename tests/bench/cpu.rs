//! CPU time and memory of processes, from `/proc`, and how often their threads wake.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use sqlx::PgConnection;

/// Seconds of CPU, user and system together, of the daemons and of each process of PostgreSQL.
#[derive(Clone, Default)]
pub(crate) struct Cpu {
    daemon: f64,
    /// What a process does, and what it has used.
    postgres: HashMap<u32, (String, f64)>,
}

/// What was used between two looks.
pub(crate) struct Used {
    pub(crate) daemon: f64,
    /// By what the connections are for.
    pub(crate) roles: BTreeMap<String, f64>,
}

impl Used {
    pub(crate) fn postgres(&self) -> f64 {
        self.roles.values().sum()
    }
}

/// The ticks in which the kernel counts are a hundredth of a second on every Linux that we know.
const TICK: f64 = 0.01;

impl Cpu {
    /// What daemons and their cluster have used so far. Children of the postmaster that ended are in its own account.
    pub(crate) async fn now(daemons: &[u32], cluster: &Path, asking: &mut PgConnection) -> Self {
        let postmaster = postmaster(cluster);
        let roles = roles(asking).await;
        let postgres = processes().into_iter().filter_map(stat).filter_map(|stat| {
            let role = roles.get(&stat.pid).cloned();
            match stat.parent {
                _ if stat.pid == postmaster => {
                    Some((stat.pid, ("background".to_owned(), stat.own + stat.children)))
                }
                parent if parent == postmaster => {
                    Some((stat.pid, (role.unwrap_or_else(|| "background".to_owned()), stat.own)))
                }
                _ => None,
            }
        });
        let daemon = daemons.iter().filter_map(|pid| stat(*pid)).map(|stat| stat.own).sum();
        Self { daemon, postgres: postgres.collect() }
    }

    /// What was used since. The benchmark's own connection does not count.
    pub(crate) fn since(&self, before: &Self) -> Used {
        let mut roles = BTreeMap::new();
        // What has ended is in the postmaster's account with all that it ever used.
        let ended = before.postgres.iter().filter(|(pid, _)| !self.postgres.contains_key(pid));
        let counted: f64 = ended.map(|(_, (_, used))| used).sum();
        roles.insert("background".to_owned(), -counted);
        for (pid, (role, used)) in &self.postgres {
            let earlier = before.postgres.get(pid).map_or(0.0, |(_, used)| *used);
            if role != "bench" {
                *roles.entry(role.clone()).or_default() += used - earlier;
            }
        }
        Used { daemon: self.daemon - before.daemon, roles }
    }
}

/// What each connection is for, by its process.
async fn roles(asking: &mut PgConnection) -> HashMap<u32, String> {
    let rows: Vec<(i32, String, String)> =
        sqlx::query_as("SELECT pid, backend_type, coalesce(application_name, '') FROM pg_stat_activity")
            .fetch_all(asking)
            .await
            .unwrap();
    let role = |kind: &str, name: &str| match (kind, name) {
        ("client backend", "leadlined") => "other".to_owned(),
        ("client backend", name) => name.trim_start_matches("leadlined ").to_owned(),
        _ => "background".to_owned(),
    };
    rows.into_iter().map(|(pid, kind, name)| (pid.unsigned_abs(), role(&kind, &name))).collect()
}

/// How often the threads of daemons and cluster went to sleep so far: each time, something had woken them.
pub(crate) fn wakeups(daemons: &[u32], cluster: &Path) -> (u64, u64) {
    let postmaster = postmaster(cluster);
    let servers = processes().into_iter().filter_map(stat).filter(|stat| stat.parent == postmaster);
    let servers: Vec<u32> = servers.map(|stat| stat.pid).chain([postmaster]).collect();
    let all = |pids: &[u32]| pids.iter().map(|pid| switches(*pid)).sum();
    (all(daemons), all(&servers))
}

fn switches(pid: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let status = |task: fs::DirEntry| fs::read_to_string(task.path().join("status")).ok();
    let statuses = tasks.filter_map(|task| status(task.ok()?));
    statuses.filter_map(|status| Some(field(&status, "voluntary_ctxt_switches:")? as u64)).sum()
}

/// Resident memory in MiB; none once the process has ended.
pub(crate) fn memory_mib(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(field(&status, "VmRSS:")? / 1024.0)
}

fn field(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn postmaster(cluster: &Path) -> u32 {
    let pid_file = fs::read_to_string(cluster.join("postmaster.pid")).unwrap();
    pid_file.lines().next().unwrap().trim().parse().unwrap()
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
