//! What can be said on the command line. No logic: `commands` decides what it means.

mod catalog;
mod check;
mod cluster;
mod job;
mod locking;
mod own;
mod push;
mod smoke;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use catalog::{CatalogVerb, ConfidenceArg};
pub use check::{Check, Diff, FailOn};
pub use cluster::{ClusterArgs, NodesKind, Place};
pub use job::{Job, JobKind, RendezvousArg};
pub use locking::{EVERYTHING, LockVerb, PlanVerb, WhyVerb};
pub use own::{Completions, Doctor, Man, New};
pub use push::{Push, PushArgs};
pub use smoke::{GpuArg, Smoke, SmokeArgs, TierArg};

use crate::oci::{Arch, Dialect, Profile};
use crate::recipe::Component;

const EXIT_CODES: &str = "Exit codes: 0 fine · 1 a defect of smp-image · 2 usage · 3 recipe or lock invalid or stale · 4 no versions fit · 5 build failed · \
                          6 verdict failed · 7 not authorised · 8 push failed · 9 machine not ready · 130 interrupted";

/// From a recipe to a GPU training image that is known to work, in Amazon ECR.
#[derive(Debug, Parser)]
#[command(name = "smp-image", version, about, after_help = EXIT_CODES, max_term_width = 110, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,

    /// How results are written to standard output.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub format: Format,

    /// Say only what went wrong.
    #[arg(long, short, global = true)]
    pub quiet: bool,

    /// Add facts of your own to the catalogue, or override its own, from this file. May be repeated.
    #[arg(long, global = true, value_name = "FILE")]
    pub catalog: Vec<PathBuf>,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON document.
    Json,
    /// JUnit XML (check, smoke, release).
    Junit,
    /// SARIF 2.1.0, which code hosts show beside the code (check, release).
    Sarif,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write smp-image.toml here
    New(New),
    /// List the built-in recipes
    Recipes,
    /// Choose versions that fit together and pin them with checksums
    Lock(LockVerb),
    /// Tell why a component has its version, and what keeps out the next newer one
    Why(WhyVerb),
    /// Show stages, steps and what is expected of the image
    Plan(PlanVerb),
    /// Print the Dockerfile
    Render(Render),
    /// List what is known: releases, what fits what, with sources and age
    Catalog(CatalogVerb),
    /// Build the image through the Docker API
    Build(Build),
    /// Look inside an image, without a GPU
    Check(Check),
    /// Run the probes in a container of an image, on this machine or on a cluster, or judge the log of a job
    Smoke(Box<Smoke>),
    /// Write the manifest of a training job, right for the instances
    Job(Job),
    /// Say what changed from one image to another
    Diff(Diff),
    /// Push an image to Amazon ECR or any registry
    Push(Push),
    /// Build, check, smoke-test and, only if all passed, push
    Release(Release),
    /// Say what this machine can do for a recipe, what is in its way, and what helps
    Doctor(Doctor),
    /// Print a completion script for a shell
    Completions(Completions),
    /// Print the manual page (or write one per verb into a folder)
    Man(Man),
}

/// Which recipe, and for which processor.
#[derive(Debug, Clone, Args)]
pub struct RecipeArgs {
    /// A path or a built-in name; without it smp-image.toml in this folder, else the built-in `quickstart`.
    #[arg(value_name = "RECIPE")]
    pub recipe: Option<String>,

    /// The processor architecture of the image.
    #[arg(long, value_enum, default_value_t = Arch::Amd64)]
    pub arch: Arch,
}

/// How far a lock may be brought up to date.
#[derive(Debug, Clone, Args)]
pub struct LockArgs {
    /// Use the lock as it is: never ask the network for versions, digests or checksums.
    #[arg(long)]
    pub locked: bool,
}

/// Where images and packages come from.
#[derive(Debug, Clone, Args)]
pub struct SourceArgs {
    /// Take images of a registry from another place, such as `docker.io=127.0.0.1:5000`. May be repeated.
    #[arg(long, value_name = "REGISTRY=HOST")]
    pub mirror: Vec<String>,
}

/// Which container engine.
#[derive(Debug, Clone, Args)]
pub struct EngineArgs {
    /// The engine; else `DOCKER_HOST`, the Docker context, the usual sockets.
    #[arg(
        long,
        short = 'H',
        value_name = "URL",
        help = "The engine, such as unix:///var/run/docker.sock, tcp://HOST:2375 or ssh://HOST; else DOCKER_HOST, the Docker context, the usual sockets"
    )]
    pub host: Option<String>,

    /// A Docker context.
    #[arg(long, value_name = "NAME", conflicts_with = "host")]
    pub context: Option<String>,

    /// It is the engine of SageMaker Studio or Code Editor: classic builder, network `sagemaker`. Found out where it is not said.
    #[arg(long)]
    pub studio: bool,
}

/// `smp-image render`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  smp-image render > Dockerfile\n  smp-image render smp-2.8-from-parts --dialect classic"
)]
pub struct Render {
    /// The recipe.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// Mirrors.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Which builder will read it.
    #[arg(long, value_enum, default_value_t = Dialect::Buildkit)]
    pub dialect: Dialect,
    /// Memory of the builder in GiB, from which follows how many compilers run at once.
    #[arg(long, value_name = "GIB", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..))]
    pub memory: u64,
    /// The processor architecture of the builder; without it that of the image.
    #[arg(long, value_name = "ARCH", value_enum)]
    pub on: Option<Arch>,
}

/// How to build.
#[derive(Debug, Clone, Args)]
pub struct BuildArgs {
    /// The recipe.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// The lock.
    #[command(flatten)]
    pub lock: LockArgs,
    /// Mirrors.
    #[command(flatten)]
    pub source: SourceArgs,
    /// The engine.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// For whom: `oci` for EKS and HyperPod, `sagemaker` for what refuses OCI indexes and zstd layers.
    #[arg(long = "for", value_name = "PROFILE", value_enum, default_value_t = Profile::Oci)]
    pub profile: Profile,
    /// Which builder; without it BuildKit where the engine has it, else the classic one.
    #[arg(long, value_enum)]
    pub dialect: Option<Dialect>,
    /// A name for the image; without it `smp-image/NAME:latest`. May be repeated.
    #[arg(long, short, value_name = "REFERENCE")]
    pub tag: Vec<String>,
    /// Certificates that downloads in the build trust, as a PEM file; `none` for none. Found on this machine where absent.
    #[arg(long, value_name = "FILE", env = "SMP_IMAGE_CA_BUNDLE")]
    pub ca_bundle: Option<PathBuf>,
    /// The network of the build's steps: default, host, none, sagemaker.
    #[arg(long, value_name = "MODE", default_value = "default", env = "SMP_IMAGE_NETWORK")]
    pub network: String,
    /// Where compiled wheels are kept and taken from: a folder, or `oci://HOST/REPOSITORY` in any registry.
    #[arg(long, value_name = "PLACE", env = "SMP_IMAGE_WHEELHOUSE")]
    pub wheelhouse: Option<String>,
    /// Build even if an unchanged image is there.
    #[arg(long)]
    pub refresh: bool,
    /// Ignore the engine's build cache.
    #[arg(long)]
    pub no_cache: bool,
    /// Build elsewhere and load the image into the engine: a builder of buildx (docker buildx ls), or the address of a BuildKit daemon.
    #[arg(long, value_name = "NAME|tcp://HOST:PORT|unix://PATH", env = "SMP_IMAGE_BUILDER", conflicts_with_all = ["studio", "dialect"])]
    pub builder: Option<String>,
    /// Read the cache of other builds: an image reference, or as for buildx, such as `type=registry,ref=…`. May be repeated.
    #[arg(long, value_name = "CACHE")]
    pub cache_from: Vec<String>,
    /// Write the cache for other builders, in the form that Amazon ECR takes too. May be repeated.
    #[arg(long, value_name = "CACHE")]
    pub cache_to: Vec<String>,
}

/// `smp-image build`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  smp-image build --arch amd64\n  smp-image build smp-2.8 --for sagemaker\n  \
                        smp-image build --mirror docker.io=127.0.0.1:5000 --locked\n  \
                        smp-image build --builder far --cache-from registry.example/team/cache\n  \
                        smp-image build --studio"
)]
pub struct Build {
    /// How to build.
    #[command(flatten)]
    pub build: BuildArgs,
}

/// What to test an image against.
#[derive(Debug, Clone, Args)]
pub struct AgainstArgs {
    /// The recipe that says what the image must hold; without it only what needs no recipe is looked at.
    #[arg(long, value_name = "RECIPE")]
    pub recipe: Option<String>,
    /// The processor architecture that the image must have.
    #[arg(long, value_enum, default_value_t = Arch::Amd64)]
    pub arch: Arch,
    /// The engine.
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// `smp-image release`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  smp-image release --to smpv2 --create-repository\n  smp-image release smp-2.8 --for sagemaker"
)]
pub struct Release {
    /// How to build.
    #[command(flatten)]
    pub build: BuildArgs,
    /// How to smoke-test.
    #[command(flatten)]
    pub smoke: SmokeArgs,
    /// Where to push.
    #[command(flatten)]
    pub push: PushArgs,
    /// Release even if nobody can tell which version of this component is in the image. May be repeated.
    #[arg(long, value_name = "COMPONENT")]
    pub accept_unknown: Vec<Component>,
}
