//! A server of one's own behind a network shows who it is, or gets nothing: neither leads nor a password. The names here
//! lead to loopback, whatever the certificates say.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
};

use leadline_fakes::sample_lead;
use leadline_tests::{ChildDaemon, Operator, figure, leadlined, post_lead, wait_until};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::failover::{Server, workplace};

/// The file of a new authority, which certifies the server for a name.
fn authority(dir: &Path, name: &str, certified: Option<(&Server, &str)>) -> PathBuf {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let file = dir.join(format!("{name}.pem"));
    fs::write(&file, issuer.pem()).unwrap();
    let Some((server, host)) = certified else { return file };
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec![host.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let owner = fs::metadata(&server.dir).unwrap();
    for (name, text) in [("server.key", key.serialize_pem()), ("server.crt", cert.pem())] {
        let path = server.dir.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    file
}

/// What a daemon says that will not work with this URL.
fn refusal(dir: &TempDir, url: &str) -> String {
    let mut command = Command::new(leadlined());
    command.arg("--data-dir").arg(dir.path()).args(["--intake-listen=127.0.0.1:0", "--admin-listen=off"]);
    command.arg(format!("--database-url={url}")).env_remove("PGSSLMODE");
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    told.lines().last().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_believed_by_its_name_and_its_authority_alone() {
    let _machine = crate::shared().await;
    let (dir, files) = (workplace(), tempfile::tempdir().unwrap());
    let server = Server::primary(dir.path());
    let url = |host: &str, more: &str| {
        format!("postgres://leadline:hunter2@{host}:{}/postgres?{more}", server.port)
    };
    let full =
        |host: &str, ca: &Path| url(host, &format!("sslmode=verify-full&sslrootcert={}", ca.display()));

    // Nobody falls back to clear text. `127.1` is this machine in words that are not taken for it.
    let stranger = authority(files.path(), "stranger", None);
    for clear in [full("localhost", &stranger), url("127.1", ""), url("localhost", "sslmode=require")] {
        let told = refusal(&files, &clear);
        assert!(told.contains("speaks no TLS: give it a certificate (ssl = on)"), "{clear}: {told}");
    }

    let ours = authority(files.path(), "ours", Some((&server, "localhost")));
    server.ask("ALTER SYSTEM SET ssl = on").await;
    server.ask("ALTER SYSTEM SET log_connections = on").await;
    server.ask("SELECT pg_reload_conf()").await;
    let encrypted = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    wait_until("it speaks TLS", async || server.ask(encrypted).await == "true").await;
    let unknown = "shows no certificate that is trusted: name the one of its authority";
    for (refused, why, cause) in [
        (full("127.0.0.1", &ours), "shows a certificate for another name: name the server", "localhost"),
        (full("localhost", &stranger), unknown, "UnknownIssuer"),
        (url("localhost", "sslmode=verify-full"), unknown, "UnknownIssuer"),
        (url("localhost", "sslmode=verify-ca"), unknown, "UnknownIssuer"),
        (url("127.1", ""), unknown, ""),
        (
            full("localhost", Path::new("/no/such/ca.pem")),
            "cannot read a file that --database-url names",
            "No such",
        ),
    ] {
        let told = refusal(&files, &refused);
        assert!(told.contains(why) && told.contains(cause) && !told.contains("hunter2"), "{refused}: {told}");
    }
    let several =
        full("127.0.0.1,localhost", &stranger).replace("127.0.0.1,", &format!("127.0.0.1:{},", server.port));
    let told = refusal(&files, &several);
    assert!(told.contains("takes writes: ") && told.contains(unknown), "{told}");
    let named = || fs::read_to_string(server.dir.join("log")).unwrap().contains("application_name=leadlined");
    let case = "a server of one's own behind a network";
    // A daemon that believes no server tells it not even who it is.
    figure(case, "servers that it does not believe and tells who it is", f64::from(u8::from(named())), 0.0);

    let database = format!("--database-url={}", full("localhost", &ours));
    let mut daemon = ChildDaemon::start(None, &[&database]).await;
    let key = Operator::new(daemon.control().await).company(7).await;
    assert_eq!(post_lead(&daemon.url("/v1/leads"), &key, sample_lead(1).to_string()).await.0, 202);
    let doubtful = "SELECT count(*)::text FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                    WHERE application_name LIKE 'leadlined%' AND NOT ssl";
    let in_clear: f64 = server.ask(doubtful).await.parse().unwrap();
    figure(case, "connections that are not encrypted", in_clear, 0.0);
    assert!(named(), "the server writes down who comes");
    assert_eq!(daemon.stop().await, Some(0));
}
