//! Why a database cannot be used, told from what passes by itself, each with what to do about it.

use std::{io, path::PathBuf};

use rustix::io::Errno;
use rustls::CertificateError;
use sqlx::postgres::PgConnectOptions;

use super::{PATIENCE, is_socket};
use crate::secrets::master_key::MasterKeyError;

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error(
        "--database-url is no URL of a PostgreSQL database, such as postgres://user:password@host/database"
    )]
    Url(#[source] sqlx::Error),
    #[error("{server} did not answer within {} s: start it, or correct --database-url", PATIENCE.as_secs())]
    Away {
        server: String,
        #[source]
        source: Option<sqlx::Error>,
    },
    #[error("none of {servers} takes writes: start or promote one, or correct --database-url")]
    NoneWrites {
        servers: String,
        /// What is to be done about one of them.
        #[source]
        source: Option<Box<Self>>,
    },
    #[error(
        "{0} does not keep what is set for a session, as a pooler between it and the daemon would not: name PostgreSQL \
         itself in --database-url; a daemon has 22 connections at most"
    )]
    Pooler(String),
    #[error(
        "{server} shows no certificate that is trusted: name the one of its authority in --database-url \
         (sslrootcert=FILE), or say sslmode=disable there if the network is yours alone"
    )]
    Tls {
        server: String,
        #[source]
        source: sqlx::Error,
    },
    #[error(
        "{server} shows a certificate for another name: name the server in --database-url as its certificate does"
    )]
    OtherName {
        server: String,
        #[source]
        source: sqlx::Error,
    },
    #[error(
        "{0} speaks no TLS: give it a certificate (ssl = on), or say sslmode=disable in --database-url if the network is \
         yours alone"
    )]
    NoTls(String),
    #[error(
        "{server} cannot be asked: the daemon's user cannot read a file that --database-url names (sslrootcert, sslcert, \
         sslkey)"
    )]
    File {
        server: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("{server} refused the connection: correct --database-url")]
    Refused {
        server: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("the schema cannot be brought up to date: run the newest leadlined that has used this database")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    #[error("the database refused a statement of the set-up")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    #[error(
        "this database is sealed with another master key than {path}: copy the file master.key of the daemon that \
         set it up (its data directory), or the one that it was rotated to last, to {path}", path = .0.display()
    )]
    OtherKey(PathBuf),
    #[error(
        "the master key is being rotated, and {path} does not hold the one before: copy the file that `leadlined \
         master-key rotate` writes to {path}, or wait until it has finished", path = .0.display()
    )]
    HalfTheKeys(PathBuf),
    #[error(
        "this database is sealed with a master key, and there is no file {path}: copy the file master.key of the daemon \
         that set it up (its data directory) to {path}", path = .0.display()
    )]
    NoKey(PathBuf),
}

/// An error that may pass, as of a server that is away or still starting; of every other, what is to be done about it.
pub(in crate::postgres) fn passing(
    options: &PgConnectOptions,
    source: sqlx::Error,
) -> Result<sqlx::Error, SetupError> {
    let server = describe(options);
    if is_pooler(&source) {
        return Err(SetupError::Pooler(server));
    }
    match &source {
        // The driver's own words for a server that answers a question about TLS with no.
        sqlx::Error::Tls(why) if why.to_string() == "server does not support TLS" => {
            Err(SetupError::NoTls(server))
        }
        sqlx::Error::Tls(_) => Err(SetupError::Tls { server, source }),
        sqlx::Error::Io(error) => match error.get_ref().and_then(|error| error.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Err(SetupError::OtherName { server, source }),
            Some(rustls::Error::InvalidCertificate(_)) => Err(SetupError::Tls { server, source }),
            Some(_) => Err(SetupError::Refused { server, source }),
            None if is_of_a_file(options, error) => Err(SetupError::File { server, source }),
            None => Ok(source),
        },
        sqlx::Error::Database(_) if may_pass(&source) => Ok(source),
        _ => Err(SetupError::Refused { server, source }),
    }
}

/// Whether an error is of a file that a URL names, and not of the network: its certificates are read at each connection.
fn is_of_a_file(options: &PgConnectOptions, error: &io::Error) -> bool {
    let is_denied = Errno::from_io_error(error) == Some(Errno::ACCESS);
    !is_socket(options) && (is_denied || error.kind() == io::ErrorKind::NotFound)
}

/// PgBouncer takes no settings of a session along, and says so.
fn is_pooler(error: &sqlx::Error) -> bool {
    let told = error.as_database_error().map(|error| error.message());
    told.is_some_and(takes_no_settings)
}

fn takes_no_settings(told: &str) -> bool {
    told.contains("unsupported startup parameter")
}

fn may_pass(error: &sqlx::Error) -> bool {
    // 53 out of connections, 57P starting up or shutting down.
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code.starts_with("53") || code.starts_with("57P"))
}

/// The server as an error names it: everything but the password.
pub(super) fn describe(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => options.get_host().to_owned(),
    };
    format!("database {database} on {host}, port {},", options.get_port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::setup::parse_url;

    #[test]
    fn what_passes_is_told_from_what_somebody_has_to_mend() {
        let sort = |url: &str, error| passing(&parse_url(url).unwrap(), error);
        let (far, near) = ("postgres://ann@db.example/leads", "postgres:///leads?host=/run/pg&user=ann");
        let io = |kind: io::ErrorKind| sqlx::Error::Io(kind.into());
        let tls =
            |fault| sqlx::Error::Io(io::Error::new(io::ErrorKind::InvalidData, rustls::Error::from(fault)));
        assert!(sort(far, io(io::ErrorKind::ConnectionRefused)).is_ok(), "it may still be starting");
        assert!(sort(near, io(io::ErrorKind::NotFound)).is_ok(), "there is no socket yet");
        assert!(matches!(sort(far, io(io::ErrorKind::NotFound)), Err(SetupError::File { .. })));
        assert!(matches!(sort(far, tls(CertificateError::UnknownIssuer)), Err(SetupError::Tls { .. })));
        assert!(matches!(
            sort(far, tls(CertificateError::NotValidForName)),
            Err(SetupError::OtherName { .. })
        ));
        let none = sqlx::Error::Tls("server does not support TLS".into());
        assert!(matches!(sort(far, none), Err(SetupError::NoTls(_))));
    }

    #[test]
    fn a_pooler_is_known_by_what_it_says() {
        assert!(takes_no_settings("unsupported startup parameter: options"));
        assert!(!takes_no_settings("password authentication failed"));
    }

    #[test]
    fn each_trouble_says_what_to_do() {
        let (server, key) = (|| "database leads on db".to_owned(), || PathBuf::from("/data/master.key"));
        for (error, told) in [
            (
                SetupError::Url(sqlx::Error::PoolClosed),
                "--database-url is no URL of a PostgreSQL database, such as postgres://user:password@host/database",
            ),
            (
                SetupError::Away { server: server(), source: None },
                "database leads on db did not answer within 10 s: start it, or correct --database-url",
            ),
            (
                SetupError::NoneWrites { servers: "a:5432, b:5433".to_owned(), source: None },
                "none of a:5432, b:5433 takes writes: start or promote one, or correct --database-url",
            ),
            (
                SetupError::Pooler(server()),
                "database leads on db does not keep what is set for a session, as a pooler between it and the daemon \
                 would not: name PostgreSQL itself in --database-url; a daemon has 22 connections at most",
            ),
            (
                SetupError::Tls { server: server(), source: sqlx::Error::PoolClosed },
                "database leads on db shows no certificate that is trusted: name the one of its authority in \
                 --database-url (sslrootcert=FILE), or say sslmode=disable there if the network is yours alone",
            ),
            (
                SetupError::OtherName { server: server(), source: sqlx::Error::PoolClosed },
                "database leads on db shows a certificate for another name: name the server in --database-url as its \
                 certificate does",
            ),
            (
                SetupError::NoTls(server()),
                "database leads on db speaks no TLS: give it a certificate (ssl = on), or say sslmode=disable in \
                 --database-url if the network is yours alone",
            ),
            (
                SetupError::File { server: server(), source: sqlx::Error::PoolClosed },
                "database leads on db cannot be asked: the daemon's user cannot read a file that --database-url names \
                 (sslrootcert, sslcert, sslkey)",
            ),
            (
                SetupError::Refused { server: server(), source: sqlx::Error::PoolClosed },
                "database leads on db refused the connection: correct --database-url",
            ),
            (
                SetupError::Migrate(sqlx::migrate::MigrateError::VersionMissing(99)),
                "the schema cannot be brought up to date: run the newest leadlined that has used this database",
            ),
            (SetupError::Database(sqlx::Error::PoolClosed), "the database refused a statement of the set-up"),
            (
                SetupError::OtherKey(key()),
                "this database is sealed with another master key than /data/master.key: copy the file master.key of the \
                 daemon that set it up (its data directory), or the one that it was rotated to last, to /data/master.key",
            ),
            (
                SetupError::HalfTheKeys(key()),
                "the master key is being rotated, and /data/master.key does not hold the one before: copy the file that \
                 `leadlined master-key rotate` writes to /data/master.key, or wait until it has finished",
            ),
            (
                SetupError::NoKey(key()),
                "this database is sealed with a master key, and there is no file /data/master.key: copy the file \
                 master.key of the daemon that set it up (its data directory) to /data/master.key",
            ),
        ] {
            assert_eq!(error.to_string(), told);
        }
    }
}
