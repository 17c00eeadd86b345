//! Why a cluster did not do what it was asked.

use std::time::Duration;

/// Why a cluster did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// No cluster is named, or its description does not read.
    #[error("{0}")]
    Config(String),
    /// The program that gives credentials gives none.
    #[error("`{command}`, which the kubeconfig names for credentials, {reason}")]
    Credentials {
        /// The program.
        command: String,
        /// What happened.
        reason: String,
        /// What the kubeconfig says about installing it.
        hint: String,
    },
    /// No answer.
    #[error("no answer from the cluster at {server} while {doing}: {reason}")]
    Unreachable {
        /// Its address.
        server: String,
        /// What was asked.
        doing: String,
        /// What happened.
        reason: String,
    },
    /// It does not know us.
    #[error("the cluster at {server} does not know who we are: {message}")]
    Unauthorised {
        /// Its address.
        server: String,
        /// What it says.
        message: String,
    },
    /// We may not.
    #[error("not allowed while {doing}: {message}")]
    Forbidden {
        /// What was asked.
        doing: String,
        /// What it says: who may not do what.
        message: String,
        /// The permission that is missing, as `kubectl auth can-i` takes it: `create jobs.batch -n team`.
        permission: String,
    },
    /// It has no such kind of object.
    #[error("the cluster has no {kind} ({api_version})")]
    UnknownKind {
        /// The kind.
        kind: String,
        /// Its group and version.
        api_version: String,
    },
    /// An object of this name is there already and not ours.
    #[error("{what} is there already and was not made by this run")]
    Conflict {
        /// Kind and name.
        what: String,
    },
    /// It refuses.
    #[error("the cluster refused while {doing} ({status}): {message}")]
    Refused {
        /// What was asked.
        doing: String,
        /// The status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// It fails or is overloaded.
    #[error("the cluster failed {attempts} times while {doing} ({status}): {message}")]
    Failing {
        /// What was asked.
        doing: String,
        /// The status.
        status: u16,
        /// What it says.
        message: String,
        /// How often it was asked.
        attempts: u32,
    },
    /// An answer that makes no sense.
    #[error("the cluster's answer makes no sense while {doing}: {reason}")]
    Nonsense {
        /// What was asked.
        doing: String,
        /// What is wrong.
        reason: String,
    },
    /// A pod did not start in time.
    #[error("{who} did not start within {} s: {reason}", limit.as_secs())]
    NeverStarted {
        /// Which pod, or that there is none.
        who: String,
        /// How long it was waited for.
        limit: Duration,
        /// What the scheduler or the node says.
        reason: String,
    },
    /// An image that a node cannot have.
    #[error("pod {pod} cannot have its image: {reason}")]
    Image {
        /// The pod.
        pod: String,
        /// What the node says.
        reason: String,
    },
    /// A pod that can never start as it is.
    #[error("pod {pod} cannot start: {reason}")]
    Unstartable {
        /// The pod.
        pod: String,
        /// What the node says.
        reason: String,
    },
    /// Pods that ran too long.
    #[error("the pods did not end within {} s", limit.as_secs())]
    RanTooLong {
        /// How long it was waited for.
        limit: Duration,
        /// The last lines of their logs.
        tail: Vec<String>,
    },
    /// What was made could not be deleted.
    #[error("could not delete {}: {reason}", left.join(", "))]
    LeftBehind {
        /// Kinds and names.
        left: Vec<String>,
        /// Why.
        reason: String,
    },
}
