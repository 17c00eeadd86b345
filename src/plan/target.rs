//! For what an image is made: the instances of the recipe, and what follows from them.

use serde::{Deserialize, Serialize};

use super::PlanError;
use crate::catalog::{Catalog, Rdma};
use crate::oci::Platform;
use crate::recipe::{Recipe, nearest};

/// For what an image is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Target {
    /// The platform.
    pub platform: Platform,
    /// The instances, as the recipe lists them.
    pub instances: Vec<PlannedInstance>,
    /// Compute capabilities of their GPUs without the dot, such as 90; ascending, each once.
    pub archs: Vec<u32>,
}

/// An instance type, as far as a plan looks at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PlannedInstance {
    /// Its name, such as `ml.p5.48xlarge`.
    pub name: String,
    /// The GPU's marketing name.
    pub gpu: String,
    /// Its compute capability without the dot.
    pub sm: u32,
    /// EFA devices.
    pub efa: u32,
    /// What its EFA devices do without the CPU.
    pub rdma: Rdma,
}

impl Target {
    /// Returns the target of `recipe` on `platform`.
    pub(super) fn new(recipe: &Recipe, platform: Platform, catalog: &Catalog) -> Result<Self, PlanError> {
        let mut instances = Vec::new();
        for name in &recipe.instances {
            let name = name.get_ref();
            let known = catalog.instances.get(name).ok_or_else(|| PlanError::UnknownInstance {
                name: name.escape_debug().to_string(),
                near: nearest(name, catalog.instances.keys().map(String::as_str))
                    .unwrap_or("none")
                    .to_owned(),
            })?;
            instances.push(PlannedInstance {
                name: known.name.clone(),
                gpu: known.gpu.clone(),
                sm: known.sm,
                efa: known.efa,
                rdma: known.rdma,
            });
        }
        if instances.is_empty() {
            return Err(PlanError::NoInstances);
        }
        let mut archs: Vec<u32> = instances.iter().map(|instance| instance.sm).collect();
        archs.sort_unstable();
        archs.dedup();
        Ok(Self { platform, instances, archs })
    }

    /// Returns the architectures as Transformer Engine takes them: `80;86;90`.
    pub fn nvte_archs(&self) -> String {
        joined(self.archs.iter().map(u32::to_string), ";")
    }

    /// Returns the architectures as PyTorch's extension builder takes them: `8.0;8.6;9.0`.
    pub fn torch_archs(&self) -> String {
        joined(self.archs.iter().map(|sm| format!("{}.{}", sm / 10, sm % 10)), ";")
    }

    /// Returns the architectures as flash-attn takes them: it compiles one kernel for each family (80, 90, 100, 120).
    pub fn flash_attn_archs(&self) -> String {
        let mut families: Vec<u32> = self.archs.iter().map(|sm| sm / 10 * 10).collect();
        families.dedup();
        joined(families.iter().map(u32::to_string), ";")
    }

    /// Returns the architectures as `nvcc` takes them, one `-gencode` each, without PTX.
    pub fn gencode(&self) -> String {
        joined(self.archs.iter().map(|sm| format!("-gencode=arch=compute_{sm},code=sm_{sm}")), " ")
    }
}

fn joined(parts: impl Iterator<Item = String>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
}
