//! SageMaker Studio and Code Editor: a real Docker 20.10 behind a stand-in that enforces Studio's documented refusals in their words.

use serde_json::Value;

use super::{TINY, Workshop, mirror, report};
use crate::program::Ended;
use crate::workbench::{Which, docker, variable};

/// A recipe that needs packages of the distribution only: nothing in it wants certificates, which the classic builder cannot take.
const PLAIN: &str = include_str!("../../support/plain.toml");

fn plain() -> Workshop {
    let workshop = Workshop::tiny(Which::Old);
    workshop.place.write("tiny.toml", PLAIN);
    workshop
}

/// Runs the program with Studio's socket as the engine.
fn studio(workshop: &Workshop, socket: &str, arguments: &[&str]) -> Ended {
    Ended::of(workshop.program(arguments).env("DOCKER_HOST", variable(socket)))
}

#[test]
fn code_editor_is_recognised_and_builds_and_tests_with_nothing_said() {
    let workshop = plain();
    let mirror = mirror();
    let words = ["build", "tiny.toml", "--tag", &workshop.tag, "--mirror", &mirror, "--format", "json"];
    let told = report(&studio(&workshop, "SMP_WB_STUDIO", &words).fine());
    assert_eq!(told["build"]["outcome"], "built", "{told}");
    assert!(workshop.has_image());
    let said = [&words[..], &["--studio"]].concat();
    let again = report(&studio(&workshop, "SMP_WB_STUDIO", &said).fine());
    assert_eq!(again["build"]["outcome"], "unchanged");

    let smoke = ["smoke", &workshop.tag, "--recipe", "tiny.toml", "--gpu", "none", "--format", "json"];
    let told = report(&studio(&workshop, "SMP_WB_STUDIO", &smoke).fine());
    let probes = told["probes"].as_array().unwrap();
    for probe in probes {
        // The proxy offers no GPU; what needs none must have been asked, and have passed.
        let here = ["libraries", "fabric-provider"].contains(&probe["probe"].as_str().unwrap());
        let expected = if here { "passed" } else { "skipped" };
        assert_eq!(probe["answer"]["status"], expected, "{probe}");
    }
    assert_eq!(probes.iter().filter(|probe| probe["answer"]["status"] == "passed").count(), 2, "{told}");
    let check = ["check", &workshop.tag, "--recipe", "tiny.toml"];
    let _checked = studio(&workshop, "SMP_WB_STUDIO", &check).fine();
}

#[test]
fn another_network_than_studios_is_refused_in_its_words_and_the_way_out_is_said() {
    let workshop = plain();
    let words = workshop.words("build", "docker.io=127.0.0.1:1", &["--dialect", "classic"]);
    let mirror = mirror();
    let words: Vec<&str> =
        words.into_iter().map(|word| if word == "docker.io=127.0.0.1:1" { &mirror } else { word }).collect();
    studio(&workshop, "SMP_WB_STUDIO", &words).failed(
        9,
        &["[ImageBuild] 'sagemaker' is the only user allowed network input", "hint: ", "--studio"],
    );
    let buildkit = [&words[..6], &["--dialect", "buildkit"]].concat();
    studio(&workshop, "SMP_WB_STUDIO", &buildkit).failed(9, &["has no BuildKit", "--dialect classic"]);
    assert!(!workshop.has_image());
}

#[test]
fn a_domain_without_a_way_out_says_which_bases_it_takes() {
    let workshop = Workshop::tiny(Which::Old);
    workshop.place.write("tiny.toml", TINY);
    let mirror = mirror();
    let words = ["build", "tiny.toml", "--tag", &workshop.tag, "--mirror", &mirror];
    studio(&workshop, "SMP_WB_STUDIO_VPC", &words).failed(
        9,
        &[
            "[ValidateVPCOnlyModeImage] Image",
            "is not an ECR Image",
            "this domain is VPC-only",
            "VpcOnlyTrustedAccounts",
        ],
    );
    assert!(!workshop.has_image());
}

#[test]
fn doctor_tells_that_it_is_studio_and_that_nothing_is_in_the_way() {
    let workshop = plain();
    let mirror = mirror();
    let words = ["doctor", "tiny.toml", "--mirror", &mirror, "--format", "json"];
    let told: Value = serde_json::from_str(&studio(&workshop, "SMP_WB_STUDIO", &words).fine()).unwrap();
    let check =
        |name: &str| told["checks"].as_array().unwrap().iter().find(|check| check["check"] == name).cloned();
    assert_eq!(check("studio").unwrap()["severity"], "note", "{told}");
    assert_eq!(check("buildkit").unwrap()["severity"], "warning");
    assert_eq!(docker(Which::Old, &["network", "ls", "--quiet", "--filter", "name=^sagemaker$"]), "");
}
