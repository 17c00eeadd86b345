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
        let stops = |finding: &&Finding| finding.stops;
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
    let evidence = without_asides(&finding.evidence);
    let mut clauses = evidence.split(';');
    let first = clauses.next().unwrap_or_default();
    match (finding.rule, clauses.next()) {
        // The evidence names the library already, with its version.
        (RuleCode::GpuCodeMissing | RuleCode::GpuCodeUnknown, _) => first.to_owned(),
        // What is there says nothing without what is needed.
        (RuleCode::InstanceNeeds, Some(second)) => format!("{}: {first};{second}", finding.subject),
        _ => format!("{}: {first}", finding.subject),
    }
}

/// Returns `text` without what stands in parentheses; `(s)` within a word and signatures such as `f(int)` stay.
fn without_asides(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut depth = 0_usize;
    for character in text.chars() {
        match character {
            '(' if depth > 0 || kept.ends_with(' ') => depth += 1,
            ')' if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            // The blank before what was left out.
            ',' | ';' | ':' | ' ' if kept.ends_with(' ') => {
                kept.pop();
                kept.push(character);
            }
            character => kept.push(character),
        }
    }
    kept.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_what_is_wrong_without_asides() {
        let said = |rule, evidence: &str| reason(&Finding::new(Severity::Error, rule, "x", evidence, ""));
        for (rule, evidence, expected) in [
            (
                RuleCode::GpuCodeMissing,
                "libnccl 2.21.5 has no sm_100; B200 (p6) needs it",
                "libnccl 2.21.5 has no sm_100",
            ),
            (
                RuleCode::InstanceNeeds,
                "1.7.1 is there; P5 needs 1.7.2 (ml.p5.48xlarge; a page)",
                "x: 1.7.1 is there; P5 needs 1.7.2",
            ),
            (
                RuleCode::ComponentUnknown,
                "it is there (/a (b)), but nothing says whether it is 2.4",
                "x: it is there, but nothing says whether it is 2.4",
            ),
            (
                RuleCode::TransformerEngineImport,
                "`import te` (2.1) finds no libnvrtc: neither here",
                "x: `import te` finds no libnvrtc: neither here",
            ),
            (RuleCode::LibraryMissing, "unclosed (and odd", "x: unclosed"),
            (RuleCode::Secret, "", "x: "),
        ] {
            assert_eq!(said(rule, evidence), expected);
        }
    }
}
