//! Binary interfaces: what NCCL and its plugin speak, which driver a CUDA needs, for which GPUs a library holds code.

use serde::{Deserialize, Serialize};

use super::Fact;
use crate::recipe::{Component, Version, VersionRange};

/// Versions of a plugin interface, both ends included; written `[5, 8]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "[u32; 2]", into = "String")]
pub struct ApiRange {
    oldest: u32,
    newest: u32,
}

impl ApiRange {
    /// Returns the newest version that both sides speak; NCCL takes that one.
    pub fn common(self, other: Self) -> Option<u32> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }
}

impl TryFrom<[u32; 2]> for ApiRange {
    type Error = String;

    fn try_from([oldest, newest]: [u32; 2]) -> Result<Self, String> {
        if oldest > newest {
            return Err(format!("[{oldest}, {newest}] is not `[oldest, newest]`"));
        }
        Ok(Self { oldest, newest })
    }
}

impl From<ApiRange> for String {
    fn from(range: ApiRange) -> Self {
        range.to_string()
    }
}

impl std::fmt::Display for ApiRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}", self.oldest, self.newest)
    }
}

/// The plugin interfaces that NCCL accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NcclAbi {
    /// The versions of NCCL.
    pub nccl: VersionRange,
    /// Versions of the network interface.
    pub net: ApiRange,
    /// Versions of the tuner interface; empty where there is none.
    pub tuner: Vec<u32>,
    /// Versions of the GPU-initiated network interface.
    #[serde(default)]
    pub gin: Vec<u32>,
    /// Versions of the remote-memory interface.
    #[serde(default)]
    pub rma: Vec<u32>,
    /// Where this comes from.
    pub fact: Fact,
}

/// The plugin interfaces that aws-ofi-nccl offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PluginAbi {
    /// The versions of aws-ofi-nccl.
    pub aws_ofi_nccl: VersionRange,
    /// Versions of the network interface.
    pub net: ApiRange,
    /// Versions of the tuner interface; empty where there is none.
    pub tuner: Vec<u32>,
    /// Versions of the GPU-initiated network interface.
    #[serde(default)]
    pub gin: Vec<u32>,
    /// Versions of the remote-memory interface.
    #[serde(default)]
    pub rma: Vec<u32>,
    /// The versions of NCCL with which its notes say it was tested.
    pub tested_nccl: Option<VersionRange>,
    /// The names of its files.
    pub libraries: Vec<String>,
    /// Unversioned libraries that it opens as it loads; runtime images often lack them.
    #[serde(default)]
    pub opens: Vec<String>,
    /// Where this comes from.
    pub fact: Fact,
}

/// The drivers that a CUDA runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CudaDriver {
    /// The versions of CUDA.
    pub cuda: VersionRange,
    /// The versions of the NVIDIA driver.
    pub driver: VersionRange,
    /// Where this comes from.
    pub fact: Fact,
}

/// For which GPUs the public binaries of a component hold code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GpuCode {
    /// The component.
    pub component: Component,
    /// Its versions.
    pub versions: VersionRange,
    /// The CUDA for which the binary is built, where binaries differ by it.
    pub cuda: Option<VersionRange>,
    /// Compute capabilities with machine code, without the dot. Code of 80 runs on 80, 86 and 89, never on 90.
    pub sm: Vec<u32>,
    /// Compute capabilities with machine code of a variant that runs only there (`90a`) or within a family (`100f`).
    #[serde(default)]
    pub variants: Vec<String>,
    /// Compute capabilities with PTX that the driver can compile for that GPU or a newer one.
    #[serde(default)]
    pub ptx: Vec<u32>,
    /// Where this comes from.
    pub fact: Fact,
}

impl GpuCode {
    /// Returns whether this row speaks of `version` for `cuda`.
    pub fn concerns(&self, component: Component, version: &Version, cuda: Option<&Version>) -> bool {
        let cuda_fits = match (&self.cuda, cuda) {
            (Some(range), Some(cuda)) => range.admits(cuda),
            _ => true,
        };
        self.component == component && self.versions.admits(version) && cuda_fits
    }
}
