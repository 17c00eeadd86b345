//! `smp-image plan`: stages, steps, what is expected of the image.

use std::fmt::Write as _;

use super::prepare::{Prepared, prepare};
use crate::cli::{Cli, Format, PlanVerb};
use crate::commands::World;
use crate::error::{Failure, Fault};
use crate::plan::{Plan, Runs, StartsFrom};

pub(super) async fn run(verb: &PlanVerb, cli: &Cli, world: &World) -> Result<(), Failure> {
    let memory = (Some(verb.memory << 30), None);
    let prepared = prepare(&verb.recipe, &verb.source, memory, world).await?;
    let text = match cli.format {
        Format::Json => json(&prepared)
            .map(|json| format!("{json}\n"))
            .map_err(|error| Failure::said(Fault::Defect, error.to_string()))?,
        Format::Text | Format::Junit => prepared
            .own
            .sentences()
            .iter()
            .fold(told(&prepared.plan), |text, said| format!("{text}note: {said}\n")),
    };
    world.print(&text).map_err(|error| super::failure::stdout(&error))
}

/// Returns the plan as JSON, with `own_facts` beside it where facts of the user's were used.
fn json(prepared: &Prepared) -> serde_json::Result<String> {
    let mut document = serde_json::to_value(&prepared.plan)?;
    if let (false, Some(fields)) = (prepared.own.is_empty(), document.as_object_mut()) {
        fields.insert("own_facts".to_owned(), serde_json::to_value(&prepared.own)?);
    }
    serde_json::to_string_pretty(&document)
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
