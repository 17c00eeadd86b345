//! `smp-image plan`: stages, steps, what is expected of the image.

use std::fmt::Write as _;

use super::prepare::prepare;
use crate::cli::{Cli, Format, PlanVerb};
use crate::commands::World;
use crate::error::{Failure, Fault};
use crate::plan::{Plan, Runs, StartsFrom};

pub(super) async fn run(verb: &PlanVerb, cli: &Cli, world: &World) -> Result<(), Failure> {
    let memory = (Some(verb.memory << 30), None);
    let prepared = prepare(&verb.recipe, &verb.source, memory, world).await?;
    let text = match cli.format {
        Format::Json => serde_json::to_string_pretty(&prepared.plan)
            .map(|json| format!("{json}\n"))
            .map_err(|error| Failure::said(Fault::Defect, error.to_string()))?,
        Format::Text | Format::Junit | Format::Sarif => told(&prepared.plan),
    };
    world.print(&text).map_err(|error| super::failure::stdout(&error))
}

fn told(plan: &Plan) -> String {
    let mut text = format!("{} for {}\n", plan.recipe, plan.target.platform);
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
                Runs::Native => "native",
                Runs::Target => "target",
            };
            let _infallible = writeln!(text, "  {runs}  {}", step.does);
        }
    }
    text.push('\n');
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
