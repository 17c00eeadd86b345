//! `smp-image smoke --on kubernetes` over several nodes: the kind of job that the cluster has, NCCL's log judged, everything deleted.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::fake_api::{Answer, FakeApi, Piece, change, pod, running_in};
use super::nothing_left;
use super::program::{IMAGE, ended, in_a_pod, interrupted, place};
use crate::job;
use crate::program::{Ended, Place};

const PYTORCHJOBS: &str = "/apis/kubeflow.org/v1/namespaces/team/pytorchjobs";
const MPIJOBS: &str = "/apis/kubeflow.org/v2beta1/namespaces/team/mpijobs";
/// What the real probe's answer begins with.
const MARK: &str = "\u{1e}smp-image-probe:";

fn program(place: &Place, instance: &str, more: &[&str]) -> Command {
    let smoke = ["smoke", IMAGE, "--on", "kubernetes", "--kubeconfig", "config", "--instances", instance];
    place.program(&[&smoke[..], &["--tier", "4"], more].concat())
}

/// A cluster that has `kinds`, where both pods pass and write what NCCL wrote on one of two hosts.
fn two_nodes(api: &FakeApi, kinds: &[(&'static str, &'static str)], log: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/grade").join(log);
    let text = std::fs::read_to_string(file).unwrap();
    let say = move |_: &Value, _: &Value, node: usize| {
        let rank = format!(" [{node}] ");
        let host = format!("pod-{node}:");
        let ours =
            text.lines().filter(|line| line.contains(&rank)).map(|line| line.replacen("vm:", &host, 1));
        let lines: Vec<String> = ours.collect();
        let quoted = "pod-9:1:1 [9] NCCL WARN quoted, not said";
        let answer = json!({ "status": "passed", "evidence": format!("2 nodes; {quoted}"), "warnings": [] });
        format!("{}\n{MARK}{}\n", lines.join("\n"), json!({ "id": 0, "took": 1.5, "answer": answer }))
    };
    api.with(|world| {
        world.kinds = kinds.iter().copied().collect();
        world.life = Some(Box::new(say));
    });
}

fn report(ended: &Ended) -> Value {
    let report = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/report.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(schema).unwrap()).unwrap();
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource("file:///report.json", schema).unwrap();
    let index = compiler.compile("file:///report.json", &mut schemas).unwrap();
    schemas.validate(&report, index).unwrap_or_else(|error| panic!("{error:#}"));
    report
}

fn made(api: &FakeApi) -> Vec<(Value, Value)> {
    let made = api.with(|world| world.made.clone());
    for (job, files) in &made {
        for object in [job, files] {
            job::validate(object);
        }
    }
    made
}

const PYTORCH: (&str, &str) = ("kubeflow.org/v1", "PyTorchJob");
const MPI: (&str, &str) = ("kubeflow.org/v2beta1", "MPIJob");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_is_probed_by_a_pytorchjob_and_nccls_log_of_all_pods_is_judged_in_the_same_report() {
    let api = FakeApi::start().await;
    two_nodes(&api, &[PYTORCH, MPI], "real-2.28.9-sockets-without-efa.log");
    let place = place(&api);
    let ended = ended(program(&place, "ml.g5.4xlarge", &["--format", "json"])).await;
    let report = report(&ended);
    assert_eq!(report["probes"].as_array().unwrap().len(), 1, "only tier 4 was asked for");
    assert_eq!(report["grade"]["verdict"], "passed", "{report:#}");
    assert_eq!(report["grade"]["read"]["logs"], json!(["pod-0", "pod-1"]));
    assert!(!report["grade"].to_string().contains("quoted"), "a report of a probe is no line of NCCL");
    assert_eq!(report["grade"]["expected"]["instances"], json!(["ml.g5.4xlarge"]));
    let made = made(&api);
    let (job, files) = &made[0];
    assert_eq!((made.len(), &job["kind"]), (1, &"PyTorchJob".into()));
    let specs = &job["spec"]["pytorchReplicaSpecs"];
    assert_eq!([&specs["Master"]["replicas"], &specs["Worker"]["replicas"]], [1, 1]);
    let order: Value = serde_json::from_str(files["data"]["order.json"].as_str().unwrap()).unwrap();
    assert_eq!(order["probes"][0]["limit"], 1200.0, "300 s, and 900 s for a node that comes up later");
    assert!(!ended.err.contains("NCCL INFO"), "thousands of lines would bury the others: {}", ended.err);
    assert_eq!(ended.code, 0, "{ended:?}");
    nothing_left(&api);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_shows_sockets_where_there_is_efa_fails_although_the_probe_passed() {
    let api = FakeApi::start().await;
    two_nodes(&api, &[PYTORCH], "real-2.28.3-two-hosts.log");
    let place = place(&api);
    let json = ended(program(&place, "ml.p4d.24xlarge", &["--format", "json"])).await;
    let report = report(&json);
    assert_eq!(report["grade"]["verdict"], "failed", "{report:#}");
    let _told = json.failed(6, &["the log shows that the job did not run as it should"]);
    let (job, _) = &made(&api)[0];
    let limits = &job["spec"]["pytorchReplicaSpecs"]["Worker"]["template"]["spec"]["containers"][0]["resources"]
        ["limits"];
    assert_eq!(
        limits,
        &json!({ "nvidia.com/gpu": "8", "vpc.amazonaws.com/efa": "4", "hugepages-2Mi": "5120Mi" })
    );
    let text = ended(program(&place, "ml.p4d.24xlarge", &[])).await;
    assert!(text.out.contains("failed   network    fell back to sockets"), "{}", text.out);
    // The image has no verdict yet: only `release` gives one.
    assert!(text.out.ends_with("Log says   failed\n"), "{}", text.out);
    let junit = ended(program(&place, "ml.p4d.24xlarge", &["--format", "junit"])).await;
    assert!(
        junit.out.contains(r#"<testsuite name="smoke" tests="1""#)
            && junit.out.contains(r#"<testsuite name="grade" tests="6" skipped="0" errors="0" failures="3""#),
        "{}",
        junit.out
    );
    nothing_left(&api);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_only_mpijobs_are_known_their_workers_run_the_probe_and_number_themselves() {
    let api = FakeApi::start().await;
    two_nodes(&api, &[MPI], "real-2.28.9-sockets-without-efa.log");
    let place = place(&api);
    let told = ended(program(&place, "ml.g5.4xlarge", &["--nodes", "2"])).await;
    assert_eq!(told.code, 0, "{told:?}");
    let (job, files) = made(&api).remove(0);
    let specs = &job["spec"]["mpiReplicaSpecs"];
    assert_eq!(specs["Worker"]["replicas"], 2);
    assert_eq!(specs["Launcher"]["template"]["spec"]["containers"][0]["command"][0], "sleep");
    let watched = api.with(|world| world.queries.iter().any(|query| query.contains("component%3Dworker")));
    assert!(watched, "nobody waits for the launcher");
    // On this machine without a GPU the same command says so, having numbered itself by this machine's name.
    let mut worker = specs["Worker"]["template"]["spec"]["containers"][0].clone();
    let start = worker["command"][2].as_str().unwrap();
    let named = "import socket; socket.getfqdn = lambda: 'x-worker-1.x.team.svc';";
    let shown = "import os; print(os.environ['NODE_RANK'], os.environ['MASTER_ADDR']);";
    let at = start.find("os.dup2").unwrap();
    worker["command"][2] = format!("{named} {}{shown} {}", &start[..at], &start[at..]).into();
    let said = in_a_pod(&files, &worker);
    assert!(said.starts_with("1 x-worker-0.x.team.svc\n"), "{said}");
    nothing_left(&api);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_without_a_kind_for_several_nodes_is_told_before_anything_is_made() {
    let api = FakeApi::start().await;
    let place = place(&api);
    let all =
        ["smoke", IMAGE, "--on", "kubernetes", "--kubeconfig", "config", "--instances", "ml.p5.48xlarge"];
    let _told = ended(place.program(&[&all[..], &["--nodes", "2"]].concat())).await.failed(
        9,
        &[
            "neither PyTorchJob (kubeflow.org/v1) nor MPIJob (kubeflow.org/v2beta1)",
            "hint: install Kubeflow's",
        ],
    );
    assert!(made(&api).is_empty());
    // The MPI operator's older versions and the training operator serve other MPIJobs.
    api.with(|world| world.kinds = [("kubeflow.org/v1", "MPIJob")].into());
    let _told = ended(program(&place, "ml.p5.48xlarge", &[])).await.failed(9, &["neither PyTorchJob"]);
    // A kind that was named is not asked for.
    let named = ["--kind", "mpijob", "--start-limit", "1"];
    let _told = ended(program(&place, "ml.p5.48xlarge", &named)).await.failed(9, &["did not start"]);
    assert_eq!(made(&api).last().unwrap().0["kind"], "MPIJob");
    let one = ["--nodes", "1"];
    let _told = ended(program(&place, "ml.p5.48xlarge", &one)).await.failed(2, &["hint: --nodes 2"]);
    let tier_1 = ["--tier", "1", "--nodes", "2"];
    let _told =
        ended(place.program(&[&all[..], &tier_1].concat())).await.failed(2, &["no probe of the network"]);
    nothing_left(&api);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_not_look_or_make_is_told_which_permission_is_missing() {
    let api = FakeApi::start().await;
    let place = place(&api);
    let no = || Answer::Json(403, json!({ "message": "me may not" }));
    api.with(|world| world.instead.push(("GET /apis/kubeflow.org/v1".to_owned(), no())));
    let _told = ended(program(&place, "ml.p5.48xlarge", &[]))
        .await
        .failed(7, &["me may not", "kubectl auth can-i get /apis/kubeflow.org/v1"]);
    api.with(|world| {
        world.kinds = [PYTORCH].into();
        world.instead.push((format!("POST {PYTORCHJOBS}"), no()));
    });
    let _told = ended(program(&place, "ml.p5.48xlarge", &[]))
        .await
        .failed(7, &["kubectl auth can-i create pytorchjobs.kubeflow.org -n team"]);
    nothing_left(&api);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_pods_that_no_node_takes_is_named_and_both_are_deleted() {
    let api = FakeApi::start().await;
    two_nodes(&api, &[MPI], "real-2.28.9-sockets-without-efa.log");
    let place = place(&api);
    let full = json!({ "phase": "Pending", "conditions": [{ "type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": "0/2 nodes are available: 1 Insufficient vpc.amazonaws.com/efa." }] });
    api.with(|world| {
        world.logs = [vec![Piece::Pause(60_000)]].into();
        world.watches = [vec![
            change("MODIFIED", &pod("pod-0", &running_in("worker"))),
            change("MODIFIED", &pod("pod-1", &full)),
            Piece::Pause(60_000),
        ]]
        .into();
    });
    let _told = ended(program(&place, "ml.p5.48xlarge", &["--start-limit", "1"])).await.failed(
        9,
        &["pod pod-1 did not start within 1 s: Unschedulable: 0/2 nodes are available: 1 Insufficient vpc"],
    );
    nothing_left(&api);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_lost_over_several_nodes_change_nothing_of_the_report() {
    let api = FakeApi::start().await;
    two_nodes(&api, &[PYTORCH], "real-2.28.9-sockets-without-efa.log");
    let place = place(&api);
    api.with(|world| {
        world.watches =
            [vec![change("MODIFIED", &pod("pod-0", &running_in("pytorch"))), Piece::Break]].into();
        world.logs =
            [vec![Piece::Text("2026-11-24T11:59:59.000000000Z half a li".to_owned()), Piece::Break]].into();
        // The answer to the deed is lost: the job is there, and ours.
        world.instead.push((format!("POST {PYTORCHJOBS}"), Answer::Pieces(vec![Piece::Break])));
    });
    let ended = ended(program(&place, "ml.g5.4xlarge", &["--format", "json"])).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(report(&ended)["grade"]["verdict"], "passed");
    nothing_left(&api);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_somebody_else_under_the_same_name_stays() {
    let api = FakeApi::start().await;
    api.with(|world| {
        world.kinds = [MPI].into();
        world
            .instead
            .push((format!("POST {MPIJOBS}"), Answer::Json(409, json!({ "message": "already exists" }))));
        let theirs = json!({ "metadata": { "labels": { "app.kubernetes.io/name": "theirs" } } });
        world.instead.push((format!("GET {MPIJOBS}/*"), Answer::Json(200, theirs)));
    });
    let place = place(&api);
    let _told = ended(program(&place, "ml.p5.48xlarge", &[])).await.failed(9, &["was not made by this run"]);
    let deleted =
        api.with(|world| world.asked.iter().any(|asked| asked.starts_with(&format!("DELETE {MPIJOBS}"))));
    assert!(!deleted);
    nothing_left(&api);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_deletes_a_job_of_several_nodes_while_it_starts_while_it_runs_and_while_it_is_deleted() {
    let slow = || Answer::Pieces(vec![Piece::Pause(60_000)]);
    let logs = "GET /api/v1/namespaces/team/pods/pod-0/log";
    for (kind, path) in [(PYTORCH, PYTORCHJOBS), (MPI, MPIJOBS)] {
        for until in [format!("POST {path}"), logs.to_owned(), format!("DELETE {path}")] {
            let api = FakeApi::start().await;
            two_nodes(&api, &[kind], "real-2.28.9-sockets-without-efa.log");
            api.with(|world| {
                if until.starts_with("POST") {
                    world.watches = [vec![Piece::Pause(60_000)]].into();
                } else if until == logs {
                    world.logs = [vec![Piece::Pause(60_000)], vec![Piece::Pause(60_000)]].into();
                } else {
                    world.instead.push((format!("DELETE {path}*"), slow()));
                }
            });
            let place = place(&api);
            let left = interrupted(program(&place, "ml.g5.4xlarge", &[]), &api, &until).await;
            assert_eq!(left.code, 130, "{until}: {left:?}");
            nothing_left(&api);
        }
    }
}
