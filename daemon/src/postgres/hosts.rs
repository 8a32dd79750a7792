//! Several servers in one URL, of which one takes writes: it is found at the start, and found again when another was
//! promoted. The driver has no such thing.

use std::{fmt, mem, net::SocketAddr, time::Duration};

use futures::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use sqlx::{ConnectOptions as _, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::{
    net::lookup_host,
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    cut_off::cut_off,
    setup::{self, SetupError},
};
use crate::telemetry;

/// How often it is asked whether the server still takes writes.
const LOOK: Duration = Duration::from_millis(500);
/// How often all of them are asked, as one may have been promoted while the other lives.
const LOOK_AROUND: Duration = Duration::from_secs(10);
/// How long a server may take to say so.
const ANSWER: Duration = Duration::from_secs(2);
/// How long the others may take once one has said so, when there is no time to lose.
const OTHERS: Duration = Duration::from_millis(500);
/// How long none may take writes while a daemon starts.
const PATIENCE: Duration = Duration::from_secs(10);

/// The URLs of single servers that a URL with several hosts stands for: `postgres://a,b:5433/leads` names two.
#[must_use]
pub fn single_urls(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
    let at = if user.is_empty() { "" } else { "@" };
    hosts.split(',').map(|host| format!("{scheme}://{user}{at}{host}{path}")).collect()
}

/// The servers of one database.
#[derive(Clone, Debug)]
pub struct Hosts(Vec<PgConnectOptions>);

impl Hosts {
    /// Reads a URL, with a password that stands elsewhere.
    pub fn of(url: &str, password: Option<&str>) -> Result<Self, SetupError> {
        let all: Result<Vec<_>, _> = single_urls(url).iter().map(|url| setup::parse_url(url)).collect();
        let with_password = |options: PgConnectOptions| match password {
            Some(password) => options.password(password),
            None => options,
        };
        Ok(Self(all?.into_iter().map(with_password).collect()))
    }

    /// Each of them, with its name.
    pub fn each(&self) -> impl Iterator<Item = (String, &PgConnectOptions)> {
        self.0.iter().map(|options| (name(options), options))
    }

    /// The server to begin with: the only one, or the one that takes writes.
    pub async fn writable(&self) -> Result<PgConnectOptions, SetupError> {
        if let [only] = &self.0[..] {
            return Ok(only.clone());
        }
        let deadline = Instant::now() + PATIENCE;
        let mut choice = ServerChoice::default();
        loop {
            if let Some(found) = choice.of(self.find(ANSWER).await, "") {
                return Ok(found.options.clone());
            }
            if Instant::now() + LOOK >= deadline {
                let names: Vec<_> = self.0.iter().map(name).collect();
                let source = self.trouble().await.map(Box::new);
                return Err(SetupError::NoneWrites { servers: names.join(", "), source });
            }
            sleep(LOOK).await;
        }
    }

    /// Follows the server that takes writes with these pools, until stopped.
    pub async fn follow(&self, pools: &[PgPool], stop: CancellationToken) {
        let (1.., Some(first)) = (self.0.len().saturating_sub(1), pools.first()) else {
            return stop.cancelled().await;
        };
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut choice = ServerChoice::default();
        let mut open: Option<PgConnection> = None;
        let (mut reached, mut looked_around) = (Vec::new(), Instant::now());
        while stop.run_until_cancelled(look.tick()).await.is_some() {
            let mut others = OTHERS;
            if let Some(mut connection) = open.take()
                && matches!(timeout(ANSWER, takes_writes(&mut connection)).await, Ok(Ok(true)))
            {
                if looked_around.elapsed() < LOOK_AROUND {
                    open = Some(connection);
                    continue;
                }
                others = ANSWER;
            }
            // Where the connection ended, the server may have come back and another have been promoted meanwhile.
            let now = name(&first.connect_options());
            let Some(found) = choice.of(self.find(others).await, &now) else { continue };
            looked_around = Instant::now();
            if found.said.name != now {
                tracing::warn!(
                    event = "database_failover",
                    from = now,
                    to = found.said.name,
                    "another server takes writes now"
                );
                metrics::counter!("leadline_database_failovers_total").increment(1);
                turn(pools, found.options, mem::take(&mut reached)).await;
            }
            // By the time it is left, its name may lead elsewhere.
            reached = addresses(found.options).await;
            open = Some(found.connection);
        }
    }

    /// What keeps one of them from being asked and does not pass by itself, such as a certificate that is not trusted.
    async fn trouble(&self) -> Option<SetupError> {
        let asked = self.0.iter().map(|options| async move {
            let error = timeout(ANSWER, options.connect()).await.ok()?.err()?;
            setup::passing(options, error).err()
        });
        join_all(asked).await.into_iter().flatten().next()
    }

    /// The servers that take writes, all asked at once, in the order of the URL. Once one has answered, the others have so
    /// long.
    async fn find(&self, others: Duration) -> Vec<Writable<'_>> {
        let asked = self.0.iter().enumerate().map(|(place, options)| async move {
            let writable = timeout(ANSWER, Writable::ask(place, options)).await;
            writable.ok().and_then(Result::ok).flatten()
        });
        let mut asked: FuturesUnordered<_> = asked.collect();
        let (mut found, mut patience) = (Vec::new(), ANSWER);
        while let Ok(Some(answer)) = timeout(patience, asked.next()).await {
            if let Some(writable) = answer {
                found.push(writable);
                patience = others;
            }
        }
        found.sort_by_key(|writable: &Writable<'_>| writable.place);
        found
    }
}

/// A server that takes writes.
struct Writable<'a> {
    place: usize,
    options: &'a PgConnectOptions,
    said: Said,
    connection: PgConnection,
}

/// What a server that takes writes says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    name: String,
    /// Counts the promotions that led to it; none where the server keeps that from us.
    timeline: Option<u32>,
    /// Tells a server from others: one may stand under two names in the URL.
    started: String,
}

impl<'a> Writable<'a> {
    /// None if the server takes no writes.
    async fn ask(place: usize, options: &'a PgConnectOptions) -> Result<Option<Self>, sqlx::Error> {
        let mut connection = options.connect().await?;
        if !takes_writes(&mut connection).await? {
            return Ok(None);
        }
        let ask = "SELECT pg_postmaster_start_time()::text";
        let started = sqlx::query_scalar(ask).persistent(false).fetch_one(&mut connection).await?;
        let ask = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)";
        let timeline: Option<String> =
            sqlx::query_scalar(ask).persistent(false).fetch_one(&mut connection).await.ok();
        let timeline = timeline.and_then(|digits| u32::from_str_radix(&digits, 16).ok());
        let said = Said { name: name(options), timeline, started };
        Ok(Some(Self { place, options, said, connection }))
    }
}

/// Which of several servers that take writes is followed. Only one should; but a primary that went down may come back
/// after its standby was promoted, and what is written there is lost.
#[derive(Debug, Default)]
struct ServerChoice {
    /// The latest timeline that was followed.
    followed: u32,
    /// What was last reported: which one was followed, and the others that take writes.
    reported: (Option<String>, String),
}

impl ServerChoice {
    /// The one of the latest timeline; of the same one that which is followed now, or the first. None that is behind the
    /// one that was followed.
    fn of<'a>(&mut self, found: Vec<Writable<'a>>, now: &str) -> Option<Writable<'a>> {
        let servers: Vec<_> = found.iter().map(|it| it.said.clone()).collect();
        let chosen = self.choose(&servers, now)?;
        found.into_iter().nth(chosen)
    }

    fn choose(&mut self, servers: &[Said], now: &str) -> Option<usize> {
        let rank = |at: &usize| (servers[*at].timeline, servers[*at].name == now);
        let latest = (0..servers.len()).rev().max_by_key(rank);
        // Where it is unknown, a server is taken at its word.
        let chosen =
            latest.filter(|at| servers[*at].timeline.is_none_or(|timeline| timeline >= self.followed));
        let chosen_server = chosen.map(|at| &servers[at]);
        if let Some(timeline) = chosen_server.and_then(|server| server.timeline) {
            self.followed = timeline;
        }
        let is_other = |server: &&Said| chosen_server.is_none_or(|chosen| chosen.started != server.started);
        let others: Vec<_> = servers.iter().filter(is_other).map(ToString::to_string).collect();
        metrics::gauge!("leadline_database_rivals").set(others.len() as f64);
        let others = others.join(", ");
        let report = (chosen_server.map(ToString::to_string), others.clone());
        if report != self.reported && !others.is_empty() {
            match chosen_server {
                Some(chosen) => tracing::error!(
                    event = "several_servers_take_writes",
                    followed = %chosen,
                    others,
                    "several servers take writes, and only the latest is followed: stop the others and make them \
                     standbys of it (pg_rewind), for what is written there is lost"
                ),
                None => tracing::error!(
                    event = "server_left_behind",
                    server = others,
                    followed = self.followed,
                    "the only server that takes writes lacks what the one that was followed has, and is not used: \
                     start that one again; restart this daemon only if what it lacks is given up"
                ),
            }
        }
        self.reported = report;
        chosen
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.timeline {
            Some(timeline) => write!(f, "{} (timeline {timeline})", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Whether a server takes writes.
async fn takes_writes(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let ask = "SELECT NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off'";
    sqlx::query_scalar(ask).persistent(false).fetch_one(connection).await
}

/// Where a server is reached over TCP.
async fn addresses(options: &PgConnectOptions) -> Vec<SocketAddr> {
    let host = options.get_host().trim_matches(['[', ']']);
    let found = timeout(ANSWER, lookup_host((host, options.get_port()))).await;
    found.ok().and_then(Result::ok).map(Iterator::collect).unwrap_or_default()
}

/// Turns pools to another server, and ends what is open to the old one, where it was reached: whoever waits for an answer
/// from there learns that there will be none.
async fn turn(pools: &[PgPool], to: &PgConnectOptions, mut reached: Vec<SocketAddr>) {
    for pool in pools {
        let now = pool.connect_options();
        let options =
            PgConnectOptions::clone(&now).host(to.get_host()).port(to.get_port()).ssl_mode(to.get_ssl_mode());
        pool.set_connect_options(options);
    }
    let kept = addresses(to).await;
    reached.retain(|address| !kept.contains(address));
    match spawn_blocking(move || cut_off(&reached)).await {
        Ok(Ok(count)) => tracing::debug!(count, "connections to the old server were ended"),
        Ok(Err(error)) => tracing::debug!(
            error = telemetry::causes(&error),
            "connections to the old server end when the kernel gives them up"
        ),
        Err(error) => tracing::debug!(error = telemetry::causes(&error), "nothing was ended"),
    }
    for pool in pools {
        while let Some(idle) = pool.try_acquire() {
            // A word of farewell would wait for a server that may be gone.
            drop(idle.detach());
        }
    }
}

fn name(options: &PgConnectOptions) -> String {
    format!("{}:{}", options.get_host(), options.get_port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_name_several_servers() {
        for (url, expected) in [
            ("postgres://ann@db/leads", &["postgres://ann@db/leads"][..]),
            (
                "postgres://ann:pw@a,b:5433/leads?sslmode=require",
                &[
                    "postgres://ann:pw@a/leads?sslmode=require",
                    "postgres://ann:pw@b:5433/leads?sslmode=require",
                ],
            ),
            ("postgres://[::1]:1,[::1]:2", &["postgres://[::1]:1", "postgres://[::1]:2"]),
            ("postgres:///leads?host=/run/pg", &["postgres:///leads?host=/run/pg"]),
        ] {
            assert_eq!(single_urls(url), expected);
        }
        let hosts = Hosts::of("postgres://ann@a,b:5433/leads", Some("pw")).unwrap();
        let names: Vec<_> = hosts.0.iter().map(name).collect();
        assert_eq!(names, ["a:5432", "b:5433"]);
        assert!(Hosts::of("postgres://ann@a,,b/leads", None).is_err());
    }

    #[test]
    fn of_several_that_take_writes_the_latest_is_followed_and_none_that_is_behind_it() {
        let server = |name: &str, timeline| Said {
            name: name.to_owned(),
            timeline,
            started: format!("{name} was started"),
        };
        let mut choice = ServerChoice::default();
        for (servers, now, expected) in [
            (vec![], "", None),
            (vec![server("a", Some(1))], "", Some(0)),
            (vec![server("a", Some(1)), server("b", Some(1))], "a", Some(0)),
            (vec![server("a", Some(1)), server("b", Some(1))], "b", Some(1)),
            (vec![server("a", Some(1)), server("b", Some(1))], "c", Some(0)),
            (vec![server("a", Some(1)), server("b", Some(2))], "a", Some(1)),
            // It went away, and the old one is still there.
            (vec![server("a", Some(1))], "b", None),
            (vec![server("a", Some(2)), server("b", Some(1))], "b", Some(0)),
            (vec![server("a", None), server("b", Some(2))], "a", Some(1)),
            (vec![server("a", None)], "b", Some(0)),
            (vec![server("a", Some(10)), server("b", Some(2))], "b", Some(0)),
            (vec![server("b", Some(2))], "a", None),
        ] {
            assert_eq!(choice.choose(&servers, now), expected, "{servers:?} {now}");
        }
        let unknown = [server("a", None), server("b", None)];
        assert_eq!(ServerChoice::default().choose(&unknown, ""), Some(0));
        assert_eq!(unknown[0].to_string(), "a");
        assert_eq!(server("b", Some(11)).to_string(), "b (timeline 11)");
    }

    #[test]
    fn a_server_under_two_names_is_no_rival_of_itself() {
        let server =
            |name: &str| Said { name: name.to_owned(), timeline: Some(3), started: "noon".to_owned() };
        let mut choice = ServerChoice::default();
        assert_eq!(choice.choose(&[server("primary"), server("db1")], "db1"), Some(1));
        assert_eq!(choice.reported.1, "");
        let other = Said { started: "one".to_owned(), ..server("db2") };
        assert_eq!(choice.choose(&[server("primary"), server("db1"), other], "db1"), Some(1));
        assert_eq!(choice.reported.1, "db2 (timeline 3)");
    }
}
