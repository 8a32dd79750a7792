//! The daemon's doors: opened before anything is made, so that what only another configuration mends is told at once.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpListener;

use crate::{config::Config, control, doors::tls::Tls, intake, postgres::data_dir::DataDir, telemetry};

/// As TLS names what the doors speak.
const HTTP_1: &[&str] = &["http/1.1"];
const HTTP_2: &[&str] = &["h2"];
/// How long a console over the network may be silent before the system looks whether it is still there: one whose machine
/// vanished would keep its place for good.
const SILENT: Duration = Duration::from_secs(60);

/// What listens.
pub(super) struct Doors {
    pub(super) intake: intake::Listeners,
    pub(super) control: control::Listeners,
}

/// What listens on the network: root alone may open ports below 1024, and read most certificates.
pub(super) struct NetworkDoors {
    intake: intake::Listeners,
    control: Option<control::Remote>,
}

/// Where it listens.
pub(super) struct Addresses {
    pub(super) intake: SocketAddr,
    pub(super) admin: Option<SocketAddr>,
    pub(super) control: Option<SocketAddr>,
}

/// The certificates of a configuration, if all of them can be used.
pub fn check(config: &Config) -> anyhow::Result<Vec<Arc<Tls>>> {
    Ok(intake_tls(config)?.into_iter().chain(control_tls(config)?).collect())
}

fn intake_tls(config: &Config) -> anyhow::Result<Option<Arc<Tls>>> {
    let tls = config.tls.as_ref().map(|pair| Tls::open("intake", pair, None, HTTP_1));
    Ok(tls.transpose().context("the intake has no TLS: see --tls-cert and --tls-key")?.map(Arc::new))
}

fn control_tls(config: &Config) -> anyhow::Result<Option<Arc<Tls>>> {
    let open = |remote: &crate::config::ControlRemote| {
        Tls::open("control", &remote.tls, remote.client_ca.as_deref(), HTTP_2)
    };
    let tls = config.control_remote.as_ref().map(open).transpose();
    Ok(tls.context("the control API has no TLS: see --control-tls-cert and --control-tls-key")?.map(Arc::new))
}

/// Opens the doors to the network.
pub(super) async fn open(config: &Config) -> anyhow::Result<NetworkDoors> {
    let listen = config.intake_listen;
    let public = TcpListener::bind(listen).await.with_context(|| {
        format!("cannot take leads in at {listen}: free it, or choose another --intake-listen")
    })?;
    let admin = bind_admin(config).await?;
    let intake = intake::Listeners { public, tls: intake_tls(config)?, admin };
    let control = match (&config.control_remote, control_tls(config)?) {
        (Some(remote), Some(tls)) => {
            Some(control::Remote { listener: bind_control(remote.listen).await?, tls })
        }
        _ => None,
    };
    Ok(NetworkDoors { intake, control })
}

impl NetworkDoors {
    /// Opens the control socket, too. Its owner is who the daemon is, whose directory it stands in.
    pub(super) async fn with_socket(self, config: &Config) -> anyhow::Result<Doors> {
        let socket = control::bind(&config.control, &config.control_groups).await;
        let socket = socket.context("cannot listen to operators")?;
        Ok(Doors { intake: self.intake, control: control::Listeners { socket, remote: self.control } })
    }
}

/// Listens to consoles over the network. What is set here holds for every connection that is accepted.
async fn bind_control(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(listen).await.and_then(|listener| {
        SockRef::from(&listener).set_tcp_keepalive(&TcpKeepalive::new().with_time(SILENT))?;
        Ok(listener)
    });
    listener.with_context(|| {
        format!("cannot listen to operators at {listen}: free it, or choose another --control-listen")
    })
}

/// Listens to operators' machines, if anywhere. An address that nobody asked for may be another daemon's.
async fn bind_admin(config: &Config) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = config.admin_listen else { return Ok(None) };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if !config.admin_is_asked_for => {
            tracing::warn!(event = "admin_address_taken", %address, error = telemetry::causes(&error), "metrics and health in detail are answered nowhere: give --admin-listen");
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| {
            format!(
                "cannot answer about health at {address}: free it, or choose another --admin-listen, or off"
            )
        }),
    }
}

impl Doors {
    pub(super) fn addresses(&self) -> anyhow::Result<Addresses> {
        let control = self.control.remote.as_ref().map(|remote| remote.listener.local_addr());
        Ok(Addresses {
            intake: self.intake.public.local_addr()?,
            admin: self.intake.admin.as_ref().map(TcpListener::local_addr).transpose()?,
            control: control.transpose()?,
        })
    }

    /// The certificates that are to be kept current.
    pub(super) fn tls(&self) -> Vec<Arc<Tls>> {
        let control = self.control.remote.as_ref().map(|remote| Arc::clone(&remote.tls));
        self.intake.tls.iter().cloned().chain(control).collect()
    }
}

impl Addresses {
    /// Writes down where the doors are, for whoever finds the daemon by its data directory.
    pub(super) fn announce(&self, data: &DataDir) -> anyhow::Result<()> {
        data.announce("intake.addr", self.intake).context("cannot write the address of the intake")?;
        if let Some(admin) = self.admin {
            data.announce("admin.addr", admin).context("cannot write the address of the metrics")?;
        }
        if let Some(control) = self.control {
            data.announce("control.addr", control).context("cannot write the address of the control API")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn whether_a_silent_console_is_still_there_is_looked_at() {
        let listener = bind_control(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let _console = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        assert!(SockRef::from(&accepted).keepalive().unwrap());
    }
}
