//! `smp-image job`: writes the manifest of a training job.

use super::{grade, workshop};
use crate::cli::{Cli, Format, Job, JobKind, RendezvousArg};
use crate::commands::World;
use crate::error::{Failure, Fault};
use crate::job::{self, Devices, EnvName, JobError, Kind, ObjectName, Order, Rendezvous};
use crate::oci::Reference;
use crate::recipe::BadValue;

pub(super) fn run(verb: &Job, cli: &Cli, world: &World) -> Result<(), Failure> {
    let catalog = super::catalog::load(world)?;
    let [instance] = grade::instances(&verb.instances, &catalog)?[..] else {
        return Err(Failure::said(Fault::Usage, "a job runs on one type of instance")
            .hint("write a manifest for each; p4d and p4de exchange EFA traffic with no other type"));
    };
    let order = Order {
        kind: match verb.kind {
            JobKind::Pytorchjob => Kind::PyTorch,
            JobKind::Mpijob => Kind::Mpi,
            JobKind::Job => Kind::Plain,
        },
        instance,
        nodes: verb.nodes,
        devices: Devices::All,
        image: image(&verb.image)?,
        name: named("--name", &verb.name)?,
        namespace: verb.namespace.as_ref().map(|name| named("--namespace", name)).transpose()?,
        rendezvous: match verb.rendezvous {
            RendezvousArg::C10d => Rendezvous::C10d,
            RendezvousArg::Etcd => Rendezvous::Etcd,
        },
        env: verb.env.iter().map(|text| variable(text)).collect::<Result<_, _>>()?,
        command: verb.command.clone(),
        host_path: !verb.no_host_path,
        files: None,
        deadline: None,
    };
    let job = job::job(&order)?;
    let text = match cli.format {
        Format::Json => {
            serde_json::to_string_pretty(&job)
                .map_err(|error| Failure::said(Fault::Defect, error.to_string()))?
                + "\n"
        }
        Format::Text | Format::Junit | Format::Sarif => job.yaml()?,
    };
    match &verb.output {
        Some(path) => workshop::write(&world.path(path), &text)?,
        None => world.print(&text).map_err(|error| super::failure::stdout(&error))?,
    }
    for note in &job.notes {
        world.say(&format!("warning: {note}"));
    }
    if let Some(path) = &verb.output {
        world.say(&format!("wrote {}; apply it with: kubectl apply -f {}", path.display(), path.display()));
    }
    Ok(())
}

/// Reads an image's name.
pub(super) fn image(text: &str) -> Result<Reference, Failure> {
    text.parse().map_err(|error| {
        let shown = text.escape_debug();
        Failure::said(Fault::Usage, format!("`{shown}` is not an image reference: {error}"))
            .hint("such as 123456789012.dkr.ecr.us-west-2.amazonaws.com/smpv2@sha256:…")
    })
}

/// Reads the name of an object of the cluster.
pub(super) fn named(flag: &str, text: &str) -> Result<ObjectName, Failure> {
    text.parse().map_err(|error: BadValue| Failure::said(Fault::Usage, format!("{flag}: {error}")))
}

fn variable(text: &str) -> Result<(EnvName, String), Failure> {
    let bad = |error: &str| Failure::said(Fault::Usage, format!("--env: {error}"));
    let (name, value) = text.split_once('=').ok_or_else(|| bad("it is written NAME=VALUE"))?;
    let name = name.parse().map_err(|error: BadValue| bad(&error.to_string()))?;
    if value.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(bad("the value holds control characters"));
    }
    Ok((name, value.to_owned()))
}

impl From<JobError> for Failure {
    fn from(error: JobError) -> Self {
        let message = error.to_string();
        match error {
            JobError::NoNodes | JobError::TooManyNodes(_) => {
                Self::said(Fault::Usage, format!("--nodes: {message}"))
            }
            JobError::PlainOverNodes => Self::said(Fault::Usage, message).hint("--kind pytorchjob or mpijob"),
            JobError::NothingToLaunch => Self::said(Fault::Usage, message)
                .hint("name it after `--`, such as: -- all_reduce_perf -b 8 -e 16G -f 2 -g 1"),
            JobError::Yaml(_) => Self::said(Fault::Defect, message),
        }
    }
}
