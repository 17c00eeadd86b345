//! Builders that only buildx knows (in a container, in Kubernetes, on another host): `docker buildx build`, its reports read into the
//! same progress and the same errors as those of our own builds.
//!
//! The plugin is started itself, without `docker` around it: it is then our child and ends with us.
#![expect(
    clippy::disallowed_methods,
    reason = "the engine's door starts buildx, which knows the user's builders"
)]

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use super::failure;
use super::progress::{Progress, TAIL};
use super::rawjson::{Reader, Said};
use crate::engine::endpoint::{Endpoint, Environment};
use crate::engine::http::within;
use crate::engine::{BuildRequest, Built, EngineError, Events};
use crate::oci::Digest;

mod arguments;
mod nodes;
mod trial;

pub use nodes::{BuildxBuilder, BuildxNode};

use nodes::Listed;

const BUILDING: &str = "building";

/// The name of the plugin.
const PLUGIN: &str = "docker-buildx";

/// Where Docker looks for plugins besides the user's own folder.
const FOLDERS: &[&str] = &[
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
    "/Applications/Docker.app/Contents/Resources/cli-plugins",
];

/// How long buildx may take to list its builders; it asks each of them.
const LIST_LIMIT: Duration = Duration::from_mins(1);

/// The buildx of this machine, with the engine that its `default` builder is.
#[derive(Debug, Clone)]
pub struct Buildx {
    program: PathBuf,
    environment: Environment,
}

impl Buildx {
    /// Finds buildx as Docker does, for the engine at `endpoint`.
    ///
    /// # Errors
    /// Where there is none.
    pub fn find(environment: &Environment, endpoint: &Endpoint) -> Result<Self, EngineError> {
        let folders = plugin_folders(environment);
        let program = folders.iter().map(|folder| folder.join(PLUGIN)).find(|path| path.is_file());
        let program = program.ok_or_else(|| EngineError::Unsupported {
            what: "use a named builder".into(),
            reason: "buildx is not installed here (the package docker-buildx, or Docker Desktop)".into(),
        })?;
        Ok(Self { program, environment: arguments::environment(environment, endpoint) })
    }

    /// Returns where the program is.
    pub fn program(&self) -> &Path {
        &self.program
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().envs(self.environment.all());
        command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Returns the version, such as `0.13.1`.
    ///
    /// # Errors
    /// Where it cannot be started, or hangs.
    pub async fn version(&self) -> Result<String, EngineError> {
        let output = self.output(&["version"], "asking buildx for its version").await?;
        let word = output.split_whitespace().nth(1).unwrap_or("unknown");
        Ok(word.trim_start_matches('v').to_owned())
    }

    /// Returns the builders that it knows.
    ///
    /// # Errors
    /// Where it cannot be started, hangs, or is older than 0.13.
    pub async fn builders(&self) -> Result<Vec<BuildxBuilder>, EngineError> {
        let listed = self.output(&["ls", "--format", "json"], "asking buildx for its builders").await?;
        let mut builders: Vec<BuildxBuilder> = Vec::new();
        for line in listed.lines().filter(|line| !line.trim().is_empty()) {
            let listed: Listed = serde_json::from_str(line).map_err(|error| EngineError::Protocol {
                doing: "asking buildx for its builders".into(),
                reason: error.to_string(),
            })?;
            let builder = BuildxBuilder::from(listed);
            // buildx may print a builder once for each of its nodes.
            match builders.iter_mut().find(|known| known.name == builder.name) {
                Some(known) => known.nodes.extend(builder.nodes),
                None => builders.push(builder),
            }
        }
        Ok(builders)
    }

    async fn output(&self, arguments: &[&str], doing: &str) -> Result<String, EngineError> {
        let output = self.command().args(arguments).output();
        let output =
            within(LIST_LIMIT, doing, async { output.await.map_err(|error| self.unstarted(&error)) });
        let output = output.await?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
        let reason = if said.contains("unknown flag") {
            format!("buildx is older than 0.13 ({}): {said}", self.program.display())
        } else {
            format!("buildx says: {}", said.trim_start_matches("ERROR: "))
        };
        Err(EngineError::Unsupported { what: "use a named builder".into(), reason })
    }

    fn unstarted(&self, error: &std::io::Error) -> EngineError {
        EngineError::Unsupported {
            what: "use a named builder".into(),
            reason: format!("{} cannot be started: {error}", self.program.display()),
        }
    }

    /// Builds one image in `builder` and loads it into the engine. The digest in the result is the builder's.
    pub(in crate::engine) async fn build(
        &self,
        builder: &BuildxBuilder,
        request: &BuildRequest,
        events: &Events,
    ) -> Result<Built, EngineError> {
        let began = Instant::now();
        let folder = tempfile::Builder::new().prefix("smp-image-").tempdir().map_err(EngineError::Sink)?;
        let files = arguments::Files::write(folder.path(), request)?;
        let mut command = self.command();
        command.args(arguments::of(builder, request, &files)).envs(files.environment());
        // It leaves the Dockerfile in its own folder for temporary files (buildx 0.13): in ours that goes with the build.
        command.env("TMPDIR", folder.path()).stdin(Stdio::piped());
        let mut child = command.spawn().map_err(|error| self.unstarted(&error))?;
        let (Some(mut stdin), Some(stderr)) = (child.stdin.take(), child.stderr.take()) else {
            return Err(self.unstarted(&std::io::Error::other("it has no standard streams")));
        };
        let feed = async {
            // A builder that ends early need not read the Dockerfile.
            let _unread = stdin.write_all(request.dockerfile.as_bytes()).await;
            drop(stdin);
        };
        let mut progress = Progress::new(events.clone());
        let (said, ()) = tokio::join!(listen(stderr, &mut progress), feed);
        let status = child.wait().await.map_err(|error| self.unstarted(&error))?;
        progress.finish();
        if !status.success() {
            return Err(meaning(&builder.name, &said, request, &progress));
        }
        Ok(Built {
            id: files.digest()?,
            took: began.elapsed(),
            steps: progress.count(),
            context_bytes: progress.transferred(),
        })
    }
}

/// Returns the folders in which Docker looks for plugins, then those of the search path.
fn plugin_folders(environment: &Environment) -> Vec<PathBuf> {
    #[derive(Deserialize, Default)]
    struct Config {
        #[serde(rename = "cliPluginsExtraDirs", default)]
        extra: Vec<PathBuf>,
    }
    let own = environment.docker_config();
    let config: Config = own
        .as_ref()
        .and_then(|folder| std::fs::read(folder.join("config.json")).ok())
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    let path = environment.get("PATH").map(std::env::split_paths).into_iter().flatten();
    let own = own.into_iter().map(|folder| folder.join("cli-plugins"));
    own.chain(config.extra).chain(FOLDERS.iter().map(PathBuf::from)).chain(path).collect()
}

/// Reads what buildx says to its end; returns the last of its words for people.
async fn listen(stderr: impl tokio::io::AsyncRead + Unpin, progress: &mut Progress) -> VecDeque<String> {
    let (mut said, mut reader) = (VecDeque::new(), Reader::default());
    let mut lines = BufReader::new(stderr).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        match reader.take(&String::from_utf8_lossy(&line)) {
            Said::Report(report) => progress.take(report),
            Said::Words(words) => {
                if said.len() == TAIL {
                    said.pop_front();
                }
                said.push_back(words);
            }
            Said::Nothing => {}
        }
    }
    said
}

/// What buildx says when the connection to the builder is not there, or is there no more.
const GONE: &[&str] = &[
    "code = Unavailable",
    "transport is closing",
    "error reading from server",
    "error reading preface",
    "server closed the stream",
    "failed to list workers",
    "failed to find driver",
    "Cannot connect to the Docker daemon",
];

/// The same, where no step failed: a step may say so of a registry.
const SILENT: &[&str] = &[
    "connection refused",
    "connection reset",
    "broken pipe",
    "no such host",
    "i/o timeout",
    "context deadline exceeded",
    "timed out waiting",
    "EOF",
];

/// Returns what the end of a build without success means.
fn meaning(
    builder: &str,
    said: &VecDeque<String>,
    request: &BuildRequest,
    progress: &Progress,
) -> EngineError {
    let last = said.iter().rev().find_map(|words| words.strip_prefix("ERROR: "));
    let last = last.or(said.back().map(String::as_str)).unwrap_or("it gave no reason").to_owned();
    let says = |known: &[&str]| known.iter().any(|words| last.contains(words));
    // Reaching the builder is a step too, in buildx's eyes.
    let reached = progress.failed().is_some_and(|step| !step.name.ends_with("waiting for connection"));
    if says(GONE) || (!reached && says(SILENT)) {
        return EngineError::BuilderLost {
            builder: format!("`{builder}`"),
            doing: BUILDING.into(),
            reason: last,
        };
    }
    let status = tonic::Status::unknown(last.clone());
    failure::of(&status, request, progress).unwrap_or(EngineError::Api {
        doing: "the build".into(),
        status: 500,
        message: last,
    })
}

/// What buildx writes of a build that went well.
#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "containerimage.digest")]
    digest: Digest,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Dialect;
    use crate::oci::{Arch, Platform, Profile};

    #[test]
    fn a_registry_that_is_silent_is_no_builder_that_went_away() {
        let request = BuildRequest {
            dockerfile: "FROM r.example/base:1\n".into(),
            context: crate::engine::Context::Empty,
            platform: Platform { arch: Arch::Amd64 },
            tags: Vec::new(),
            labels: std::collections::BTreeMap::new(),
            args: std::collections::BTreeMap::new(),
            secrets: std::collections::BTreeMap::new(),
            source_date_epoch: None,
            profile: Profile::Oci,
            network: String::new(),
            no_cache: false,
            dialect: Dialect::Buildkit,
            cache_from: Vec::new(),
            cache_to: Vec::new(),
        };
        let message = "failed to solve: r.example/base:1: failed to do request: dial tcp 10.0.0.1:443: connect: connection refused";
        let said: VecDeque<String> = [format!("ERROR: {message}")].into();
        let step = r#"{"vertexes":[{"digest":"sha256:a","name":"[internal] load metadata for r.example/base:1","completed":"2026-01-01T00:00:00Z","error":"connection refused"}]}"#;
        let mut progress = Progress::new(tokio::sync::mpsc::unbounded_channel().0);
        let lost = meaning("far", &said, &request, &progress);
        assert!(matches!(lost, EngineError::BuilderLost { .. }), "{lost}");
        let Said::Report(report) = Reader::default().take(step) else { panic!() };
        progress.take(report);
        let registry = meaning("far", &said, &request, &progress);
        assert!(matches!(registry, EngineError::Registry { .. }), "{registry}");
    }

    #[test]
    fn a_plugin_is_looked_for_where_docker_does() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), r#"{"cliPluginsExtraDirs":["/extra"]}"#).unwrap();
        let config = folder.path().to_str().unwrap();
        let environment: Environment =
            [("DOCKER_CONFIG", config), ("PATH", "/bin:/sbin")].into_iter().collect();
        let folders = plugin_folders(&environment);
        assert_eq!(folders[0], folder.path().join("cli-plugins"));
        assert_eq!(folders[1], Path::new("/extra"));
        assert_eq!(folders.last().unwrap(), Path::new("/sbin"));
    }
}
