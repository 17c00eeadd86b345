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
    Ok(junit.to_string()?)
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
