//! What a job holds on each instance, and what is refused.

use super::*;
use crate::catalog::Catalog;

fn order<'a>(catalog: &'a Catalog, instance: &str, nodes: u32, kind: Kind) -> Order<'a> {
    Order {
        kind,
        instance: &catalog.instances[instance],
        nodes,
        devices: Devices::All,
        image:
            "registry.example/smpv2@sha256:2b1a1d3c1e9d6d3f0b3c2c7c8c3c5c5e7d6c9a3f4b5c6d7e8f9a0b1c2d3e4f50"
                .parse()
                .unwrap(),
        name: "train".parse().unwrap(),
        namespace: None,
        rendezvous: Rendezvous::C10d,
        env: Vec::new(),
        command: vec!["torchrun".to_owned(), "train.py".to_owned()],
        host_path: true,
        files: None,
        deadline: None,
    }
}

fn worker(job: &Job) -> serde_json::Value {
    let json = serde_json::to_value(job.objects.last().unwrap()).unwrap();
    json["spec"]["pytorchReplicaSpecs"]["Worker"]["template"]["spec"].clone()
}

#[test]
fn a_p5_node_gives_its_pod_all_that_it_has() {
    let catalog = Catalog::embedded().unwrap();
    let job = job(&order(&catalog, "ml.p5.48xlarge", 8, Kind::PyTorch)).unwrap();
    let pod = worker(&job);
    assert_eq!(pod["nodeSelector"]["node.kubernetes.io/instance-type"], "ml.p5.48xlarge");
    let limits = &pod["containers"][0]["resources"]["limits"];
    assert_eq!(limits["nvidia.com/gpu"], "8");
    assert_eq!(limits["vpc.amazonaws.com/efa"], "32");
    assert_eq!(limits["hugepages-2Mi"], "5120Mi");
    assert_eq!(limits.get("memory"), None, "training takes what the node has");
    let shm = &pod["volumes"][0];
    assert_eq!((&shm["name"], &shm["emptyDir"]["medium"]), (&"shm".into(), &"Memory".into()));
}

#[test]
fn a_pod_gets_no_more_of_its_node_than_its_probes_need() {
    let catalog = Catalog::embedded().unwrap();
    let pod = |devices| {
        let order = Order { devices, ..order(&catalog, "ml.p5.48xlarge", 1, Kind::Plain) };
        let json = serde_json::to_value(&job(&order).unwrap().objects[0]).unwrap();
        json["spec"]["template"]["spec"].clone()
    };
    let asks = |devices| pod(devices)["containers"][0]["resources"].clone();
    assert_eq!(asks(Devices::None), serde_json::json!({ "limits": {}, "requests": { "memory": "4000Mi" } }));
    let one = asks(Devices::OneGpu);
    assert_eq!(one["limits"], serde_json::json!({ "nvidia.com/gpu": "1" }));
    assert_eq!(one["requests"]["memory"], "4000Mi");
    // A node that keeps away what asks for no GPU lets this one in.
    assert_eq!(pod(Devices::None)["tolerations"][0]["key"], "nvidia.com/gpu");
    assert_eq!(pod(Devices::All).get("tolerations"), None);
}

#[test]
fn a_test_ends_by_itself_in_every_kind_of_job_and_a_training_job_does_not() {
    let catalog = Catalog::embedded().unwrap();
    for (kind, nodes) in [(Kind::Plain, 1), (Kind::PyTorch, 2), (Kind::Mpi, 2)] {
        let yaml = |deadline| {
            let wanted = order(&catalog, "ml.p5.48xlarge", nodes, kind);
            let order = Order { deadline, rendezvous: Rendezvous::Master, ..wanted };
            job(&order).unwrap().yaml().unwrap()
        };
        let (test, training) = (yaml(Some(1300)), yaml(None));
        let pods = if kind == Kind::Plain { 1 } else { 2 };
        // The job's own, and each pod's: an operator that leaves pods alone leaves them to their nodes.
        assert_eq!(test.matches("activeDeadlineSeconds: 1300").count(), pods + 1, "{test}");
        assert!(test.contains("ttlSecondsAfterFinished: 600"), "{test}");
        assert!(!training.contains("Deadline") && !training.contains("ttl"), "{training}");
    }
}

#[test]
fn no_job_sets_a_variable_of_libfabric_by_itself() {
    let catalog = Catalog::embedded().unwrap();
    for name in catalog.instances.keys() {
        for kind in [Kind::PyTorch, Kind::Mpi] {
            let yaml = job(&order(&catalog, name, 2, kind)).unwrap().yaml().unwrap();
            for word in ["FI_", "RDMAV_", "NCCL_PROTO", "NCCL_ALGO"] {
                assert!(!yaml.contains(word), "{name}: {word}");
            }
            assert!(yaml.contains("^docker,lo,veth"), "{name}");
        }
    }
}

#[test]
fn a_small_g5_asks_for_no_efa_and_says_what_that_means_for_several_nodes() {
    let catalog = Catalog::embedded().unwrap();
    let job = job(&order(&catalog, "ml.g5.2xlarge", 4, Kind::PyTorch)).unwrap();
    let resources = worker(&job)["containers"][0]["resources"].to_string();
    assert!(!resources.contains("efa") && !resources.contains("hugepages"), "{resources}");
    assert_eq!(job.notes, ["ml.g5.2xlarge has no EFA: 4 nodes talk over TCP at 5 Gbit/s at most"]);
}

#[test]
fn gpus_without_nvlink_share_through_host_memory() {
    let catalog = Catalog::embedded().unwrap();
    let set = |name| {
        job(&order(&catalog, name, 1, Kind::PyTorch))
            .unwrap()
            .yaml()
            .unwrap()
            .contains("NCCL_SHM_USE_CUDA_MEMCPY")
    };
    assert_eq!(["ml.g5.12xlarge", "ml.g5.8xlarge", "ml.p5.48xlarge"].map(set), [true, false, false]);
}

#[test]
fn the_same_order_gives_the_same_bytes() {
    let catalog = Catalog::embedded().unwrap();
    let yaml = || job(&order(&catalog, "ml.p4d.24xlarge", 2, Kind::PyTorch)).unwrap().yaml().unwrap();
    assert_eq!(yaml(), yaml());
}

#[test]
fn what_cannot_be_a_job_is_refused() {
    let catalog = Catalog::embedded().unwrap();
    let refused = |nodes, kind, command: &[&str]| {
        let command = command.iter().map(|&word| word.to_owned()).collect();
        job(&Order { command, ..order(&catalog, "ml.p5.48xlarge", nodes, kind) }).unwrap_err()
    };
    assert_eq!(refused(0, Kind::PyTorch, &[]), JobError::NoNodes);
    assert_eq!(refused(u32::MAX, Kind::PyTorch, &[]), JobError::TooManyNodes(u32::MAX));
    assert_eq!(refused(2, Kind::Plain, &["x"]), JobError::PlainOverNodes);
    assert_eq!(refused(2, Kind::Mpi, &[]), JobError::NothingToLaunch);
}

#[test]
fn names_that_no_object_may_have_are_refused() {
    for name in ["", "Train", "-train", "train-", "1train", "a_b", "a.b", "ü", &"a".repeat(51), "a\nb"] {
        assert!(name.parse::<ObjectName>().is_err(), "{name:?}");
    }
    for name in ["", "1A", "A-B", "A=B", "A B"] {
        assert!(name.parse::<EnvName>().is_err(), "{name:?}");
    }
}

#[test]
fn values_that_yaml_could_misread_come_back_as_they_were() {
    let catalog = Catalog::embedded().unwrap();
    let values = [
        "yes",
        "0x10",
        "1e3",
        "null",
        "~",
        "- a",
        "a: b",
        "#x",
        "\"",
        "'",
        "line\nbreak",
        " padded ",
        "",
        "{{x}}",
        "&a",
        "*a",
        "!!x",
    ];
    let env =
        values.iter().enumerate().map(|(at, value)| (format!("V{at}").parse().unwrap(), (*value).to_owned()));
    let order = Order { env: env.collect(), ..order(&catalog, "ml.p5.48xlarge", 1, Kind::Plain) };
    let yaml = job(&order).unwrap().yaml().unwrap();
    let read: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
    let written = &read["spec"]["template"]["spec"]["containers"][0]["env"];
    for (at, value) in values.iter().enumerate() {
        let found = written.as_array().unwrap().iter().find(|env| env["name"] == format!("V{at}")).unwrap();
        assert_eq!(found["value"], *value, "{yaml}");
    }
}

#[test]
fn variables_that_harm_are_told() {
    let catalog = Catalog::embedded().unwrap();
    let with = |instance, name: &str| {
        let env = vec![(name.parse().unwrap(), "1".to_owned())];
        job(&Order { env, ..order(&catalog, instance, 1, Kind::PyTorch) }).unwrap().notes
    };
    assert!(with("ml.g5.8xlarge", "FI_EFA_USE_DEVICE_RDMA")[0].contains("aborts the process"));
    assert!(with("ml.p5.48xlarge", "FI_PROVIDER")[0].contains("not needed"));
    assert_eq!(with("ml.p5.48xlarge", "MY_FLAG"), Vec::<String>::new());
}
