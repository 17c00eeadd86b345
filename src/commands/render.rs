//! `smp-image render`: prints the Dockerfile.

use super::prepare::prepare;
use crate::cli::{Cli, Format, Render};
use crate::commands::World;
use crate::error::Failure;
use crate::render::Builder;

pub(super) async fn run(verb: &Render, cli: &Cli, world: &World) -> Result<(), Failure> {
    let memory = (Some(verb.memory << 30), None);
    let prepared = prepare(&verb.recipe, &verb.source, memory, world).await?;
    let dockerfile = prepared.dockerfile(Builder::from(verb.dialect))?;
    let text = match cli.format {
        Format::Json => format!("{}\n", serde_json::json!({ "dockerfile": dockerfile })),
        Format::Text | Format::Junit | Format::Sarif => dockerfile,
    };
    world.print(&text).map_err(|error| super::failure::stdout(&error))?;
    prepared.plan.warnings.iter().for_each(|warning| world.say(&format!("warning: {warning}")));
    Ok(())
}
