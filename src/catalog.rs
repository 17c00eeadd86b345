//! The facts of the field, loaded from `catalog/*.toml` and checked: releases, artefacts, instances, what base images carry.

mod facts;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use facts::{
    Archive, BaseImage, BusBandwidth, Confidence, DataSheet, EfaRelease, Fact, Instance, Os, Packages, Rdma,
    SmpRelease, TransformerEngineRelease,
};

use crate::oci::Reference;
use crate::recipe::{ArtefactUrl, Component, Version};

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
];

/// Everything that is known.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// The revision: a date and a number within it.
    pub revision: String,
    /// Instance types by name, such as `ml.p5.48xlarge`.
    pub instances: BTreeMap<String, Instance>,
    /// What data sheets promise of GPUs.
    pub gpus: Vec<DataSheet>,
    /// What NCCL reaches inside one node.
    pub buses: Vec<BusBandwidth>,
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
    gpu: Vec<DataSheet>,
    bus: Vec<BusBandwidth>,
    efa: Vec<EfaRelease>,
    smp: Vec<SmpRelease>,
    transformer_engine: Vec<TransformerEngineRelease>,
    image: Vec<BaseImage>,
    packages: Vec<Packages>,
    archive: Vec<Archive>,
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
            whole.gpu.extend(part.gpu);
            whole.bus.extend(part.bus);
            whole.efa.extend(part.efa);
            whole.smp.extend(part.smp);
            whole.transformer_engine.extend(part.transformer_engine);
            whole.image.extend(part.image);
            whole.packages.extend(part.packages);
            whole.archive.extend(part.archive);
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
        newest_first("smp.toml", &mut wire.smp, |release| &release.version)?;
        newest_first("transformer-engine.toml", &mut wire.transformer_engine, |release| &release.version)?;
        Ok(Self {
            revision,
            instances,
            gpus: wire.gpu,
            buses: wire.bus,
            efa: wire.efa,
            smp: wire.smp,
            transformer_engine: wire.transformer_engine,
            images: wire.image,
            packages: wire.packages,
            archives: wire.archive,
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
