//! `smp-image check` and `smp-image smoke`: what they say of a good image and of one that somebody tampered with.

use quick_junit::{NonSuccessKind, Report as Junit, TestCaseStatus};
use serde_json::Value;

use super::{Workshop, mirror, report};
use crate::workbench::{ALL, BASE, Which, docker, unique, variable};

/// What a release says where there is no GPU, word for word: pipelines look for it.
const NO_GPU: &str = "skipped: no GPU";

impl Workshop {
    /// Runs `check` or `smoke` on the image `name` in `format`.
    fn look(&self, verb: &str, name: &str, format: &str) -> crate::program::Ended {
        self.run(&[verb, name, "--recipe", self.recipe, "--format", format])
    }

    /// Builds an image on top of this one, as somebody does who does not know better, under a new name.
    fn tampered(&self, instructions: &str) -> Self {
        let other = Self::small(self.which);
        let folder = tempfile::tempdir().unwrap();
        let text = format!("FROM {}\n{instructions}\n", self.tag);
        std::fs::write(folder.path().join("Dockerfile"), text).unwrap();
        docker(
            self.which,
            &["build", "--quiet", "--network", "none", "--tag", &other.tag, folder.path().to_str().unwrap()],
        );
        other
    }
}

/// Returns the cases of a suite with whether each passed.
fn cases(xml: &str, suite: &str) -> Vec<(String, TestCaseStatus)> {
    let junit = Junit::deserialize_from_str(xml).unwrap_or_else(|error| panic!("{error}: {xml}"));
    let suite = junit.test_suites.iter().find(|found| found.name.as_str() == suite).unwrap();
    suite.test_cases.iter().map(|case| (case.name.to_string(), case.status.clone())).collect()
}

fn failures(cases: &[(String, TestCaseStatus)]) -> Vec<&str> {
    let failed = |status: &TestCaseStatus| {
        matches!(status, TestCaseStatus::NonSuccess { kind: NonSuccessKind::Failure, .. })
    };
    cases.iter().filter(|(_, status)| failed(status)).map(|(name, _)| name.as_str()).collect()
}

fn grave(report: &Value) -> Vec<(&str, &str)> {
    let findings = report["inspection"]["findings"].as_array().unwrap().iter();
    let grave = findings.filter(|finding| finding["severity"] == "error");
    grave.map(|finding| (finding["rule"].as_str().unwrap(), finding["subject"].as_str().unwrap())).collect()
}

#[test]
fn an_image_is_read_the_same_from_engine_registry_folder_and_file() {
    let workshop = Workshop::tiny(Which::Containerd);
    let folder = tempfile::tempdir().unwrap();
    let (file, layout) = (folder.path().join("saved.tar"), folder.path().join("layout"));
    docker(workshop.which, &["save", "--output", file.to_str().unwrap(), BASE]);
    // What the containerd store exports is an OCI layout in an archive.
    tar::Archive::new(std::fs::File::open(&file).unwrap()).unpack(&layout).unwrap();
    let registry = variable("SMP_WB_REGISTRY");
    let names = [
        BASE.to_owned(),
        format!("docker-daemon:{BASE}"),
        format!("docker://{registry}/library/{BASE}"),
        format!("docker://{BASE}"),
        // The engine has no image of this name; its registry has.
        format!("{registry}/library/{BASE}"),
        format!("oci:{}", layout.display()),
        format!("docker-archive:{}", file.display()),
    ];
    let seen = names.map(|name| {
        let json = report(&workshop.run(&["check", &name, "--mirror", &mirror(), "--format", "json"]).fine());
        let inspection = &json["inspection"];
        let layers = inspection["layers"].as_array().unwrap().iter();
        let layers: Vec<String> = layers.map(|layer| layer["diff_id"].to_string()).collect();
        (layers, inspection["read"]["files"].clone(), inspection["config"]["digest"].clone())
    });
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:#?}");
}

#[test]
fn what_changed_between_two_images_is_told_across_places() {
    let workshop = Workshop::tiny(Which::Graph);
    let tag = unique("smp-image-test/changed");
    let folder = tempfile::tempdir().unwrap();
    let text = format!("FROM {BASE}\nENV FI_PROVIDER=efa\nRUN echo more > /more\n");
    std::fs::write(folder.path().join("Dockerfile"), text).unwrap();
    let context = folder.path().to_str().unwrap();
    docker(workshop.which, &["build", "--quiet", "--network", "none", "--tag", &tag, context]);
    let before = format!("docker://{BASE}");
    let same = workshop.run(&["diff", &before, BASE, "--mirror", &mirror()]).fine();
    let other = workshop.run(&["diff", &before, &tag, "--mirror", &mirror()]).fine();
    docker(workshop.which, &["rmi", &tag]);
    assert!(!same.contains("FI_PROVIDER"), "{}", same);
    assert!(other.contains("FI_PROVIDER") && other.contains("transport-variable"), "{}", other);
}

#[test]
fn a_good_image_is_told_in_text_json_and_junit() {
    let workshop = Workshop::small(Which::Containerd);
    let _built = workshop.built(&["--locked"]);
    let text = workshop.look("check", &workshop.tag, "text").fine();
    assert!(text.contains("nccl       2.19.3  2.19.3"), "{text}");
    assert!(text.contains("layers, ") && text.contains("Findings"), "{text}");
    let json = report(&workshop.look("check", &workshop.tag, "json").fine());
    assert_eq!(grave(&json), []);
    assert_eq!(json["inspection"]["components"].as_array().unwrap().len(), 2, "{json}");
    let xml = workshop.look("check", &workshop.tag, "junit").fine();
    let checked = cases(&xml, "check");
    assert!(checked.len() > 10 && failures(&checked).is_empty(), "{xml}");

    let text = workshop.look("smoke", &workshop.tag, "text").fine();
    assert!(text.contains("passed   nccl-version           NCCL 2.19.3 from"), "{text}");
    assert_eq!(text.matches(NO_GPU).count(), 6, "{text}");
    assert!(text.contains("Reached    tier 1: 2 passed; tier 2: 4 skipped (no GPU); tier 3: 2 skipped (no GPU); tier 4: 1 skipped (one node)"), "{text}");
    let json = report(&workshop.look("smoke", &workshop.tag, "json").fine());
    assert_eq!(json["probes"].as_array().unwrap().len(), 9, "{json}");
    let xml = workshop.look("smoke", &workshop.tag, "junit").fine();
    let junit = Junit::deserialize_from_str(&xml).unwrap();
    let skipped = junit.test_suites[0].test_cases.iter().filter(|case| {
        matches!(&case.status, TestCaseStatus::Skipped { message: Some(message), .. } if message.as_str() == NO_GPU)
    });
    assert_eq!((junit.tests, skipped.count()), (9, 6), "{xml}");
    // Nothing of it stays in the engine.
    let left = docker(
        Which::Containerd,
        &["ps", "--all", "--quiet", "--filter", &format!("ancestor={}", workshop.tag)],
    );
    assert_eq!(left, "");
}

#[test]
fn an_image_without_its_library_is_refused_by_check_and_smoke_which_name_it() {
    for which in ALL {
        let workshop = Workshop::small(which);
        let _built = workshop.built(&["--locked"]);
        let bad =
            workshop.tampered("RUN rm /opt/venv/lib/python3.13/site-packages/nvidia/nccl/lib/libnccl.so.2");
        let json = bad.look("check", &bad.tag, "json");
        assert_eq!(json.code, 6, "{which:?}: {}\n{}", json.out, json.err);
        assert!(json.err.contains("error"), "{}", json.err);
        let json = report(&json.out);
        assert!(grave(&json).iter().any(|(_, subject)| *subject == "nccl"), "{which:?}: {:?}", grave(&json));
        let smoke = bad.look("smoke", &bad.tag, "junit");
        assert_eq!(smoke.code, 6, "{which:?}: {}", smoke.err);
        assert_eq!(failures(&cases(&smoke.out, "smoke")), ["libraries", "nccl-version"], "{which:?}");
    }
}

#[test]
fn a_tampered_image_under_the_name_of_a_good_one_is_not_released_and_nothing_is_pushed() {
    let workshop = Workshop::small(Which::Graph);
    let _built = workshop.built(&["--locked"]);
    let metadata = "/opt/venv/lib/python3.13/site-packages/nvidia_nccl_cu12-2.19.3.dist-info/METADATA";
    // It keeps the labels of the good one: only looking into it tells them apart.
    let bad = workshop.tampered(&format!("RUN sed -i 's/^Version: .*/Version: 2.18.1/' {metadata}"));
    let destination = format!("{}/{}:1", variable("SMP_WB_REGISTRY"), unique("live/tampered"));
    let ended = bad.release(&destination, &["--locked", "--format", "json", "--quiet"]);
    assert_eq!(ended.code, 6, "{}\n{}", ended.out, ended.err);
    assert!(ended.err.contains("is not released, nothing was pushed"), "{}", ended.err);
    assert!(ended.err.contains("hint: "), "{}", ended.err);
    let said = report(&ended.out);
    assert_eq!(
        (&said["build"]["outcome"], &said["verdict"]["verdict"]),
        (&"unchanged".into(), &"refused".into())
    );
    assert!(said["verdict"]["reasons"].to_string().contains("2.18.1"), "{}", said["verdict"]);
    assert!(said["push"].is_null());
    let pull = std::process::Command::new(variable("SMP_WB_DOCKER"))
        .env("DOCKER_HOST", Which::Graph.address())
        .args(["pull", "--quiet", &destination])
        .output()
        .unwrap();
    assert!(!pull.status.success(), "{destination} was pushed");
}

#[test]
fn without_a_recipe_only_what_needs_none_is_looked_at() {
    let workshop = Workshop::tiny(Which::Graph);
    let _built = workshop.built(&[]);
    let json = report(&workshop.run(&["check", &workshop.tag, "--format", "json"]).fine());
    // What is found unasked is told; nothing is declared that could be missing.
    let found = json["inspection"]["components"].as_array().unwrap();
    assert_eq!(found[0]["component"], "os");
    assert!(found.iter().all(|component| component["declared"] == Value::Null), "{found:?}");
    workshop.run(&["smoke", &workshop.tag]).failed(6, &["probes failed"]);
    workshop
        .run(&["smoke", &workshop.tag, "--probe", "imports"])
        .failed(2, &["no probe `imports` follows", "--recipe"]);
    workshop
        .run(&["check", "smp/nowhere:1"])
        .failed(2, &["the engine has no image `smp/nowhere:1`", "hint: "]);
    workshop
        .run(&["check", &workshop.tag, "--arch", "arm64"])
        .failed(2, &["is linux/amd64, not linux/arm64", "hint: say --arch amd64"]);
}
