//! `smp-image release`: build, check, smoke-test and, only if all of it passed, push.

use std::sync::Arc;

use super::check::of_recipe;
use super::{build, docker, output, push, smoke, workshop};
use crate::check::{self, Target};
use crate::cli::{Cli, Release};
use crate::commands::World;
use crate::error::{Failure, Fault};
use crate::registry::Pushable;
use crate::report::Judgement;
use crate::verdict::{Evidence, Policy, Verdict};

pub(super) async fn run(verb: &Release, cli: &Cli, world: &World) -> Result<(), Failure> {
    // Asked before the long part, so that a missing destination costs nothing.
    let recipe = workshop::recipe(verb.build.recipe.recipe.as_deref(), world)?.recipe;
    let repository = recipe.image.repository.as_ref().map(|repository| repository.get_ref().as_str());
    let destination = push::destination(&verb.push, repository)?;
    let engine = docker::connect(&verb.build.engine, world)?;
    let image = build::build(&verb.build, &engine, cli, world).await?;
    let plan = &image.prepared.plan;
    let platform = plan.target.platform;
    let name = image.reference.whole();
    let mut target =
        Target::new(platform, Arc::new(super::catalog::load(world)?)).expecting(plan.expectations.clone());
    target = of_recipe(target, &image.prepared.workpiece)?;
    world.say("looking into the layers and running the probes");
    let inspection = check::image(&engine, &name, target).await?;
    let studio = verb.build.engine.studio || engine.is_studio().await?;
    let place = smoke::Place { arguments: &verb.smoke, studio };
    let outcomes = smoke::in_container(&engine, &name, platform, &plan.probes, &place, world).await?;
    let evidence = Evidence { inspection: &inspection, probes: &plan.probes, outcomes: &outcomes };
    let verdict = Verdict::judge(image.subject(), &evidence, &policy(verb));
    let mut report = image.report();
    report.verdict = Some(Judgement::from(&verdict));
    report.inspection = Some(inspection);
    report.probes = Some(outcomes);
    let release = match verdict.into_result() {
        Ok(release) => release,
        Err(refusal) => {
            output::print(&report, cli, world)?;
            let mut failure =
                Failure::said(Fault::Verdict, format!("{name} is not released, nothing was pushed"));
            // Not every reason has a remedy that is known: an import may fail for a cause of its own.
            let remedy =
                refusal.reasons.into_iter().map(|reason| reason.remedy).find(|remedy| !remedy.is_empty());
            failure.hints.extend(remedy);
            return Err(failure);
        }
    };
    let pushable = Pushable::from(&release);
    let pushed =
        push::push(&engine, &pushable, &destination, &verb.push, verb.build.profile, cli, world).await;
    match pushed {
        Ok(receipt) => {
            report.push = Some(receipt);
            output::print(&report, cli, world)
        }
        Err(failure) => {
            // What was learned so far is worth as much whether the registry takes the image or not.
            output::print(&report, cli, world)?;
            Err(failure)
        }
    }
}

/// Returns what a person lets pass.
fn policy(verb: &Release) -> Policy {
    Policy { accept_unknown: verb.accept_unknown.iter().copied().collect() }
}
