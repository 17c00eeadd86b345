//! Ways to an engine: a TCP port, TLS with client certificates, `ssh`, a Docker context.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use smp_image::engine::{Credentials, DockerEngine, Endpoint, Engine as _, EngineError, Environment};
use smp_image::oci::Digest;
use tokio::net::{TcpListener, UnixStream};

use crate::proxy::Proxy;
use crate::workbench::{ALL, BASE, Which, build, listen, run, unique, variable};

/// Uses every kind of connection: questions, a hijacked build session, a raw stream to a container.
async fn works(endpoint: &Endpoint) {
    let engine = DockerEngine::connect(endpoint, Credentials::none()).unwrap();
    assert_eq!(engine.info().await.unwrap().endpoint, endpoint.to_string());
    let (events, _said) = listen();
    let built =
        engine.build(&build(&format!("FROM {BASE}\nRUN echo {}\n", unique("reach"))), &events).await.unwrap();
    assert_eq!(built.steps.run, 1);
    let mut request = run(BASE, "cat; exit 4");
    request.stdin = b"input".to_vec();
    let result = engine.run(&request).await.unwrap();
    assert_eq!((result.status, result.stdout), (4, b"input".to_vec()));
}

#[tokio::test]
async fn an_engine_works_over_a_tcp_port() {
    for which in ALL {
        let proxy = Proxy::before(&which.address()).await;
        let environment: Environment = [("DOCKER_HOST", proxy.address.as_str())].into_iter().collect();
        works(&Endpoint::find(&environment, None, None).unwrap()).await;
    }
}

#[tokio::test]
async fn the_current_docker_context_leads_to_its_engine() {
    let folder = tempfile::tempdir().unwrap();
    let meta = folder.path().join("contexts/meta").join(Digest::of("bench").hex());
    std::fs::create_dir_all(&meta).unwrap();
    let address = Which::Containerd.address();
    let text = format!(
        r#"{{"Name":"bench","Metadata":{{}},"Endpoints":{{"docker":{{"Host":"{address}","SkipTLSVerify":false}}}}}}"#
    );
    std::fs::write(meta.join("meta.json"), text).unwrap();
    std::fs::write(folder.path().join("config.json"), r#"{"currentContext":"bench"}"#).unwrap();
    let environment: Environment = [("DOCKER_CONFIG", folder.path().to_str().unwrap())].into_iter().collect();
    works(&Endpoint::find(&environment, None, None).unwrap()).await;
}

/// Makes an authority, a server's and a client's certificate in `folder`, as Docker's documentation does.
fn certificates(folder: &Path) {
    let openssl = |arguments: &str| {
        let output = std::process::Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {new} -keyout ca-key.pem -out ca.pem -days 2 -subj /CN=test-ca"));
    std::fs::write(folder.join("san"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl(&format!("req {new} -keyout server-key.pem -out server.csr -subj /CN=engine"));
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile san -out server.pem",
    );
    openssl(&format!("req {new} -keyout key.pem -out client.csr -subj /CN=client"));
    openssl(
        "x509 -req -in client.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile san -out cert.pem",
    );
}

/// Serves an engine over TLS and lets in only whom the authority knows.
async fn tls_proxy(engine: &str, folder: &Path) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()).unwrap();
    let clients =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_file(folder.join("server.pem")).unwrap()],
            PrivateKeyDer::from_pem_file(folder.join("server-key.pem")).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let socket = engine.strip_prefix("unix://").unwrap().to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, socket) = (acceptor.clone(), socket.clone());
            tokio::spawn(async move {
                let Ok(mut near) = acceptor.accept(stream).await else { return };
                let mut far = UnixStream::connect(&socket).await.unwrap();
                let _broken = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    format!("tcp://127.0.0.1:{port}")
}

#[tokio::test]
async fn an_engine_works_over_tls_with_certificates_and_refuses_without() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let address = tls_proxy(&Which::Graph.address(), folder.path()).await;
    let with = |path: &str| -> Endpoint {
        let variables =
            [("DOCKER_HOST", address.as_str()), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", path)];
        Endpoint::find(&variables.into_iter().collect(), None, None).unwrap()
    };
    works(&with(folder.path().to_str().unwrap())).await;
    // Without the authority the engine is a stranger.
    let empty = tempfile::tempdir().unwrap();
    let engine = DockerEngine::connect(&with(empty.path().to_str().unwrap()), Credentials::none()).unwrap();
    let error = engine.info().await.unwrap_err();
    assert!(matches!(&error, EngineError::Unreachable { reason, .. } if reason.contains("TLS")), "{error:?}");
}

#[tokio::test]
async fn a_certificate_without_its_key_is_named() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    std::fs::remove_file(folder.path().join("key.pem")).unwrap();
    let path = folder.path().to_str().unwrap();
    let environment: Environment =
        [("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", path)].into_iter().collect();
    let endpoint = Endpoint::find(&environment, Some("tcp://127.0.0.1:1"), None).unwrap();
    let error = DockerEngine::connect(&endpoint, Credentials::none()).err().unwrap();
    assert!(
        matches!(&error, EngineError::Endpoint(message) if message.contains("key.pem is missing")),
        "{error:?}"
    );
}

/// Runs one of the tests below in a process of its own whose `ssh` is `script`.
fn with_ssh(script: &str, test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let ssh = folder.path().join("ssh");
    std::fs::write(&ssh, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", &format!("engine::reaching::{test}"), "--nocapture"])
        .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn an_engine_works_over_ssh() {
    // The far side's half is Docker's own `dial-stdio`; only the network between is missing.
    let script = format!(
        "echo \"$*\" | grep -q -- '-p 2222 -- me@far docker system dial-stdio' || exit 9\n\
         while [ \"$1\" != docker ]; do shift; done; shift\n\
         DOCKER_HOST={} exec {} \"$@\"",
        Which::Containerd.address(),
        variable("SMP_WB_DOCKER"),
    );
    with_ssh(&script, "through_the_ssh_of_this_process");
}

#[tokio::test]
#[ignore = "started by `an_engine_works_over_ssh` with its own PATH"]
async fn through_the_ssh_of_this_process() {
    works(&Endpoint::find(&Environment::default(), Some("ssh://me@far:2222"), None).unwrap()).await;
}

#[tokio::test]
async fn what_ssh_complains_about_is_said() {
    with_ssh(
        "echo 'me@far: Permission denied (publickey).' >&2; exit 255",
        "a_far_machine_that_lets_nobody_in",
    );
}

#[tokio::test]
#[ignore = "started by `what_ssh_complains_about_is_said` with its own PATH"]
async fn a_far_machine_that_lets_nobody_in() {
    let endpoint = Endpoint::find(&Environment::default(), Some("ssh://me@far"), None).unwrap();
    let error = DockerEngine::connect(&endpoint, Credentials::none()).unwrap().info().await.unwrap_err();
    assert!(
        matches!(&error, EngineError::Unreachable { reason, .. } if reason.contains("Permission denied (publickey)")),
        "{error:?}"
    );
}
