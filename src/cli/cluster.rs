//! What can be said about a cluster on which probes run.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Where else than in an engine's container probes run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Place {
    /// In pods of the cluster that the kubeconfig names.
    Kubernetes,
}

/// The kind of a job over several nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NodesKind {
    /// Kubeflow's PyTorchJob (kubeflow.org/v1).
    Pytorchjob,
    /// Kubeflow's MPIJob (kubeflow.org/v2beta1); nothing is asked of ssh and mpirun in the image.
    Mpijob,
}

/// How to smoke-test on a cluster.
#[derive(Debug, Clone, Args)]
pub struct ClusterArgs {
    /// Run the probes there and not in the engine.
    #[arg(long, value_enum, value_name = "PLACE")]
    pub on: Option<Place>,
    /// The instance types on which the job runs or ran, such as ml.p5.48xlarge. May be repeated.
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    pub instances: Vec<String>,
    /// How many nodes; with more than one the probe of the network between them runs too. One, with `--tier 4` two.
    #[arg(long, value_name = "COUNT", requires = "on", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub nodes: Option<u32>,
    /// The kind of job that runs over several nodes; without it the one that the cluster has, PyTorchJob before MPIJob.
    #[arg(long, value_enum, value_name = "KIND", requires = "on")]
    pub kind: Option<NodesKind>,
    /// The namespace; without it the one of the kubeconfig's context.
    #[arg(long, short, value_name = "NAME", requires = "on")]
    pub namespace: Option<String>,
    /// A context of the kubeconfig.
    #[arg(long, value_name = "NAME", requires = "on")]
    pub kube_context: Option<String>,
    /// The kubeconfig; else `KUBECONFIG`, `~/.kube/config`, or the service account of the pod in which this runs.
    #[arg(long, value_name = "FILE", requires = "on")]
    pub kubeconfig: Option<PathBuf>,
    /// How long pods may take to start, in seconds: a node may have to come up, and an image of 10 GB be pulled.
    #[arg(long, value_name = "SECONDS", default_value_t = 900, requires = "on")]
    pub start_limit: u64,
}
