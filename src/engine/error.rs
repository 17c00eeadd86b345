//! Why an engine could not do what it was asked.

use std::path::PathBuf;
use std::time::Duration;

use crate::oci::Platform;

/// Why an engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Nothing answers there.
    #[error("no container engine answers at {endpoint}: {reason}")]
    Unreachable {
        /// Where it was looked for.
        endpoint: String,
        /// What the connection said.
        reason: String,
    },
    /// What points to the engine (`DOCKER_HOST`, a context) makes no sense.
    #[error("cannot tell which engine to use: {0}")]
    Endpoint(String),
    /// What names a builder makes no sense.
    #[error("cannot tell which builder to use: {0}")]
    Builder(String),
    /// There is no builder of this name.
    #[error("there is no builder `{name}`")]
    NoBuilder {
        /// The name.
        name: String,
        /// The builders that there are.
        known: Vec<String>,
    },
    /// The builder beside the engine cannot be reached, or went away.
    #[error("the builder {builder} went away while {doing}: {reason}")]
    BuilderLost {
        /// The builder.
        builder: String,
        /// What was being done.
        doing: String,
        /// What the connection, or buildx, said.
        reason: String,
    },
    /// A registry does not take the cache of a build, or does not give one.
    #[error("the cache {cache} is refused: {message}")]
    Cache {
        /// The cache.
        cache: String,
        /// What was said.
        message: String,
    },
    /// The connection broke in the middle of the work.
    #[error("the engine at {endpoint} went away while {doing}: {reason}")]
    Died {
        /// Where it was.
        endpoint: String,
        /// What was being done.
        doing: String,
        /// What the connection said.
        reason: String,
    },
    /// The engine said nothing for too long.
    #[error("the engine said nothing for {} s while {doing}", limit.as_secs())]
    Stalled {
        /// What was being done.
        doing: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// A step of the build failed.
    #[error(transparent)]
    Step(Box<StepFailure>),
    /// The Dockerfile itself is refused.
    #[error("the builder refuses the Dockerfile, line {line}: {message}")]
    Dockerfile {
        /// The line, from 1; 0 where unknown.
        line: u32,
        /// What the builder said.
        message: String,
    },
    /// There is no space left where the engine keeps its data.
    #[error("the engine has no space left: {0}")]
    NoSpace(String),
    /// The image is not made for the platform asked for.
    #[error("{image} is {found}, not {wanted}")]
    Platform {
        /// The image.
        image: String,
        /// What it is made for.
        found: String,
        /// What was asked for.
        wanted: Platform,
    },
    /// The image, in the engine or a registry, is not there.
    #[error("{0} was not found")]
    NotFound(String),
    /// The registry does not take our credentials, or wants some.
    #[error("{registry} does not let us in: {message}")]
    Unauthorised {
        /// The registry's host.
        registry: String,
        /// What it said.
        message: String,
    },
    /// The registry failed or refused for another reason.
    #[error("{registry} failed: {message}")]
    Registry {
        /// The registry's host.
        registry: String,
        /// What it said, with the status if there was one.
        message: String,
    },
    /// The credentials of the user's Docker configuration cannot be had.
    #[error("no credentials for {registry}: {message}")]
    Credentials {
        /// The registry's host.
        registry: String,
        /// Why, such as a helper that is missing or hangs.
        message: String,
    },
    /// The container ran longer than it may and was killed.
    #[error("the container was killed after {} s", limit.as_secs())]
    RanTooLong {
        /// How long it was allowed to run.
        limit: Duration,
        /// The end of what it wrote.
        tail: String,
    },
    /// This engine cannot do that.
    #[error("this engine cannot {what}: {reason}")]
    Unsupported {
        /// What was asked.
        what: String,
        /// Why not, and which engine could.
        reason: String,
    },
    /// A file of the build context cannot be read.
    #[error("cannot read {path} for the build: {source}")]
    Context {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What the engine sent could not be written to its destination.
    #[error("cannot write what the engine exports: {0}")]
    Sink(#[source] std::io::Error),
    /// Anything else that the engine's API answered.
    #[error("the engine refused {doing}: {message} (status {status})")]
    Api {
        /// What was asked.
        doing: String,
        /// The HTTP status.
        status: u16,
        /// What the engine said.
        message: String,
    },
    /// The engine answered something that its API does not allow.
    #[error("the engine answered nonsense while {doing}: {reason}")]
    Protocol {
        /// What was asked.
        doing: String,
        /// What was wrong with the answer.
        reason: String,
    },
}

/// A step of the build that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step `{name}` failed{}", status.map(|status| format!(" with status {status}")).unwrap_or_default())]
pub struct StepFailure {
    /// What BuildKit calls the step.
    pub name: String,
    /// First and last line in the Dockerfile, from 1; absent where the engine does not say.
    pub lines: Option<(u32, u32)>,
    /// The exit status of the command, if it was one.
    pub status: Option<i64>,
    /// The last lines that it wrote.
    pub tail: Vec<String>,
    /// What the engine said.
    pub message: String,
}
