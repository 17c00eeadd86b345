//! The findings of a check as SARIF 2.1.0, which code hosts show beside the code.
//!
//! What could not be found out has the level of a warning and says `unknown`; a silenced finding is a result that is suppressed, with
//! the reason of the recipe.

use serde_json::{Value, json};

use super::{Report, ReportError};
use crate::check::{Finding, Inspection, RULES, RuleCode, Severity};
use crate::oci::Digest;

/// Returns `report` as a SARIF document.
pub fn render(report: &Report) -> Result<String, ReportError> {
    let results: Vec<Value> =
        report.inspection.iter().flat_map(|inspection| results(report, inspection)).collect();
    let (name, version) = report.tool.split_once(' ').unwrap_or((&report.tool, ""));
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": name, "version": version, "rules": rules() } },
            "automationDetails": { "id": format!("check/{}", name_of(report)) },
            "invocations": [{ "executionSuccessful": true }],
            "columnKind": "unicodeCodePoints",
            "properties": {
                "image": name_of(report),
                "id": report.image.as_ref().map(|image| image.id),
                "instances": report.inspection.as_ref().map(|inspection| &inspection.instances),
            },
            "results": results,
        }],
    });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// Returns the name of the image that was looked into; every report in this form has one.
fn name_of(report: &Report) -> &str {
    report.image.as_ref().map_or("", |image| image.reference.as_str())
}

/// Returns every rule; [`results`] refer to them by their place.
fn rules() -> Vec<Value> {
    let describe = |code: &RuleCode| {
        let rule = RULES.iter().find(|rule| rule.codes.contains(code));
        let (promise, story) = rule.map_or(("", ""), |rule| (rule.promise, rule.story));
        json!({
            "id": code.name(),
            "shortDescription": { "text": code.meaning() },
            "fullDescription": { "text": promise },
            "help": { "text": story },
        })
    };
    RuleCode::ALL.iter().map(describe).collect()
}

fn results(report: &Report, inspection: &Inspection) -> Vec<Value> {
    let heard = inspection.findings.iter().map(|finding| result(report, finding));
    let quiet = inspection.silenced.iter().map(|silenced| {
        let mut result = result(report, &silenced.finding);
        result["suppressions"] = json!([{ "kind": "external", "justification": silenced.reason }]);
        result
    });
    heard.chain(quiet).collect()
}

fn result(report: &Report, finding: &Finding) -> Value {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Unknown | Severity::Warning => "warning",
        Severity::Info => "note",
    };
    let unknown = if finding.severity == Severity::Unknown { "unknown: " } else { "" };
    // A code host wants a place. A file of the image is one; else it is the recipe, else the image by name.
    let place = match finding.subject.strip_prefix('/') {
        Some(path) => path,
        None => report.recipe.as_deref().unwrap_or(name_of(report)),
    };
    let fingerprint = Digest::of(format!("{}\n{}", finding.rule, finding.subject));
    json!({
        "ruleId": finding.rule.name(),
        "ruleIndex": RuleCode::ALL.iter().position(|code| *code == finding.rule),
        "level": level,
        "message": { "text": format!("{unknown}{}: {}. {}", finding.subject, finding.evidence, finding.remedy) },
        "locations": [{
            "physicalLocation": { "artifactLocation": { "uri": uri(place) } },
            "logicalLocations": [{ "fullyQualifiedName": finding.subject, "kind": "resource" }],
        }],
        "partialFingerprints": { "ruleAndSubject/v1": fingerprint.hex() },
        "properties": { "severity": finding.severity, "evidence": finding.evidence, "remedy": finding.remedy },
    })
}

/// Returns `path` as a relative reference of RFC 3986.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/@+".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.extend([format!("%{byte:02X}")]);
        }
    }
    uri
}
