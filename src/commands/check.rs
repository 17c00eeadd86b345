//! `smp-image check`: looks into an image without a GPU.

use super::prepare::{Machine, prepare};
use super::{docker, output};
use crate::check::{self, CheckError, Severity};
use crate::cli::{Check, Cli, ImageArgs, RecipeArgs, SourceArgs};
use crate::commands::World;
use crate::error::{Failure, Fault};
use crate::oci::Platform;
use crate::plan::{Expectation, Probe};
use crate::verdict::Subject;

pub(super) async fn run(verb: &Check, cli: &Cli, world: &World) -> Result<(), Failure> {
    let platform = Platform { arch: verb.image.arch };
    let engine = docker::connect(&verb.image.engine, world)?;
    let image = docker::image(&engine, &verb.image.image, platform).await?;
    let (expectations, _) = expected(&verb.image, world).await?;
    let inspection = check::image(&engine, &verb.image.image, platform, expectations).await?;
    let errors = inspection.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let mut report = output::about(Subject { reference: verb.image.image.clone(), id: image.id, platform });
    report.inspection = Some(inspection);
    output::print(&report, cli, world)?;
    match errors {
        0 => Ok(()),
        1 => Err(Failure::said(Fault::Verdict, "one finding is an error")),
        many => Err(Failure::said(Fault::Verdict, format!("{many} findings are errors"))),
    }
}

/// Returns what the recipe says that the image must hold, and how to test it; without a recipe nothing is expected.
pub(super) async fn expected(
    arguments: &ImageArgs,
    world: &World,
) -> Result<(Vec<Expectation>, Vec<Probe>), Failure> {
    let Some(recipe) = &arguments.recipe else { return Ok((Vec::new(), Vec::new())) };
    let recipe = RecipeArgs { recipe: Some(recipe.clone()), arch: arguments.arch };
    let source = SourceArgs { mirror: Vec::new() };
    let prepared = prepare(&recipe, &source, Machine::default(), world).await?;
    Ok((prepared.plan.expectations, prepared.plan.probes))
}

impl From<CheckError> for Failure {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Engine(error) => error.into(),
            other => Self::said(Fault::Verdict, format!("the image could not be looked into: {other}")),
        }
    }
}
