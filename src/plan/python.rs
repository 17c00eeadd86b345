//! The Python of an image: an environment of its own, SMP's conda environment, or the base's own interpreter.

use std::collections::BTreeMap;

use super::compose::facts_of;
use super::{PinnedPackage, PlanError};
use crate::catalog::Catalog;
use crate::lock::{Lock, Origin, PinnedRequirement};
use crate::recipe::{Component, ImagePath, LocalPath, Version, package_name};

/// Where an environment of our own is made.
const VENV: &str = "/opt/venv";
/// Where SMP's conda environment is made.
const CONDA: &str = "/opt/conda";

/// The Python of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Python {
    /// None: nothing needs it.
    Absent,
    /// The base's own: packages are installed into it.
    Base,
    /// An environment on the distribution's interpreter.
    Venv(Home),
    /// SMP's conda environment.
    Conda(Home),
}

/// A Python environment by its places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Home {
    /// The environment.
    pub(super) prefix: ImagePath,
    /// Its packages.
    pub(super) site_packages: ImagePath,
    /// Its Python, as `3.12`.
    pub(super) version: String,
}

impl Home {
    fn new(prefix: &str, version: &Version) -> Result<Self, PlanError> {
        let version = version.release(2);
        let site_packages = format!("{prefix}/lib/python{version}/site-packages").parse()?;
        Ok(Self { prefix: prefix.parse()?, site_packages, version })
    }

    /// Returns the path of `folder` below the packages.
    pub(super) fn in_packages(&self, folder: &str) -> Result<ImagePath, PlanError> {
        Ok(format!("{}/{folder}", self.site_packages).parse()?)
    }
}

impl Python {
    /// Returns the Python that `lock` asks for.
    pub(super) fn of(lock: &Lock, catalog: &Catalog) -> Result<Self, PlanError> {
        let locked = lock.component(Component::Python);
        let base = catalog.image(&lock.base.image);
        if lock.component(Component::Smp).is_some_and(|smp| smp.origin == Origin::Conda) {
            let stated = locked.and_then(|python| python.version.known().cloned());
            let version = stated.or_else(|| smp_python(lock, catalog)).ok_or_else(|| unknown(lock))?;
            return Ok(Self::Conda(Home::new(CONDA, &version)?));
        }
        match locked {
            Some(python) if python.origin == Origin::Base => Ok(Self::Base),
            Some(python) => {
                let own = base.map(|image| image.os.python.clone());
                let version = python.version.known().cloned().or(own).ok_or_else(|| unknown(lock))?;
                Ok(Self::Venv(Home::new(VENV, &version)?))
            }
            None if base.is_some_and(|image| image.carries.contains_key(&Component::Python)) => {
                Ok(Self::Base)
            }
            None if lock.requirements().next().is_none() => Ok(Self::Absent),
            None => Err(unknown(lock)),
        }
    }

    /// Returns the environment, where the image has one of its own.
    pub(super) fn home(&self) -> Option<&Home> {
        match self {
            Self::Venv(home) | Self::Conda(home) => Some(home),
            Self::Absent | Self::Base => None,
        }
    }

    /// Returns where an environment on the distribution's interpreter is made.
    pub(super) fn venv(&self) -> Option<ImagePath> {
        match self {
            Self::Venv(home) => Some(home.prefix.clone()),
            Self::Absent | Self::Base | Self::Conda(_) => None,
        }
    }
}

fn smp_python(lock: &Lock, catalog: &Catalog) -> Option<Version> {
    let version = lock.component(Component::Smp)?.version.known()?.clone();
    let release = catalog.smp.iter().find(|release| release.version == version)?;
    release.carries.get(&Component::Python).cloned()
}

fn unknown(lock: &Lock) -> PlanError {
    PlanError::UnknownPython { image: lock.base.image.whole() }
}

/// The name of the stage for packages beyond the components.
pub(super) const BEYOND: &str = "packages";
/// The name of the stage for those of them that are built from source.
pub(super) const BEYOND_SOURCE: &str = "packages-from-source";

/// Packages that are installed together, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// The name of the stage.
    pub(super) name: String,
    /// For whom, in words.
    pub(super) title: String,
    /// The packages.
    pub(super) packages: Vec<PinnedPackage>,
    /// Links below site-packages.
    pub(super) links: BTreeMap<LocalPath, LocalPath>,
    /// Whether they exist only as source.
    pub(super) source: bool,
}

/// Returns the packages of each component, then those beyond the components: those with wheels, then those with source only.
pub(super) fn groups(lock: &Lock, catalog: &Catalog) -> Result<Vec<Group>, PlanError> {
    each_once(lock)?;
    let mut groups = Vec::new();
    for locked in lock.components.iter().filter(|locked| !locked.wheels.is_empty()) {
        groups.push(Group {
            name: locked.name.to_string(),
            title: locked.name.to_string(),
            packages: pinned(&locked.wheels)?,
            links: facts_of(locked, catalog).map(|facts| facts.links.clone()).unwrap_or_default(),
            source: false,
        });
    }
    let beyond = [
        (false, BEYOND, "Python packages beyond the components"),
        (true, BEYOND_SOURCE, "Python packages that exist only as source"),
    ];
    for (source, name, title) in beyond {
        let own: Vec<_> = lock.python.iter().filter(|pinned| pinned.source == source).cloned().collect();
        if !own.is_empty() {
            let (name, title) = (name.to_owned(), title.to_owned());
            groups.push(Group { name, title, packages: pinned(&own)?, links: BTreeMap::new(), source });
        }
    }
    Ok(groups)
}

/// Refuses a lock that names a package twice: which of the two won would depend on the order of layers.
fn each_once(lock: &Lock) -> Result<(), PlanError> {
    let mut owners: Vec<(String, &str)> = Vec::new();
    let of_components = lock.components.iter().flat_map(|locked| {
        locked.wheels.iter().chain(&locked.sdists).map(|pinned| (locked.name.name(), pinned))
    });
    for (owner, pinned) in of_components.chain(lock.python.iter().map(|pinned| (BEYOND, pinned))) {
        let package = package_name(pinned.package());
        if let Some((_, first)) = owners.iter().find(|(known, _)| *known == package) {
            return Err(PlanError::Twice { package, first: (*first).to_owned(), second: owner.to_owned() });
        }
        owners.push((package, owner));
    }
    Ok(())
}

/// Returns `requirements` with their checksums, sorted; an error names the first without one.
pub(super) fn pinned(requirements: &[PinnedRequirement]) -> Result<Vec<PinnedPackage>, PlanError> {
    let mut packages =
        requirements.iter().map(PinnedPackage::try_from).collect::<Result<Vec<_>, PlanError>>()?;
    packages.sort_by(|a, b| a.requirement.cmp(&b.requirement));
    Ok(packages)
}
