//! What a caller may say about AWS: who, where, how long to wait.

use std::time::Duration;

use crate::engine::Secret;

/// How AWS is reached.
#[derive(Debug, Clone, Default)]
pub struct AwsSettings {
    /// The profile in `~/.aws`; absent: what `AWS_PROFILE` says, else `default`.
    pub profile: Option<String>,
    /// The region; absent: from the destination, the environment, the profile or the instance, in this order.
    pub region: Option<String>,
    /// Where the credentials come from.
    pub keys: Keys,
    /// The address of every AWS service that is asked; absent: AWS's own, or what `AWS_ENDPOINT_URL` and its kin say.
    pub endpoint: Option<String>,
    /// Certificates (PEM) that are trusted beside the machine's own.
    pub ca_bundle: Option<Vec<u8>>,
    /// How long is waited.
    pub limits: AwsLimits,
}

/// Where credentials come from.
#[derive(Debug, Clone, Default)]
pub enum Keys {
    /// From where AWS tools look: environment, profile (also SSO and credential processes), web identity, container role, instance
    /// role.
    #[default]
    Chain,
    /// From the caller.
    Given {
        /// The ID of the access key.
        id: String,
        /// Its secret.
        secret: Secret,
        /// The token of temporary credentials.
        session: Option<Secret>,
    },
}

/// How long AWS is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AwsLimits {
    /// For a connection to stand.
    pub connect: Duration,
    /// For one attempt of a call.
    pub attempt: Duration,
    /// For a call with all its attempts.
    pub call: Duration,
    /// For credentials to be found; a credential process may ask a person.
    pub credentials: Duration,
    /// For the metadata service of an instance, which on most machines is not there.
    pub metadata: Duration,
}

impl Default for AwsLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            attempt: Duration::from_secs(15),
            call: Duration::from_secs(45),
            credentials: Duration::from_mins(2),
            metadata: Duration::from_secs(3),
        }
    }
}
