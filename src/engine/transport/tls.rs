//! TLS to an engine, with Docker's files: `ca.pem`, `cert.pem`, `key.pem`.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::net::TcpStream;

use super::{Duplex, chain};
use crate::engine::EngineError;
use crate::engine::endpoint::Tls;

/// Wraps TCP connections to one host.
pub(super) struct Connector {
    connector: tokio_rustls::TlsConnector,
    name: ServerName<'static>,
}

impl Connector {
    /// Reads the files of `tls`.
    ///
    /// # Errors
    /// Where a file is there but cannot be read, or only one of certificate and key is there.
    pub(super) fn new(host: &str, tls: &Tls) -> Result<Self, EngineError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            EngineError::Endpoint(format!("`{host}` is no host name that a certificate could carry"))
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| EngineError::Endpoint(error.to_string()))?;
        let builder = if tls.verify {
            builder.with_root_certificates(roots(tls.folder.as_deref())?)
        } else {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider)))
        };
        let config = match identity(tls.folder.as_deref())? {
            Some((certificates, key)) => builder
                .with_client_auth_cert(certificates, key)
                .map_err(|error| EngineError::Endpoint(format!("cert.pem and key.pem: {error}")))?,
            None => builder.with_no_client_auth(),
        };
        Ok(Self { connector: Arc::new(config).into(), name })
    }

    pub(super) async fn connect(&self, stream: TcpStream) -> io::Result<Box<dyn Duplex>> {
        let stream = self.connector.connect(self.name.clone(), stream).await;
        stream
            .map(|stream| Box::new(stream) as Box<dyn Duplex>)
            .map_err(|error| io::Error::other(format!("the TLS handshake failed: {}", chain(&error))))
    }
}

/// Returns the authorities of the system and, if it is there, of `ca.pem`, as Docker does.
fn roots(folder: Option<&Path>) -> Result<RootCertStore, EngineError> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = folder.map(|folder| folder.join("ca.pem")).filter(|path| path.exists()) {
        for certificate in certificates(&path)? {
            store.add(certificate).map_err(|error| fault(&path, &error))?;
        }
    }
    Ok(store)
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(folder: Option<&Path>) -> Result<Option<Identity>, EngineError> {
    let Some(folder) = folder else { return Ok(None) };
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    match (certificate.exists(), key.exists()) {
        (false, false) => Ok(None),
        (true, true) => {
            let secret = PrivateKeyDer::from_pem_file(&key).map_err(|error| fault(&key, &error))?;
            Ok(Some((certificates(&certificate)?, secret)))
        }
        (true, false) => Err(EngineError::Endpoint(format!("{} is missing beside cert.pem", key.display()))),
        (false, true) => {
            Err(EngineError::Endpoint(format!("{} is missing beside key.pem", certificate.display())))
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, EngineError> {
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|error| fault(path, &error))
}

fn fault(path: &Path, error: &dyn std::error::Error) -> EngineError {
    EngineError::Endpoint(format!("{}: {error}", path.display()))
}

/// Takes any certificate: what `DOCKER_TLS` without `DOCKER_TLS_VERIFY`, or a context's `SkipTLSVerify`, asks for.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
