//! `smp-image check`: looks into an image without a GPU.

use super::prepare::prepare;
use super::{docker, output};
use crate::catalog::Own;
use crate::check::{self, CheckError, Severity};
use crate::cli::{AgainstArgs, Check, Cli, RecipeArgs, SourceArgs};
use crate::commands::World;
use crate::error::{Failure, Fault};
use crate::oci::Platform;
use crate::plan::{Expectation, Probe};
use crate::verdict::Subject;

pub(super) async fn run(verb: &Check, cli: &Cli, world: &World) -> Result<(), Failure> {
    let platform = Platform { arch: verb.against.arch };
    let engine = docker::connect(&verb.against.engine, world)?;
    let image = docker::image(&engine, &verb.image, platform).await?;
    let Expected { expectations, own, .. } = expected(&verb.against, world).await?;
    let inspection = check::image(&engine, &verb.image, platform, expectations).await?;
    let errors = inspection.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let mut report = output::about(Subject { reference: verb.image.clone(), id: image.id, platform });
    report.inspection = Some(inspection);
    report.catalog = own;
    output::print(&report, cli, world)?;
    match errors {
        0 => Ok(()),
        1 => Err(Failure::said(Fault::Verdict, "one finding is an error")),
        many => Err(Failure::said(Fault::Verdict, format!("{many} findings are errors"))),
    }
}

/// What a recipe asks of an image.
#[derive(Default)]
pub(super) struct Expected {
    /// What the image must hold.
    pub(super) expectations: Vec<Expectation>,
    /// How to test it.
    pub(super) probes: Vec<Probe>,
    /// What files of the user's did to the facts that were used.
    pub(super) own: Option<Own>,
}

/// Returns what the recipe says that the image must hold, and how to test it; without a recipe nothing is expected.
pub(super) async fn expected(arguments: &AgainstArgs, world: &World) -> Result<Expected, Failure> {
    let Some(recipe) = &arguments.recipe else { return Ok(Expected::default()) };
    let recipe = RecipeArgs { recipe: Some(recipe.clone()), arch: arguments.arch };
    let source = SourceArgs { mirror: Vec::new() };
    let prepared = prepare(&recipe, &source, (None, None), world).await?;
    let own = prepared.said_of_facts();
    Ok(Expected { expectations: prepared.plan.expectations, probes: prepared.plan.probes, own })
}

impl From<CheckError> for Failure {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Engine(error) => error.into(),
            other => Self::said(Fault::Verdict, format!("the image could not be looked into: {other}")),
        }
    }
}
