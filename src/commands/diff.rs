//! `smp-image diff`: says what changed from one image to another.

use super::check::{expected, on};
use super::docker;
use crate::check;
use crate::cli::{Cli, Diff, Format};
use crate::commands::World;
use crate::error::Failure;
use crate::oci::Platform;
use crate::report::diff::Difference;

pub(super) async fn run(verb: &Diff, cli: &Cli, world: &World) -> Result<(), Failure> {
    let platform = Platform { arch: verb.arch };
    let target = on(expected(None, verb.arch, world).await?.target, &verb.instances)?;
    let engine = docker::connect(&verb.engine, world)?;
    // A name that the engine does not have is said before the long part.
    for name in [&verb.before, &verb.after] {
        docker::image(&engine, name, platform).await?;
    }
    let before = check::image(&engine, &verb.before, target.clone()).await?;
    let after = check::image(&engine, &verb.after, target).await?;
    let difference = Difference::new((&verb.before, &before), (&verb.after, &after));
    let text = if cli.format == Format::Json { difference.json()? } else { difference.text() };
    world.print(&text).map_err(|error| super::failure::stdout(&error))
}
