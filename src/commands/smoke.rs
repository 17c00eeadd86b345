//! `smp-image smoke`: runs the probes in a container of an image, or on this machine.

use std::path::PathBuf;
use std::time::Duration;

use super::check::{self, Expected};
use super::{cluster, docker, grade, output};
use crate::catalog::{Catalog, Own};
use crate::cli::{Cli, Smoke, SmokeArgs, TierArg};
use crate::commands::World;
use crate::engine::DockerEngine;
use crate::error::{Failure, Fault};
use crate::oci::Platform;
use crate::plan::Probe;
use crate::report::{Machine, Report};
use crate::smoke::{self, Answer, HereError, Options, Outcome};
use crate::verdict::Subject;

pub(super) async fn run(verb: &Smoke, cli: &Cli, world: &World) -> Result<(), Failure> {
    if !verb.grade_log.is_empty() {
        return grade::run(verb, cli, world);
    }
    if let (Some(name), Some(_)) = (&verb.image, &verb.cluster.on) {
        return cluster::run(verb, name, cli, world).await;
    }
    let report = match &verb.image {
        Some(image) => of_image(image, verb, world).await?,
        None => of_this_machine(verb, world).await?,
    };
    output::print(&report, cli, world)?;
    let outcomes = report.probes.unwrap_or_default();
    let failed = outcomes.iter().filter(|outcome| matches!(outcome.answer, Answer::Failed { .. })).count();
    match failed {
        0 => Ok(()),
        1 => Err(Failure::said(Fault::Verdict, "one probe failed")),
        many => Err(Failure::said(Fault::Verdict, format!("{many} probes failed"))),
    }
}

/// How and where probes run in a container.
pub(super) struct Place<'a> {
    /// What was said.
    pub(super) arguments: &'a SmokeArgs,
    /// Whether it is SageMaker Studio, which allows one network only, and that one always.
    pub(super) studio: bool,
}

async fn of_image(name: &str, verb: &Smoke, world: &World) -> Result<Report, Failure> {
    let platform = Platform { arch: verb.against.arch };
    let engine = docker::connect(&verb.against.engine, world)?;
    let image = docker::image(&engine, name, platform).await?;
    let (probes, own) = chosen(verb, world).await?;
    let studio = verb.against.engine.studio || engine.is_studio().await?;
    let options = options(&Place { arguments: &verb.smoke, studio }, &engine, world).await?;
    let options = Options { gpu_promised: promises_gpu(verb), ..options };
    let outcomes = smoke::run(&engine, name, platform, &probes, &options).await?;
    let mut report = output::about(Subject { reference: name.to_owned(), id: image.id, platform });
    report.probes = Some(outcomes);
    report.catalog = own;
    Ok(report)
}

async fn of_this_machine(verb: &Smoke, world: &World) -> Result<Report, Failure> {
    let python = python(verb, world)?;
    let (probes, own) = chosen(verb, world).await?;
    let mut report = output::about_machine(Machine {
        host: host_name(world).unwrap_or_else(|| "this machine".to_owned()),
        python: python.display().to_string(),
    });
    // Whoever stands on a GPU host expects its GPUs to work.
    let has_gpu = world.path("/dev/nvidiactl").exists();
    let options = Options {
        gpu_promised: has_gpu || promises_gpu(verb),
        limit: Duration::from_secs(verb.smoke.limit),
        ..Options::default()
    };
    report.probes = Some(smoke::run_here(&python, &probes, &options).await?);
    report.catalog = own;
    Ok(report)
}

/// Runs `probes` in a container of the image `name`.
pub(super) async fn in_container(
    engine: &DockerEngine,
    name: &str,
    platform: Platform,
    probes: &[Probe],
    place: &Place<'_>,
    world: &World,
) -> Result<Vec<Outcome>, Failure> {
    let options = options(place, engine, world).await?;
    Ok(smoke::run(engine, name, platform, probes, &options).await?)
}

async fn options(place: &Place<'_>, engine: &DockerEngine, world: &World) -> Result<Options, Failure> {
    let arguments = place.arguments;
    let gpus = docker::gpus(arguments.gpu, engine, world).await?;
    let usual = Options::default();
    Ok(Options {
        network: docker::network(&usual.network, &usual.network, place.studio),
        devices: docker::rdma_devices(&gpus, engine, world).await?,
        gpus,
        limit: Duration::from_secs(arguments.limit),
        shm_size: arguments.shm_size.saturating_mul(1 << 20),
        ..Options::default()
    })
}

/// Returns whether a tier was asked for by number that needs a GPU: then it is a failure that there is none.
fn promises_gpu(verb: &Smoke) -> bool {
    verb.tier.iter().any(|tier| matches!(tier, TierArg::OneGpu | TierArg::Node | TierArg::Nodes))
}

/// Returns the probes that were asked for.
///
/// With them comes what files of the user's did to the facts that they rest on.
pub(super) async fn chosen(verb: &Smoke, world: &World) -> Result<(Vec<Probe>, Option<Own>), Failure> {
    let (mut probes, own) = match &verb.against.recipe {
        Some(_) => {
            let Expected { probes, own, .. } = check::of_image(&verb.against, world).await?;
            (probes, own)
        }
        None => (Probe::of_any_image(&Catalog::embedded()?), None),
    };
    let all_tiers = verb.tier.is_empty() || verb.tier.contains(&TierArg::Auto);
    let of_tier = |probe: &Probe| verb.tier.iter().any(|tier| number(*tier) == Some(probe.tier()));
    probes.retain(|probe| all_tiers || of_tier(probe));
    let has = |name: &str| probes.iter().any(|probe| probe.name.name() == name);
    if let Some(absent) = verb.probe.iter().find(|name| !has(name)) {
        let names: Vec<&str> = probes.iter().map(|probe| probe.name.name()).collect();
        let what = format!("no probe `{}` follows from what was said", absent.escape_debug());
        return Err(Failure::said(Fault::Usage, what).hint(format!(
            "these do: {}; --recipe says what the image must hold, and so what is tested",
            names.join(", ")
        )));
    }
    probes.retain(|probe| verb.probe.is_empty() || verb.probe.iter().any(|name| name == probe.name.name()));
    if probes.is_empty() {
        return Err(Failure::said(Fault::Usage, "no probe follows from what was said")
            .hint("--recipe says what the image must hold, and so what is tested"));
    }
    Ok((probes, own))
}

fn number(tier: TierArg) -> Option<u8> {
    match tier {
        TierArg::Auto => None,
        TierArg::Image => Some(1),
        TierArg::OneGpu => Some(2),
        TierArg::Node => Some(3),
        TierArg::Nodes => Some(4),
    }
}

fn python(verb: &Smoke, world: &World) -> Result<PathBuf, Failure> {
    if let Some(python) = &verb.python {
        return Ok(world.path(python));
    }
    world.program("python3").ok_or_else(|| {
        Failure::said(Fault::Machine, "there is no python3 on the PATH")
            .hint("--python FILE names the Python that has the packages")
    })
}

#[expect(clippy::disallowed_methods, reason = "commands look at the machine")]
fn host_name(world: &World) -> Option<String> {
    let name = std::fs::read_to_string(world.path("/proc/sys/kernel/hostname")).ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

impl From<HereError> for Failure {
    fn from(error: HereError) -> Self {
        let hint = match &error {
            HereError::Python { .. } => "--python FILE names the Python that has the packages",
            HereError::Lost(_) | HereError::TooLong(_) => {
                "run it again with --probe, to find the probe that does it"
            }
        };
        Self::said(Fault::Machine, error.to_string()).hint(hint)
    }
}
