//! What a plan refuses, and what it warns of: combinations that are known to fail on the nodes.

use super::python::Python;
use super::{PlanError, Target};
use crate::catalog::{Catalog, Rdma};
use crate::lock::{Lock, Origin};
use crate::recipe::{Component, Recipe, Version, package_name};

/// Refuses what cannot work; returns sentences on what may.
pub(super) fn check(
    recipe: &Recipe,
    lock: &Lock,
    catalog: &Catalog,
    target: &Target,
) -> Result<Vec<String>, PlanError> {
    one_plugin(lock, catalog)?;
    one_fabric(lock)?;
    known_distribution(lock, catalog)?;
    no_stock_torch(lock, catalog)?;
    let mut warnings = environment(recipe, target)?;
    warnings.extend(crate::resolve::review(recipe, lock, catalog));
    warnings.extend(over_the_base(recipe, lock, catalog)?);
    warnings.extend(lock.unresolved().into_iter().map(|sentence| format!("not locked: {sentence}")));
    Ok(warnings)
}

fn installer(lock: &Lock) -> Option<&Version> {
    let efa = lock.component(Component::Efa).filter(|locked| locked.origin == Origin::Installer)?;
    efa.version.known()
}

/// Returns whether the base carries `component`, by the lock or by the catalogue.
fn carried(lock: &Lock, catalog: &Catalog, component: Component) -> bool {
    let by_lock = lock.component(component).is_some_and(|locked| locked.origin == Origin::Base);
    by_lock || catalog.image(&lock.base.image).is_some_and(|image| image.carries.contains_key(&component))
}

/// Returns the first EFA installer that holds aws-ofi-nccl (EFA release notes).
pub(super) fn brings_plugin() -> Result<Version, PlanError> {
    Ok("1.38.0".parse()?)
}

/// From 1.38.0 the installer brings the plugin: beside another one, path order decides.
fn one_plugin(lock: &Lock, catalog: &Catalog) -> Result<(), PlanError> {
    let since = brings_plugin()?;
    let bundled = installer(lock)
        .filter(|version| **version >= since)
        .map(|version| format!("that of EFA installer {version}"));
    let own = lock
        .component(Component::AwsOfiNccl)
        .filter(|locked| locked.origin == Origin::Archive)
        .map(|locked| format!("{} built from source", locked.version));
    let base = carried(lock, catalog, Component::AwsOfiNccl).then(|| "the base image's own".to_owned());
    let mut plugins = [base, bundled, own].into_iter().flatten();
    match (plugins.next(), plugins.next()) {
        (Some(one), Some(other)) => Err(PlanError::TwoPlugins { one, other }),
        _ => Ok(()),
    }
}

fn one_fabric(lock: &Lock) -> Result<(), PlanError> {
    let distribution = lock.component(Component::Libfabric).is_some();
    match installer(lock) {
        Some(efa) if distribution => Err(PlanError::TwoFabrics { efa: efa.to_string() }),
        _ => Ok(()),
    }
}

/// An installer stops on a distribution that it does not know, or no longer.
fn known_distribution(lock: &Lock, catalog: &Catalog) -> Result<(), PlanError> {
    let (Some(efa), Some(base)) = (installer(lock), catalog.image(&lock.base.image)) else { return Ok(()) };
    let os = &base.os;
    let of_base = catalog.os_support.iter().filter(|support| {
        support.component == Component::Efa && support.os.id == os.id && support.os.version == os.version
    });
    match of_base.into_iter().find(|support| !support.versions.admits(efa)) {
        Some(support) => Err(PlanError::Distribution {
            efa: efa.clone(),
            os: format!("{} {}", os.id, os.version),
            range: support.versions.to_string(),
        }),
        None => Ok(()),
    }
}

/// SMP v2 is AWS's own build of PyTorch; a wheel of that name replaces it.
fn no_stock_torch(lock: &Lock, catalog: &Catalog) -> Result<(), PlanError> {
    let has_smp = lock.component(Component::Smp).is_some() || carried(lock, catalog, Component::Smp);
    let stock = lock.requirements().find(|pinned| pinned.package().eq_ignore_ascii_case("torch"));
    match stock {
        Some(pinned) if has_smp => Err(PlanError::StockTorch { package: pinned.requirement.to_string() }),
        _ => Ok(()),
    }
}

/// Warns of packages that nobody named and that go into the base's own Python: the catalogue does not list what that Python holds, so
/// they may replace packages that the base was tested with.
fn over_the_base(recipe: &Recipe, lock: &Lock, catalog: &Catalog) -> Result<Option<String>, PlanError> {
    if Python::of(lock, catalog)? != Python::Base {
        return Ok(None);
    }
    let named: Vec<String> =
        recipe.python.packages.iter().map(|package| package_name(package.get_ref().package())).collect();
    let pulled: Vec<&str> = lock
        .python
        .iter()
        .filter(|pinned| !named.contains(&package_name(pinned.package())))
        .map(|pinned| pinned.requirement.as_str())
        .collect();
    let sentence = format!(
        "{} come with the packages of the recipe and go over what the base image may have of them: what its Python holds beyond its \
         components is not in the catalogue",
        pulled.join(", ")
    );
    Ok((!pulled.is_empty()).then_some(sentence))
}

/// Refuses RDMA where it aborts; warns of variables that belong to the job and not to the image.
fn environment(recipe: &Recipe, target: &Target) -> Result<Vec<String>, PlanError> {
    let mut warnings = Vec::new();
    for (name, value) in &recipe.image.env {
        let (name, value) = (name.as_str(), value.get_ref().as_str());
        let asks_rdma = name == "FI_EFA_USE_DEVICE_RDMA" && !matches!(value, "0" | "");
        let without = target.instances.iter().find(|instance| matches!(instance.rdma, Rdma::None));
        if let (true, Some(instance)) = (asks_rdma, without) {
            return Err(PlanError::DeviceRdma { variable: name.to_owned(), instance: instance.name.clone() });
        }
        let of_job = name.starts_with("FI_")
            || name.starts_with("RDMAV_")
            || matches!(name, "NCCL_PROTO" | "NCCL_ALGO" | "LD_PRELOAD");
        if of_job {
            warnings.push(format!(
                "image.env.{name} is baked into the image; it belongs to the job: what helps on one instance type hurts on another"
            ));
        }
    }
    Ok(warnings)
}
