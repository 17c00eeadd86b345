//! Door to a Kubernetes cluster: objects are made, their pods watched, their logs read, and all of it is deleted at the end.
//!
//! Knows objects and pods, not what they are for. Not the `kube` crate: beside what the program has already it would bring eighteen
//! more crates and the types of all of Kubernetes for the seven questions that are asked here, and its errors hide `Retry-After`.

mod client;
mod config;
mod error;
mod exec;
mod kinds;
mod logs;
mod made;
mod pod;
mod run;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

pub use config::Access;
pub use error::ClusterError;

use client::Client;

/// A cluster and who we are there.
#[derive(Debug, Clone)]
pub struct Cluster {
    client: Arc<Client>,
}

/// How long and how often a cluster is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a connection to stand.
    pub connect: Duration,
    /// For an answer that is not a stream.
    pub answer: Duration,
    /// How often a question is asked where the cluster is overloaded or does not answer; at least once.
    pub attempts: u32,
    /// The first pause between two attempts; each further one is twice as long, 10 seconds at most.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            attempts: 5,
            pause: Duration::from_millis(500),
        }
    }
}

/// What is to be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// The objects, in the order in which they are made; each has a name.
    pub objects: Vec<Value>,
    /// Labels by which the pods are found: `key=value,…`.
    pub selector: String,
    /// The container of a pod whose log is read.
    pub container: String,
    /// How many pods there will be.
    pub pods: usize,
    /// How long they may take until all run.
    pub start_limit: Duration,
    /// How long they may run.
    pub run_limit: Duration,
}

/// How a pod ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodEnd {
    /// Its name.
    pub pod: String,
    /// The exit status of its container; absent where it never came to one.
    pub status: Option<i64>,
    /// Why it ended, where the cluster says more than a status: `OOMKilled`, `Evicted`.
    pub reason: String,
    /// The digest of the image that it ran, as its node says: `sha256:…`.
    pub image: Option<String>,
    /// What it wrote, at most the last 16 MiB.
    pub log: Vec<u8>,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its pods.
    pub pods: Vec<PodEnd>,
    /// That something could not be deleted.
    pub left: Option<ClusterError>,
}

/// What happens while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A pod's state changed: `Pending: 0/3 nodes are available`, `Running`.
    Pod {
        /// The pod.
        pod: &'a str,
        /// The state.
        state: &'a str,
    },
    /// A line of a pod's log.
    Line {
        /// The pod.
        pod: &'a str,
        /// The line.
        line: &'a str,
    },
    /// Something could not be deleted after a run that failed for another reason.
    Left(&'a ClusterError),
}

impl Cluster {
    /// Returns the cluster of `access`; who we are is found out, nothing else is asked.
    ///
    /// # Errors
    /// Where a certificate does not read or the program that gives credentials gives none.
    pub async fn connect(access: Access, patience: Patience) -> Result<Self, ClusterError> {
        Ok(Self { client: Arc::new(Client::new(access, patience).await?) })
    }

    /// Returns the namespace of the kubeconfig's context.
    pub fn namespace(&self) -> &str {
        &self.client.access().namespace
    }

    /// Returns whether the cluster serves `kind` of `api_version`, such as `PyTorchJob` of `kubeflow.org/v1`.
    ///
    /// # Errors
    /// Where it does not say.
    pub async fn offers(&self, api_version: &str, kind: &str) -> Result<bool, ClusterError> {
        kinds::offers(&self.client, api_version, kind).await
    }

    /// Makes the objects, waits until their pods have ended, and deletes everything, whatever happens.
    ///
    /// When this is dropped before its end, what was made is deleted before the drop returns.
    ///
    /// # Errors
    /// Where the cluster refuses, cannot be reached, or a pod does not start or end in time.
    pub async fn run(
        &self,
        work: &Work,
        tell: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Ran, ClusterError> {
        run::run(&self.client, work, tell).await
    }
}
