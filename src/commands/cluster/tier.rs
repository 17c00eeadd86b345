//! Probes that run together in one job of a cluster.

use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use super::super::job::named;
use super::{Order, Seen};
use crate::catalog::{Instance, NcclLog, Rdma};
use crate::cluster::{Cluster, Event, PodEnd, Work};
use crate::commands::World;
use crate::error::{Failure, Fault};
use crate::grade::{Expected, Grade, Grader};
use crate::job::{self, Devices, Kind, ObjectName, Rendezvous};
use crate::oci::Digest;
use crate::plan::Probe;
use crate::report::plain;
use crate::smoke::pod::{self, Ending, Numbering};
use crate::smoke::{Answer, Outcome};

/// Probes that run together, on so many nodes, with such devices.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tier {
    pub(super) nodes: u32,
    devices: Devices,
    probes: Vec<Probe>,
}

/// Returns the tiers: what needs least first, for it is the sooner there; then the network between nodes. A node may take up to
/// `wait` longer to come up than another.
pub(super) fn tiers(probes: &[Probe], nodes: u32, instance: &Instance, wait: Duration) -> Vec<Tier> {
    let over_nodes = |probe: &&Probe| nodes > 1 && probe.tier() == 4;
    let needs = |probe: &Probe| match probe.tier() {
        1 => Devices::None,
        // Of several GPUs or nodes the probes say themselves that there is only one.
        3 | 4 if instance.gpus > 1 => Devices::All,
        _ => Devices::OneGpu,
    };
    let alone = [Devices::None, Devices::OneGpu, Devices::All].map(|devices| Tier {
        nodes: 1,
        devices,
        probes: probes
            .iter()
            .filter(|probe| !over_nodes(probe) && needs(probe) == devices)
            .cloned()
            .collect(),
    });
    let network = Tier {
        nodes,
        devices: Devices::All,
        probes: probes.iter().filter(over_nodes).map(|probe| of_instance(probe, instance, wait)).collect(),
    };
    alone.into_iter().chain([network]).filter(|tier| !tier.probes.is_empty()).collect()
}

/// Returns the probe of the network as it must go on `instance`.
fn of_instance(probe: &Probe, instance: &Instance, wait: Duration) -> Probe {
    let direct = matches!(instance.rdma, Rdma::Read | Rdma::ReadWrite);
    let mut probe = probe.clone();
    probe.input["fabric"] = (instance.efa > 0).then_some("efa").into();
    probe.input["direct"] = (direct && instance.efa > 0).into();
    probe.input["wait"] = wait.as_secs().into();
    probe
}

impl Tier {
    /// Runs the probes and adds what came of them to `seen`.
    pub(super) async fn run(
        &self,
        order: &Order<'_>,
        cluster: &Cluster,
        seen: &mut Seen,
        world: &World,
    ) -> Result<(), Failure> {
        let id = std::hash::RandomState::new().build_hasher().finish();
        let name = named("the job's name", &format!("smp-image-smoke-{id:016x}"))?;
        let namespace =
            order.verb.cluster.namespace.clone().unwrap_or_else(|| cluster.namespace().to_owned());
        let work = self.work(order, &name, named("--namespace", &namespace)?)?;
        world.say(&format!("{} on {} × {} in namespace {namespace}", name, self.nodes, order.instance.name));
        let mut tell = |event: Event<'_>| match event {
            Event::Left(left) => world.say(&format!("warning: {}", plain::line(&left.to_string()))),
            Event::Pod { pod, state } => world.say(&format!("{pod}: {}", plain::line(state))),
            Event::Line { pod, line } => {
                // What NCCL says of every channel is judged at the end, and would bury everything else.
                if let Some(line) = pod::chatter(line).filter(|line| !line.contains(" NCCL INFO ")) {
                    world.say(&format!("{pod} | {}", plain::line(line)));
                }
            }
        };
        let ran = cluster.run(&work, &mut tell).await?;
        seen.left = seen.left.take().or(ran.left);
        let ends = ran.pods;
        let endings: Vec<Ending<'_>> = ends
            .iter()
            .map(|end| Ending { pod: &end.pod, status: end.status, reason: &end.reason, log: &end.log })
            .collect();
        seen.images.extend(ends.iter().filter_map(|end| end.image.as_deref()?.parse::<Digest>().ok()));
        let outcomes = pod::read(&self.probes, &endings);
        if self.nodes > 1 {
            seen.grade = graded(&ends, &outcomes, order.instance)?;
        }
        seen.outcomes.extend(outcomes);
        Ok(())
    }

    /// Returns what is to be made and watched.
    fn work(&self, order: &Order<'_>, name: &ObjectName, namespace: ObjectName) -> Result<Work, Failure> {
        let kind = if self.nodes > 1 { order.kind } else { Kind::Plain };
        let (container, numbering) = match kind {
            Kind::Plain => ("main", Numbering::Told),
            Kind::PyTorch => ("pytorch", Numbering::Told),
            Kind::Mpi => ("worker", Numbering::Hosts),
        };
        let limit = Duration::from_secs(order.verb.smoke.limit);
        let orders = pod::orders(&self.probes, limit, self.devices != Devices::None, numbering);
        let smp = self.probes.iter().any(|probe| probe.input.to_string().contains("torch.sagemaker"));
        let wanted = job::Order {
            kind,
            instance: order.instance,
            nodes: self.nodes,
            devices: self.devices,
            image: order.image.clone(),
            name: name.clone(),
            namespace: Some(namespace),
            rendezvous: Rendezvous::Master,
            env: Vec::new(),
            command: orders.command.clone(),
            host_path: smp,
            files: Some(name.clone()),
            // The cluster ends it even if this machine cannot.
            deadline: Some((order.start_limit + orders.limit).as_secs()),
        };
        Ok(Work {
            objects: objects(&wanted, name, &orders)?,
            // An MPIJob's launcher runs no probe: nobody waits for it.
            selector: format!("app.kubernetes.io/name={name},app.kubernetes.io/component={container}"),
            container: container.to_owned(),
            pods: usize::try_from(self.nodes).unwrap_or(usize::MAX),
            start_limit: order.start_limit,
            run_limit: orders.limit,
        })
    }

    /// Returns the outcomes of probes that no pod answered.
    pub(super) fn unasked(&self) -> impl Iterator<Item = Outcome> {
        let answer = Answer::Skipped {
            reason: "the cluster did not run it".to_owned(),
            evidence: "see the error".to_owned(),
        };
        self.probes.iter().map(move |probe| Outcome { probe: probe.name, answer: answer.clone(), took: 0.0 })
    }
}

/// Returns the objects of a tier: the files first, for the pods need them to start.
fn objects(
    order: &job::Order<'_>,
    name: &ObjectName,
    orders: &pod::Orders,
) -> Result<Vec<serde_json::Value>, Failure> {
    let files = job::config_map(order, name, orders.files.clone());
    let manifests = std::iter::once(files).chain(job::job(order)?.objects);
    let json = |manifest| {
        serde_json::to_value(manifest).map_err(|error| Failure::said(Fault::Defect, error.to_string()))
    };
    manifests.map(json).collect()
}

/// Judges what NCCL wrote in the pods. Where the probe failed before NCCL said a word there is nothing to judge.
fn graded(ends: &[PodEnd], outcomes: &[Outcome], instance: &Instance) -> Result<Option<Grade>, Failure> {
    let table = NcclLog::embedded()?;
    let mut grader = Grader::new(&table, Expected::on(&[instance]));
    for end in ends {
        grader.read(&end.pod, pod::written(&end.log).as_slice()).map_err(|error| {
            Failure::said(Fault::Defect, format!("cannot read the log of {}: {error}", end.pod))
        })?;
    }
    let grade = grader.finish();
    let passed = outcomes.iter().any(|outcome| matches!(outcome.answer, Answer::Passed { .. }));
    Ok(Some(grade).filter(|grade| passed || grade.read.messages > 0))
}
