//! `smp-image lock`: chooses versions, pins them with checksums, writes the lock beside the recipe.

use std::path::PathBuf;

use async_trait::async_trait;

use super::workshop::{self, Workpiece};
use crate::catalog::Catalog;
use crate::cli::{Cli, Format, LockVerb};
use crate::commands::World;
use crate::engine::{Credentials, EngineError};
use crate::error::{Failure, Fault};
use crate::lock::{Freshness, Lock};
use crate::oci::{Digest, Platform, Reference};
use crate::plan::{Mirror, Options};
use crate::registry::distribution::{Distribution, Limits, RegistryError};
use crate::resolve::{
    self, Wishes,
    upstream::network::{Images, Network},
};

pub(super) async fn run(verb: &LockVerb, cli: &Cli, world: &World) -> Result<(), Failure> {
    let workpiece = workshop::recipe(verb.recipe.recipe.as_deref(), world)?;
    let platform = Platform { arch: verb.recipe.arch };
    if verb.check {
        return check(&workpiece, platform, cli, world);
    }
    let catalog = super::catalog::load(world)?;
    let lock = make(&workpiece, platform, &catalog, world, &workshop::mirrors(&verb.source)?).await?;
    let text = lock.to_text();
    match workpiece.lock_path(platform) {
        Some(path) => {
            workshop::write(&path, &text)?;
            world.say(&format!("wrote {}", path.display()));
        }
        None => world.print(&text).map_err(|error| super::failure::stdout(&error))?,
    }
    for sentence in lock.unresolved() {
        world.say(&format!("unresolved: {sentence}"));
    }
    Ok(())
}

fn check(workpiece: &Workpiece, platform: Platform, cli: &Cli, world: &World) -> Result<(), Failure> {
    let lock = fresh(workpiece, platform)?.ok_or_else(|| missing(workpiece))?;
    let unresolved = lock.unresolved();
    if cli.format == Format::Json {
        let document =
            serde_json::json!({ "lock": "fresh", "digest": lock.digest(), "unresolved": unresolved });
        return world.print(&format!("{document}\n")).map_err(|error| super::failure::stdout(&error));
    }
    world.say("the lock answers for its recipe");
    for sentence in unresolved {
        world.say(&format!("unresolved: {sentence}"));
    }
    Ok(())
}

/// Reads the lock of `workpiece` and refuses a stale one.
pub(super) fn fresh(workpiece: &Workpiece, platform: Platform) -> Result<Option<Lock>, Failure> {
    let Some(lock) = workpiece.lock(platform)? else { return Ok(None) };
    match lock.freshness(&workpiece.source, platform) {
        Freshness::Fresh => Ok(Some(lock)),
        Freshness::Stale(reasons) => {
            Err(Failure::said(Fault::Input, format!("the lock is stale: {}", reasons.join("; ")))
                .hint(format!("lock again: smp-image lock {}", workpiece.source.origin)))
        }
    }
}

/// Returns the lock to build from: `at_hand` with open pins asked for, made and written first where there is none.
pub(super) async fn for_build(
    at_hand: Option<Lock>,
    workpiece: &Workpiece,
    platform: Platform,
    catalog: &Catalog,
    world: &World,
    mirrors: &[Mirror],
) -> Result<Lock, Failure> {
    match at_hand {
        Some(lock) if lock.unresolved().is_empty() => Ok(lock),
        Some(lock) => {
            let images = RegistryImages { world, mirrors: mirrors.to_vec() };
            Ok(resolve::pin(&lock, &network(catalog, world, &images)).await)
        }
        None => {
            let lock = make(workpiece, platform, catalog, world, mirrors).await?;
            if let Some(path) = workpiece.lock_path(platform) {
                workshop::write(&path, &lock.to_text())?;
                world.say(&format!("wrote {}", path.display()));
            }
            Ok(lock)
        }
    }
}

/// Says that there is no lock.
pub(super) fn missing(workpiece: &Workpiece) -> Failure {
    Failure::said(Fault::Input, format!("{} has no lock", workpiece.source.origin))
        .hint(format!("write it: smp-image lock {}", workpiece.source.origin))
}

async fn make(
    workpiece: &Workpiece,
    platform: Platform,
    catalog: &Catalog,
    world: &World,
    mirrors: &[Mirror],
) -> Result<Lock, Failure> {
    let images = RegistryImages { world, mirrors: mirrors.to_vec() };
    let upstream = network(catalog, world, &images);
    Ok(resolve::lock(&workpiece.source, &workpiece.recipe, platform, catalog, &Wishes::default(), &upstream)
        .await?)
}

pub(super) fn network<'a>(catalog: &Catalog, world: &World, images: &'a dyn Images) -> Network<'a> {
    let index =
        ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"].into_iter().find_map(|name| world.var(name));
    let index = index.unwrap_or(catalog.python_index.as_str());
    let uv =
        world.env.get("SMP_IMAGE_UV").cloned().or_else(|| world.program("uv").map(PathBuf::into_os_string));
    Network { uv, index: format!("{}/", index.trim_end_matches('/')), images }
}

/// Asks registries for digests, with the user's logins.
pub(super) struct RegistryImages<'a> {
    world: &'a World,
    mirrors: Vec<Mirror>,
}

impl<'a> RegistryImages<'a> {
    /// Returns what asks registries themselves, no mirrors.
    pub(super) fn new(world: &'a World) -> Self {
        Self { world, mirrors: Vec::new() }
    }
}

#[async_trait]
impl Images for RegistryImages<'_> {
    async fn digest(&self, image: &Reference, platform: Platform) -> Result<Digest, String> {
        let asked = Options { mirrors: self.mirrors.clone(), ..Options::default() }.mirrored(image);
        // What is wrong with this machine's logins is told here, and does not stand in the lock.
        let no_login = |error: EngineError| {
            self.world.say(&format!("warning: {error}"));
            "its login could not be had when this was locked".to_owned()
        };
        let credentials = Credentials::from_docker(&self.world.environment()).map_err(no_login)?;
        let login = credentials.login(asked.registry()).await.map_err(no_login)?;
        let registry = Distribution::new(Limits { attempts: 2, ..Limits::default() }, None);
        let found = registry.image_for(&asked, platform, login.as_ref()).await;
        found.map(|image| image.named.digest).map_err(|error| match error {
            // What stands in a lock is for everybody who reads it, not for this machine on this day.
            RegistryError::Unreachable { .. } | RegistryError::TimedOut { .. } => {
                "out of reach when this was locked".to_owned()
            }
            RegistryError::Unauthorised { .. } => "it wanted a login when this was locked".to_owned(),
            other => other.to_string(),
        })
    }
}
