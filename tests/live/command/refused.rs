//! Registries and an AWS that refuse, limit, fail or say nothing: whose fault it is, what next, and that nothing stays behind.

use std::time::{Duration, Instant};

use serde_json::json;
use wiremock::matchers::{method, path_regex};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::Workshop;
use crate::program::Ended;
use crate::workbench::{ALL, Which, docker};

/// Returns a registry that answers `template` to everything.
async fn registry(template: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(path_regex(".*")).respond_with(template).mount(&server).await;
    server
}

/// Builds an image and pushes it to `server`.
fn pushed(workshop: &Workshop, server: &MockServer) -> Ended {
    let to = format!("{}/team/image:1", server.address());
    let ended = tokio::task::block_in_place(|| workshop.run(&["push", &workshop.tag, "--to", &to]));
    let names = docker(workshop.which, &["images", "--format", "{{.Repository}}"]);
    assert!(!names.contains(&server.address().to_string()), "a name was left: {names}");
    ended
}

fn built(which: Which) -> Workshop {
    let workshop = Workshop::tiny(which);
    let _built = tokio::task::block_in_place(|| workshop.built(&[]));
    workshop
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_refuses_limits_or_fails_is_told_with_what_next() {
    let workshop = built(Which::Graph);
    let answers: [(u16, i32, &[&str]); 5] = [
        (401, 7, &["status 401", "hint: no credentials were sent: run `docker login "]),
        (403, 7, &["status 403", "hint: "]),
        (429, 8, &["limits our requests", "hint: "]),
        (500, 8, &["failed 4 times: status 500", "hint: "]),
        (503, 8, &["failed 4 times: status 503", "try again later"]),
    ];
    for (status, code, words) in answers {
        let server = registry(ResponseTemplate::new(status).insert_header("Retry-After", "0")).await;
        pushed(&workshop, &server).failed(code, words);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_lets_look_but_not_write_is_told_as_the_engine_heard_it() {
    for which in ALL {
        let workshop = built(which);
        // Engines with graph drivers try again for most of a minute before they say that a registry fails; the old one shows it.
        let answers = if which == Which::Graph { &[(403, 7)][..] } else { &[(403, 7), (500, 8)] };
        for &(status, code) in answers {
            let server = MockServer::start().await;
            let word = if status == 403 { "DENIED" } else { "SIZE_INVALID" };
            let refused = json!({ "errors": [{ "code": word, "message": "no writing on Sundays" }] });
            let upload = Mock::given(method("POST")).and(path_regex("/blobs/uploads/"));
            upload.respond_with(ResponseTemplate::new(status).set_body_json(refused)).mount(&server).await;
            let known = Mock::given(path_regex("^/v2/$"));
            known.respond_with(ResponseTemplate::new(200)).mount(&server).await;
            Mock::given(path_regex(".*")).respond_with(ResponseTemplate::new(404)).mount(&server).await;
            let said = pushed(&workshop, &server).failed(code, &[]);
            assert!(said.contains(&server.address().to_string()), "{which:?} {status}: {said}");
            assert!(said.contains("hint: "), "{which:?} {status}: {said}");
            // An engine that counts down the seconds to its next attempt fills no log.
            assert!(said.matches("Retrying").count() < 20, "{which:?} {status}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_says_nothing_is_not_waited_for_without_end() {
    let workshop = built(Which::Containerd);
    let server = registry(ResponseTemplate::new(200).set_delay(Duration::from_mins(10))).await;
    let began = Instant::now();
    pushed(&workshop, &server).failed(8, &["did not answer", "hint: check the network"]);
    assert!(began.elapsed() < Duration::from_mins(2), "{:?}", began.elapsed());
}

/// Pushes to Amazon ECR with `change` made to the environment.
fn at_ecr(workshop: &Workshop, change: impl Fn(&mut std::process::Command)) -> Ended {
    let mut command = workshop.program(&["push", &workshop.tag, "--to", "smpv2"]);
    change(&mut command);
    tokio::task::block_in_place(|| Ended::of(&mut command))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_aws_credentials_the_push_says_where_they_were_looked_for() {
    let workshop = built(Which::Graph);
    at_ecr(&workshop, |command| {
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    })
    .failed(7, &["no AWS credentials: looked in AWS_ACCESS_KEY_ID", "hint: log in with `aws sso login`"]);
    at_ecr(&workshop, |command| {
        command.env_remove("AWS_REGION");
    })
    .failed(8, &["no AWS region", "hint: set AWS_REGION"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_credentials_and_missing_permissions_are_told_apart() {
    let workshop = built(Which::Graph);
    let who = "arn:aws:sts::123456789012:assumed-role/Builder/ci";
    let denied = format!(
        "User: {who} is not authorized to perform: ecr:GetAuthorizationToken on resource: * because no identity-based policy allows it"
    );
    for (kind, message, words) in [
        (
            "ExpiredTokenException",
            "The security token included in the request is expired",
            &["have expired", "hint: "],
        ),
        (
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
            &["does not accept the credentials", "hint: "],
        ),
        ("AccessDeniedException", denied.as_str(), &["may not ecr:GetAuthorizationToken", "hint: "]),
    ] {
        let body = json!({ "__type": kind, "message": message }).to_string();
        let server =
            registry(ResponseTemplate::new(400).set_body_raw(body, "application/x-amz-json-1.1")).await;
        at_ecr(&workshop, |command| {
            command.env("AWS_ENDPOINT_URL", server.uri());
        })
        .failed(7, words);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aws_that_is_out_of_reach_is_told_with_its_region() {
    let workshop = built(Which::Graph);
    at_ecr(&workshop, |command| {
        command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    })
    .failed(8, &["us-west-2", "hint: "]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_for_logins_that_is_missing_ends_a_push_and_is_named() {
    let workshop = built(Which::Graph);
    workshop.place.write("docker/config.json", r#"{"credHelpers":{"127.0.0.1:1":"nowhere"}}"#);
    let mut command = workshop.program(&["push", &workshop.tag, "--to", "127.0.0.1:1/team/image:1"]);
    command.env("DOCKER_CONFIG", workshop.place.path("docker"));
    tokio::task::block_in_place(|| Ended::of(&mut command))
        .failed(7, &["`docker-credential-nowhere`", "is not on the PATH", "hint: "]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_index_that_cannot_be_asked_is_not_told_as_versions_that_do_not_fit() {
    let workshop = Workshop::wheel(Which::Graph);
    let server = registry(ResponseTemplate::new(503)).await;
    let kept = workshop.place.read("wheel.lock");
    for (index, words) in [
        ("http://127.0.0.1:1/simple/".to_owned(), "Failed to fetch"),
        (format!("{}/simple/", server.uri()), "503 Service Unavailable"),
    ] {
        let mut command =
            workshop.program(&["lock", "wheel.toml", "--upgrade", "--mirror", &super::mirror()]);
        command.env("UV_DEFAULT_INDEX", index).env("UV_HTTP_RETRIES", "0").env("UV_NO_CACHE", "1");
        let ended = tokio::task::block_in_place(|| Ended::of(&mut command));
        ended.failed(9, &["cannot ask the Python package index", words, "hint: "]);
        assert_eq!(workshop.place.read("wheel.lock"), kept);
    }
}
