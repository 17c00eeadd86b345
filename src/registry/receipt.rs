//! What goes into a push and what comes out of it: the image, and the receipt that says what was pushed where.

use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::manifest::Layer;
use crate::oci::{Digest, Platform, Profile};

/// An image that is to be pushed.
///
/// Anyone may push an image that nobody checked; only a passed verdict makes one that the receipt calls checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    name: String,
    id: Digest,
    platform: Platform,
    standing: Standing,
}

/// Whether an image was checked before it was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It was checked, and its verdict is that it may be released.
    Passed,
    /// Nobody checked it.
    Unchecked,
}

impl Subject {
    /// Returns an image that nobody checked: `name` is what the user calls it, `id` what the engine does.
    pub fn unchecked(name: impl Into<String>, id: Digest, platform: Platform) -> Self {
        Self { name: name.into(), id, platform, standing: Standing::Unchecked }
    }

    /// Returns what the user calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what the engine calls it: the digest of its configuration or of its manifest.
    pub fn id(&self) -> Digest {
        self.id
    }

    /// Returns what it is made for.
    pub fn platform(&self) -> Platform {
        self.platform
    }

    /// Returns whether it was checked.
    pub fn standing(&self) -> Standing {
        self.standing
    }
}

/// What was pushed where, as the registry itself says afterwards.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Receipt {
    /// The image with its registry and tag.
    pub reference: String,
    /// The digest of what stands under the tag: the image's manifest, or the list that holds only it.
    pub digest: Digest,
    /// The form of that manifest.
    pub media_type: String,
    /// What the image is made for.
    pub platform: Platform,
    /// For whom it was pushed; it fits.
    pub profile: Profile,
    /// Its layers in the registry, the lowest first.
    pub layers: Vec<Layer>,
    /// The sum of their sizes in bytes.
    pub size: u64,
    /// How it is known that the registry holds the image that the engine built.
    pub verified: Identity,
    /// Whether it was checked before.
    pub checked: Standing,
    /// Whether anything had to be sent.
    pub outcome: Outcome,
    /// Whether the repository was made for it.
    pub repository_created: bool,
    /// How long it took, in seconds.
    #[serde(serialize_with = "seconds")]
    #[schemars(with = "f64")]
    pub took: Duration,
}

/// How it is known that an image in a registry is the image in an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    /// Their manifests have the same digest (engines with the containerd store).
    ManifestDigest,
    /// Their configurations have the same digest, and with them every unpacked layer (engines with graph drivers).
    ConfigDigest,
}

/// What a push had to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The image was pushed.
    Pushed,
    /// The tag named this image already.
    AlreadyThere,
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1000.0).round() / 1000.0)
}
