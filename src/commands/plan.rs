//! `smp-image plan`: stages, steps, what it costs, what is expected of the image; with `--offline` what the catalogue alone says.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::prepare::{Machine, Prepared, prepare};
use super::wheels::Stock;
use super::workshop;
use crate::cli::{Cli, Format, PlanVerb};
use crate::commands::World;
use crate::error::{Failure, Fault};
use crate::oci::{Arch, Platform};
use crate::plan::{Compilation, Options, Outline, Plan, PlannedComponent, Runs, StartsFrom, Volume};
use crate::recipe::Component;
use crate::resolve::{self, Renewal, upstream::offline::Offline};

pub(super) async fn run(verb: &PlanVerb, cli: &Cli, world: &World) -> Result<(), Failure> {
    let memory = Some(verb.memory.saturating_mul(1 << 30));
    let text = if verb.offline {
        let outline = outline(verb, memory, world).await?;
        match cli.format {
            Format::Json => json(&outline)?,
            Format::Text | Format::Junit | Format::Sarif => outlined(&outline),
        }
    } else {
        let platform = verb.on.or_else(Arch::host).map(|arch| Platform { arch });
        let builder = Machine { memory, platform, ..Machine::default() };
        let mut prepared = prepare(&verb.recipe, &verb.source, builder, world).await?;
        let stock = Stock::open(verb.wheelhouse.as_deref(), &prepared.plan, world).await?;
        prepared.take(stock.images(&prepared.plan)?)?;
        match cli.format {
            Format::Json => with_own_facts(&prepared)?,
            Format::Text | Format::Junit | Format::Sarif => prepared
                .own
                .sentences()
                .iter()
                .fold(told(&prepared.plan), |text, said| format!("{text}note: {said}\n")),
        }
    };
    world.present(&text, cli.format).map_err(|error| super::failure::stdout(&error))
}

/// Resolves from the catalogue alone; a lock at hand says which versions are kept.
async fn outline(verb: &PlanVerb, memory: Option<u64>, world: &World) -> Result<Outline, Failure> {
    let workpiece = workshop::recipe(verb.recipe.recipe.as_deref(), world)?;
    let platform = Platform { arch: verb.recipe.arch };
    let catalog = super::catalog::load(world)?;
    let old = workpiece.lock(platform)?;
    let renewal = Renewal { old: old.as_ref(), allow_unknown: verb.allow_unknown, ..Renewal::default() };
    let (source, recipe) = (&workpiece.source, &workpiece.recipe);
    let locked = resolve::lock(source, recipe, platform, &catalog, &renewal, &Offline).await?;
    let options = Options { builder_memory: memory, ..Options::default() };
    Ok(Outline::new(&locked.lock, &catalog, &options))
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value)
        .map(|json| format!("{json}\n"))
        .map_err(|error| Failure::said(Fault::Defect, error.to_string()))
}

/// Returns the plan as JSON, with `own_facts` beside it where facts of the user's were used.
fn with_own_facts(prepared: &Prepared) -> Result<String, Failure> {
    let defect = |error: serde_json::Error| Failure::said(Fault::Defect, error.to_string());
    let mut document = serde_json::to_value(&prepared.plan).map_err(defect)?;
    if let (false, Some(fields)) = (prepared.own.is_empty(), document.as_object_mut()) {
        fields.insert("own_facts".to_owned(), serde_json::to_value(&prepared.own).map_err(defect)?);
    }
    json(&document)
}

fn outlined(outline: &Outline) -> String {
    let mut text = format!("{}, from the catalogue of {} alone\n\n", outline.recipe, outline.catalog);
    components(&mut text, &outline.components);
    compilations(&mut text, &outline.compile);
    for sentence in &outline.unresolved {
        let _infallible = writeln!(text, "unresolved: {sentence}");
    }
    text
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
    for emulated in &plan.emulation {
        let _infallible = writeln!(text, "{}", emulated.told());
    }
    text.push('\n');
    components(&mut text, &plan.components);
    volumes(&mut text, &plan.downloads);
    compilations(&mut text, &plan.compile);
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

fn components(text: &mut String, components: &BTreeMap<Component, PlannedComponent>) {
    for (component, planned) in components {
        let version =
            planned.version.as_ref().map_or("as the distribution has it".to_owned(), ToString::to_string);
        let _infallible = writeln!(text, "expects {component:<20} {version}");
    }
}

fn volumes(text: &mut String, volumes: &[Volume]) {
    let total: u64 = volumes.iter().map(|volume| volume.bytes).fold(0, u64::saturating_add);
    let unknown: usize = volumes.iter().map(|volume| volume.unknown).sum();
    let _infallible = writeln!(text, "\ndownloads {}{}", size(total), and_unknown(unknown));
    for Volume { what, count, bytes, unknown } in volumes {
        let known = if unknown == count { "size unknown".to_owned() } else { size(*bytes) };
        let more = if unknown == count { String::new() } else { and_unknown(*unknown) };
        let _infallible = writeln!(text, "  {known:<14}  {what} ({count}){more}");
    }
}

fn and_unknown(count: usize) -> String {
    if count == 0 { String::new() } else { format!(", and {count} of unknown size") }
}

fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

fn compilations(text: &mut String, compilations: &[Compilation]) {
    if !compilations.is_empty() {
        text.push('\n');
    }
    for compiled in compilations {
        let version = compiled.version.as_ref().map_or_else(String::new, |version| format!(" {version}"));
        let memory = match compiled.memory_gib {
            Some(gib) => format!("up to {gib} GiB of memory"),
            None => "memory unknown".to_owned(),
        };
        let _infallible = writeln!(
            text,
            "compiles {}{version}: MAX_JOBS={}, {memory}, {}",
            compiled.component,
            compiled.max_jobs,
            compiled.duration()
        );
        for basis in compiled.memory_basis.iter().chain(&compiled.minutes_basis) {
            let _infallible = writeln!(text, "    by {basis}");
        }
    }
}
