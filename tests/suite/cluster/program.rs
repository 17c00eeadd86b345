//! `smp-image smoke --on kubernetes` as a user starts it, against the fake API server.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::fake_api::{FakeApi, Piece, change, ended, pod, running};
use super::{kubeconfig, nothing_left};
use crate::program::{Ended, Place};

const RECIPE: &str = r#"name = "plain"
instances = ["ml.g5.8xlarge"]

[base]
image = "debian:trixie-slim"

[components]
python = "*"
libfabric = "*"
"#;

const IMAGE: &str = "registry.example/x:1";

fn place(api: &FakeApi) -> Place {
    let place = Place::new();
    place.write("plain.toml", RECIPE);
    place.write("config", &kubeconfig(&api.address, "{token: secret}"));
    let lock = ["lock", "plain.toml", "--mirror", "docker.io=127.0.0.1:1"];
    let _told = Ended::of(&mut place.program(&lock)).fine();
    place
}

fn program(place: &Place, more: &[&str]) -> Command {
    let smoke = ["smoke", IMAGE, "--recipe", "plain.toml", "--on", "kubernetes", "--kubeconfig", "config"];
    place.program(&[&smoke[..], &["--instances", "ml.g5.8xlarge"], more].concat())
}

/// Waits until the job is there, and returns its files and itself.
async fn made(api: &FakeApi) -> (Value, Value) {
    for _ in 0..400 {
        let found = api.with(|world| {
            let of = |kind: &str| world.objects.values().find(|object| object["kind"] == kind).cloned();
            of("ConfigMap").zip(of("Job"))
        });
        if let Some(found) = found {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no job was made");
}

/// Runs what the pod would run, here: the command of the job with the files of the config map.
fn in_a_pod(files: &Value, job: &Value) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files["data"].as_object().unwrap() {
        std::fs::write(folder.path().join(name), text.as_str().unwrap()).unwrap();
    }
    let container = &job["spec"]["template"]["spec"]["containers"][0];
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
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_run_in_a_pod_and_their_answers_are_the_report() {
    let api = FakeApi::start().await;
    let place = place(&api);
    let mut command = program(&place, &["--format", "json"]);
    let running_program = tokio::task::spawn_blocking(move || Ended::of(&mut command));
    api.with(|world| {
        world.pods = vec![pod("p", &json!({ "phase": "Pending" }))];
        world.watches = [vec![
            Piece::Pause(3000),
            change("MODIFIED", &pod("p", &running())),
            change("MODIFIED", &pod("p", &ended(0))),
            Piece::Pause(60_000),
        ]]
        .into();
    });
    let (files, job) = made(&api).await;
    let written = in_a_pod(&files, &job);
    let time = "2026-11-24T12:00:00.000000000Z ";
    let log = written.lines().flat_map(|line| [time, line, "\n"]).collect::<String>();
    // Two lines of one moment are two lines.
    api.with(|world| world.logs = [vec![Piece::Text(log)]].into());
    let ended = running_program.await.unwrap();
    let report: Value = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let probes = report["probes"].as_array().unwrap();
    assert!(probes.iter().any(|probe| probe["probe"] == "gpu-context"), "{report:#}");
    for probe in probes {
        let evidence = probe["answer"].to_string();
        assert!(!evidence.contains("before this probe answered"), "{probe:#}");
    }
    assert_eq!(report["image"]["id"], format!("sha256:{}", "a".repeat(64)), "the node's word, not the tag's");
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["nodeSelector"]["node.kubernetes.io/instance-type"], "ml.g5.8xlarge");
    assert!(ended.err.contains("p: waiting: waiting for a node"), "{}", ended.err);
    assert!(!ended.err.contains("smp-image-probe:"), "{}", ended.err);
    // There is no GPU here, and a pod that asked for one must have it.
    assert_eq!(ended.code, 6);
    nothing_left(&api);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_deletes_everything_on_the_cluster() {
    let api = FakeApi::start().await;
    api.with(|world| world.pods = vec![pod("p", &json!({ "phase": "Pending" }))]);
    let place = place(&api);
    let child = program(&place, &[])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _made = made(&api).await;
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    nothing_left(&api);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_probes_from_a_cluster_is_told_with_what_helps() {
    let api = FakeApi::start().await;
    let place = place(&api);
    let message = "configmaps is forbidden: User \"me\" cannot create resource \"configmaps\" in API group \"\" in the namespace \"team\"";
    let answer = super::fake_api::Answer::Json(403, json!({ "message": message }));
    api.with(|world| world.instead.push(("POST /api/v1/namespaces/team/configmaps".to_owned(), answer)));
    let mut command = program(&place, &[]);
    let ended = tokio::task::spawn_blocking(move || Ended::of(&mut command)).await.unwrap();
    let _told = ended
        .failed(7, &[message, "hint: see what is missing: kubectl auth can-i create configmaps -n team"]);
    let mut command = program(&place, &["--kube-context", "nowhere"]);
    let ended = tokio::task::spawn_blocking(move || Ended::of(&mut command)).await.unwrap();
    let _told = ended.failed(2, &["no context `nowhere`; it has: here"]);
    let none = ["smoke", IMAGE, "--recipe", "plain.toml", "--on", "kubernetes"];
    let mut command = place.program(&none);
    let ended = tokio::task::spawn_blocking(move || Ended::of(&mut command)).await.unwrap();
    let _told = ended.failed(2, &["--on kubernetes needs one type of instance"]);
    nothing_left(&api);
}
