//! What of a daemon is reached from elsewhere, and what it reaches itself: ports, certificates, the replica, the collector.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret as _;
use tokio::{net::TcpStream, time::timeout};
use url::Url;

use super::{ASK_PATIENCE, DoctorReport, Grade, announced};
use crate::{
    app::doors,
    config::Config,
    doors::tls::Tls,
    postgres::{inspect, setup},
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

/// The server that answers lists.
pub(super) async fn examine_replica(report: &mut DoctorReport, config: &Config) {
    let thing = "replica";
    let Some(url) = &config.read_url else { return };
    let options = match setup::parse_url(url.expose_secret()) {
        Ok(options) => options,
        Err(error) => return report.add(Grade::Bad, thing, telemetry::causes(&error)),
    };
    let options = match &config.database_password {
        Some(password) => options.password(password.expose_secret()),
        None => options,
    };
    let host = options.get_host();
    let (grade, text) = match timeout(ASK_PATIENCE, inspect::is_replica(&options)).await {
        Ok(Ok(true)) => (Grade::Good, format!("{host} follows a primary, and answers lists")),
        Ok(Ok(false)) => (
            Grade::Look,
            format!("{host} follows no primary, so the primary answers lists: name a standby in --read-url"),
        ),
        Ok(Err(error)) => (
            Grade::Look,
            format!("{host}: {}: the primary answers lists meanwhile", telemetry::causes(&error)),
        ),
        Err(_) => (Grade::Look, format!("{host} does not answer: the primary answers lists meanwhile")),
    };
    report.add(grade, thing, text);
}

/// Where traces go.
pub(super) async fn examine_collector(report: &mut DoctorReport, config: &Config) {
    let Some(traces) = &config.traces else { return };
    let url = Url::parse(&traces.endpoint).ok();
    let place = url.as_ref().and_then(|url| Some((url.host_str()?, url.port_or_known_default()?)));
    let is_there = match place {
        Some(place) => matches!(timeout(ASK_PATIENCE, TcpStream::connect(place)).await, Ok(Ok(_))),
        None => false,
    };
    if is_there {
        report.add(Grade::Good, "collector", format!("{} takes connections", traces.endpoint));
    } else {
        let text = format!("{} does not answer: traces are lost, leads are not", traces.endpoint);
        report.add(Grade::Look, "collector", text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
