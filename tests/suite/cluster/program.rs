//! `smp-image smoke --on kubernetes` as a user starts it, against the fake API server.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::fake_api::{Answer, FakeApi, World, pod};
use super::{kubeconfig, nothing_left};
use crate::program::{Ended, Place};
use crate::{job, plain};

pub(super) const IMAGE: &str = "registry.example/x:1";

/// Returns a place with a locked recipe and the kubeconfig of the server.
pub(super) fn place(api: &FakeApi) -> Place {
    let place = plain::locked();
    place.write("config", &kubeconfig(&api.address, "{token: secret}"));
    place
}

fn program(place: &Place, more: &[&str]) -> Command {
    let smoke = ["smoke", IMAGE, "--recipe", "plain.toml", "--on", "kubernetes", "--kubeconfig", "config"];
    place.program(&[&smoke[..], &["--instances", "ml.g5.8xlarge"], more].concat())
}

/// Runs the program beside the server, to its end.
pub(super) async fn ended(mut command: Command) -> Ended {
    tokio::task::spawn_blocking(move || Ended::of(&mut command)).await.unwrap()
}

/// Interrupts the program as soon as `until` is so, and returns what it left.
pub(super) async fn interrupted(mut command: Command, api: &FakeApi, until: &str) -> Ended {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    asked(api, until).await;
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await.unwrap().unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Waits until the server was asked something that begins so.
async fn asked(api: &FakeApi, start: &str) {
    for _ in 0..400 {
        if api.with(|world| world.asked.iter().any(|asked| asked.starts_with(start))) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never asked: {start}");
}

/// Runs what a pod would run, here: the command of its container with the files of the config map.
pub(super) fn in_a_pod(files: &Value, container: &Value) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files["data"].as_object().unwrap() {
        std::fs::write(folder.path().join(name), text.as_str().unwrap()).unwrap();
    }
    let mount =
        container["volumeMounts"].as_array().unwrap().iter().find(|mount| mount["name"] == "files").unwrap();
    let here = folder.path().display().to_string();
    let words: Vec<String> = container["command"]
        .as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap().replace(mount["mountPath"].as_str().unwrap(), &here))
        .collect();
    let output = Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

/// Lets every pod run what its first container is told to, here.
fn runs_what_pods_run(world: &mut World) {
    let run =
        |job: &Value, files: &Value, _| in_a_pod(files, &job["spec"]["template"]["spec"]["containers"][0]);
    world.life = Some(Box::new(run));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tier_of_one_node_is_a_job_that_asks_for_what_it_needs_and_its_answers_are_the_report() {
    let api = FakeApi::start().await;
    let place = place(&api);
    api.with(runs_what_pods_run);
    let ended = ended(program(&place, &["--format", "json"])).await;
    let report: Value = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let probes = report["probes"].as_array().unwrap();
    assert!(probes.iter().any(|probe| probe["probe"] == "gpu-context"), "{report:#}");
    for probe in probes {
        let evidence = probe["answer"].to_string();
        assert!(!evidence.contains("before this probe answered"), "{probe:#}");
    }
    assert_eq!(report["image"]["id"], format!("sha256:{}", "a".repeat(64)), "the node's word, not the tag's");
    let gpus: Vec<Value> = api.with(|world| {
        let pod = |job: &Value| job["spec"]["template"]["spec"].clone();
        for (job, files) in &world.made {
            for object in [job, files] {
                job::validate(object);
            }
            assert_eq!(job["kind"], "Job");
            assert_eq!(pod(job)["nodeSelector"]["node.kubernetes.io/instance-type"], "ml.g5.8xlarge");
            assert_eq!(pod(job)["activeDeadlineSeconds"], job["spec"]["activeDeadlineSeconds"]);
            assert_eq!(job["spec"]["ttlSecondsAfterFinished"], 600);
        }
        let asks = |job: &Value| pod(job)["containers"][0]["resources"]["limits"]["nvidia.com/gpu"].clone();
        world.made.iter().map(|(job, _)| asks(job)).collect()
    });
    // A g5.8xlarge has one GPU: what wants several says so in the second job.
    assert_eq!(gpus, [Value::Null, "1".into()]);
    assert!(ended.err.contains("pod-0: waiting: waiting for a node"), "{}", ended.err);
    assert!(!ended.err.contains("smp-image-probe:"), "{}", ended.err);
    // There is no GPU here, and a pod that asked for one must have it.
    assert_eq!(ended.code, 6);
    nothing_left(&api);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_seen_before_the_cluster_failed_is_reported_and_the_rest_is_skipped() {
    let api = FakeApi::start().await;
    let place = place(&api);
    api.with(|world| {
        runs_what_pods_run(world);
        // The first job's log is read well, the second job's pods cannot be listed.
        let forbidden = Answer::Json(403, json!({ "message": "no" }));
        world.instead_later = Some((2, "GET /api/v1/namespaces/team/pods".to_owned(), forbidden));
    });
    let ended = ended(program(&place, &["--format", "json"])).await;
    let report: Value = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let probes = report["probes"].as_array().unwrap();
    let tier_1 = probes.iter().find(|probe| probe["probe"] == "fabric-provider").unwrap();
    assert_ne!(tier_1["answer"]["reason"], "the cluster did not run it");
    let tier_2 = probes.iter().find(|probe| probe["probe"] == "gpu-context").unwrap();
    assert_eq!(tier_2["answer"]["reason"], "the cluster did not run it");
    let _told = ended.failed(7, &["kubectl auth can-i list pods -n team"]);
    nothing_left(&api);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_deletes_everything_on_the_cluster() {
    let api = FakeApi::start().await;
    api.with(|world| world.pods = vec![pod("p", &json!({ "phase": "Pending" }))]);
    let place = place(&api);
    let left = interrupted(program(&place, &[]), &api, "POST /apis/batch/v1").await;
    assert_eq!(left.code, 130, "{}", left.err);
    nothing_left(&api);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_probes_from_a_cluster_is_told_with_what_helps() {
    let api = FakeApi::start().await;
    let place = place(&api);
    let message = "configmaps is forbidden: User \"me\" cannot create resource \"configmaps\" in API group \"\" in the namespace \"team\"";
    let answer = Answer::Json(403, json!({ "message": message }));
    api.with(|world| world.instead.push(("POST /api/v1/namespaces/team/configmaps".to_owned(), answer)));
    let _told = ended(program(&place, &[]))
        .await
        .failed(7, &[message, "hint: see what is missing: kubectl auth can-i create configmaps -n team"]);
    let nowhere = program(&place, &["--kube-context", "nowhere"]);
    let _told = ended(nowhere).await.failed(2, &["no context `nowhere`; it has: here"]);
    let none = ["smoke", IMAGE, "--recipe", "plain.toml", "--on", "kubernetes"];
    let _told = ended(place.program(&none)).await.failed(2, &["--on kubernetes needs one type of instance"]);
    nothing_left(&api);
}
