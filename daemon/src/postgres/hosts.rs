//! Several servers in one URL, of which one takes writes: it is found at the start, and found again when another was
//! promoted. The driver has no such thing.

use std::time::Duration;

use futures::future::join_all;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::setup::{self, SetupError};
use crate::telemetry;

/// How often it is asked whether the server still takes writes.
const LOOK: Duration = Duration::from_millis(500);
/// How long a server may take to say so.
const ANSWER: Duration = Duration::from_secs(2);
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

    /// The server to begin with: the only one, or the one that takes writes.
    pub async fn writable(&self) -> Result<PgConnectOptions, SetupError> {
        if let [only] = &self.0[..] {
            return Ok(only.clone());
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.find().await {
                return Ok(found.clone());
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
        let mut open = None;
        while stop.run_until_cancelled(look.tick()).await.is_some() {
            let now = first.connect_options();
            match timeout(ANSWER, takes_writes(&now, open.take())).await {
                Ok(Ok((true, connection))) => open = Some(connection),
                Ok(Ok((false, _)) | Err(_)) | Err(_) => {
                    if let Some(found) = self.find().await.filter(|found| name(found) != name(&now)) {
                        tracing::warn!(
                            event = "database_failover",
                            from = name(&now),
                            to = name(found),
                            "another server takes writes now"
                        );
                        metrics::counter!("leadline_database_failovers_total").increment(1);
                        for pool in pools {
                            turn(pool, found).await;
                        }
                    }
                }
            }
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

    /// The server that takes writes, all asked at once.
    async fn find(&self) -> Option<&PgConnectOptions> {
        let asked = self.0.iter().map(|options| async move {
            let told = timeout(ANSWER, takes_writes(options, None)).await;
            matches!(told, Ok(Ok((true, _)))).then_some(options)
        });
        join_all(asked).await.into_iter().flatten().next()
    }
}

/// Whether a server takes writes: asked over a connection that is open, or a new one.
async fn takes_writes(
    options: &PgConnectOptions,
    open: Option<PgConnection>,
) -> Result<(bool, PgConnection), sqlx::Error> {
    let mut connection = match open {
        Some(connection) => connection,
        None => options.connect().await?,
    };
    let ask = "SELECT NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off'";
    let takes: bool = sqlx::query_scalar(ask).persistent(false).fetch_one(&mut connection).await?;
    Ok((takes, connection))
}

/// Turns a pool to another server: what it has open to the old one and nobody uses is closed.
async fn turn(pool: &PgPool, to: &PgConnectOptions) {
    let now = pool.connect_options();
    let options =
        PgConnectOptions::clone(&now).host(to.get_host()).port(to.get_port()).ssl_mode(to.get_ssl_mode());
    pool.set_connect_options(options);
    while let Some(idle) = pool.try_acquire() {
        if let Err(error) = timeout(ANSWER, idle.detach().close()).await.unwrap_or(Ok(())) {
            tracing::debug!(error = telemetry::causes(&error), "a connection to the old server was gone");
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
}
