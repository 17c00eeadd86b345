//! The manifest of a training job, right for its instances: what a person would copy, and where copies go wrong.
//!
//! A pure function: the same order gives the same bytes. Every quantity follows from the catalogue's facts of the instance.

mod build;
mod manifest;
mod values;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::catalog::Instance;
use crate::oci::Reference;

pub use manifest::{Manifest, Mount};
pub use values::{EnvName, ObjectName};

/// The kind of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `kubeflow.org/v1` PyTorchJob.
    PyTorch,
    /// `kubeflow.org/v2beta1` MPIJob.
    Mpi,
    /// `batch/v1` Job.
    Plain,
}

/// How the processes of a PyTorchJob find each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rendezvous {
    /// PyTorch's own store on the first worker.
    C10d,
    /// An etcd server of the job's own.
    Etcd,
    /// One of the pods is the master; the operator names it and numbers the others in the environment, and no torchrun is needed.
    /// In an MPIJob each worker runs the command itself, which finds the others by their hosts' names; the launcher only waits.
    Master,
}

/// Which of its node's devices a pod gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Devices {
    /// All GPUs and EFA devices.
    All,
    /// One GPU, no EFA.
    OneGpu,
    /// None.
    None,
}

/// What job is wanted.
#[derive(Debug, Clone)]
pub struct Order<'a> {
    /// Its kind.
    pub kind: Kind,
    /// The instance type of every node.
    pub instance: &'a Instance,
    /// How many nodes.
    pub nodes: u32,
    /// What each pod gets of its node.
    pub devices: Devices,
    /// The image.
    pub image: Reference,
    /// The job's name.
    pub name: ObjectName,
    /// The namespace.
    pub namespace: Option<ObjectName>,
    /// How processes find each other.
    pub rendezvous: Rendezvous,
    /// Environment on top of what the job needs.
    pub env: Vec<(EnvName, String)>,
    /// What runs on every node; the image's own command where empty.
    pub command: Vec<String>,
    /// Whether pods see `/var/log/aws/clusters`, by which SMP recognises a HyperPod cluster.
    pub host_path: bool,
    /// A ConfigMap whose files pods see in `/smp-image`.
    pub files: Option<ObjectName>,
    /// The seconds after which the cluster ends it. A job with a deadline is a test: it is never tried twice, its pods stay until
    /// their logs were read, and a while after its end the cluster deletes it by itself.
    pub deadline: Option<u64>,
}

/// A job, ready to be applied.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Job {
    /// Its objects, in the order in which they are applied.
    pub objects: Vec<Manifest>,
    /// What whoever applies it should know.
    pub notes: Vec<String>,
}

/// Why there is no such job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// No node at all.
    #[error("a job needs at least one node")]
    NoNodes,
    /// More nodes than a job has.
    #[error("{0} nodes are more than a job can have (1,000)")]
    TooManyNodes(u32),
    /// A Job of Kubernetes itself over several nodes.
    #[error("a plain Job runs on one node: its pods know nothing of each other")]
    PlainOverNodes,
    /// A launcher without anything to launch.
    #[error("an MPIJob needs a command: what mpirun starts on every GPU")]
    NothingToLaunch,
    /// The manifest has no YAML form.
    #[error("cannot write the manifest: {0}")]
    Yaml(String),
}

/// Returns the job for `order`.
pub fn job(order: &Order<'_>) -> Result<Job, JobError> {
    match order.nodes {
        0 => return Err(JobError::NoNodes),
        1..=1000 => {}
        many => return Err(JobError::TooManyNodes(many)),
    }
    let objects = match order.kind {
        Kind::Plain if order.nodes > 1 => return Err(JobError::PlainOverNodes),
        Kind::Mpi if order.command.is_empty() => return Err(JobError::NothingToLaunch),
        Kind::Plain => vec![build::plain(order)],
        Kind::Mpi => vec![build::mpi(order)],
        Kind::PyTorch => build::pytorch(order),
    };
    Ok(Job { objects, notes: notes(order) })
}

/// Returns the ConfigMap `name` with `files` for the job of `order`.
pub fn config_map(order: &Order<'_>, name: &ObjectName, files: BTreeMap<String, String>) -> Manifest {
    build::config_map(order, name.as_str(), files)
}

impl Job {
    /// Returns the objects as YAML documents.
    pub fn yaml(&self) -> Result<String, JobError> {
        let document =
            |object| serde_saphyr::to_string(object).map_err(|error| JobError::Yaml(error.to_string()));
        let documents: Vec<String> = self.objects.iter().map(document).collect::<Result<_, _>>()?;
        Ok(documents.join("---\n"))
    }
}

/// What the manifest cannot settle by itself.
fn notes(order: &Order<'_>) -> Vec<String> {
    let instance = order.instance;
    let mut notes = Vec::new();
    if order.image.digest().is_none() {
        notes.push(format!(
            "image {} is named by a tag, which may move between two nodes: name it by digest",
            order.image.whole()
        ));
    }
    if order.nodes > 1 && instance.efa == 0 {
        notes.push(format!(
            "{} has no EFA: {} nodes talk over TCP at {} Gbit/s at most",
            instance.name, order.nodes, instance.network
        ));
    }
    if order.nodes > 1 && ["ml.p4d.", "ml.p4de."].iter().any(|family| instance.name.starts_with(family)) {
        notes.push(format!(
            "{} exchanges EFA traffic only with its own type: all nodes must be of it",
            instance.name
        ));
    }
    if order.nodes > 1 && instance.efa > 0 {
        notes.push("EFA traffic stays in one availability zone: all nodes must be in the same".to_owned());
    }
    if order.kind == Kind::PyTorch && order.rendezvous == Rendezvous::Etcd {
        notes.push("the image must hold python-etcd for the etcd rendezvous".to_owned());
    }
    for (name, _) in &order.env {
        notes.extend(values::harm(name, instance));
    }
    notes
}
