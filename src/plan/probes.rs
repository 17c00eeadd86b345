//! Which probes run in the image, and what each is given.

use serde_json::json;

use super::compose::facts_of;
use super::expect::expectation;
use super::{Probe, ProbeName, Target};
use crate::catalog::{Catalog, Packages, Rdma};
use crate::lock::{Lock, LockedComponent, Origin};
use crate::recipe::{Component, Version};

/// Below this share of the data sheet a GPU is slow enough to say so. Sound ones reach 0.8 and more of either figure.
const SLOW: f64 = 0.6;

/// Returns the probes for what `lock` puts into the image, by what they need: no GPU, one, several, several nodes.
pub(super) fn probes(lock: &Lock, catalog: &Catalog, target: &Target) -> Vec<Probe> {
    let has = |component| lock.component(component).is_some();
    let nccl = lock.component(Component::Nccl).and_then(|nccl| nccl.version.known());
    let fabric = has(Component::Efa) || has(Component::Libfabric);
    let mut probes = Vec::new();
    let mut add = |name, input| probes.push(probe(name, input));
    add(ProbeName::Imports, json!({ "modules": modules(lock, catalog) }));
    add(ProbeName::Libraries, json!({ "libraries": libraries(lock, catalog) }));
    if let Some(version) = nccl {
        add(ProbeName::NcclVersion, json!({ "version": version.to_string() }));
    }
    let torch = has(Component::Pytorch) || has(Component::Smp);
    if torch {
        add(ProbeName::Loaded, loaded(lock, catalog));
        add(ProbeName::TorchTrain, json!({ "expected": true }));
    }
    if fabric {
        add(ProbeName::FabricProvider, json!({ "provider": "efa" }));
    }
    // Without PyTorch there is only the library of Transformer Engine, which its import proves; its layers are PyTorch modules.
    if torch && has(Component::TransformerEngine) {
        add(ProbeName::TransformerEngine, json!({ "expected": true }));
        add(ProbeName::TransformerEngineFp8, json!({ "expected": true, "fp8": true }));
    }
    if has(Component::FlashAttn) {
        add(ProbeName::FlashAttention, json!({ "expected": true }));
    }
    if has(Component::Nccl) {
        add(ProbeName::NcclOneRank, json!({}));
        add(ProbeName::NcclCollectives, collectives(catalog, true));
        // Over nodes only EFA will do where the image brings it and an instance of the target has it.
        let efa: Vec<_> = target.instances.iter().filter(|instance| instance.efa > 0).collect();
        let direct = efa.iter().any(|instance| matches!(instance.rdma, Rdma::Read | Rdma::ReadWrite));
        let name = (fabric && !efa.is_empty()).then_some("efa");
        add(
            ProbeName::NcclNetwork,
            json!({ "fabric": name, "direct": direct && efa.len() == target.instances.len() }),
        );
    }
    for (name, input) in of_every_gpu(catalog) {
        add(name, input);
    }
    probes.retain(|probe| !asks_nothing(probe));
    probes.sort_by_key(|probe| (probe.tier(), probe.name));
    probes
}

impl Probe {
    /// Returns the probes for an image of which nothing is known: what is not in it they skip, saying so.
    pub fn of_any_image(catalog: &Catalog) -> Vec<Self> {
        let mut probes = vec![
            probe(ProbeName::Loaded, json!({ "modules": ["torch"], "distributions": anywhere(catalog) })),
            probe(ProbeName::TorchTrain, json!({})),
            probe(ProbeName::TransformerEngine, json!({})),
            probe(ProbeName::TransformerEngineFp8, json!({ "fp8": true })),
            probe(ProbeName::FlashAttention, json!({})),
            probe(ProbeName::NcclVersion, json!({ "expected": false })),
            probe(ProbeName::NcclOneRank, json!({ "expected": false })),
            probe(ProbeName::NcclCollectives, collectives(catalog, false)),
            probe(ProbeName::NcclNetwork, json!({ "fabric": "efa", "expected": false })),
        ];
        probes.extend(of_every_gpu(catalog).into_iter().map(|(name, input)| probe(name, input)));
        probes.sort_by_key(|probe| (probe.tier(), probe.name));
        probes
    }

    /// Returns what it needs: 1 no GPU, 2 one GPU, 3 several GPUs, 4 several nodes.
    pub fn tier(&self) -> u8 {
        self.name.tier()
    }
}

fn probe(name: ProbeName, input: serde_json::Value) -> Probe {
    Probe { name, input, gpu: name.tier() > 1 }
}

/// Returns whether a probe was given an empty list of things to look at.
fn asks_nothing(probe: &Probe) -> bool {
    let empty = |key: &str| probe.input.get(key).and_then(|list| list.as_array()).is_some_and(Vec::is_empty);
    match probe.name {
        ProbeName::Imports => empty("modules"),
        ProbeName::Libraries => empty("libraries"),
        _ => false,
    }
}

/// Returns the probes of the GPUs themselves, which ask nothing of the image.
fn of_every_gpu(catalog: &Catalog) -> Vec<(ProbeName, serde_json::Value)> {
    let sheet = |sheet: &crate::catalog::Gpu| json!({ "gpu": sheet.name, "memory": sheet.memory_bandwidth, "bf16": sheet.bf16_tflops });
    let sheets: Vec<_> = catalog.gpus.iter().map(sheet).collect();
    vec![
        (ProbeName::GpuContext, json!({})),
        (ProbeName::GpuKernel, json!({})),
        (ProbeName::GpuSpeed, json!({ "sheets": sheets, "fraction": SLOW })),
        (ProbeName::GpuPeers, json!({})),
    ]
}

fn collectives(catalog: &Catalog, expected: bool) -> serde_json::Value {
    let known = |known: &crate::catalog::BusBandwidth| json!({ "gpu": known.gpu, "gpus": known.gpus, "bus": known.bus, "source": known.fact.source });
    json!({ "known": catalog.buses.iter().map(known).collect::<Vec<_>>(), "expected": expected })
}

/// Returns the Python packages that bring NCCL and cuDNN, for whatever CUDA.
fn anywhere(catalog: &Catalog) -> serde_json::Value {
    let of = |component| -> Vec<&str> {
        let brings = |facts: &&Packages| facts.component == component;
        catalog.packages.iter().filter(brings).map(|facts| facts.leader.as_str()).collect()
    };
    json!({ "nccl": of(Component::Nccl), "cudnn": of(Component::Cudnn) })
}

/// Returns which versions a process that trains must hold, and where they are installed from.
fn loaded(lock: &Lock, catalog: &Catalog) -> serde_json::Value {
    let components = [Component::Nccl, Component::Cudnn];
    let locked = || components.iter().filter_map(|&component| lock.component(component));
    let versions: serde_json::Map<_, _> = locked()
        .filter_map(|locked| {
            Some((locked.name.name().to_owned(), json!(locked.version.known()?.to_string())))
        })
        .collect();
    let distributions: serde_json::Map<_, _> = locked()
        .map(|locked| (locked.name.name().to_owned(), json!(expectation(locked, catalog).distributions)))
        .collect();
    json!({ "modules": ["torch"], "versions": versions, "distributions": distributions, "expected": true })
}

/// Returns what the loader finds by name: in folders that the image tells it of, or where the distribution keeps libraries. Those
/// that are linked with the driver's library come last, because a stub of it stays in the process. What a Python module loads itself
/// is left to its import: Transformer Engine's library needs NVRTC loaded before, which only its module does.
fn libraries(lock: &Lock, catalog: &Catalog) -> Vec<String> {
    let mut found: Vec<(bool, String)> = Vec::new();
    let by_name =
        |locked: &&LockedComponent| reachable(locked, catalog) && modules_of(locked, catalog).is_empty();
    for locked in lock.components.iter().filter(by_name) {
        let driver = facts_of(locked, catalog).is_some_and(|facts| opens_driver(facts, locked));
        found.extend(expectation(locked, catalog).libraries.into_iter().map(|library| (driver, library)));
    }
    found.sort_by_key(|(driver, _)| *driver);
    found.into_iter().map(|(_, library)| library).collect()
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

/// Returns whether the libraries and modules of `locked` need the driver's library as they load.
fn opens_driver(facts: &Packages, locked: &LockedComponent) -> bool {
    let since: Option<&Version> = facts.driver_at_load.as_ref();
    since.is_some_and(|since| locked.version.known().is_none_or(|version| version >= since))
}

/// Returns the Python modules that the image must import, those that open the driver's library last.
fn modules(lock: &Lock, catalog: &Catalog) -> Vec<String> {
    let mut found: Vec<(bool, String)> =
        lock.components.iter().flat_map(|locked| modules_of(locked, catalog)).collect();
    found.sort_by_key(|(driver, _)| *driver);
    found.into_iter().map(|(_, module)| module).collect()
}

fn modules_of(locked: &LockedComponent, catalog: &Catalog) -> Vec<(bool, String)> {
    if locked.name == Component::Smp {
        return vec![(true, "torch.sagemaker".to_owned())];
    }
    let carried = || catalog.packages.iter().find(|facts| facts.component == locked.name);
    let facts = facts_of(locked, catalog).or_else(carried);
    let with_driver = |facts: &Packages| -> Vec<(bool, String)> {
        let compiled = facts.extensions.iter().filter(|_| !locked.sdists.is_empty());
        let all = facts.modules.iter().chain(compiled);
        all.map(|module| (opens_driver(facts, locked), module.clone())).collect()
    };
    facts.map(with_driver).unwrap_or_default()
}
