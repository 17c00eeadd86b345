//! What can be said about a cluster on which probes run.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Where else than in an engine's container probes run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Place {
    /// In pods of the cluster that the kubeconfig names.
    Kubernetes,
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
    /// How many nodes; with more than one the probe of the network between them runs too.
    #[arg(long, value_name = "COUNT", default_value_t = 1, requires = "on")]
    pub nodes: u32,
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
