//! Who may do what: every method of the control API with none, a wrong, an expired, a revoked, a viewer's and another
//! company's token, over the network with TLS.

mod doors;
mod pages;
mod people;
pub(crate) mod reads;
pub(crate) mod walk;

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use leadline_proto::v1::{
    self, Role, lead_service_client::LeadServiceClient, token_service_client::TokenServiceClient,
};
use leadline_tests::{Daemon, Database, request_id};
use leadlined::{
    config::{Config, ControlRemote},
    doors::tls::Pair,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

/// An authority of one's own, and what it certified.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Certifies a host, in the files of this name; what stood there is replaced.
    pub(crate) fn certify(&self, name: &str, host: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let cert =
            CertificateParams::new(vec![host.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let pair = Pair {
            cert: self.dir.path().join(format!("{name}.pem")),
            key: self.dir.path().join(format!("{name}.key")),
        };
        // The key first: until the certificate follows, the two are no pair and the old one stays.
        fs::write(&pair.key, key.serialize_pem()).unwrap();
        fs::set_permissions(&pair.key, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&pair.cert, cert.pem()).unwrap();
        pair
    }
}

/// Lets a daemon's control API be reached over the network, any port.
pub(crate) fn remote(config: &mut Config, authority: &Authority, client_ca: Option<PathBuf>) {
    let tls = authority.certify("control", "localhost");
    config.control_remote =
        Some(ControlRemote { listen: SocketAddr::from(([127, 0, 0, 1], 0)), tls, client_ca });
}

/// A daemon whose control API is on the network, too.
pub(crate) async fn daemon(authority: &Authority) -> Daemon {
    let database = Database::create().await;
    Daemon::start_with(&database, |config| remote(config, authority, None)).await
}

/// Shows a token, or nothing.
#[derive(Clone)]
pub(crate) struct Shown(Option<MetadataValue<Ascii>>);

impl Interceptor for Shown {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

pub(crate) type Wire = InterceptedService<Channel, Shown>;

/// A channel over the network, with what is shown on it.
pub(crate) async fn wire(daemon: &Daemon, ca: &Path, identity: Option<&Pair>, token: Option<&str>) -> Wire {
    let channel = connect(daemon, ca, identity).await.unwrap();
    show(channel, token)
}

pub(crate) fn show(channel: Channel, token: Option<&str>) -> Wire {
    InterceptedService::new(channel, Shown(token.map(|token| format!("Bearer {token}").parse().unwrap())))
}

pub(crate) async fn connect(
    daemon: &Daemon,
    ca: &Path,
    identity: Option<&Pair>,
) -> Result<Channel, tonic::transport::Error> {
    connect_from(Ipv4Addr::LOCALHOST.into(), daemon.control_remote().port(), ca, identity).await
}

/// The same from an address of this machine to a port of it.
pub(crate) async fn connect_from(
    address: IpAddr,
    port: u16,
    ca: &Path,
    identity: Option<&Pair>,
) -> Result<Channel, tonic::transport::Error> {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(fs::read(ca).unwrap()));
    if let Some(pair) = identity {
        tls = tls.identity(Identity::from_pem(fs::read(&pair.cert).unwrap(), fs::read(&pair.key).unwrap()));
    }
    let endpoint = Endpoint::from_shared(format!("https://localhost:{port}")).unwrap();
    endpoint.tls_config(tls).unwrap().local_address(Some(address)).connect().await
}

/// A token, made over the socket. The answer is its id and the token.
pub(crate) async fn token(daemon: &Daemon, role: Role, company: &str, masked: bool) -> (String, String) {
    let request = v1::CreateTokenRequest {
        request_id: request_id(),
        role: role.into(),
        company: company.to_owned(),
        name: format!("{role:?} {company}").trim().to_lowercase(),
        expires_in: None,
        masked,
    };
    let made = tokens(daemon).await.create_token(request).await.unwrap().into_inner();
    (made.id, made.token)
}

pub(crate) async fn tokens(daemon: &Daemon) -> TokenServiceClient<Channel> {
    TokenServiceClient::new(daemon.control().await)
}

pub(crate) fn leads(wire: &Wire) -> LeadServiceClient<Wire> {
    LeadServiceClient::new(wire.clone())
}
