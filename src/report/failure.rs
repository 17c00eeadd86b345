//! Why a command did not do what it was asked, as one JSON document: whose fault, what, where, what to do; conflicts of versions in full.

use miette::{Diagnostic, SourceSpan};
use serde::Serialize;

use super::{FORMAT, ReportError};
use crate::resolve::{NoFit, Reason};

/// A failure as data. A command that fails before its own document is written writes this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct FailureReport {
    /// The version of this form; fields are only added while it stays.
    pub format: u32,
    /// The tool and its version, such as `smp-image 0.1.0`.
    pub tool: String,
    /// Whose fault it was: `usage`, `input`, `no-fit`, `build`, `verdict`, `unauthorised`, `push`, `machine`, `interrupted`, `defect`.
    pub fault: String,
    /// The exit code.
    pub exit_code: u8,
    /// What happened, as standard error says it.
    pub message: String,
    /// Where: lines of a recipe or of a file of facts; those of conflicts stand there.
    pub places: Vec<Place>,
    /// What to do next.
    pub hints: Vec<String>,
    /// Where no versions fit: every independent conflict.
    pub conflicts: Vec<Conflict>,
    /// Changes of one line each that settle all conflicts together, where they were found.
    pub together: Vec<String>,
}

/// A place in a text of the user's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Place {
    /// The file as it was named, or `built-in:NAME`.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 1.
    pub column: usize,
    /// What stands there, such as `asks for nccl 2.18.1`.
    pub says: String,
}

/// Lines of a recipe and facts that cannot all hold, by the fewest of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Conflict {
    /// What cannot be had, in one sentence.
    pub message: String,
    /// The lines of the recipe that take part.
    pub places: Vec<Place>,
    /// The facts that take part, each with its source.
    pub facts: Vec<Reason>,
    /// Changes of one line that were tried and help, the smallest first.
    pub repairs: Vec<String>,
}

impl FailureReport {
    /// Returns the failure that `fault` and its exit code name, told by `report` and `hints`.
    pub fn of((fault, exit_code): (&str, u8), report: &miette::Report, hints: &[String]) -> Self {
        let diagnostic: &dyn Diagnostic = report.as_ref();
        let no_fit = report.downcast_ref::<NoFit>();
        let conflicts = match no_fit {
            Some(no_fit) => {
                no_fit.told().iter().map(|told| conflict(told, told.facts(), told.repairs())).collect()
            }
            // What cannot be had whatever else is chosen, and so without facts that meet.
            None if fault == "no-fit" => vec![conflict(diagnostic, &[], Vec::new())],
            None => Vec::new(),
        };
        let help = diagnostic.help().filter(|_| no_fit.is_none()).map(|help| help.to_string());
        Self {
            format: FORMAT,
            tool: concat!("smp-image ", env!("CARGO_PKG_VERSION")).to_owned(),
            fault: fault.to_owned(),
            exit_code,
            message: diagnostic.to_string(),
            places: if conflicts.is_empty() { places(diagnostic) } else { Vec::new() },
            hints: help.into_iter().chain(hints.iter().cloned()).collect(),
            conflicts,
            together: no_fit.and_then(NoFit::together).unwrap_or_default(),
        }
    }

    /// Returns it as indented JSON that ends with a line end.
    pub fn json(&self) -> Result<String, ReportError> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Returns the schema of [`Self::json`].
    pub fn schema() -> schemars::Schema {
        schemars::schema_for!(Self)
    }
}

fn conflict(told: &dyn Diagnostic, facts: &[Reason], repairs: Vec<String>) -> Conflict {
    Conflict { message: told.to_string(), places: places(told), facts: facts.to_vec(), repairs }
}

/// Returns the places at which `diagnostic` points.
fn places(diagnostic: &dyn Diagnostic) -> Vec<Place> {
    let Some(source) = diagnostic.source_code() else { return Vec::new() };
    let place = |label: miette::LabeledSpan| {
        let span = SourceSpan::new(label.offset().into(), label.len());
        let read = source.read_span(&span, 0, 0).ok()?;
        Some(Place {
            file: read.name()?.to_owned(),
            line: read.line() + 1,
            column: read.column() + 1,
            says: label.label().unwrap_or_default().to_owned(),
        })
    };
    diagnostic.labels().into_iter().flatten().filter_map(place).collect()
}
