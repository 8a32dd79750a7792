//! What of a daemon is reached from elsewhere, and what it reaches itself: ports, certificates, the replica, the collector.

use std::{
    collections::HashSet,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use sqlx::postgres::PgConnectOptions;
use tokio::{net::TcpStream, time::timeout};
use url::Url;

use super::{ASK_PATIENCE, DoctorReport, Grade, announced};
use crate::{
    app::{self, doors},
    config::Config,
    doors::tls::Tls,
    postgres::inspect::{self, ServerPlace},
    telemetry,
};

/// A certificate that ends sooner should be renewed.
const ENDS_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Whether a daemon that is started could listen where it is to.
pub(super) fn examine_ports(report: &mut DoctorReport, config: &Config) {
    examine_port(report, "intake", config.intake_listen, "--intake-listen");
    if let Some(remote) = &config.control_remote {
        examine_port(report, "control", remote.listen, "--control-listen");
    }
    match config.admin_listen {
        Some(address) if config.admin_is_asked_for => {
            examine_port(report, "admin", address, "--admin-listen");
        }
        Some(address) if TcpListener::bind(address).is_err() => report.add(
            Grade::Look,
            "admin",
            format!(
                "{address} is taken: metrics and health in detail are answered nowhere: give --admin-listen"
            ),
        ),
        Some(address) => report.add(Grade::Good, "admin", format!("{address} is free")),
        None => {}
    }
}

fn examine_port(report: &mut DoctorReport, thing: &'static str, listen: SocketAddr, setting: &str) {
    let (grade, text) = judge_port(listen, TcpListener::bind(listen).map(drop), setting);
    report.add(grade, thing, text);
}

/// What there is to say of a port that could be listened at, or not.
pub(super) fn judge_port(listen: SocketAddr, tried: io::Result<()>, setting: &str) -> (Grade, String) {
    match tried {
        Ok(()) => (Grade::Good, format!("{listen} is free")),
        // Root may, and becomes the daemon's user only then.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => (
            Grade::Look,
            format!(
                "{listen}: {error}: let root start the daemon, or give its unit CAP_NET_BIND_SERVICE \
                 (AmbientCapabilities= and CapabilityBoundingSet=)"
            ),
        ),
        Err(error) => (Grade::Bad, format!("{listen}: {error}: free it, or choose another {setting}")),
    }
}

/// The doors of a daemon that runs, beside that for leads.
pub(super) async fn examine_other_doors(report: &mut DoctorReport, config: &Config) {
    if let Some(remote) = &config.control_remote {
        let address = announced(config, "control.addr", remote.listen);
        if is_open(address).await {
            report.add(Grade::Good, "control", format!("operators reach it at {address}"));
        } else {
            report.add(Grade::Bad, "control", format!("{address} does not answer: look into its log"));
        }
    }
    if let Some(configured) = config.admin_listen {
        let address = announced(config, "admin.addr", configured);
        if is_open(address).await {
            report.add(Grade::Good, "admin", format!("metrics and health are at {address}"));
        } else {
            let text =
                format!("{address} does not answer: metrics and health are nowhere: give --admin-listen");
            report.add(Grade::Look, "admin", text);
        }
    }
}

async fn is_open(address: SocketAddr) -> bool {
    matches!(timeout(ASK_PATIENCE, TcpStream::connect(address)).await, Ok(Ok(_)))
}

/// Root reads certificates when it starts a daemon, which reads renewed ones itself.
pub(super) fn examine_certificates(
    report: &mut DoctorReport,
    config: &Config,
    at_the_start: anyhow::Result<Vec<Arc<Tls>>>,
) {
    if config.tls.is_none() && config.control_remote.is_none() {
        return;
    }
    let (grade, text) = match (at_the_start, doors::check(config)) {
        (Err(error), _) => (Grade::Bad, format!("{error:#}")),
        (Ok(_), Err(error)) => (
            Grade::Look,
            format!(
                "{error:#}: root reads them for a daemon that it starts, and then nobody renewed ones: let its user read both files"
            ),
        ),
        (Ok(_), Ok(certificates)) => {
            let ends = certificates.iter().map(|tls| (tls.door(), tls.not_after()));
            judge_ends(&ends.collect::<Vec<_>>(), Timestamp::now())
        }
    };
    report.add(grade, "certificates", text);
}

/// What to say of certificates that can be used, by when they end.
fn judge_ends(ends: &[(&str, Option<Timestamp>)], now: Timestamp) -> (Grade, String) {
    let first = ends.iter().filter_map(|(door, end)| end.map(|end| (end, door))).min();
    let Some((end, door)) = first else {
        return (Grade::Good, "each can be read, and fits its key".to_owned());
    };
    let day = end.strftime("%F");
    if end <= now {
        (
            Grade::Bad,
            format!(
                "that of the {door} ended on {day}: renew it; a daemon that runs takes new files by itself"
            ),
        )
    } else if end.duration_since(now) < ENDS_SOON {
        (
            Grade::Look,
            format!(
                "that of the {door} ends on {day}: renew it; a daemon that runs takes new files by itself"
            ),
        )
    } else {
        (Grade::Good, format!("each can be read, and fits its key; the first one ends on {day}"))
    }
}

/// The servers that are named together, so that one may take the place of another. The answer tells the one that takes
/// writes from those of other databases.
pub(super) async fn examine_servers(report: &mut DoctorReport, config: &Config) -> Option<String> {
    // Of a URL that cannot be read the database says it.
    let Ok(Some(hosts)) = app::hosts(config) else { return None };
    let servers: Vec<_> = hosts.each().collect();
    if servers.len() < 2 && config.read_url.is_none() {
        return None;
    }
    let asked = servers.into_iter().map(|(name, options)| async move { (name, ask(options).await) });
    let servers = join_all(asked).await;
    judge_servers(report, &servers);
    primary_of(&servers).map(str::to_owned)
}

type AskedServer = (String, Result<ServerPlace, sqlx::Error>);

/// The database of the first one that follows no other.
fn primary_of(servers: &[AskedServer]) -> Option<&str> {
    let mut places = servers.iter().filter_map(|(_, place)| place.as_ref().ok());
    places.find(|place| !place.is_standby).map(|place| place.system.as_str())
}

async fn ask(options: &PgConnectOptions) -> Result<ServerPlace, sqlx::Error> {
    let late = |_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into()));
    timeout(ASK_PATIENCE, inspect::place(options)).await.unwrap_or_else(late)
}

/// What to say of several servers: of a single one the database does.
fn judge_servers(report: &mut DoctorReport, servers: &[AskedServer]) {
    if servers.len() < 2 {
        return;
    }
    let primary = primary_of(servers);
    let (mut first, mut seen) = (Vec::new(), HashSet::new());
    for (name, place) in servers {
        match place {
            Ok(place) if place.is_standby && primary.is_some_and(|system| system != place.system) => {
                let text = format!(
                    "{name} follows the primary of another database, and would be worked with if it took writes: take it \
                     out of --database-url"
                );
                report.add(Grade::Look, "server", text);
            }
            Ok(place) if place.is_standby => {
                report.add(Grade::Good, "server", format!("{name} follows, and can take another's place"));
            }
            Ok(place) => {
                if seen.insert(&place.started) {
                    first.push(name.as_str());
                }
            }
            Err(error) => {
                let why = telemetry::causes(error);
                report.add(Grade::Look, "server", format!("{name}: {why}: it can take nobody's place"));
            }
        }
    }
    if first.len() > 1 {
        let text = format!(
            "{} follow no other, and only one may take writes: stop the others, and make them standbys of it (pg_rewind)",
            first.join(" and ")
        );
        report.add(Grade::Look, "servers", text);
    }
}

/// The server that answers lists.
pub(super) async fn examine_replica(report: &mut DoctorReport, config: &Config, primary: Option<&str>) {
    let (grade, text) = match app::replica(config) {
        Ok(None) => return,
        Ok(Some(options)) => judge_replica(options.get_host(), ask(&options).await, primary),
        Err(error) => (Grade::Bad, telemetry::causes(&error)),
    };
    report.add(grade, "replica", text);
}

fn judge_replica(
    host: &str,
    place: Result<ServerPlace, sqlx::Error>,
    primary: Option<&str>,
) -> (Grade, String) {
    match place {
        Ok(place) if !place.is_standby => (
            Grade::Look,
            format!("{host} follows no primary, so the primary answers lists: name a standby in --read-url"),
        ),
        Ok(place) if primary.is_some_and(|system| system != place.system) => (
            Grade::Look,
            format!(
                "{host} follows the primary of another database, so ours answers lists: name a standby of ours in \
                 --read-url"
            ),
        ),
        Ok(_) => (Grade::Good, format!("{host} follows a primary, and answers lists")),
        Err(error) => (
            Grade::Look,
            format!("{host}: {}: the primary answers lists meanwhile", telemetry::causes(&error)),
        ),
    }
}

/// Where traces go.
pub(super) async fn examine_collector(report: &mut DoctorReport, config: &Config) {
    let Some(traces) = &config.traces else { return };
    let (endpoint, lost) = (&traces.endpoint, "traces are lost, leads are not");
    let (grade, text) = match timeout(ASK_PATIENCE, reach(endpoint)).await {
        Ok(Ok(_)) => (Grade::Good, format!("{endpoint} takes connections")),
        Ok(Err(error)) => (Grade::Look, format!("{endpoint}: {error}: {lost}")),
        Err(_) => (Grade::Look, format!("{endpoint} does not answer: {lost}")),
    };
    report.add(grade, "collector", text);
}

/// Connects to what a URL names, an address of IPv6 in its brackets, too.
async fn reach(url: &str) -> io::Result<TcpStream> {
    let url = Url::parse(url).map_err(io::Error::other)?;
    TcpStream::connect(url.authority()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::TraceSettings;

    fn place(is_standby: bool, system: &str, started: &str) -> Result<ServerPlace, sqlx::Error> {
        Ok(ServerPlace { is_standby, system: system.to_owned(), started: started.to_owned() })
    }

    #[test]
    fn of_several_servers_is_said_which_can_take_the_place_of_the_first() {
        let away = || Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into()));
        let well = "ok    server          b:5432 follows, and can take another's place\n";
        let gone = "look  server          b:5432: error communicating with database: timed out: it can take nobody's \
                    place\n";
        let stranger = "look  server          b:5432 follows the primary of another database, and would be worked with if \
                        it took writes: take it out of --database-url\n";
        let rivals = "look  servers         a:5432 and b:5432 follow no other, and only one may take writes: stop the \
                      others, and make them standbys of it (pg_rewind)\n";
        for (second, expected) in [
            (Some(place(true, "ours", "noon")), well),
            (Some(place(true, "theirs", "noon")), stranger),
            (Some(away()), gone),
            (Some(place(false, "ours", "noon")), rivals),
            // It is the same server under another name.
            (Some(place(false, "ours", "nine")), ""),
            (None, ""),
        ] {
            let mut servers = vec![("a:5432".to_owned(), place(false, "ours", "nine"))];
            servers.extend(second.map(|second| ("b:5432".to_owned(), second)));
            let mut report = DoctorReport::default();
            judge_servers(&mut report, &servers);
            assert_eq!(report.to_string(), expected);
        }
    }

    #[test]
    fn of_a_replica_is_said_whether_it_is_one_of_this_database() {
        for (asked, primary, expected) in [
            (
                place(true, "ours", "noon"),
                Some("ours"),
                (Grade::Good, "db follows a primary, and answers lists"),
            ),
            (place(true, "ours", "noon"), None, (Grade::Good, "db follows a primary, and answers lists")),
            (
                place(true, "theirs", "noon"),
                Some("ours"),
                (
                    Grade::Look,
                    "db follows the primary of another database, so ours answers lists: name a standby of ours in \
                     --read-url",
                ),
            ),
            (
                place(false, "ours", "noon"),
                Some("ours"),
                (
                    Grade::Look,
                    "db follows no primary, so the primary answers lists: name a standby in --read-url",
                ),
            ),
            (
                Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())),
                Some("ours"),
                (
                    Grade::Look,
                    "db: error communicating with database: timed out: the primary answers lists meanwhile",
                ),
            ),
        ] {
            let (grade, text) = judge_replica("db", asked, primary);
            assert_eq!((grade, text.as_str()), expected);
        }
    }

    /// What is said of a collector.
    async fn reported(endpoint: &str) -> String {
        let (mut report, mut config) = (DoctorReport::default(), Config::in_dir("/data".as_ref()));
        config.traces = Some(TraceSettings { endpoint: endpoint.to_owned(), share: 1.0 });
        examine_collector(&mut report, &config).await;
        report.to_string()
    }

    #[tokio::test]
    async fn of_a_collector_is_said_what_keeps_spans_from_it() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            // Not every machine has both.
            let Ok(listener) = TcpListener::bind(any) else { continue };
            let endpoint = format!("http://{}", listener.local_addr().unwrap());
            let well = format!("ok    collector       {endpoint} takes connections\n");
            assert_eq!(reported(&endpoint).await, well);
            drop(listener);
            let refused = format!(
                "look  collector       {endpoint}: {}: traces are lost, leads are not\n",
                io::Error::from_raw_os_error(rustix::io::Errno::CONNREFUSED.raw_os_error())
            );
            assert_eq!(reported(&endpoint).await, refused);
        }
        assert_eq!(
            reported("http://:4317").await,
            "look  collector       http://:4317: empty host: traces are lost, leads are not\n"
        );
    }

    #[test]
    fn certificates_are_judged_by_the_first_that_ends() {
        let now: Timestamp = "2026-11-30T00:00:00Z".parse().unwrap();
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let (late, soon, gone) =
            (at("2027-11-30T00:00:00Z"), at("2026-12-13T00:00:00Z"), at("2026-11-29T00:00:00Z"));
        let renew = "renew it; a daemon that runs takes new files by itself";
        for (ends, expected) in [
            (
                vec![("intake", late), ("control", None)],
                (
                    Grade::Good,
                    "each can be read, and fits its key; the first one ends on 2027-11-30".to_owned(),
                ),
            ),
            (
                vec![("intake", late), ("control", soon)],
                (Grade::Look, format!("that of the control ends on 2026-12-13: {renew}")),
            ),
            (
                vec![("intake", gone), ("control", soon)],
                (Grade::Bad, format!("that of the intake ended on 2026-11-29: {renew}")),
            ),
            (vec![("intake", None)], (Grade::Good, "each can be read, and fits its key".to_owned())),
        ] {
            assert_eq!(judge_ends(&ends, now), expected);
        }
    }
}
