//! `smp-image diff`: says what changed from one image to another.

use super::check::{expected, on};
use super::source;
use crate::cli::{Cli, Diff, Format};
use crate::commands::World;
use crate::error::Failure;
use crate::report::diff::Difference;

pub(super) async fn run(verb: &Diff, cli: &Cli, world: &World) -> Result<(), Failure> {
    let target = on(expected(None, verb.arch, world).await?.target, &verb.instances)?;
    let doors = (&verb.engine, &verb.source);
    let before = source::inspect(&verb.before, doors, target.clone(), world).await?;
    let after = source::inspect(&verb.after, doors, target, world).await?;
    let difference = Difference::new((&verb.before, &before), (&verb.after, &after));
    let text = if cli.format == Format::Json { difference.json()? } else { difference.text() };
    world.present(&text, cli.format).map_err(|error| super::failure::stdout(&error))
}
