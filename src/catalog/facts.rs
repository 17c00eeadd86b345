//! The shapes of facts. Each carries its source, its date and how sure we are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::oci::{Arch, Digest};
use crate::recipe::{AptPackage, ArtefactUrl, Component, LocalPath, Version, VersionRange};

/// Where a fact comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// A public reference.
    pub source: String,
    /// The day on which it was read, `YYYY-MM-DD`.
    pub date: String,
    /// How sure we are.
    pub confidence: Confidence,
}

/// How sure we are of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Read in the primary source.
    Documented,
    /// Derived by a command over primary sources.
    Computed,
    /// An official page, read as republished elsewhere.
    SecondHand,
    /// A community file. May only warn.
    Community,
    /// Our own conclusion. May only warn.
    Inferred,
}

impl Confidence {
    /// Returns whether a fact of this confidence may fail a build.
    pub fn may_fail(self) -> bool {
        matches!(self, Self::Documented | Self::Computed | Self::SecondHand)
    }
}

/// A SageMaker instance type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Instance {
    /// Its name, such as `ml.p5.48xlarge`.
    pub name: String,
    /// The GPU's marketing name, such as `H100`.
    pub gpu: String,
    /// GPUs per instance.
    pub gpus: u32,
    /// Compute capability without the dot, such as 90.
    pub sm: u32,
    /// Memory per GPU in MiB.
    pub gpu_memory: u64,
    /// EFA devices.
    pub efa: u32,
    /// Network in Gbit/s.
    pub network: f32,
    /// What its EFA devices do without the CPU.
    pub rdma: Rdma,
    /// Where this comes from.
    pub fact: Fact,
}

/// What EFA devices do without the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rdma {
    /// There is no EFA device.
    NoEfa,
    /// Send and receive only; `FI_EFA_USE_DEVICE_RDMA=1` aborts the process.
    None,
    /// RDMA read.
    Read,
    /// RDMA read and write.
    ReadWrite,
    /// Nothing citable says.
    Unknown,
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
    /// The aws-ofi-nccl inside; none before 1.38.0.
    pub plugin: Option<String>,
    /// The checksum of the tarball, where published.
    pub sha256: Option<Digest>,
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
    /// Where this comes from.
    pub fact: Fact,
}

/// A release of Transformer Engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TransformerEngineRelease {
    /// Its version; the facts hold for later ones up to the next row.
    pub version: Version,
    /// The oldest CUDA.
    pub cuda: VersionRange,
    /// The versions of flash-attn that it accepts.
    pub flash_attn: VersionRange,
    /// Where this comes from.
    pub fact: Fact,
}

/// A base image: what it is and what it carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BaseImage {
    /// Registry and repository. A `*` stands for one part of the registry's host, such as the region.
    pub repository: String,
    /// The beginning of the tag.
    pub tag: String,
    /// Its distribution.
    pub os: Os,
    /// What it carries.
    pub carries: BTreeMap<Component, Version>,
    /// Whether `/opt/nvidia/nvidia_entrypoint.sh` is there, by which the EFA installer takes it for an NGC image.
    #[serde(default)]
    pub nvidia_entrypoint: bool,
    /// Whether compilers and CUDA headers are there.
    #[serde(default)]
    pub devel: bool,
    /// The processor architectures for which it is published.
    #[serde(default = "every_arch")]
    pub archs: Vec<Arch>,
    /// Where this comes from.
    pub fact: Fact,
}

fn every_arch() -> Vec<Arch> {
    vec![Arch::Amd64, Arch::Arm64]
}

impl BaseImage {
    /// Returns whether `registry/repository:tag` is such an image.
    pub fn fits(&self, registry: &str, repository: &str, tag: &str) -> bool {
        let Some((host, path)) = self.repository.split_once('/') else { return false };
        let same_host = host.split('.').count() == registry.split('.').count()
            && host
                .split('.')
                .zip(registry.split('.'))
                .all(|(pattern, part)| pattern == "*" || pattern == part);
        same_host && path == repository && tag.starts_with(&self.tag)
    }
}

/// A distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Os {
    /// `debian`, `ubuntu`, `amzn`: `ID` of `/etc/os-release`.
    pub id: String,
    /// `13`, `22.04`: `VERSION_ID` of `/etc/os-release`.
    pub version: String,
    /// The version of its C library, by which wheels are chosen.
    pub glibc: Version,
    /// The version of Python that its `python3` package is.
    pub python: Version,
}

/// The Python packages that bring a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Packages {
    /// The component.
    pub component: Component,
    /// For which CUDA; for every one where absent.
    pub cuda: Option<u64>,
    /// The package whose version is the component's.
    pub leader: String,
    /// Further packages that belong to it, resolved beside it.
    #[serde(default)]
    pub wheels: Vec<String>,
    /// Packages of the same version as the leader that exist only as source and need PyTorch.
    #[serde(default)]
    pub sdists: Vec<String>,
    /// Whether the leader itself is only a source distribution.
    #[serde(default)]
    pub compiled: bool,
    /// Python packages that compiling it needs.
    #[serde(default)]
    pub build: Vec<String>,
    /// Packages of the distribution that it needs at run time.
    #[serde(default)]
    pub apt: Vec<AptPackage>,
    /// Folders of its libraries below site-packages that the loader must search.
    #[serde(default)]
    pub folders: Vec<LocalPath>,
    /// The sonames of its libraries that a program opens.
    #[serde(default)]
    pub libraries: Vec<String>,
    /// The Python modules that it brings.
    #[serde(default)]
    pub modules: Vec<String>,
    /// From which version on its libraries and modules need the NVIDIA driver's library as they load; never where absent.
    pub driver_at_load: Option<Version>,
    /// Where this comes from.
    pub fact: Fact,
}

/// A source archive or single file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Archive {
    /// The component.
    pub component: Component,
    /// Its version.
    pub version: Version,
    /// Where it is.
    pub url: ArtefactUrl,
    /// Its checksum, where a public source states it.
    pub sha256: Option<Digest>,
    /// Its size in bytes, where stated.
    pub size: Option<u64>,
    /// Where this comes from.
    pub fact: Fact,
}
