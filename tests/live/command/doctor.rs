//! `smp-image doctor` on real engines, with the workbench's ECR API and registry.

use serde_json::Value;

use super::{Workshop, mirror};
use crate::program::{Ended, Place};
use crate::workbench::{ALL, Which};

fn checked(workshop: &Workshop, more: &[&str]) -> Value {
    let mirror = mirror();
    let words = [&["doctor", workshop.recipe, "--mirror", &mirror, "--format", "json"], more].concat();
    serde_json::from_str(&workshop.run(&words).fine()).unwrap()
}

fn found<'a>(diagnosis: &'a Value, check: &str) -> &'a Value {
    let checks = diagnosis["checks"].as_array().unwrap();
    checks.iter().find(|it| it["check"] == check).unwrap_or_else(|| panic!("no {check} in {diagnosis}"))
}

#[test]
fn doctor_finds_what_each_engine_is_who_we_are_and_what_time_it_is() {
    for which in ALL {
        let workshop = Workshop::tiny(which);
        let diagnosis = checked(&workshop, &[]);
        assert_eq!(diagnosis["ready"], true, "{diagnosis}");
        let version = if which == Which::Old {
            "Docker 20.10.24+dfsg1, API 1.41"
        } else {
            "Docker 26.1.5+dfsg1, API 1.45"
        };
        assert!(found(&diagnosis, "engine")["message"].as_str().unwrap().starts_with(version), "{diagnosis}");
        let store = if which == Which::Containerd { "fine" } else { "note" };
        assert_eq!(found(&diagnosis, "image-store")["severity"], store, "{which:?}");
        assert!(found(&diagnosis, "disk")["message"].as_str().unwrap().contains("GiB free in"));
        assert!(found(&diagnosis, "aws")["message"].as_str().unwrap().contains("us-west-2"), "{diagnosis}");
        assert!(found(&diagnosis, "ecr")["message"].as_str().unwrap().starts_with("a login"), "{diagnosis}");
        // A registry on this machine has its clock.
        assert_eq!(found(&diagnosis, "clock")["severity"], "fine", "{diagnosis}");
    }
}

#[test]
fn offline_asks_nobody_and_says_so() {
    let diagnosis = checked(&Workshop::tiny(Which::Containerd), &["--offline"]);
    for check in ["aws", "clock"] {
        assert_eq!(found(&diagnosis, check)["severity"], "unknown", "{diagnosis}");
    }
}

#[test]
fn a_foreign_image_is_told_what_this_builder_can_run() {
    let workshop = Workshop::tiny(Which::Containerd);
    let diagnosis = checked(&workshop, &["--arch", "arm64", "--offline"]);
    let platform = found(&diagnosis, "platform");
    assert!(platform["message"].as_str().unwrap().contains("linux/arm64"), "{platform}");
    assert!(matches!(platform["severity"].as_str(), Some("note" | "warning")), "{platform}");
}

#[test]
fn without_an_engine_doctor_says_what_to_do_and_ends_with_nine() {
    let place = Place::new();
    let ended = Ended::of(&mut place.program(&["doctor", "--offline"]));
    assert!(ended.out.contains("FAILS    engine"), "{}", ended.out);
    assert!(ended.out.contains("DOCKER_HOST"), "{}", ended.out);
    ended.failed(9, &["this machine is not ready for a build"]);
}
