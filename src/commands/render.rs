//! `smp-image render`: prints the Dockerfile.

use super::prepare::{Machine, prepare};
use crate::cli::{Cli, Format, Render};
use crate::commands::World;
use crate::error::Failure;
use crate::oci::Platform;
use crate::render::Builder;

pub(super) async fn run(verb: &Render, cli: &Cli, world: &World) -> Result<(), Failure> {
    let platform = verb.on.map(|arch| Platform { arch });
    let builder = Machine { memory: Some(verb.memory << 30), platform, ..Machine::default() };
    let prepared = prepare(&verb.recipe, &verb.source, builder, world).await?;
    let dockerfile = prepared.dockerfile(Builder::from(verb.dialect))?;
    let text = match cli.format {
        Format::Json => format!("{}\n", serde_json::json!({ "dockerfile": dockerfile })),
        Format::Text | Format::Junit | Format::Sarif => dockerfile,
    };
    world.print(&text).map_err(|error| super::failure::stdout(&error))?;
    prepared.plan.warnings.iter().for_each(|warning| world.say(&format!("warning: {warning}")));
    Ok(())
}
