//! What can be said to `lock`, `why` and `plan`.

use clap::Args;

use super::{RecipeArgs, SourceArgs};
use crate::oci::Arch;
use crate::recipe::Component;

/// `smp-image lock`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  smp-image lock\n  smp-image lock recipes/llama.toml --upgrade nccl\n  smp-image lock --upgrade\n  smp-image lock --check"
)]
pub struct LockVerb {
    /// The recipe.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// Mirrors.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Write nothing; fail if the lock is missing or stale.
    #[arg(long, conflicts_with_all = ["upgrade", "offline"])]
    pub check: bool,
    /// Let this component move to the newest version that fits, and what must move with it; alone: everything. May be repeated.
    #[arg(long, value_name = "COMPONENT", num_args = 0..=1, default_missing_value = EVERYTHING)]
    pub upgrade: Vec<String>,
    /// Ask nobody: lock from the catalogue and the lock at hand; what cannot be known stays open.
    #[arg(long)]
    pub offline: bool,
    /// Take a version that the catalogue does not know where the recipe names one; nothing is then known of it.
    #[arg(long)]
    pub allow_unknown: bool,
}

/// `smp-image why`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  smp-image why nccl\n  smp-image why efa smp-2.8\n  smp-image why pytorch pytorch-te --format json"
)]
pub struct WhyVerb {
    /// The component, such as `nccl`.
    #[arg(value_name = "COMPONENT")]
    pub component: Component,
    /// The recipe.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// Take a version that the catalogue does not know where the recipe names one; nothing is then known of it.
    #[arg(long)]
    pub allow_unknown: bool,
}

/// What `--upgrade` without a component stands for.
pub const EVERYTHING: &str = "*";

/// `smp-image plan`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  smp-image plan\n  smp-image plan smp-2.8 --format json\n  smp-image plan my.toml --offline\n  smp-image plan --arch amd64 --on arm64"
)]
pub struct PlanVerb {
    /// The recipe.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// Mirrors.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Memory of the builder in GiB, from which follows how many compilers run at once.
    #[arg(long, value_name = "GIB", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..))]
    pub memory: u64,
    /// Need no lock and ask nobody: the versions that the catalogue chooses, and what they mean.
    #[arg(long)]
    pub offline: bool,
    /// Take a version that the catalogue does not know where the recipe names one; nothing is then known of it.
    #[arg(long, requires = "offline")]
    pub allow_unknown: bool,
    /// Where compiled wheels are kept: those that are there need not be compiled.
    #[arg(long, value_name = "PLACE", env = "SMP_IMAGE_WHEELHOUSE")]
    pub wheelhouse: Option<String>,
    /// The processor architecture of the builder; without it that of this machine.
    #[arg(long, value_name = "ARCH", value_enum, conflicts_with = "offline")]
    pub on: Option<Arch>,
}
