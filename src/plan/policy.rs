//! What a plan refuses, and what it warns of: combinations that are known to fail on the nodes.

use super::{PlanError, Target};
use crate::catalog::{Catalog, Rdma};
use crate::lock::{Lock, Origin};
use crate::recipe::{Component, Recipe, Version};

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

/// From 1.38.0 the installer brings the plugin: beside another one, path order decides.
fn one_plugin(lock: &Lock, catalog: &Catalog) -> Result<(), PlanError> {
    let brings_plugin: Version = "1.38.0".parse()?;
    let bundled = installer(lock)
        .filter(|version| **version >= brings_plugin)
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

fn known_distribution(lock: &Lock, catalog: &Catalog) -> Result<(), PlanError> {
    let drops_focal: Version = "1.43.0".parse()?;
    let focal = catalog
        .image(&lock.base.image)
        .is_some_and(|image| image.os.id == "ubuntu" && image.os.version == "20.04");
    match installer(lock) {
        Some(efa) if focal && *efa >= drops_focal => Err(PlanError::OldUbuntu { efa: efa.clone() }),
        _ => Ok(()),
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

/// Refuses RDMA where it aborts; warns of variables that belong to the job and not to the image.
fn environment(recipe: &Recipe, target: &Target) -> Result<Vec<String>, PlanError> {
    let mut warnings = Vec::new();
    for (name, value) in &recipe.image.env {
        let (name, value) = (name.as_str(), value.as_str());
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
