//! What can be said to `check` and `diff`.

use clap::{Args, ValueEnum};

use super::EngineArgs;
use crate::oci::{Arch, Profile};

/// `smp-image check`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  smp-image check smp-image/quickstart --recipe quickstart\n  \
                        smp-image check IMAGE --instances ml.p5.48xlarge,ml.g5.8xlarge\n  \
                        smp-image check IMAGE --for sagemaker --fail-on warning --format sarif\n  smp-image check --explain cuda-compat")]
pub struct Check {
    /// The image by name (the engine, else its registry), or by transport as skopeo names them.
    #[arg(
        value_name = "IMAGE",
        required_unless_present = "explain",
        help = "The image by name (the engine, else its registry), or as docker-daemon:NAME, docker://NAME, oci:DIR or docker-archive:FILE"
    )]
    pub image: Option<String>,
    /// The recipe that says what the image must hold; without it what is there is judged by itself.
    #[arg(long, value_name = "RECIPE")]
    pub recipe: Option<String>,
    /// The processor architecture that the image must have.
    #[arg(long, value_enum, default_value_t = Arch::Amd64)]
    pub arch: Arch,
    /// The instances on which it must run, with commas between; else those of the recipe.
    #[arg(long, value_name = "INSTANCES", value_delimiter = ',')]
    pub instances: Vec<String>,
    /// For whom it is made: what that one refuses is an error.
    #[arg(long = "for", value_name = "PROFILE", value_enum)]
    pub profile: Option<Profile>,
    /// Which findings make the check fail.
    #[arg(long, value_enum, default_value_t = FailOn::Error)]
    pub fail_on: FailOn,
    /// Tell what a rule looks for and why, and look at no image.
    #[arg(long, value_name = "CODE", conflicts_with_all = ["image", "recipe", "instances", "profile"])]
    pub explain: Option<String>,
    /// The engine.
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Which findings make a check fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Errors, and what could not be found out.
    Error,
    /// Warnings too.
    Warning,
    /// None: the report is enough.
    Never,
}

/// `smp-image diff`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  smp-image diff smp-image/llama:1 smp-image/llama:2\n  smp-image diff A B --instances ml.p5.48xlarge --format json"
)]
pub struct Diff {
    /// The image before, named as for `check`.
    #[arg(value_name = "A")]
    pub before: String,
    /// The image after.
    #[arg(value_name = "B")]
    pub after: String,
    /// The processor architecture of both.
    #[arg(long, value_enum, default_value_t = Arch::Amd64)]
    pub arch: Arch,
    /// The instances on which both must run, with commas between.
    #[arg(long, value_name = "INSTANCES", value_delimiter = ',')]
    pub instances: Vec<String>,
    /// The engine.
    #[command(flatten)]
    pub engine: EngineArgs,
}
