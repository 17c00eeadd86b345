//! The catalogue against the package index of today: what a known wheel asks for does not change, so a difference is our mistake.

use serde_json::Value;

use crate::command::leads_out;
use crate::program::{Ended, Place};

/// Asks the index, and returns exit code and document.
fn drift(place: &Place, arguments: &[&str]) -> (i32, Value) {
    let all: Vec<&str> =
        ["catalog", "--drift", "--format", "json"].iter().copied().chain(arguments.iter().copied()).collect();
    let ended = Ended::of(leads_out(&mut place.program(&all)));
    (ended.code, serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{ended:?}")))
}

fn wrong(document: &Value) -> Vec<&str> {
    let drift = document["drift"].as_array().unwrap();
    let wrong = drift.iter().filter(|difference| difference["wrong"] == true);
    wrong.map(|difference| difference["sentence"].as_str().unwrap()).collect()
}

#[test]
fn what_the_catalogue_says_of_pytorch_wheels_is_what_the_index_says_today() {
    let (code, document) = drift(&Place::new(), &[]);
    // Versions that came out since are drift too, but no mistake.
    assert_eq!(wrong(&document), Vec::<&str>::new());
    let new = document["drift"].as_array().unwrap().len();
    assert_eq!(code, if new == 0 { 0 } else { 3 }, "{document}");
}

#[test]
fn a_row_that_is_not_what_the_index_says_is_reported_as_drift() {
    let place = Place::new();
    place.write(
        "wrong.toml",
        "[[pytorch]]\nversion = \"2.5.1\"\nnccl = \"2.23.4\"\ncudnn = \"9.1.0.70\"\ncuda = \"12.4\"\n\
         fact = { source = \"a mistake\", date = \"2026-11-24\", confidence = \"inferred\" }\n",
    );
    let (code, document) = drift(&place, &["--catalog", "wrong.toml"]);
    assert_eq!(code, 3);
    assert_eq!(
        wrong(&document),
        ["the wheel of PyTorch 2.5.1 asks for nccl 2.21.5, and the catalogue says 2.23.4"]
    );
}
