//! What the finished image must hold.

use super::Expectation;
use super::compose::facts_of;
use crate::catalog::{Catalog, Packages};
use crate::lock::{Lock, LockedComponent, Origin};
use crate::recipe::Component;

/// Sonames that do not depend on how a component came into the image.
fn sonames(component: Component) -> &'static [&'static str] {
    match component {
        Component::Efa | Component::Libfabric => &["libfabric.so.1"],
        Component::AwsOfiNccl => &["libnccl-net.so"],
        Component::Gdrcopy => &["libgdrapi.so.2"],
        Component::Nccl => &["libnccl.so.2"],
        _ => &[],
    }
}

/// Returns what `lock` promises of the image.
pub(super) fn expectations(lock: &Lock, catalog: &Catalog) -> Vec<Expectation> {
    lock.components.iter().map(|locked| expectation(locked, catalog)).collect()
}

/// Returns what one component promises.
pub(super) fn expectation(locked: &LockedComponent, catalog: &Catalog) -> Expectation {
    let pinned = locked.wheels.iter().chain(&locked.sdists);
    let mut libraries: Vec<String> = sonames(locked.name).iter().map(|&name| name.to_owned()).collect();
    for library in facts_of(locked, catalog).into_iter().flat_map(|facts| &facts.libraries) {
        if !libraries.contains(library) {
            libraries.push(library.clone());
        }
    }
    Expectation {
        component: locked.name,
        version: locked.version.known().cloned(),
        origin: locked.origin,
        distributions: match locked.origin {
            Origin::Base | Origin::Conda => carried(locked.name, catalog),
            _ => pinned.map(|pinned| pinned.package().to_owned()).collect(),
        },
        packages: locked.packages.iter().map(ToString::to_string).collect(),
        libraries,
    }
}

/// Returns the names that a component has among Python packages where nobody pinned them: in an image that carries it already.
///
/// NVIDIA's packages for one CUDA are left out: such an image has NCCL and cuDNN as files, not as wheels.
fn carried(component: Component, catalog: &Catalog) -> Vec<String> {
    let of_any_cuda = |facts: &Packages| match facts.cuda {
        None => Some(facts.leader.clone()),
        Some(_) => facts.wheels.iter().find(|wheel| **wheel == component.name()).cloned(),
    };
    let mut names: Vec<String> = catalog
        .packages
        .iter()
        .filter(|facts| facts.component == component)
        .filter_map(of_any_cuda)
        .collect();
    names.dedup();
    names
}
