//! `smp-image smoke`: runs the probes in a container of an image.

use super::check::{Expected, of_image};
use super::{docker, output};
use crate::cli::{Cli, GpuArg, Smoke};
use crate::commands::World;
use crate::engine::DockerEngine;
use crate::error::{Failure, Fault};
use crate::oci::Platform;
use crate::plan::Probe;
use crate::smoke::{self, Answer, Options, Outcome};
use crate::verdict::Subject;

pub(super) async fn run(verb: &Smoke, cli: &Cli, world: &World) -> Result<(), Failure> {
    let platform = Platform { arch: verb.image.arch };
    let engine = docker::connect(&verb.image.engine, world)?;
    let image = docker::image(&engine, &verb.image.image, platform).await?;
    let Expected { probes, own, .. } = of_image(&verb.image, world).await?;
    if probes.is_empty() {
        return Err(Failure::said(Fault::Usage, "no probe follows from what was said")
            .hint("--recipe says what the image must hold, and so what is tested"));
    }
    let outcomes = probe(&engine, &verb.image.image, platform, &probes, verb.smoke.gpu, world).await?;
    let failed = outcomes.iter().filter(|outcome| matches!(outcome.answer, Answer::Failed { .. })).count();
    let mut report = output::about(Subject { reference: verb.image.image.clone(), id: image.id, platform });
    report.probes = Some(outcomes);
    report.catalog = own;
    output::print(&report, cli, world)?;
    match failed {
        0 => Ok(()),
        1 => Err(Failure::said(Fault::Verdict, "one probe failed")),
        many => Err(Failure::said(Fault::Verdict, format!("{many} probes failed"))),
    }
}

/// Runs `probes` in a container of the image `name`.
pub(super) async fn probe(
    engine: &DockerEngine,
    name: &str,
    platform: Platform,
    probes: &[Probe],
    gpu: GpuArg,
    world: &World,
) -> Result<Vec<Outcome>, Failure> {
    let options = Options { gpus: docker::gpus(gpu, world), ..Options::default() };
    Ok(smoke::run(engine, name, platform, probes, &options).await?)
}
