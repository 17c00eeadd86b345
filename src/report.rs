//! What people and pipelines read: progress while it happens, and one report at the end as text, JSON or JUnit.
//!
//! Nothing here prints or decides. Functions turn values into text, or write to what they are given; the clock is passed in.

use serde::Serialize;

use crate::catalog::Own;
use crate::check::Inspection;
use crate::engine::Built;
use crate::grade::Grade;
use crate::oci::Digest;
use crate::registry::Receipt;
use crate::smoke::Outcome;
use crate::verdict::{Reason, Subject, Verdict};

pub mod diff;
pub mod facts;
pub mod failure;
pub mod grade;
pub mod json;
pub mod junit;
pub mod progress;
pub mod sarif;
pub mod text;

pub(crate) mod plain;
#[cfg(test)]
mod tests;

/// The version of the report's JSON form. Readers may rely on it: fields are only added while it stays.
pub const FORMAT: u32 = 1;

/// Everything that one run of the tool has to say at its end. A verb leaves out what it does not do: `check` builds nothing.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// The tool and its version, such as `smp-image 0.1.0`.
    pub tool: String,
    /// The recipe, where one was built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// Facts of the user's that were used, and what they override.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catalog: Option<Own>,
    /// The image, where the report is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Subject>,
    /// The machine that was tested itself, without an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    /// The build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<Building>,
    /// What was found in the layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inspection: Option<Inspection>,
    /// What came of the probes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probes: Option<Vec<Outcome>>,
    /// What NCCL's log of the probes on several nodes says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grade: Option<Grade>,
    /// The verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Judgement>,
    /// The push.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<Receipt>,
}

/// A machine that was tested itself: a GPU host, a pod, a terminal of Code Editor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Machine {
    /// Its name.
    pub host: String,
    /// The Python that ran the probes.
    pub python: String,
}

/// How an image came to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Building {
    /// It was there, made from the same inputs; nothing was sent to the builder.
    Unchanged,
    /// It was built.
    Built(Built),
}

/// A verdict as reports write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Judgement {
    /// The image may be released.
    Passed {
        /// What must be known nevertheless, such as that GPU probes were skipped.
        notes: Vec<String>,
        /// The digest of findings and outcomes.
        evidence: Digest,
    },
    /// It may not.
    Refused {
        /// Why, the gravest first.
        reasons: Vec<Reason>,
    },
}

impl From<&Verdict> for Judgement {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Passed(release) => Self::Passed { notes: release.notes(), evidence: release.evidence() },
            Verdict::Refused(refusal) => Self::Refused { reasons: refusal.reasons.clone() },
        }
    }
}

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The value has no JSON form.
    #[error("cannot write the report as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The value has no JUnit form.
    #[error("cannot write the report as JUnit: {0}")]
    Junit(#[from] quick_junit::SerializeError),
    /// The destination does not take it.
    #[error("cannot write the report: {0}")]
    Write(#[from] std::io::Error),
}
