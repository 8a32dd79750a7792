//! Looks names up, and refuses the whole answer if one address of it may not be reached.

use std::{net::IpAddr, sync::Arc, time::Duration};

use hickory_resolver::{
    TokioResolver,
    config::{LookupIpStrategy, ResolveHosts},
    proto::rr::Name,
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::connect::ConnectError;
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
pub(super) struct SystemNames(Arc<Mutex<Option<(Instant, TokioResolver)>>>);

impl SystemNames {
    /// Every address of a name.
    pub(super) async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, LookUpFailed> {
        let failed = |cause: String| LookUpFailed { name: name.to_owned(), cause };
        let resolver =
            self.resolver().await.map_err(|error| failed(format!("the system's DNS settings: {error}")))?;
        // The URL has it in ASCII already; names that hold an underscore are none of IDNA's, and are looked up all the same.
        let asked = Name::from_ascii(name).map_err(|error| failed(error.to_string()))?;
        match timeout(LOOK_UP_TIMEOUT, resolver.lookup_ip(asked)).await {
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
    names: SystemNames,
    egress: EgressPolicy,
    reach: Reach,
}

impl Resolver {
    pub(super) fn new(names: SystemNames, egress: EgressPolicy, reach: Reach) -> Self {
        Self { names, egress, reach }
    }

    /// The addresses of a name that may be connected to.
    pub(super) async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ConnectError> {
        let found = self.names.look_up(name).await?;
        Ok(self.choose(name, found)?)
    }

    /// Where the configuration names an address of those that were found, only such are used, as `localhost` has one in
    /// each family. Otherwise an address that may not be reached refuses them all.
    fn choose(&self, name: &str, mut found: Vec<IpAddr>) -> Result<Vec<IpAddr>, Refused> {
        let is_plain = matches!(self.reach, Reach::Exceptions);
        let is_named = found.iter().any(|ip| self.egress.is_exception(*ip));
        if is_named && (is_plain || !found.iter().all(|ip| self.egress.permits(*ip))) {
            found.retain(|ip| self.egress.is_exception(*ip));
        }
        let refused = found.iter().find(|ip| match self.reach {
            Reach::Permitted => !self.egress.permits(**ip),
            Reach::Exceptions => !self.egress.is_exception(**ip),
        });
        let Some(ip) = refused else { return Ok(found) };
        let why = match self.reach {
            Reach::Permitted => "which is not a public address",
            Reach::Exceptions => "which plain http may not reach",
        };
        Err(Refused(format!("{name} resolves to {ip}, {why}: use another URL, or {}", allowing(*ip))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_that_may_not_be_reached_refuses_a_name_unless_another_is_allowed_by_name() {
        let ips = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let (secure, plain) = (Reach::Permitted, Reach::Exceptions);
        let refused = |reach, allowed: &[&str], found: &[&str], message: &str| {
            let egress = EgressPolicy::new(allowed.iter().map(|net| net.parse().unwrap()).collect());
            let refused = Resolver::new(SystemNames::default(), egress, reach)
                .choose("crm.test", ips(found))
                .unwrap_err();
            assert!(refused.to_string().contains(message), "{refused}");
        };
        let used = |reach, allowed: &[&str], found: &[&str], expected: &[&str]| {
            let egress = EgressPolicy::new(allowed.iter().map(|net| net.parse().unwrap()).collect());
            let used =
                Resolver::new(SystemNames::default(), egress, reach).choose("crm.test", ips(found)).unwrap();
            assert_eq!(used, ips(expected), "{reach:?} {allowed:?} {found:?}");
        };
        const PUBLIC: &str = "93.184.216.34";
        refused(
            secure,
            &[],
            &[PUBLIC, "127.0.0.1"],
            "crm.test resolves to 127.0.0.1, which is not a public address",
        );
        refused(plain, &[], &[PUBLIC], "crm.test resolves to 93.184.216.34, which plain http may not reach");
        refused(plain, &["127.0.0.2/32"], &["127.0.0.1"], "start leadlined with --allow-egress 127.0.0.1/32");
        used(secure, &[], &[PUBLIC], &[PUBLIC]);
        used(secure, &["127.0.0.0/8"], &["::1", "127.0.0.1"], &["127.0.0.1"]);
        used(plain, &["127.0.0.0/8"], &["::1", "127.0.0.1"], &["127.0.0.1"]);
        used(plain, &["127.0.0.0/8"], &[PUBLIC, "127.0.0.1"], &["127.0.0.1"]);
        used(secure, &["127.0.0.0/8"], &[PUBLIC, "127.0.0.1"], &[PUBLIC, "127.0.0.1"]);
    }
}
