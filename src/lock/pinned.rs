//! What is pinned one by one: images, files, packages of Python, of the distribution, of conda.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Pin;
use crate::oci::{Digest, Reference};
use crate::recipe::{AptPackage, ArtefactUrl, BadValue, CondaPackage, Requirement, Version};

/// An image by name, and by content where its registry could be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedImage {
    /// The name.
    #[serde(with = "reference")]
    pub image: Reference,
    /// The digest of the manifest for the platform, or of the index that holds it.
    pub digest: Pin<Digest>,
    /// The size of its layers in bytes as the registry keeps them, where it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// A file to download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artefact {
    /// Where it is.
    pub url: ArtefactUrl,
    /// Its checksum; a build stops where it is unresolved.
    pub sha256: Pin<Digest>,
    /// Its size in bytes.
    pub size: Pin<u64>,
}

/// A Python package at one version, with the checksums of the files that may be installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedRequirement {
    /// Name and version as `name==version`.
    pub requirement: Requirement,
    /// Checksums, sorted. Empty where the index could not be asked; a build then stops.
    pub hashes: Vec<Digest>,
    /// The size of the largest of these files in bytes, where the index states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Whether it exists only as source and is built in a stage of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub source: bool,
}

impl PinnedRequirement {
    /// Returns the version that the requirement is pinned to.
    pub fn version(&self) -> Option<Version> {
        self.requirement.as_str().split_once("==").and_then(|(_, version)| version.trim().parse().ok())
    }

    /// Returns the name of the package, without extras, as it is written.
    pub fn package(&self) -> &str {
        self.requirement.package()
    }
}

/// A package of the base's distribution that stays in the image, at the version that its archive had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPackage {
    /// Its name.
    pub name: AptPackage,
    /// Its version; where it is not known, the build takes what its archive has on that day.
    pub version: Pin<AptVersion>,
    /// The file in the archive, where the version is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PackageFile>,
}

/// The file of a Debian package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageFile {
    /// Where it is, as the archive's index says; apt itself looks where the image's own sources point.
    pub url: String,
    /// Its checksum.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// An instant at which the archive had it, as the distribution's snapshot service names instants (`20261121T091544Z`); absent
    /// where there is no such service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
}

/// What conda is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conda {
    /// Channels, the first wins.
    pub channels: Vec<ArtefactUrl>,
    /// The packages that are asked for by name, each with what the channels have of it.
    #[serde(rename = "package")]
    pub packages: Vec<LockedConda>,
}

/// A conda package as it is asked for, and the one build that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedConda {
    /// `name=version=build`, where the build may end in `*`.
    pub asked: CondaPackage,
    /// What was found.
    pub found: Pin<CondaFile>,
}

/// One build of a conda package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CondaFile {
    /// `name=version=build`, exactly.
    pub package: CondaPackage,
    /// The name of its file in the channel.
    pub file: String,
    /// Its checksum.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// A version of a Debian package (Debian policy 5.6.12), ordered as Debian orders them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AptVersion(String);

impl FromStr for AptVersion {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let plain = text.starts_with(|c: char| c.is_ascii_digit())
            && text.len() <= 128
            && text.chars().all(|c| c.is_ascii_alphanumeric() || ".+-:~".contains(c));
        if plain {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadValue::new(text, "a version of a Debian package"))
        }
    }
}

impl fmt::Display for AptVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl PartialOrd for AptVersion {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for AptVersion {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Debian takes some different texts for equal (`1.0` and `1.00`); an order that agrees with `Eq` must not.
        deb_version::compare_versions(&self.0, &other.0).then_with(|| self.0.cmp(&other.0))
    }
}

impl Serialize for AptVersion {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AptVersion {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// References as text.
mod reference {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::oci::Reference;

    pub(super) fn serialize<S: Serializer>(reference: &Reference, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&reference.whole())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Reference, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_versions_are_ordered_as_dpkg_orders_them() {
        // Each older than the next, by `dpkg --compare-versions` (Debian policy 5.6.12).
        let ascending =
            ["1.0~rc1-1", "1.0-1", "1.0-1+deb13u1", "1.0-1+deb13u2", "1.0-2", "1.9", "1.10", "1:0.1"];
        for pair in ascending.windows(2) {
            let version = |text: &str| text.parse::<AptVersion>().unwrap();
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn nothing_that_could_leave_its_place_is_a_debian_version() {
        for text in ["", "a1", "1 2", "1;id", "1$(id)", "1\n", "1\"", "-1", "1=2"] {
            assert!(text.parse::<AptVersion>().is_err(), "{text:?}");
        }
    }
}
