//! Packages as a Dockerfile asks for them: at one version, with what proves that it came.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::PlanError;
use crate::lock::{AptVersion, CondaFile, LockedPackage, PinnedRequirement};
use crate::oci::Digest;
use crate::recipe::{AptPackage, BadValue, ImagePath, Requirement};

/// A Python package at one version, with the checksums of its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PinnedPackage {
    /// `name==version`.
    #[schemars(with = "String")]
    pub requirement: Requirement,
    /// The checksums of the files that may be installed; at least one.
    pub hashes: Vec<Digest>,
}

impl TryFrom<&PinnedRequirement> for PinnedPackage {
    type Error = PlanError;

    fn try_from(pinned: &PinnedRequirement) -> Result<Self, PlanError> {
        if pinned.hashes.is_empty() {
            return Err(PlanError::Unhashed { requirement: pinned.requirement.to_string() });
        }
        Ok(Self { requirement: pinned.requirement.clone(), hashes: pinned.hashes.clone() })
    }
}

/// A package of the distribution as apt is asked for it: `name=version`, or `name` where the lock knows no version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct AptRequest {
    /// The package.
    pub name: AptPackage,
    /// Its version.
    pub version: Option<AptVersion>,
}

impl From<&LockedPackage> for AptRequest {
    fn from(locked: &LockedPackage) -> Self {
        Self { name: locked.name.clone(), version: locked.version.known().cloned() }
    }
}

impl fmt::Display for AptRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}={version}", self.name),
            None => self.name.fmt(f),
        }
    }
}

impl From<AptRequest> for String {
    fn from(request: AptRequest) -> Self {
        request.to_string()
    }
}

impl TryFrom<String> for AptRequest {
    type Error = BadValue;

    fn try_from(text: String) -> Result<Self, BadValue> {
        let (name, version) = match text.split_once('=') {
            Some((name, version)) => (name, Some(version.parse()?)),
            None => (text.as_str(), None),
        };
        Ok(Self { name: name.parse()?, version })
    }
}

/// What conda writes of a package that it installed, and the checksum that must stand in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CondaRecord {
    /// Its file.
    #[schemars(with = "String")]
    pub path: ImagePath,
    /// The checksum of the package, in 64 hexadecimal digits.
    pub sha256: String,
}

impl CondaRecord {
    /// Returns the record of `found` in the environment at `prefix`.
    pub(super) fn of(found: &CondaFile, prefix: &ImagePath) -> Result<Self, PlanError> {
        let name = found.package.as_str().replace('=', "-");
        Ok(Self { path: format!("{prefix}/conda-meta/{name}.json").parse()?, sha256: found.sha256.hex() })
    }
}
