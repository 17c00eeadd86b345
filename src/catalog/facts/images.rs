//! Base images: what they are and what they carry.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Fact;
use crate::oci::Arch;
use crate::recipe::{Component, Version};

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
    /// How the distribution is known, where that is less sure than the rest.
    pub os_fact: Option<Fact>,
    /// What it carries; of a tag that moved, what its last release carries.
    pub carries: BTreeMap<Component, Version>,
    /// The SMP releases that this tag meant over time, oldest first, where it moved.
    #[serde(default)]
    pub was: Vec<Version>,
    /// Whether `/opt/nvidia/nvidia_entrypoint.sh` is there, by which the EFA installer takes it for an NGC image.
    #[serde(default)]
    pub nvidia_entrypoint: bool,
    /// Whether compilers and CUDA headers are there.
    #[serde(default)]
    pub devel: bool,
    /// The processor architectures for which it is published; empty where nothing says.
    #[serde(default)]
    pub archs: Vec<Arch>,
    /// How these are known, where that is less sure than the rest.
    pub archs_fact: Option<Fact>,
    /// Where this comes from.
    pub fact: Fact,
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
