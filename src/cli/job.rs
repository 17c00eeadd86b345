//! What can be said about a training job.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `smp-image job`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  smp-image job --kind pytorchjob --instances ml.p5.48xlarge --nodes 8 --image registry.example/team/smpv2@sha256:DIGEST -o job.yaml\n  \
                  smp-image job --instances ml.g5.8xlarge --nodes 8 --image IMAGE --rendezvous etcd -- torchrun train.py --fp8 0\n  \
                  smp-image job --kind mpijob --instances ml.p5.48xlarge --nodes 2 --image IMAGE -- all_reduce_perf -b 8 -e 16G -f 2 -g 1"
)]
pub struct Job {
    /// What kind of job.
    #[arg(long, value_enum, default_value_t = JobKind::Pytorchjob)]
    pub kind: JobKind,
    /// The instance type of the nodes, such as ml.p5.48xlarge.
    #[arg(long, value_name = "TYPE", value_delimiter = ',', required = true)]
    pub instances: Vec<String>,
    /// How many nodes.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub nodes: u32,
    /// The image, best by digest.
    #[arg(long, value_name = "REFERENCE")]
    pub image: String,
    /// The name of the job.
    #[arg(long, value_name = "NAME", default_value = "train")]
    pub name: String,
    /// The namespace; without it the one of whoever applies the manifest.
    #[arg(long, short, value_name = "NAME")]
    pub namespace: Option<String>,
    /// How the processes of a PyTorchJob find each other.
    #[arg(long, value_enum, default_value_t = RendezvousArg::C10d)]
    pub rendezvous: RendezvousArg,
    /// An environment variable, as NAME=VALUE. May be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// Leave out /var/log/aws/clusters, by which SMP recognises a HyperPod cluster; some clusters forbid paths of the host.
    #[arg(long)]
    pub no_host_path: bool,
    /// Where the manifest is written; without it to standard output.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What runs on every node, after `--`; a PyTorchJob wants `torchrun` or `python`, without it the image's own command runs.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// The kind of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum JobKind {
    /// Kubeflow's PyTorchJob (kubeflow.org/v1): torchrun on every node.
    Pytorchjob,
    /// Kubeflow's MPIJob (kubeflow.org/v2beta1): a launcher with mpirun.
    Mpijob,
    /// A Job of Kubernetes itself (batch/v1).
    Job,
}

/// How processes find each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RendezvousArg {
    /// PyTorch's own, on the first worker.
    C10d,
    /// An etcd server beside the job, as the HyperPod workshop has it; the image needs python-etcd.
    Etcd,
}
