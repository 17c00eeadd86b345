//! What can be said to the verbs that build no image: about this machine, the shell, the manual.

use std::path::PathBuf;

use clap::Args;

use super::{EngineArgs, RecipeArgs, SourceArgs};

/// `smp-image doctor`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  smp-image doctor\n  smp-image doctor smp-2.8 --format json\n  smp-image doctor --offline --fix"
)]
pub struct Doctor {
    /// The recipe.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// Mirrors.
    #[command(flatten)]
    pub source: SourceArgs,
    /// The engine.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// The AWS region, where the AWS configuration names none.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Ask nobody outside of this machine: neither AWS nor a registry.
    #[arg(long)]
    pub offline: bool,
    /// Mend what can be mended without harm; each fix is named in the report.
    #[arg(long)]
    pub fix: bool,
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

/// `smp-image new`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  smp-image new\n  smp-image new --from smp-2.8")]
pub struct New {
    /// The built-in recipe to start from.
    #[arg(long, value_name = "RECIPE", default_value = "quickstart")]
    pub from: String,
}
