//! The plan: recipe, lock and target joined into stages, steps, expectations and smoke tests. Nothing is decided after it.

mod compile;
mod compose;
mod efa;
mod error;
mod estimate;
mod expect;
mod foreign;
mod image;
mod options;
mod pinned;
mod policy;
mod probes;
mod python;
mod stage;
mod steps;
mod target;
mod variables;
mod wheel;
mod work;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::lock::{Lock, Origin};
use crate::oci::{Dialect, Digest, Platform};
use crate::recipe::{Component, Name, Recipe, Version};

pub use error::PlanError;
pub use estimate::{Compilation, Emulated, Outline, PlannedComponent, Volume};
pub use image::ImageRef;
pub use options::{BadMirror, KeptWheel, Mirror, Options};
pub use pinned::{AptRequest, CondaRecord, PinnedPackage};
pub use stage::{
    Checksum, Compile, Download, Instruction, Link, Part, PythonCompile, Runs, Stage, StageName, StartsFrom,
    Step, UserCopy, Variable,
};
pub use target::{PlannedInstance, Target};
pub use wheel::WheelKey;
pub use work::Work;

/// The format of a plan as JSON. It changes only when a reader would have to.
pub const VERSION: u32 = 1;

/// What will be built, whole: two equal plans render to the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Plan {
    /// The format, [`VERSION`].
    pub version: u32,
    /// The recipe's name.
    #[schemars(with = "String")]
    pub recipe: Name,
    /// The digest of the recipe's text.
    pub recipe_digest: Digest,
    /// The digest of the lock's text.
    pub lock_digest: Digest,
    /// The revision of the catalogue that the lock was made from.
    pub catalog: String,
    /// For what the image is made.
    pub target: Target,
    /// Where it is built: from this follows what can run there.
    pub builder: Platform,
    /// How many steps run on the builder as they are.
    pub native_steps: usize,
    /// How many steps run programs of the target that the builder must emulate.
    pub emulated_steps: usize,
    /// What the emulated steps cost, and by whose report; empty where none is emulated.
    #[serde(default)]
    pub emulation: Vec<Emulated>,
    /// How many compilations are left out because their wheels were kept.
    pub cached_steps: usize,
    /// The stages in the order of the Dockerfile; the last is the image.
    pub stages: Vec<Stage>,
    /// The components as they were resolved.
    pub components: BTreeMap<Component, PlannedComponent>,
    /// What a build downloads.
    pub downloads: Vec<Volume>,
    /// What a build compiles, and what that costs.
    pub compile: Vec<Compilation>,
    /// What the image must hold.
    pub expectations: Vec<Expectation>,
    /// The smoke tests, by what they need.
    pub probes: Vec<Probe>,
    /// What a person should know and may ignore; each a sentence.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Joins `recipe` and `lock` into a plan.
    ///
    /// Refuses what cannot work on the target (a second NCCL plugin, stock PyTorch over SMP's, an installer that does not know the
    /// distribution), saying why. Which lock belongs to which recipe is [`Lock::freshness`]'s business.
    pub fn new(
        recipe: &Recipe,
        lock: &Lock,
        catalog: &Catalog,
        options: &Options,
    ) -> Result<Self, PlanError> {
        let target = Target::new(recipe, lock.platform, catalog)?;
        let warnings = policy::check(recipe, lock, catalog, &target)?;
        let stages = compose::stages(recipe, lock, catalog, options, &target)?;
        let builder = options.builder.unwrap_or(target.platform);
        let steps =
            || stages.iter().filter(|stage| stage.is_in(Dialect::Buildkit)).flat_map(|stage| &stage.steps);
        let of_target = steps().filter(|step| step.runs == Runs::Target).count();
        let emulated_steps = if builder == target.platform { 0 } else { of_target };
        let emulating = stages.iter().filter(|stage| emulated_steps > 0 && stage.is_in(Dialect::Buildkit));
        Ok(Self {
            builder,
            native_steps: steps().count() - emulated_steps,
            emulated_steps,
            emulation: estimate::emulated(emulating, catalog),
            cached_steps: stages.iter().filter(|stage| matches!(stage.work, Work::Taken { .. })).count(),
            version: VERSION,
            recipe: recipe.name.get_ref().clone(),
            recipe_digest: lock.recipe.digest,
            lock_digest: lock.digest(),
            catalog: lock.catalog.clone(),
            components: estimate::components(lock),
            downloads: estimate::downloads(lock),
            compile: estimate::compilations(lock, catalog, options)
                .into_iter()
                .filter(|compilation| !is_taken(&stages, compilation.component))
                .collect(),
            expectations: expect::expectations(lock, catalog),
            probes: probes::probes(lock, catalog, &target),
            target,
            stages,
            warnings,
        })
    }

    /// Returns whether the builder's architecture is not the target's.
    pub fn is_foreign(&self) -> bool {
        self.builder != self.target.platform
    }

    /// Returns the stages that compile a Python package.
    pub fn compiles(&self) -> impl Iterator<Item = (&StageName, &PythonCompile)> {
        self.stages.iter().filter_map(|stage| match &stage.work {
            Work::TransformerEngine(compile) | Work::FlashAttn(compile) => Some((&stage.name, compile)),
            _ => None,
        })
    }

    /// Returns the steps that the builder must emulate, each with its stage.
    pub fn emulated(&self) -> impl Iterator<Item = (&Stage, &Step)> {
        let foreign = self.is_foreign();
        let stages = self.stages.iter().filter(move |stage| foreign && stage.is_in(Dialect::Buildkit));
        stages
            .flat_map(|stage| stage.steps.iter().map(move |step| (stage, step)))
            .filter(|(_, step)| step.runs == Runs::Target)
    }

    /// Returns the stage that is the image.
    pub fn image(&self) -> Option<&Stage> {
        self.stages.last()
    }
}

/// Returns whether what `component` compiles was compiled before.
fn is_taken(stages: &[Stage], component: Component) -> bool {
    stages
        .iter()
        .any(|stage| matches!(&stage.work, Work::Taken { component: taken, .. } if *taken == component))
}

/// What the finished image must hold; `check` looks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Expectation {
    /// The component.
    pub component: Component,
    /// Its locked version; absent where only the distribution decides it.
    pub version: Option<Version>,
    /// How it came into the image, and so where its version is written.
    pub origin: Origin,
    /// The names of the Python distributions that carry it.
    pub distributions: Vec<String>,
    /// The names of the packages of the distribution that carry it.
    pub packages: Vec<String>,
    /// The sonames of its libraries, such as `libnccl.so.2`.
    pub libraries: Vec<String>,
}

/// A smoke test of an image. Its code is `probes/<name>.py`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Probe {
    /// Its name, such as `nccl-version`.
    pub name: ProbeName,
    /// What it is given, as JSON on standard input.
    pub input: serde_json::Value,
    /// Whether it needs a GPU.
    pub gpu: bool,
}

/// The probes that exist.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeName {
    /// Imports Python modules: input `{"modules": ["torch"]}`.
    Imports,
    /// Loads libraries with all symbols bound: input `{"libraries": ["libnccl.so.2"]}`.
    Libraries,
    /// Asks NCCL for its version through ctypes: input `{"version": "2.23.4"}`.
    NcclVersion,
    /// Looks which libraries a process that trains holds: input `{"modules": ["torch"], "versions": {"nccl": "2.23.4"}}`.
    Loaded,
    /// Lists libfabric's providers with `fi_info -l`: input `{"provider": "efa"}`.
    FabricProvider,
    /// Initialises the driver and makes a context on every GPU: input `{}`.
    GpuContext,
    /// Lets the driver compile a kernel and compares every number: input `{}`.
    GpuKernel,
    /// Measures memory and matrix product against the data sheet: input `{"sheets": [...], "fraction": 0.6}`.
    GpuSpeed,
    /// Trains a small network with PyTorch: input `{"expected": true}`.
    TorchTrain,
    /// A layer of Transformer Engine in bf16, forwards and backwards: input `{"expected": true}`.
    TransformerEngine,
    /// The same in FP8: input `{"fp8": true, "expected": true}`.
    TransformerEngineFp8,
    /// flash-attn against PyTorch's attention: input `{"expected": true}`.
    FlashAttention,
    /// Runs an all-reduce on one rank: input `{}`.
    NcclOneRank,
    /// Copies between each pair of GPUs: input `{}`.
    GpuPeers,
    /// NCCL over all GPUs of the node: input `{"known": [...]}`.
    NcclCollectives,
    /// NCCL over several nodes, with proof of EFA: input `{"fabric": "efa", "direct": true}`.
    NcclNetwork,
}

impl ProbeName {
    /// Returns its name as reports and the command line write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Imports => "imports",
            Self::Libraries => "libraries",
            Self::NcclVersion => "nccl-version",
            Self::Loaded => "loaded",
            Self::FabricProvider => "fabric-provider",
            Self::GpuContext => "gpu-context",
            Self::GpuKernel => "gpu-kernel",
            Self::GpuSpeed => "gpu-speed",
            Self::TorchTrain => "torch-train",
            Self::TransformerEngine => "transformer-engine",
            Self::TransformerEngineFp8 => "transformer-engine-fp8",
            Self::FlashAttention => "flash-attention",
            Self::NcclOneRank => "nccl-one-rank",
            Self::GpuPeers => "gpu-peers",
            Self::NcclCollectives => "nccl-collectives",
            Self::NcclNetwork => "nccl-network",
        }
    }

    /// Returns what it needs: 1 no GPU, 2 one GPU, 3 several GPUs, 4 several nodes.
    pub fn tier(self) -> u8 {
        match self {
            Self::Imports | Self::Libraries | Self::NcclVersion | Self::Loaded | Self::FabricProvider => 1,
            Self::GpuContext
            | Self::GpuKernel
            | Self::GpuSpeed
            | Self::TorchTrain
            | Self::TransformerEngine
            | Self::TransformerEngineFp8
            | Self::FlashAttention
            | Self::NcclOneRank => 2,
            Self::GpuPeers | Self::NcclCollectives => 3,
            Self::NcclNetwork => 4,
        }
    }
}
