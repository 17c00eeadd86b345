//! `smp-image build` on every engine: what is built, what is recognised, what is built anew.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use smp_image::oci::Digest;

use super::{SMALL, Workshop, report, small_lock};
use crate::workbench::{ALL, Which, docker};

/// Returns how many steps ran and how many came from the cache.
fn steps(report: &Value) -> (u64, u64) {
    let steps = &report["build"]["steps"];
    (steps["run"].as_u64().unwrap(), steps["cached"].as_u64().unwrap())
}

#[test]
fn a_recipe_is_built_once_then_recognised_and_comes_out_the_same_when_it_is_built_again() {
    for which in ALL {
        let workshop = Workshop::small(which);
        let first = workshop.built(&["--locked"]);
        assert_eq!((&first["recipe"], &first["build"]["outcome"]), (&"small".into(), &"built".into()));
        assert_eq!(first["image"]["platform"], "linux/amd64", "{which:?}");
        assert!(workshop.inspected()["Id"] == first["image"]["id"], "{which:?}: {first}");
        carries_its_labels(&workshop);

        let again = workshop.build(&["--locked"]);
        assert_eq!(again.err, "", "nothing is sent and nothing is shown: {which:?}");
        let text = again.fine();
        assert!(text.contains("Unchanged  nothing to build"), "{which:?}: {text}");
        let again = workshop.built(&["--locked"]);
        assert_eq!(again["build"]["outcome"], "unchanged", "{which:?}");
        assert_eq!(again["image"], first["image"], "{which:?}");

        let refreshed = workshop.built(&["--locked", "--refresh"]);
        assert_eq!(refreshed["build"]["outcome"], "built", "{which:?}");
        assert_eq!(steps(&refreshed).0, 0, "{which:?}: a warm cache: {refreshed}");
        assert!(steps(&refreshed).1 >= 4, "{which:?}: {refreshed}");
        assert_eq!(refreshed["image"]["id"], first["image"]["id"], "{which:?}: another digest");
        assert_eq!(refreshed["build"]["context_bytes"], 0);
        assert!(workshop.place.files().iter().all(|file| file.starts_with("here/small.")), "{which:?}");
    }
}

fn carries_its_labels(workshop: &Workshop) {
    let inspected = workshop.inspected();
    let labels = inspected["Config"]["Labels"].as_object().unwrap();
    let label = |name: &str| labels.get(name).and_then(Value::as_str).unwrap_or_default();
    assert_eq!(label("org.opencontainers.image.title"), "small");
    assert_eq!(label("org.opencontainers.image.base.name"), "docker.io/library/debian:trixie-slim");
    assert_eq!(label("dev.smp-image.version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(label("dev.smp-image.recipe"), Digest::of(SMALL).to_string());
    assert_eq!(label("dev.smp-image.lock"), Digest::of(small_lock()).to_string());
    assert!(small_lock().contains(label("org.opencontainers.image.base.digest")), "{labels:?}");
    // Old engines get their Dockerfile without `COPY --link`; for the others it is the one that anybody can print.
    if workshop.which != Which::Old {
        let printed = workshop.run(&["render", "small.toml", "--mirror", &super::mirror()]).fine();
        assert_eq!(label("dev.smp-image.dockerfile"), Digest::of(printed).to_string());
    }
    assert_eq!(label("dev.smp-image.inputs").len(), "sha256:".len() + 64);
}

#[test]
fn a_changed_file_is_built_anew_and_the_same_bytes_written_again_are_not() {
    for which in ALL {
        for dialect in ["buildkit", "classic"] {
            let workshop = Workshop::tiny(which);
            let more = ["--dialect", dialect];
            let first = workshop.built(&more);
            assert_eq!(first["build"]["outcome"], "built", "{which:?} {dialect}");
            let text = workshop.place.read("files/text");
            workshop.place.write("files/text", &text);
            assert_eq!(workshop.built(&more)["build"]["outcome"], "unchanged", "{which:?} {dialect}");

            workshop.place.write("files/text", "other");
            let second = workshop.built(&more);
            assert_eq!(second["build"]["outcome"], "built", "{which:?} {dialect}");
            assert_ne!(first["image"]["id"], second["image"]["id"], "{which:?} {dialect}");

            let file = workshop.place.path("files/text");
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
            assert_eq!(
                workshop.built(&more)["build"]["outcome"],
                "built",
                "{which:?} {dialect}: executable now"
            );
            let said =
                docker(which, &["run", "--rm", "--network", "none", &workshop.tag, "cat", "/workspace/text"]);
            assert_eq!(said, "other", "{which:?} {dialect}");
        }
    }
}

#[test]
fn every_name_asked_for_is_given_and_a_missing_one_is_no_unchanged_image() {
    let workshop = Workshop::tiny(Which::Graph);
    let other = Workshop::tiny(Which::Graph);
    assert_eq!(workshop.built(&[])["build"]["outcome"], "built");
    let both = workshop.built(&["--tag", &other.tag]);
    assert_eq!(both["build"]["outcome"], "built");
    assert!(other.has_image());
    assert_eq!(workshop.built(&["--tag", &other.tag])["build"]["outcome"], "unchanged");
}

#[test]
fn the_classic_builder_of_an_old_engine_builds_what_needs_no_certificates() {
    let workshop = Workshop::tiny(Which::Old);
    let recipe = super::TINY.replace("[[copy]]", "[components]\npython = \"*\"\n\n[[copy]]");
    workshop.place.write("tiny.toml", &recipe);
    let built = workshop.built(&["--dialect", "classic"]);
    assert_eq!(built["build"]["outcome"], "built");
    assert!(steps(&built).0 > 0, "{built}");
    assert_eq!(workshop.built(&["--dialect", "classic"])["build"]["outcome"], "unchanged");
    let check = workshop.run(&["check", &workshop.tag, "--recipe", "tiny.toml", "--format", "json"]).fine();
    assert_eq!(report(&check)["inspection"]["components"][0]["component"], "python");
}

#[test]
fn the_classic_builder_gets_wheels_or_says_that_it_cannot_be_given_certificates() {
    let workshop = Workshop::small(Which::Old);
    workshop.place.write("mine.pem", "-----BEGIN CERTIFICATE-----\n");
    workshop
        .build(&["--dialect", "classic", "--locked", "--ca-bundle", "mine.pem"])
        .failed(2, &["the classic builder cannot be given the certificates in mine.pem", "--ca-bundle none"]);
    let ended = workshop.build(&["--dialect", "classic", "--locked"]);
    if ended.code == 0 {
        // The package index is one whose certificate the base image trusts.
        assert!(workshop.has_image());
    } else {
        ended.failed(
            5,
            &[
                "CERTIFICATE_VERIFY_FAILED",
                "the classic builder cannot take them, its base image must trust them",
            ],
        );
        assert!(!workshop.has_image());
    }
}

#[test]
fn progress_in_json_is_one_object_on_each_line() {
    let workshop = Workshop::tiny(Which::Containerd);
    let ended = workshop.build(&["--format", "json"]);
    let events: Vec<Value> = ended
        .err
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
    assert!(of("stage") == 1 && of("step") >= 2 && of("step-ended") >= 2, "{}", ended.err);
    let _report = report(&ended.fine());
}

#[test]
fn a_build_without_a_lock_writes_one_and_the_next_is_locked() {
    let workshop = Workshop::tiny(Which::Containerd);
    let ended = workshop.build(&["--quiet"]);
    assert_eq!(ended.err, "");
    let _report = ended.fine();
    assert!(workshop.place.read("tiny.lock").contains("digest = \"sha256:"));
    assert_eq!(workshop.built(&["--locked"])["build"]["outcome"], "unchanged");
}
