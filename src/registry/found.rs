//! What a registry has under a name, compared with the image that is pushed.

use super::distribution::{Distribution, RegistryError, Resolved, at};
use super::manifest::{self, Content, Image};
use super::{Identity, Pushable};
use crate::engine::Login;
use crate::oci::{Platform, Profile, Reference};

/// What a registry has under a name.
#[derive(Debug)]
pub(super) struct Found {
    /// What stands under the name itself.
    pub(super) named: Resolved,
    /// The image for the platform that is pushed; absent where a list has none.
    pub(super) image: Option<(Resolved, Image)>,
    /// What the other images of a list are made for.
    others: Vec<String>,
}

impl Found {
    /// Returns what the registry has under `reference`; nothing where it has nothing.
    pub(super) async fn under(
        door: &Distribution,
        reference: &Reference,
        platform: Platform,
        login: Option<&Login>,
    ) -> Result<Option<Self>, RegistryError> {
        let named = match door.manifest(reference, login).await {
            Ok(manifest) => manifest,
            Err(RegistryError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let entries = match named.content {
            Content::Image(image) => {
                let alone = Some((named.resolved.clone(), image));
                return Ok(Some(Self { named: named.resolved, image: alone, others: Vec::new() }));
            }
            Content::Index(entries) => entries,
        };
        let ours = entries.iter().position(|entry| entry.is_for(platform));
        let mut image = None;
        if let Some(ours) = ours {
            let found = door.manifest(&at(reference, entries[ours].digest), login).await?;
            if let Content::Image(content) = found.content {
                image = Some((found.resolved, content));
            }
        }
        let others = entries.into_iter().enumerate().filter(|(at, _)| Some(*at) != ours);
        let others = others.map(|(_, entry)| entry.platform).collect();
        Ok(Some(Self { named: named.resolved, image, others }))
    }

    /// Returns how it is known that this is the image that the engine has; nothing where it is another.
    pub(super) fn identity(&self, pushable: &Pushable) -> Option<Identity> {
        let (manifest, image) = self.image.as_ref()?;
        pushable.identity(&[self.named.digest, manifest.digest], image.config)
    }

    /// Returns what stands against `profile`, and against one image for one platform; nothing where it fits.
    pub(super) fn faults(&self, pushable: &Pushable, profile: Profile) -> Vec<String> {
        let mut faults = Vec::new();
        if !self.others.is_empty() {
            faults.push(format!(
                "it also holds images for {}; a push is for one platform",
                self.others.join(", ")
            ));
        }
        match &self.image {
            Some((manifest, image)) => {
                let listed = manifest.digest != self.named.digest;
                faults.extend(manifest::faults(profile, &manifest.media_type, image, listed));
            }
            None => faults.push(format!("it holds no image for {}", pushable.subject().platform)),
        }
        faults
    }
}
