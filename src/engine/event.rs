//! What happens while an engine works.

use serde::{Deserialize, Serialize};

/// What happens while an engine works. Printers read these; nothing else is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A step of a build is known, before it starts.
    Step {
        /// Identifies the step in later events.
        id: String,
        /// What BuildKit calls it, such as `[nccl 2/3] RUN …`.
        name: String,
    },
    /// A step runs.
    StepStarted {
        /// The step.
        id: String,
    },
    /// A step ended.
    StepEnded {
        /// The step.
        id: String,
        /// Whether it came from the cache.
        cached: bool,
        /// What went wrong, if it failed.
        error: Option<String>,
    },
    /// A part of a step moved: a download, a layer being written.
    Progress {
        /// The step.
        id: String,
        /// What moved.
        what: String,
        /// How far, in bytes.
        current: u64,
        /// Of how much, in bytes; 0 where unknown.
        total: u64,
    },
    /// A step wrote a line.
    Output {
        /// The step.
        id: String,
        /// The line, without its end.
        line: String,
    },
    /// The builder warns about the Dockerfile.
    Warning {
        /// The warning.
        message: String,
        /// The line of the Dockerfile, from 1; 0 where unknown.
        line: u32,
    },
    /// A layer of a push or pull moved.
    Layer {
        /// The short name of the layer.
        id: String,
        /// What happens to it: `Pushing`, `Pushed`, `Layer already exists`, …
        status: String,
        /// How far, in bytes.
        current: u64,
        /// Of how much, in bytes; 0 where unknown.
        total: u64,
    },
}
