//! TLS: one configuration for all, so that a target's session is resumed whoever pushes to it.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore, ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::{LONG, listen, local, pool, request};
use crate::push::{
    Client, PUSH_CAP,
    connect::Dialer,
    resolver::{Reach, Resolver, SystemNames},
    secured,
};

/// A target's end, and a client that trusts it.
fn secure_pair() -> (TlsAcceptor, Client) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let local = local();
    let resolver = Resolver::new(SystemNames::default(), local.egress.clone(), Reach::Permitted);
    let secure = Dialer::new(resolver, Some(secured(client)));
    (TlsAcceptor::from(Arc::new(server)), Client { secure, ..local })
}

#[tokio::test]
async fn the_second_integration_at_a_target_resumes_the_session_of_the_first() {
    let (listener, address) = listen().await;
    let (target, client) = secure_pair();
    let request = request(&format!("https://{address}/"));
    let receiver = async {
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let mut stream = target.accept(listener.accept().await.unwrap().0).await.unwrap();
            kinds.push(stream.get_ref().1.handshake_kind().unwrap());
            let mut text = Vec::new();
            while !text.ends_with(b"{}") {
                assert!(stream.read_buf(&mut text).await.unwrap() > 0);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        }
        kinds
    };
    let calls = async {
        for pool in [pool(), pool()] {
            assert_eq!(client.http(&pool, &request, LONG, PUSH_CAP).await.unwrap().status, 200);
        }
    };
    let (kinds, ()) = tokio::join!(receiver, calls);
    assert!(matches!(kinds[..], [HandshakeKind::Full, HandshakeKind::Resumed]), "{kinds:?}");
}
