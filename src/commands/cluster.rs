//! `smp-image smoke --on kubernetes`: the probes in pods of a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use super::check::{Expected, of_image};
use super::{grade, job, output};
use crate::catalog::{Instance, Rdma};
use crate::cli::{Cli, Smoke};
use crate::cluster::{Access, Cluster, ClusterError, Event, Patience, Work};
use crate::commands::World;
use crate::error::{Failure, Fault};
use crate::job::{Kind, ObjectName, Order, Rendezvous};
use crate::oci::{Digest, Platform, Reference};
use crate::plan::{Probe, ProbeName};
use crate::report::plain;
use crate::smoke::pod::{self, Ending};
use crate::smoke::{Answer, Outcome};
use crate::verdict::Subject;

/// How long each probe may run.
const LIMIT: Duration = Duration::from_mins(5);

pub(super) async fn run(verb: &Smoke, name: &str, cli: &Cli, world: &World) -> Result<(), Failure> {
    let catalog = super::catalog::load(world)?;
    let [instance] = grade::instances(&verb.cluster.instances, &catalog)?[..] else {
        return Err(Failure::said(Fault::Usage, "--on kubernetes needs one type of instance").hint(
            "such as --instances ml.p5.48xlarge: from it follow GPUs, EFA devices and the label of its nodes",
        ));
    };
    let image = job::image(name)?;
    let Expected { probes, own, .. } = of_image(&verb.against, world).await?;
    let tiers = tiers(&probes, verb.cluster.nodes, instance);
    if verb.cluster.nodes > 1 && tiers.iter().all(|tier| tier.nodes == 1) {
        return Err(Failure::said(
            Fault::Usage,
            "no probe of the network between nodes follows from what was said",
        )
        .hint("the recipe must name nccl; without --nodes the probes of one node run"));
    }
    if tiers.is_empty() {
        return Err(Failure::said(Fault::Usage, "no probe follows from what was said")
            .hint("--recipe says what the image must hold, and so what is tested"));
    }
    let environment = variables(world);
    let file = verb.cluster.kubeconfig.as_ref().map(|path| world.path(path));
    let access = Access::find(&environment, file.as_deref(), verb.cluster.kube_context.as_deref())?;
    let cluster = Cluster::connect(access, Patience::default()).await?;
    let mut seen = Seen::default();
    for tier in &tiers {
        tier.run(verb, (&cluster, instance), &image, &mut seen, world).await?;
    }
    let id = seen.image(&image)?;
    if seen.images.len() > 1 {
        world.say("warning: the pods ran different images under one name: name it by digest");
    }
    let failed =
        seen.outcomes.iter().filter(|outcome| matches!(outcome.answer, Answer::Failed { .. })).count();
    let platform = Platform { arch: verb.against.arch };
    let mut report = output::about(Subject { reference: name.to_owned(), id, platform });
    report.probes = Some(seen.outcomes);
    report.catalog = own;
    output::print(&report, cli, world)?;
    match failed {
        0 => seen.left.map_or(Ok(()), |left| Err(left.into())),
        1 => Err(Failure::said(Fault::Verdict, "one probe failed")),
        many => Err(Failure::said(Fault::Verdict, format!("{many} probes failed"))),
    }
}

/// Returns the environment variables that are text.
fn variables(world: &World) -> BTreeMap<String, String> {
    world.env.iter().filter_map(|(name, value)| Some((name.clone(), value.to_str()?.to_owned()))).collect()
}

/// What came of the tiers so far.
#[derive(Default)]
struct Seen {
    outcomes: Vec<Outcome>,
    /// What nodes say that they ran.
    images: BTreeSet<Digest>,
    /// What could not be deleted.
    left: Option<ClusterError>,
}

impl Seen {
    /// Returns which image was run: as the nodes say, else by the digest in its name.
    fn image(&self, image: &Reference) -> Result<Digest, Failure> {
        let named = || image.digest().and_then(|digest| digest.parse().ok());
        self.images.first().copied().or_else(named).ok_or_else(|| {
            Failure::said(Fault::Machine, "the cluster does not say which image its pods ran")
                .hint("name the image by digest")
        })
    }
}

/// Probes that run together, on so many nodes.
#[derive(Debug, Clone, PartialEq)]
struct Tier {
    nodes: u32,
    probes: Vec<Probe>,
}

/// Returns the tiers: what one node can tell first, for it is the sooner there; then the network between nodes.
fn tiers(probes: &[Probe], nodes: u32, instance: &Instance) -> Vec<Tier> {
    let (network, alone): (Vec<Probe>, Vec<Probe>) =
        probes.iter().cloned().partition(|probe| probe.name == ProbeName::NcclNetwork);
    let direct = matches!(instance.rdma, Rdma::Read | Rdma::ReadWrite);
    let fabric = (instance.efa > 0).then_some("efa");
    let of_instance = |probe: Probe| Probe {
        input: serde_json::json!({ "fabric": fabric, "direct": direct && fabric.is_some() }),
        ..probe
    };
    let network = if nodes > 1 { network.into_iter().map(of_instance).collect() } else { Vec::new() };
    let tiers = [Tier { nodes: 1, probes: alone }, Tier { nodes, probes: network }];
    tiers.into_iter().filter(|tier| !tier.probes.is_empty()).collect()
}

impl Tier {
    async fn run(
        &self,
        verb: &Smoke,
        (cluster, instance): (&Cluster, &Instance),
        image: &Reference,
        seen: &mut Seen,
        world: &World,
    ) -> Result<(), Failure> {
        let orders = pod::orders(&self.probes, LIMIT);
        let id = std::hash::RandomState::new().build_hasher().finish();
        let name = job::named("the job's name", &format!("smp-image-smoke-{id:016x}"))?;
        let namespace = verb.cluster.namespace.clone().unwrap_or_else(|| cluster.namespace().to_owned());
        let smp = self.probes.iter().any(|probe| probe.input.to_string().contains("torch.sagemaker"));
        let start_limit = Duration::from_secs(verb.cluster.start_limit);
        let order = Order {
            kind: if self.nodes > 1 { Kind::PyTorch } else { Kind::Plain },
            instance,
            nodes: self.nodes,
            image: image.clone(),
            name: name.clone(),
            namespace: Some(job::named("--namespace", &namespace)?),
            rendezvous: Rendezvous::Master,
            env: Vec::new(),
            command: orders.command.clone(),
            host_path: smp,
            files: Some(name.clone()),
            // The cluster ends it even if this machine cannot.
            deadline: Some((start_limit + orders.limit).as_secs()),
        };
        let objects = objects(&order, &name, &orders)?;
        let work = Work {
            objects,
            selector: format!("app.kubernetes.io/name={name}"),
            container: if self.nodes > 1 { "pytorch" } else { "main" }.to_owned(),
            pods: usize::try_from(self.nodes).unwrap_or(usize::MAX),
            start_limit,
            run_limit: orders.limit,
        };
        world.say(&format!("{} on {} × {} in namespace {namespace}", name, self.nodes, instance.name));
        let mut tell = |event: Event<'_>| match event {
            Event::Left(left) => world.say(&format!("warning: {}", plain::line(&left.to_string()))),
            Event::Pod { pod, state } => world.say(&format!("{pod}: {}", plain::line(state))),
            Event::Line { pod, line } => {
                if let Some(line) = pod::chatter(line) {
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
        seen.outcomes.extend(pod::read(&self.probes, &endings));
        Ok(())
    }
}

/// Returns the objects of a tier: the files first, for the pods need them to start.
fn objects(
    order: &Order<'_>,
    name: &ObjectName,
    orders: &pod::Orders,
) -> Result<Vec<serde_json::Value>, Failure> {
    let files = crate::job::config_map(order, name, orders.files.clone());
    let manifests = std::iter::once(files).chain(crate::job::job(order)?.objects);
    let json = |manifest| {
        serde_json::to_value(manifest).map_err(|error| Failure::said(Fault::Defect, error.to_string()))
    };
    manifests.map(json).collect()
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        let message = match &error {
            ClusterError::RanTooLong { tail, .. } => {
                let lines: Vec<String> =
                    tail.iter().map(|line| format!("\n  {}", plain::line(line))).collect();
                format!("{error}\nthe last lines of their logs:{}", lines.concat())
            }
            _ => error.to_string(),
        };
        match error {
            ClusterError::Config(_) => {
                Self::said(Fault::Usage, message).hint("see --kubeconfig and --kube-context; `kubectl config view` shows what there is")
            }
            ClusterError::Credentials { hint, .. } if !hint.is_empty() => {
                Self::said(Fault::Unauthorised, message).hint(hint)
            }
            ClusterError::Credentials { .. } => {
                Self::said(Fault::Unauthorised, message).hint("for EKS: install the AWS CLI, log in, then aws eks update-kubeconfig")
            }
            ClusterError::Unauthorised { .. } => {
                Self::said(Fault::Unauthorised, message).hint("log in again; for EKS: aws eks update-kubeconfig")
            }
            ClusterError::Forbidden { permission, .. } => Self::said(Fault::Unauthorised, message)
                .hint(format!("see what is missing: kubectl auth can-i {permission}")),
            ClusterError::UnknownKind { kind, .. } => Self::said(Fault::Machine, message)
                .hint(format!("install Kubeflow's operator that brings {kind}; HyperPod's Helm chart does")),
            ClusterError::Image { .. } => Self::said(Fault::Machine, message)
                .hint("push the image where the nodes can pull it, and look at its name; nodes pull from ECR of their own account by themselves"),
            ClusterError::NeverStarted { .. } => Self::said(Fault::Machine, message)
                .hint("`kubectl get nodes -L node.kubernetes.io/instance-type` shows what there is; --start-limit waits longer"),
            ClusterError::LeftBehind { ref left, .. } => {
                let hint = left.iter().map(|what| format!("kubectl delete {what}")).collect::<Vec<_>>().join("; ");
                Self::said(Fault::Machine, message).hint(hint)
            }
            ClusterError::Unreachable { .. }
            | ClusterError::Failing { .. }
            | ClusterError::Conflict { .. }
            | ClusterError::Refused { .. }
            | ClusterError::Nonsense { .. }
            | ClusterError::Unstartable { .. }
            | ClusterError::RanTooLong { .. } => Self::said(Fault::Machine, message),
        }
    }
}
