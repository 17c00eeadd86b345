//! The facts of the field, loaded from `catalog/*.toml` and checked: releases, artefacts, instances, what base images carry, what fits what.
//!
//! A file of the user's adds facts or overrides them; what was overridden is remembered and told wherever the facts are used.

mod apt;
mod builds;
mod check;
mod drift;
mod error;
mod facts;
mod merge;
mod nccl_log;
mod overlay;
mod row;
mod tables;
mod walk;

pub use apt::{Apt, AptArchive};
pub use builds::{Compile, Emulation, Minutes};
pub use drift::{Drift, IndexToday, TorchWheel};
pub use error::CatalogError;
pub use facts::{
    ApiRange, Archive, BaseImage, BusBandwidth, Confidence, Constraint, CudaDriver, EfaFlag, EfaRelease,
    Fact, Gpu, GpuCode, Headers, InstalledPath, Instance, InstanceNeeds, KnownIssue, NcclAbi, NodeImage, Os,
    OsName, OsSupport, Packages, PluginAbi, Precision, PytorchRelease, Rdma, Release, SmpRegistry,
    SmpRelease, TransformerEngineRelease,
};
pub use nccl_log::{LogEvent, LogLine, NcclLog, Symptom, SymptomSeverity};
pub use overlay::{Addition, Change, Override, Own, OwnFile, shown};
pub use tables::{Catalog, TABLES};
pub use walk::FactRef;

use crate::oci::Reference;
use crate::recipe::{Component, Source, Version};

/// The catalogue's files, embedded: name and text.
const FILES: &[(&str, &str)] = &[
    ("catalog.toml", include_str!("../catalog/catalog.toml")),
    ("instances.toml", include_str!("../catalog/instances.toml")),
    ("gpus.toml", include_str!("../catalog/gpus.toml")),
    ("efa.toml", include_str!("../catalog/efa.toml")),
    ("smp.toml", include_str!("../catalog/smp.toml")),
    ("transformer-engine.toml", include_str!("../catalog/transformer-engine.toml")),
    ("images.toml", include_str!("../catalog/images.toml")),
    ("packages.toml", include_str!("../catalog/packages.toml")),
    ("archives.toml", include_str!("../catalog/archives.toml")),
    ("apt.toml", include_str!("../catalog/apt.toml")),
    ("builds.toml", include_str!("../catalog/builds.toml")),
    ("releases.toml", include_str!("../catalog/releases.toml")),
    ("pytorch.toml", include_str!("../catalog/pytorch.toml")),
    ("abi.toml", include_str!("../catalog/abi.toml")),
    ("gpu-code.toml", include_str!("../catalog/gpu-code.toml")),
    ("efa-installer.toml", include_str!("../catalog/efa-installer.toml")),
    ("nodes.toml", include_str!("../catalog/nodes.toml")),
    ("instance-needs.toml", include_str!("../catalog/instance-needs.toml")),
    ("constraints.toml", include_str!("../catalog/constraints.toml")),
    ("known-issues.toml", include_str!("../catalog/known-issues.toml")),
    ("precision.toml", include_str!("../catalog/precision.toml")),
];

impl Catalog {
    /// Returns the catalogue that is embedded in the program.
    pub fn embedded() -> Result<Self, CatalogError> {
        Self::with_own(Vec::new())
    }

    /// Returns the embedded catalogue with files of the user's over it.
    pub fn with_own(own: Vec<Source>) -> Result<Self, CatalogError> {
        let mut files: Vec<Source> =
            FILES.iter().map(|(file, text)| Source::new(format!("catalog/{file}"), *text)).collect();
        files.extend(own);
        Self::joined(&files, FILES.len())
    }

    /// Reads a catalogue from its files, each given by name and text.
    pub fn read(files: &[(&str, &str)]) -> Result<Self, CatalogError> {
        let files: Vec<Source> = files.iter().map(|(file, text)| Source::new(*file, *text)).collect();
        Self::joined(&files, files.len())
    }

    /// Joins `files`, of which those from `built_in` on are the user's, and checks the whole.
    fn joined(files: &[Source], built_in: usize) -> Result<Self, CatalogError> {
        let (joined, mut named, own, places) = merge::Merge::join(files, built_in)?;
        for file in &own.files {
            let digest = file.digest.to_string();
            let short: String = digest.trim_start_matches("sha256:").chars().take(12).collect();
            named.revision = format!("{}+{short}", named.revision);
        }
        let mut catalog = joined.finished(named, own);
        catalog.efa.sort_by(|a, b| b.version.cmp(&a.version));
        catalog.smp.sort_by(|a, b| b.version.cmp(&a.version));
        catalog.pytorch.sort_by(|a, b| b.version.cmp(&a.version));
        catalog.transformer_engine.sort_by(|a, b| b.version.cmp(&a.version));
        check::check(&catalog, &places, files, built_in)?;
        Ok(catalog)
    }

    /// Returns what is known of the base image `reference`: the longest repository and tag prefix that fits.
    pub fn image(&self, reference: &Reference) -> Option<&BaseImage> {
        let tag = reference.tag().unwrap_or_default();
        self.images
            .iter()
            .filter(|image| image.fits(reference.registry(), reference.repository(), tag))
            .max_by_key(|image| image.tag.len())
    }

    /// Returns every version of `component` that is known, newest first: releases, rows of its own table, what images carry.
    pub fn versions(&self, component: Component) -> Vec<Version> {
        let mut versions: Vec<Version> = Vec::new();
        let releases = self.releases.iter().filter(|release| release.component == component);
        versions.extend(releases.flat_map(|release| release.versions.iter().cloned()));
        let archives = self.archives.iter().filter(|archive| archive.component == component);
        versions.extend(archives.map(|archive| archive.version.clone()));
        match component {
            Component::Efa => versions.extend(self.efa.iter().map(|release| release.version.clone())),
            Component::Smp => versions.extend(self.smp.iter().map(|release| release.version.clone())),
            Component::Pytorch => versions.extend(self.pytorch.iter().map(|release| release.version.clone())),
            Component::TransformerEngine => {
                versions.extend(self.transformer_engine.iter().map(|release| release.version.clone()));
            }
            Component::AwsOfiNccl => {
                versions.extend(self.efa.iter().filter_map(|release| release.plugin.as_ref()?.parse().ok()));
            }
            Component::Driver => versions.extend(self.node_images.iter().map(|node| node.driver.clone())),
            Component::Python => versions.extend(self.images.iter().map(|image| image.os.python.clone())),
            _ => {}
        }
        let carried = self.images.iter().map(|image| &image.carries);
        let carried = carried.chain(self.smp.iter().map(|release| &release.carries));
        versions.extend(carried.filter_map(|carries| carries.get(&component).cloned()));
        versions.sort_by(|a, b| b.cmp(a));
        versions.dedup();
        versions
    }

    /// Returns the source archive of `component` at `version`.
    pub fn archive(&self, component: Component, version: &Version) -> Option<&Archive> {
        self.archives.iter().find(|archive| archive.component == component && archive.version == *version)
    }

    /// Returns the EFA installer `version`.
    pub fn efa_release(&self, version: &Version) -> Option<&EfaRelease> {
        self.efa.iter().find(|release| release.version == *version)
    }

    /// Returns the Python packages that bring `component` for CUDA `major`.
    pub fn packages_of(&self, component: Component, cuda_major: u64) -> Option<&Packages> {
        let fits = |packages: &&Packages| {
            packages.component == component && packages.cuda.is_none_or(|major| major == cuda_major)
        };
        self.packages.iter().find(fits)
    }
}
