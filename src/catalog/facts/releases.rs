//! Releases: what exists of each component, and what a release brings along.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Fact;
use crate::oci::Digest;
use crate::recipe::{Component, Version, VersionRange};

/// Versions of a component that exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Release {
    /// The component.
    pub component: Component,
    /// Versions of it.
    pub versions: Vec<Version>,
    /// Where this comes from.
    pub fact: Fact,
}

/// A release of PyTorch: what its Linux x86-64 wheels on the Python package index ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PytorchRelease {
    /// Its version.
    pub version: Version,
    /// Its date, where found.
    pub released: Option<String>,
    /// The NCCL that the wheel asks for.
    pub nccl: Option<Version>,
    /// The cuDNN that the wheel asks for.
    pub cudnn: Option<Version>,
    /// The CUDA for which the wheel is built.
    pub cuda: Option<Version>,
    /// The versions of Python for which there are wheels.
    pub python: Option<VersionRange>,
    /// Where this comes from.
    pub fact: Fact,
}

/// A release of AWS's EFA installer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EfaRelease {
    /// Its version.
    pub version: Version,
    /// Its date, where found.
    pub released: Option<String>,
    /// The libfabric inside, where stated.
    pub libfabric: Option<String>,
    /// The rdma-core inside, where stated.
    pub rdma_core: Option<String>,
    /// The kernel driver inside, where stated; it counts on nodes, not in images.
    pub driver: Option<String>,
    /// The Open MPI inside, where stated.
    pub openmpi: Option<String>,
    /// The aws-ofi-nccl inside; none before 1.38.0.
    pub plugin: Option<String>,
    /// The checksum of the tarball, where published.
    pub sha256: Option<Digest>,
    /// What else the notes say that matters here.
    pub notes: Option<String>,
    /// Where this comes from.
    pub fact: Fact,
}

/// A release of SMP v2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SmpRelease {
    /// Its version.
    pub version: Version,
    /// Its date.
    pub released: String,
    /// The documented tag of its image. Tags move: pin the digest.
    pub tag: String,
    /// What its image carries, where stated.
    pub carries: BTreeMap<Component, Version>,
    /// Further Python packages in its image, where stated.
    #[serde(default)]
    pub libraries: BTreeMap<String, Version>,
    /// Versions of the `SageMaker` Python SDK that know it, where stated.
    pub sdk: Option<VersionRange>,
    /// The tag by which the SDK means it, where the SDK knows it; the SDK puts the SMP version first, the documentation PyTorch's.
    pub sdk_tag: Option<String>,
    /// Tags that name the SMP version in full and do not move.
    #[serde(default)]
    pub long_tags: Vec<String>,
    /// Where this comes from.
    pub fact: Fact,
}

/// A release of Transformer Engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TransformerEngineRelease {
    /// Its version; the facts hold for later ones up to the next row.
    pub version: Version,
    /// Its date, where found.
    pub released: Option<String>,
    /// The oldest CUDA.
    pub cuda: VersionRange,
    /// The oldest cuDNN, where stated.
    pub cudnn: Option<VersionRange>,
    /// The versions of PyTorch, where stated.
    pub pytorch: Option<VersionRange>,
    /// The versions of Python, where stated.
    pub python: Option<VersionRange>,
    /// The versions of flash-attn that it accepts.
    pub flash_attn: VersionRange,
    /// Where this comes from.
    pub fact: Fact,
}

/// Where the images of SMP are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SmpRegistry {
    /// The account of the registry.
    pub account: String,
    /// The repository.
    pub repository: String,
    /// The regions in which it is there.
    pub regions: Vec<String>,
    /// Where this comes from.
    pub fact: Fact,
}
