//! One command in a container that never outlives us.

use std::time::{Duration, Instant};

use bollard::container::LogOutput;
use bollard::models::{ContainerCreateBody, DeviceMapping, DeviceRequest, HostConfig, ResourcesUlimits};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::Empty;
use hyper::{Method, Request};
use tokio::io::AsyncWriteExt as _;

use super::{DockerEngine, not_found};
use crate::engine::http::foreign;
use crate::engine::transport::Transport;
use crate::engine::{EngineError, Gpus, RunRequest, RunResult};

/// How much is kept: of standard output the beginning, of standard error the end.
const STDOUT_LIMIT: usize = 16 * 1024 * 1024;
const STDERR_LIMIT: usize = 1024 * 1024;

/// How much of the output an error quotes.
const TAIL_LIMIT: usize = 4096;

/// Runs the command and removes the container, whatever happens.
pub(super) async fn run(engine: &DockerEngine, request: &RunRequest) -> Result<RunResult, EngineError> {
    let name = format!("smp-image-{}", crate::engine::buildkit::random_id());
    let container = Container { transport: engine.transport.clone(), name, gone: false };
    let mut output = Output::default();
    let result = Box::pin(watched(engine, request, &container.name, &mut output)).await;
    container.remove(engine).await.and(result)
}

/// What a container wrote.
#[derive(Default)]
struct Output {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Output {
    fn take(&mut self, piece: LogOutput) {
        match piece {
            LogOutput::StdErr { message } => {
                self.stderr.extend_from_slice(&message);
                if self.stderr.len() > 2 * STDERR_LIMIT {
                    self.cut();
                }
            }
            LogOutput::StdOut { message } | LogOutput::Console { message } => {
                let room = STDOUT_LIMIT.saturating_sub(self.stdout.len());
                self.stdout.extend_from_slice(message.get(..room.min(message.len())).unwrap_or_default());
            }
            LogOutput::StdIn { .. } => {}
        }
    }

    fn cut(&mut self) {
        let surplus = self.stderr.len().saturating_sub(STDERR_LIMIT);
        self.stderr.drain(..surplus);
    }

    /// Returns the end of what was written, of standard error if anything was.
    fn tail(&self) -> String {
        let written = if self.stderr.is_empty() { &self.stdout } else { &self.stderr };
        let from = written.len().saturating_sub(TAIL_LIMIT);
        String::from_utf8_lossy(written.get(from..).unwrap_or_default()).into_owned()
    }
}

async fn watched(
    engine: &DockerEngine,
    request: &RunRequest,
    name: &str,
    output: &mut Output,
) -> Result<RunResult, EngineError> {
    let doing = format!("running a container of {}", request.image);
    let options =
        CreateContainerOptionsBuilder::new().name(name).platform(&request.platform.to_string()).build();
    let create = Box::pin(engine.docker.create_container(Some(options), body(request)));
    let created = engine.ask_within(engine.limits.create, &doing, create).await;
    created.map_err(|error| refused(error, request))?;
    // Attached before it starts, or the first lines would be lost.
    let attach = AttachContainerOptionsBuilder::new()
        .stream(true)
        .stdin(!request.stdin.is_empty())
        .stdout(true)
        .stderr(true)
        .build();
    let attached = engine.ask(&doing, engine.docker.attach_container(name, Some(attach))).await?;
    let began = Instant::now();
    let start = engine.ask(&doing, engine.docker.start_container(name, None)).await;
    start.map_err(|error| refused(error, request))?;

    let (mut stream, mut input) = (attached.output, attached.input);
    let work = async {
        let feed = async {
            // A command need not read all of its input.
            let _unread = input.write_all(&request.stdin).await;
            let _closed = input.shutdown().await;
        };
        let listen = async {
            while let Some(piece) = stream.next().await {
                output.take(piece.map_err(|error| engine.fault(error, &doing))?);
            }
            Ok::<(), EngineError>(())
        };
        let ((), listened) = tokio::join!(feed, listen);
        listened?;
        exit_status(engine, name, &doing).await
    };
    match tokio::time::timeout(request.limit, work).await {
        Ok(status) => {
            let (status, took) = (status?, began.elapsed());
            output.cut();
            let output = std::mem::take(output);
            Ok(RunResult { status, stdout: output.stdout, stderr: output.stderr, took })
        }
        Err(_) => Err(EngineError::RanTooLong { limit: request.limit, tail: output.tail() }),
    }
}

fn body(request: &RunRequest) -> ContainerCreateBody {
    let device = |path: &String| DeviceMapping {
        path_on_host: Some(path.clone()),
        path_in_container: Some(path.clone()),
        cgroup_permissions: Some("rwm".into()),
    };
    let gpus = match &request.gpus {
        Gpus::None => None,
        Gpus::NvidiaRuntime => Some(DeviceRequest {
            driver: Some("nvidia".into()),
            count: Some(-1),
            capabilities: Some(vec![vec!["gpu".into()]]),
            ..DeviceRequest::default()
        }),
        Gpus::Cdi(names) => Some(DeviceRequest {
            driver: Some("cdi".into()),
            device_ids: Some(names.clone()),
            ..DeviceRequest::default()
        }),
    };
    let host = HostConfig {
        network_mode: (!request.network.is_empty()).then(|| request.network.clone()),
        shm_size: i64::try_from(request.shm_size).ok().filter(|&size| size > 0),
        devices: Some(request.devices.iter().map(device).collect()),
        // RDMA pins what it sends from; the usual 64 KiB or 8 MiB end in `fi_getinfo: No data available`.
        ulimits: (!request.devices.is_empty()).then(|| vec![unlimited("memlock")]),
        device_requests: gpus.map(|gpus| vec![gpus]),
        ..HostConfig::default()
    };
    let feeds = !request.stdin.is_empty();
    ContainerCreateBody {
        image: Some(request.image.clone()),
        // The command replaces both; an empty entry point is none.
        entrypoint: Some(Vec::new()),
        cmd: Some(request.command.clone()),
        env: Some(request.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        attach_stdin: Some(feeds),
        open_stdin: Some(feeds),
        stdin_once: Some(feeds),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}

fn unlimited(name: &str) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(-1), hard: Some(-1) }
}

async fn exit_status(engine: &DockerEngine, name: &str, doing: &str) -> Result<i64, EngineError> {
    let mut waiting = engine.docker.wait_container(name, None);
    match waiting.next().await {
        Some(Ok(ended)) => Ok(ended.status_code),
        // Bollard's way to say that the status is not 0.
        Some(Err(bollard::errors::Error::DockerContainerWaitError { error, code })) if error.is_empty() => {
            Ok(code)
        }
        Some(Err(error)) => Err(engine.fault(error, doing)),
        None => Err(EngineError::Protocol { doing: doing.to_owned(), reason: "no exit status came".into() }),
    }
}

/// Sorts why a container could not be made or started.
fn refused(error: EngineError, request: &RunRequest) -> EngineError {
    let EngineError::Api { message, .. } = &error else { return error };
    let gpus = [
        "could not select device driver",
        "unresolvable CDI devices",
        "CDI device injection failed",
        "nvidia-container",
    ];
    if gpus.iter().any(|words| message.contains(words)) {
        return EngineError::Unsupported { what: "give a container GPUs".into(), reason: message.clone() };
    }
    if let Some(found) = foreign(message) {
        return EngineError::Platform { image: request.image.clone(), found, wanted: request.platform };
    }
    if message.contains("No such image") || message.contains("does not provide the specified platform") {
        return not_found(error, &request.image);
    }
    error
}

/// A container that is removed when this is dropped.
struct Container {
    transport: Transport,
    name: String,
    gone: bool,
}

impl Container {
    async fn remove(mut self, engine: &DockerEngine) -> Result<(), EngineError> {
        let doing = format!("removing the container {}", self.name);
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let removed = engine.ask(&doing, engine.docker.remove_container(&self.name, Some(options))).await;
        self.gone = true;
        match removed {
            // Never made, or already being removed.
            Ok(()) | Err(EngineError::Api { status: 404 | 409, .. }) => Ok(()),
            // An engine that died has told so already.
            Err(error @ (EngineError::Died { .. } | EngineError::Unreachable { .. })) => {
                drop(error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for Container {
    /// Removes the container when its run was cancelled.
    ///
    /// Waits for it: the program may be about to end, and a task of its runtime would end with it. A thread of its own because
    /// a runtime cannot be waited for from within itself.
    fn drop(&mut self) {
        if self.gone {
            return;
        }
        let (transport, name) = (self.transport.clone(), self.name.clone());
        let work = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                let _too_late =
                    tokio::time::timeout(Duration::from_secs(15), remove(&transport, &name)).await;
            });
        });
        let _panicked = work.join();
    }
}

/// Removes a container by name; one that the engine is only about to make is waited for a moment.
async fn remove(transport: &Transport, name: &str) {
    for _ in 0..5 {
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = Method::DELETE;
        let Ok(uri) = format!("/containers/{name}?force=1&v=1").parse() else { return };
        *request.uri_mut() = uri;
        match transport.send(request, "removing a container").await {
            Ok(response) if response.status() == 404 => tokio::time::sleep(Duration::from_millis(200)).await,
            Ok(_) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_standard_error_the_end_is_kept_and_of_standard_output_the_beginning() {
        let mut output = Output::default();
        for _ in 0..40 {
            output.take(LogOutput::StdErr { message: Bytes::from(vec![b'a'; 100_000]) });
            output.take(LogOutput::StdOut { message: Bytes::from(vec![b'o'; 1_000_000]) });
        }
        output.take(LogOutput::StdErr { message: Bytes::from_static(b"end") });
        output.cut();
        assert_eq!(output.stderr.len(), STDERR_LIMIT);
        assert!(output.stderr.ends_with(b"end"));
        assert_eq!(output.stdout.len(), STDOUT_LIMIT);
        assert!(output.tail().len() <= TAIL_LIMIT && output.tail().ends_with("end"));
    }
}
