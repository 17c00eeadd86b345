//! `smp-image check`: looks into an image without a GPU.

use std::io;

use super::prepare::{Asking, prepare};
use super::{docker, output};
use crate::check::{self, CheckError, Inspection, Severity};
use crate::cli::{Check, Cli, ImageArgs, RecipeArgs, SourceArgs};
use crate::commands::World;
use crate::engine::{DockerEngine, Engine as _, EngineError};
use crate::error::{Failure, Fault};
use crate::oci::Platform;
use crate::plan::{Expectation, Probe};
use crate::verdict::Subject;

pub(super) async fn run(verb: &Check, cli: &Cli, world: &World) -> Result<(), Failure> {
    let platform = Platform { arch: verb.image.arch };
    let engine = docker::connect(&verb.image.engine, world)?;
    let image = docker::image(&engine, &verb.image.image, platform).await?;
    let (expectations, _) = expected(&verb.image, world).await?;
    let inspection = inspect(&engine, &verb.image.image, platform, &expectations).await?;
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
    let prepared = prepare(&recipe, &source, Asking::Forbidden, (None, None), world).await?;
    Ok((prepared.plan.expectations, prepared.plan.probes))
}

/// Looks into the image `name`: the engine's export streams through the check, nothing is kept.
pub(super) async fn inspect(
    engine: &DockerEngine,
    name: &str,
    platform: Platform,
    expectations: &[Expectation],
) -> Result<Inspection, Failure> {
    let (reader, mut writer) =
        io::pipe().map_err(|error| Failure::said(Fault::Machine, format!("cannot make a pipe: {error}")))?;
    let expectations = expectations.to_vec();
    let inspection = tokio::task::spawn_blocking(move || check::inspect(reader, platform, &expectations));
    let exported = engine.export(name, &mut writer).await;
    drop(writer);
    let inspected = inspection.await.map_err(|error| Failure::said(Fault::Defect, error.to_string()))?;
    match (exported, inspected) {
        // An inspection that ended early closed the pipe; what it says is the reason.
        (Err(EngineError::Sink(_)) | Ok(()), Err(error)) => Err(error.into()),
        (Err(error), _) => Err(error.into()),
        (Ok(()), Ok(inspection)) => Ok(inspection),
    }
}

impl From<CheckError> for Failure {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Engine(error) => error.into(),
            other => Self::said(Fault::Verdict, format!("the image could not be looked into: {other}")),
        }
    }
}
