//! `smp-image plan`: stages, steps, what is expected of the image.

use std::fmt::Write as _;

use super::prepare::{Machine, prepare};
use super::wheels::Stock;
use crate::cli::{Cli, Format, PlanVerb};
use crate::commands::World;
use crate::error::{Failure, Fault};
use crate::oci::{Arch, Platform};
use crate::plan::{Plan, Runs, StartsFrom};

pub(super) async fn run(verb: &PlanVerb, cli: &Cli, world: &World) -> Result<(), Failure> {
    let platform = verb.on.or_else(Arch::host).map(|arch| Platform { arch });
    let builder = Machine { memory: Some(verb.memory << 30), platform, ..Machine::default() };
    let mut prepared = prepare(&verb.recipe, &verb.source, builder, world).await?;
    let stock = Stock::open(verb.wheelhouse.as_deref(), &prepared.plan, world).await?;
    prepared.take(stock.images(&prepared.plan)?)?;
    let text = match cli.format {
        Format::Json => serde_json::to_string_pretty(&prepared.plan)
            .map(|json| format!("{json}\n"))
            .map_err(|error| Failure::said(Fault::Defect, error.to_string()))?,
        Format::Text | Format::Junit => told(&prepared.plan),
    };
    world.print(&text).map_err(|error| super::failure::stdout(&error))
}

fn told(plan: &Plan) -> String {
    let mut text = format!("{} for {}, built on {}\n", plan.recipe, plan.target.platform, plan.builder);
    let instances: Vec<&str> = plan.target.instances.iter().map(|instance| instance.name.as_str()).collect();
    // Writing to a String cannot fail.
    let _infallible = writeln!(text, "runs on {}", instances.join(", "));
    for stage in &plan.stages {
        let from = match &stage.from {
            StartsFrom::Image(image) => image.name.clone(),
            StartsFrom::Stage(stage) => format!("stage {stage}"),
        };
        let _infallible = writeln!(text, "\n{}  (from {from})", stage.name);
        for step in &stage.steps {
            let runs = match step.runs {
                Runs::Target if plan.is_foreign() => "emulated",
                _ => "native",
            };
            let _infallible = writeln!(text, "  {runs:<8}  {}", step.does);
        }
    }
    let _infallible = writeln!(text, "\n{}", counted(plan));
    for expectation in &plan.expectations {
        let version =
            expectation.version.as_ref().map_or("as the distribution has it".to_owned(), ToString::to_string);
        let _infallible = writeln!(text, "expects {:<20} {version}", expectation.component);
    }
    for warning in &plan.warnings {
        let _infallible = writeln!(text, "warning: {warning}");
    }
    text
}

/// Returns how many steps run as they are, how many must be emulated, and how many compilations are left out.
fn counted(plan: &Plan) -> String {
    let steps = if plan.native_steps == 1 { "step" } else { "steps" };
    let mut text = format!("{} {steps} native", plan.native_steps);
    // Writing to a String cannot fail.
    let _infallible = match plan.emulated_steps {
        0 if plan.is_foreign() => {
            write!(text, ", none emulated: nothing of {} is started", plan.target.platform)
        }
        0 => Ok(()),
        emulated => write!(text, ", {emulated} emulated"),
    };
    if plan.cached_steps > 0 {
        let _infallible = write!(text, ", {} compiled before and taken as they are", plan.cached_steps);
    }
    text
}
