//! `smp-image smoke`: what can be said about probes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{AgainstArgs, ClusterArgs};

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
    /// How long each probe may run before it is killed, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub limit: u64,
    /// Size of the container's /dev/shm in MiB; give what your pods have.
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    pub shm_size: u64,
}

/// `smp-image smoke`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  smp-image smoke smp-image/quickstart --recipe quickstart\n  smp-image smoke IMAGE --tier 2 --gpu cdi\n  \
                        smp-image smoke --here --recipe smp-2.8 --format json\n  smp-image smoke --here --probe nccl-collectives --limit 120\n  \
                        smp-image smoke registry.example/team/smpv2@sha256:DIGEST --on kubernetes --instances ml.p5.48xlarge --nodes 2\n  \
                        smp-image smoke --grade-log job.log --instances ml.p5.48xlarge"
)]
pub struct Smoke {
    /// A name or ID of an image in the engine; with --on kubernetes a reference that the cluster can pull.
    #[arg(value_name = "IMAGE", required_unless_present_any = ["here", "grade_log"])]
    pub image: Option<String>,
    /// Against what.
    #[command(flatten)]
    pub against: AgainstArgs,
    /// Only probes of this tier: 1 needs no GPU, 2 one, 3 several, 4 several nodes; `auto`: as far as this machine goes. May be repeated.
    #[arg(long, value_enum, value_name = "TIER")]
    pub tier: Vec<TierArg>,
    /// Only this probe. May be repeated.
    #[arg(long, value_name = "NAME")]
    pub probe: Vec<String>,
    /// On this machine, or inside this pod or terminal, without any engine.
    #[arg(long, conflicts_with_all = ["image", "host", "context", "on"])]
    pub here: bool,
    /// With --here: the Python that has the packages; without it python3 on the PATH.
    #[arg(long, value_name = "FILE", requires = "here")]
    pub python: Option<PathBuf>,
    /// How.
    #[command(flatten)]
    pub smoke: SmokeArgs,
    /// On a cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Judge this log of a job that ran with `NCCL_DEBUG=INFO`, and run nothing; `-` is standard input. May be repeated.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["image", "recipe", "on", "here"])]
    pub grade_log: Vec<PathBuf>,
}

/// A tier of probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TierArg {
    /// As far as this machine goes.
    Auto,
    /// No GPU.
    #[value(name = "1")]
    Image,
    /// One GPU.
    #[value(name = "2")]
    OneGpu,
    /// Several GPUs.
    #[value(name = "3")]
    Node,
    /// Several nodes.
    #[value(name = "4")]
    Nodes,
}
