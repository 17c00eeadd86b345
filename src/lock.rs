//! The lock: one set of versions that fits together, with the checksum of everything that a build will download.
//!
//! On disk a lock is TOML with a format version; [`Lock::parse`] turns the wire form into a checked value, so that bad data never
//! becomes a [`Lock`]. What could not be asked (the digest of an image in a registry out of reach) is a [`Pin::Unresolved`] with
//! its reason, never an invented value.

mod difference;
mod pin;
mod pinned;
mod wire;

use serde::{Deserialize, Serialize};

pub use difference::{Change, Difference, Thing};
pub use pin::Pin;
pub use pinned::{
    AptVersion, Artefact, Conda, CondaFile, LockedConda, LockedImage, LockedPackage, PackageFile,
    PinnedRequirement,
};
pub use wire::{REVISION, VERSION};

use crate::oci::{Digest, Platform};
use crate::recipe::{AptPackage, Component, Name, Source, Version};

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
    /// Every package of the distribution that is installed by name and stays in the image, sorted, each once.
    pub apt: Vec<LockedPackage>,
    /// Python packages beyond the components, with everything that they pull in.
    pub python: Vec<PinnedRequirement>,
    /// Python packages that stages need to build what exists only as source; never in the image.
    pub build: Vec<PinnedRequirement>,
    /// The components, in the order of [`Component::ALL`].
    pub components: Vec<LockedComponent>,
    /// What this lock leaves out altogether because nobody was asked, each a sentence. Such a lock cannot be built from.
    pub open: Vec<String>,
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

/// Why a text is not a lock that can be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// A later tool's.
    #[error(
        "{origin} was written by a newer smp-image: it has lock format {found}; this one reads format {VERSION}.{REVISION}"
    )]
    Newer {
        /// The file.
        origin: String,
        /// The format found, with its revision.
        found: String,
    },
    /// An earlier tool's.
    #[error(
        "{origin} has lock format {found} of an older smp-image; this one reads format {VERSION}.{REVISION}"
    )]
    Older {
        /// The file.
        origin: String,
        /// The format found.
        found: u32,
    },
    /// Not a lock.
    #[error("{origin} is not a lock: {message}")]
    Malformed {
        /// The file.
        origin: String,
        /// What is wrong, with line and column where known.
        message: String,
    },
    /// A lock whose values are not those that were written.
    #[error("{origin} was edited by hand: {parts}; what was locked and what is built would differ")]
    Edited {
        /// The file.
        origin: String,
        /// Which parts.
        parts: String,
    },
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
            for package in locked.conda.iter().flat_map(|conda| &conda.packages) {
                if let Pin::Unresolved(reason) = &package.found {
                    sentences.push(format!("conda package {}: {reason}", package.asked));
                }
            }
            for artefact in &locked.artefacts {
                if let Pin::Unresolved(reason) = &artefact.sha256 {
                    sentences.push(format!("checksum of {}: {reason}", artefact.url));
                }
            }
        }
        for package in &self.apt {
            if let Pin::Unresolved(reason) = &package.version {
                sentences.push(format!("version of package {}: {reason}", package.name));
            }
        }
        sentences.extend(self.open.iter().cloned());
        let unhashed = self.requirements().filter(|pinned| pinned.hashes.is_empty());
        sentences.extend(
            unhashed
                .map(|pinned| format!("checksums of {}: the index could not be asked", pinned.requirement)),
        );
        sentences
    }
}
