//! Whose fault each room's error was, and what helps: the one table.

use crate::catalog::CatalogError;
use crate::error::{Failure, Fault};
use crate::resolve::ResolveError;
use crate::resolve::upstream::UpstreamError;

/// Standard output could not be written.
pub(super) fn stdout(error: std::io::Error) -> Failure {
    Failure::said(Fault::Machine, format!("cannot write to standard output: {error}"))
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        Self::said(Fault::Defect, error.to_string())
    }
}

impl From<ResolveError> for Failure {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Recipe(error) => Self::new(Fault::Input, error),
            ResolveError::NoFit(error) => Self::new(Fault::NoFit, error),
            ResolveError::Upstream(error) => Self::from(error),
        }
    }
}

impl From<UpstreamError> for Failure {
    fn from(error: UpstreamError) -> Self {
        let message = error.to_string();
        match error {
            UpstreamError::NoUv => Self::said(Fault::Machine, message).hint("install it: `pip install uv`"),
            UpstreamError::NoWheels(_) | UpstreamError::NoSdist { .. } => Self::said(Fault::NoFit, message),
            UpstreamError::Unreachable { .. } => Self::said(Fault::Machine, message)
                .hint("with a lock at hand `--locked` asks nobody")
                .hint("behind a company's proxy set HTTPS_PROXY, and SSL_CERT_FILE to its certificates"),
            UpstreamError::NotAsked(_) => Self::said(Fault::Input, message),
            UpstreamError::Nonsense { .. } => Self::said(Fault::Machine, message),
        }
    }
}
