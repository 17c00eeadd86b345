//! The facts of the field, loaded from `catalog/*.toml` and checked: releases, artefacts, instances, what base images carry.

mod facts;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use facts::{
    ApiRange, Archive, BaseImage, Confidence, Constraint, CudaDriver, EfaFlag, EfaRelease, Fact, Gpu,
    GpuCode, InstalledPath, Instance, InstanceNeeds, KnownIssue, NcclAbi, NodeImage, Os, OsName, OsSupport,
    Packages, PluginAbi, Precision, PytorchRelease, Rdma, Release, SmpRegistry, SmpRelease,
    TransformerEngineRelease,
};

use crate::oci::Reference;
use crate::recipe::{ArtefactUrl, Component, Version};

/// The catalogue's files, embedded: name and text.
const FILES: &[(&str, &str)] = &[
    ("catalog.toml", include_str!("../catalog/catalog.toml")),
    ("instances.toml", include_str!("../catalog/instances.toml")),
    ("efa.toml", include_str!("../catalog/efa.toml")),
    ("smp.toml", include_str!("../catalog/smp.toml")),
    ("transformer-engine.toml", include_str!("../catalog/transformer-engine.toml")),
    ("images.toml", include_str!("../catalog/images.toml")),
    ("packages.toml", include_str!("../catalog/packages.toml")),
    ("archives.toml", include_str!("../catalog/archives.toml")),
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

/// Everything that is known.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// The revision: a date and a number within it.
    pub revision: String,
    /// Instance types by name, such as `ml.p5.48xlarge`.
    pub instances: BTreeMap<String, Instance>,
    /// EFA installers, newest first.
    pub efa: Vec<EfaRelease>,
    /// SMP releases, newest first.
    pub smp: Vec<SmpRelease>,
    /// Transformer Engine releases, newest first.
    pub transformer_engine: Vec<TransformerEngineRelease>,
    /// Base images.
    pub images: Vec<BaseImage>,
    /// Which Python packages bring which component.
    pub packages: Vec<Packages>,
    /// Source archives and single files.
    pub archives: Vec<Archive>,
    /// Versions that exist, beside those that other tables give one by one.
    pub releases: Vec<Release>,
    /// PyTorch releases of the package index, newest first.
    pub pytorch: Vec<PytorchRelease>,
    /// Plugin interfaces that NCCL accepts.
    pub nccl_abi: Vec<NcclAbi>,
    /// Plugin interfaces that aws-ofi-nccl offers.
    pub plugin_abi: Vec<PluginAbi>,
    /// Drivers that a CUDA runs on.
    pub cuda_driver: Vec<CudaDriver>,
    /// For which GPUs binaries hold code.
    pub gpu_code: Vec<GpuCode>,
    /// Which versions support which distribution.
    pub os_support: Vec<OsSupport>,
    /// Flags of the EFA installer.
    pub efa_flags: Vec<EfaFlag>,
    /// Where things lie in an image.
    pub paths: Vec<InstalledPath>,
    /// Images of nodes, as the file has them: newest series first.
    pub node_images: Vec<NodeImage>,
    /// What instances ask of components.
    pub instance_needs: Vec<InstanceNeeds>,
    /// Needs that no table of their own hold.
    pub constraints: Vec<Constraint>,
    /// What is known to go wrong.
    pub known_issues: Vec<KnownIssue>,
    /// Which GPUs compute in which number format.
    pub precisions: Vec<Precision>,
    /// Data-sheet figures of GPUs.
    pub gpus: Vec<Gpu>,
    /// Where the images of SMP are.
    pub smp_registries: Vec<SmpRegistry>,
    /// Conda channels of SMP, the first wins.
    pub smp_channels: Vec<ArtefactUrl>,
    /// The Python package index that is asked where the user names no other.
    pub python_index: ArtefactUrl,
}

/// Why a text is not a catalogue.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A file that does not read.
    #[error("{file} is not a file of the catalogue: {message}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong, with line and column.
        message: String,
    },
    /// The same thing twice.
    #[error("{file} names {what} twice")]
    Duplicate {
        /// The file.
        file: String,
        /// What is there twice.
        what: String,
    },
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Wire {
    revision: Option<String>,
    smp_channels: Vec<ArtefactUrl>,
    python_index: Option<ArtefactUrl>,
    instance: Vec<Instance>,
    efa: Vec<EfaRelease>,
    smp: Vec<SmpRelease>,
    transformer_engine: Vec<TransformerEngineRelease>,
    image: Vec<BaseImage>,
    packages: Vec<Packages>,
    archive: Vec<Archive>,
    #[serde(rename = "release")]
    releases: Vec<Release>,
    #[serde(rename = "pytorch")]
    pytorch: Vec<PytorchRelease>,
    #[serde(rename = "nccl-abi")]
    nccl_abi: Vec<NcclAbi>,
    #[serde(rename = "plugin-abi")]
    plugin_abi: Vec<PluginAbi>,
    #[serde(rename = "cuda-driver")]
    cuda_driver: Vec<CudaDriver>,
    #[serde(rename = "gpu-code")]
    gpu_code: Vec<GpuCode>,
    #[serde(rename = "os-support")]
    os_support: Vec<OsSupport>,
    #[serde(rename = "efa-flag")]
    efa_flags: Vec<EfaFlag>,
    #[serde(rename = "path")]
    paths: Vec<InstalledPath>,
    #[serde(rename = "node-image")]
    node_images: Vec<NodeImage>,
    #[serde(rename = "instance-needs")]
    instance_needs: Vec<InstanceNeeds>,
    #[serde(rename = "constraint")]
    constraints: Vec<Constraint>,
    #[serde(rename = "known-issue")]
    known_issues: Vec<KnownIssue>,
    #[serde(rename = "precision")]
    precisions: Vec<Precision>,
    #[serde(rename = "gpu")]
    gpus: Vec<Gpu>,
    #[serde(rename = "smp-registry")]
    smp_registries: Vec<SmpRegistry>,
}

impl Catalog {
    /// Returns the catalogue that is embedded in the program.
    pub fn embedded() -> Result<Self, CatalogError> {
        Self::read(FILES)
    }

    /// Reads a catalogue from its files, each given by name and text.
    pub fn read(files: &[(&str, &str)]) -> Result<Self, CatalogError> {
        let mut whole = Wire::default();
        for (file, text) in files {
            let part: Wire = toml::from_str(text).map_err(|error| CatalogError::Malformed {
                file: (*file).to_owned(),
                message: error.to_string().trim_end().to_owned(),
            })?;
            whole.revision = whole.revision.or(part.revision);
            whole.smp_channels.extend(part.smp_channels);
            whole.python_index = whole.python_index.or(part.python_index);
            whole.instance.extend(part.instance);
            whole.efa.extend(part.efa);
            whole.smp.extend(part.smp);
            whole.transformer_engine.extend(part.transformer_engine);
            whole.image.extend(part.image);
            whole.packages.extend(part.packages);
            whole.archive.extend(part.archive);
            whole.releases.extend(part.releases);
            whole.pytorch.extend(part.pytorch);
            whole.nccl_abi.extend(part.nccl_abi);
            whole.plugin_abi.extend(part.plugin_abi);
            whole.cuda_driver.extend(part.cuda_driver);
            whole.gpu_code.extend(part.gpu_code);
            whole.os_support.extend(part.os_support);
            whole.efa_flags.extend(part.efa_flags);
            whole.paths.extend(part.paths);
            whole.node_images.extend(part.node_images);
            whole.instance_needs.extend(part.instance_needs);
            whole.constraints.extend(part.constraints);
            whole.known_issues.extend(part.known_issues);
            whole.precisions.extend(part.precisions);
            whole.gpus.extend(part.gpus);
            whole.smp_registries.extend(part.smp_registries);
        }
        Self::checked(whole)
    }

    fn checked(mut wire: Wire) -> Result<Self, CatalogError> {
        let missing = |key: &str| CatalogError::Malformed {
            file: "catalog.toml".to_owned(),
            message: format!("`{key}` is missing"),
        };
        let revision = wire.revision.ok_or_else(|| missing("revision"))?;
        let python_index = wire.python_index.ok_or_else(|| missing("python-index"))?;
        let mut instances = BTreeMap::new();
        for instance in wire.instance {
            if let Some(twice) = instances.insert(instance.name.clone(), instance) {
                return Err(duplicate("instances.toml", &twice.name));
            }
        }
        newest_first("efa.toml", &mut wire.efa, |release| &release.version)?;
        newest_first("pytorch.toml", &mut wire.pytorch, |release| &release.version)?;
        newest_first("smp.toml", &mut wire.smp, |release| &release.version)?;
        newest_first("transformer-engine.toml", &mut wire.transformer_engine, |release| &release.version)?;
        Ok(Self {
            revision,
            instances,
            efa: wire.efa,
            smp: wire.smp,
            transformer_engine: wire.transformer_engine,
            images: wire.image,
            packages: wire.packages,
            archives: wire.archive,
            releases: wire.releases,
            pytorch: wire.pytorch,
            nccl_abi: wire.nccl_abi,
            plugin_abi: wire.plugin_abi,
            cuda_driver: wire.cuda_driver,
            gpu_code: wire.gpu_code,
            os_support: wire.os_support,
            efa_flags: wire.efa_flags,
            paths: wire.paths,
            node_images: wire.node_images,
            instance_needs: wire.instance_needs,
            constraints: wire.constraints,
            known_issues: wire.known_issues,
            precisions: wire.precisions,
            gpus: wire.gpus,
            smp_registries: wire.smp_registries,
            smp_channels: wire.smp_channels,
            python_index,
        })
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

fn newest_first<T>(
    file: &str,
    releases: &mut [T],
    version: impl Fn(&T) -> &Version,
) -> Result<(), CatalogError> {
    releases.sort_by(|a, b| version(b).cmp(version(a)));
    match releases.windows(2).find(|pair| version(&pair[0]) == version(&pair[1])) {
        Some(pair) => Err(duplicate(file, &version(&pair[0]).to_string())),
        None => Ok(()),
    }
}

fn duplicate(file: &str, what: &str) -> CatalogError {
    CatalogError::Duplicate { file: file.to_owned(), what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_catalogue_reads() {
        let catalog = Catalog::embedded().unwrap();
        assert_eq!(catalog.instances["ml.p5.48xlarge"].sm, 90);
        assert_eq!(catalog.efa_release(&"1.36.0".parse().unwrap()).unwrap().plugin, None);
        assert_eq!(catalog.smp[0].version, "2.8.0".parse().unwrap());
    }

    #[test]
    fn an_smp_image_is_known_in_every_region() {
        let catalog = Catalog::embedded().unwrap();
        let name =
            "658645717510.dkr.ecr.eu-west-1.amazonaws.com/smdistributed-modelparallel:2.5.1-gpu-py311-cu124";
        let image = catalog.image(&name.parse().unwrap()).unwrap();
        assert_eq!(image.carries[&Component::Nccl], "2.23.4".parse().unwrap());
        assert!(
            catalog
                .image(
                    &"elsewhere.example/smdistributed-modelparallel:2.5.1-gpu-py311-cu124".parse().unwrap()
                )
                .is_none()
        );
    }

    #[test]
    fn a_fact_without_a_source_is_refused() {
        let text = "[[efa]]\nversion = \"1.0.0\"\n";
        assert!(matches!(Catalog::read(&[("efa.toml", text)]), Err(CatalogError::Malformed { .. })));
    }

    #[test]
    fn the_same_release_twice_is_refused() {
        let fact = "fact = { source = \"x\", date = \"2026-01-01\", confidence = \"documented\" }";
        let one = format!("[[efa]]\nversion = \"1.0.0\"\n{fact}\n");
        let text = format!("revision = \"r\"\npython-index = \"https://e.example/\"\n{one}{one}");
        assert!(matches!(Catalog::read(&[("efa.toml", &text)]), Err(CatalogError::Duplicate { .. })));
    }
}
