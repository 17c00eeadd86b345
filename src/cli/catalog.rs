//! What can be said to `smp-image catalog`.

use clap::{Args, ValueEnum};

/// `smp-image catalog`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  smp-image catalog\n  smp-image catalog instance --filter H100\n  smp-image catalog nccl --sources\n  \
                        smp-image catalog --older-than 180 --format json\n  smp-image catalog efa --catalog my-facts.toml"
)]
pub struct CatalogVerb {
    /// A table or a component; without it every table is named.
    #[arg(value_name = "TABLE|COMPONENT")]
    pub what: Option<String>,
    /// Only facts that hold each of these words. May be repeated.
    #[arg(long, value_name = "TEXT")]
    pub filter: Vec<String>,
    /// Show where each fact comes from.
    #[arg(long)]
    pub sources: bool,
    /// Only facts whose source was read more than this many days ago.
    #[arg(long, value_name = "DAYS")]
    pub older_than: Option<u32>,
    /// Only facts of this confidence. May be repeated.
    #[arg(long, value_name = "CONFIDENCE", value_enum)]
    pub confidence: Vec<ConfidenceArg>,
    /// Compare with the Python package index of today; exit code 3 where the catalogue says something else.
    #[arg(long, conflicts_with_all = ["what", "filter", "sources", "older_than", "confidence"])]
    pub drift: bool,
}

/// How sure a fact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ConfidenceArg {
    /// Read in the primary source.
    Documented,
    /// Derived by a command over primary sources.
    Computed,
    /// An official page, read as republished elsewhere.
    SecondHand,
    /// A community file; may only warn.
    Community,
    /// Our own conclusion; may only warn.
    Inferred,
}
