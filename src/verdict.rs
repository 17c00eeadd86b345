//! Findings and outcomes become a [`Release`], or a [`Refusal`] that says why not.
//!
//! A release has private fields and one way to be made, so pushing an image that was not judged does not compile. What refuses:
//!
//! - a finding of severity error;
//! - a finding of severity unknown: unknown is not OK. There are two ways out, both recorded in the release. A smoke test that
//!   passed and asks the very same question settles it (NCCL telling its own version). Or a person accepts the component by
//!   name ([`Policy::accept_unknown`]), as with an AWS base image whose parts leave no record;
//! - a probe that failed, that was planned and has no outcome, or that was skipped for another reason than that this machine
//!   cannot ask ([`BEYOND_THIS_MACHINE`]);
//! - an inspection of another image, or for another platform, than the one to be released.
//!
//! A GPU probe that was skipped for want of a GPU does not refuse: build machines have none. The release carries it, and the
//! receipt of a push says so ([`Release::notes`]).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::check::{Finding, Inspection, RuleCode, Severity};
use crate::oci::{Digest, Platform};
use crate::plan::{Probe, ProbeName};
use crate::recipe::Component;
use crate::smoke::{Answer, Outcome};

#[cfg(test)]
mod tests;

/// The reasons with which probes skip what this machine cannot ask: they say nothing about the image.
pub const BEYOND_THIS_MACHINE: &[&str] = &["no GPU", "one GPU", "one node", "below sm_89", "below sm_80"];

/// The image that is judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Subject {
    /// Its name.
    pub reference: String,
    /// What the engine calls it: the digest of its configuration or of its manifest.
    pub id: Digest,
    /// What it is made for.
    pub platform: Platform,
}

/// What a person lets pass.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Components whose presence or version may stay unknown.
    pub accept_unknown: BTreeSet<Component>,
}

/// What came of the judgement.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The image may be released.
    Passed(Release),
    /// It may not.
    Refused(Refusal),
}

/// An image with a passed verdict. Only [`Verdict::judge`] makes one.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Release {
    subject: Subject,
    /// The digest of the configuration that was inspected.
    config: Digest,
    /// The digest of findings and outcomes: which evidence this release rests on.
    evidence: Digest,
    /// How many findings there were of each severity.
    findings: BTreeMap<Severity, usize>,
    /// How many probes passed.
    passed: usize,
    /// Which probes this machine could not ask, by the reason.
    skipped: BTreeMap<String, Vec<ProbeName>>,
    accepted: BTreeSet<Component>,
    settled: BTreeSet<Component>,
}

/// Why an image may not be released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Refusal {
    /// The image.
    pub subject: Subject,
    /// The reasons, the gravest first. Never empty.
    pub reasons: Vec<Reason>,
}

/// One reason against a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Reason {
    /// What is wrong, in one sentence.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

/// Everything that a verdict rests on.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// What was found in the layers.
    pub inspection: &'a Inspection,
    /// The probes that were planned.
    pub probes: &'a [Probe],
    /// What came of them, in the same order.
    pub outcomes: &'a [Outcome],
}

impl Verdict {
    /// Judges `subject` by `evidence` under `policy`.
    pub fn judge(subject: Subject, evidence: &Evidence<'_>, policy: &Policy) -> Self {
        let mut reasons = Vec::new();
        let mut release = Release {
            config: evidence.inspection.config.digest,
            evidence: evidence.digest(),
            findings: BTreeMap::new(),
            passed: 0,
            skipped: BTreeMap::new(),
            accepted: BTreeSet::new(),
            settled: BTreeSet::new(),
            subject,
        };
        reasons.extend(identity(&release.subject, evidence.inspection));
        for finding in &evidence.inspection.findings {
            *release.findings.entry(finding.severity).or_default() += 1;
            reasons.extend(release.weigh(finding, evidence, policy));
        }
        reasons.extend(release.count(evidence));
        if reasons.is_empty() {
            Self::Passed(release)
        } else {
            Self::Refused(Refusal { subject: release.subject, reasons })
        }
    }

    /// Returns the release, or the refusal.
    pub fn into_result(self) -> Result<Release, Refusal> {
        match self {
            Self::Passed(release) => Ok(release),
            Self::Refused(refusal) => Err(refusal),
        }
    }
}

impl Evidence<'_> {
    /// Returns the digest of findings and outcomes as JSON.
    fn digest(&self) -> Digest {
        let answers: Vec<(ProbeName, &Answer)> =
            self.outcomes.iter().map(|outcome| (outcome.probe, &outcome.answer)).collect();
        // Both are made of texts and numbers: they always have a JSON form.
        Digest::of(serde_json::to_vec(&(&self.inspection.findings, answers)).unwrap_or_default())
    }
}

/// Says that what was inspected is not what is to be released.
fn identity(subject: &Subject, inspection: &Inspection) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let config = &inspection.config;
    if subject.id != config.digest && Some(subject.id) != config.manifest {
        reasons.push(Reason {
            what: format!("{} was inspected, and {} is to be released", config.digest, subject.id),
            remedy: "the name moved to another image in the meantime: check again".to_owned(),
        });
    }
    if inspection.platform != subject.platform {
        reasons.push(Reason {
            what: format!("it was inspected for {}, not for {}", inspection.platform, subject.platform),
            remedy: format!("check it with --arch {}", subject.platform.arch.name()),
        });
    }
    reasons
}

impl Release {
    /// Returns why `finding` speaks against the release, if it does.
    fn weigh(&mut self, finding: &Finding, evidence: &Evidence<'_>, policy: &Policy) -> Option<Reason> {
        match finding.severity {
            Severity::Warning | Severity::Info => return None,
            Severity::Error => {}
            Severity::Unknown => {
                let component =
                    Component::ALL.iter().copied().find(|component| component.name() == finding.subject);
                if let Some(component) = component.filter(|_| finding.rule == RuleCode::ComponentUnknown) {
                    if is_settled(component, evidence) {
                        self.settled.insert(component);
                        return None;
                    }
                    if policy.accept_unknown.contains(&component) {
                        self.accepted.insert(component);
                        return None;
                    }
                }
            }
        }
        let severity = if finding.severity == Severity::Unknown { "unknown: " } else { "" };
        Some(Reason {
            what: format!("{severity}{} ({}): {}", finding.subject, finding.rule, finding.evidence),
            remedy: finding.remedy.clone(),
        })
    }

    /// Counts the outcomes and returns those that speak against the release.
    fn count(&mut self, evidence: &Evidence<'_>) -> Vec<Reason> {
        let mut reasons = Vec::new();
        for (at, probe) in evidence.probes.iter().enumerate() {
            let name = probe.name.name();
            let outcome = evidence.outcomes.get(at).filter(|outcome| outcome.probe == probe.name);
            let (what, remedy) = match outcome.map(|outcome| &outcome.answer) {
                Some(Answer::Passed { .. }) => {
                    self.passed += 1;
                    continue;
                }
                Some(Answer::Skipped { reason, .. }) if BEYOND_THIS_MACHINE.contains(&reason.as_str()) => {
                    self.skipped.entry(reason.clone()).or_default().push(probe.name);
                    continue;
                }
                Some(Answer::Skipped { reason, .. }) => {
                    (format!("probe {name} was skipped: {reason}"), "run it where it can run".to_owned())
                }
                Some(Answer::Failed { evidence, cause, .. }) => {
                    (format!("probe {name} failed: {evidence}"), cause.clone())
                }
                None => {
                    (format!("probe {name} was planned and did not run"), "run `smp-image smoke`".to_owned())
                }
            };
            reasons.push(Reason { what, remedy });
        }
        reasons
    }

    /// Returns the image.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Returns the digest of the configuration that was inspected.
    pub fn config(&self) -> Digest {
        self.config
    }

    /// Returns the digest of findings and outcomes.
    pub fn evidence(&self) -> Digest {
        self.evidence
    }

    /// Returns what must be known of the release although it passed, one sentence each; empty where nothing was left open.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for (reason, probes) in &self.skipped {
            let names: Vec<&str> = probes.iter().map(|probe| probe.name()).collect();
            notes.push(format!("GPU probes skipped: {reason} ({})", names.join(", ")));
        }
        let join = |components: &BTreeSet<Component>| {
            components.iter().map(|component| component.name()).collect::<Vec<_>>().join(", ")
        };
        if !self.settled.is_empty() {
            notes.push(format!("not readable from the layers, told by a probe: {}", join(&self.settled)));
        }
        if !self.accepted.is_empty() {
            notes.push(format!("unknown and accepted by name: {}", join(&self.accepted)));
        }
        notes
    }
}

/// Returns whether a probe that passed answers just what the layers do not tell of `component`.
fn is_settled(component: Component, evidence: &Evidence<'_>) -> bool {
    if component != Component::Nccl {
        return false;
    }
    // Only a probe that was given the locked version compares with it.
    let asked = |probe: &Probe| probe.name == ProbeName::NcclVersion && probe.input.get("version").is_some();
    evidence.probes.iter().zip(evidence.outcomes).any(|(probe, outcome)| {
        asked(probe) && outcome.probe == probe.name && matches!(outcome.answer, Answer::Passed { .. })
    })
}
