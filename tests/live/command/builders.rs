//! Builders beside the engine: real buildx with its `docker` and `remote` drivers, and BuildKit itself. What answers behind the
//! workbench's `buildkitd` address is the real BuildKit of the containerd engine, through a bridge.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::full_disk::SmallEngine;
use super::{TINY, Workshop, mirror, report};
use crate::program::Ended;
use crate::workbench::{ALL, Which, docker, unique, variable};

/// A workshop whose buildx has the builder `far`, at `address`.
pub(super) fn with_far(workshop: Workshop, address: &str) -> Workshop {
    let mut create = Command::new(variable("SMP_WB_BUILDX"));
    create.args(["create", "--name", "far", "--driver", "remote", address]);
    let created = buildx_of(&workshop, &mut create).output().unwrap();
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    workshop
}

/// Lets `command` find buildx, with builders of this place only.
fn buildx_of<'a>(workshop: &Workshop, command: &'a mut Command) -> &'a mut Command {
    command
        .env("DOCKER_CONFIG", variable("SMP_WB_DOCKER_CONFIG"))
        .env("DOCKER_HOST", workshop.which.address());
    command.env("BUILDX_CONFIG", workshop.place.path("../home/buildx"))
}

pub(super) fn program(workshop: &Workshop, more: &[&str]) -> Command {
    let mirror = mirror();
    let mut command = workshop.program(&workshop.words("build", &mirror, more));
    buildx_of(workshop, &mut command);
    command
}

fn build(workshop: &Workshop, more: &[&str]) -> Ended {
    Ended::of(&mut program(workshop, more))
}

fn built(workshop: &Workshop, more: &[&str]) -> Value {
    report(&build(workshop, &[more, &["--format", "json"]].concat()).fine())
}

fn says(workshop: &Workshop) -> String {
    let words = ["run", "--rm", "--network", "none", &workshop.tag, "cat", "/workspace/text"];
    docker(workshop.which, &words)
}

/// Nothing of a build stays outside of the recipe's folder and buildx's own.
pub(super) fn left_nothing(workshop: &Workshop) {
    let files = workshop.place.files();
    let strange = files.iter().filter(|file| file.starts_with("tmp/")).collect::<Vec<_>>();
    assert!(strange.is_empty(), "{strange:?}");
}

#[test]
fn the_engines_own_builder_builds_through_buildx_on_every_engine() {
    for which in ALL {
        let workshop = Workshop::tiny(which);
        let first = built(&workshop, &["--builder", "default"]);
        assert_eq!(first["build"]["outcome"], "built", "{which:?}");
        assert_eq!(workshop.inspected()["Id"], first["image"]["id"], "{which:?}");
        assert_eq!(says(&workshop), workshop.place.read("files/text"), "{which:?}");
        assert_eq!(built(&workshop, &["--builder", "default"])["build"]["outcome"], "unchanged", "{which:?}");
        left_nothing(&workshop);
    }
}

#[test]
fn what_a_remote_builder_or_buildkit_itself_builds_is_loaded_into_either_kind_of_engine() {
    let address = variable("SMP_WB_BUILDKITD");
    for which in [Which::Graph, Which::Containerd] {
        for builder in ["far", &address] {
            let workshop = with_far(Workshop::tiny(which), &address);
            let ended = build(&workshop, &["--builder", builder, "--format", "json"]);
            let steps = ended.err.lines().filter(|line| line.contains("\"event\":\"step-ended\"")).count();
            assert!(steps >= 2, "{which:?} {builder}: {}", ended.err);
            let told = report(&ended.fine());
            assert!(told["build"]["context_bytes"].as_u64().unwrap() > 0, "{told}");
            assert_eq!(workshop.inspected()["Id"], told["image"]["id"], "{which:?} {builder}");
            assert_eq!(says(&workshop), workshop.place.read("files/text"), "{which:?} {builder}");
            left_nothing(&workshop);
        }
    }
}

#[test]
fn wheels_come_with_the_certificates_as_a_secret_whatever_builds() {
    let address = variable("SMP_WB_BUILDKITD");
    for builder in ["far", &address] {
        let workshop = with_far(Workshop::wheel(Which::Graph), &address);
        let first = built(&workshop, &["--locked", "--no-cache", "--builder", builder]);
        assert_eq!(first["build"]["outcome"], "built", "{builder}");
        let history = docker(Which::Graph, &["history", "--no-trunc", &workshop.tag]);
        assert!(!history.contains("BEGIN CERTIFICATE") && !history.contains("SMP_IMAGE_SECRET"), "{history}");
        left_nothing(&workshop);
    }
}

#[test]
fn a_step_that_fails_elsewhere_is_told_as_one_that_fails_here() {
    let address = variable("SMP_WB_BUILDKITD");
    for builder in ["far", "default", &address] {
        let workshop = with_far(Workshop::tiny(Which::Containerd), &address);
        let recipe = format!("{TINY}\n[apt]\npackages = [\"no-such-package-anywhere\"]\n");
        workshop.place.write("tiny.toml", &recipe);
        build(&workshop, &["--builder", builder]).failed(
            5,
            &[
                "a step of the build ended with status 100",
                "Dockerfile, lines",
                "Unable to locate package no-such-package-anywhere",
                "the base's distribution has no such package",
            ],
        );
        assert!(!workshop.has_image());
        left_nothing(&workshop);
    }
}

#[test]
fn a_builder_that_nobody_knows_is_named_with_the_nearest_and_one_that_is_silent_is_the_machines_fault() {
    let workshop = with_far(Workshop::tiny(Which::Containerd), "tcp://127.0.0.1:1");
    build(&workshop, &["--builder", "fars"])
        .failed(2, &["there is no builder `fars`", "did you mean `far`?", "docker buildx create"]);
    build(&workshop, &["--builder", "far"]).failed(9, &["the builder `far` went away"]);
    build(&workshop, &["--builder", "tcp://127.0.0.1:1"])
        .failed(9, &["the builder tcp://127.0.0.1:1 went away while looking for BuildKit"]);
    build(&workshop, &["--builder", "ssh://host"]).failed(2, &["is no address of a BuildKit daemon"]);
    let mirror = mirror();
    let mut bare = workshop.program(&workshop.words("build", &mirror, &["--builder", "far"]));
    bare.env("PATH", "/nowhere");
    let said = Ended::of(&mut bare);
    assert!(
        said.code == 9 && said.err.contains("buildx is not installed here") || said.code == 2,
        "{said:?}"
    );
    left_nothing(&workshop);
}

#[test]
fn of_several_nodes_the_one_that_has_the_platform_builds_and_its_own_platform_counts() {
    let workshop = Workshop::tiny(Which::Graph);
    workshop.place.write("tiny.toml", &format!("{TINY}\n[apt]\npackages = [\"dc\"]\n"));
    // The first node is another machine, and away.
    for (node, platform, address) in [
        (&["create", "--name", "far"][..], "linux/arm64", "tcp://127.0.0.1:1".to_owned()),
        (&["create", "--append", "--name", "far"], "linux/amd64", variable("SMP_WB_BUILDKITD")),
    ] {
        let mut create = Command::new(variable("SMP_WB_BUILDX"));
        create.args(node).args(["--driver", "remote", "--platform", platform, &address]);
        let created = buildx_of(&workshop, &mut create).output().unwrap();
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    }
    let ended = build(&workshop, &["--builder", "far"]);
    assert!(ended.err.contains("[system 2/2]") && !ended.err.contains("[debs "), "{}", ended.err);
    let _built = ended.fine();
    assert!(workshop.has_image());
    build(&workshop, &["--builder", "far", "--arch", "arm64"]).failed(9, &["the builder `far` went away"]);
    left_nothing(&workshop);
}

/// A bridge of its own to the BuildKit of the containerd engine, that a test can end.
struct Bridge(Child, String);

impl Bridge {
    fn start() -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/workbench/buildkitd_bridge.py");
        let engine = Which::Containerd.address();
        let socket = engine.strip_prefix("unix://").unwrap();
        let child = Command::new("python3").args([script, socket, &port.to_string()]).spawn().unwrap();
        let bridge = Self(child, format!("tcp://127.0.0.1:{port}"));
        for _ in 0..100 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return bridge;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("the bridge does not answer");
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[test]
fn a_builder_that_dies_in_the_middle_of_a_build_is_the_machines_fault_and_leaves_nothing() {
    for through_buildx in [true, false] {
        let bridge = Bridge::start();
        let workshop = with_far(Workshop::tiny(Which::Graph), &bridge.1);
        let recipe = format!("{TINY}\n[apt]\npackages = [\"gcc\"]\n");
        workshop.place.write("tiny.toml", &recipe);
        let builder = if through_buildx { "far" } else { &bridge.1 };
        let mut command = program(&workshop, &["--builder", builder, "--no-cache"]);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let begun = lines.by_ref().map(Result::unwrap).find(|line| line.contains("| Get:1"));
        assert!(begun.is_some(), "the step never began");
        drop(bridge);
        let rest: Vec<String> = lines.map(Result::unwrap).collect();
        let code = child.wait().unwrap().code();
        let rest = rest.join("\n");
        assert_eq!(code, Some(9), "{rest}");
        assert!(rest.contains("went away while building"), "{rest}");
        assert!(!workshop.has_image());
        left_nothing(&workshop);
    }
}

#[test]
fn a_cache_in_a_registry_warms_a_second_builder() {
    let cache = format!("{}/{}", variable("SMP_WB_REGISTRY"), unique("smp-cache"));
    let address = variable("SMP_WB_BUILDKITD");
    let first = Workshop::tiny(Which::Containerd);
    let text = first.place.read("files/text");
    let written = built(&first, &["--cache-to", &cache]);
    assert!(written["build"]["steps"]["run"].as_u64().unwrap() >= 1, "{written}");
    // As Amazon ECR takes it: an image manifest, not an index.
    let url = format!("http://{}", cache.replacen('/', "/v2/", 1));
    let manifest = Command::new("curl")
        .args(["-sf", "-H", "Accept: application/vnd.oci.image.manifest.v1+json"])
        .arg(format!("{url}/manifests/latest"))
        .output()
        .unwrap();
    let manifest: Value = serde_json::from_slice(&manifest.stdout).unwrap();
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json", "{manifest}");

    // A second builder that has nothing but the base image: a CI runner without a disk. It has built nothing over this base either: one
    // that has knows it by the digest that the Dockerfile names, the first builder may know it by another (its own builds from the
    // engine's `debian:trixie-slim`) and export that, and BuildKit asks for the digest of the layers, which both know, only where it does
    // not find the first. Then the empty step that joins `COPY --link` and the base is done anew.
    let runner = SmallEngine::start("engine26c", 300);
    let second = Workshop::tiny(Which::Containerd);
    let on_runner = |more: &[&str]| {
        let mut command = program(&second, &[more, &["--format", "json"]].concat());
        report(&Ended::of(command.env("DOCKER_HOST", runner.address())).fine())
    };
    let changed = second.place.read("files/text");
    second.place.write("files/text", &text);
    let warm = on_runner(&["--cache-from", &cache]);
    let steps = |report: &Value| {
        (report["build"]["steps"]["run"].as_u64(), report["build"]["steps"]["cached"].as_u64())
    };
    assert_eq!(steps(&warm), (Some(0), Some(2)), "{warm}");
    second.place.write("files/text", &changed);
    let cold = on_runner(&["--cache-from", &cache]);
    assert!(steps(&cold).0 >= Some(1), "a file that no cache has: {cold}");

    // Caches of a folder are buildx's business.
    let far = with_far(Workshop::tiny(Which::Graph), &address);
    let folder = far.place.path("cache");
    let local = format!("type=local,dest={}", folder.display());
    let _built = built(&far, &["--builder", "far", "--cache-to", &local]);
    assert!(folder.join("index.json").is_file());
}

#[test]
fn a_registry_that_refuses_the_cache_is_named_when_it_is_written_and_a_warning_when_it_is_read() {
    let address = variable("SMP_WB_BUILDKITD");
    let cache = format!("{}/{}", variable("SMP_WB_REGISTRY_AUTH"), unique("smp-cache"));
    for builder in [None, Some("far"), Some(address.as_str())] {
        let workshop = with_far(Workshop::tiny(Which::Containerd), &address);
        let with: Vec<&str> = builder.map(|name| vec!["--builder", name]).unwrap_or_default();
        let writing = [&with[..], &["--cache-to", &cache]].concat();
        build(&workshop, &writing).failed(5, &["the cache", &cache, "is refused", "log in to its registry"]);
        // The image itself was built, and the cache refused afterwards.
        let reading = [&with[..], &["--refresh", "--cache-from", &cache]].concat();
        let ended = build(&workshop, &reading);
        assert!(ended.err.contains("the cache is not read"), "{builder:?}: {}", ended.err);
        let _built = ended.fine();
        left_nothing(&workshop);
    }
}

#[test]
fn a_cache_that_a_builder_cannot_keep_is_refused_before_anything_is_built() {
    let cache = format!("{}/smp-cache:never", variable("SMP_WB_REGISTRY"));
    let cases: [(Which, &[&str], i32, &str); 5] = [
        (Which::Graph, &["--cache-to", &cache], 9, "it writes only type=inline"),
        (Which::Containerd, &["--cache-to", "type=local,dest=x"], 9, "folders are written by buildx"),
        (
            Which::Old,
            &["--dialect", "classic", "--cache-from", &cache],
            9,
            "the classic builder knows only its own",
        ),
        (Which::Graph, &["--cache-to", "type=s3,bucket=b"], 2, "the type `s3` is not known"),
        (Which::Graph, &["--builder", "default", "--cache-to", &cache], 9, "it writes only type=inline"),
    ];
    for (which, more, code, words) in cases {
        let workshop = Workshop::tiny(which);
        build(&workshop, more).failed(code, &[words]);
        assert!(!workshop.has_image());
    }
}
