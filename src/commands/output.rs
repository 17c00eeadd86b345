//! The report at the end, on standard output, in the format that was asked for.

use crate::cli::{Cli, Format};
use crate::commands::World;
use crate::error::{Failure, Fault};
use crate::report::{self, Machine, Report, ReportError};
use crate::verdict::Subject;

/// Returns a report about `image` that says nothing yet.
pub(super) fn about(image: Subject) -> Report {
    Report { image: Some(image), ..empty() }
}

/// Returns a report about a machine that says nothing yet.
pub(super) fn about_machine(machine: Machine) -> Report {
    Report { machine: Some(machine), ..empty() }
}

fn empty() -> Report {
    Report {
        format: report::FORMAT,
        tool: concat!("smp-image ", env!("CARGO_PKG_VERSION")).to_owned(),
        recipe: None,
        catalog: None,
        image: None,
        machine: None,
        build: None,
        inspection: None,
        probes: None,
        grade: None,
        verdict: None,
        push: None,
    }
}

/// Prints `report`.
pub(super) fn print(report: &Report, cli: &Cli, world: &World) -> Result<(), Failure> {
    let text = match cli.format {
        Format::Text => report::text::render(report, style(world)),
        Format::Json => report::json::render(report)?,
        Format::Junit => report::junit::render(report)?,
        Format::Sarif => report::sarif::render(report)?,
    };
    world.present(&text, cli.format).map_err(|error| super::failure::stdout(&error))
}

/// Returns how text looks here. Colours are for the terminal that shows the report, not for a file that keeps it.
pub(super) fn style(world: &World) -> report::text::Style {
    let colour = world.color && world.width.is_some();
    let width = world.width.unwrap_or(report::text::Style::default().width);
    report::text::Style { colour, width }
}

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        Self::said(Fault::Defect, error.to_string())
    }
}
