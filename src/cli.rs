//! What can be said on the command line. No logic: `commands` decides what it means.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Show stages, steps and what is expected of the image
    Plan(PlanVerb),
    /// Print the Dockerfile
    Render(Render),
    /// Build the image through the Docker API
    Build(Build),
    /// Look inside an image, without a GPU
    Check(Check),
    /// Run the probes in a container of an image
    Smoke(Smoke),
    /// Push an image to Amazon ECR or any registry
    Push(Push),
    /// Build, check, smoke-test and, only if all passed, push
    Release(Release),
    /// Print a completion script for a shell
    Completions(Completions),
    /// Print the manual page (or write one per verb into a folder)
    Man(Man),
}

/// `smp-image new`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  smp-image new\n  smp-image new --from smp-2.8")]
pub struct New {
    /// The built-in recipe to start from.
    #[arg(long, value_name = "RECIPE", default_value = "quickstart")]
    pub from: String,
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
}

/// `smp-image lock`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  smp-image lock\n  smp-image lock recipes/llama.toml\n  smp-image lock --check"
)]
pub struct LockVerb {
    /// The recipe.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// Mirrors.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Write nothing; fail if the lock is missing or stale.
    #[arg(long)]
    pub check: bool,
}

/// `smp-image plan`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  smp-image plan\n  smp-image plan smp-2.8 --format json\n  smp-image plan --arch amd64 --on arm64"
)]
pub struct PlanVerb {
    /// The recipe.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// Mirrors.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Memory of the builder in GiB, from which follows how many compilers run at once.
    #[arg(long, value_name = "GIB", default_value_t = 16)]
    pub memory: u64,
    /// Where compiled wheels are kept: those that are there need not be compiled.
    #[arg(long, value_name = "PLACE", env = "SMP_IMAGE_WHEELHOUSE")]
    pub wheelhouse: Option<String>,
    /// The processor architecture of the builder; without it that of this machine.
    #[arg(long, value_name = "ARCH", value_enum)]
    pub on: Option<Arch>,
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
    #[arg(long, value_name = "GIB", default_value_t = 16)]
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
}

/// `smp-image build`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  smp-image build --arch amd64\n  smp-image build smp-2.8 --for sagemaker\n  \
                        smp-image build --mirror docker.io=127.0.0.1:5000 --locked"
)]
pub struct Build {
    /// How to build.
    #[command(flatten)]
    pub build: BuildArgs,
}

/// What to test an image against.
#[derive(Debug, Clone, Args)]
pub struct ImageArgs {
    /// A name or ID of an image in the engine.
    #[arg(value_name = "IMAGE")]
    pub image: String,
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

/// `smp-image check`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  smp-image check smp-image/quickstart --recipe quickstart\n  smp-image check IMAGE --format junit"
)]
pub struct Check {
    /// The image.
    #[command(flatten)]
    pub image: ImageArgs,
}

/// GPUs for the probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GpuArg {
    /// All GPUs if the engine offers any, else none.
    Auto,
    /// None.
    None,
    /// All, through the NVIDIA container runtime.
    Nvidia,
    /// All, through the Container Device Interface.
    Cdi,
}

/// How to smoke-test.
#[derive(Debug, Clone, Args)]
pub struct SmokeArgs {
    /// GPUs for the probes.
    #[arg(long, value_enum, default_value_t = GpuArg::Auto)]
    pub gpu: GpuArg,
}

/// `smp-image smoke`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  smp-image smoke smp-image/quickstart --recipe quickstart\n  smp-image smoke IMAGE --gpu cdi"
)]
pub struct Smoke {
    /// The image.
    #[command(flatten)]
    pub image: ImageArgs,
    /// How.
    #[command(flatten)]
    pub smoke: SmokeArgs,
}

/// Where to push.
#[derive(Debug, Clone, Args)]
pub struct PushArgs {
    /// Registry, repository and tag; a bare repository is one in the Amazon ECR of your account and region.
    #[arg(long, value_name = "REFERENCE")]
    pub to: Option<String>,
    /// Create the ECR repository if it is absent.
    #[arg(long)]
    pub create_repository: bool,
    /// With --create-repository: scan images for vulnerabilities when they are pushed.
    #[arg(long, requires = "create_repository")]
    pub scan_on_push: bool,
    /// With --create-repository: a tag, once pushed, cannot be moved.
    #[arg(long, requires = "create_repository")]
    pub immutable_tags: bool,
    /// The AWS region, where neither --to nor the AWS configuration names one.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Push to this host in place of the ECR host (a proxy in front of ECR; the tests' stand-in for it).
    #[arg(long, value_name = "HOST", env = "SMP_IMAGE_ECR_HOST", hide = true)]
    pub ecr_host: Option<String>,
}

/// `smp-image push`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  smp-image push smp-image/quickstart --to smpv2 --create-repository\n  \
                        smp-image push smp-image/quickstart --to registry.example/team/smpv2:1")]
pub struct Push {
    /// A name or ID of an image in the engine.
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// For whom.
    #[arg(long = "for", value_name = "PROFILE", value_enum, default_value_t = Profile::Oci)]
    pub profile: Profile,
    /// Where.
    #[command(flatten)]
    pub push: PushArgs,
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

/// `smp-image completions`
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `smp-image man`
#[derive(Debug, Args)]
pub struct Man {
    /// Write smp-image.1 and one page per verb into this folder.
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}
