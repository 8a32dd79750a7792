//! TLS of the doors: a certificate with its key, taken anew when the files change, so that renewing one needs no restart.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jiff::Timestamp;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};
use tokio::{
    net::TcpStream,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use super::validity::not_after;
use crate::telemetry;

/// How long a client may take to shake hands.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How often it is looked whether the files changed.
const LOOK: Duration = Duration::from_secs(1);
/// After so many looks at which they cannot be read it is said: in the middle of a renewal one may be away.
const UNREADABLE_MAX: u32 = 5;
/// After so many more it is said again: a day.
const UNREADABLE_AGAIN: u32 = 24 * 60 * 60;

/// A connection with TLS.
pub type TlsConnection = TlsStream<TcpStream>;

/// Where a certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// Why a door has no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {}", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    #[error("others may read {path}, which holds a private key: chmod 600 {path}", path = .0.display())]
    Open(PathBuf),
    #[error(
        "{} holds no certificate: give a PEM file with the server's certificate first, then those between it and its authority",
        .0.display()
    )]
    NoCertificate(PathBuf),
    #[error("{} holds no private key: give a PEM file with the key of the certificate, not encrypted", .0.display())]
    NoKey(PathBuf),
    #[error("the key {} is not that of the certificate {}: give both of one pair", .key.display(), .cert.display())]
    NoPair { cert: PathBuf, key: PathBuf },
    #[error("{} holds no authority that clients may be certified by", .0.display())]
    NoAuthority(PathBuf),
    #[error("TLS cannot be set up")]
    Setup(#[from] rustls::Error),
}

/// The TLS of one door.
#[derive(Debug)]
pub struct Tls {
    door: &'static str,
    /// Another one once the authority of clients changes.
    config: RwLock<Arc<ServerConfig>>,
    current: Arc<Current>,
    pair: Pair,
    client_ca: Option<PathBuf>,
    protocols: Vec<Vec<u8>>,
}

/// The certificate that is shown now.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl Current {
    /// Shows another certificate. False if it is the one that was shown before.
    fn turn(&self, to: Arc<CertifiedKey>) -> bool {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = current.cert != to.cert;
        *current = to;
        is_new
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// What the files held when they were read.
#[derive(PartialEq, Eq)]
struct CertificateFiles {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Tls {
    /// Reads the pair of a door; with an authority, only clients that it certified are let in. `protocols` as TLS names
    /// them, best first.
    pub fn open(
        door: &'static str,
        pair: &Pair,
        client_ca: Option<&Path>,
        protocols: &[&str],
    ) -> Result<Self, TlsError> {
        let provider = aws_lc_rs::default_provider();
        let files = read(pair, client_ca)?;
        let current = Arc::new(Current(RwLock::new(certified(pair, &files, &provider)?)));
        let client_ca = client_ca.map(Path::to_owned);
        let protocols: Vec<_> = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let config = server_config(&current, client_ca.as_deref(), &files, &protocols)?;
        Ok(Self { door, config: RwLock::new(config), current, pair: pair.clone(), client_ca, protocols })
    }

    /// What it is the certificate of.
    #[must_use]
    pub fn door(&self) -> &'static str {
        self.door
    }

    /// When the first certificate of the chain that is shown now ends; none if that cannot be read.
    #[must_use]
    pub fn not_after(&self) -> Option<Timestamp> {
        let current = self.current.0.read().unwrap_or_else(PoisonError::into_inner);
        current.cert.iter().filter_map(|certificate| not_after(certificate)).min()
    }

    fn report_end(&self) {
        if let Some(end) = self.not_after() {
            let seconds = end.as_second() as f64;
            metrics::gauge!("leadline_certificate_not_after_seconds", "door" => self.door).set(seconds);
        }
    }

    /// Shakes hands with a client.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsConnection> {
        let config = Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner));
        timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await?
    }

    /// Takes the files anew whenever they change, until told to stop. A pair that is not whole, as in the middle of a
    /// renewal, changes nothing.
    pub async fn keep_current(&self, stop: CancellationToken) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut last, mut unreadable) = (None, 0_u32);
        self.report_end();
        while stop.run_until_cancelled(look.tick()).await.is_some() {
            let seen = match read(&self.pair, self.client_ca.as_deref()) {
                Ok(seen) => seen,
                Err(error) => {
                    unreadable = unreadable.saturating_add(1);
                    if unreadable % UNREADABLE_AGAIN == UNREADABLE_MAX {
                        tracing::warn!(
                            event = "certificate_unreadable",
                            cert = %self.pair.cert.display(),
                            error = telemetry::causes(&error),
                            "a certificate, its key or the authority of clients cannot be read any more, so a new one will \
                             not be seen: let the daemon's user read them; the old one stays"
                        );
                    }
                    continue;
                }
            };
            unreadable = 0;
            if last.as_ref() == Some(&seen) {
                continue;
            }
            if let Err(error) = self.take(&seen, last.as_ref()) {
                tracing::warn!(
                    event = "certificate_unusable",
                    error = telemetry::causes(&error),
                    "a new certificate or authority cannot be used; the old one stays"
                );
            }
            last = Some(seen);
        }
    }

    /// Goes by what the files hold now, and held before if that is known.
    fn take(&self, seen: &CertificateFiles, last: Option<&CertificateFiles>) -> Result<(), TlsError> {
        let key = certified(&self.pair, seen, &aws_lc_rs::default_provider())?;
        if self.current.turn(key) {
            self.report_end();
            tracing::info!(event = "certificate_renewed", cert = %self.pair.cert.display(), "a new certificate is shown from now on");
        }
        let Some(client_ca) = self.client_ca.as_deref() else { return Ok(()) };
        if last.is_some_and(|last| last.client_ca == seen.client_ca) {
            return Ok(());
        }
        let config = server_config(&self.current, Some(client_ca), seen, &self.protocols)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        if last.is_some() {
            tracing::info!(event = "client_authority_renewed", authority = %client_ca.display(), "clients must be certified by what this file holds now");
        }
        Ok(())
    }
}

/// Whether no TLS came about because the client showed no certificate, or none of the authority's.
#[must_use]
pub fn refuses_client(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_)))
}

/// How to shake hands: with the certificate that is current, and with whom the authority of clients certified.
fn server_config(
    current: &Arc<Current>,
    client_ca: Option<&Path>,
    files: &CertificateFiles,
    protocols: &[Vec<u8>],
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match (client_ca, &files.client_ca) {
        (Some(file), Some(text)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(authorities(file, text)?, provider);
            let verifier = verifier.build().map_err(|_| TlsError::NoAuthority(file.to_owned()))?;
            builder.with_client_cert_verifier(verifier)
        }
        _ => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::clone(current) as Arc<dyn ResolvesServerCert>);
    config.alpn_protocols = protocols.to_vec();
    Ok(Arc::new(config))
}

fn read(pair: &Pair, client_ca: Option<&Path>) -> Result<CertificateFiles, TlsError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        |error| TlsError::Unreadable(path, error)
    };
    let mode = fs::metadata(&pair.key).map_err(unreadable(&pair.key))?.permissions().mode();
    if mode & 0o004 != 0 {
        return Err(TlsError::Open(pair.key.clone()));
    }
    let cert = fs::read(&pair.cert).map_err(unreadable(&pair.cert))?;
    let key = fs::read(&pair.key).map_err(unreadable(&pair.key))?;
    let client_ca = client_ca.map(|file| fs::read(file).map_err(unreadable(file))).transpose()?;
    Ok(CertificateFiles { cert, key, client_ca })
}

fn certified(
    pair: &Pair,
    CertificateFiles { cert, key, .. }: &CertificateFiles,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| TlsError::NoCertificate(pair.cert.clone()))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey(pair.key.clone()))?;
    match CertifiedKey::from_der(chain, key, provider) {
        Ok(certified) => Ok(Arc::new(certified)),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::NoPair { cert: pair.cert.clone(), key: pair.key.clone() })
        }
        Err(rustls::Error::InvalidCertificate(_)) => Err(TlsError::NoCertificate(pair.cert.clone())),
        Err(_) => Err(TlsError::NoKey(pair.key.clone())),
    }
}

fn authorities(file: &Path, text: &[u8]) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(text) {
        let added = authority.ok().and_then(|authority| roots.add(authority).ok());
        added.ok_or_else(|| TlsError::NoAuthority(file.to_owned()))?;
    }
    if roots.is_empty() {
        return Err(TlsError::NoAuthority(file.to_owned()));
    }
    Ok(Arc::new(roots))
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::{super::validity::tests::certificate, *};

    #[test]
    fn what_is_no_pair_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str, mode| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let (one, other) = (
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap(),
            rcgen::KeyPair::generate().unwrap(),
        );
        let cert = file("cert.pem", &one.cert.pem(), 0o644);
        let key = file("key.pem", &one.signing_key.serialize_pem(), 0o600);
        let open = |cert: &Path, key: &Path| {
            Tls::open("intake", &Pair { cert: cert.to_owned(), key: key.to_owned() }, None, &[])
        };
        open(&cert, &key).unwrap();
        let stranger = file("other.pem", &other.serialize_pem(), 0o640);
        let open_key = file("open.pem", &other.serialize_pem(), 0o644);
        let none = dir.path().join("none.pem");
        let shown = |path: &Path| path.display().to_string();
        for (cert, key, told) in [
            (&none, &key, format!("cannot read {}", shown(&none))),
            (&cert, &none, format!("cannot read {}", shown(&none))),
            (
                &cert,
                &open_key,
                format!("others may read {0}, which holds a private key: chmod 600 {0}", shown(&open_key)),
            ),
            (
                &key,
                &key,
                format!(
                    "{} holds no certificate: give a PEM file with the server's certificate first, then those between it and its authority",
                    shown(&key)
                ),
            ),
            (
                &cert,
                &stranger,
                format!(
                    "the key {} is not that of the certificate {}: give both of one pair",
                    shown(&stranger),
                    shown(&cert)
                ),
            ),
        ] {
            assert_eq!(open(cert, key).unwrap_err().to_string(), told);
        }
        let no_key = file("no-key.pem", &one.cert.pem(), 0o600);
        let told = "holds no private key: give a PEM file with the key of the certificate, not encrypted";
        assert_eq!(open(&cert, &no_key).unwrap_err().to_string(), format!("{} {told}", shown(&no_key)));
        let pair = Pair { cert: cert.clone(), key: key.clone() };
        let no_authority = Tls::open("intake", &pair, Some(&key), &[]).unwrap_err().to_string();
        assert_eq!(
            no_authority,
            format!("{} holds no authority that clients may be certified by", shown(&key))
        );
        Tls::open("intake", &pair, Some(&cert), &["h2"]).unwrap();
        let setup = TlsError::Setup(rustls::Error::General("x".into()));
        assert_eq!(setup.to_string(), "TLS cannot be set up");
    }

    #[test]
    fn a_certificate_file_that_is_odd_is_refused_or_read() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        let pair = Pair { cert: cert.clone(), key: key.clone() };
        let of = rcgen::KeyPair::generate().unwrap();
        fs::write(&key, of.serialize_pem()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let pem = |der: &[u8]| {
            let lines = STANDARD.encode(der);
            format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
        };
        let open = |text: String| {
            fs::write(&cert, text).unwrap();
            Tls::open("intake", &pair, None, &[]).map(|tls| tls.not_after().map(|end| end.to_string()))
        };
        let good = certificate(&of, (2031, 5, 4));
        let (cut, more) = (&good[..good.len() - 1], [&good[..], b"\0"].concat());
        for (what, text) in [
            ("a certificate that is cut off", pem(cut)),
            ("bytes behind a certificate", pem(&more)),
            ("a file that is cut off", pem(&good)[..100].to_owned()),
            ("nothing", String::new()),
        ] {
            let told = open(text).unwrap_err();
            assert!(matches!(&told, TlsError::NoCertificate(path) if *path == cert), "{what}: {told}");
        }
        for (what, text, end) in [
            ("no end", pem(&certificate(&of, (9999, 12, 31))), "9999-12-30T22:00:00Z"),
            ("an end before 1970", pem(&certificate(&of, (1960, 2, 29))), "1960-02-29T00:00:00Z"),
            ("text around it", format!("subject=x\n{}\0more", pem(&good)), "2031-05-04T00:00:00Z"),
            ("an authority that is cut off", pem(&good) + &pem(cut), "2031-05-04T00:00:00Z"),
        ] {
            assert_eq!(open(text).unwrap().as_deref(), Some(end), "{what}");
        }
    }
}
