//! What is in the image of a declared component, and where that was read.

use serde::Serialize;

use super::inventory::{Installed, Inventory};
use super::rules::Image;
use crate::catalog::Catalog;
use crate::lock::Origin;
use crate::plan::Expectation;
use crate::recipe::{Component, Version, package_name};

/// A declared component and what was seen of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct ComponentSeen {
    /// The component.
    pub component: Component,
    /// Its locked version; none where the lock leaves it open.
    pub declared: Option<Version>,
    /// The version that was found: of the most telling sighting.
    pub found: Option<String>,
    /// Everything that was seen of it, the most telling first.
    pub seen: Vec<Sighting>,
}

/// One place where a component was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Sighting {
    /// What kind of evidence it is.
    pub evidence: Evidence,
    /// The name that was looked for: a package, a library.
    pub name: String,
    /// The version that it says; none where it only says that the component is there.
    pub version: Option<String>,
    /// Where.
    pub path: String,
}

/// Kinds of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// Metadata of a Python distribution.
    PythonMetadata,
    /// The database of dpkg or rpm.
    Dpkg,
    /// A record of conda.
    Conda,
    /// A version inside a library.
    LibraryMarker,
    /// The name of a library's file.
    LibraryName,
    /// The EFA installer's own record.
    EfaRecord,
    /// `/etc/os-release`.
    OsRelease,
    /// A Python interpreter.
    Interpreter,
}

/// Looks for everything that `expectation` names.
pub(crate) fn see(image: &Image, expectation: &Expectation) -> ComponentSeen {
    let mut seen = Vec::new();
    own_records(&image.inventory, expectation.component, &mut seen);
    packages(&image.inventory, expectation, &mut seen);
    libraries(image, expectation, &mut seen);
    let leader = leading(expectation, &seen).and_then(|sighting| sighting.version.clone());
    ComponentSeen {
        component: expectation.component,
        declared: expectation.version.clone(),
        found: leader,
        seen,
    }
}

/// Returns what is there of every component where nobody said what must be: whichever traces are known of it.
pub(crate) fn infer(image: &Image, catalog: &Catalog) -> Vec<ComponentSeen> {
    let inferred = Component::ALL.iter().map(|&component| see(image, &traces(image, component, catalog)));
    inferred.filter(|seen| !seen.seen.is_empty()).collect()
}

/// Returns by what `component` may be found in an image that nobody planned.
fn traces(image: &Image, component: Component, catalog: &Catalog) -> Expectation {
    let rows = || catalog.packages.iter().filter(|row| row.component == component);
    // Of the rows for several CUDAs, the one that is installed.
    let installed = rows().find(|row| image.inventory.python.contains_key(&package_name(&row.leader)));
    let (packages, libraries): (&[&str], &[&str]) = match component {
        Component::Nccl => (&["libnccl2", "libnccl"], &["libnccl.so.2"]),
        Component::Cudnn => {
            (&["libcudnn9-cuda-12", "libcudnn9-cuda-13", "libcudnn8"], &["libcudnn.so.9", "libcudnn.so.8"])
        }
        Component::Cuda => {
            (&["cuda-cudart-12-4"], &["libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0"])
        }
        Component::Libfabric => (&["libfabric1", "libfabric1-aws", "libfabric-aws"], &["libfabric.so.1"]),
        Component::AwsOfiNccl => (&["libnccl-ofi"], &["libnccl-net-ofi.so", "libnccl-net.so"]),
        Component::Gdrcopy => (&["libgdrapi", "gdrcopy"], &["libgdrapi.so.2"]),
        Component::Pytorch => (&["pytorch"], &[]),
        _ => (&[], &[]),
    };
    let text = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Expectation {
        component,
        version: None,
        origin: Origin::Base,
        distributions: installed.map(|row| row.leader.clone()).into_iter().collect(),
        packages: text(packages),
        libraries: text(libraries),
    }
}

/// Returns the sighting whose version is the component's: its own record, else its first package, else its library.
///
/// Of several Python distributions only the first is the component's own (`nvidia-cuda-runtime-cu12` is CUDA's version,
/// `nvidia-cublas-cu12` has one of its own).
fn leading<'a>(expectation: &Expectation, seen: &'a [Sighting]) -> Option<&'a Sighting> {
    let first = |names: &[String], kinds: &[Evidence]| -> Option<&'a Sighting> {
        let name = names.first()?;
        seen.iter().find(|sighting| {
            kinds.contains(&sighting.evidence)
                && sighting.version.is_some()
                && package_name(&sighting.name) == package_name(name)
        })
    };
    let kind = |wanted: Evidence| {
        seen.iter().find(|sighting| sighting.evidence == wanted && sighting.version.is_some())
    };
    kind(Evidence::EfaRecord)
        .or_else(|| kind(Evidence::OsRelease))
        .or_else(|| first(&expectation.distributions, &[Evidence::PythonMetadata, Evidence::Conda]))
        .or_else(|| kind(Evidence::LibraryMarker))
        .or_else(|| first(&expectation.packages, &[Evidence::Dpkg, Evidence::Conda]))
        .or_else(|| kind(Evidence::LibraryName))
        .or_else(|| kind(Evidence::Interpreter))
}

/// Takes what has a record of its own: the distribution, the EFA installer, Python.
fn own_records(inventory: &Inventory, component: Component, seen: &mut Vec<Sighting>) {
    let mut take = |evidence, name: &str, installed: &Installed| {
        seen.push(Sighting {
            evidence,
            name: name.to_owned(),
            version: Some(installed.version.clone()).filter(|version| !version.is_empty()),
            path: installed.path.clone(),
        });
    };
    match component {
        Component::Os => {
            if let Some((name, installed)) = &inventory.os {
                take(Evidence::OsRelease, name, installed);
            }
        }
        Component::Efa => {
            if let Some(installed) = &inventory.efa {
                take(Evidence::EfaRecord, "efa-installer", installed);
            }
        }
        Component::Python => {
            for installed in &inventory.interpreters {
                take(Evidence::Interpreter, "python", installed);
            }
        }
        _ => {}
    }
}

/// Takes the packages that carry the component, in the order in which the plan names them.
fn packages(inventory: &Inventory, expectation: &Expectation, seen: &mut Vec<Sighting>) {
    let mut take = |evidence, name: &str, installed: Option<&Vec<Installed>>| {
        for Installed { version, path } in installed.into_iter().flatten() {
            let (version, path) = (Some(version.clone()), path.clone());
            seen.push(Sighting { evidence, name: name.to_owned(), version, path });
        }
    };
    for name in &expectation.distributions {
        take(Evidence::PythonMetadata, name, inventory.python.get(&package_name(name)));
        take(Evidence::Conda, name, inventory.conda.get(name));
    }
    for name in &expectation.packages {
        take(Evidence::Dpkg, name, inventory.system.get(name));
        take(Evidence::Conda, name, inventory.conda.get(name));
    }
}

/// Takes the libraries: what is written inside them, and for those that carry it their file's name.
fn libraries(image: &Image, expectation: &Expectation, seen: &mut Vec<Sighting>) {
    // Others number their files as libtool does, which is not the product's version (libfabric 2 is libfabric.so.1).
    let numbered = matches!(
        expectation.component,
        Component::Cuda | Component::Cudnn | Component::Nccl | Component::Gdrcopy
    );
    for soname in &expectation.libraries {
        for (name, path) in image.inventory.library(soname) {
            let note = image.root.file(path.trim_start_matches('/'));
            let marker = note.and_then(|note| note.marker());
            let digits =
                name.split_once(".so.").map(|(_, digits)| digits).filter(|_| numbered && name != soname);
            let (evidence, version) = match (marker, digits) {
                (Some(marker), _) => (Evidence::LibraryMarker, Some(marker.to_owned())),
                (None, Some(digits)) => (Evidence::LibraryName, Some(digits.to_owned())),
                (None, None) => (Evidence::LibraryName, None),
            };
            seen.push(Sighting { evidence, name: soname.clone(), version, path: path.to_owned() });
        }
    }
}

/// Returns whether the version `found` is the one that the lock `declared`.
///
/// What comes from wheels or source distributions is locked to the last digit. What a base image or a distribution brings is
/// known by fewer digits: `12.4` then means any `12.4.x`. A local part (`+cu124`) and a Debian revision do not count.
pub(crate) fn agrees(declared: &Version, found: &str, origin: Origin) -> bool {
    let upstream = upstream_version(found);
    let Ok(found) = upstream.parse::<Version>() else { return false };
    let (declared, found) = (declared.pep440(), found.pep440());
    let public = |version: &pep440_rs::Version| version.clone().without_local();
    if public(declared) == public(found) {
        return true;
    }
    let exact = matches!(origin, Origin::Wheels | Origin::Sdist | Origin::Conda | Origin::Installer);
    let (want, have) = (declared.release(), found.release());
    let plain = !declared.any_prerelease() && !found.any_prerelease() && declared.epoch() == found.epoch();
    !exact && plain && have.len() > want.len() && have.iter().zip(want).all(|(have, want)| have == want)
}

/// Returns a Debian version without epoch, revision and repacking marks; others as they are.
pub(crate) fn upstream_version(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    let version = version.rsplit_once('-').map_or(version, |(upstream, _)| upstream);
    version.split(['~', '-']).next().unwrap_or(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agree(declared: &str, found: &str, origin: Origin) -> bool {
        agrees(&declared.parse().unwrap(), found, origin)
    }

    #[test]
    fn wheels_must_agree_to_the_last_digit_but_not_in_their_local_part() {
        assert!(agree("2.32.3", "2.32.3", Origin::Wheels));
        assert!(agree("2.5.1", "2.5.1+cu124", Origin::Wheels));
        assert!(agree("1.10", "1.10.0", Origin::Wheels));
        assert!(!agree("2.32.3", "2.32.30", Origin::Wheels));
        assert!(!agree("9.4", "9.4.0.58", Origin::Wheels));
    }

    #[test]
    fn what_a_base_brings_is_known_by_fewer_digits() {
        assert!(agree("12.4", "12.4.127", Origin::Base));
        assert!(agree("9.4.0", "9.4.0.58", Origin::Base));
        assert!(!agree("12.4", "12.40", Origin::Base));
        assert!(!agree("12.4", "12", Origin::Base));
        assert!(!agree("12.4", "nonsense", Origin::Base));
    }

    #[test]
    fn epochs_and_revisions_of_debian_do_not_count() {
        assert!(agree("2.1.0", "2.1.0-1.1", Origin::Apt));
        assert!(agree("2.23.4", "2.23.4-1+cuda12.4", Origin::Apt));
        assert!(agree("1.22.0", "1:1.22.0~amzn4-2", Origin::Apt));
    }
}
