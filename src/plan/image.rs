//! A base image as a stage names it.

use serde::{Deserialize, Serialize};

use super::{Options, PlanError};
use crate::lock::{LockedImage, Pin};
use crate::oci::Digest;

/// A base image as a stage names it: never by `latest`, by content where the lock knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ImageRef {
    /// Registry, repository and tag, after mirrors were applied.
    pub name: String,
    /// The digest of its manifest or index.
    pub digest: Option<Digest>,
    /// Why there is no digest.
    pub unresolved: Option<String>,
}

impl ImageRef {
    /// Returns the locked `image` as `options` would pull it.
    pub(super) fn new(image: &LockedImage, options: &Options) -> Result<Self, PlanError> {
        let pulled = options.mirrored(&image.image);
        if image.digest.known().is_none() && matches!(image.image.tag(), None | Some("latest")) {
            return Err(PlanError::MovingBase { image: image.image.whole() });
        }
        let (digest, unresolved) = match &image.digest {
            Pin::Known(digest) => (Some(*digest), None),
            Pin::Unresolved(reason) => (None, Some(reason.clone())),
        };
        let name = match pulled.tag() {
            Some(tag) => format!("{}/{}:{tag}", pulled.registry(), pulled.repository()),
            None => format!("{}/{}", pulled.registry(), pulled.repository()),
        };
        Ok(Self { name, digest, unresolved })
    }
}
