//! Whether the image runs on each instance of the target: one line for each, with the reason.

use serde::Serialize;

use super::finding::{Finding, RuleCode, Severity};
use crate::catalog::Instance;

/// Whether the image runs on an instance type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct InstanceVerdict {
    /// The instance type.
    pub instance: String,
    /// Its GPU.
    pub gpu: String,
    /// The compute capability of the GPU without the dot.
    pub sm: u32,
    /// Whether it runs there.
    pub verdict: Runs,
    /// Why not, the gravest first; empty where it is ok.
    pub reasons: Vec<String>,
}

/// Whether an image runs on an instance type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Runs {
    /// Nothing speaks against it.
    Ok,
    /// A finding says that it cannot start or cannot compute there.
    CannotRun,
    /// It may run, and is not what it must be: a finding is an error.
    Refused,
    /// Something that decides it could not be read.
    Unknown,
}

impl Runs {
    /// Returns the verdict in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::CannotRun => "cannot run",
            Self::Refused => "does not pass",
            Self::Unknown => "unknown",
        }
    }
}

impl InstanceVerdict {
    /// Returns the verdict on `instance` out of everything that was found with it as the only target.
    pub(super) fn new(instance: &Instance, findings: &[Finding]) -> Self {
        let stops =
            |finding: &&Finding| finding.severity == Severity::Error && finding.rule.stops_the_program();
        let errors = |finding: &&Finding| finding.severity == Severity::Error;
        let unknown = |finding: &&Finding| finding.severity == Severity::Unknown;
        let (verdict, reasons) = if findings.iter().any(|finding| stops(&finding)) {
            (Runs::CannotRun, reasons(findings.iter().filter(stops)))
        } else if findings.iter().any(|finding| errors(&finding)) {
            (Runs::Refused, reasons(findings.iter().filter(errors)))
        } else if findings.iter().any(|finding| unknown(&finding)) {
            (Runs::Unknown, reasons(findings.iter().filter(unknown)))
        } else {
            (Runs::Ok, Vec::new())
        };
        let Instance { name, gpu, sm, .. } = instance;
        Self { instance: name.clone(), gpu: gpu.clone(), sm: *sm, verdict, reasons }
    }
}

fn reasons<'a>(findings: impl Iterator<Item = &'a Finding>) -> Vec<String> {
    findings.map(reason).collect()
}

/// Returns a finding in half a sentence: `libnccl 2.21.5 has no sm_100`.
fn reason(finding: &Finding) -> String {
    let evidence = finding.evidence.split([';', '(']).next().unwrap_or_default().trim_end();
    match finding.rule {
        // The evidence names the library already, with its version.
        RuleCode::GpuCodeMissing | RuleCode::GpuCodeUnknown => evidence.to_owned(),
        _ => format!("{}: {evidence}", finding.subject),
    }
}
