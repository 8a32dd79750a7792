//! How a daemon is reached: where it is, and over the network with what.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
    transport::{Certificate, ClientTlsConfig, Identity},
};

use super::ClientError;

/// What the command line says of it. What it does not say, the environment does.
#[derive(Clone, Default)]
pub struct Reach {
    pub server: Option<String>,
    pub token: Option<String>,
    pub token_file: Option<PathBuf>,
    /// The authority of a certificate of one's own.
    pub ca: Option<PathBuf>,
    /// A certificate of ours and its key, where the daemon asks for one.
    pub client_cert: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
    /// The environment says nothing more of it: its token is for another daemon.
    pub is_whole: bool,
}

// A token is not for logs.
impl std::fmt::Debug for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reach").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Reach {
    /// The daemon at a server, with nothing else.
    #[must_use]
    pub fn at(server: Option<String>) -> Self {
        Self { server, ..Self::default() }
    }

    /// What is shown with every call over the network.
    pub(super) fn bearer(&self) -> Result<Bearer, ClientError> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.trim().is_empty());
        let said = match (&self.token, &self.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(file)) => Some(first_line(file)?),
            (None, None) if self.is_whole => None,
            (None, None) => match (variable("LEADLINE_TOKEN"), variable("LEADLINE_TOKEN_FILE")) {
                (Some(token), _) => Some(token),
                (None, Some(file)) => Some(first_line(Path::new(&file))?),
                (None, None) => None,
            },
        };
        let Some(token) = said else { return Ok(Bearer(None)) };
        let value = format!("Bearer {}", token.trim()).parse();
        let mut value: MetadataValue<Ascii> = value.map_err(|_| {
            ClientError::Usage("that is no token: give one as `leadline token create` shows it".to_owned())
        })?;
        value.set_sensitive(true);
        Ok(Bearer(Some(value)))
    }

    /// Whom to trust, and what to show.
    pub(super) fn tls(&self) -> Result<ClientTlsConfig, ClientError> {
        let tls = ClientTlsConfig::new();
        let ca = || env::var_os("LEADLINE_CA").filter(|_| !self.is_whole).map(PathBuf::from);
        let ca = self.ca.clone().or_else(ca);
        let tls = match ca {
            Some(file) => tls.ca_certificate(Certificate::from_pem(read(&file)?)),
            None => tls.with_native_roots(),
        };
        match (&self.client_cert, &self.client_key) {
            (Some(cert), Some(key)) => Ok(tls.identity(Identity::from_pem(read(cert)?, read(key)?))),
            (None, None) => Ok(tls),
            _ => Err(ClientError::Usage(
                "--client-cert and --client-key belong together: give both".to_owned(),
            )),
        }
    }
}

fn read(file: &Path) -> Result<String, ClientError> {
    let unreadable =
        |error: io::Error| ClientError::Usage(format!("cannot read {}: {error}", file.display()));
    fs::read_to_string(file).map_err(unreadable)
}

fn first_line(file: &Path) -> Result<String, ClientError> {
    Ok(read(file)?.lines().next().unwrap_or_default().to_owned())
}

/// Shows the token with every call.
#[derive(Clone, Debug, Default)]
pub(super) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(reach: &Reach) -> Result<Option<String>, String> {
        let request = reach.bearer().map_err(|error| error.to_string())?.call(Request::new(())).unwrap();
        let shown = request.metadata().get("authorization");
        Ok(shown.map(|value| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn a_token_comes_from_the_line_or_a_file_and_is_not_printed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        fs::write(&file, "llt_file\nmore\n").unwrap();
        let token = |text: &str| Reach { token: Some(text.to_owned()), ..Reach::default() };
        assert_eq!(shown(&token("llt_line")).unwrap().unwrap(), "Bearer llt_line");
        assert!(!format!("{:?}", token("llt_line")).contains("llt"));
        let from_file = Reach { token_file: Some(file), ..Reach::default() };
        assert_eq!(shown(&from_file).unwrap().unwrap(), "Bearer llt_file");
        assert_eq!(
            shown(&token("a\nb")).unwrap_err(),
            "that is no token: give one as `leadline token create` shows it"
        );
        let none = Reach { token_file: Some("/no/such/file".into()), ..Reach::default() };
        assert_eq!(
            shown(&none).unwrap_err(),
            "cannot read /no/such/file: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn half_a_pair_is_refused() {
        let half = Reach { client_cert: Some("/a".into()), ..Reach::default() };
        assert_eq!(
            half.tls().unwrap_err().to_string(),
            "--client-cert and --client-key belong together: give both"
        );
    }
}
