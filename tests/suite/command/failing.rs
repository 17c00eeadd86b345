//! What fails is told as data too: `--format json` is one document on standard output, whatever happens.

use serde_json::Value;
use smp_image::report::failure::FailureReport;

use super::{NOBODY, PLAIN, locked};
use crate::program::Place;

/// Runs what fails with `code`, and returns what it says as data, which keeps to its schema.
fn failure(place: &Place, arguments: &[&str], code: i32) -> Value {
    let ended = place.run(&[arguments, &["--format", "json"]].concat());
    assert_eq!(ended.code, code, "{arguments:?}: {}\n{}", ended.out, ended.err);
    assert!(ended.err.contains("error: "), "people are told too: {}", ended.err);
    let document: Value = serde_json::from_str(&ended.out)
        .unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{}", ended.out));
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler
        .add_resource("file:///failure.json", serde_json::to_value(FailureReport::schema()).unwrap())
        .unwrap();
    let index = compiler.compile("file:///failure.json", &mut schemas).unwrap();
    schemas.validate(&document, index).unwrap_or_else(|error| panic!("{error:#}\n{document:#}"));
    assert_eq!(document["exit_code"], code);
    document
}

#[test]
fn a_conflict_is_data_with_its_lines_facts_and_repairs_for_every_verb_that_chooses_versions_alone() {
    let place = Place::new();
    place.write("none.toml", include_str!("../../errors/no-fit-torch-pins-nccl.toml"));
    for arguments in [
        &["lock", "none.toml", "--mirror", NOBODY][..],
        &["lock", "none.toml", "--offline"],
        &["plan", "none.toml", "--offline"],
        &["why", "nccl", "none.toml"],
    ] {
        let document = failure(&place, arguments, 4);
        assert_eq!(document["fault"], "no-fit", "{arguments:?}");
        let [conflict] = document["conflicts"].as_array().unwrap().as_slice() else {
            panic!("{document:#}");
        };
        assert_eq!(conflict["repairs"], serde_json::json!(["pytorch = \"2.1.2\"", "nccl = \"2.19.3\""]));
        let place = &conflict["places"][1];
        assert_eq!(
            (&place["file"], &place["line"], &place["column"]),
            (&"none.toml".into(), &11.into(), &8.into())
        );
        assert_eq!(place["says"], "asks for nccl 2.18.1");
        let fact = &conflict["facts"][0];
        assert_eq!(fact["sentence"], "PyTorch 2.2.0 needs exactly nccl 2.19.3");
        assert!(fact["origin"].as_str().unwrap().contains("PyPI"), "{fact}");
    }
    assert_eq!(place.files(), ["here/none.toml"]);
}

#[test]
fn several_conflicts_are_told_apart_with_what_settles_all_of_them() {
    let place = Place::new();
    place.write("none.toml", include_str!("../../errors/no-fit-three-conflicts.toml"));
    let document = failure(&place, &["lock", "none.toml", "--offline"], 4);
    assert_eq!(document["conflicts"].as_array().unwrap().len(), 3);
    assert_eq!(document["together"].as_array().unwrap().len(), 3);
}

#[test]
fn every_other_fault_is_data_too() {
    let place = locked();
    place.write("bad.toml", &PLAIN.replace("[base]", "[basse]"));
    let document = failure(&place, &["lock", "bad.toml"], 3);
    assert_eq!(document["fault"], "input");
    assert_eq!(document["places"][0]["file"], "bad.toml");
    assert_eq!(document["hints"][0], "did you mean `base`?");
    assert_eq!(failure(&place, &["plan", "absent"], 3)["fault"], "input");
    assert_eq!(failure(&place, &["build", "plain.toml"], 9)["fault"], "machine");
    assert_eq!(failure(&place, &["check", "image", "--instances", "ml.p5"], 2)["fault"], "usage");
    place.write("plain.toml", &place.read("plain.toml").replace("name", "# changed\nname"));
    assert!(
        failure(&place, &["lock", "plain.toml", "--check"], 3)["message"].as_str().unwrap().contains("stale")
    );
}

#[test]
fn a_verb_that_has_written_its_document_writes_no_second_one() {
    let ended = locked().run(&["doctor", "plain.toml", "--offline", "--format", "json"]);
    assert_eq!(ended.code, 9, "{}", ended.err);
    let document: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(document["ready"], false);
}
