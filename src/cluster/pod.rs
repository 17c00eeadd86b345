//! What the cluster says of a pod.

use serde::Deserialize;

/// What the cluster says of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) name: String,
    /// The digest of the image that its node ran.
    pub(super) image: Option<String>,
    pub(super) state: State,
}

/// How far a pod is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// It does not run yet, and why.
    Pending(String),
    /// A node cannot have its image.
    NoImage(String),
    /// It can never start as it is.
    Broken(String),
    /// It runs.
    Running,
    /// It has ended, with which status and why.
    Ended { status: Option<i64>, reason: String },
}

/// Reasons of a waiting container that no waiting mends. `ErrImagePull` is not one: the node tries again, and says
/// `ImagePullBackOff` when it has failed more than once.
const NO_IMAGE: &[&str] = &["ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"];
const BROKEN: &[&str] =
    &["CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff"];

#[derive(Deserialize)]
struct Wire {
    metadata: Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    phase: String,
    reason: String,
    message: String,
    conditions: Vec<Condition>,
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Condition {
    r#type: String,
    status: String,
    reason: String,
    message: String,
}

#[derive(Deserialize)]
struct ContainerStatus {
    name: String,
    #[serde(default, rename = "imageID")]
    image: String,
    #[serde(default)]
    state: ContainerState,
}

#[derive(Deserialize, Default)]
struct ContainerState {
    waiting: Option<Reason>,
    running: Option<serde_json::Value>,
    terminated: Option<Reason>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Reason {
    #[serde(rename = "reason")]
    word: String,
    message: String,
    exit_code: Option<i64>,
}

impl Pod {
    /// Reads an object of the API, of which `container` is watched; none where it is no pod.
    pub(super) fn read(object: &serde_json::Value, container: &str) -> Option<Self> {
        let wire: Wire = serde::Deserialize::deserialize(object).ok()?;
        let state = state(&wire.status, container);
        let watched = wire.status.container_statuses.iter().find(|status| status.name == container);
        // `registry.example/name@sha256:…`; containerd writes the bare digest for images without a name.
        let image =
            watched.and_then(|status| Some(status.image.get(status.image.find("sha256:")?..)?.to_owned()));
        Some(Self { name: wire.metadata.name, image, state })
    }
}

fn state(status: &Status, container: &str) -> State {
    let watched = status.container_statuses.iter().find(|status| status.name == container);
    if let Some(ContainerStatus { state: ContainerState { terminated: Some(ended), .. }, .. }) = watched {
        let reason =
            if ended.word == "Completed" || ended.word == "Error" { String::new() } else { said(ended) };
        return State::Ended { status: ended.exit_code, reason };
    }
    if matches!(status.phase.as_str(), "Failed" | "Succeeded") {
        // Evicted or never admitted: no container tells of it.
        let reason = [status.reason.as_str(), status.message.as_str()];
        return State::Ended { status: None, reason: joined(&reason) };
    }
    if let Some(ContainerStatus { state: ContainerState { running: Some(_), .. }, .. }) = watched {
        return State::Running;
    }
    if let Some(ContainerStatus { state: ContainerState { waiting: Some(waiting), .. }, .. }) = watched {
        return match waiting.word.as_str() {
            reason if NO_IMAGE.contains(&reason) => State::NoImage(said(waiting)),
            reason if BROKEN.contains(&reason) => State::Broken(said(waiting)),
            _ => State::Pending(said(waiting)),
        };
    }
    let unscheduled =
        |condition: &&Condition| condition.r#type == "PodScheduled" && condition.status == "False";
    match status.conditions.iter().find(unscheduled) {
        Some(condition) => State::Pending(joined(&[condition.reason.as_str(), condition.message.as_str()])),
        None => State::Pending("waiting for a node".to_owned()),
    }
}

fn said(reason: &Reason) -> String {
    joined(&[reason.word.as_str(), reason.message.as_str()])
}

fn joined(words: &[&str]) -> String {
    words.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(": ")
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pending(why) | Self::NoImage(why) | Self::Broken(why) => write!(f, "waiting: {why}"),
            Self::Running => f.write_str("running"),
            Self::Ended { status: Some(status), reason } if reason.is_empty() => {
                write!(f, "ended with status {status}")
            }
            Self::Ended { status: Some(status), reason } => write!(f, "ended with status {status}: {reason}"),
            Self::Ended { status: None, reason } => write!(f, "ended: {reason}"),
        }
    }
}
