//! From an order to objects.

use std::collections::BTreeMap;

use super::manifest::{
    Container, ContainerPort, DeploymentSpec, ElasticPolicy, EnvVar, JobSpec, Manifest, Metadata, MpiSpec,
    PodSpec, PodTemplate, PyTorchSpec, Replicas, Resources, RunPolicy, Selector, ServicePort, ServiceSpec,
    Spec, Toleration, Volume, VolumeSource,
};
use super::{Devices, Mount, Order, Rendezvous};

/// The label by which a HyperPod node says what it is; its value has the prefix `ml.`, other than on plain EKS nodes.
const INSTANCE_LABEL: &str = "node.kubernetes.io/instance-type";
/// Whose objects these are.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const NAME_LABEL: &str = "app.kubernetes.io/name";
/// Huge pages of a pod with EFA, and memory for each GPU, as AWS's own NCCL test asks for (awsome-distributed-ai
/// micro-benchmarks/nccl-tests/kubernetes/nccl-tests.yaml: 5120Mi, and 32000Mi for 8 GPUs).
const HUGE_PAGES: &str = "5120Mi";
const MEMORY_PER_GPU: u32 = 4000;
/// Room in /dev/shm (awslabs/agent-plugins, error-patterns-quick-ref.md).
const SHARED_MEMORY: &str = "10Gi";
/// By what is here SMP recognises a HyperPod cluster (awsome-distributed-training 36501b78^, `launch_training_enroot.sh`).
const CLUSTERS: &str = "/var/log/aws/clusters";
/// Where the files of a smoke test are seen.
pub(super) const FILES: &str = "/smp-image";
/// The etcd of the HyperPod workshop; python-etcd speaks only its second API.
const ETCD_IMAGE: &str = "quay.io/coreos/etcd:v3.5.19";
const ETCD_PORT: u16 = 2379;
/// How long a test that has ended is kept for whoever reads its logs; then the cluster deletes it with its pods.
const KEPT_AFTER_TEST: u32 = 600;
/// How often a PyTorchJob begins anew before it fails.
const RESTARTS: u32 = 3;

/// A Job of Kubernetes itself.
pub(super) fn plain(order: &Order<'_>) -> Manifest {
    let spec = JobSpec {
        backoff_limit: 0,
        active_deadline_seconds: order.deadline,
        ttl_seconds_after_finished: order.deadline.map(|_| KEPT_AFTER_TEST),
        template: template(order, "main", order.command.clone(), Some("Never")),
    };
    object(order, "batch/v1", "Job", Spec::Job(spec))
}

/// A PyTorchJob, and the etcd beside it where it is wanted.
pub(super) fn pytorch(order: &Order<'_>) -> Vec<Manifest> {
    let replicas = |count| Replicas {
        count,
        restart_policy: if order.deadline.is_some() { "Never" } else { "OnFailure" },
        // The operator knows the container by this name.
        template: template(order, "pytorch", order.command.clone(), None),
    };
    let specs = match order.rendezvous {
        Rendezvous::Master if order.nodes == 1 => BTreeMap::from([("Master", replicas(1))]),
        Rendezvous::Master => {
            BTreeMap::from([("Master", replicas(1)), ("Worker", replicas(order.nodes - 1))])
        }
        Rendezvous::C10d | Rendezvous::Etcd => BTreeMap::from([("Worker", replicas(order.nodes))]),
    };
    let spec = PyTorchSpec {
        elastic_policy: elastic(order),
        nproc_per_node: order.instance.gpus.to_string(),
        run_policy: run_policy(order),
        pytorch_replica_specs: specs,
    };
    let job = object(order, "kubeflow.org/v1", "PyTorchJob", Spec::PyTorch(spec));
    let etcd = if order.rendezvous == Rendezvous::Etcd { etcd_objects(order).to_vec() } else { Vec::new() };
    etcd.into_iter().chain([job]).collect()
}

fn elastic(order: &Order<'_>) -> Option<ElasticPolicy> {
    let etcd = match order.rendezvous {
        Rendezvous::Master => return None,
        Rendezvous::C10d => false,
        Rendezvous::Etcd => true,
    };
    Some(ElasticPolicy {
        rdzv_backend: if etcd { "etcd" } else { "c10d" },
        // Without a host the operator takes the first worker.
        rdzv_host: etcd.then(|| etcd_name(order)),
        rdzv_port: etcd.then_some(ETCD_PORT),
        min_replicas: order.nodes,
        max_replicas: order.nodes,
        max_restarts: RESTARTS,
    })
}

/// An MPIJob: workers wait for ssh, the launcher starts one process for each GPU. Where the workers meet by themselves they run
/// the command and the launcher waits: nothing is asked of ssh and mpirun in the image.
pub(super) fn mpi(order: &Order<'_>) -> Manifest {
    let alone = order.rendezvous == Rendezvous::Master;
    let started = if alone {
        // While a launcher runs the operator leaves the workers alone, also those that have ended.
        vec!["sleep".to_owned(), order.deadline.map_or_else(|| "infinity".to_owned(), |end| end.to_string())]
    } else {
        mpirun(order)
    };
    let launcher = PodTemplate {
        metadata: labels(order, "launcher"),
        spec: PodSpec {
            active_deadline_seconds: order.deadline,
            containers: vec![Container {
                name: "launcher",
                image: order.image.whole(),
                command: started,
                ..container("launcher")
            }],
            ..PodSpec::default()
        },
    };
    // Without a command the operator starts sshd in the workers.
    let command = if alone { order.command.clone() } else { Vec::new() };
    let worker = template(order, "worker", command, None);
    let replicas = |count, template| Replicas { count, restart_policy: "Never", template };
    let spec = MpiSpec {
        slots_per_worker: order.instance.gpus,
        run_policy: run_policy(order),
        mpi_replica_specs: BTreeMap::from([
            ("Launcher", replicas(1, launcher)),
            ("Worker", replicas(order.nodes, worker)),
        ]),
    };
    object(order, "kubeflow.org/v2beta1", "MPIJob", Spec::Mpi(spec))
}

/// What starts one process for each GPU of all nodes.
fn mpirun(order: &Order<'_>) -> Vec<String> {
    let gpus = order.instance.gpus;
    let ranks = u64::from(gpus) * u64::from(order.nodes);
    let mut command: Vec<String> =
        ["mpirun", "--allow-run-as-root", "--tag-output", "-np", &ranks.to_string()]
            .into_iter()
            .chain(["-N", &gpus.to_string(), "--bind-to", "none", "-x", "PATH", "-x", "LD_LIBRARY_PATH"])
            .map(str::to_owned)
            .collect();
    for variable in env(order) {
        command.extend(["-x".to_owned(), format!("{}={}", variable.name, variable.value)]);
    }
    command.extend(order.command.iter().cloned());
    command
}

/// The files of a smoke test.
pub(super) fn config_map(order: &Order<'_>, name: &str, data: BTreeMap<String, String>) -> Manifest {
    Manifest {
        api_version: "v1",
        kind: "ConfigMap",
        metadata: Metadata { name: Some(name.to_owned()), ..object_metadata(order) },
        spec: None,
        data,
    }
}

fn run_policy(order: &Order<'_>) -> RunPolicy {
    RunPolicy {
        // Whoever sets a deadline reads the logs of all pods at the end.
        clean_pod_policy: if order.deadline.is_some() { "None" } else { "Running" },
        backoff_limit: 0,
        active_deadline_seconds: order.deadline,
        ttl_seconds_after_finished: order.deadline.map(|_| KEPT_AFTER_TEST),
    }
}

fn object(order: &Order<'_>, api_version: &'static str, kind: &'static str, spec: Spec) -> Manifest {
    Manifest { api_version, kind, metadata: object_metadata(order), spec: Some(spec), data: BTreeMap::new() }
}

fn object_metadata(order: &Order<'_>) -> Metadata {
    Metadata {
        name: Some(order.name.to_string()),
        namespace: order.namespace.as_ref().map(ToString::to_string),
        labels: label_pairs(order),
    }
}

fn label_pairs(order: &Order<'_>) -> BTreeMap<String, String> {
    [(MANAGED_BY, "smp-image".to_owned()), (NAME_LABEL, order.name.to_string())]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

fn labels(order: &Order<'_>, part: &str) -> Metadata {
    let mut labels = label_pairs(order);
    labels.insert("app.kubernetes.io/component".to_owned(), part.to_owned());
    Metadata { labels, ..Metadata::default() }
}

/// A pod with all GPUs and EFA devices of its node.
fn template(
    order: &Order<'_>,
    name: &'static str,
    command: Vec<String>,
    restart_policy: Option<&'static str>,
) -> PodTemplate {
    let mut volumes = vec![Volume {
        name: "shm",
        source: VolumeSource::EmptyDir { medium: "Memory", size_limit: SHARED_MEMORY.to_owned() },
    }];
    let mut volume_mounts = vec![Mount { name: "shm", mount_path: "/dev/shm", read_only: false }];
    if order.host_path {
        // Created empty where it is not: on other nodes nothing reads it.
        let source = VolumeSource::HostPath { path: CLUSTERS, r#type: "DirectoryOrCreate" };
        volumes.push(Volume { name: "hyperpod", source });
        volume_mounts.push(Mount { name: "hyperpod", mount_path: CLUSTERS, read_only: true });
    }
    if let Some(files) = &order.files {
        volumes.push(Volume { name: "files", source: VolumeSource::ConfigMap { name: files.to_string() } });
        volume_mounts.push(Mount { name: "files", mount_path: FILES, read_only: true });
    }
    let container = Container {
        image: order.image.whole(),
        command,
        env: env(order),
        resources: resources(order),
        volume_mounts,
        ..container(name)
    };
    // GPU nodes may keep away what asks for no GPU; what asks for one the cluster lets in by itself.
    let gpu_nodes = Toleration { key: "nvidia.com/gpu", operator: "Exists" };
    let selector = (INSTANCE_LABEL.to_owned(), order.instance.name.clone());
    PodTemplate {
        metadata: labels(order, name),
        spec: PodSpec {
            // Also where an operator leaves its pods alone when the job's time is over.
            active_deadline_seconds: order.deadline,
            restart_policy,
            node_selector: BTreeMap::from([selector]),
            tolerations: if order.devices == Devices::None { vec![gpu_nodes] } else { Vec::new() },
            containers: vec![container],
            volumes,
        },
    }
}

fn container(name: &'static str) -> Container {
    Container {
        name,
        image: String::new(),
        command: Vec::new(),
        args: Vec::new(),
        env: Vec::new(),
        ports: Vec::new(),
        resources: Resources::default(),
        volume_mounts: Vec::new(),
    }
}

/// What a pod gets of its node. Extended resources and huge pages must be limited to what is requested; memory is not limited,
/// because training takes what the node has.
fn resources(order: &Order<'_>) -> Resources {
    let instance = order.instance;
    let gpus = match order.devices {
        Devices::All => instance.gpus,
        Devices::OneGpu => instance.gpus.min(1),
        Devices::None => 0,
    };
    let mut limits = BTreeMap::new();
    if gpus > 0 {
        limits.insert("nvidia.com/gpu", gpus.to_string());
    }
    if instance.efa > 0 && order.devices == Devices::All {
        limits.insert("vpc.amazonaws.com/efa", instance.efa.to_string());
        limits.insert("hugepages-2Mi", HUGE_PAGES.to_owned());
    }
    let mut requests = limits.clone();
    requests.insert("memory", format!("{}Mi", MEMORY_PER_GPU * gpus.max(1)));
    Resources { requests, limits }
}

/// What the job needs in its environment and nothing else: aws-ofi-nccl sets its own `FI_*`; a person's values come last and win.
fn env(order: &Order<'_>) -> Vec<EnvVar> {
    let mut env = BTreeMap::from([
        ("NCCL_DEBUG".to_owned(), "INFO".to_owned()),
        // What to leave out, not what to take: names of interfaces differ between instance types.
        ("NCCL_SOCKET_IFNAME".to_owned(), "^docker,lo,veth".to_owned()),
        ("PYTORCH_CUDA_ALLOC_CONF".to_owned(), "expandable_segments:True".to_owned()),
    ]);
    // GPUs without NVLink share through host memory; about twice as fast so (awsome-distributed-ai, efa-cheatsheet.md).
    let without_nvlink = ["ml.g5.", "ml.g6."].iter().any(|family| order.instance.name.starts_with(family));
    if without_nvlink && order.instance.gpus > 1 {
        env.insert("NCCL_SHM_USE_CUDA_MEMCPY".to_owned(), "1".to_owned());
    }
    if order.rendezvous == Rendezvous::Master {
        // What the operator calls WORLD_SIZE is nodes in its older releases and processes in its newer ones.
        env.insert("NNODES".to_owned(), order.nodes.to_string());
    }
    for (name, value) in &order.env {
        env.insert(name.as_str().to_owned(), value.clone());
    }
    env.into_iter().map(|(name, value)| EnvVar { name, value }).collect()
}

fn etcd_name(order: &Order<'_>) -> String {
    format!("{}-etcd", order.name)
}

fn etcd_objects(order: &Order<'_>) -> [Manifest; 2] {
    let metadata = || Metadata { name: Some(etcd_name(order)), ..object_metadata(order) };
    let template_labels = labels(order, "etcd");
    let selector = template_labels.labels.clone();
    let service = ServiceSpec {
        selector: selector.clone(),
        ports: vec![ServicePort { name: "client", port: ETCD_PORT }],
    };
    let command = [
        "/usr/local/bin/etcd".to_owned(),
        "--enable-v2".to_owned(),
        format!("--listen-client-urls=http://0.0.0.0:{ETCD_PORT}"),
        format!("--advertise-client-urls=http://{}:{ETCD_PORT}", etcd_name(order)),
    ];
    let container = Container {
        image: ETCD_IMAGE.to_owned(),
        command: command.to_vec(),
        ports: vec![ContainerPort { name: "client", container_port: ETCD_PORT }],
        ..container("etcd")
    };
    let deployment = DeploymentSpec {
        replicas: 1,
        selector: Selector { match_labels: selector },
        template: PodTemplate {
            metadata: template_labels,
            spec: PodSpec { containers: vec![container], ..PodSpec::default() },
        },
    };
    let manifest = |api_version, kind, spec| Manifest {
        api_version,
        kind,
        metadata: metadata(),
        spec: Some(spec),
        data: BTreeMap::new(),
    };
    [
        manifest("v1", "Service", Spec::Service(service)),
        manifest("apps/v1", "Deployment", Spec::Deployment(deployment)),
    ]
}
