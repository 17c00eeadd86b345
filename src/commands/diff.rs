//! `smp-image diff`: says what changed from one image to another.

use super::check::{expected, on};
use super::source;
use crate::cli::{Cli, Diff, Format};
use crate::commands::World;
use crate::error::Failure;
use crate::report::diff::Difference;

pub(super) async fn run(verb: &Diff, cli: &Cli, world: &World) -> Result<(), Failure> {
    let target = on(expected(None, verb.arch, world).await?.target, &verb.instances)?;
    let before = source::inspect(&verb.before, &verb.engine, target.clone(), world).await?;
    let after = source::inspect(&verb.after, &verb.engine, target, world).await?;
    let difference = Difference::new((&verb.before, &before), (&verb.after, &after));
    let text = if cli.format == Format::Json { difference.json()? } else { difference.text() };
    world.print(&text).map_err(|error| super::failure::stdout(&error))
}
