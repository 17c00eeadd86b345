//! Manifests are what Kubernetes and Kubeflow take, and what people read before they apply them.

use std::path::{Path, PathBuf};

use boon::{Compiler, Schemas};
use serde_json::{Value, json};

use crate::golden;
use crate::program::{Ended, Place};

const IMAGE: &str = "123456789012.dkr.ecr.us-west-2.amazonaws.com/smpv2@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn schema_file(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder("schemas").join(name)).unwrap()).unwrap()
}

/// Validates an object against the published schema of its kind.
pub(crate) fn validate(object: &Value) {
    let mut definitions = schema_file("kubernetes-1.37.json")["definitions"].as_object().unwrap().clone();
    for file in ["kubeflow-training-1.9.4.json", "mpijob-v2beta1.json"] {
        definitions.extend(schema_file(file)["definitions"].as_object().unwrap().clone());
    }
    let kind = object["kind"].as_str().unwrap();
    let definition = match (object["apiVersion"].as_str().unwrap(), kind) {
        ("kubeflow.org/v1", "PyTorchJob") => "KubeflowOrgV1PyTorchJob",
        ("kubeflow.org/v2beta1", "MPIJob") => "MPIJob",
        ("batch/v1", "Job") => "io.k8s.api.batch.v1.Job",
        ("apps/v1", "Deployment") => "io.k8s.api.apps.v1.Deployment",
        ("v1", "Service") => "io.k8s.api.core.v1.Service",
        ("v1", "ConfigMap") => "io.k8s.api.core.v1.ConfigMap",
        other => panic!("{other:?} has no schema here"),
    };
    let schema = json!({ "$ref": format!("#/definitions/{definition}"), "definitions": definitions });
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("file:///schema.json", schema).unwrap();
    let index = compiler.compile("file:///schema.json", &mut schemas).unwrap();
    schemas.validate(object, index).unwrap_or_else(|error| panic!("{kind}: {error:#}\n{object:#}"));
}

fn run(arguments: &[&str]) -> Ended {
    let place = Place::new();
    Ended::of(&mut place.program(&[&["job", "--image", IMAGE], arguments].concat()))
}

fn objects(yaml: &str) -> Vec<Value> {
    yaml.split("---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

/// Jobs whose manifests are kept, by name.
const KEPT: &[(&str, &[&str])] = &[
    ("pytorchjob-p5", &["--instances", "ml.p5.48xlarge", "--nodes", "8", "--", "torchrun", "train.py"]),
    (
        "pytorchjob-g5-etcd",
        &[
            "--instances",
            "ml.g5.8xlarge",
            "--nodes",
            "8",
            "--rendezvous",
            "etcd",
            "--",
            "torchrun",
            "train.py",
            "--fp8",
            "0",
        ],
    ),
    (
        "mpijob-p5",
        &[
            "--kind",
            "mpijob",
            "--instances",
            "ml.p5.48xlarge",
            "--nodes",
            "2",
            "--name",
            "nccl-tests",
            "--",
            "all_reduce_perf",
            "-b",
            "8",
            "-e",
            "16G",
        ],
    ),
    (
        "job-g5",
        &[
            "--kind",
            "job",
            "--instances",
            "ml.g5.2xlarge",
            "--namespace",
            "team",
            "--no-host-path",
            "--",
            "python3",
            "train.py",
        ],
    ),
];

#[test]
fn golden_manifests_are_valid() {
    for (name, arguments) in KEPT {
        let yaml = run(arguments).fine();
        for object in objects(&yaml) {
            validate(&object);
        }
        golden::equals(&folder("golden/jobs").join(format!("{name}.yaml")), &yaml);
    }
}

#[test]
fn the_manifests_of_every_instance_and_kind_are_valid() {
    let catalog = smp_image::catalog::Catalog::embedded().unwrap();
    for instance in catalog.instances.keys() {
        for kind in ["pytorchjob", "mpijob"] {
            let yaml = run(&["--kind", kind, "--instances", instance, "--nodes", "2", "--", "x"]).fine();
            for object in objects(&yaml) {
                validate(&object);
            }
        }
    }
}

/// What is wrong with manifests by hand: of which kept job, where, what is written there, and what must be said of it.
const SEEDED: &[(usize, &str, &str, &str)] = &[
    (3, "/spec/template/spec/containers/0", r#"{ "comand": ["x"] }"#, "comand"),
    (3, "/spec", r#"{ "backoffLimit": "0" }"#, "backoffLimit"),
    (3, "/spec/template/spec", r#"{ "tolerations": [{ "key": "a", "operator": 1 }] }"#, "operator"),
    (0, "/spec", r#"{ "nprocPerNode": 8 }"#, "nprocPerNode"),
    (0, "/spec/runPolicy", r#"{ "cleanPods": "None" }"#, "cleanPods"),
    (0, "/spec/elasticPolicy", r#"{ "minReplicas": "8" }"#, "minReplicas"),
    (0, "/spec/pytorchReplicaSpecs/Worker", r#"{ "replica": 2 }"#, "replica"),
    (0, "/spec/pytorchReplicaSpecs/Worker/template/spec/containers/0", r#"{ "resource": {} }"#, "resource"),
    (2, "/spec", r#"{ "slotsPerWorker": "8" }"#, "slotsPerWorker"),
    (2, "/spec", r#"{ "mainContainer": "mpi" }"#, "mainContainer"),
    (2, "/spec/runPolicy", r#"{ "cleanPodPolicy": "Never" }"#, "cleanPodPolicy"),
    (2, "/spec/mpiReplicaSpecs", r#"{ "Workers": {} }"#, "Workers"),
    (2, "/spec/mpiReplicaSpecs/Worker/template/spec", r#"{ "nodeSelectors": {} }"#, "nodeSelectors"),
];

#[test]
fn what_no_cluster_would_take_is_found_in_every_kind_of_job() {
    for (kept, place, seed, named) in SEEDED {
        let mut object = objects(&run(KEPT[*kept].1).fine()).pop().unwrap();
        validate(&object);
        let seed: Value = serde_json::from_str(seed).unwrap();
        let there = object.pointer_mut(place).unwrap().as_object_mut().unwrap();
        there.extend(seed.as_object().unwrap().clone());
        let refused = std::panic::catch_unwind(|| validate(&object));
        let said = refused.expect_err(named).downcast_ref::<String>().unwrap().clone();
        // Behind the reasons stands the object, in which it is in any case.
        let reasons = said.split("\n{").next().unwrap();
        assert!(reasons.contains(named), "{said}");
    }
}

#[test]
fn an_image_by_tag_is_taken_with_a_warning_on_standard_error() {
    let place = Place::new();
    let ended = Ended::of(&mut place.program(&[
        "job",
        "--image",
        "smpv2:latest",
        "--instances",
        "ml.p5.48xlarge",
        "-o",
        "job.yaml",
    ]));
    assert!(
        ended.err.contains("warning: image docker.io/library/smpv2:latest is named by a tag"),
        "{}",
        ended.err
    );
    assert_eq!(ended.fine(), "");
    validate(&objects(&place.read("job.yaml"))[0]);
}

#[test]
fn what_makes_no_job_is_told() {
    let p5 = ["--instances", "ml.p5.48xlarge"];
    let with = |more: &[&str]| run(&[&p5, more].concat());
    let _told = run(&["--instances", "ml.p6.48xlarge"])
        .failed(2, &["`ml.p6.48xlarge` is not an instance type", "hint: "]);
    let _told = run(&["--instances", "p5.48xlarge"]).failed(2, &["did you mean ml.p5.48xlarge?"]);
    let _told =
        run(&["--instances", "ml.p4d.24xlarge,ml.p5.48xlarge"]).failed(2, &["one type of instance", "p4d"]);
    let _told = with(&["--nodes", "0"]).failed(2, &["--nodes: a job needs at least one node"]);
    let _told = with(&["--kind", "mpijob"]).failed(2, &["needs a command", "all_reduce_perf"]);
    let _told = with(&["--kind", "job", "--nodes", "2"]).failed(2, &["runs on one node"]);
    let _told = with(&["--name", "Train"]).failed(2, &["--name: `Train` is not a name"]);
    let _told = with(&["--env", "A"]).failed(2, &["NAME=VALUE"]);
    let _told = with(&["--env", "A=\u{1b}[31m"]).failed(2, &["control characters"]);
    let place = Place::new();
    let bad = ["job", "--instances", "ml.p5.48xlarge", "--image", "a b"];
    let _told = Ended::of(&mut place.program(&bad)).failed(2, &["`a b` is not an image reference"]);
    let nowhere = ["job", "--instances", "ml.p5.48xlarge", "--image", IMAGE, "-o", "nowhere/job.yaml"];
    let _told = Ended::of(&mut place.program(&nowhere)).failed(9, &["cannot write"]);
}
