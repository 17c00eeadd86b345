//! The parts of Kubernetes' and Kubeflow's objects that a job uses, as they are written.
//!
//! Not `k8s-openapi`: of its thousands of types we need a dozen, and Kubeflow's are not among them. The tests hold what comes out
//! against the published schemas.

use std::collections::BTreeMap;

use serde::Serialize;

/// Fields that are left out where they say nothing.
fn is_empty<T>(list: &[T]) -> bool {
    list.is_empty()
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Group and version, such as `batch/v1`.
    pub api_version: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// Name and labels.
    pub metadata: Metadata,
    /// What is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<Spec>,
    /// The files of a ConfigMap.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
}

/// Name and labels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Metadata {
    /// The name; a template has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What is wanted of an object, by kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Spec {
    /// A Job.
    Job(JobSpec),
    /// A PyTorchJob.
    PyTorch(PyTorchSpec),
    /// An MPIJob.
    Mpi(MpiSpec),
    /// A Service.
    Service(ServiceSpec),
    /// A Deployment.
    Deployment(DeploymentSpec),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobSpec {
    pub backoff_limit: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_deadline_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds_after_finished: Option<u32>,
    pub template: PodTemplate,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PyTorchSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elastic_policy: Option<ElasticPolicy>,
    pub nproc_per_node: String,
    pub run_policy: RunPolicy,
    pub pytorch_replica_specs: BTreeMap<&'static str, Replicas>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ElasticPolicy {
    pub rdzv_backend: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rdzv_host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rdzv_port: Option<u16>,
    pub min_replicas: u32,
    pub max_replicas: u32,
    pub max_restarts: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunPolicy {
    pub clean_pod_policy: &'static str,
    pub backoff_limit: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_deadline_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds_after_finished: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MpiSpec {
    pub slots_per_worker: u32,
    pub run_policy: RunPolicy,
    pub mpi_replica_specs: BTreeMap<&'static str, Replicas>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replicas {
    #[serde(rename = "replicas")]
    pub count: u32,
    pub restart_policy: &'static str,
    pub template: PodTemplate,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceSpec {
    pub selector: BTreeMap<String, String>,
    pub ports: Vec<ServicePort>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServicePort {
    pub name: &'static str,
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeploymentSpec {
    pub replicas: u32,
    pub selector: Selector,
    pub template: PodTemplate,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    pub match_labels: BTreeMap<String, String>,
}

/// A pod to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PodTemplate {
    /// Labels.
    pub metadata: Metadata,
    /// The pod.
    pub spec: PodSpec,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_deadline_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<&'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_empty")]
    pub tolerations: Vec<Toleration>,
    pub containers: Vec<Container>,
    #[serde(skip_serializing_if = "is_empty")]
    pub volumes: Vec<Volume>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Toleration {
    pub key: &'static str,
    pub operator: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    pub name: &'static str,
    pub image: String,
    #[serde(skip_serializing_if = "is_empty")]
    pub command: Vec<String>,
    #[serde(skip_serializing_if = "is_empty")]
    pub args: Vec<String>,
    #[serde(skip_serializing_if = "is_empty")]
    pub env: Vec<EnvVar>,
    #[serde(skip_serializing_if = "is_empty")]
    pub ports: Vec<ContainerPort>,
    #[serde(skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,
    #[serde(skip_serializing_if = "is_empty")]
    pub volume_mounts: Vec<Mount>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPort {
    pub name: &'static str,
    pub container_port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnvVar {
    pub name: String,
    pub value: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Resources {
    pub requests: BTreeMap<&'static str, String>,
    pub limits: BTreeMap<&'static str, String>,
}

impl Resources {
    fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.limits.is_empty()
    }
}

/// Where a volume is seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// The volume.
    pub name: &'static str,
    /// The path.
    pub mount_path: &'static str,
    /// Whether it cannot be written there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    pub name: &'static str,
    #[serde(flatten)]
    pub source: VolumeSource,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum VolumeSource {
    #[serde(rename_all = "camelCase")]
    EmptyDir {
        medium: &'static str,
        size_limit: String,
    },
    HostPath {
        path: &'static str,
        r#type: &'static str,
    },
    ConfigMap {
        name: String,
    },
}
