//! What a lock is made from beyond facts: package indexes, archives and registries, asked with the user's environment and logins.

use std::path::PathBuf;

use async_trait::async_trait;

use super::World;
use crate::catalog::Catalog;
use crate::engine::{Credentials, EngineError};
use crate::error::Failure;
use crate::oci::{Digest, Platform, Reference};
use crate::plan::{Mirror, Options};
use crate::registry::distribution::{Distribution, Limits, RegistryError};
use crate::resolve::upstream::network::{Images, Network};

/// Everything outside this machine that answers questions.
pub(super) struct Outside<'a> {
    world: &'a World,
    catalog: &'a Catalog,
    mirrors: Vec<Mirror>,
    images: RegistryImages<'a>,
}

impl<'a> Outside<'a> {
    pub(super) fn new(world: &'a World, catalog: &'a Catalog, mirrors: &[Mirror]) -> Self {
        let images = RegistryImages { world, mirrors: mirrors.to_vec() };
        Self { world, catalog, mirrors: mirrors.to_vec(), images }
    }

    /// Gives `ask` the way to all of it.
    pub(super) async fn ask<T>(
        &self,
        ask: impl AsyncFnOnce(&Network<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let world = self.world;
        let index = ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"]
            .into_iter()
            .find_map(|name| world.var(name));
        let index = index.unwrap_or(self.catalog.python_index.as_str());
        let uv = world.env.get("SMP_IMAGE_UV").cloned();
        let uv = uv.or_else(|| world.program("uv").map(PathBuf::into_os_string));
        let mirror = |host: &str| self.mirrors.iter().find_map(|mirror| mirror.instead_of(host));
        let index = format!("{}/", index.trim_end_matches('/'));
        ask(&Network { uv, index, images: &self.images, mirror: &mirror }).await
    }
}

/// Asks registries for digests, with the user's logins.
struct RegistryImages<'a> {
    world: &'a World,
    mirrors: Vec<Mirror>,
}

#[async_trait]
impl Images for RegistryImages<'_> {
    async fn digest(&self, image: &Reference, platform: Platform) -> Result<(Digest, Option<u64>), String> {
        let asked = Options { mirrors: self.mirrors.clone(), ..Options::default() }.mirrored(image);
        // What is wrong with this machine's logins is told here, and does not stand in the lock.
        let no_login = |error: EngineError| {
            self.world.say(&format!("warning: {error}"));
            "its login could not be had when this was locked".to_owned()
        };
        let credentials = Credentials::from_docker(&self.world.environment()).map_err(no_login)?;
        let login = credentials.login(asked.registry()).await.map_err(no_login)?;
        let registry = Distribution::new(Limits { attempts: 2, ..Limits::default() }, None);
        let found =
            registry.image_for(&asked, platform, login.as_ref()).await.map_err(|error| match error {
                // What stands in a lock is for everybody who reads it, not for this machine on this day.
                RegistryError::Unreachable { .. } | RegistryError::TimedOut { .. } => {
                    "out of reach when this was locked".to_owned()
                }
                RegistryError::Unauthorised { .. } => "it wanted a login when this was locked".to_owned(),
                other => other.to_string(),
            })?;
        let size = found.image.content.size();
        Ok((found.named.digest, size))
    }
}
