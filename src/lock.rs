//! The lock: one set of versions that fits together, with the checksum of everything that a build will download.
//!
//! On disk a lock is TOML with a format version; [`Lock::parse`] turns the wire form into a checked value, so that bad data never
//! becomes a [`Lock`]. What could not be asked (the digest of an image in a registry out of reach) is a [`Pin::Unresolved`] with
//! its reason, never an invented value.

mod pin;

use serde::{Deserialize, Serialize};

pub use pin::Pin;

use crate::oci::{Digest, Platform, Reference};
use crate::recipe::{AptPackage, ArtefactUrl, Component, CondaPackage, Name, Requirement, Source, Version};

/// The format that this tool writes. A higher `version` is refused; a higher `revision` only adds what may be ignored.
pub const VERSION: u32 = 1;
/// The revision within [`VERSION`].
pub const REVISION: u32 = 0;

const HEADER: &str = "# Written by `smp-image lock`. Do not edit: change the recipe and lock again.\n";

/// One set of versions that fits together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The recipe that was locked.
    pub recipe: RecipeId,
    /// The revision of the catalogue whose facts were used.
    pub catalog: String,
    /// What the image is made for.
    pub platform: Platform,
    /// The base image.
    pub base: LockedImage,
    /// The base of stages that compile, where it is another.
    pub devel: Option<LockedImage>,
    /// Packages of the base's distribution beyond the components.
    pub packages: Vec<AptPackage>,
    /// Python packages beyond the components, with everything that they pull in.
    pub python: Vec<PinnedRequirement>,
    /// Python packages that stages need to build what exists only as source; never in the image.
    pub build: Vec<PinnedRequirement>,
    /// The components, in the order of [`Component::ALL`].
    pub components: Vec<LockedComponent>,
}

/// Which recipe a lock belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeId {
    /// Its name.
    pub name: Name,
    /// The digest of its text.
    pub digest: Digest,
}

/// An image by name, and by content where its registry could be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedImage {
    /// The name.
    #[serde(with = "reference")]
    pub image: Reference,
    /// The digest of the manifest for the platform, or of the index that holds it.
    pub digest: Pin<Digest>,
}

/// A component with its version and everything that installs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedComponent {
    /// The component.
    pub name: Component,
    /// Its version. Unresolved where a distribution decides it when it is asked.
    pub version: Pin<Version>,
    /// How it comes into the image.
    pub origin: Origin,
    /// Why this version: one sentence with its source.
    pub reason: String,
    /// Packages of the base's distribution.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<AptPackage>,
    /// Python wheels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wheels: Vec<PinnedRequirement>,
    /// Python source distributions that are compiled in a build stage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sdists: Vec<PinnedRequirement>,
    /// Conda packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conda: Option<Conda>,
    /// Files to download.
    #[serde(default, rename = "artefact", skip_serializing_if = "Vec::is_empty")]
    pub artefacts: Vec<Artefact>,
}

/// How a component comes into the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The base image carries it.
    Base,
    /// Packages of the base's distribution.
    Apt,
    /// Python wheels.
    Wheels,
    /// Python wheels and a source distribution that is compiled.
    Sdist,
    /// AWS's EFA installer.
    Installer,
    /// Another component brings it (the plugin inside the EFA installer, cuDNN with PyTorch).
    Bundled,
    /// A source archive that is compiled.
    Archive,
    /// A conda channel.
    Conda,
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
    /// Whether it exists only as source and is built in a stage of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub source: bool,
}

/// What conda is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conda {
    /// Channels, the first wins.
    pub channels: Vec<ArtefactUrl>,
    /// Packages as `name=version=build`.
    pub packages: Vec<CondaPackage>,
}

/// Why a text is not a lock that can be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another tool's or a later format.
    #[error(
        "{origin} has lock format {found}; this smp-image reads format {VERSION}: use a newer smp-image, or lock again with this one"
    )]
    Version {
        /// The file.
        origin: String,
        /// The format found.
        found: u32,
    },
    /// Not a lock, or edited by hand into something else.
    #[error("{origin} is not a lock: {message}")]
    Malformed {
        /// The file.
        origin: String,
        /// What is wrong, with line and column where known.
        message: String,
    },
}

#[derive(Deserialize)]
struct VersionWire {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LockWire {
    version: u32,
    revision: u32,
    catalog: String,
    platform: Platform,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    packages: Vec<AptPackage>,
    recipe: RecipeId,
    base: LockedImage,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    devel: Option<LockedImage>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    python: Vec<PinnedRequirement>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    build: Vec<PinnedRequirement>,
    #[serde(default, rename = "component")]
    components: Vec<LockedComponent>,
}

/// Whether a lock still answers for a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshness {
    /// It does.
    Fresh,
    /// It does not; each sentence is a reason.
    Stale(Vec<String>),
}

impl Lock {
    /// Reads a lock from the `text` of `origin`.
    pub fn parse(origin: &str, text: &str) -> Result<Self, LockError> {
        let malformed = |error: toml::de::Error| LockError::Malformed {
            origin: origin.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        };
        let VersionWire { version } = toml::from_str(text).map_err(malformed)?;
        if version != VERSION {
            return Err(LockError::Version { origin: origin.to_owned(), found: version });
        }
        let wire: LockWire = toml::from_str(text).map_err(malformed)?;
        let lock = Self {
            recipe: wire.recipe,
            catalog: wire.catalog,
            platform: wire.platform,
            base: wire.base,
            devel: wire.devel,
            packages: wire.packages,
            python: wire.python,
            build: wire.build,
            components: wire.components,
        };
        lock.checked().map_err(|message| LockError::Malformed { origin: origin.to_owned(), message })
    }

    /// Returns the lock if it holds together: each component once, each requirement at one version.
    fn checked(self) -> Result<Self, String> {
        if let Some(pair) = self.components.windows(2).find(|pair| pair[0].name >= pair[1].name) {
            return Err(format!("component {} is out of order or written twice", pair[1].name));
        }
        let loose = self.requirements().find(|pinned| !pinned.requirement.as_str().contains("=="));
        match loose {
            Some(pinned) => Err(format!("{} is not pinned to one version", pinned.requirement)),
            None => Ok(self),
        }
    }

    /// Returns the lock as text: the same lock gives the same bytes.
    pub fn to_text(&self) -> String {
        let wire = LockWire {
            version: VERSION,
            revision: REVISION,
            catalog: self.catalog.clone(),
            platform: self.platform,
            packages: self.packages.clone(),
            recipe: self.recipe.clone(),
            base: self.base.clone(),
            devel: self.devel.clone(),
            python: self.python.clone(),
            build: self.build.clone(),
            components: self.components.clone(),
        };
        // Every type above has a TOML form; a failure would be a defect that the round-trip test finds.
        let body = toml::to_string_pretty(&wire).unwrap_or_default();
        format!("{HEADER}{body}")
    }

    /// Returns the digest of the lock's text.
    pub fn digest(&self) -> Digest {
        Digest::of(self.to_text())
    }

    /// Returns whether this lock still answers for the recipe in `source` on `platform`.
    pub fn freshness(&self, source: &Source, platform: Platform) -> Freshness {
        let mut reasons = Vec::new();
        if self.recipe.digest != source.digest() {
            reasons.push(format!("{} changed since it was locked", source.origin));
        }
        if self.platform != platform {
            reasons.push(format!("it was locked for {}, and {platform} is asked for", self.platform));
        }
        if reasons.is_empty() { Freshness::Fresh } else { Freshness::Stale(reasons) }
    }

    /// Returns the locked `component`, if the image has it.
    pub fn component(&self, component: Component) -> Option<&LockedComponent> {
        self.components.iter().find(|locked| locked.name == component)
    }

    /// Returns the version of each component whose version is known.
    pub fn versions(&self) -> std::collections::BTreeMap<Component, Version> {
        let known = |locked: &LockedComponent| Some((locked.name, locked.version.known()?.clone()));
        self.components.iter().filter_map(known).collect()
    }

    /// Returns every Python requirement in the lock.
    pub fn requirements(&self) -> impl Iterator<Item = &PinnedRequirement> {
        let of_components =
            self.components.iter().flat_map(|locked| locked.wheels.iter().chain(&locked.sdists));
        self.python.iter().chain(&self.build).chain(of_components)
    }

    /// Returns a sentence for each pin that is not known.
    pub fn unresolved(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        for image in std::iter::once(&self.base).chain(&self.devel) {
            if let Pin::Unresolved(reason) = &image.digest {
                sentences.push(format!("digest of {}: {reason}", image.image));
            }
        }
        for locked in &self.components {
            // What the distribution or an installer decides is no gap: nobody could be asked before the build.
            let decided_later = matches!(locked.origin, Origin::Apt | Origin::Bundled);
            if let (Pin::Unresolved(reason), false) = (&locked.version, decided_later) {
                sentences.push(format!("version of {}: {reason}", locked.name));
            }
            for artefact in &locked.artefacts {
                if let Pin::Unresolved(reason) = &artefact.sha256 {
                    sentences.push(format!("checksum of {}: {reason}", artefact.url));
                }
            }
        }
        let unhashed = self.requirements().filter(|pinned| pinned.hashes.is_empty());
        sentences.extend(
            unhashed
                .map(|pinned| format!("checksums of {}: the index could not be asked", pinned.requirement)),
        );
        sentences
    }
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
