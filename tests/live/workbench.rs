//! The real parts that the live tests talk to, named by the environment.

use std::collections::BTreeMap;

use smp_image::engine::{
    BuildRequest, Context, Credentials, DockerEngine, Endpoint, Environment, Event, Gpus, RunRequest,
};
use smp_image::oci::{Arch, Dialect, Platform, Profile};

/// The base image that every engine has.
pub(crate) const BASE: &str = "debian:trixie-slim";

pub(crate) const AMD64: Platform = Platform { arch: Arch::Amd64 };

/// Returns a variable of the workbench; a test without its parts fails, for one that is skipped proves nothing.
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `make live` or `make test`, which start what this test needs")
    })
}

/// The engines that stand for those of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// 20.10: old BuildKit, no typed errors.
    Old,
    /// 26.1 with overlay2.
    Graph,
    /// 26.1 with the containerd store.
    Containerd,
}

pub(crate) const ALL: [Which; 3] = [Which::Old, Which::Graph, Which::Containerd];

impl Which {
    pub(crate) fn address(self) -> String {
        variable(match self {
            Self::Old => "SMP_WB_ENGINE20",
            Self::Graph => "SMP_WB_ENGINE26",
            Self::Containerd => "SMP_WB_ENGINE26C",
        })
    }

    pub(crate) fn endpoint(self) -> Endpoint {
        Endpoint::find(&Environment::default(), Some(&self.address()), None).unwrap()
    }

    pub(crate) fn connect(self) -> DockerEngine {
        DockerEngine::connect(&self.endpoint(), Credentials::none()).unwrap()
    }
}

/// Returns a build of `dockerfile` from nothing.
pub(crate) fn build(dockerfile: &str) -> BuildRequest {
    BuildRequest {
        dockerfile: dockerfile.to_owned(),
        context: Context::Empty,
        platform: AMD64,
        tags: Vec::new(),
        labels: BTreeMap::new(),
        args: BTreeMap::new(),
        secrets: BTreeMap::new(),
        source_date_epoch: Some(1_700_000_000),
        profile: Profile::Oci,
        network: "host".into(),
        no_cache: false,
        dialect: Dialect::Buildkit,
        cache_from: Vec::new(),
        cache_to: Vec::new(),
    }
}

/// Returns a run of a shell script in `image`.
pub(crate) fn run(image: &str, script: &str) -> RunRequest {
    RunRequest {
        image: image.to_owned(),
        platform: AMD64,
        command: vec!["/bin/sh".into(), "-c".into(), script.to_owned()],
        env: BTreeMap::new(),
        stdin: Vec::new(),
        network: "none".into(),
        gpus: Gpus::None,
        shm_size: 64 * 1024 * 1024,
        devices: Vec::new(),
        limit: std::time::Duration::from_mins(1),
    }
}

/// Returns a text that no other test and no earlier run used, so that nothing comes from a cache.
pub(crate) fn unique(what: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("{what}-{}-{}", std::process::id(), now.as_nanos())
}

/// Collects what an engine said.
pub(crate) fn listen() -> (smp_image::engine::Events, tokio::sync::mpsc::UnboundedReceiver<Event>) {
    tokio::sync::mpsc::unbounded_channel()
}

/// Returns everything that was said so far.
pub(crate) fn heard(events: &mut tokio::sync::mpsc::UnboundedReceiver<Event>) -> Vec<Event> {
    std::iter::from_fn(|| events.try_recv().ok()).collect()
}

/// Runs Docker's own client on one of the engines and returns what it prints: another witness than our code.
pub(crate) fn docker(which: Which, arguments: &[&str]) -> String {
    let output = std::process::Command::new(variable("SMP_WB_DOCKER"))
        .env("DOCKER_CONFIG", variable("SMP_WB_DOCKER_CONFIG"))
        .env("DOCKER_HOST", which.address())
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Returns the containers, running or not, whose command contains `text`.
pub(crate) fn containers(which: Which, text: &str) -> String {
    let all = docker(which, &["ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Command}}"]);
    all.lines().filter(|line| line.contains(text)).collect::<Vec<_>>().join("\n")
}

/// Returns the processes of this machine, on which the engines run too, whose command line contains `text`.
pub(crate) fn processes(text: &str) -> Vec<String> {
    let own = std::process::id().to_string();
    let ids =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let lines =
        ids.filter(|id| id.bytes().all(|byte| byte.is_ascii_digit()) && *id != own).filter_map(|id| {
            let line = std::fs::read(format!("/proc/{id}/cmdline")).ok()?;
            Some(format!("{id} {}", String::from_utf8_lossy(&line).replace('\0', " ")))
        });
    lines.filter(|line| line.contains(text)).collect()
}

/// Waits until `what` is so, at most `seconds`.
pub(crate) async fn eventually(seconds: u64, what: impl Fn() -> bool) -> bool {
    for _ in 0..seconds * 10 {
        if what() {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    what()
}

/// Makes a script that a test wrote one that can be started.
pub(crate) fn make_executable(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
