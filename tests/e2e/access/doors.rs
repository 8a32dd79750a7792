//! TLS at the intake and at the control API: certificates that are renewed, clients that must show one, and the real
//! `leadline` over the network.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use leadline_fakes::sample_lead;
use leadline_proto::v1::{
    self, Role, integration_service_client::IntegrationServiceClient,
    token_service_client::TokenServiceClient,
};
use leadline_tests::{Cli, Daemon, Database, Operator, http, leadline, request_id, wait_until};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    net::{TcpSocket, TcpStream},
    process::Command,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::{Authority, connect, connect_from, remote, show, token, wire};

fn trusting(ca: &Path, protocols: &[&str]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

/// What a server shows, and the protocol that was agreed on.
async fn shown(address: SocketAddr, ca: &Path, protocols: &[&str]) -> std::io::Result<(Vec<u8>, Vec<u8>)> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let stream = trusting(ca, protocols).connect(name, stream).await?;
    let (_, session) = stream.get_ref();
    let cert = session.peer_certificates().unwrap()[0].to_vec();
    Ok((cert, session.alpn_protocol().unwrap_or_default().to_vec()))
}

#[tokio::test]
async fn the_intake_takes_leads_in_over_tls_and_shows_a_renewed_certificate() {
    let authority = Authority::new();
    let pair = authority.certify("intake", "localhost");
    let database = Database::create().await;
    let daemon = Daemon::start_with(&database, |config| config.tls = Some(pair)).await;
    let key = Operator::new(daemon.control().await).company(7).await;
    let ca = reqwest::Certificate::from_pem(&std::fs::read(authority.file()).unwrap()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([ca]).build().unwrap();
    let port = daemon.intake().port();
    let url = format!("https://localhost:{port}/v1/leads");
    let post = client.post(url).bearer_auth(&key).header("content-type", "application/json");
    let answer = post.body(sample_lead(1).to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    // Plain HTTP is no TLS: the connection ends without an answer.
    assert!(reqwest::get(format!("http://127.0.0.1:{port}/healthz")).await.is_err());

    let (first, protocol) = shown(daemon.intake(), &authority.file(), &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(protocol, b"http/1.1", "that is what the intake speaks");
    assert!(shown(daemon.intake(), &authority.file(), &["h2"]).await.is_err());
    // A key that does not belong to the certificate changes nothing; the pair that follows does.
    authority.certify("intake", "localhost");
    wait_until("the renewed certificate is shown", async || {
        shown(daemon.intake(), &authority.file(), &[]).await.is_ok_and(|(now, _)| now != first)
    })
    .await;
    daemon.stop().await;
}

#[tokio::test]
async fn control_over_the_network_may_ask_for_a_certificate_beside_the_token() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let ours = clients.certify("ours", "console");
    let others = Authority::new();
    let strangers = others.certify("theirs", "console");
    let database = Database::create().await;
    let ca = clients.file();
    let daemon = Daemon::start_with(&database, |config| remote(config, &authority, Some(ca))).await;
    let (_, secret) = token(&daemon, Role::Viewer, "", false).await;
    for (identity, is_let_in) in [(None, false), (Some(&strangers), false), (Some(&ours), true)] {
        let who = match connect(&daemon, &authority.file(), identity).await {
            Ok(channel) => {
                let mut tokens = TokenServiceClient::new(show(channel, Some(&secret)));
                tokens.who_am_i(v1::WhoAmIRequest {}).await.map(|who| who.into_inner().operator).ok()
            }
            Err(_) => None,
        };
        assert_eq!(who.as_deref(), is_let_in.then_some("token viewer"));
    }
    // Another authority in the file is the one that counts, without a restart.
    std::fs::copy(others.file(), clients.file()).unwrap();
    let is_let_in = async |identity| {
        let Ok(channel) = connect(&daemon, &authority.file(), Some(identity)).await else { return false };
        let mut tokens = TokenServiceClient::new(show(channel, Some(&secret)));
        tokens.who_am_i(v1::WhoAmIRequest {}).await.is_ok()
    };
    wait_until("whom the new authority certified is let in", async || is_let_in(&strangers).await).await;
    assert!(!is_let_in(&ours).await, "and nobody else any more");
    daemon.stop().await;
}

/// How many wrong tokens were counted in this process.
async fn counted(daemon: &Daemon) -> f64 {
    let metrics = http().get(daemon.admin_url("/metrics")).send().await.unwrap().text().await.unwrap();
    let series = "leadline_security_total{what=\"wrong control token\"} ";
    metrics.lines().find_map(|line| line.strip_prefix(series)).map_or(0.0, |count| count.parse().unwrap())
}

/// One broken script behind an address that many share does not lock the others out.
#[tokio::test]
async fn a_token_that_is_known_is_let_in_whatever_others_of_its_address_show() {
    let authority = Authority::new();
    let daemon = super::daemon(&authority).await;
    let (id, good) = token(&daemon, Role::Viewer, "", false).await;
    let channel = connect(&daemon, &authority.file(), None).await.unwrap();
    let who = async |shown: &str| {
        let mut tokens = TokenServiceClient::new(show(channel.clone(), Some(shown)));
        tokens.who_am_i(v1::WhoAmIRequest {}).await
    };
    who(&good).await.unwrap();
    let (mut guessers, stop) = (JoinSet::new(), CancellationToken::new());
    let (before, guesses) = (counted(&daemon).await, Arc::new(AtomicU64::new(0)));
    for guesser in 0..80 {
        let (channel, stop, guesses) = (channel.clone(), stop.clone(), Arc::clone(&guesses));
        guessers.spawn(async move {
            let wrong = format!("llt_wrong{guesser}");
            let mut tokens = TokenServiceClient::new(show(channel, Some(&wrong)));
            while !stop.is_cancelled() {
                tokens.who_am_i(v1::WhoAmIRequest {}).await.unwrap_err();
                guesses.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    wait_until("tokens that are not known are not looked up any more", async || {
        who("llt_another").await.unwrap_err().code() == Code::ResourceExhausted
    })
    .await;
    for _ in 0..20 {
        assert_eq!(who(&good).await.unwrap().into_inner().operator, "token viewer");
    }
    // Known is not good for good.
    let revoke = v1::RevokeTokenRequest { request_id: request_id(), id };
    super::tokens(&daemon).await.revoke_token(revoke).await.unwrap();
    assert_eq!(who(&good).await.unwrap_err().code(), Code::Unauthenticated);
    stop.cancel();
    guessers.join_all().await;
    let (counted, guesses) = (counted(&daemon).await - before, guesses.load(Ordering::Relaxed));
    assert!(guesses > 80 && counted >= guesses as f64, "{counted} of {guesses} guesses were counted");
    daemon.stop().await;
}

/// A stream ends with the token that it was opened with: one that is revoked, and one whose time is over.
#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let authority = Authority::new();
    let daemon = super::daemon(&authority).await;
    for is_revoked in [true, false] {
        let (id, secret) = token(&daemon, Role::Operator, "", false).await;
        let wire = wire(&daemon, &authority.file(), None, Some(&secret)).await;
        let watch = v1::WatchIntegrationsRequest::default();
        let mut stream =
            IntegrationServiceClient::new(wire).watch_integrations(watch).await.unwrap().into_inner();
        assert!(stream.message().await.unwrap().is_some(), "it begins with what there is");
        if is_revoked {
            let revoke = v1::RevokeTokenRequest { request_id: request_id(), id };
            super::tokens(&daemon).await.revoke_token(revoke).await.unwrap();
        } else {
            let past = "UPDATE token SET expires_at = now() - interval '1 second' WHERE revoked_at IS NULL";
            sqlx::query(past).execute(&daemon.database().pool().await).await.unwrap();
        }
        let end = async {
            loop {
                match stream.message().await {
                    Ok(Some(_)) => {}
                    ended => break ended,
                }
            }
        };
        let ended = timeout(Duration::from_secs(30), end).await.expect("the stream goes on");
        let told = ended.unwrap_err();
        assert_eq!(told.code(), Code::Unauthenticated, "revoked {is_revoked}: {told:?}");
        let why = "this token is unknown, expired or revoked: ask an admin for a new one";
        assert_eq!(told.message(), why);
    }
    daemon.stop().await;
}

/// So many connections to the control API one address has.
const PLACES: usize = 64;

/// Shakes hands with the control API from an address of this machine.
async fn greeted(daemon: &Daemon, ca: &Path, from: [u8; 4]) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    let stream = socket.connect(daemon.control_remote()).await?;
    trusting(ca, &["h2"]).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// Whoever holds connections and shows no token takes a share of the places, and nobody else's.
#[tokio::test]
async fn connections_of_one_address_leave_others_a_place() {
    let authority = Authority::new();
    let daemon = super::daemon(&authority).await;
    let (_, secret) = token(&daemon, Role::Viewer, "", false).await;
    let (ca, port) = (authority.file(), daemon.control_remote().port());
    let mut held = Vec::new();
    for _ in 0..PLACES {
        held.push(greeted(&daemon, &ca, [127, 0, 0, 2]).await.unwrap());
    }
    assert!(greeted(&daemon, &ca, [127, 0, 0, 2]).await.is_err(), "it has its share");
    let channel = connect_from([127, 0, 0, 3].into(), port, &ca, None).await.unwrap();
    TokenServiceClient::new(show(channel, Some(&secret))).who_am_i(v1::WhoAmIRequest {}).await.unwrap();
    held.clear();
    wait_until("what it gave back is free", async || greeted(&daemon, &ca, [127, 0, 0, 2]).await.is_ok())
        .await;
    daemon.stop().await;
}

#[tokio::test]
async fn the_commands_reach_a_daemon_over_the_network_with_a_token() {
    let authority = Authority::new();
    let daemon = super::daemon(&authority).await;
    let local = Cli::new(daemon.socket());
    local.json(&["company", "create", "--name", "The Old Barn", "--plan", "pro", "--id", "7"]).await;
    let args =
        ["token", "create", "--role", "viewer", "--company", "7", "--name", "mara", "--expires", "90d"];
    let made = local.json(&args).await;
    let secret = made["token"].as_str().unwrap();
    assert_eq!((&made["role"], &made["company_id"]), (&"viewer".into(), &7.into()));
    assert!(made["expires_at"].is_string() && secret.starts_with("llt_"), "{made}");

    let server = format!("https://localhost:{}", daemon.control_remote().port());
    let run = async |args: &[&str], token: Option<&str>, ca: bool| {
        let mut command = Command::new(leadline());
        command
            .args(args)
            .env("LEADLINE_SERVER", &server)
            .env_remove("LEADLINE_TOKEN")
            .env_remove("LEADLINE_CA");
        if let Some(token) = token {
            command.env("LEADLINE_TOKEN", token);
        }
        if ca {
            command.env("LEADLINE_CA", authority.file());
        }
        let output = command.output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let (code, listed, _) = run(&["company", "list", "-o", "plain"], Some(secret), true).await;
    assert!(code == 0 && listed.contains("The Old Barn"), "{listed}");
    for (args, token, ca, code, told) in [
        (&["company", "list"][..], None, true, 77, "with `leadline token create`: --token TOKEN"),
        (&["company", "list"], Some("llt_x"), true, 77, "this token is unknown, expired or revoked"),
        (
            &["company", "create", "--name", "x", "--plan", "pro"],
            Some(secret),
            true,
            77,
            "CreateCompany needs the role admin, and token mara is viewer here: ask an admin for more",
        ),
        (
            &["system", "show"],
            Some(secret),
            true,
            77,
            "GetSystem is about all companies, and token mara sees \"The Old Barn\" only",
        ),
        (&["company", "list"], Some(secret), false, 69, "is not trusted (invalid peer certificate"),
    ] {
        let (exit, _, stderr) = run(args, token, ca).await;
        assert!(exit == code && stderr.contains(told), "{args:?}: {exit} {stderr}");
    }
    let (_, who, _) = run(&["token", "whoami", "-o", "json"], Some(secret), true).await;
    let who: serde_json::Value = serde_json::from_str(&who).unwrap();
    assert_eq!((&who["operator"], &who["masked"]), (&"token mara".into(), &true.into()));
    let listed = local.json(&["token", "list"]).await;
    assert!(listed[0]["last_used_at"].is_string() && listed[0]["token"].is_null(), "{listed}");
    local.json(&["token", "revoke", made["id"].as_str().unwrap()]).await;
    assert_eq!(run(&["company", "list"], Some(secret), true).await.0, 77);
    let audit = local.json(&["audit", "list"]).await;
    let mut acts: Vec<_> =
        audit.as_array().unwrap().iter().map(|line| line["action"].as_str().unwrap()).collect();
    acts.sort_unstable();
    assert_eq!(acts, ["CreateCompany", "CreateToken", "RevokeToken"]);
    daemon.stop().await;
}
