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

#[test]
fn a_field_that_kubernetes_does_not_know_would_be_found() {
    let mut object = objects(&run(KEPT[3].1).fine()).remove(0);
    object["spec"]["template"]["spec"]["containers"][0]["comand"] = json!(["x"]);
    let refused = std::panic::catch_unwind(|| validate(&object)).unwrap_err();
    let said = refused.downcast_ref::<String>().unwrap();
    assert!(said.contains("comand"), "{said}");
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
