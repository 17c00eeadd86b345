//! What goes into a push and what comes out of it: the image, and the receipt that says what was pushed where.

use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::manifest::Layer;
use crate::oci::{Digest, Platform, Profile};
use crate::verdict::{Release, Subject};

/// An image that is to be pushed.
///
/// Anyone may push an image that nobody checked; only a passed verdict makes one that the receipt calls checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushable {
    subject: Subject,
    config: Option<Digest>,
    checked: Checked,
}

/// Whether an image was checked before it was pushed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Checked {
    /// It was checked, and may be released.
    Passed {
        /// The digest of findings and outcomes.
        evidence: Digest,
        /// What must be known although it passed, one sentence each.
        notes: Vec<String>,
    },
    /// Nobody checked it.
    Unchecked,
}

impl Pushable {
    /// Returns an image that nobody checked.
    pub fn unchecked(subject: Subject) -> Self {
        Self { subject, config: None, checked: Checked::Unchecked }
    }

    /// Returns the image.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Returns whether it was checked.
    pub fn checked(&self) -> &Checked {
        &self.checked
    }

    /// Returns how it is known that the image in a registry, with these digests, is this one; nothing where it is another.
    ///
    /// `manifests` are those of the image and of the list that it stands in.
    pub(super) fn identity(&self, manifests: &[Digest], config: Digest) -> Option<Identity> {
        // What was inspected is what must arrive, also where the engine knows its images by another digest.
        if self.config.is_some_and(|inspected| inspected != config) {
            return None;
        }
        if manifests.contains(&self.subject.id) {
            Some(Identity::ManifestDigest)
        } else if self.subject.id == config {
            Some(Identity::ConfigDigest)
        } else {
            None
        }
    }
}

impl From<&Release> for Pushable {
    fn from(release: &Release) -> Self {
        Self {
            subject: release.subject().clone(),
            config: Some(release.config()),
            checked: Checked::Passed { evidence: release.evidence(), notes: release.notes() },
        }
    }
}

/// What was pushed where, as the registry itself says afterwards.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
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
    pub checked: Checked,
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
