//! The container engine behind one trait: build, look, export, run, push. Knows no recipes: any Dockerfile can be built with it.
//!
//! [`DockerEngine`] is a real one behind the Docker API, [`FakeEngine`] one that answers from a script.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;

use crate::oci::{Dialect, Digest, Platform, Profile, Reference};

mod builder;
mod buildkit;
mod cache;
mod classic;
mod credentials;
mod docker;
mod dockerfile;
mod endpoint;
mod error;
mod event;
mod fake;
mod files;
mod http;
mod transport;

pub use builder::Builder;
pub use buildkit::buildx::{Buildx, BuildxBuilder, BuildxNode};
pub use cache::{BadCache, Cache};
pub use credentials::Credentials;
pub use docker::{DockerEngine, Limits};
pub use endpoint::{Endpoint, Environment, Tls};
pub use error::{EngineError, StepFailure};
pub use event::Event;
pub use fake::{Asked, FakeEngine};

/// Where an engine sends what happens while it works. A closed receiver is no error: nobody is listening.
pub type Events = UnboundedSender<Event>;

/// What can be asked of a container engine.
///
/// Every method may be cancelled by dropping its future; the engine then stops the work and removes what it had half made.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Returns what this engine is and can do.
    async fn info(&self) -> Result<EngineInfo, EngineError>;

    /// Returns the image called `name` (reference, tag or ID) in the engine's store, if it is there.
    async fn image(&self, name: &str) -> Result<Option<ImageInfo>, EngineError>;

    /// Builds one image.
    async fn build(&self, request: &BuildRequest, events: &Events) -> Result<Built, EngineError>;

    /// Calls the image `id` also `name`.
    async fn tag(&self, id: &str, name: &Reference) -> Result<(), EngineError>;

    /// Writes the image, as `docker save` does, to `sink`; bounded memory whatever its size.
    async fn export(&self, name: &str, sink: &mut (dyn std::io::Write + Send)) -> Result<(), EngineError>;

    /// Runs one command in a new container and removes the container, also when cancelled.
    async fn run(&self, request: &RunRequest) -> Result<RunResult, EngineError>;

    /// Pushes `name` to its registry and returns what the registry now calls it.
    async fn push(
        &self,
        name: &Reference,
        login: Option<&Login>,
        events: &Events,
    ) -> Result<Pushed, EngineError>;

    /// Removes the name from the image; the image too if it was its last name.
    async fn remove(&self, name: &str) -> Result<(), EngineError>;
}

/// What an engine is and can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct EngineInfo {
    /// Where it was reached, such as `unix:///var/run/docker.sock`.
    pub endpoint: String,
    /// Its version, such as `26.1.5`.
    pub version: String,
    /// The newest API that it speaks, such as `1.45`.
    pub api: String,
    /// The platform on which it runs natively.
    pub platform: Platform,
    /// The platforms whose programs its BuildKit says it runs, natively or emulated; empty where it has none or does not say. It forgets
    /// none: [`DockerEngine::runs`] finds out.
    pub platforms: Vec<Platform>,
    /// How it keeps images.
    pub store: Store,
    /// Whether builds go through BuildKit.
    pub buildkit: bool,
    /// Where it keeps its data, as the engine names it.
    pub data_root: String,
    /// Memory of its machine in bytes.
    pub memory: u64,
    /// Processors of its machine.
    pub processors: u64,
    /// Whether it is that of SageMaker Studio or Code Editor, which allows little.
    #[serde(default)]
    pub studio: bool,
    /// The builder beside it, where builds go to one; platforms and BuildKit are then the builder's.
    #[serde(default)]
    pub builder: Option<String>,
    /// How it can give GPUs to containers.
    pub gpus: GpuOffer,
}

impl EngineInfo {
    /// Returns whether its `BuildKit` knows `COPY --link`, without which no image is built for another architecture.
    pub fn links(&self) -> bool {
        let major = self.version.split('.').next().and_then(|major| major.parse::<u64>().ok());
        self.buildkit && (self.builder.is_some() || major.is_none_or(|major| major >= LINK_SINCE))
    }
}

/// The first engine whose `BuildKit` knows `COPY --link`.
const LINK_SINCE: u64 = 23;

/// How an engine can give GPUs to containers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct GpuOffer {
    /// Whether the NVIDIA container runtime is one of its runtimes.
    pub nvidia_runtime: bool,
    /// Folders in which it looks for specifications of the Container Device Interface; none where it has that switched off.
    pub cdi_spec_dirs: Vec<String>,
    /// Devices that it found in them, such as `nvidia.com/gpu=all`; engines before 28.3 do not tell.
    pub cdi_devices: Vec<String>,
}

/// How an engine keeps images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// Graph drivers: unpacked layers; an image is known by the digest of its configuration.
    Graph,
    /// The containerd store: compressed blobs and manifests; an image is known by the digest of its manifest.
    Containerd,
}

/// An image in an engine's store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ImageInfo {
    /// What the engine calls it: digest of the configuration (graph store) or of the manifest (containerd store).
    pub id: Digest,
    /// What it is made for.
    pub platform: Platform,
    /// Unpacked size in bytes as the engine counts it.
    pub size: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Digests by which registries know it, as `repository@digest`.
    pub repo_digests: Vec<String>,
}

/// One build.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// The Dockerfile's text. It never touches the disk.
    pub dockerfile: String,
    /// Files that `COPY` may name.
    pub context: Context,
    /// The platform of the result.
    pub platform: Platform,
    /// Names for the result.
    pub tags: Vec<Reference>,
    /// Labels of the result.
    pub labels: BTreeMap<String, String>,
    /// `ARG` values.
    pub args: BTreeMap<String, String>,
    /// Secrets by their id in `RUN --mount=type=secret,id=…`; held in memory, never logged.
    pub secrets: BTreeMap<String, Secret>,
    /// Seconds since 1970 written as the time of creation, so that equal inputs give equal digests.
    pub source_date_epoch: Option<u64>,
    /// Manifest form and codec of the result where the engine can choose.
    pub profile: Profile,
    /// The network of `RUN` steps: `default`, `host`, `none` or, in SageMaker Studio, `sagemaker`.
    pub network: String,
    /// Ignore the build cache.
    pub no_cache: bool,
    /// Which builder reads the Dockerfile.
    pub dialect: Dialect,
    /// Caches of other builders to read.
    pub cache_from: Vec<Cache>,
    /// Where the cache of this build is written for other builders.
    pub cache_to: Vec<Cache>,
}

/// Files that `COPY` may name.
#[derive(Debug, Clone)]
pub enum Context {
    /// Nothing but the Dockerfile.
    Empty,
    /// A folder; its `.dockerignore` is obeyed.
    Folder(PathBuf),
    /// Files in memory by their path in the context.
    Memory(BTreeMap<String, Vec<u8>>),
}

/// Bytes that no log, label, layer or error may show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// Returns `bytes` as a secret.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// Returns the bytes, for the one place that must send them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Who one is at a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user, such as `AWS`.
    pub user: String,
    /// The password or token.
    pub password: Secret,
}

/// What came of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Built {
    /// What the engine calls the image (see [`ImageInfo::id`]).
    pub id: Digest,
    /// How long it took.
    #[serde(with = "seconds")]
    #[schemars(with = "f64")]
    pub took: Duration,
    /// How many steps ran and how many came from the cache.
    pub steps: StepCount,
    /// Bytes of context that were sent.
    pub context_bytes: u64,
}

/// How many steps ran and how many came from the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StepCount {
    /// Steps that ran.
    pub run: u32,
    /// Steps that came from the cache.
    pub cached: u32,
}

/// One command in a new container.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// The image.
    pub image: String,
    /// Its platform.
    pub platform: Platform,
    /// The command; replaces entry point and command of the image.
    pub command: Vec<String>,
    /// Environment variables on top of the image's own.
    pub env: BTreeMap<String, String>,
    /// What the command reads from standard input.
    pub stdin: Vec<u8>,
    /// The network: `none`, `host`, `bridge`, `sagemaker`.
    pub network: String,
    /// GPUs of the host.
    pub gpus: Gpus,
    /// Size of `/dev/shm` in bytes.
    pub shm_size: u64,
    /// Devices of the host to pass through, such as `/dev/infiniband/uverbs0`; with any, memory may be locked without limit.
    pub devices: Vec<String>,
    /// After this long the container is killed and the run is an error.
    pub limit: Duration,
}

/// GPUs of the host for a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gpus {
    /// None.
    None,
    /// All, through the NVIDIA container runtime.
    NvidiaRuntime,
    /// Devices of the Container Device Interface, such as `nvidia.com/gpu=all`.
    Cdi(Vec<String>),
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunResult {
    /// The exit status of the command.
    pub status: i64,
    /// Its standard output, at most 16 MiB.
    pub stdout: Vec<u8>,
    /// Its standard error, at most 1 MiB, the end of it.
    pub stderr: Vec<u8>,
    /// How long it took from start to end.
    pub took: Duration,
}

/// What a registry took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Pushed {
    /// The digest of the manifest as the engine reports it.
    pub digest: Digest,
    /// The size of the manifest in bytes.
    pub size: u64,
}

/// Durations as seconds with fractions.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((duration.as_secs_f64() * 1000.0).round() / 1000.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
