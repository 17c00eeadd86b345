//! `smp-image why`: why a component has its version, and what keeps out the next newer one.

use std::fmt::Write as _;

use super::workshop;
use crate::cli::{Cli, Format, WhyVerb};
use crate::commands::World;
use crate::error::{Failure, Fault};
use crate::oci::Platform;
use crate::recipe::nearest;
use crate::resolve::{self, Ground, Why, Wishes};

pub(super) fn run(verb: &WhyVerb, cli: &Cli, world: &World) -> Result<(), Failure> {
    let workpiece = workshop::recipe(verb.recipe.recipe.as_deref(), world)?;
    let catalog = super::catalog::load(world)?;
    let lock = workpiece.lock(Platform { arch: verb.recipe.arch })?;
    let keep = lock.map(|lock| lock.versions()).unwrap_or_default();
    let wishes = Wishes { keep, allow_unknown: verb.allow_unknown };
    let (source, recipe) = (&workpiece.source, &workpiece.recipe);
    let Some(why) = resolve::why(source, recipe, &catalog, &wishes, verb.component)? else {
        let names = recipe.components.keys().map(|component| component.name());
        let near = nearest(verb.component.name(), names).map(|near| format!("did you mean {near}?"));
        let failure = Failure::said(
            Fault::Usage,
            format!("no version of {} is chosen for {}", verb.component, source.origin),
        );
        let hint =
            near.unwrap_or_else(|| "it has one if it is in [components] or the base carries it".to_owned());
        return Err(failure.hint(hint));
    };
    let text = match cli.format {
        Format::Json => serde_json::to_string_pretty(&why)
            .map(|json| format!("{json}\n"))
            .map_err(|error| Failure::said(Fault::Defect, error.to_string()))?,
        Format::Text | Format::Junit | Format::Sarif => told(&why),
    };
    world.present(&text, cli.format).map_err(|error| super::failure::stdout(&error))
}

fn told(why: &Why) -> String {
    let mut text = format!("{} {}\n", why.component, why.chosen);
    // Writing to a String cannot fail.
    if why.because.is_empty() {
        let _infallible = writeln!(text, "  nothing narrows it: it is the newest that the catalogue knows");
    }
    for ground in &why.because {
        let versions = if ground.excludes == 1 { "version" } else { "versions" };
        let _infallible = writeln!(text, "  {}", ground.sentence);
        let _infallible = writeln!(text, "      excludes {} {versions} [{}]", ground.excludes, ground.origin);
    }
    match &why.newer {
        None => text.push_str("no newer version is known\n"),
        Some(newer) if newer.because.is_empty() => {
            let _infallible = writeln!(
                text,
                "{} would fit too; the one that the base image or the lock has is kept until it is asked for",
                newer.version
            );
        }
        Some(newer) => {
            let _infallible = writeln!(text, "not {}, because", newer.version);
            for Ground { sentence, origin, .. } in &newer.because {
                let _infallible = writeln!(text, "  {sentence}\n      [{origin}]");
            }
        }
    }
    for issue in &why.issues {
        let _infallible = writeln!(text, "known issue: {issue}");
    }
    text
}
