//! `smp-image smoke`: runs the probes in a container of an image.

use super::check::{Expected, of_image};
use super::{cluster, docker, grade, output};
use crate::cli::{Cli, GpuArg, Smoke};
use crate::commands::World;
use crate::engine::DockerEngine;
use crate::error::{Failure, Fault};
use crate::oci::Platform;
use crate::plan::Probe;
use crate::smoke::{self, Answer, Options, Outcome};
use crate::verdict::Subject;

pub(super) async fn run(verb: &Smoke, cli: &Cli, world: &World) -> Result<(), Failure> {
    let Some(name) = &verb.image else { return grade::run(verb, cli, world) };
    if verb.cluster.on.is_some() {
        return cluster::run(verb, name, cli, world).await;
    }
    let platform = Platform { arch: verb.against.arch };
    let engine = docker::connect(&verb.against.engine, world)?;
    let image = docker::image(&engine, name, platform).await?;
    let Expected { probes, own, .. } = of_image(&verb.against, world).await?;
    if probes.is_empty() {
        return Err(Failure::said(Fault::Usage, "no probe follows from what was said")
            .hint("--recipe says what the image must hold, and so what is tested"));
    }
    let studio = verb.against.engine.studio || engine.is_studio().await?;
    let place = Place { gpu: verb.smoke.gpu, studio };
    let outcomes = probe(&engine, name, platform, &probes, place, world).await?;
    let failed = outcomes.iter().filter(|outcome| matches!(outcome.answer, Answer::Failed { .. })).count();
    let mut report = output::about(Subject { reference: name.clone(), id: image.id, platform });
    report.probes = Some(outcomes);
    report.catalog = own;
    output::print(&report, cli, world)?;
    match failed {
        0 => Ok(()),
        1 => Err(Failure::said(Fault::Verdict, "one probe failed")),
        many => Err(Failure::said(Fault::Verdict, format!("{many} probes failed"))),
    }
}

/// Where probes run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// GPUs for the container.
    pub(super) gpu: GpuArg,
    /// Whether it is SageMaker Studio, which allows one network only, and that one always.
    pub(super) studio: bool,
}

/// Runs `probes` in a container of the image `name`.
pub(super) async fn probe(
    engine: &DockerEngine,
    name: &str,
    platform: Platform,
    probes: &[Probe],
    place: Place,
    world: &World,
) -> Result<Vec<Outcome>, Failure> {
    let usual = Options::default();
    let network = docker::network(&usual.network, &usual.network, place.studio);
    let options = Options { gpus: docker::gpus(place.gpu, world), network, ..usual };
    Ok(smoke::run(engine, name, platform, probes, &options).await?)
}
