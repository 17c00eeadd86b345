//! What the runner is told: the code of each probe, what it is given, how long it may take.

use std::time::Duration;

use serde::Serialize;

use super::Options;
use crate::engine::Gpus;
use crate::plan::{Probe, ProbeName};

/// Stands before every result in the output; libraries chatter on standard output, none with a record separator.
pub(super) const MARK: &str = "\u{1e}smp-image-probe:";
/// The program that runs the probes one after another.
pub(super) const RUNNER: &str = include_str!("../../probes/runner.py");

const ANSWER: &str = include_str!("../../probes/answer.py");
const LOAD: &str = include_str!("../../probes/load.py");
const CUDA: &str = include_str!("../../probes/cuda.py");
const COLLECTIVES: &str = include_str!("../../probes/collectives.py");
const TRAINING: &str = include_str!("../../probes/training.py");
const STUB: &str = include_str!("../../probes/stub.py");
/// Every function of the driver's API, one a line; from `cuda.h` of CUDA 13.0.
const DRIVER_FUNCTIONS: &str = include_str!("../../probes/driver-functions.txt");

/// What the runner reads, in one line.
#[derive(Serialize)]
struct Order<'a> {
    mark: &'a str,
    gpu: bool,
    watch: bool,
    probes: Vec<OrderedProbe<'a>>,
}

#[derive(Serialize)]
struct OrderedProbe<'a> {
    /// The place in the order, by which an answer names its probe.
    id: usize,
    code: String,
    input: &'a serde_json::Value,
    limit: f64,
    /// Whether what the probe writes to standard error is the runner's too.
    echo: bool,
}

/// Returns the order for `probes`. With `watch` the runner ends when its standard input does.
pub(super) fn order(probes: &[Probe], options: &Options, watch: bool) -> Vec<u8> {
    let ordered = |(id, probe)| ordered(id, probe, options);
    let order = Order {
        mark: MARK,
        gpu: options.gpus != Gpus::None || options.gpu_promised,
        watch,
        probes: probes.iter().enumerate().map(ordered).collect(),
    };
    // The order is made of texts and numbers: it always has a JSON form.
    let mut bytes = serde_json::to_vec(&order).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn ordered<'a>(id: usize, probe: &'a Probe, options: &Options) -> OrderedProbe<'a> {
    let limit = limit(probe, options).as_secs_f64();
    OrderedProbe { id, code: code(probe.name), input: &probe.input, limit, echo: options.echo }
}

/// Returns how long a probe may run: on top of its own limit, how long it waits for other nodes.
pub(super) fn limit(probe: &Probe, options: &Options) -> Duration {
    let wait = probe.input.get("wait").and_then(serde_json::Value::as_u64).unwrap_or_default();
    options.limit.saturating_add(Duration::from_secs(wait))
}

/// Returns the Python code of a probe: what comes before every probe, what probes of its kind share, its own.
fn code(probe: ProbeName) -> String {
    let stub = || format!("DRIVER_FUNCTIONS = \"\"\"{DRIVER_FUNCTIONS}\"\"\".split()\n{STUB}");
    let own = match probe {
        ProbeName::Imports => stub() + include_str!("../../probes/imports.py"),
        ProbeName::Libraries => stub() + include_str!("../../probes/libraries.py"),
        ProbeName::NcclVersion => [LOAD, include_str!("../../probes/nccl-version.py")].concat(),
        ProbeName::Loaded => [LOAD, include_str!("../../probes/loaded.py")].concat(),
        ProbeName::FabricProvider => include_str!("../../probes/fabric-provider.py").to_owned(),
        ProbeName::GpuContext => [LOAD, CUDA, include_str!("../../probes/gpu-context.py")].concat(),
        ProbeName::GpuKernel => [LOAD, CUDA, include_str!("../../probes/gpu-kernel.py")].concat(),
        ProbeName::GpuSpeed => [LOAD, CUDA, include_str!("../../probes/gpu-speed.py")].concat(),
        ProbeName::TorchTrain => [TRAINING, include_str!("../../probes/torch-train.py")].concat(),
        ProbeName::TransformerEngine | ProbeName::TransformerEngineFp8 => {
            [TRAINING, include_str!("../../probes/transformer-engine.py")].concat()
        }
        ProbeName::FlashAttention => [TRAINING, include_str!("../../probes/flash-attention.py")].concat(),
        ProbeName::NcclOneRank => [LOAD, CUDA, include_str!("../../probes/nccl-one-rank.py")].concat(),
        ProbeName::GpuPeers => [LOAD, CUDA, include_str!("../../probes/gpu-peers.py")].concat(),
        ProbeName::NcclCollectives => {
            [LOAD, CUDA, COLLECTIVES, include_str!("../../probes/nccl-collectives.py")].concat()
        }
        ProbeName::NcclNetwork => {
            [LOAD, CUDA, COLLECTIVES, include_str!("../../probes/nccl-network.py")].concat()
        }
    };
    format!("{ANSWER}\n{own}")
}
