//! SageMaker Studio and Code Editor: a real Docker 20.10 behind a stand-in that enforces Studio's documented refusals in their words.

use std::process::Command;

use serde_json::Value;
use smp_image::lock::{Lock, Pin};
use smp_image::oci::Digest;

use super::{TINY, WHEEL, Workshop, mirror, report, wheel_lock};
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

/// What docs/build.md tells of a base that trusts a company's authority; here each certificate of this machine is one.
const COMPANY: &str = "FROM debian:trixie-slim\n\
    COPY *.crt /usr/local/share/ca-certificates/\n\
    RUN update-ca-certificates\n";

/// How a domain without a way out knows the company's base.
const ECR_BASE: &str = "111122223333.dkr.ecr.us-west-2.amazonaws.com/company/debian:trixie";

/// What a user's catalogue says of it.
const FACTS: &str = r#"[[image]]
repository = "111122223333.dkr.ecr.*.amazonaws.com/company/debian"
tag = "trixie"
os = { id = "debian", version = "13", glibc = "2.41", python = "3.13" }
carries = {}
fact = { source = "the company's Dockerfile", date = "2026-11-24", confidence = "documented" }
"#;

/// Builds the company's base in the old engine, which keeps it under [`ECR_BASE`].
fn company_base() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = std::env::var("SSL_CERT_FILE").unwrap_or("/etc/ssl/certs/ca-certificates.crt".to_owned());
    let bundle = std::fs::read_to_string(bundle).unwrap();
    let end = "-----END CERTIFICATE-----";
    for (number, certificate) in bundle.split_inclusive(end).filter(|part| part.contains(end)).enumerate() {
        let start = certificate.find("-----BEGIN").unwrap();
        std::fs::write(folder.path().join(format!("{number}.crt")), format!("{}\n", &certificate[start..]))
            .unwrap();
    }
    std::fs::write(folder.path().join("Dockerfile"), COMPANY).unwrap();
    let mut build = Command::new(variable("SMP_WB_DOCKER"));
    build.args(["build", "--quiet", "--tag", ECR_BASE]).arg(folder.path());
    build.env("DOCKER_BUILDKIT", "0").env("DOCKER_CONFIG", variable("SMP_WB_DOCKER_CONFIG"));
    let output = build.env("DOCKER_HOST", Which::Old.address()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn over_a_base_that_trusts_the_companys_authority_wheels_are_built_in_studio_also_in_a_domain_without_a_way_out()
 {
    company_base();
    let recipe = WHEEL.replace("debian:trixie-slim", ECR_BASE);
    let mut lock = Lock::parse("wheel.lock", wheel_lock()).unwrap();
    lock.recipe.digest = Digest::of(&recipe);
    lock.base.image = ECR_BASE.parse().unwrap();
    lock.base.digest = Pin::Unresolved("out of reach".to_owned());
    for socket in ["SMP_WB_STUDIO", "SMP_WB_STUDIO_VPC"] {
        let workshop = Workshop::wheel(Which::Old);
        workshop.place.write("wheel.toml", &recipe);
        workshop.place.write("wheel.lock", &lock.to_text());
        workshop.place.write("facts.toml", FACTS);
        let words = ["build", "wheel.toml", "--tag", &workshop.tag, "--catalog", "facts.toml", "--no-cache"];
        let ended = studio(&workshop, socket, &words);
        assert!(ended.err.contains("Successfully installed packaging"), "{socket}: {}", ended.err);
        let _built = ended.fine();
        let script = "import packaging; print(packaging.__version__)";
        let said =
            docker(Which::Old, &["run", "--rm", "--network", "none", &workshop.tag, "python3", "-c", script]);
        assert_eq!(said, "24.2", "{socket}");
        // The certificates are the base's: the build brings none, and names none.
        let brought = brought(&workshop);
        assert!(
            brought.iter().any(|path| path.contains("packaging-24.2.dist-info/")),
            "{socket}: {brought:?}"
        );
        let certificates = |path: &&String| {
            ["etc/ssl/", "usr/local/share/ca-certificates/", "ca-bundle", "run/secrets"]
                .iter()
                .any(|place| path.contains(place))
        };
        assert_eq!(brought.iter().find(certificates), None, "{socket}");
        let history = docker(Which::Old, &["history", "--no-trunc", &workshop.tag]);
        assert!(history.contains("COPY") && !history.contains("CERTIFICATE"), "{socket}: {history}");
    }
}

/// Returns the paths in the layers that the image of `workshop` has above [`ECR_BASE`].
fn brought(workshop: &Workshop) -> Vec<String> {
    let layers = |name: &str| {
        let words = ["image", "inspect", "--format", "{{json .RootFS.Layers}}", name];
        serde_json::from_str::<Vec<String>>(&docker(Which::Old, &words)).unwrap()
    };
    let (base, whole) = (layers(ECR_BASE), layers(&workshop.tag));
    assert_eq!(whole[..base.len()], base);
    let folder = workshop.place.path("saved");
    let file = workshop.place.path("saved.tar");
    docker(Which::Old, &["save", "--output", file.to_str().unwrap(), &workshop.tag]);
    tar::Archive::new(std::fs::File::open(file).unwrap()).unpack(&folder).unwrap();
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    let above = manifest[0]["Layers"].as_array().unwrap()[base.len()..].iter();
    let paths = above.flat_map(|layer| {
        let layer = std::fs::File::open(folder.join(layer.as_str().unwrap())).unwrap();
        let mut archive = tar::Archive::new(layer);
        let paths =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
        paths.collect::<Vec<_>>()
    });
    paths.collect()
}
