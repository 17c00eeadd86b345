//! Why a push failed, whose fault it was and what helps.

use super::distribution::RegistryError;
use super::ecr::EcrError;
use crate::engine::EngineError;
use crate::oci::{Digest, Profile};

/// Why an image is not, or not as wanted, in the registry.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// AWS did not do its part.
    #[error(transparent)]
    Ecr(#[from] EcrError),
    /// The registry could not be asked what it has.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The engine could not push.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The tag names another image and cannot be moved.
    #[error(
        "{reference} names another image already ({there}) and its repository keeps tags where they are; nothing was pushed"
    )]
    TagImmutable {
        /// The image with its tag.
        reference: String,
        /// The digest that the tag names.
        there: Digest,
    },
    /// The image was pushed, and then the registry did not show it.
    #[error("{reference} was pushed, but what arrived cannot be verified: {source}")]
    Unverified {
        /// The image with its tag.
        reference: String,
        /// Why not.
        source: RegistryError,
    },
    /// The registry holds something other than what was pushed.
    #[error("{reference} is not the image that was pushed: {what}")]
    Differs {
        /// The image with its tag.
        reference: String,
        /// What is different.
        what: String,
    },
    /// The image is in the registry, in a form that its users do not take.
    #[error("{reference} is in the registry but does not fit {}: {}", profile_name(*profile), faults.join("; "))]
    Unfit {
        /// The image with its tag.
        reference: String,
        /// For whom it was pushed.
        profile: Profile,
        /// What stands against it.
        faults: Vec<String>,
    },
}

impl PushError {
    /// Returns whether a registry or AWS does not let us in, as opposed to a push that failed.
    pub fn is_authorisation(&self) -> bool {
        match self {
            Self::Ecr(error) => error.is_authorisation(),
            Self::Registry(error) | Self::Unverified { source: error, .. } => error.is_authorisation(),
            Self::Engine(error) => {
                matches!(error, EngineError::Unauthorised { .. } | EngineError::Credentials { .. })
            }
            Self::TagImmutable { .. } | Self::Differs { .. } | Self::Unfit { .. } => false,
        }
    }

    /// Returns what helps, in sentences for a person; empty where nothing is known to.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Ecr(error) => error.hints(),
            Self::Registry(error) | Self::Unverified { source: error, .. } => error.hints(),
            Self::Engine(EngineError::Unauthorised { registry, .. }) => vec![format!(
                "run `docker login {registry}`, or ask the owner of the repository for permission to push"
            )],
            Self::Engine(EngineError::Registry { registry, .. }) => vec![format!(
                "{registry} did not take it: look at what it says, then try again; what it has of the layers already is not sent again"
            )],
            Self::Engine(_) => Vec::new(),
            Self::TagImmutable { .. } => vec![
                "choose a new tag: a tag of this repository names one image for ever".to_owned(),
                "or let the repository move tags (`aws ecr put-image-tag-mutability`), if nobody relies on them".to_owned(),
            ],
            Self::Differs { .. } => vec![
                "somebody else pushed the same tag at the same time, or a proxy changes what it stores: push again, under a tag of your own".to_owned(),
            ],
            Self::Unfit { profile: Profile::SageMaker, .. } => vec![
                "build it with `--for sagemaker`, so that the engine writes one Docker manifest with gzip layers and no attestations".to_owned(),
            ],
            Self::Unfit { profile: Profile::Oci, .. } => {
                vec!["build it for one platform (`--arch`) and push it again".to_owned()]
            }
        }
    }
}

fn profile_name(profile: Profile) -> &'static str {
    match profile {
        Profile::SageMaker => "SageMaker",
        Profile::Oci => "container runtimes",
    }
}
