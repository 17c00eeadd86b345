//! Networks with a certificate authority and a proxy of their own: registry and AWS are reached, or it is told why not.

use std::sync::Arc;

use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use smp_image::oci::{Digest, Reference, media_type};
use smp_image::registry::distribution::{Distribution, Limits, RegistryError};
use smp_image::registry::ecr::{Ecr, EcrError};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::fake_ecr::{manifest, settings};
use super::in_an_environment;

/// A host that only the proxy knows.
const HOST: &str = "registry.example";

/// Reads the head of a request.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// Answers one connection to the proxy: it leads to a registry whose certificate is signed by the private authority.
async fn serve(mut stream: TcpStream, tls: TlsAcceptor) {
    assert!(head(&mut stream).await.starts_with(&format!("CONNECT {HOST}:443 ")));
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    // A client that does not trust us goes away here.
    let Ok(mut stream) = tls.accept(stream).await else { return };
    head(&mut stream).await;
    let body = manifest(Digest::of("config"), "application/vnd.docker.image.rootfs.diff.tar.gzip");
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        media_type::DOCKER_MANIFEST,
        body.len()
    );
    let _gone = stream.write_all(&[head.as_bytes(), &body].concat()).await;
    let _gone = stream.shutdown().await;
}

/// Returns the authority's certificate and a server's configuration with a certificate that it signed.
fn authority() -> (String, rustls::ServerConfig) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = authority.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::from_params(&authority, &key);
    let server_key = rcgen::KeyPair::generate().unwrap();
    let server =
        rcgen::CertificateParams::new([HOST.to_owned()]).unwrap().signed_by(&server_key, &issuer).unwrap();
    let server_key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config =
        config.with_no_client_auth().with_single_cert(vec![server.der().clone()], server_key).unwrap();
    (certificate.pem(), config)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_authority_is_trusted_where_it_was_named_and_nowhere_else() {
    let (pem, config) = authority();
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("ca.pem");
    tokio::fs::write(&bundle, pem).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let tls = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, tls.clone()));
        }
    });
    let bundle = bundle.to_str().unwrap().to_owned();
    tokio::task::spawn_blocking(move || {
        let proxy = ("HTTPS_PROXY", proxy.as_str());
        in_an_environment("registry::tls::it_is_not_trusted", &[proxy]);
        in_an_environment("registry::tls::the_machine_trusts_it", &[proxy, ("SSL_CERT_FILE", &bundle)]);
        in_an_environment(
            "registry::tls::the_bundle_makes_it_trusted",
            &[proxy, ("SMP_TEST_BUNDLE", &bundle)],
        );
    })
    .await
    .unwrap();
}

/// Asks registry and AWS, each trusting `bundle` besides the machine's certificates.
async fn ask(bundle: Option<Vec<u8>>) -> (Result<Digest, RegistryError>, EcrError) {
    let reference: Reference = format!("{HOST}/team/app:1").parse().unwrap();
    let limits = Limits { attempts: 1, ..Limits::default() };
    let answer = Distribution::new(limits, bundle.clone()).resolve(&reference, None).await;
    let mut settings = settings(&format!("https://{HOST}"));
    settings.ca_bundle = bundle;
    settings.limits.attempt = std::time::Duration::from_secs(10);
    settings.limits.call = std::time::Duration::from_secs(30);
    let login = Ecr::open(&settings, None).await.unwrap().login().await;
    (answer.map(|resolved| resolved.digest), login.unwrap_err())
}

#[tokio::test]
#[ignore = "run by a_private_authority_is_trusted_where_it_was_named_and_nowhere_else, with its proxy"]
async fn it_is_not_trusted() {
    let (registry, aws) = ask(None).await;
    let registry = registry.unwrap_err();
    assert!(matches!(registry, RegistryError::Certificate { .. }), "{registry:?}");
    assert!(registry.hints()[0].contains("--ca-bundle"));
    assert!(matches!(aws, EcrError::Certificate { .. }), "{aws:?}");
}

#[tokio::test]
#[ignore = "run by a_private_authority_is_trusted_where_it_was_named_and_nowhere_else, with its proxy"]
async fn the_machine_trusts_it() {
    is_trusted(None).await;
}

#[tokio::test]
#[ignore = "run by a_private_authority_is_trusted_where_it_was_named_and_nowhere_else, with its proxy"]
async fn the_bundle_makes_it_trusted() {
    #[expect(clippy::disallowed_methods, reason = "what the test before this process says to it")]
    let bundle = std::fs::read(std::env::var("SMP_TEST_BUNDLE").unwrap()).unwrap();
    is_trusted(Some(bundle)).await;
}

async fn is_trusted(bundle: Option<Vec<u8>>) {
    let (registry, aws) = ask(bundle).await;
    registry.unwrap();
    // It answers as a registry, which is no answer of AWS: but it was heard.
    assert!(matches!(aws, EcrError::Protocol { .. }), "{aws:?}");
}
