//! From recipe and catalogue to a lock: which version of each component, how it comes into the image, and why.
//!
//! [`select`] decides from facts alone and asks nobody. [`lock`] then asks the world for what facts cannot hold: the newest wheels
//! that fit each other (through `uv`), checksums, the digest of the base image.

mod conflict;
mod explain;
mod problem;
mod question;
mod repair;
mod review;
mod rules;
mod select;
mod solve;
mod solved;
#[cfg(test)]
mod solver_tests;
pub mod upstream;
mod why;

use crate::catalog::Catalog;
use crate::lock::{
    Artefact, Conda, Lock, LockedComponent, LockedImage, Origin, Pin, PinnedRequirement, RecipeId,
};
use crate::oci::Platform;
use crate::recipe::{Component, Recipe, RecipeError, Requirement, Source, Version, package_name};

pub use explain::NoFit;
pub use question::Wishes;
pub use review::review;
pub use select::{Choice, Selection, select};
pub use why::{Ground, Newer, Why, why};

use solved::Solved;

use upstream::{PythonQuestion, Upstream, UpstreamError};

/// Why a recipe could not be locked.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ResolveError {
    /// The recipe names something that does not exist.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Recipe(RecipeError),
    /// Something is asked for that no choice of versions could mend.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Impossible(RecipeError),
    /// No versions fit.
    #[error(transparent)]
    #[diagnostic(transparent)]
    NoFit(Box<NoFit>),
    /// The world could not be asked.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

/// Locks `recipe` for `platform`: decides from the catalogue, then asks `upstream` for checksums.
///
/// What cannot be asked from here (a registry out of reach) becomes an unresolved pin with its reason. That no wheels fit, or that
/// the package index cannot be asked, is an error: a lock without Python packages would be no lock.
pub async fn lock(
    source: &Source,
    recipe: &Recipe,
    platform: Platform,
    catalog: &Catalog,
    wishes: &Wishes,
    upstream: &dyn Upstream,
) -> Result<Lock, ResolveError> {
    let selection = select(source, recipe, catalog, wishes)?;
    let wheels = match selection.python_question(recipe, platform) {
        Some(question) => upstream.python(&question).await?,
        None => Vec::new(),
    };
    let mut components = Vec::new();
    let mut taken = Vec::new();
    for choice in &selection.choices {
        let locked = lock_component(choice, &wheels, upstream, &mut taken).await?;
        components.push(locked);
    }
    components.sort_by_key(|locked| locked.name);
    let python: Vec<PinnedRequirement> =
        wheels.into_iter().filter(|pinned| !taken.contains(&pinned.package().to_owned())).collect();
    let build = match selection.build_question(&components, &python, platform) {
        Some(question) => upstream.python(&question).await?,
        None => Vec::new(),
    };
    let base = lock_image(recipe.base.image.get_ref(), platform, upstream).await;
    let devel = match &recipe.base.devel {
        Some(image) => Some(lock_image(image.get_ref(), platform, upstream).await),
        None => None,
    };
    Ok(Lock {
        recipe: RecipeId { name: recipe.name.get_ref().clone(), digest: source.digest() },
        catalog: catalog.revision.clone(),
        platform,
        base,
        devel,
        packages: recipe.apt.packages.iter().map(|package| package.get_ref().clone()).collect(),
        python,
        build,
        components,
    })
}

/// Asks for what is unresolved in `lock` and leaves everything else as it is.
pub async fn pin(lock: &Lock, upstream: &dyn Upstream) -> Lock {
    let mut pinned = lock.clone();
    let platform = pinned.platform;
    for image in std::iter::once(&mut pinned.base).chain(&mut pinned.devel) {
        if image.digest.known().is_none() {
            *image = lock_image(&image.image, platform, upstream).await;
        }
    }
    for artefact in pinned.components.iter_mut().flat_map(|component| &mut component.artefacts) {
        if artefact.sha256.known().is_none() {
            *artefact = lock_artefact(artefact.clone(), upstream).await;
        }
    }
    pinned
}

async fn lock_image(
    image: &crate::oci::Reference,
    platform: Platform,
    upstream: &dyn Upstream,
) -> LockedImage {
    let stated = image.digest().and_then(|digest| digest.parse().ok());
    let digest = match stated {
        Some(digest) => Pin::Known(digest),
        None => match upstream.image_digest(image, platform).await {
            Ok(digest) => Pin::Known(digest),
            Err(UpstreamError::Unreachable { reason, .. }) => Pin::Unresolved(reason),
            Err(error) => Pin::Unresolved(error.to_string()),
        },
    };
    LockedImage { image: image.clone(), digest }
}

async fn lock_artefact(artefact: Artefact, upstream: &dyn Upstream) -> Artefact {
    if artefact.sha256.known().is_some() {
        return artefact;
    }
    match upstream.download_digest(&artefact.url).await {
        Ok((digest, size)) => {
            Artefact { url: artefact.url, sha256: Pin::Known(digest), size: Pin::Known(size) }
        }
        // What stands in a lock is for everybody who reads it, not for this machine on this day.
        Err(_) => {
            Artefact { sha256: Pin::Unresolved("out of reach when this was locked".to_owned()), ..artefact }
        }
    }
}

/// Joins the choice for one component with what the world answered about it.
async fn lock_component(
    choice: &Choice,
    wheels: &[PinnedRequirement],
    upstream: &dyn Upstream,
    taken: &mut Vec<String>,
) -> Result<LockedComponent, ResolveError> {
    let find =
        |name: &String| wheels.iter().find(|pinned| package_name(pinned.package()) == package_name(name));
    let own: Vec<PinnedRequirement> = choice.wheels.iter().filter_map(find).cloned().collect();
    taken.extend(own.iter().map(|pinned| pinned.package().to_owned()));
    let leader = choice.leader.as_ref().and_then(find).and_then(PinnedRequirement::version);
    let version = match (&choice.version, leader) {
        (_, Some(version)) => Pin::Known(version),
        (Some(version), None) => Pin::Known(version.clone()),
        (None, None) => Pin::Unresolved(choice.undecided.clone()),
    };
    let mut sdists = Vec::new();
    for package in &choice.sdists {
        sdists.push(lock_sdist(package, choice, version.known(), upstream).await?);
    }
    let version = match (version, choice.leader.as_ref()) {
        (Pin::Unresolved(reason), Some(leader)) => {
            let compiled =
                sdists.iter().find(|pinned| package_name(pinned.package()) == package_name(leader));
            compiled.and_then(PinnedRequirement::version).map_or(Pin::Unresolved(reason), Pin::Known)
        }
        (version, _) => version,
    };
    let mut artefacts = Vec::new();
    for artefact in &choice.artefacts {
        artefacts.push(lock_artefact(artefact.clone(), upstream).await);
    }
    Ok(LockedComponent {
        name: choice.component,
        version,
        origin: choice.origin,
        reason: choice.reason.clone(),
        packages: choice.packages.clone(),
        wheels: own,
        sdists,
        conda: choice.conda.clone(),
        artefacts,
    })
}

/// Pins a package that exists only as source: at the version of the component's wheels, or the newest that the recipe admits.
async fn lock_sdist(
    package: &str,
    choice: &Choice,
    of_wheels: Option<&Version>,
    upstream: &dyn Upstream,
) -> Result<PinnedRequirement, ResolveError> {
    let admits = |version: &Version| match of_wheels {
        Some(wanted) => version == wanted,
        None => choice.range.admits(version),
    };
    Ok(upstream.sdist(package, &admits).await?)
}

impl Selection {
    /// Returns what `uv` must answer, if the image has Python packages at all.
    fn python_question(&self, recipe: &Recipe, platform: Platform) -> Option<PythonQuestion> {
        let mut requirements: Vec<Requirement> =
            self.choices.iter().flat_map(|choice| choice.asks.clone()).collect();
        requirements.extend(recipe.python.packages.iter().map(|package| package.get_ref().clone()));
        if requirements.is_empty() {
            return None;
        }
        let held_back = self
            .choices
            .iter()
            .filter(|choice| choice.component == Component::Pytorch && choice.origin != Origin::Wheels)
            .map(|_| "torch".to_owned())
            .collect();
        Some(PythonQuestion {
            requirements,
            python: self.python.clone(),
            glibc: self.glibc.clone(),
            platform,
            held_back,
        })
    }
}

impl Selection {
    /// Returns which packages the stages need that build what exists only as source, if there are any.
    ///
    /// They are pinned like everything else: pip's own build isolation would fetch whatever is newest on the day of the build.
    fn build_question(
        &self,
        components: &[LockedComponent],
        python: &[PinnedRequirement],
        platform: Platform,
    ) -> Option<PythonQuestion> {
        let mut names: Vec<&str> =
            self.choices.iter().flat_map(|choice| choice.build.iter().map(String::as_str)).collect();
        let from_source = python.iter().any(|pinned| pinned.source)
            || components.iter().any(|component| !component.sdists.is_empty());
        if !from_source {
            return None;
        }
        names.extend(["setuptools", "wheel"]);
        names.sort_unstable();
        names.dedup();
        let requirements = names.iter().filter_map(|name| name.parse().ok()).collect();
        let (python, glibc) = (self.python.clone(), self.glibc.clone());
        Some(PythonQuestion { requirements, python, glibc, platform, held_back: Vec::new() })
    }
}

/// What conda is asked for, for the SMP release whose PyTorch is `pytorch` and CUDA `cuda`.
fn smp_conda(channels: &[crate::recipe::ArtefactUrl], package: crate::recipe::CondaPackage) -> Conda {
    Conda { channels: channels.to_vec(), packages: vec![package] }
}
