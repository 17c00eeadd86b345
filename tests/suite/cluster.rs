//! A cluster over real HTTP: what is made, watched, read and deleted, and what is told where it goes wrong.

mod fake_api;
mod kubeconfig;
mod nodes;
mod program;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use smp_image::cluster::{Access, Cluster, ClusterError, Event, Patience, PodEnd, Work};

use fake_api::{Answer, FakeApi, Piece, change, ended, line, pod, running};

const JOBS: &str = "/apis/batch/v1/namespaces/team/jobs";
const FILES: &str = "/api/v1/namespaces/team/configmaps";

fn patience() -> Patience {
    Patience {
        connect: Duration::from_secs(5),
        answer: Duration::from_secs(5),
        attempts: 3,
        pause: Duration::from_millis(5),
    }
}

/// Returns a kubeconfig for the server, with what a test puts into the user.
fn kubeconfig(address: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\ncontexts:\n- name: here\n  context: {{cluster: c, user: u, namespace: team}}\n\
         clusters:\n- name: c\n  cluster: {{server: \"{address}\"}}\nusers:\n- name: u\n  user: {user}\n"
    )
}

async fn connected(api: &FakeApi) -> Cluster {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    std::fs::write(&path, kubeconfig(&api.address, "{token: secret}")).unwrap();
    let access = Access::find(&BTreeMap::new(), Some(&path), None).unwrap();
    Cluster::connect(access, patience()).await.unwrap()
}

fn object(api_version: &str, kind: &str) -> Value {
    json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "smoke-1", "labels": { "app": "smoke-1" } } })
}

fn work() -> Work {
    Work {
        objects: vec![object("v1", "ConfigMap"), object("batch/v1", "Job")],
        selector: "app=smoke-1".to_owned(),
        container: "main".to_owned(),
        pods: 1,
        start_limit: Duration::from_secs(5),
        run_limit: Duration::from_secs(5),
    }
}

/// Runs the work; returns how it ended and what happened meanwhile.
async fn run(api: &FakeApi, work: &Work) -> (Result<Vec<PodEnd>, ClusterError>, Vec<String>) {
    run_with(&connected(api).await, work).await
}

async fn run_with(cluster: &Cluster, work: &Work) -> (Result<Vec<PodEnd>, ClusterError>, Vec<String>) {
    let mut told = Vec::new();
    let mut tell = |event: Event<'_>| match event {
        Event::Left(left) => told.push(format!("left: {left}")),
        Event::Pod { pod, state } => told.push(format!("{pod}: {state}")),
        Event::Line { pod, line } => told.push(format!("{pod} | {line}")),
    };
    let result = cluster.run(work, &mut tell).await;
    let result = result.map(|ran| {
        told.extend(ran.left.map(|left| format!("left: {left}")));
        ran.pods
    });
    (result, told)
}

/// Asserts that nothing that was made is there any more.
fn nothing_left(api: &FakeApi) {
    api.with(|world| assert!(world.objects.is_empty(), "{:?}\n{:?}", world.objects.keys(), world.asked));
}

/// A pod that runs, writes two lines and ends with 0.
fn well(api: &FakeApi) {
    api.with(|world| {
        let waiting = json!({ "phase": "Pending" });
        world.pods = vec![pod("p", &waiting)];
        world.watches = [vec![
            change("MODIFIED", &pod("p", &running())),
            Piece::Pause(20),
            change("MODIFIED", &pod("p", &ended(0))),
            Piece::Pause(5000),
        ]]
        .into();
        world.logs = [vec![line(1, "one"), line(2, "two")]].into();
    });
}

#[tokio::test]
async fn objects_are_made_watched_read_and_deleted() {
    let api = FakeApi::start().await;
    well(&api);
    let (result, told) = run(&api, &work()).await;
    let pods = result.unwrap();
    assert_eq!(
        (pods[0].pod.as_str(), pods[0].status, pods[0].log.as_slice()),
        ("p", Some(0), b"one\ntwo\n".as_slice())
    );
    assert_eq!(told[0], "p: waiting: waiting for a node");
    assert!(
        told.contains(&"p | two".to_owned()) && told.contains(&"p: ended with status 0".to_owned()),
        "{told:?}"
    );
    nothing_left(&api);
    let deleted: Vec<String> =
        api.with(|world| world.asked.iter().filter(|asked| asked.starts_with("DELETE")).cloned().collect());
    assert_eq!(deleted, [format!("DELETE {JOBS}/smoke-1"), format!("DELETE {FILES}/smoke-1")]);
}

#[tokio::test]
async fn a_watch_that_breaks_off_is_begun_anew_and_loses_no_change() {
    let api = FakeApi::start().await;
    well(&api);
    api.with(|world| {
        let half = change("MODIFIED", &pod("p", &ended(0)));
        let Piece::Text(half) = half else { unreachable!() };
        world.watches = [
            vec![change("MODIFIED", &pod("p", &running())), Piece::Text(half[..20].to_owned()), Piece::Break],
            vec![
                Piece::Text("{\"type\":\"ERROR\",\"object\":{\"code\":410}}\n".to_owned()),
                Piece::Pause(5000),
            ],
            vec![change("MODIFIED", &pod("p", &ended(3))), Piece::Pause(5000)],
        ]
        .into();
    });
    let pods = run(&api, &work()).await.0.unwrap();
    assert_eq!(pods[0].status, Some(3));
    nothing_left(&api);
    let lists = api.with(|world| world.asked.iter().filter(|asked| asked.ends_with("/pods")).count());
    assert_eq!(lists, 6, "listed and watched three times");
}

#[tokio::test]
async fn a_log_that_breaks_off_is_read_on_with_each_line_once() {
    let api = FakeApi::start().await;
    well(&api);
    api.with(|world| {
        world.logs = [
            vec![
                line(1, "one"),
                line(2, "two"),
                Piece::Text("2026-11-24T12:00:03.0".to_owned()),
                Piece::Pause(20),
                Piece::Break,
            ],
            vec![line(2, "two"), line(3, "three")],
        ]
        .into();
    });
    let pods = run(&api, &work()).await.0.unwrap();
    assert_eq!(String::from_utf8_lossy(&pods[0].log), "one\ntwo\nthree\n");
    let queries = api.with(|world| world.queries.clone());
    assert!(queries.iter().any(|query| query.contains("sinceTime=2026-11-24T12%3A00%3A02Z")), "{queries:?}");
}

#[tokio::test]
async fn what_was_not_made_by_this_run_is_neither_used_nor_deleted() {
    let api = FakeApi::start().await;
    let foreign = json!({ "metadata": { "name": "smoke-1", "labels": { "app": "theirs" } } });
    api.with(|world| world.objects.insert(format!("{JOBS}/smoke-1"), foreign));
    let error = run(&api, &work()).await.0.unwrap_err();
    assert_eq!(error, ClusterError::Conflict { what: "job smoke-1".to_owned() });
    let left = api.with(|world| world.objects.keys().cloned().collect::<Vec<_>>());
    assert_eq!(left, [format!("{JOBS}/smoke-1")]);
}

#[tokio::test]
async fn an_object_whose_answer_was_lost_is_recognised_as_ours() {
    let api = FakeApi::start().await;
    well(&api);
    api.with(|world| world.instead.push((format!("POST {JOBS}"), Answer::Pieces(vec![Piece::Break]))));
    assert_eq!(run(&api, &work()).await.0.unwrap()[0].status, Some(0));
    nothing_left(&api);
}

#[tokio::test]
async fn a_missing_permission_is_named_and_what_was_made_before_is_deleted() {
    let api = FakeApi::start().await;
    let message = "jobs.batch is forbidden: User \"me\" cannot create resource \"jobs\" in API group \"batch\" in the namespace \"team\"";
    api.with(|world| {
        world.instead.push((format!("POST {JOBS}"), Answer::Json(403, json!({ "message": message }))));
    });
    let error = run(&api, &work()).await.0.unwrap_err();
    let ClusterError::Forbidden { permission, message: said, .. } = &error else { panic!("{error:?}") };
    assert_eq!((permission.as_str(), said.as_str()), ("create jobs.batch -n team", message));
    nothing_left(&api);
}

#[tokio::test]
async fn a_kind_that_the_cluster_has_not_is_told() {
    let api = FakeApi::start().await;
    let answer = Answer::Json(404, json!({ "message": "the server could not find the requested resource" }));
    api.with(|world| {
        world.instead.push(("POST /apis/kubeflow.org/v1/namespaces/team/pytorchjobs".to_owned(), answer));
    });
    let work =
        Work { objects: vec![object("v1", "ConfigMap"), object("kubeflow.org/v1", "PyTorchJob")], ..work() };
    let error = run(&api, &work).await.0.unwrap_err();
    assert_eq!(error.to_string(), "the cluster has no PyTorchJob (kubeflow.org/v1)");
    nothing_left(&api);
}

#[tokio::test]
async fn a_pod_that_no_node_takes_is_given_up_with_the_schedulers_reason() {
    let api = FakeApi::start().await;
    let status = json!({ "phase": "Pending", "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu." }] });
    api.with(|world| world.pods = vec![pod("p", &status)]);
    let work = Work { start_limit: Duration::from_millis(300), ..work() };
    let error = run(&api, &work).await.0.unwrap_err();
    let ClusterError::NeverStarted { who, reason, .. } = &error else { panic!("{error:?}") };
    assert_eq!(
        (who.as_str(), reason.as_str()),
        ("pod p", "Unschedulable: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")
    );
    nothing_left(&api);
}

#[tokio::test]
async fn where_no_pod_appears_at_all_the_controllers_warning_is_told() {
    let api = FakeApi::start().await;
    let work = Work { start_limit: Duration::from_millis(200), ..work() };
    let error = run(&api, &work).await.0.unwrap_err();
    assert!(error.to_string().ends_with("exceeded quota: gpus"), "{error}");
    nothing_left(&api);
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_ends_the_run_at_once() {
    let api = FakeApi::start().await;
    let status = |reason: &str| {
        json!({ "phase": "Pending", "containerStatuses": [{ "name": "main",
            "state": { "waiting": { "reason": reason, "message": "pull access denied" } } }] })
    };
    api.with(|world| {
        // The first failure may pass: the node tries again.
        world.pods = vec![pod("p", &status("ErrImagePull"))];
        world.watches =
            [vec![change("MODIFIED", &pod("p", &status("ImagePullBackOff"))), Piece::Pause(5000)]].into();
    });
    let error = run(&api, &work()).await.0.unwrap_err();
    assert_eq!(error.to_string(), "pod p cannot have its image: ImagePullBackOff: pull access denied");
    nothing_left(&api);
}

#[tokio::test]
async fn a_pod_that_runs_too_long_is_ended_with_its_last_lines() {
    let api = FakeApi::start().await;
    well(&api);
    api.with(|world| {
        world.watches = [vec![change("MODIFIED", &pod("p", &running())), Piece::Pause(5000)]].into();
        world.logs = [vec![line(1, "waiting for rank 3"), Piece::Pause(5000)]].into();
    });
    let work = Work { run_limit: Duration::from_millis(400), ..work() };
    let error = run(&api, &work).await.0.unwrap_err();
    let ClusterError::RanTooLong { tail, .. } = &error else { panic!("{error:?}") };
    assert_eq!(tail, &["p: waiting for rank 3"]);
    nothing_left(&api);
}

#[tokio::test]
async fn a_pod_that_somebody_deletes_has_ended_without_a_status() {
    let api = FakeApi::start().await;
    well(&api);
    api.with(|world| {
        world.watches = [vec![change("DELETED", &pod("p", &running())), Piece::Pause(5000)]].into();
    });
    let pods = run(&api, &work()).await.0.unwrap();
    assert_eq!((pods[0].status, pods[0].reason.as_str()), (None, "it was deleted by somebody else"));
    nothing_left(&api);
}

#[tokio::test]
async fn an_overloaded_cluster_is_asked_again_and_a_failing_one_not_for_ever() {
    let api = FakeApi::start().await;
    well(&api);
    api.with(|world| {
        world.instead.push((format!("POST {FILES}"), Answer::Later(429, 0)));
        world.instead.push((format!("DELETE {JOBS}*"), Answer::Json(503, json!({}))));
    });
    assert_eq!(run(&api, &work()).await.0.unwrap()[0].status, Some(0));
    nothing_left(&api);
    api.with(|world| {
        for _ in 0..3 {
            world
                .instead
                .push((format!("POST {FILES}"), Answer::Json(500, json!({ "message": "etcd is full" }))));
        }
    });
    let error = run(&api, &work()).await.0.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the cluster failed 3 times while making configmap smoke-1 (500): etcd is full"
    );
}

#[tokio::test]
async fn what_cannot_be_deleted_is_named_and_the_outcome_is_not_lost() {
    let api = FakeApi::start().await;
    well(&api);
    let refuse = |api: &FakeApi| {
        let no = Answer::Json(403, json!({ "message": "no" }));
        api.with(|world| world.instead.push((format!("DELETE {JOBS}*"), no)));
    };
    refuse(&api);
    let (result, told) = run(&api, &work()).await;
    assert_eq!(result.unwrap()[0].status, Some(0));
    assert!(told.last().unwrap().starts_with("left: could not delete job smoke-1"), "{told:?}");
    api.with(|world| world.objects.clear());
    refuse(&api);
    let work = Work { start_limit: Duration::from_millis(100), ..work() };
    let (result, told) = run(&api, &work).await;
    assert!(matches!(result, Err(ClusterError::NeverStarted { .. })), "{result:?}");
    assert!(told.last().unwrap().starts_with("left: "), "{told:?}");
}

#[tokio::test]
async fn a_log_that_ends_while_its_pod_still_runs_is_read_on() {
    let api = FakeApi::start().await;
    well(&api);
    api.with(|world| {
        world.logs = [vec![line(1, "one")], vec![line(1, "one"), line(2, "two")]].into();
        let answer = Answer::Json(200, pod("p", &running()));
        world.instead.push(("GET /api/v1/namespaces/team/pods/p".to_owned(), answer));
    });
    let pods = run(&api, &work()).await.0.unwrap();
    assert_eq!(String::from_utf8_lossy(&pods[0].log), "one\ntwo\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_dropped_deletes_what_it_made_before_the_drop_returns() {
    let api = FakeApi::start().await;
    api.with(|world| world.pods = vec![pod("p", &json!({ "phase": "Pending" }))]);
    let cluster = connected(&api).await;
    let (work, mut tell) = (work(), |_: Event<'_>| {});
    let dropped = tokio::time::timeout(Duration::from_millis(300), cluster.run(&work, &mut tell)).await;
    assert!(dropped.is_err());
    nothing_left(&api);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_dropped_while_it_deletes_deletes_the_rest() {
    let api = FakeApi::start().await;
    well(&api);
    // The first deletion is not answered before the run is dropped.
    let unanswered = Answer::Later(503, 60);
    api.with(|world| world.instead.push((format!("DELETE {JOBS}*"), unanswered)));
    let cluster = connected(&api).await;
    let (work, mut tell) = (work(), |_: Event<'_>| {});
    let dropped = tokio::time::timeout(Duration::from_secs(2), cluster.run(&work, &mut tell)).await;
    assert!(dropped.is_err(), "{dropped:?}");
    nothing_left(&api);
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_told_with_its_address() {
    let api = FakeApi { address: "http://127.0.0.1:1".to_owned(), world: std::sync::Arc::default() };
    let error = run(&api, &work()).await.0.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("no answer from the cluster at http://127.0.0.1:1/ while making configmap smoke-1"),
        "{error}"
    );
}
