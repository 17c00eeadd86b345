//! The final report as JUnit XML: each rule and each probe is a test case, so that a pipeline shows them where it shows tests.
//!
//! A rule fails with an error or an unknown; its warnings are the output of a test that passed. A skipped probe is a skipped test.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use super::{Report, ReportError};
use crate::check::{Finding, Inspection, RULES, Rule, Severity};
use crate::smoke::{Answer, Outcome};

/// Returns `report` as JUnit XML.
pub fn render(report: &Report) -> Result<String, ReportError> {
    let image = report.image.as_ref().map(|image| image.reference.as_str());
    let about = image.or(report.machine.as_ref().map(|machine| machine.host.as_str())).unwrap_or_default();
    let mut junit = Junit::new(format!("{} {about}", report.tool));
    if let Some(inspection) = &report.inspection {
        junit.add_test_suite(check(inspection));
    }
    if let Some(outcomes) = &report.probes {
        junit.add_test_suite(smoke(outcomes));
    }
    if let Some(grade) = &report.grade {
        junit.add_test_suite(super::grade::suite(grade));
    }
    written(&junit)
}

/// Returns `junit` as XML that keeps to the schema of Jenkins' xUnit plugin (junit-10.xsd), which other readers follow: it counts what was
/// skipped in each suite, and knows no such attribute of all suites together.
pub(super) fn written(junit: &Junit) -> Result<String, ReportError> {
    let text = junit.to_string()?;
    let (head, suites) = text.split_once("<testsuite ").unwrap_or((&text, ""));
    let Some((before, after)) = head.split_once(" skipped=\"") else { return Ok(text) };
    let after = after.trim_start_matches(|letter: char| letter.is_ascii_digit()).trim_start_matches('"');
    let suite = if suites.is_empty() { "" } else { "<testsuite " };
    Ok(format!("{before}{after}{suite}{suites}"))
}

fn check(inspection: &Inspection) -> TestSuite {
    let mut suite = TestSuite::new("check");
    suite.set_time(Duration::try_from_secs_f64(inspection.read.took).unwrap_or_default());
    for rule in RULES {
        for code in rule.codes {
            let found: Vec<&Finding> =
                inspection.findings.iter().filter(|finding| finding.rule == *code).collect();
            suite.add_test_case(rule_case(rule, code.name(), &found));
        }
    }
    suite
}

fn rule_case(rule: &Rule, name: &str, found: &[&Finding]) -> TestCase {
    let grave = |finding: &&&Finding| matches!(finding.severity, Severity::Error | Severity::Unknown);
    let lines = |findings: &mut dyn Iterator<Item = &&Finding>| {
        let line = |finding: &&Finding| {
            format!(
                "{} {}: {}; hint: {}",
                finding.severity.name(),
                finding.subject,
                finding.evidence,
                finding.remedy
            )
        };
        findings.map(line).collect::<Vec<_>>().join("\n")
    };
    let status = match found.iter().find(grave) {
        None => TestCaseStatus::success(),
        Some(first) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type(first.severity.name());
            status.set_message(format!("{}: {}", first.subject, first.evidence));
            status.set_description(lines(&mut found.iter().filter(grave)));
            status
        }
    };
    let mut case = TestCase::new(name, status);
    case.set_classname("check");
    case.set_system_out(rule.promise);
    let light = lines(&mut found.iter().filter(|finding| !grave(finding)));
    if !light.is_empty() {
        case.set_system_out(light);
    }
    case
}

fn smoke(outcomes: &[Outcome]) -> TestSuite {
    let mut suite = TestSuite::new("smoke");
    for outcome in outcomes {
        let mut case = TestCase::new(outcome.probe.name(), TestCaseStatus::success());
        case.set_classname("smoke");
        case.set_time(Duration::try_from_secs_f64(outcome.took).unwrap_or_default());
        match &outcome.answer {
            Answer::Passed { evidence, warnings } => {
                let warnings = warnings.iter().map(|warning| format!("\nwarning: {warning}"));
                case.set_system_out(warnings.fold(evidence.clone(), |said, warning| said + &warning));
            }
            Answer::Failed { evidence, cause, tail } => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_message(evidence.as_str());
                if !cause.is_empty() {
                    status.set_description(cause.as_str());
                }
                case.status = status;
                case.set_system_err(tail.join("\n"));
            }
            Answer::Skipped { reason, evidence } => {
                let mut status = TestCaseStatus::skipped();
                status.set_message(format!("skipped: {reason}"));
                case.status = status;
                case.set_system_out(evidence.as_str());
            }
        }
        suite.add_test_case(case);
    }
    suite
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tag_has_an_attribute_that_the_schema_of_its_readers_does_not_know() {
        // junit-10.xsd of Jenkins' xUnit plugin; `xmllint --schema` agrees.
        let known = |tag: &str| -> &[&str] {
            match tag {
                "testsuites" => &["name", "time", "tests", "failures", "errors"],
                "testsuite" => &["name", "tests", "failures", "errors", "time", "skipped"],
                "testcase" => &["name", "time", "classname"],
                "failure" | "error" | "skipped" => &["type", "message"],
                _ => &[],
            }
        };
        let case = |name: &str, kind| {
            let mut status = TestCaseStatus::non_success(kind);
            status.set_type("error").set_message("a < b \"c\" skipped=\"1\"");
            TestCase::new(name, status)
        };
        let mut suite = TestSuite::new("check");
        suite.set_time(Duration::from_millis(1500));
        suite.add_test_case(case("failed", NonSuccessKind::Failure));
        suite.add_test_case(case("unknown", NonSuccessKind::Error));
        suite.add_test_case(TestCase::new("skipped", TestCaseStatus::skipped()));
        let mut whole = Junit::new("an image with skipped=\"9\" in its name");
        let empty = written(&whole).unwrap();
        whole.add_test_suite(suite);
        let full = written(&whole).unwrap();
        assert!(
            full.contains(r#"<testsuite name="check" tests="3" skipped="1" errors="1" failures="1""#),
            "{full}"
        );
        for text in [empty, full] {
            for tag in text.split('<').skip(2).filter(|tag| !tag.starts_with('/')) {
                let (head, _) = tag.split_once('>').unwrap();
                let (name, mut rest) = head.trim_end_matches('/').split_once(' ').unwrap_or((head, ""));
                while let Some((attribute, after)) = rest.split_once("=\"") {
                    assert!(
                        known(name).contains(&attribute.trim_start()),
                        "<{name}> has {attribute}: {text}"
                    );
                    rest = after.split_once('"').unwrap().1;
                }
            }
        }
    }
}
