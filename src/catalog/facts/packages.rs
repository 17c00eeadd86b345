//! Where components come from: Python packages, source archives, single files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Fact;
use crate::oci::Digest;
use crate::recipe::{AptPackage, ArtefactUrl, Component, EnvName, LocalPath, Version};

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
    /// Packages that its modules open by name and that nothing requires, each of whatever version fits.
    #[serde(default)]
    pub beside: Vec<String>,
    /// Packages of the same version as the leader that exist only as source and need PyTorch.
    #[serde(default)]
    pub sdists: Vec<String>,
    /// Packages that what is compiled of it imports, and from which version of the component on. They are asked for by name: `uv` reads
    /// the requirements of a source distribution only by building it.
    #[serde(default)]
    pub imports: BTreeMap<String, Version>,
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
    /// Links below site-packages under which a module of it looks for another package, and where each leads, seen from its folder.
    #[serde(default)]
    pub links: BTreeMap<LocalPath, LocalPath>,
    /// Where it finds the headers of CUDA, with which it compiles kernels as it runs.
    pub headers: Option<Headers>,
    /// The sonames of its libraries that a program opens.
    #[serde(default)]
    pub libraries: Vec<String>,
    /// The Python modules that it brings.
    #[serde(default)]
    pub modules: Vec<String>,
    /// Those that it brings where it is compiled for PyTorch.
    #[serde(default)]
    pub extensions: Vec<String>,
    /// From which version on its libraries and modules need the NVIDIA driver's library as they load; never where absent.
    pub driver_at_load: Option<Version>,
    /// Where this comes from.
    pub fact: Fact,
}

/// Headers that a component looks for as it runs, brought by a Python package of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Headers {
    /// The package that brings them.
    pub package: String,
    /// Their folder below site-packages.
    pub folder: LocalPath,
    /// The variable by which the component is told of it.
    pub variable: EnvName,
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
