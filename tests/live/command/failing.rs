//! Builds that cannot succeed, as the user sees them: what, where, what next, the exit code, and no image left behind.

use std::process::{Command, Stdio};

use smp_image::lock::{Lock, Pin};
use smp_image::recipe::Component;

use super::{TINY, Workshop, mirror, small_lock};
use crate::program::Ended;
use crate::proxy::Proxy;
use crate::workbench::{ALL, Which, docker, unique, variable};

/// Returns a workshop whose recipe asks for a package that no distribution has.
fn with_a_missing_package(which: Which) -> Workshop {
    let workshop = Workshop::tiny(which);
    workshop.place.write("tiny.toml", &format!("{TINY}\n[apt]\npackages = [\"no-such-package-anywhere\"]\n"));
    workshop
}

#[test]
fn a_step_that_fails_is_told_once_with_its_lines_and_its_last_words() {
    for (which, dialect) in ALL.map(|which| (which, "buildkit")).into_iter().chain([(Which::Old, "classic")])
    {
        let workshop = with_a_missing_package(which);
        let ended = workshop.build(&["--dialect", dialect, "--quiet"]);
        assert_eq!(ended.out, "", "{which:?} {dialect}");
        let said = ended.failed(
            5,
            &[
                "error: a step of the build ended with status 100",
                "Dockerfile, lines ",
                "| RUN ",
                "its last output:",
                "E: Unable to locate package no-such-package-anywhere",
                "hint: the base's distribution has no such package",
                "hint: the Dockerfile is what `smp-image render` prints",
            ],
        );
        // Once among the Dockerfile's lines, once in the last words.
        assert_eq!(said.matches("no-such-package-anywhere").count(), 2, "{which:?} {dialect}: {said}");
        assert!(!workshop.has_image(), "{which:?} {dialect}");
    }
}

#[test]
fn a_download_that_is_not_what_was_locked_ends_the_build() {
    let workshop = Workshop::small(Which::Containerd);
    let mut lock = Lock::parse("small.lock", small_lock()).unwrap();
    let nccl = lock.components.iter_mut().find(|locked| locked.name == Component::Nccl).unwrap();
    let hash = &nccl.wheels[0].hashes[0].hex();
    nccl.wheels[0].hashes = vec![format!("sha256:{}", "0".repeat(64)).parse().unwrap()];
    workshop.place.write("small.lock", &lock.to_text());
    let said = workshop.build(&["--quiet", "--locked"]).failed(
        5,
        &[
            "THESE PACKAGES DO NOT MATCH THE HASHES",
            "hint: a download is not what was locked",
            "Dockerfile, lines ",
        ],
    );
    assert!(said.contains(hash), "what came is named: {said}");
    assert!(!workshop.has_image());
}

#[test]
fn a_package_that_the_archive_no_longer_has_at_its_version_ends_the_build_and_says_what_to_do() {
    for (which, dialect) in [(Which::Containerd, "buildkit"), (Which::Old, "classic")] {
        let workshop = Workshop::small(which);
        let mut lock = Lock::parse("small.lock", small_lock()).unwrap();
        let python = lock.apt.iter_mut().find(|package| package.name.as_str() == "python3").unwrap();
        assert!(python.version.known().is_some(), "{python:?}");
        python.version = Pin::Known("3.13.0-0.1".parse().unwrap());
        workshop.place.write("small.lock", &lock.to_text());
        workshop.build(&["--dialect", dialect, "--quiet"]).failed(
            5,
            &[
                "E: Version '3.13.0-0.1' for 'python3' was not found",
                "the archive moved on since this was locked; smp-image lock --upgrade",
                "hint: the archive no longer has a package at its locked version",
            ],
        );
        assert!(!workshop.has_image(), "{which:?} {dialect}");
    }
}

#[test]
fn steps_without_a_network_say_so_and_what_to_do() {
    let workshop = with_a_missing_package(Which::Graph);
    let words =
        ["build", "tiny.toml", "--tag", &workshop.tag, "--mirror", &mirror(), "--network", "none", "--quiet"];
    workshop.run(&words).failed(5, &["Temporary failure resolving", "say --network host"]);
}

/// Puts an image of the base's name, made for another architecture, under a new tag into the registry.
fn foreign_base() -> String {
    let tag = unique("trixie");
    let name = format!("{}/library/debian:{tag}", variable("SMP_WB_REGISTRY"));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n").unwrap();
    let folder = folder.path().to_str().unwrap();
    docker(Which::Graph, &["build", "--quiet", "--platform", "linux/arm64", "--tag", &name, folder]);
    docker(Which::Graph, &["push", "--quiet", &name]);
    docker(Which::Graph, &["image", "rm", &name]);
    tag
}

#[test]
fn a_base_image_for_another_architecture_is_named_with_what_it_is_made_for() {
    let tag = foreign_base();
    for which in ALL {
        let workshop = Workshop::tiny(which);
        workshop.place.write("tiny.toml", &TINY.replace("trixie-slim", &tag));
        let ended = workshop.build(&[]);
        assert!(
            ended.err.contains("is not made for linux/amd64; it is made for linux/arm64"),
            "{}",
            ended.err
        );
        ended.failed(5, &[&tag, "linux/arm64, not linux/amd64", "hint: "]);
        assert!(!workshop.has_image(), "{which:?}");
    }
}

#[test]
fn a_base_image_that_does_not_exist_is_named_with_what_to_look_at() {
    for which in ALL {
        let workshop = Workshop::tiny(which);
        let tag = unique("trixie");
        workshop.place.write("tiny.toml", &TINY.replace("trixie-slim", &tag));
        workshop.build(&["--quiet"]).failed(5, &[&tag, "was not found", "hint: "]);
    }
}

#[test]
fn a_copied_file_that_dockerignore_leaves_out_is_named() {
    let workshop = Workshop::tiny(Which::Containerd);
    workshop.place.write(".dockerignore", "files\n");
    workshop.build(&["--quiet"]).failed(5, &["files", "Dockerfile, line"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_goes_away_during_a_build_is_the_machines_fault() {
    for which in ALL {
        let proxy = Proxy::before(&which.address()).await;
        let workshop = Workshop::tiny(which);
        // Long enough to be cut: the list of packages is fetched first.
        workshop.place.write("tiny.toml", &format!("{TINY}\n[apt]\npackages = [\"gcc\", \"dc\"]\n"));
        let mirror = mirror();
        let mut command = workshop.program(&workshop.words("build", &mirror, &["--no-cache"]));
        command.env("DOCKER_HOST", &proxy.address);
        let cut = move |line: &str| {
            if line.contains(" | ") {
                proxy.cut();
            }
        };
        let ended = tokio::task::block_in_place(|| watched(&mut command, cut));
        ended.failed(9, &["went away while ", "hint: look at the engine's log"]);
        assert!(!workshop.has_image(), "{which:?}");
    }
}

/// Runs `command` and gives each line that it says to `seen`.
pub(super) fn watched(command: &mut Command, mut seen: impl FnMut(&str)) -> Ended {
    use std::io::{BufRead as _, BufReader, Read as _};
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut err = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        seen(&line);
        err = format!("{err}{line}\n");
    }
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    Ended { code: child.wait().unwrap().code().unwrap_or(-1), out, err }
}

#[test]
fn a_helper_for_logins_that_is_missing_or_hangs_ends_a_build_and_is_named() {
    // The registry that wants a login, and a base that no engine has; its digest is stated, so that only the engine asks for it.
    let registry = variable("SMP_WB_REGISTRY_AUTH");
    let workshop = Workshop::tiny(Which::Containerd);
    let digest = smp_image::oci::Digest::of(unique("base"));
    workshop.place.write("tiny.toml", &TINY.replace("trixie-slim", &format!("trixie-slim@{digest}")));
    let _lock = workshop.run(&["lock", "tiny.toml", "--mirror", &format!("docker.io={registry}")]).fine();
    workshop.place.write("docker/config.json", &format!(r#"{{"credHelpers":{{"{registry}":"slow"}}}}"#));
    let with_helpers = |more: &str| {
        let mirror = format!("docker.io={registry}");
        let mut command = workshop.program(&workshop.words("build", &mirror, &["--quiet"]));
        command.env("DOCKER_CONFIG", workshop.place.path("docker"));
        command.env("PATH", format!("{}:/usr/bin:/bin", workshop.place.path(more).display()));
        Ended::of(&mut command)
    };
    with_helpers("nowhere").failed(7, &["`docker-credential-slow`", "is not on the PATH", "hint: "]);
    workshop.place.write("bin/docker-credential-slow", "#!/bin/sh\nexec sleep 611\n");
    crate::workbench::make_executable(&workshop.place.path("bin/docker-credential-slow"));
    let began = std::time::Instant::now();
    with_helpers("bin").failed(7, &["`docker-credential-slow` did not answer within 30 s", "hint: "]);
    assert!(began.elapsed() < std::time::Duration::from_secs(45), "{:?}", began.elapsed());
}
