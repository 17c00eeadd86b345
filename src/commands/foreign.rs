//! Builds for another architecture than the builder's: what is refused before they start, and what is said of their cost.

use super::wheels;
use crate::commands::World;
use crate::engine::{DockerEngine, EngineInfo};
use crate::error::{Failure, Fault};
use crate::oci::Platform;
use crate::plan::Plan;
use crate::render::Builder;

/// Refuses a foreign build that this builder could not finish, before it starts: one without the stages that it needs, and one whose
/// programs nobody here can run.
pub(super) async fn check(
    plan: &Plan,
    builder: Builder,
    engine: &DockerEngine,
    info: &EngineInfo,
    world: &World,
) -> Result<(), Failure> {
    let (target, own) = (plan.target.platform, info.platform);
    if !builder.link {
        return Err(Failure::said(
            Fault::Machine,
            format!("the image is for {target}, the engine {} runs on {own}, and its BuildKit is too old for that", info.version),
        )
        .hint(format!("take Docker Engine 23.0 or later, or a builder that is {target}")));
    }
    if plan.emulated_steps == 0 {
        return Ok(());
    }
    if info.platforms.contains(&target) && emulates(engine, target, world).await {
        world.say(&format!(
            "warning: {} steps run under an emulator:{}\n{}",
            plan.emulated_steps,
            listed(plan),
            costs(plan)
        ));
        return Ok(());
    }
    let message = format!(
        "{} of {} steps must run programs of {target}, and this builder is {own} and has no emulator:{}",
        plan.emulated_steps,
        plan.emulated_steps + plan.native_steps,
        listed(plan)
    );
    let mut failure = Failure::said(Fault::Machine, message);
    if plan.compiles().next().is_some() {
        failure = failure.hint(wheels::what_next(target));
    }
    Err(failure
        .hint(format!("build on a machine that is {target}: --host ssh://HOST or --context NAME"))
        .hint(format!(
            "an emulator can be installed: docker run --privileged --rm tonistiigi/binfmt --install all; {}",
            costs(plan)
        )))
}

/// Returns whether programs of `target`, which the builder says that it runs, can be started there. Where that cannot be tried, its word
/// is taken.
async fn emulates(engine: &DockerEngine, target: Platform, world: &World) -> bool {
    match engine.runs(target).await {
        Ok(runs) => runs,
        Err(error) => {
            world.say(&format!("warning: whether programs of {target} can be started is not known: {error}"));
            true
        }
    }
}

/// Returns what emulation costs, in words.
fn costs(plan: &Plan) -> String {
    plan.emulation.iter().map(crate::plan::Emulated::told).collect::<Vec<_>>().join("; ")
}

/// Returns the emulated steps, one a line, those that take longest first.
fn listed(plan: &Plan) -> String {
    let mut steps: Vec<String> =
        plan.emulated().map(|(stage, step)| format!("\n  {}: {}", stage.name, step.does)).collect();
    steps.sort_by_key(|step| !step.contains("compile"));
    steps.concat()
}
