//! Where the packages of a distribution come from.

use serde::{Deserialize, Serialize};

use super::row::Row;
use super::{Catalog, Fact, Os};
use crate::oci::Arch;
use crate::recipe::Component;

/// The archives of a distribution, as the sources of its images point at them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Apt {
    /// `ID` of `/etc/os-release`.
    pub os: String,
    /// `VERSION_ID` of `/etc/os-release`.
    pub version: String,
    /// The archives.
    pub archives: Vec<AptArchive>,
    /// Whether a service has the archives as they were at any instant.
    #[serde(default)]
    pub snapshot: bool,
    /// Where this comes from.
    pub fact: Fact,
}

/// One archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AptArchive {
    /// The folder that holds `dists/`.
    pub url: String,
    /// The only architecture that it has; every one where absent.
    pub arch: Option<String>,
    /// Its suites.
    pub suites: Vec<String>,
    /// Its components; the first that has a package is enough.
    pub components: Vec<String>,
}

impl Row for Apt {
    fn subject(&self) -> String {
        format!("{} {}", self.os, self.version)
    }

    fn fact(&self) -> &Fact {
        &self.fact
    }

    fn about(&self) -> Vec<Component> {
        vec![Component::Os]
    }
}

impl Catalog {
    /// Returns the archives of `os`, those that have packages for `arch`, and whether snapshots of them are kept.
    pub fn archives_of(&self, os: &Os, arch: Arch) -> Option<(Vec<AptArchive>, bool)> {
        let apt = self.apt.iter().find(|apt| apt.os == os.id && apt.version == os.version)?;
        let has = |archive: &&AptArchive| archive.arch.as_deref().is_none_or(|only| only == arch.name());
        Some((apt.archives.iter().filter(has).cloned().collect(), apt.snapshot))
    }
}
