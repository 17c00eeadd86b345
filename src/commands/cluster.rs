//! `smp-image smoke --on kubernetes`: the probes in pods of a cluster.

mod failure;
mod tier;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{grade, job, output, smoke};
use crate::catalog::{Instance, Own};
use crate::cli::{Cli, NodesKind, Smoke, TierArg};
use crate::cluster::{Access, Cluster, ClusterError, Patience};
use crate::commands::World;
use crate::error::{Failure, Fault};
use crate::grade::Grade;
use crate::job::Kind;
use crate::oci::{Digest, Platform, Reference};
use crate::smoke::{Answer, Outcome};
use crate::verdict::Subject;

/// What the tiers have in common.
struct Order<'a> {
    verb: &'a Smoke,
    image: &'a Reference,
    instance: &'a Instance,
    /// The kind of job that runs over several nodes.
    kind: Kind,
    start_limit: Duration,
}

pub(super) async fn run(verb: &Smoke, name: &str, cli: &Cli, world: &World) -> Result<(), Failure> {
    let catalog = super::catalog::load(world)?;
    let [instance] = grade::instances(&verb.cluster.instances, &catalog)?[..] else {
        return Err(Failure::said(Fault::Usage, "--on kubernetes needs one type of instance").hint(
            "such as --instances ml.p5.48xlarge: from it follow GPUs, EFA devices and the label of its nodes",
        ));
    };
    let image = job::image(name)?;
    let (probes, own) = smoke::chosen(verb, world).await?;
    let nodes = nodes(verb)?;
    let start_limit = Duration::from_secs(verb.cluster.start_limit);
    let tiers = tier::tiers(&probes, nodes, instance, start_limit);
    let several = tiers.iter().any(|tier| tier.nodes > 1);
    if nodes > 1 && !several {
        let what = "no probe of the network between nodes follows from what was said";
        return Err(Failure::said(Fault::Usage, what)
            .hint("a recipe must name nccl, --tier include 4; without --nodes the probes of one node run"));
    }
    let environment = variables(world);
    let file = verb.cluster.kubeconfig.as_ref().map(|path| world.path(path));
    let access = Access::find(&environment, file.as_deref(), verb.cluster.kube_context.as_deref())?;
    let cluster = Cluster::connect(access, Patience::default()).await?;
    // Before the first node is taken: a cluster that cannot run the last tier says so at once.
    let kind = if several { kind(verb.cluster.kind, &cluster).await? } else { Kind::Plain };
    let order = Order { verb, image: &image, instance, kind, start_limit };
    let (mut seen, mut stopped) = (Seen::default(), None);
    for tier in &tiers {
        if stopped.is_none() {
            stopped = tier.run(&order, &cluster, &mut seen, world).await.err();
        }
        if stopped.is_some() {
            seen.outcomes.extend(tier.unasked());
        }
    }
    match stopped {
        // What was seen until then was paid for.
        Some(failure) if seen.images.is_empty() => Err(failure),
        Some(failure) => seen.report(&order, name, own, cli, world).and(Err(failure)),
        None => {
            seen.report(&order, name, own, cli, world)?;
            seen.passed()
        }
    }
}

/// Returns over how many nodes the network is probed.
fn nodes(verb: &Smoke) -> Result<u32, Failure> {
    let network = verb.tier.contains(&TierArg::Nodes);
    match verb.cluster.nodes {
        Some(1) if network && verb.tier.len() == 1 => Err(Failure::said(
            Fault::Usage,
            "--tier 4 asks for the network between nodes, --nodes for one node",
        )
        .hint("--nodes 2")),
        Some(nodes) => Ok(nodes),
        None => Ok(if network { 2 } else { 1 }),
    }
}

/// Returns the kind of job for several nodes: the one that was named, else the one that the cluster has.
async fn kind(named: Option<NodesKind>, cluster: &Cluster) -> Result<Kind, Failure> {
    match named {
        Some(NodesKind::Pytorchjob) => return Ok(Kind::PyTorch),
        Some(NodesKind::Mpijob) => return Ok(Kind::Mpi),
        None => {}
    }
    if cluster.offers("kubeflow.org/v1", "PyTorchJob").await? {
        return Ok(Kind::PyTorch);
    }
    if cluster.offers("kubeflow.org/v2beta1", "MPIJob").await? {
        return Ok(Kind::Mpi);
    }
    let what = "the cluster has no kind of job that runs over several nodes: neither PyTorchJob (kubeflow.org/v1) nor MPIJob (kubeflow.org/v2beta1)";
    Err(Failure::said(Fault::Machine, what)
        .hint("install Kubeflow's training operator or its MPI operator; HyperPod's Helm chart brings both")
        .hint("without --nodes and with --tier 1, 2 or 3 the probes run in Jobs of Kubernetes itself"))
}

/// Returns the environment variables that are text.
fn variables(world: &World) -> BTreeMap<String, String> {
    world.env.iter().filter_map(|(name, value)| Some((name.clone(), value.to_str()?.to_owned()))).collect()
}

/// What came of the tiers so far.
#[derive(Default)]
struct Seen {
    outcomes: Vec<Outcome>,
    /// What NCCL's log of the pods on several nodes says.
    grade: Option<Grade>,
    /// What nodes say that they ran.
    images: BTreeSet<Digest>,
    /// What could not be deleted.
    left: Option<ClusterError>,
}

impl Seen {
    /// Prints the report.
    fn report(
        &self,
        order: &Order<'_>,
        name: &str,
        own: Option<Own>,
        cli: &Cli,
        world: &World,
    ) -> Result<(), Failure> {
        let id = self.image(order.image)?;
        if self.images.len() > 1 {
            world.say("warning: the pods ran different images under one name: name it by digest");
        }
        let platform = Platform { arch: order.verb.against.arch };
        let mut report = output::about(Subject { reference: name.to_owned(), id, platform });
        report.probes = Some(self.outcomes.clone());
        report.grade.clone_from(&self.grade);
        report.catalog = own;
        output::print(&report, cli, world)
    }

    /// Returns which image was run: as the nodes say, else by the digest in its name.
    fn image(&self, image: &Reference) -> Result<Digest, Failure> {
        let named = || image.digest().and_then(|digest| digest.parse().ok());
        self.images.first().copied().or_else(named).ok_or_else(|| {
            Failure::said(Fault::Machine, "the cluster does not say which image its pods ran")
                .hint("name the image by digest")
        })
    }

    /// Returns how the command ends.
    fn passed(self) -> Result<(), Failure> {
        let failed = |outcome: &&Outcome| matches!(outcome.answer, Answer::Failed { .. });
        match self.outcomes.iter().filter(failed).count() {
            0 => {}
            1 => return Err(Failure::said(Fault::Verdict, "one probe failed")),
            many => return Err(Failure::said(Fault::Verdict, format!("{many} probes failed"))),
        }
        if let Some(grade) = &self.grade {
            grade::passed(grade)?;
        }
        self.left.map_or(Ok(()), |left| Err(left.into()))
    }
}
