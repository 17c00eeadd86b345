//! What can go wrong between us and a registry, each with what helps.

use std::time::Duration;

use crate::oci::Platform;

/// Why a registry could not be asked, or what it answered instead of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The registry does not have it, or hides it from us.
    #[error("{reference} is not in the registry{}", after_colon(message))]
    NotFound {
        /// What was asked for.
        reference: String,
        /// What the registry said.
        message: String,
    },
    /// The registry does not take our credentials, or wants some (401, 403).
    #[error("{registry} does not let us read {repository}: status {status}{}", after_colon(message))]
    Unauthorised {
        /// The registry's host.
        registry: String,
        /// The repository in it.
        repository: String,
        /// 401 (who are you) or 403 (not you).
        status: u16,
        /// What the registry said.
        message: String,
        /// Whether credentials were sent.
        logged_in: bool,
    },
    /// The registry wants fewer requests (429), longer than we wait.
    #[error("{registry} limits our requests, also after {attempts} attempts{}", retry_after.map(|wait| format!("; it asks to wait {} s", wait.as_secs())).unwrap_or_default())]
    RateLimited {
        /// The registry's host.
        registry: String,
        /// How long it asks us to wait, if it says.
        retry_after: Option<Duration>,
        /// How often it was asked.
        attempts: u32,
    },
    /// The registry failed (5xx), every time.
    #[error("{registry} failed {attempts} times: status {status}{}", after_colon(message))]
    ServerError {
        /// The registry's host.
        registry: String,
        /// The last status.
        status: u16,
        /// What it said.
        message: String,
        /// How often it was asked.
        attempts: u32,
    },
    /// The registry refused for another reason.
    #[error("{registry} refused {doing}: status {status}{}", after_colon(message))]
    Refused {
        /// The registry's host.
        registry: String,
        /// What was asked.
        doing: String,
        /// The status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// Nothing answers there, or the connection broke.
    #[error("{registry} cannot be reached: {reason}")]
    Unreachable {
        /// The registry's host.
        registry: String,
        /// What the connection said.
        reason: String,
    },
    /// The registry's certificate is not one that this machine trusts.
    #[error("the certificate of {registry} is not trusted: {reason}")]
    Certificate {
        /// The registry's host.
        registry: String,
        /// What was wrong with it.
        reason: String,
    },
    /// The registry said nothing, or not enough, for too long.
    #[error("{registry} did not answer {doing} within {} s", limit.as_secs_f64())]
    TimedOut {
        /// The registry's host.
        registry: String,
        /// What was asked.
        doing: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// What came is not what was asked for: another digest, another type, too large.
    #[error("{registry} gave something else for {reference}: {what}")]
    Lying {
        /// The registry's host.
        registry: String,
        /// What was asked for.
        reference: String,
        /// What came.
        what: String,
    },
    /// The image is there, but not for this platform.
    #[error("{reference} is not made for {wanted}; it is made for {}", found.join(", "))]
    OtherPlatform {
        /// The image.
        reference: String,
        /// What was asked for.
        wanted: Platform,
        /// What it is made for.
        found: Vec<String>,
    },
    /// Certificates that we were given cannot be used.
    #[error("the trusted certificates cannot be used: {0}")]
    Trust(String),
}

impl RegistryError {
    /// Returns whether the registry does not let us in.
    pub fn is_authorisation(&self) -> bool {
        matches!(self, Self::Unauthorised { .. })
    }

    /// Returns what helps, in sentences for a person; empty where nothing is known to.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::NotFound { reference, .. } => {
                format!(
                    "check the spelling of {reference}; a registry also answers so for a private repository that the login may not see"
                )
            }
            Self::Unauthorised { registry, logged_in: false, .. } => {
                format!(
                    "no credentials were sent: run `docker login {registry}`, or check the name (some registries answer so for a repository that does not exist)"
                )
            }
            Self::Unauthorised { registry, status: 401, .. } => {
                format!(
                    "the credentials were refused: run `docker login {registry}` again; tokens expire (Amazon ECR: after 12 hours)"
                )
            }
            Self::Unauthorised { repository, .. } => {
                format!("the login is known but may not read {repository}: ask its owner for permission")
            }
            Self::RateLimited { registry, .. } => {
                format!("log in to {registry} for a higher limit, use a mirror (`--mirror`), or wait")
            }
            Self::ServerError { registry, .. } => format!("this is {registry}'s fault; try again later"),
            Self::Unreachable { registry, .. } => {
                format!(
                    "check the network, HTTPS_PROXY and NO_PROXY; a mirror of {registry} can be named with `--mirror`"
                )
            }
            Self::Certificate { .. } => {
                "name your organisation's certificates with `--ca-bundle FILE` or in SSL_CERT_FILE".to_owned()
            }
            Self::TimedOut { registry, .. } => {
                format!("check the network and any proxy between here and {registry}, then try again")
            }
            Self::Lying { registry, .. } => {
                format!(
                    "something between here and {registry} changes what it sends (a proxy, a login page, a broken mirror), or the name is no image"
                )
            }
            Self::OtherPlatform { found, .. } => {
                format!("choose an image that is made for the platform, or build for {}", found.join(" or "))
            }
            Self::Refused { .. } => return Vec::new(),
            Self::Trust(_) => "give a PEM file with at least one certificate".to_owned(),
        };
        vec![hint]
    }
}

/// Returns `: text`, or nothing for no text.
fn after_colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
