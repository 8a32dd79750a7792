//! CPU time and memory of processes, from `/proc`, and how often they wake.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    ops::{Add, AddAssign, Sub},
    path::Path,
};

use sqlx::PgConnection;

/// What somebody has taken: seconds of CPU, user and system together, and how often they went to sleep. Each time,
/// something had woken them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Taken {
    pub(crate) seconds: f64,
    pub(crate) wakeups: f64,
}

impl Add for Taken {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { seconds: self.seconds + other.seconds, wakeups: self.wakeups + other.wakeups }
    }
}

impl AddAssign for Taken {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Taken {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { seconds: self.seconds - other.seconds, wakeups: self.wakeups - other.wakeups }
    }
}

impl std::iter::Sum for Taken {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// What daemons and the processes of PostgreSQL have taken so far.
pub(crate) struct Cpu {
    /// By thread, to the nanosecond.
    threads: HashMap<u32, Taken>,
    /// Seconds of each daemon with all threads that it ever had, in whole ticks.
    daemons: Vec<f64>,
    /// What each process does, and what it has taken.
    postgres: HashMap<u32, (String, Taken)>,
    /// Seconds of all that the postmaster has seen end.
    ended: f64,
}

/// What was taken between two looks.
pub(crate) struct Used {
    pub(crate) daemon: Taken,
    /// By what a process is for: what a connection calls itself, or its kind.
    pub(crate) roles: BTreeMap<String, Taken>,
}

impl Used {
    pub(crate) fn postgres(&self) -> Taken {
        self.roles.values().copied().sum()
    }

    pub(crate) fn all(&self) -> Taken {
        self.daemon + self.postgres()
    }
}

/// The ticks in which the kernel counts are a hundredth of a second on every Linux that we know.
const TICK: f64 = 0.01;

impl Cpu {
    pub(crate) async fn now(daemons: &[u32], cluster: &Path, asking: &mut PgConnection) -> Self {
        let postmaster = postmaster(cluster);
        let mut roles = roles(asking).await;
        roles.insert(postmaster, "postmaster".to_owned());
        let postgres = members(postmaster).into_iter().map(|pid| {
            // The only process that the server does not list.
            let role = roles.remove(&pid).unwrap_or_else(|| "logger".to_owned());
            (pid, (role, threads(pid).into_values().sum()))
        });
        Self {
            threads: daemons.iter().flat_map(|pid| threads(*pid)).collect(),
            daemons: daemons.iter().filter_map(|pid| Some(stat(*pid)?.own)).collect(),
            postgres: postgres.collect(),
            ended: stat(postmaster).map_or(0.0, |stat| stat.children),
        }
    }

    /// What was used since. The benchmark's own connection does not count.
    pub(crate) fn since(&self, before: &Self) -> Used {
        let at = |threads: &HashMap<u32, Taken>, id| threads.get(id).copied().unwrap_or_default();
        let threads = self.threads.iter().map(|(id, taken)| *taken - at(&before.threads, id));
        let mut daemon: Taken = threads.sum();
        let ticks = self.daemons.iter().sum::<f64>() - before.daemons.iter().sum::<f64>();
        // Threads that have ended are in the ticks alone, of which two may be lost in each count.
        if ticks - daemon.seconds > 2.0 * TICK * self.daemons.len() as f64 {
            daemon.seconds = ticks;
        }
        let mut roles = BTreeMap::<_, Taken>::new();
        for (pid, (role, taken)) in &self.postgres {
            let earlier = before.postgres.get(pid).map_or_else(Taken::default, |(_, taken)| *taken);
            if role != "bench" {
                *roles.entry(role.clone()).or_default() += *taken - earlier;
            }
        }
        // What has ended is counted with all that it ever used.
        let gone = before.postgres.iter().filter(|(pid, _)| !self.postgres.contains_key(pid));
        let counted: f64 = gone.map(|(_, (_, taken))| taken.seconds).sum();
        let seconds = self.ended - before.ended - counted;
        if seconds > TICK {
            roles.insert("ended meanwhile".to_owned(), Taken { seconds, wakeups: 0.0 });
        }
        Used { daemon, roles }
    }
}

/// What each process of the server is for, by its id.
async fn roles(asking: &mut PgConnection) -> HashMap<u32, String> {
    let rows: Vec<(i32, String, String)> =
        sqlx::query_as("SELECT pid, backend_type, coalesce(application_name, '') FROM pg_stat_activity")
            .fetch_all(asking)
            .await
            .unwrap();
    let role = |kind: String, name: &str| match (&*kind, name) {
        ("client backend", "leadlined") => "other".to_owned(),
        ("client backend", name) => name.trim_start_matches("leadlined ").to_owned(),
        _ => kind,
    };
    rows.into_iter().map(|(pid, kind, name)| (pid.unsigned_abs(), role(kind, &name))).collect()
}

/// What each thread of a process has taken; nothing of a process that has ended.
fn threads(pid: u32) -> HashMap<u32, Taken> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return HashMap::new() };
    let taken = |task: fs::DirEntry| {
        let id = task.file_name().to_str()?.parse().ok()?;
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        let schedule = fs::read_to_string(task.path().join("schedstat")).ok()?;
        let nanoseconds: f64 = schedule.split_whitespace().next()?.parse().ok()?;
        let wakeups = field(&status, "voluntary_ctxt_switches:")?;
        Some((id, Taken { seconds: nanoseconds / 1e9, wakeups }))
    };
    tasks.filter_map(|task| taken(task.ok()?)).collect()
}

/// What a process had resident at most since it began, in MiB; none once it has ended.
pub(crate) fn peak_mib(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(field(&status, "VmHWM:")? / 1024.0)
}

/// What all processes of a server have resident, in MiB: each its own, and its part of what it shares.
pub(crate) fn server_mib(cluster: &Path) -> f64 {
    let members = members(postmaster(cluster)).into_iter();
    let sizes = members
        .filter_map(|pid| field(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, "Pss:"));
    sizes.sum::<f64>() / 1024.0
}

fn field(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn postmaster(cluster: &Path) -> u32 {
    let pid_file = fs::read_to_string(cluster.join("postmaster.pid")).unwrap();
    pid_file.lines().next().unwrap().trim().parse().unwrap()
}

/// A postmaster and its children.
fn members(postmaster: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_child = |pid: &u32| stat(*pid).is_some_and(|stat| stat.parent == postmaster);
    pids.filter(|pid| *pid == postmaster || is_child(pid)).collect()
}

struct Stat {
    parent: u32,
    own: f64,
    children: f64,
}

/// None if the process has ended meanwhile.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own: (ticks(11)? + ticks(12)?) * TICK,
        children: (ticks(13)? + ticks(14)?) * TICK,
    })
}
