//! What each kind of stage does, with the values that its template prints.

use serde::{Deserialize, Serialize};

use super::stage::{Checksum, Compile, Download, Link, Part, PythonCompile, StageName, UserCopy, Variable};
use super::{AptRequest, CondaRecord, KeptWheel, PinnedPackage};
use crate::recipe::{AptPackage, ArtefactUrl, Component, CondaPackage, ImagePath, Version};

/// What a stage does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Work {
    /// Packages of the distribution that stay in the image, and the empty Python environment.
    System {
        /// The packages, sorted, each as `name=version` where the lock knows the version.
        packages: Vec<AptRequest>,
        /// Where the Python environment is made, if the image has one of its own.
        #[schemars(with = "Option<String>")]
        venv: Option<ImagePath>,
    },
    /// The Python environment with pip, in which wheels are unpacked.
    Python {
        /// Its place, the same as in the image.
        #[schemars(with = "String")]
        venv: ImagePath,
    },
    /// What native stages of a foreign build use: Python with pip, and the empty environment of the image in `/skeleton`.
    Tools {
        /// Packages of the distribution.
        #[schemars(with = "Vec<String>")]
        packages: Vec<AptPackage>,
        /// The place of the Python environment, if the image has one of its own.
        #[schemars(with = "Option<String>")]
        venv: Option<ImagePath>,
    },
    /// Nothing: the base of the target, whose files native stages read.
    Base,
    /// The packages of the image on the builder's own architecture: what their maintainer scripts do is taken from here.
    Twin {
        /// The packages, sorted, at the versions that the archive has: those that are locked are the target's, and a package that was
        /// rebuilt for one architecture alone has another version there.
        #[schemars(with = "Vec<String>")]
        packages: Vec<AptPackage>,
    },
    /// Packages of the distribution for the target, chosen and downloaded into `/debs`.
    Debs {
        /// The packages, sorted, each as `name=version` where the lock knows the version.
        packages: Vec<AptRequest>,
        /// The target's architecture as dpkg calls it.
        theirs: String,
        /// The stage that is the target's base.
        #[schemars(with = "String")]
        base: StageName,
    },
    /// Those packages, unpacked and registered below `/out` without running any of their programs.
    Distribution {
        /// The target's architecture as dpkg calls it.
        theirs: String,
        /// The stage that is the target's base.
        #[schemars(with = "String")]
        base: StageName,
        /// The stage with the same packages on the builder's architecture.
        #[schemars(with = "String")]
        twin: StageName,
        /// The stage that downloaded them.
        #[schemars(with = "String")]
        debs: StageName,
    },
    /// Files of native stages, joined on the target's base.
    Files {
        /// What is copied from other stages.
        parts: Vec<Part>,
    },
    /// The loader's cache for the target, written below `/out`.
    Loader {
        /// The stage that holds all files of the image.
        #[schemars(with = "String")]
        files: StageName,
        /// The target's machine as the kernel calls it.
        machine: String,
        /// Folders that the loader searches, the first wins.
        #[schemars(with = "Vec<String>")]
        folders: Vec<ImagePath>,
    },
    /// Python packages for the base's own Python, unpacked below `/out` in a folder that it searches first.
    Overlay {
        /// Packages that have wheels.
        packages: Vec<PinnedPackage>,
        /// Packages that exist only as source; they must turn out to be pure Python.
        sources: Vec<PinnedPackage>,
        /// pip's options that say for which Python and for which platforms.
        options: Vec<String>,
        /// The folder.
        #[schemars(with = "String")]
        folder: ImagePath,
    },
    /// Python packages, unpacked below `/out`.
    Wheels {
        /// The platform as Python calls it, where it is not the one that unpacks.
        host: Option<String>,
        /// Packages of the distribution that source distributions among them are built with.
        #[schemars(with = "Vec<String>")]
        tools: Vec<AptPackage>,
        /// For whom, in words.
        title: String,
        /// The packages.
        packages: Vec<PinnedPackage>,
        /// The Python environment to which they belong.
        #[schemars(with = "String")]
        prefix: ImagePath,
        /// Links beside the packages, and where each leads, seen from its folder.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        links: Vec<Link>,
    },
    /// The stage that downloads.
    Fetch,
    /// A source archive, downloaded, verified and unpacked into `/src`.
    Source {
        /// The archive.
        download: Download,
    },
    /// AWS's EFA installer, run.
    Efa {
        /// The version.
        #[schemars(with = "String")]
        version: Version,
        /// The stage that holds it unpacked (`BuildKit` mounts it).
        #[schemars(with = "String")]
        source: StageName,
        /// The tarball (the classic builder cannot mount, and downloads in the step itself).
        download: Download,
        /// Its options.
        flags: Vec<String>,
        /// Whether it brings the NCCL plugin.
        plugin: bool,
    },
    /// aws-ofi-nccl, compiled.
    AwsOfiNccl(Compile),
    /// `GDRCopy`, compiled.
    Gdrcopy(Compile),
    /// nccl-tests, compiled.
    NcclTests {
        /// What every compiling stage has.
        #[serde(flatten)]
        compile: Compile,
        /// Where NCCL's headers and library are.
        #[schemars(with = "String")]
        nccl: ImagePath,
        /// Where Open MPI is, if the image has it.
        #[schemars(with = "Option<String>")]
        mpi: Option<ImagePath>,
        /// What nvcc is told to generate.
        gencode: String,
    },
    /// The SMP conda environment.
    Smp {
        /// micromamba, which installs it.
        download: Download,
        /// Channels, the first wins.
        #[schemars(with = "Vec<String>")]
        channels: Vec<ArtefactUrl>,
        /// Packages as `name=version=build`.
        #[schemars(with = "Vec<String>")]
        packages: Vec<CondaPackage>,
        /// Where the environment is made.
        #[schemars(with = "String")]
        prefix: ImagePath,
        /// The records of packages whose checksums the lock knows.
        verified: Vec<CondaRecord>,
        /// The checksum of the list of everything that was installed, with each package's own checksum.
        listed: Checksum,
    },
    /// Python packages that were compiled before, taken from an image that holds their wheels.
    Taken {
        /// The component that they bring.
        component: Component,
        /// The packages.
        packages: Vec<PinnedPackage>,
        /// Where the wheels are.
        kept: KeptWheel,
        /// The Python environment to which they belong.
        #[schemars(with = "String")]
        prefix: ImagePath,
        /// The platform as Python calls it, where it is not the one that unpacks.
        host: Option<String>,
    },
    /// Transformer Engine's PyTorch extension, compiled.
    TransformerEngine(PythonCompile),
    /// flash-attn, compiled.
    FlashAttn(PythonCompile),
    /// The image.
    Image {
        /// What is copied from other stages.
        parts: Vec<Part>,
        /// Python packages that go into the base's own Python, where it has one.
        packages: Vec<PinnedPackage>,
        /// Folders that the loader searches, the first wins.
        #[schemars(with = "Vec<String>")]
        folders: Vec<ImagePath>,
        /// Files of the user.
        copies: Vec<UserCopy>,
        /// Folders that are put in front of `PATH`.
        #[schemars(with = "Vec<String>")]
        path: Vec<ImagePath>,
        /// Environment variables.
        env: Vec<Variable>,
        /// The working directory.
        #[schemars(with = "Option<String>")]
        workdir: Option<ImagePath>,
    },
}

impl Work {
    /// Returns the name of its template without the ending.
    pub fn template(&self) -> &'static str {
        match self {
            Self::System { .. } => "system",
            Self::Python { .. } => "python",
            Self::Tools { .. } => "tools",
            Self::Base => "base",
            Self::Twin { .. } => "twin",
            Self::Debs { .. } => "debs",
            Self::Distribution { .. } => "distribution",
            Self::Files { .. } => "files",
            Self::Loader { .. } => "loader",
            Self::Overlay { .. } => "overlay",
            Self::Wheels { .. } => "wheels",
            Self::Fetch => "fetch",
            Self::Source { .. } => "source",
            Self::Efa { .. } => "efa",
            Self::AwsOfiNccl(_) => "aws-ofi-nccl",
            Self::Gdrcopy(_) => "gdrcopy",
            Self::NcclTests { .. } => "nccl-tests",
            Self::Smp { .. } => "smp",
            Self::Taken { .. } => "taken",
            Self::TransformerEngine(_) => "transformer-engine",
            Self::FlashAttn(_) => "flash-attn",
            Self::Image { .. } => "image",
        }
    }

    /// Returns what it copies from other stages.
    pub(super) fn parts(&self) -> &[Part] {
        match self {
            Self::AwsOfiNccl(compile) | Self::Gdrcopy(compile) | Self::NcclTests { compile, .. } => {
                &compile.parts
            }
            Self::TransformerEngine(compile) | Self::FlashAttn(compile) => &compile.parts,
            Self::Image { parts, .. } | Self::Files { parts } => parts,
            _ => &[],
        }
    }

    /// Returns the stages whose files it reads without copying them.
    pub(super) fn mounts(&self) -> Vec<&StageName> {
        match self {
            Self::AwsOfiNccl(compile) | Self::Gdrcopy(compile) | Self::NcclTests { compile, .. } => {
                vec![&compile.source]
            }
            Self::Efa { source, .. } => vec![source],
            Self::Debs { base, .. } => vec![base],
            Self::Distribution { base, twin, debs, .. } => vec![base, twin, debs],
            Self::Loader { files, .. } => vec![files],
            _ => Vec::new(),
        }
    }
}
