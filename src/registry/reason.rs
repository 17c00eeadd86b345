//! What lies at the bottom of an error of a connection, and which certificates a bundle has.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// Returns the innermost reason of an error, which says what the outer ones hide.
pub(super) fn root(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Returns what is wrong with the other side's certificate, if that is why the connection failed.
pub(super) fn certificate_fault(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut current: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = current {
        let tls = inner.downcast_ref::<rustls::Error>().or_else(|| {
            let wrapped = inner.downcast_ref::<std::io::Error>()?.get_ref()?;
            wrapped.downcast_ref::<rustls::Error>()
        });
        if let Some(rustls::Error::InvalidCertificate(fault)) = tls {
            return Some(match fault {
                rustls::CertificateError::UnknownIssuer => {
                    "it is signed by an authority that this machine does not know".to_owned()
                }
                other => other.to_string(),
            });
        }
        current = inner.source();
    }
    None
}

/// Checks that `pem` has certificates, all of them readable; the reason if not.
pub(super) fn check_bundle(pem: &[u8]) -> Result<(), String> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("the bundle is no PEM file: {error}"))?;
        roots
            .add(certificate)
            .map_err(|error| format!("a certificate of the bundle cannot be read: {error}"))?;
    }
    if roots.is_empty() { Err("the bundle has no PEM certificate".to_owned()) } else { Ok(()) }
}
