//! Every log in `tests/grade` is judged as its judgement says: add a log with its judgement, get a test.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use smp_image::catalog::{Catalog, Instance, NcclLog};
use smp_image::grade::{Expected, Grade, Grader, Status};
use smp_image::report;

use crate::golden;
use crate::program::{Ended, Place};

/// What a person said of a log.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Judgement {
    source: String,
    #[serde(default)]
    instances: Vec<String>,
    verdict: String,
    failed: Vec<String>,
    unknown: Vec<String>,
    symptoms: Vec<String>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn logs() -> Vec<PathBuf> {
    let mut logs: Vec<PathBuf> = fs::read_dir(root().join("tests/grade"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    logs.sort();
    logs
}

fn judged(log: &Path, judgement: &Judgement) -> Grade {
    let (table, catalog) = (NcclLog::embedded().unwrap(), Catalog::embedded().unwrap());
    let instances: Vec<&Instance> = judgement.instances.iter().map(|name| &catalog.instances[name]).collect();
    let mut grader = Grader::new(&table, Expected::on(&instances));
    let name = log.file_name().unwrap().to_str().unwrap();
    grader.read(name, fs::read(log).unwrap().as_slice()).unwrap();
    grader.finish()
}

#[test]
fn golden_judgements_of_real_and_reported_logs() {
    let logs = logs();
    assert!(logs.len() >= 30, "only {} logs", logs.len());
    let mut faults = Vec::new();
    for log in &logs {
        let text = fs::read_to_string(log.with_extension("toml")).unwrap();
        let judgement: Judgement = toml::from_str(&text).unwrap();
        assert!(judgement.source.len() > 10, "{}: where is it from?", log.display());
        let grade = judged(log, &judgement);
        let named = |status| -> Vec<&str> {
            grade.aspects.iter().filter(|aspect| aspect.status == status).map(|aspect| aspect.name).collect()
        };
        let codes: Vec<&str> = grade.symptoms.iter().map(|symptom| symptom.code.as_str()).collect();
        let is = (grade.verdict.name(), named(Status::Failed), named(Status::Unknown));
        let should = (judgement.verdict.as_str(), &judgement.failed, &judgement.unknown);
        let missing: Vec<&String> =
            judgement.symptoms.iter().filter(|code| !codes.contains(&code.as_str())).collect();
        if is.0 != should.0 || is.1 != *should.1 || is.2 != *should.2 || !missing.is_empty() {
            faults.push(format!(
                "{}\n  should be {should:?}\n  is        {is:?}\n  symptoms {codes:?}",
                log.display()
            ));
        }
        golden::equals(
            &log.with_extension("txt"),
            &report::grade::text(&grade, report::text::Style::default()),
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn golden_schema_of_a_judged_log() {
    let schema = serde_json::to_string_pretty(&report::grade::schema()).unwrap() + "\n";
    golden::equals(&root().join("docs/grade.schema.json"), &schema);
}

fn run(place: &Place, arguments: &[&str]) -> Ended {
    Ended::of(&mut place.program(arguments))
}

/// Puts a log of `tests/grade` into the place under the name `job.log`.
fn with_log(name: &str) -> Place {
    let place = Place::new();
    place.write("job.log", &fs::read_to_string(root().join("tests/grade").join(name)).unwrap());
    place
}

#[test]
fn a_log_that_is_well_ends_with_0_and_one_that_is_not_with_6() {
    let _text = run(&with_log("real-2.28.9-nvlink.log"), &["smoke", "--grade-log", "job.log"]).fine();
    let place = with_log("real-2.28.9-sockets.log");
    let p5 = ["smoke", "--grade-log", "job.log", "--instances", "ml.p5.48xlarge"];
    let ended = run(&place, &p5);
    assert!(
        ended.out.contains("failed   network    fell back to sockets: EFA is not used\n           | line "),
        "{}",
        ended.out
    );
    let _told = ended.failed(6, &["did not run as it should"]);
    let _unknown =
        run(&place, &["smoke", "--grade-log", "job.log"]).failed(6, &["does not say", "not passed"]);
}

#[test]
fn the_json_of_a_judged_log_keeps_to_its_schema() {
    let place = with_log("real-2.28.9-small-shm.log");
    let ended = run(&place, &["smoke", "--grade-log", "job.log", "--format", "json"]);
    let value: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    let schema = serde_json::to_value(report::grade::schema()).unwrap();
    compiler.add_resource("file:///grade.json", schema).unwrap();
    let index = compiler.compile("file:///grade.json", &mut schemas).unwrap();
    schemas.validate(&value, index).unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(value["grade"]["verdict"], "failed");
}

#[test]
fn junit_of_a_judged_log_has_a_test_for_each_aspect() {
    let place = with_log("real-2.28.9-rank-never-comes.log");
    let ended = run(&place, &["smoke", "--grade-log", "job.log", "--format", "junit"]);
    assert!(
        ended.out.contains(r#"tests="6" skipped="0" errors="3" failures="0""#)
            || ended.out.contains(r#"tests="6""#),
        "{}",
        ended.out
    );
    assert!(ended.out.contains("unknown"), "{}", ended.out);
    assert_eq!(ended.code, 6);
}

#[test]
fn standard_input_is_a_log_too() {
    let place = with_log("real-2.28.9-nvlink.log");
    let mut command = place.program(&["smoke", "--grade-log", "-"]);
    command.stdin(fs::File::open(place.path("job.log")).unwrap());
    let output = command.output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("Log        standard input\n"));
}

#[test]
fn a_log_that_is_not_there_and_an_instance_that_does_not_exist_are_told() {
    let place = with_log("real-2.28.9-nvlink.log");
    let _told = run(&place, &["smoke", "--grade-log", "nowhere.log"]).failed(2, &["nowhere.log", "hint: "]);
    let _told = run(&place, &["smoke", "--grade-log", "job.log", "--instances", "ml.p5.48xlage"])
        .failed(2, &["ml.p5.48xlage", "did you mean ml.p5.48xlarge?"]);
    let _told = run(&place, &["smoke", "--grade-log", "."]).failed(2, &["cannot read the log", "hint: "]);
}
