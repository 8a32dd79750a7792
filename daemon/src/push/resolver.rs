//! Looks names up, and refuses the whole answer if one address of it may not be reached.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{LookupIpStrategy, ResolveHosts},
};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use crate::domain::address::{EgressPolicy, allowing};

/// For one question to one server, and for all of a look-up.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(5);
/// After this the system's configuration is read again: machines change networks under a running daemon.
const CONFIG_AGE: Duration = Duration::from_secs(60);

/// A name that resolves to an address which may not be reached.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(String);

/// A name that could not be looked up.
#[derive(Debug, thiserror::Error)]
#[error("look-up of {name} failed: {cause}")]
pub(super) struct LookUpFailed {
    name: String,
    cause: String,
}

/// Which addresses a resolver may give out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reach {
    /// Public ones and the configuration's exceptions.
    Permitted,
    /// The exceptions alone.
    Exceptions,
}

/// The names of the system, with a cache.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Arc<Mutex<Option<(Instant, TokioResolver)>>>);

impl Names {
    /// Every address of a name.
    pub(super) async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, LookUpFailed> {
        let failed = |cause: String| LookUpFailed { name: name.to_owned(), cause };
        let resolver =
            self.resolver().await.map_err(|error| failed(format!("the system's DNS settings: {error}")))?;
        match timeout(LOOK_UP_TIMEOUT, resolver.lookup_ip(name)).await {
            Ok(Ok(found)) => Ok(found.iter().collect()),
            Ok(Err(error)) if error.is_no_records_found() => Err(failed("there is no such name".into())),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed(format!("no answer within {} s", LOOK_UP_TIMEOUT.as_secs()))),
        }
    }

    async fn resolver(&self) -> Result<TokioResolver, hickory_resolver::net::NetError> {
        let mut current = self.0.lock().await;
        if let Some((since, resolver)) = &*current
            && since.elapsed() < CONFIG_AGE
        {
            return Ok(resolver.clone());
        }
        let mut builder = TokioResolver::builder_tokio()?;
        let options = builder.options_mut();
        options.timeout = QUESTION_TIMEOUT;
        options.attempts = 1;
        // Both families at once: one private address among public ones must be seen.
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.use_hosts_file = ResolveHosts::Always;
        let resolver = builder.build()?;
        *current = Some((Instant::now(), resolver.clone()));
        Ok(resolver)
    }
}

/// The look-up of one client.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    names: Names,
    egress: EgressPolicy,
    reach: Reach,
}

impl Resolver {
    pub(super) fn new(names: Names, egress: EgressPolicy, reach: Reach) -> Self {
        Self { names, egress, reach }
    }

    fn admit(&self, name: &str, found: &[IpAddr]) -> Result<(), Refused> {
        let refused = found.iter().find(|ip| match self.reach {
            Reach::Permitted => !self.egress.permits(**ip),
            Reach::Exceptions => !self.egress.is_exception(**ip),
        });
        let Some(ip) = refused else { return Ok(()) };
        let why = match self.reach {
            Reach::Permitted => "which is not a public address",
            Reach::Exceptions => "which plain http may not reach",
        };
        Err(Refused(format!("{name} resolves to {ip}, {why}: use another URL, or {}", allowing(*ip))))
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let found = resolver.names.look_up(name.as_str()).await?;
            resolver.admit(name.as_str(), &found)?;
            // The port comes from the URL.
            let addresses: Addrs = Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}
