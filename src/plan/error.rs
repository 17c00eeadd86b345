//! Why recipe and lock make no plan.

use crate::lock::Origin;
use crate::oci::Platform;
use crate::recipe::{BadValue, Component, Version};

/// Why recipe and lock make no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// An instance type that the catalogue does not know.
    #[error("`{name}` is not an instance type that the catalogue knows; nearest: {near}")]
    UnknownInstance {
        /// As written.
        name: String,
        /// The one most like it.
        near: String,
    },
    /// The recipe names no instance.
    #[error("`instances` is empty: without an instance nobody knows for which GPUs to build")]
    NoInstances,
    /// Only a name that moves is known of the base.
    #[error(
        "base image {image} is named by a tag that moves and its digest is not locked; name a tag or a digest"
    )]
    MovingBase {
        /// The image.
        image: String,
    },
    /// Something is compiled and there is no image with compilers.
    #[error(
        "{component} is compiled, and no image with compilers is known; add `devel` to [base], of the same distribution"
    )]
    NoDevel {
        /// The first component that is compiled.
        component: Component,
    },
    /// The image that compiles has another distribution than the one that runs.
    #[error(
        "`devel` is {devel} and the base {base}; what is compiled on one need not run on the other: name images of one distribution"
    )]
    OtherDistribution {
        /// Distribution and version of the image that compiles.
        devel: String,
        /// Distribution and version of the base.
        base: String,
    },
    /// A component in a form for which there is no template.
    #[error("{component} cannot come into an image as `{origin:?}`; lock the recipe again")]
    Unsupported {
        /// The component.
        component: Component,
        /// How the lock wants it.
        origin: Origin,
    },
    /// The lock lacks what installs a component.
    #[error("the lock says nothing of {what} for {component}; lock the recipe again")]
    Missing {
        /// The component.
        component: Component,
        /// What is missing.
        what: &'static str,
    },
    /// A Python package without checksums.
    #[error(
        "the lock has no checksum of {requirement}; run `smp-image lock` where the package index can be asked"
    )]
    Unhashed {
        /// Name and version.
        requirement: String,
    },
    /// One Python package would be installed twice.
    #[error("{package} is locked twice, for {first} and for {second}; lock the recipe again")]
    Twice {
        /// The package.
        package: String,
        /// Who brings it first.
        first: String,
        /// Who brings it again.
        second: String,
    },
    /// Nobody knows which Python the image has.
    #[error(
        "the version of Python in {image} is not known; add `python` to [components] or take a base that the catalogue knows"
    )]
    UnknownPython {
        /// The base.
        image: String,
    },
    /// Two NCCL plugins would be in the image.
    #[error(
        "two aws-ofi-nccl: {one} and {other}; path order would decide which one NCCL loads. Take one of them out, or `efa` below 1.38.0"
    )]
    TwoPlugins {
        /// Where the first comes from.
        one: String,
        /// Where the second comes from.
        other: String,
    },
    /// Two libfabrics would be in the image.
    #[error(
        "two libfabrics: the distribution's and that of EFA installer {efa}; take `libfabric` or `efa` out of [components]"
    )]
    TwoFabrics {
        /// The installer's version.
        efa: String,
    },
    /// The installer does not know the distribution.
    #[error("EFA installer {efa} does not support {os}; take `efa = \"{range}\"` or another base")]
    Distribution {
        /// The installer's version.
        efa: Version,
        /// The base's distribution.
        os: String,
        /// The installers that do support it.
        range: String,
    },
    /// Stock PyTorch would replace SMP's.
    #[error(
        "{package} would replace the PyTorch that SMP is: SMP v2 is AWS's own build of PyTorch, and a stock wheel silently undoes it. Take it out of the recipe"
    )]
    StockTorch {
        /// The requirement.
        package: String,
    },
    /// RDMA is asked for on an instance that aborts the process.
    #[error(
        "image.env.{variable} is set and {instance} has no RDMA: libfabric aborts the process there (fi_efa(7)). Set it in the job that runs on other instances"
    )]
    DeviceRdma {
        /// The variable.
        variable: String,
        /// The instance.
        instance: String,
    },
    /// A value of lock or catalogue that could not stand in a Dockerfile.
    #[error("lock and catalogue together make a value that cannot stand in a Dockerfile: {0}")]
    Value(#[from] BadValue),
    /// The image in which packages are unpacked has no name that reads.
    #[error("`{image}`, in which packages are unpacked, is no image")]
    NoTools {
        /// As written.
        image: String,
    },
    /// The lock is for another platform than a component supports.
    #[error("{component} has no build for {platform}")]
    Platform {
        /// The component.
        component: Component,
        /// The platform.
        platform: Platform,
    },
}
