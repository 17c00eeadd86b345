//! The plan: recipe, lock and target joined into stages, steps, expectations and smoke tests. Nothing is decided after it.

use serde::{Deserialize, Serialize};

use crate::lock::Origin;
use crate::recipe::{Component, Version};

/// What the finished image must hold; `check` looks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Expectation {
    /// The component.
    pub component: Component,
    /// Its locked version; absent where only the distribution decides it.
    pub version: Option<Version>,
    /// How it came into the image, and so where its version is written.
    pub origin: Origin,
    /// The names of the Python distributions that carry it.
    pub distributions: Vec<String>,
    /// The names of the packages of the distribution that carry it.
    pub packages: Vec<String>,
    /// The sonames of its libraries, such as `libnccl.so.2`.
    pub libraries: Vec<String>,
}

/// A smoke test that runs inside a container of the image. Its code is `probes/<name>.py`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Probe {
    /// Its name, such as `nccl-version`.
    pub name: ProbeName,
    /// What it is given, as JSON on standard input.
    pub input: serde_json::Value,
    /// Whether it needs a GPU.
    pub gpu: bool,
}

/// The probes that exist.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeName {
    /// Imports Python modules: input `{"modules": ["torch"]}`.
    Imports,
    /// Loads libraries with all symbols bound: input `{"libraries": ["libnccl.so.2"]}`.
    Libraries,
    /// Asks NCCL for its version through ctypes: input `{"version": "2.23.4"}`.
    NcclVersion,
    /// Lists libfabric's providers with `fi_info -l`: input `{"provider": "efa"}`.
    FabricProvider,
    /// Initialises the driver and makes a context: input `{}`.
    GpuContext,
    /// Runs an all-reduce on one rank: input `{}`.
    NcclOneRank,
}
