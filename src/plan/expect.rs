//! What the finished image must hold and which probes run in it.

use super::compose::facts_of;
use super::{Expectation, Probe, ProbeName};
use crate::catalog::{Catalog, Packages};
use crate::lock::{Lock, LockedComponent, Origin};
use crate::recipe::{Component, Version};

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

fn expectation(locked: &LockedComponent, catalog: &Catalog) -> Expectation {
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

/// Returns the probes for what `lock` puts into the image, those that need no GPU first.
pub(super) fn probes(lock: &Lock, catalog: &Catalog) -> Vec<Probe> {
    let mut probes = imports(lock, catalog);
    probes.extend(libraries(lock, catalog));
    if let Some(version) = lock.component(Component::Nccl).and_then(|nccl| nccl.version.known()) {
        let input = serde_json::json!({ "version": version.to_string() });
        probes.push(probe(ProbeName::NcclVersion, input, false));
    }
    let has = |component| lock.component(component).is_some();
    if has(Component::Efa) || has(Component::Libfabric) {
        probes.push(probe(ProbeName::FabricProvider, serde_json::json!({ "provider": "efa" }), false));
    }
    probes.push(probe(ProbeName::GpuContext, serde_json::json!({}), true));
    if has(Component::Nccl) {
        probes.push(probe(ProbeName::NcclOneRank, serde_json::json!({}), true));
    }
    probes.sort_by_key(|probe| probe.gpu);
    probes
}

/// Returns one probe for libraries that load anywhere, one for those that need the driver's library to load.
///
/// Only what the loader finds by name: in folders that the image tells it of, or where the distribution keeps libraries.
fn libraries(lock: &Lock, catalog: &Catalog) -> Vec<Probe> {
    let (mut anywhere, mut on_gpu) = (Vec::new(), Vec::new());
    for locked in lock.components.iter().filter(|locked| reachable(locked, catalog)) {
        let driver = facts_of(locked, catalog).is_some_and(|facts| opens_driver(facts, locked));
        let found = expectation(locked, catalog).libraries;
        if driver { on_gpu.extend(found) } else { anywhere.extend(found) }
    }
    split(ProbeName::Libraries, "libraries", anywhere, on_gpu)
}

/// Returns whether a program that names the libraries of `locked` finds them without a path.
fn reachable(locked: &LockedComponent, catalog: &Catalog) -> bool {
    match locked.origin {
        Origin::Wheels | Origin::Sdist => {
            facts_of(locked, catalog).is_some_and(|facts| !facts.folders.is_empty())
        }
        Origin::Apt | Origin::Installer | Origin::Archive => true,
        Origin::Base | Origin::Bundled | Origin::Conda => false,
    }
}

/// Returns one probe for modules that import anywhere, one for those that open the driver's library as they load.
fn imports(lock: &Lock, catalog: &Catalog) -> Vec<Probe> {
    let (mut anywhere, mut on_gpu) = (Vec::new(), Vec::new());
    for locked in &lock.components {
        for (module, driver) in modules(locked, catalog) {
            if driver { on_gpu.push(module) } else { anywhere.push(module) }
        }
    }
    split(ProbeName::Imports, "modules", anywhere, on_gpu)
}

/// Returns the probe `name` once for what works anywhere and once for what needs a GPU's driver, where there is any.
fn split(name: ProbeName, key: &str, anywhere: Vec<String>, on_gpu: Vec<String>) -> Vec<Probe> {
    [(anywhere, false), (on_gpu, true)]
        .into_iter()
        .filter(|(things, _)| !things.is_empty())
        .map(|(things, gpu)| probe(name, serde_json::json!({ key: things }), gpu))
        .collect()
}

/// Returns whether the libraries and modules of `locked` need the driver's library as they load.
fn opens_driver(facts: &Packages, locked: &LockedComponent) -> bool {
    let since: Option<&Version> = facts.driver_at_load.as_ref();
    since.is_some_and(|since| locked.version.known().is_none_or(|version| version >= since))
}

/// Returns the Python modules of `locked`, each with whether importing it needs the driver.
fn modules(locked: &LockedComponent, catalog: &Catalog) -> Vec<(String, bool)> {
    if locked.name == Component::Smp {
        return vec![("torch.sagemaker".to_owned(), true)];
    }
    let carried = || catalog.packages.iter().find(|facts| facts.component == locked.name);
    let facts = facts_of(locked, catalog).or_else(carried);
    let with_driver = |facts: &Packages| -> Vec<(String, bool)> {
        facts.modules.iter().map(|module| (module.clone(), opens_driver(facts, locked))).collect()
    };
    facts.map(with_driver).unwrap_or_default()
}

fn probe(name: ProbeName, input: serde_json::Value, gpu: bool) -> Probe {
    Probe { name, input, gpu }
}
