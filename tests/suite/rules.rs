//! Every rule of `check` is proven: an image of small real parts that only this rule finds, and its report, kept in `tests/golden/check/`.

mod demo;
mod parts;
mod seeds;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use smp_image::check::{Inspection, RULES, RuleCode, Runs, Severity, Target, inspect};
use smp_image::recipe::Component;
use smp_image::report::text::{Style, render};
use smp_image::report::{FORMAT, Report, json, junit, sarif};
use smp_image::verdict::Subject;

use crate::golden;
use parts::{Image, Library};
use seeds::{SEEDS, sound};

/// Rules whose fault no small image has, with where they are proven.
const PROVEN_ELSEWHERE: [(&str, &str); 3] = [
    ("unreadable-layer", "check::tests: a layer whose packed bytes are damaged"),
    ("large-layer", "check::rules::layer_sizes: a layer of 42 GB is a number there"),
    ("silences-nothing", "below: it is no fault of an image"),
];

fn look(image: &Image, target: &Target) -> Inspection {
    let mut inspection = inspect(image.archive().as_slice(), target).unwrap();
    inspection.read.took = 0.0;
    inspection
}

/// The rules of all findings that say more than that something is worth knowing.
fn rules(inspection: &Inspection) -> BTreeSet<&'static str> {
    let grave = inspection.findings.iter().filter(|finding| finding.severity != Severity::Info);
    grave.map(|finding| finding.rule.name()).collect()
}

fn report(inspection: Inspection) -> Report {
    let platform = inspection.platform;
    Report {
        format: FORMAT,
        tool: "smp-image 0.0.0".to_owned(),
        recipe: None,
        catalog: None,
        image: Some(Subject { reference: "seeded:1".to_owned(), id: inspection.config.digest, platform }),
        machine: None,
        build: None,
        inspection: Some(inspection),
        probes: None,
        grade: None,
        verdict: None,
        push: None,
    }
}

/// Sizes and digests depend on the compiler of the machine: they say nothing of the rules.
fn steady(text: &str) -> String {
    let kept =
        text.lines().filter(|line| !line.starts_with("Looked at") && !line.contains("linux/amd64, sha256:"));
    let mut within_layers = false;
    let mut steady = String::new();
    for line in kept {
        within_layers = line.starts_with("Layer ") || (within_layers && !line.is_empty());
        if !within_layers {
            steady += line;
            steady.push('\n');
        }
    }
    steady
}

#[test]
fn the_sound_image_has_no_finding_and_runs_everywhere() {
    let (image, target) = sound();
    let inspection = look(&image, &target);
    assert_eq!(inspection.findings, [], "{:#?}", inspection.findings);
    assert!(
        inspection.instances.iter().all(|verdict| verdict.verdict == Runs::Ok),
        "{:?}",
        inspection.instances
    );
    assert_eq!(inspection.libraries.len(), 2);
}

#[test]
fn golden_report_of_every_seeded_fault_which_its_rule_alone_finds() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/check");
    for seed in SEEDS {
        let (mut image, mut target) = sound();
        (seed.sow)(&mut image, &mut target);
        let inspection = look(&image, &target);
        assert_eq!(
            rules(&inspection),
            BTreeSet::from([seed.rule]),
            "{}: {:#?}",
            seed.name,
            inspection.findings
        );
        let text = render(&report(inspection), Style { colour: false, width: 120 });
        golden::equals(&folder.join(format!("{}.{}.txt", seed.rule, seed.name)), &steady(&text));
    }
}

#[test]
fn an_error_that_stops_a_training_means_that_it_cannot_run_and_any_other_that_it_does_not_pass() {
    for (name, expected) in [
        ("torch-asks-for-libnuma", Runs::CannotRun),
        ("the-plugin-asks-for-libhwloc", Runs::Refused),
        ("nccl-was-built-for-a-newer-libc", Runs::CannotRun),
        ("nccl-wants-one-from-glibc-2.41", Runs::CannotRun),
        ("torchvision-was-built-for-another-torch", Runs::Refused),
        ("its-packages-have-two-versions", Runs::CannotRun),
        ("the-stock-wheel-lies-over-smp", Runs::CannotRun),
        ("there-are-too-many-layers", Runs::CannotRun),
        ("flash-attn-is-not-there", Runs::CannotRun),
        ("another-nccl-than-the-lock-says", Runs::Refused),
        ("plugin-and-nccl-share-no-interface", Runs::Refused),
        ("the-plugin-is-on-no-path", Runs::Refused),
        ("libfabric-was-built-without-efa", Runs::Refused),
        ("a-module-of-python-asks-for-libgomp", Runs::Ok),
    ] {
        let (mut image, mut target) = sound();
        (SEEDS.iter().find(|seed| seed.name == name).unwrap().sow)(&mut image, &mut target);
        let inspection = look(&image, &target);
        assert_eq!(inspection.instances[0].verdict, expected, "{name}: {:#?}", inspection.findings);
        let stops = inspection.findings.iter().any(|finding| finding.stops);
        assert_eq!(stops, expected == Runs::CannotRun, "{name}");
    }
}

#[test]
fn a_missing_component_that_no_training_loads_leaves_an_image_that_may_run() {
    for (component, expected) in [(Component::Gdrcopy, Runs::Refused), (Component::Pytorch, Runs::CannotRun)]
    {
        let (image, mut target) = sound();
        target.expectations = vec![seeds::expect(component, "9.9.9", "not-there")];
        assert_eq!(look(&image, &target).instances[0].verdict, expected, "{component}");
    }
}

#[test]
fn two_libraries_of_one_name_and_size_with_other_contents_are_no_duplicates() {
    let (mut image, target) = sound();
    let mut large = Library::default().built();
    for folder in ["usr/local/cuda/lib64", "opt/other"] {
        // Behind everything that the tables of the file name.
        large.resize(17 << 20, 0);
        large[16 << 20] += 1;
        image.layers[0].put(&format!("{folder}/libcublas.so.12"), &large);
    }
    assert_eq!(look(&image, &target).findings, []);
}

#[test]
fn every_rule_has_a_seeded_fault() {
    let seeded: BTreeSet<&str> =
        SEEDS.iter().map(|seed| seed.rule).chain(PROVEN_ELSEWHERE.iter().map(|(rule, _)| *rule)).collect();
    let all: BTreeSet<&str> = RuleCode::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(all.difference(&seeded).collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn a_silence_hides_its_finding_says_why_and_is_named_when_it_is_idle() {
    let (mut image, mut target) = sound();
    image.env.push("NCCL_PROTO=simple".to_owned());
    let silence = |rule, subject, reason| smp_image::check::Silence::new(rule, subject, reason).unwrap();
    target.silences = vec![
        silence(RuleCode::TransportVariable, Some("NCCL_*"), "measured: this cluster needs it"),
        silence(RuleCode::CudaCompat, None, "old nodes"),
    ];
    let inspection = look(&image, &target);
    assert_eq!(inspection.silenced.len(), 1);
    assert_eq!(inspection.findings.len(), 1);
    assert_eq!(inspection.findings[0].rule, RuleCode::SilencesNothing);
    let text = render(&report(inspection), Style::default());
    assert!(text.contains("reason: measured: this cluster needs it"), "{text}");
    assert!(text.contains("silences-nothing: cuda-compat"), "{text}");
}

#[test]
fn transformer_engine_is_not_blamed_where_its_module_finds_everything() {
    let findings = |version: &str, sow: fn(&mut Image)| {
        let (mut image, target) = sound();
        seeds::transformer_engine(image.layers.last_mut().unwrap(), version);
        sow(&mut image);
        rules(&look(&image, &target))
    };
    let none = BTreeSet::new();
    assert_eq!(findings("2.10.0", |_| {}), none, "before 2.11 no folder is insisted on");
    let link = |image: &mut Image| {
        let link = format!("{}/nvidia/cudart", seeds::SITE);
        image.layers.last_mut().unwrap().links.insert(link, "cuda_runtime".to_owned());
    };
    assert_eq!(findings("2.20.2", link), none, "our own images have this link");
    let toolkit = |image: &mut Image| {
        let layer = image.layers.last_mut().unwrap();
        layer.put("usr/local/cuda-12.4/targets/x86_64-linux/lib/libnvrtc.so.12", "");
        layer.links.insert("usr/local/cuda".to_owned(), "/etc/alternatives/cuda".to_owned());
        layer.links.insert("etc/alternatives/cuda".to_owned(), "/usr/local/cuda-12.4".to_owned());
    };
    assert_eq!(findings("2.20.2", toolkit), none, "NVRTC of a toolkit is enough");
    let plain = |image: &mut Image| {
        let layer = image.layers.last_mut().unwrap();
        layer.links.insert(
            "usr/lib/x86_64-linux-gnu/libcurand.so".to_owned(),
            format!("/{}/nvidia/curand/lib/libcurand.so.10", seeds::SITE),
        );
    };
    assert_eq!(findings("2.20.2", plain), none, "the loader finds cuRAND by its plain name");
    let stub = |image: &mut Image| {
        image.layers.last_mut().unwrap().put("usr/local/cuda/lib64/stubs/libnvrtc.so", "");
    };
    assert_eq!(
        findings("2.20.2", stub),
        BTreeSet::from(["transformer-engine-import"]),
        "a stub counts for nothing"
    );
}

/// Transformer Engine's PyTorch module calls the kernels of its core library and holds none; an older one does.
#[test]
fn an_extension_without_gpu_code_is_no_gap_and_one_with_too_little_is() {
    let path = format!("{}/transformer_engine_torch.cpython-311-x86_64-linux-gnu.so", seeds::SITE);
    let with = |library: parts::Library| {
        let (mut image, target) = sound();
        image.layers.last_mut().unwrap().put(&path, library.built());
        look(&image, &target)
    };
    assert_eq!(with(parts::Library::default()).findings, []);
    let few = with(parts::Library { gpu: parts::fatbin(&[80], &[]), ..parts::Library::default() });
    assert_eq!(few.findings.len(), 1, "{:#?}", few.findings);
    assert!(few.findings[0].evidence.contains("has no sm_90"), "{:?}", few.findings[0]);
}

/// nvidia-cutlass-dsl brings them in its wheels for x86-64.
#[test]
fn stubs_for_the_machines_that_a_compiler_compiles_for_are_no_foreign_binaries() {
    let mut library = parts::Library::default().built();
    library[18] = 183;
    let found = |path: &str| {
        let (mut image, target) = sound();
        image.layers.last_mut().unwrap().put(&format!("{}/{path}", seeds::SITE), library.clone());
        look(&image, &target).findings.len()
    };
    assert_eq!(found("cutlass/lib/stubs/aarch64-unknown-linux-gnu/libcute.so"), 0);
    assert_eq!(found("cutlass/lib/stubs/libcute.so"), 1);
    assert_eq!(found("cutlass/lib/aarch64-unknown-linux-gnu/libcute.so"), 1);
}

#[test]
fn without_a_target_instances_are_judged_and_nothing_fails_for_them() {
    let (image, mut target) = sound();
    target.instances.clear();
    target.chosen = smp_image::check::Chosen::Nobody;
    let inspection = look(&image, &target);
    assert_eq!(inspection.findings, []);
    let verdict = |name: &str| inspection.instances.iter().find(|verdict| verdict.instance == name).unwrap();
    assert_eq!(verdict("ml.p5.48xlarge").verdict, Runs::Ok);
    let b200 = verdict("ml.p6-b200.48xlarge");
    assert_eq!(b200.verdict, Runs::CannotRun);
    assert!(b200.reasons.iter().any(|reason| reason == "libnccl 2.21.5 has no sm_100"), "{:?}", b200.reasons);
}

#[test]
fn every_form_of_the_report_tells_the_same_fault() {
    let (mut image, target) = sound();
    (SEEDS.iter().find(|seed| seed.rule == "gpu-code-missing").unwrap().sow)(&mut image, &mut target.clone());
    let report = report(look(&image, &target));
    let document: serde_json::Value = serde_json::from_str(&json::render(&report).unwrap()).unwrap();
    let schema = serde_json::to_value(json::schema()).unwrap();
    parts::holds(&schema, &document);
    let inspection = &document["inspection"];
    assert_eq!(inspection["findings"][0]["rule"], "gpu-code-missing");
    assert_eq!(inspection["instances"][0]["verdict"], "cannot-run");
    let nccl = inspection["libraries"]
        .as_array()
        .unwrap()
        .iter()
        .find(|library| library["path"].as_str().unwrap().ends_with("libnccl.so.2"));
    assert_eq!(nccl.unwrap()["sass"], serde_json::json!(["sm_70", "sm_80"]));
    let sarif: serde_json::Value = serde_json::from_str(&sarif::render(&report).unwrap()).unwrap();
    // As published: 2.1.0-rtm.3 of the OASIS technical committee, as SchemaStore distributes it.
    let published: serde_json::Value =
        serde_json::from_str(include_str!("../support/sarif-2.1.0.json")).unwrap();
    parts::holds(&published, &sarif);
    let run = &sarif["runs"][0];
    let result = &run["results"][0];
    assert_eq!(
        (result["ruleId"].as_str(), result["level"].as_str()),
        (Some("gpu-code-missing"), Some("error"))
    );
    let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
    assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
    assert_eq!(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], seeds::NCCL);
    assert!(junit::render(&report).unwrap().contains("has no sm_90"));
}

#[test]
fn sarif_keeps_to_its_published_schema_whatever_was_found_or_silenced() {
    let published: serde_json::Value =
        serde_json::from_str(include_str!("../support/sarif-2.1.0.json")).unwrap();
    let hold = |image: &Image, target: &Target, results: usize| {
        let sarif: serde_json::Value =
            serde_json::from_str(&sarif::render(&report(look(image, target))).unwrap()).unwrap();
        parts::holds(&published, &sarif);
        assert!(sarif["runs"][0]["results"].as_array().unwrap().len() >= results, "{sarif:#}");
    };
    let (image, target) = sound();
    hold(&image, &target, 0);
    for seed in SEEDS {
        let (mut image, mut target) = sound();
        (seed.sow)(&mut image, &mut target);
        hold(&image, &target, 1);
    }
    let (mut image, mut target) = sound();
    image.env.push("NCCL_PROTO=simple".to_owned());
    let silence = smp_image::check::Silence::new(RuleCode::TransportVariable, None, "measured").unwrap();
    target.silences = vec![silence];
    hold(&image, &target, 1);
}

/// Returns the table of rules as `docs/check.md` has it.
fn table() -> String {
    let mut table = String::from("| code | what it says | what goes wrong |\n|---|---|---|\n");
    for rule in RULES {
        for code in rule.codes {
            writeln!(table, "| `{code}` | {} | {} |", code.meaning(), rule.story).unwrap();
        }
    }
    table
}

#[test]
fn golden_table_of_rules_in_the_documentation() {
    const BEGIN: &str = "<!-- rules: written by `make golden` -->\n";
    const END: &str = "<!-- end of rules -->";
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/check.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    golden::equals(&path, &format!("{before}{BEGIN}{}{END}{after}", table()));
}

#[test]
fn every_story_names_a_source_or_is_plain_from_the_format() {
    for rule in RULES {
        assert!(rule.story.len() > 80 && rule.promise.ends_with('.'), "{:?}", rule.codes);
    }
}
