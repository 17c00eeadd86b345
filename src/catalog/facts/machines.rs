//! What images run on: instance types, their GPUs, the images of the nodes, and what each family asks of an image.

use serde::{Deserialize, Serialize};

use super::Fact;
use crate::recipe::{Component, Version, VersionRange};

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

/// A GPU's data-sheet figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Gpu {
    /// Its name, as [`Instance::gpu`] has it.
    pub name: String,
    /// Compute capability without the dot.
    pub sm: u32,
    /// Memory bandwidth in GB/s.
    pub memory_bandwidth: Option<f32>,
    /// Dense bf16 tensor throughput in TFLOPS, without sparsity; absent where it has none.
    pub bf16_tflops: Option<f32>,
    /// Where this comes from.
    pub fact: Fact,
}

/// Which bus bandwidth an all-reduce of NCCL reaches inside one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BusBandwidth {
    /// The GPU's name, as [`Instance::gpu`] has it.
    pub gpu: String,
    /// How many of them the node has.
    pub gpus: u32,
    /// The bandwidth in GB/s, as nccl-tests counts it.
    pub bus: f32,
    /// Where this comes from.
    pub fact: Fact,
}

/// An image of nodes, such as a `HyperPod` AMI: what the node provides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NodeImage {
    /// Its series, such as `hyperpod-eks-1.3`.
    pub name: String,
    /// The release within the series.
    pub version: Version,
    /// The NVIDIA driver.
    pub driver: Version,
    /// The CUDA toolkit on the node.
    pub cuda: Version,
    /// The EFA installer that the node has.
    pub efa: Version,
    /// The kernel.
    pub kernel: Version,
    /// The versions of Kubernetes for which it exists.
    pub kubernetes: VersionRange,
    /// The day of the first release of the series.
    pub released: String,
    /// Until when it is supported, as stated: a day or a month.
    pub supported_until: Option<String>,
    /// Where this comes from.
    pub fact: Fact,
}

/// What instances ask of a component, where the image has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct InstanceNeeds {
    /// The instances: a name, or the beginning of names before a `*`, such as `ml.p6-b200.*`.
    pub instances: String,
    /// The component.
    pub component: Component,
    /// Its versions that run there.
    pub versions: VersionRange,
    /// Why, as one sentence.
    pub because: String,
    /// Whether it runs without, but not well: then it only warns.
    #[serde(default)]
    pub advice: bool,
    /// Where this comes from.
    pub fact: Fact,
}

impl InstanceNeeds {
    /// Returns whether `instance` is one of those meant.
    pub fn concerns(&self, instance: &str) -> bool {
        match self.instances.strip_suffix('*') {
            Some(beginning) => instance.starts_with(beginning),
            None => instance == self.instances,
        }
    }
}
