//! The tables of the catalogue, declared once: their names in files, the rows that they hold, and the walk over all of them.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::apt::Apt;
use super::builds::{Compile, Emulation};
use super::facts::{
    Archive, BaseImage, BusBandwidth, Constraint, CudaDriver, EfaFlag, EfaRelease, Gpu, GpuCode,
    InstalledPath, Instance, InstanceNeeds, KnownIssue, NcclAbi, NodeImage, OsSupport, Packages, PluginAbi,
    Precision, PytorchRelease, Release, SmpRegistry, SmpRelease, TransformerEngineRelease,
};
use super::merge::{Merge, Named};
use super::overlay::Own;
use super::row::Row;
use crate::recipe::ArtefactUrl;

/// How the catalogue holds the rows of a table.
pub(super) trait Shelf<T> {
    /// Puts `rows` on the shelf, in their order.
    fn shelve(rows: Vec<T>) -> Self;

    /// Returns the rows.
    fn rows(&self) -> Vec<&T>;
}

impl<T> Shelf<T> for Vec<T> {
    fn shelve(rows: Vec<T>) -> Self {
        rows
    }

    fn rows(&self) -> Vec<&T> {
        self.iter().collect()
    }
}

impl Shelf<Instance> for BTreeMap<String, Instance> {
    fn shelve(rows: Vec<Instance>) -> Self {
        rows.into_iter().map(|row| (row.name.clone(), row)).collect()
    }

    fn rows(&self) -> Vec<&Instance> {
        self.values().collect()
    }
}

/// Declares a file as written, the catalogue, the merging of the one into the other, and the walk over every row.
macro_rules! tables {
    ($($(#[doc = $doc:literal])* $field:ident: $shelf:ty, $row:ty, $name:literal, $about:literal;)*) => {
        /// A file of the catalogue as written.
        #[derive(Deserialize, Default)]
        #[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
        pub(super) struct Wire {
            pub(super) revision: Option<Spanned<String>>,
            pub(super) smp_channels: Option<Spanned<Vec<ArtefactUrl>>>,
            pub(super) python_index: Option<Spanned<ArtefactUrl>>,
            $(#[serde(rename = $name)] $field: Vec<Spanned<$row>>,)*
        }

        /// Everything that is known.
        #[derive(Debug, Clone)]
        pub struct Catalog {
            /// The revision: a date and a number within it, and the digests of files that the user added.
            pub revision: String,
            /// Conda channels of SMP, the first wins.
            pub smp_channels: Vec<ArtefactUrl>,
            /// The Python package index that is asked where the user names no other.
            pub python_index: ArtefactUrl,
            pub(super) own: Own,
            $($(#[doc = $doc])* pub $field: $shelf,)*
        }

        /// The tables by the names that files and the command line write, each with what it holds.
        pub const TABLES: &[(&str, &str)] = &[$(($name, $about),)*];

        /// The rows of all files, joined.
        #[derive(Default)]
        pub(super) struct Joined {
            $($field: Vec<$row>,)*
        }

        impl Joined {
            /// Adds the rows of one file.
            pub(super) fn add(&mut self, wire: Wire, merge: &mut Merge<'_>) -> Result<(), super::CatalogError> {
                $(
                    for row in wire.$field {
                        let span = row.span();
                        let mut row = row.into_inner();
                        row.fact.place = merge.place(&span);
                        merge.put($name, &mut self.$field, row, span)?;
                    }
                )*
                Ok(())
            }

            /// Returns the catalogue of these rows.
            pub(super) fn finished(self, named: Named, own: Own) -> Catalog {
                Catalog {
                    revision: named.revision,
                    smp_channels: named.smp_channels,
                    python_index: named.python_index,
                    own,
                    $($field: Shelf::shelve(self.$field),)*
                }
            }
        }

        impl Catalog {
            /// Returns every row with the name of its table, in the order of [`TABLES`].
            pub(super) fn rows(&self) -> Vec<(&'static str, &dyn Row)> {
                let mut rows: Vec<(&'static str, &dyn Row)> = Vec::new();
                $(rows.extend(Shelf::<$row>::rows(&self.$field).into_iter().map(|row| ($name, row as &dyn Row)));)*
                rows
            }
        }
    };
}

tables! {
    /// Instance types by name, such as `ml.p5.48xlarge`.
    instances: BTreeMap<String, Instance>, Instance, "instance", "SageMaker instance types";
    /// Data-sheet figures of GPUs.
    gpus: Vec<Gpu>, Gpu, "gpu", "data-sheet figures of GPUs";
    /// What NCCL reaches inside one node.
    buses: Vec<BusBandwidth>, BusBandwidth, "bus-bandwidth", "what an all-reduce reaches inside one node";
    /// Images of nodes, as the file has them: newest series first.
    node_images: Vec<NodeImage>, NodeImage, "node-image", "images of HyperPod nodes: driver, CUDA, EFA, Kubernetes";
    /// What instances ask of components.
    instance_needs: Vec<InstanceNeeds>, InstanceNeeds, "instance-needs", "what instances ask of components";
    /// Which GPUs compute in which number format.
    precisions: Vec<Precision>, Precision, "precision", "which GPUs compute in which number format";
    /// Releases of SMP, newest first.
    smp: Vec<SmpRelease>, SmpRelease, "smp", "SMP v2 releases and what their images carry";
    /// Where the images of SMP are.
    smp_registries: Vec<SmpRegistry>, SmpRegistry, "smp-registry", "account and regions of the SMP images";
    /// Base images.
    images: Vec<BaseImage>, BaseImage, "image", "base images and what they carry";
    /// PyTorch releases of the package index, newest first.
    pytorch: Vec<PytorchRelease>, PytorchRelease, "pytorch", "PyTorch wheels and the NCCL, cuDNN, CUDA that they ask for";
    /// Transformer Engine releases, newest first; a row holds until the next.
    transformer_engine: Vec<TransformerEngineRelease>, TransformerEngineRelease, "transformer-engine",
        "what Transformer Engine accepts; a row holds until the next";
    /// EFA installers, newest first.
    efa: Vec<EfaRelease>, EfaRelease, "efa", "EFA installers: what is inside, checksums";
    /// Flags of the EFA installer.
    efa_flags: Vec<EfaFlag>, EfaFlag, "efa-flag", "flags of the EFA installer";
    /// Which versions support which distribution.
    os_support: Vec<OsSupport>, OsSupport, "os-support", "which versions support which distribution";
    /// Where things lie in an image.
    paths: Vec<InstalledPath>, InstalledPath, "path", "where the EFA installer puts things";
    /// Plugin interfaces that NCCL accepts.
    nccl_abi: Vec<NcclAbi>, NcclAbi, "nccl-abi", "plugin interfaces that NCCL accepts";
    /// Plugin interfaces that aws-ofi-nccl offers.
    plugin_abi: Vec<PluginAbi>, PluginAbi, "plugin-abi", "plugin interfaces that aws-ofi-nccl offers";
    /// Drivers that a CUDA runs on.
    cuda_driver: Vec<CudaDriver>, CudaDriver, "cuda-driver", "drivers that a CUDA runs on";
    /// For which GPUs binaries hold code.
    gpu_code: Vec<GpuCode>, GpuCode, "gpu-code", "GPUs for which public binaries hold code";
    /// Needs that no table of their own hold.
    constraints: Vec<Constraint>, Constraint, "constraint", "further needs between components";
    /// What is known to go wrong.
    known_issues: Vec<KnownIssue>, KnownIssue, "known-issue", "what is known to go wrong, and what to do";
    /// Versions that exist, beside those that other tables give one by one.
    releases: Vec<Release>, Release, "release", "versions that exist";
    /// Which Python packages bring which component.
    packages: Vec<Packages>, Packages, "packages", "Python packages that bring a component";
    /// Source archives and single files.
    archives: Vec<Archive>, Archive, "archive", "source archives and their checksums";
    /// Where the packages of distributions come from.
    apt: Vec<Apt>, Apt, "apt", "archives of distributions";
    /// What compiling costs.
    compile: Vec<Compile>, Compile, "compile", "what compiling costs, as others report it";
    /// How much longer compiling takes under an emulator.
    emulation: Vec<Emulation>, Emulation, "emulation", "how much longer compiling takes under an emulator";
}
