//! `smp-image doctor`: what this machine can do for a recipe, what is in its way, and what helps.

use std::path::PathBuf;

use super::prepare::{self, prepare};
use super::{docker, failure, workshop};
use crate::cli::{Cli, Doctor, Format};
use crate::commands::World;
use crate::doctor::{self, Diagnosis, Machine, Need, Steps, ThisMachine, Where};
use crate::engine::{Endpoint, EngineInfo};
use crate::error::{Failure, Fault};
use crate::oci::{Platform, Reference};
use crate::plan::Options;
use crate::registry::ecr::{AwsSettings, EcrHost};

/// What a build wants where the engine keeps its data, as a rule of thumb. The image of `quickstart` has 2.6 GB, 3.9 GB unpacked
/// (docs/measured.md), and as much again in the stages that it is made in.
const PLAIN: u64 = 12 << 30;
/// The same over a base from Amazon ECR: images of SMP and the Deep Learning Containers, which we could not measure, are larger.
const OVER_ECR: u64 = 60 << 30;

pub(super) async fn run(verb: &Doctor, cli: &Cli, world: &World) -> Result<(), Failure> {
    let source = workshop::mirrors(&verb.source)?;
    let recipe = workshop::recipe(verb.recipe.recipe.as_deref(), world)?.recipe;
    let environment = world.environment();
    let (host, context) = (verb.engine.host.as_deref(), verb.engine.context.as_deref());
    let engine = Endpoint::find(&environment, host, context).map_err(|error| error.to_string());
    let engine = engine.and_then(|endpoint| {
        let engine = docker::connect(&verb.engine, world).map_err(|failure| failure.report.to_string())?;
        Ok((engine, endpoint))
    });
    let options = Options { mirrors: source, ..Options::default() };
    let base = options.mirrored(recipe.base.image.get_ref());
    let platform = Platform { arch: verb.recipe.arch };
    let machine = ThisMachine(Where {
        engine,
        environment,
        platform,
        root: PathBuf::from("/"),
        registry: base.resolve_registry().to_owned(),
        repository: recipe
            .image
            .repository
            .as_ref()
            .map_or_else(|| recipe.name.get_ref().to_string(), ToString::to_string),
        aws: AwsSettings { region: verb.region.clone(), ..AwsSettings::default() },
        offline: verb.offline,
    });
    let patient =
        Patient { verb, name: recipe.name.get_ref().to_string(), disk: wanted(base.registry()), world };
    let mut diagnosis = patient.diagnose(&machine).await;
    if verb.fix {
        mend(&machine, &diagnosis, world).await?;
        diagnosis = patient.diagnose(&machine).await;
    }
    let text = match cli.format {
        Format::Json => {
            serde_json::to_string_pretty(&diagnosis)
                .map_err(|error| Failure::said(Fault::Defect, error.to_string()))?
                + "\n"
        }
        Format::Text | Format::Junit | Format::Sarif => {
            diagnosis.text(world.color && world.width.is_some(), world.width)
        }
    };
    world.print(&text).map_err(|error| failure::stdout(&error))?;
    if diagnosis.ready {
        Ok(())
    } else {
        Err(Failure::said(Fault::Machine, "this machine is not ready for a build"))
    }
}

/// What the machine is looked at for.
struct Patient<'a> {
    verb: &'a Doctor,
    name: String,
    disk: u64,
    world: &'a World,
}

impl Patient<'_> {
    async fn diagnose(&self, machine: &dyn Machine) -> Diagnosis {
        let facts = machine.facts().await;
        let known = facts.engine.as_ref().ok();
        let options = Options {
            builder_memory: known.map(|info| info.memory),
            builder_processors: known.map(|info| info.processors),
            ..Options::default()
        };
        let steps = match known {
            Some(info) => self.steps(info).await,
            None => None,
        };
        let platform = Platform { arch: self.verb.recipe.arch };
        let need = Need { platform, disk: self.disk, max_jobs: options.max_jobs(), steps };
        Diagnosis::of(&facts, &need, self.name.clone())
    }

    /// Counts the steps of the plan for this engine; nothing where there is no lock to make one from, for nobody is asked here.
    async fn steps(&self, info: &EngineInfo) -> Option<Steps> {
        let builder = prepare::Machine {
            memory: Some(info.memory),
            processors: Some(info.processors),
            platform: Some(info.platform),
        };
        let prepared = prepare(&self.verb.recipe, &self.verb.source, builder, self.world).await.ok()?;
        let (native, emulated) = (prepared.plan.native_steps, prepared.plan.emulated_steps);
        Some(Steps { emulated, all: native + emulated })
    }
}

/// Returns how much space a build over a base from `registry` wants.
fn wanted(registry: &str) -> u64 {
    if EcrHost::is_meant_by(registry) { OVER_ECR } else { PLAIN }
}

/// Says before a build that it may not find the space that it wants. A rule of thumb forbids nothing.
pub(super) fn warn_of_space(engine: &EngineInfo, base: &Reference, world: &World) {
    let Some(disk) = doctor::space(engine) else { return };
    let wanted = wanted(base.registry());
    if disk.free < wanted / 4 {
        let (free, wanted) = (disk.free >> 20, wanted >> 30);
        world.say(&format!(
            "warning: {free} MiB free in {}; such a build wants about {wanted} GiB (smp-image doctor)",
            disk.folder
        ));
    }
}

/// Mends what may be mended, and says so.
async fn mend(machine: &dyn Machine, diagnosis: &Diagnosis, world: &World) -> Result<(), Failure> {
    let mut fixes: Vec<_> = diagnosis.checks.iter().filter_map(|check| check.fix).collect();
    fixes.dedup();
    if fixes.is_empty() {
        world.say("nothing here can be mended without you");
    }
    for fix in fixes {
        world.say(&format!("running {}", fix.command().join(" ")));
        machine
            .mend(fix)
            .await
            .map_err(|error| Failure::said(Fault::Machine, error).hint("it may want root: sudo"))?;
    }
    Ok(())
}
