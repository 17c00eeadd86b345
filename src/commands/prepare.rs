//! From what was said on the command line to a plan and a Dockerfile for one builder.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::Digest as _;

use super::lock;
use super::workshop::{self, Workpiece};
use crate::catalog::{Catalog, Own};
use crate::cli::{LockArgs, RecipeArgs, SourceArgs};
use crate::commands::World;
use crate::error::{Failure, Fault};
use crate::lock::Lock;
use crate::oci::{Digest, Platform, Profile};
use crate::plan::{KeptWheel, Mirror, Options, Plan};
use crate::recipe::Recipe;
use crate::render::{self, Builder};

/// The label that holds the digest of everything that went into an image.
pub(super) const INPUTS: &str = "dev.smp-image.inputs";

/// Everything that is known before anything is built.
pub(super) struct Prepared {
    /// The recipe and where it lies.
    pub(super) workpiece: Workpiece,
    /// Its lock.
    pub(super) lock: Lock,
    /// The plan.
    pub(super) plan: Plan,
    /// What files of the user's did to the facts that were used.
    pub(super) own: Own,
    catalog: Catalog,
    options: Options,
}

/// How far the lock may be brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// Missing locks are made, open pins are asked for.
    Allowed,
    /// Nobody is asked.
    Forbidden,
}

impl From<&LockArgs> for Asking {
    fn from(arguments: &LockArgs) -> Self {
        if arguments.locked { Self::Forbidden } else { Self::Allowed }
    }
}

/// What is known of the machine that builds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Machine {
    /// Its memory in bytes.
    pub(super) memory: Option<u64>,
    /// Its processors.
    pub(super) processors: Option<u64>,
    /// Its platform; that of the image where nobody said.
    pub(super) platform: Option<Platform>,
}

/// What can be known without asking anybody: no engine, no network.
pub(super) struct Draft {
    /// The recipe and where it lies.
    pub(super) workpiece: Workpiece,
    /// Its lock, which is not stale; nothing where there is none and one may be made.
    pub(super) lock: Option<Lock>,
    platform: Platform,
    mirrors: Vec<Mirror>,
    asking: Asking,
}

impl Draft {
    /// Reads recipe and lock, and refuses what is wrong with either.
    pub(super) fn read(
        arguments: &RecipeArgs,
        source: &SourceArgs,
        asking: Asking,
        world: &World,
    ) -> Result<Self, Failure> {
        let mirrors = workshop::mirrors(source)?;
        let workpiece = workshop::recipe(arguments.recipe.as_deref(), world)?;
        let platform = Platform { arch: arguments.arch };
        let lock = lock::fresh(&workpiece, platform)?;
        if lock.is_none() && asking == Asking::Forbidden {
            return Err(lock::missing(&workpiece, platform));
        }
        Ok(Self { workpiece, lock, platform, mirrors, asking })
    }

    /// Returns the command that locks the recipe.
    pub(super) fn locking(&self) -> String {
        self.workpiece.locking(self.platform)
    }

    /// Refuses a recipe that copies what is not there; that a file can be read turns out when it is.
    pub(super) fn copies_are_there(&self, world: &World) -> Result<(), Failure> {
        for copy in &self.workpiece.recipe.copy {
            let path = self.workpiece.folder(world).join(copy.from.get_ref().as_str());
            path.symlink_metadata().map_err(|error| unreadable(&path, &error))?;
        }
        Ok(())
    }

    /// Asks for what the lock leaves open, where that is allowed, and makes the plan for `builder`.
    pub(super) async fn prepared(self, builder: Machine, world: &World) -> Result<Prepared, Failure> {
        let Self { workpiece, lock, platform, mirrors, asking } = self;
        let catalog = super::catalog::load(world)?;
        let lock = match lock {
            Some(lock) if asking == Asking::Forbidden => lock,
            lock => lock::for_build(lock, &workpiece, platform, &catalog, world, &mirrors).await?,
        };
        let options = Options {
            builder_memory: builder.memory,
            builder_processors: builder.processors,
            builder: builder.platform,
            wheels: BTreeMap::new(),
            mirrors,
        };
        let plan = Plan::new(&workpiece.recipe, &lock, &catalog, &options)?;
        let own = catalog.own().clone();
        Ok(Prepared { workpiece, lock, plan, own, catalog, options })
    }
}

/// Reads recipe and lock and makes the plan, asking nobody.
pub(super) async fn prepare(
    arguments: &RecipeArgs,
    source: &SourceArgs,
    builder: Machine,
    world: &World,
) -> Result<Prepared, Failure> {
    Draft::read(arguments, source, Asking::Forbidden, world)?.prepared(builder, world).await
}

impl Prepared {
    /// Plans anew, so that `wheels` are taken and not compiled.
    pub(super) fn take(&mut self, wheels: BTreeMap<String, KeptWheel>) -> Result<(), Failure> {
        self.options.wheels.extend(wheels);
        self.plan = Plan::new(&self.workpiece.recipe, &self.lock, &self.catalog, &self.options)?;
        Ok(())
    }

    /// Returns what a report must say of the facts that were used: something only where there were facts of the user's.
    pub(super) fn said_of_facts(&self) -> Option<Own> {
        (!self.own.is_empty()).then(|| self.own.clone())
    }

    /// Returns the Dockerfile for `builder`.
    pub(super) fn dockerfile(&self, builder: Builder) -> Result<String, Failure> {
        Ok(render::render(&self.plan, builder)?)
    }

    /// Returns the labels of the image: OCI's, and the digests of everything that went into it.
    pub(super) fn labels(
        &self,
        dockerfile: &str,
        profile: Profile,
        world: &World,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let dockerfile = Digest::of(dockerfile);
        let mut inputs = sha2::Sha256::new();
        inputs.update(format!("{dockerfile}\n{}\n{profile:?}\n", self.plan.target.platform));
        context_digest(&self.workpiece.recipe, &self.workpiece.folder(world), &mut inputs)?;
        let inputs = Digest::from_hasher(inputs);
        let mut labels = BTreeMap::new();
        let mut label = |name: &str, value: String| labels.insert(name.to_owned(), value);
        label("org.opencontainers.image.title", self.plan.recipe.to_string());
        label("org.opencontainers.image.base.name", self.lock.base.image.whole());
        if let Some(digest) = self.lock.base.digest.known() {
            label("org.opencontainers.image.base.digest", digest.to_string());
        }
        label("dev.smp-image.version", env!("CARGO_PKG_VERSION").to_owned());
        label("dev.smp-image.recipe", self.plan.recipe_digest.to_string());
        label("dev.smp-image.lock", self.plan.lock_digest.to_string());
        label("dev.smp-image.dockerfile", dockerfile.to_string());
        label(INPUTS, inputs.to_string());
        Ok(labels)
    }

    /// Returns the seconds since 1970 that the image names as its creation: the day of the catalogue that chose its versions, so that
    /// equal inputs give equal digests; `SOURCE_DATE_EPOCH` where it is set.
    pub(super) fn epoch(&self, world: &World) -> u64 {
        let said = world.var("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok());
        let day = self.lock.catalog.get(..10).and_then(|day| day.parse::<jiff::civil::Date>().ok());
        let midnight = day.and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok());
        said.or_else(|| u64::try_from(midnight?.timestamp().as_second()).ok()).unwrap_or_default()
    }
}

/// Feeds `hasher` with every file that `[[copy]]` names: path, kind, whether it can be executed, content.
fn context_digest(recipe: &Recipe, folder: &Path, hasher: &mut sha2::Sha256) -> Result<(), Failure> {
    for copy in &recipe.copy {
        let from = folder.join(copy.from.get_ref().as_str());
        for entry in walkdir::WalkDir::new(&from).sort_by_file_name() {
            let entry = entry.map_err(|error| unreadable_entry(&from, &error))?;
            let shown = entry.path().strip_prefix(folder).unwrap_or(entry.path());
            hasher.update(format!("{}\0{}\0", shown.display(), executable(&entry)));
            if entry.path_is_symlink() {
                let target =
                    std::fs::read_link(entry.path()).map_err(|error| unreadable(entry.path(), &error))?;
                hasher.update(target.to_string_lossy().as_bytes());
            } else if entry.file_type().is_file() {
                let mut file =
                    std::fs::File::open(entry.path()).map_err(|error| unreadable(entry.path(), &error))?;
                let mut content = sha2::Sha256::new();
                std::io::copy(&mut file, &mut HashWriter(&mut content))
                    .map_err(|error| unreadable(entry.path(), &error))?;
                hasher.update(content.finalize());
            }
        }
    }
    Ok(())
}

/// A hasher as a place to copy a file to.
struct HashWriter<'a>(&'a mut sha2::Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(unix)]
fn executable(entry: &walkdir::DirEntry) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    entry.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o100 != 0)
}

#[cfg(not(unix))]
fn executable(_: &walkdir::DirEntry) -> bool {
    false
}

/// What the walk says names the path already.
fn unreadable_entry(from: &Path, error: &walkdir::Error) -> Failure {
    let path = error.path().unwrap_or(from);
    match error.io_error() {
        Some(reason) => unreadable(path, reason),
        None => Failure::said(Fault::Input, format!("cannot read {} for [[copy]]: {error}", path.display())),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::said(Fault::Input, format!("cannot read {} for [[copy]]: {error}", path.display()))
        .hint("[[copy]] takes files below the recipe's folder")
}
