//! The door to what facts cannot hold: package indexes (through `uv`, run as a process), downloads, registries.

mod archive;
mod channel;
pub mod network;
pub mod offline;
mod uv;

use async_trait::async_trait;

use crate::catalog::AptArchive;
use crate::lock::{CondaFile, LockedPackage, PinnedRequirement};
use crate::oci::{Arch, Digest, Platform, Reference};
use crate::recipe::{AptPackage, ArtefactUrl, CondaPackage, Requirement, Version};

/// What can be asked of the world.
#[async_trait]
pub trait Upstream: Send + Sync {
    /// Returns one set of wheels that satisfies the question, with checksums, sorted by name.
    async fn python(&self, question: &PythonQuestion) -> Result<Vec<PinnedRequirement>, UpstreamError>;

    /// Returns the newest source distribution of `package` that `admits` takes, with its checksum.
    async fn sdist(
        &self,
        package: &str,
        admits: &(dyn for<'v> Fn(&'v Version) -> bool + Sync),
    ) -> Result<PinnedRequirement, UpstreamError>;

    /// Returns the digest of the image for `platform`, and the size of its layers where the registry states it.
    async fn image(
        &self,
        image: &Reference,
        platform: Platform,
    ) -> Result<(Digest, Option<u64>), UpstreamError>;

    /// Downloads a file once to learn its checksum and size.
    async fn download_digest(&self, url: &ArtefactUrl) -> Result<(Digest, u64), UpstreamError>;

    /// Returns the newest version of each package that the archives have; those that they do not have are left out.
    async fn apt(&self, question: &AptQuestion) -> Result<Vec<LockedPackage>, UpstreamError>;

    /// Returns whether the file of a package is still in its archive.
    async fn is_there(&self, url: &str) -> Result<bool, UpstreamError>;

    /// Returns the newest build of `package` that the first channel has which has any.
    async fn conda(
        &self,
        channels: &[ArtefactUrl],
        package: &CondaPackage,
        platform: Platform,
    ) -> Result<CondaFile, UpstreamError>;
}

/// Which wheels are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonQuestion {
    /// The requirements.
    pub requirements: Vec<Requirement>,
    /// The version of Python in the image.
    pub python: Version,
    /// The version of its C library.
    pub glibc: Version,
    /// Its platform.
    pub platform: Platform,
    /// Packages that the base has in a form of its own and that no requirement may replace, such as SMP's PyTorch.
    pub held_back: Vec<String>,
    /// Packages that stay at these versions where they still fit.
    pub preferred: Vec<PinnedRequirement>,
}

/// Which packages of a distribution are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AptQuestion {
    /// The archives.
    pub archives: Vec<AptArchive>,
    /// Whether a service has them as they were at any instant.
    pub snapshot: bool,
    /// The architecture.
    pub arch: Arch,
    /// The packages.
    pub names: Vec<AptPackage>,
}

/// Why the world did not answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// `uv` is not on this machine.
    #[error("`uv` was not found; it chooses Python packages and their checksums")]
    NoUv,
    /// `uv` found no set of wheels, or could not ask the index.
    #[error("uv found no Python packages that fit:\n{0}")]
    NoWheels(String),
    /// The package index or a server could not be asked.
    #[error("cannot ask {what}: {reason}")]
    Unreachable {
        /// What was asked.
        what: String,
        /// Why it did not answer.
        reason: String,
    },
    /// There is no such version of a package.
    #[error("no source distribution of {package} fits; the index has {known}")]
    NoSdist {
        /// The package.
        package: String,
        /// Versions that the index has, newest first.
        known: String,
    },
    /// Not asked, because the caller said so.
    #[error("{0}")]
    NotAsked(String),
    /// There is no such conda package.
    #[error("no channel has {0}")]
    NoConda(CondaPackage),
    /// What came back does not read.
    #[error("{what} answered what cannot be read: {reason}")]
    Nonsense {
        /// What was asked.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
}
