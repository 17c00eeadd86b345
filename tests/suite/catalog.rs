//! `smp-image catalog` as a user meets it: lists, filters, files of one's own, and what is wrong with them.

use std::fs;
use std::path::{Path, PathBuf};

use smp_image::catalog::{Catalog, TABLES};
use smp_image::recipe::{Component, Recipe, Source};

use crate::golden;
use crate::program::{Ended, Place};

/// Facts of a user: one that overrides, one that adds.
const OWN: &str = r#"[[efa]]
version = "1.48.0"
released = "2026-04-14"
plugin = "1.19.0"
sha256 = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
fact = { source = "example.com/mirror, checked by hand", date = "2026-11-24", confidence = "documented" }

[[known-issue]]
component = "efa"
versions = "==1.50.0"
sentence = "It hangs on our switches."
remedy = "Take 1.48.0."
fact = { source = "example.com/incident/7", date = "2026-11-24", confidence = "inferred" }
"#;

/// 2026-11-30: ages do not depend on the day on which the test runs.
const TODAY: &str = "1796032800";

fn run(place: &Place, arguments: &[&str]) -> Ended {
    Ended::of(place.program(arguments).env("SOURCE_DATE_EPOCH", TODAY))
}

fn json(place: &Place, arguments: &[&str]) -> serde_json::Value {
    let all: Vec<&str> = arguments.iter().copied().chain(["--format", "json"]).collect();
    serde_json::from_str(&run(place, &all).fine()).unwrap()
}

fn golden_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/catalog").join(name)
}

#[test]
fn golden_bad_files_of_facts_are_refused_with_file_line_and_what_to_do() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors/catalog");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 20, "only {} files", files.len());
    let place = Place::new();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        place.write(name, &fs::read_to_string(&file).unwrap());
        for verb in [&["catalog"][..], &["lock", "quickstart"], &["plan", "quickstart"]] {
            let arguments: Vec<&str> = verb.iter().copied().chain(["--catalog", name]).collect();
            let report = run(&place, &arguments).failed(3, &[&format!("{name}:"), "help: "]);
            golden::equals(&file.with_extension("txt"), &report);
        }
    }
}

#[test]
fn golden_lists_are_told_in_text() {
    let place = Place::new();
    place.write("own.toml", OWN);
    for (name, arguments) in [
        ("overview.txt", &["catalog"][..]),
        ("instances.txt", &["catalog", "instances", "--filter", "h100"]),
        ("own.txt", &["catalog", "efa", "--catalog", "own.toml", "--filter", "1.48.0", "--sources"]),
        ("constraints.txt", &["catalog", "constraint", "--sources"]),
    ] {
        golden::equals(&golden_file(name), &run(&place, arguments).fine());
    }
}

#[test]
fn every_fact_of_every_table_is_listed_with_its_source_and_age() {
    let place = Place::new();
    let document = json(&place, &["catalog"]);
    let facts = document["facts"].as_array().unwrap();
    assert_eq!(facts.len(), Catalog::embedded().unwrap().facts().count());
    for (table, _) in TABLES {
        let of_table = || facts.iter().filter(|fact| fact["table"] == *table);
        assert!(of_table().count() > 0, "no fact in {table}");
        let text = run(&place, &["catalog", table, "--sources"]).fine();
        for fact in of_table() {
            let subject: Vec<&str> = fact["subject"].as_str().unwrap().split_whitespace().collect();
            assert!(subject.iter().all(|word| text.contains(word)), "{subject:?} is not in\n{text}");
        }
    }
    for fact in facts {
        assert!(fact["source"].as_str().is_some_and(|source| source.len() > 3), "{fact}");
        assert!(fact["age_days"].is_u64(), "{fact}");
        assert!(fact["says"].as_object().is_some_and(|says| !says.is_empty()), "{fact}");
    }
}

#[test]
fn a_component_means_every_table_that_speaks_of_it() {
    let place = Place::new();
    let document = json(&place, &["catalog", "nccl"]);
    let tables: Vec<&str> =
        document["facts"].as_array().unwrap().iter().map(|fact| fact["table"].as_str().unwrap()).collect();
    for table in ["instance-needs", "nccl-abi", "gpu-code", "constraint", "release", "packages"] {
        assert!(tables.contains(&table), "{table} is not in {tables:?}");
    }
    assert!(!tables.contains(&"instance"));
}

#[test]
fn facts_are_filtered_by_words_confidence_and_age() {
    let place = Place::new();
    let count = |arguments: &[&str]| json(&place, arguments)["facts"].as_array().unwrap().len();
    let all = count(&["catalog"]);
    let of: Vec<usize> = ["documented", "computed", "second-hand", "community", "inferred"]
        .iter()
        .map(|confidence| count(&["catalog", "--confidence", confidence]))
        .collect();
    assert!(of.iter().all(|count| *count > 0), "{of:?}");
    assert_eq!(of.iter().sum::<usize>(), all);
    assert_eq!(count(&["catalog", "--older-than", "100000"]), 0);
    assert_eq!(count(&["catalog", "--older-than", "1"]), all);
    assert_eq!(count(&["catalog", "instance", "--filter", "P5", "--filter", "h200"]), 2);
    let nothing = run(&place, &["catalog", "--filter", "no such words"]);
    assert!(nothing.err.contains("no fact fits"), "{nothing:?}");
}

#[test]
fn an_unknown_name_is_refused_with_the_nearest() {
    let place = Place::new();
    let _said = run(&place, &["catalog", "instanec"]).failed(2, &["did you mean `instance`?"]);
    let _said =
        run(&place, &["catalog", "--catalog", "absent.toml"]).failed(3, &["absent.toml", "docs/catalog.md"]);
}

#[test]
fn what_a_file_overrides_is_said_in_every_report() {
    let place = Place::new();
    place.write("own.toml", OWN);
    let (overridden, digest) =
        ("own.toml:1 overrides efa 1.48.0: ", format!("sha256 sha256:{} instead of nothing", "2".repeat(64)));
    let plan = ["plan", "quickstart", "--catalog", "own.toml"];
    let ended = run(&place, &plan);
    assert!(ended.err.contains("facts of own.toml were used: 1 addition, 1 override"), "{}", ended.err);
    let text = ended.fine();
    assert!(text.contains(overridden) && text.contains(&digest), "{text}");
    let document = json(&place, &plan);
    let changes = document["own_facts"]["overrides"][0]["changes"].as_array().unwrap();
    assert!(
        changes.iter().any(|change| change["field"] == "sha256" && change.get("old").is_none()),
        "{changes:?}"
    );
    assert_eq!(document["own_facts"]["additions"][0]["place"], "own.toml:8");
    assert!(json(&place, &["plan", "quickstart"]).get("own_facts").is_none());
    let listed = json(&place, &["catalog", "efa", "--catalog", "own.toml"]);
    assert!(listed["revision"].as_str().unwrap().contains('+'), "{listed}");
    let row = listed["facts"].as_array().unwrap().iter().find(|fact| fact["subject"] == "1.48.0").unwrap();
    assert_eq!(row["place"], "own.toml:1");
}

#[test]
fn a_lock_knows_the_files_of_facts_that_it_was_made_with() {
    let place = Place::new();
    place.write("own.toml", OWN);
    let recipe = "name = \"plain\"\ninstances = [\"ml.g5.8xlarge\"]\n[base]\nimage = \"debian:trixie-slim\"\n[components]\npython = \"*\"\n";
    place.write("plain.toml", recipe);
    let revision = || {
        let lock = place.read("plain.lock");
        lock.lines().find(|line| line.starts_with("catalog = ")).unwrap().to_owned()
    };
    let without = ["lock", "plain.toml", "--mirror", "docker.io=127.0.0.1:1"];
    let with: Vec<&str> = without.iter().copied().chain(["--catalog", "own.toml"]).collect();
    let _told = run(&place, &without).fine();
    assert!(!revision().contains('+'));
    let ended = run(&place, &with);
    assert!(ended.err.contains("overrides efa 1.48.0"), "{}", ended.err);
    let _told = ended.fine();
    assert!(revision().contains('+'), "{}", revision());
}

#[test]
fn the_same_files_give_the_same_catalogue_and_another_byte_another_revision() {
    let revision = |text: &str| Catalog::with_own(vec![Source::new("own.toml", text)]).unwrap().revision;
    assert_eq!(revision(OWN), revision(OWN));
    assert_ne!(revision(OWN), revision(&format!("{OWN}\n")));
}

#[test]
fn each_smp_release_has_a_row_and_an_image() {
    let catalog = Catalog::embedded().unwrap();
    assert_eq!(catalog.smp.len(), 11);
    for release in &catalog.smp {
        let name = format!(
            "658645717510.dkr.ecr.us-west-2.amazonaws.com/smdistributed-modelparallel:{}",
            release.tag
        );
        let recipe = format!("name = \"x\"\ninstances = [\"ml.p5.48xlarge\"]\n[base]\nimage = \"{name}\"\n");
        let recipe = Recipe::parse(&Source::new("x.toml", recipe)).unwrap();
        let image = catalog.image(recipe.base.image.get_ref()).unwrap();
        let meant = image.carries[&Component::Smp] == release.version || image.was.contains(&release.version);
        assert!(meant, "{name} is not known as SMP {}", release.version);
    }
}

#[test]
fn the_facts_that_the_documentation_shows_are_a_file_of_facts() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/catalog.md")).unwrap();
    let blocks: Vec<&str> =
        page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let catalog = Catalog::with_own(vec![Source::new("docs/catalog.md", block)]).unwrap();
        assert!(!catalog.own().additions.is_empty() && !catalog.overrides().is_empty());
    }
}
