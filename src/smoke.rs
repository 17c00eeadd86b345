//! Smoke tests: probes that run inside a container of the finished image or on this machine, and what came of them.
//!
//! `probes/runner.py` gets every probe's code on standard input and runs each as a process of its own, so that a crash or a hang is
//! that probe's outcome and no other's. Nothing is installed into the image or mounted.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::{Engine, EngineError, Gpus, RunRequest, RunResult};
use crate::oci::Platform;
use crate::plan::{Probe, ProbeName};

mod here;
mod order;
pub mod pod;
#[cfg(test)]
mod tests;

pub use here::{HereError, run_here};

use order::{MARK, RUNNER, order};

/// Time for the container and the runner themselves, and for killing each probe that hangs.
const MARGIN: Duration = Duration::from_mins(1);
const MARGIN_EACH: Duration = Duration::from_secs(6);

/// How probes run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The network of the container; probes need none.
    pub network: String,
    /// GPUs of the host. With any, a GPU that cannot be reached is a failure and not a skip.
    pub gpus: Gpus,
    /// Whether a GPU that cannot be reached is a failure although nothing need be done to give any.
    pub gpu_promised: bool,
    /// Devices of the host, such as `/dev/infiniband/uverbs0`.
    pub devices: Vec<String>,
    /// Environment variables on top of the image's own.
    pub env: BTreeMap<String, String>,
    /// Size of `/dev/shm` in bytes; NCCL wants more than the default of 64 MiB.
    pub shm_size: u64,
    /// How long each probe may run.
    pub limit: Duration,
    /// Whether all that probes write to standard error is passed on, where their output is a log that somebody reads.
    pub echo: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            network: "none".to_owned(),
            gpus: Gpus::None,
            gpu_promised: false,
            devices: Vec::new(),
            env: BTreeMap::new(),
            shm_size: 1 << 30,
            limit: Duration::from_mins(5),
            echo: false,
        }
    }
}

/// What came of one probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Outcome {
    /// The probe.
    pub probe: ProbeName,
    /// Its answer.
    pub answer: Answer,
    /// How long it took, in seconds.
    pub took: f64,
}

/// The answer of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Answer {
    /// It works.
    Passed {
        /// What was seen, such as `NCCL 2.32.3 from /opt/…/libnccl.so.2`.
        evidence: String,
        /// What a person should look at nevertheless, such as a GPU that is slower than its data sheet.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
    },
    /// It does not.
    Failed {
        /// What was seen.
        evidence: String,
        /// The likely cause; empty where none is known.
        #[serde(default)]
        cause: String,
        /// The last lines that the probe wrote to standard error.
        #[serde(default)]
        tail: Vec<String>,
    },
    /// It could not be asked here.
    Skipped {
        /// Why: `no GPU`.
        reason: String,
        /// What was seen.
        #[serde(default)]
        evidence: String,
    },
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Passed { evidence, .. } => write!(f, "passed: {evidence}"),
            Self::Failed { evidence, .. } => write!(f, "failed: {evidence}"),
            Self::Skipped { reason, .. } => write!(f, "skipped: {reason}"),
        }
    }
}

impl Answer {
    fn failed(evidence: impl Into<String>, cause: impl Into<String>, tail: Vec<String>) -> Self {
        Self::Failed { evidence: evidence.into(), cause: cause.into(), tail }
    }
}

/// What the runner writes for each probe.
#[derive(Deserialize)]
struct Answered {
    id: usize,
    took: f64,
    answer: Answer,
}

/// Runs `probes` in one container of `image` and returns an outcome for each, in their order.
///
/// A probe that crashes, hangs or never answers is a failed outcome. An error means that no container could be run.
pub async fn run(
    engine: &dyn Engine,
    image: &str,
    platform: Platform,
    probes: &[Probe],
    options: &Options,
) -> Result<Vec<Outcome>, EngineError> {
    if probes.is_empty() {
        return Ok(Vec::new());
    }
    match engine.run(&request(image, platform, probes, options)).await {
        Ok(result) => Ok(outcomes(probes, &result)),
        Err(error) if is_without_python(&error) => Ok(without_python(probes)),
        Err(error) => Err(error),
    }
}

fn request(image: &str, platform: Platform, probes: &[Probe], options: &Options) -> RunRequest {
    RunRequest {
        image: image.to_owned(),
        platform,
        // Found on the image's own PATH, where a virtual environment comes first.
        command: ["python3", "-c", RUNNER].map(str::to_owned).to_vec(),
        env: options.env.clone(),
        stdin: order(probes, options, false),
        network: options.network.clone(),
        gpus: options.gpus.clone(),
        shm_size: options.shm_size,
        devices: options.devices.clone(),
        limit: whole_limit(probes, options),
    }
}

/// Returns how long all of `probes` may take together, each of them killed at its limit.
fn whole_limit(probes: &[Probe], options: &Options) -> Duration {
    let each = |probe| order::limit(probe, options).saturating_add(MARGIN_EACH);
    probes.iter().map(each).fold(MARGIN, Duration::saturating_add)
}

/// Reads the runner's output; a probe without an answer has failed.
fn outcomes(probes: &[Probe], result: &RunResult) -> Vec<Outcome> {
    let stdout = String::from_utf8_lossy(&result.stdout);
    let answered: BTreeMap<usize, Answered> = stdout
        .split(MARK)
        .skip(1)
        .filter_map(|text| serde_json::from_str(text.lines().next()?).ok())
        .map(|answered: Answered| (answered.id, answered))
        .collect();
    let outcome = |(id, probe): (usize, &Probe)| match answered.get(&id) {
        Some(Answered { took, answer, .. }) => {
            Outcome { probe: probe.name, answer: answer.clone(), took: *took }
        }
        None => Outcome { probe: probe.name, answer: unanswered(result), took: 0.0 },
    };
    probes.iter().enumerate().map(outcome).collect()
}

fn unanswered(result: &RunResult) -> Answer {
    let stderr = String::from_utf8_lossy(&result.stderr);
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    let tail = lines[lines.len().saturating_sub(8)..].iter().map(|&line| line.to_owned()).collect();
    let cause = match result.status {
        137 => "it was killed, which most often means that the machine has too little memory",
        139 => "Python itself crashed",
        _ => "",
    };
    let evidence = format!("the runner ended with status {} before this probe answered", result.status);
    Answer::failed(evidence, cause, tail)
}

/// Returns whether the engine says that there is no `python3` to start.
fn is_without_python(error: &EngineError) -> bool {
    let EngineError::Api { message, .. } = error else { return false };
    message.contains("python3")
        && (message.contains("executable file not found") || message.contains("no such file or directory"))
}

fn without_python(probes: &[Probe]) -> Vec<Outcome> {
    let answer = Answer::failed(
        "python3 is not on the image's PATH",
        "probes are Python: add `python` to the components, or put it on the PATH",
        Vec::new(),
    );
    probes.iter().map(|probe| Outcome { probe: probe.name, answer: answer.clone(), took: 0.0 }).collect()
}
