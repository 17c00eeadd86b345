//! Verdicts over small pieces of evidence.

use serde_json::json;

use super::*;
use crate::check::{ConfigSummary, ReadSummary};
use crate::oci::Arch;

const PLATFORM: Platform = Platform { arch: Arch::Amd64 };

fn inspection(findings: Vec<Finding>) -> Inspection {
    Inspection {
        platform: PLATFORM,
        findings,
        silenced: Vec::new(),
        target: crate::check::Chosen::Recipe,
        instances: Vec::new(),
        libraries: Vec::new(),
        packages: BTreeMap::new(),
        environment: Vec::new(),
        components: Vec::new(),
        layers: Vec::new(),
        config: ConfigSummary {
            digest: Digest::of("config"),
            manifest: Some(Digest::of("manifest")),
            platform: "linux/amd64".to_owned(),
            command: Vec::new(),
            workdir: String::new(),
            user: String::new(),
            labels: BTreeMap::new(),
        },
        read: ReadSummary { bytes: 0, files: 0, elf_files: 0, wasted: 0, took: 0.0 },
    }
}

fn subject() -> Subject {
    Subject { reference: "a:1".to_owned(), id: Digest::of("manifest"), platform: PLATFORM }
}

fn finding(severity: Severity, rule: RuleCode, subject: &str) -> Finding {
    Finding::new(severity, rule, subject, "seen", "do")
}

fn unknown(component: &str) -> Finding {
    finding(Severity::Unknown, RuleCode::ComponentUnknown, component)
}

fn probes() -> Vec<Probe> {
    vec![
        Probe { name: ProbeName::NcclVersion, input: json!({ "version": "2.32.3" }), gpu: false },
        Probe { name: ProbeName::GpuContext, input: json!({}), gpu: true },
    ]
}

fn outcomes(first: Answer) -> Vec<Outcome> {
    let skipped = Answer::Skipped { reason: "no GPU".to_owned(), evidence: String::new() };
    vec![
        Outcome { probe: ProbeName::NcclVersion, answer: first, took: 0.1 },
        Outcome { probe: ProbeName::GpuContext, answer: skipped, took: 0.1 },
    ]
}

fn passed() -> Answer {
    Answer::Passed { evidence: "NCCL 2.32.3".to_owned(), warnings: Vec::new() }
}

fn judge(findings: Vec<Finding>, outcomes: &[Outcome], policy: &Policy) -> Result<Release, Vec<String>> {
    let (inspection, probes) = (inspection(findings), probes());
    let evidence = Evidence { inspection: &inspection, probes: &probes, outcomes };
    Verdict::judge(subject(), &evidence, policy)
        .into_result()
        .map_err(|refusal| refusal.reasons.iter().map(ToString::to_string).collect())
}

#[test]
fn a_sound_image_is_released_and_the_release_says_that_no_gpu_was_there() {
    let warning = finding(Severity::Warning, RuleCode::WastedSpace, "layers");
    let release = judge(vec![warning], &outcomes(passed()), &Policy::default()).unwrap();
    assert_eq!(release.notes(), ["GPU probes skipped: no GPU (gpu-context)"]);
    assert_eq!((release.subject(), release.passed), (&subject(), 1));
}

#[test]
fn an_error_and_a_failed_probe_refuse_with_evidence() {
    let error = finding(Severity::Error, RuleCode::ForeignBinary, "/x");
    let failed = Answer::failed_for_test("it crashed with SIGSEGV");
    let reasons = judge(vec![error], &outcomes(failed), &Policy::default()).unwrap_err();
    assert_eq!(reasons, ["/x (foreign-binary): seen", "probe nccl-version failed: it crashed with SIGSEGV"]);
}

#[test]
fn unknown_refuses_unless_a_person_accepts_it_by_name() {
    let policy = Policy { accept_unknown: BTreeSet::from([Component::Smp]) };
    let reasons = judge(vec![unknown("smp")], &outcomes(passed()), &Policy::default()).unwrap_err();
    assert_eq!(reasons, ["unknown: smp (component-unknown): seen"]);
    let release = judge(vec![unknown("smp")], &outcomes(passed()), &policy).unwrap();
    assert!(release.notes().contains(&"unknown and accepted by name: smp".to_owned()));
    assert!(judge(vec![unknown("efa")], &outcomes(passed()), &policy).is_err());
}

#[test]
fn what_nccl_itself_tells_settles_what_the_layers_do_not() {
    let release = judge(vec![unknown("nccl")], &outcomes(passed()), &Policy::default()).unwrap();
    assert!(release.notes().contains(&"not readable from the layers, told by a probe: nccl".to_owned()));
}

#[test]
fn a_probe_without_an_outcome_and_one_skipped_for_another_reason_refuse() {
    let reasons = judge(Vec::new(), &[], &Policy::default()).unwrap_err();
    assert_eq!(reasons.len(), 2);
    let skipped = Answer::Skipped { reason: "no time".to_owned(), evidence: String::new() };
    let reasons = judge(Vec::new(), &outcomes(skipped), &Policy::default()).unwrap_err();
    assert_eq!(reasons, ["probe nccl-version was skipped: no time"]);
}

#[test]
fn an_inspection_of_another_image_or_platform_refuses() {
    let (inspection, probes) = (inspection(Vec::new()), probes());
    let found = outcomes(passed());
    let evidence = Evidence { inspection: &inspection, probes: &probes, outcomes: &found };
    let other = Subject { id: Digest::of("other"), platform: Platform { arch: Arch::Arm64 }, ..subject() };
    let refusal = Verdict::judge(other, &evidence, &Policy::default()).into_result().unwrap_err();
    assert_eq!(refusal.reasons.len(), 2);
}

#[test]
fn other_evidence_gives_another_digest() {
    let one = judge(Vec::new(), &outcomes(passed()), &Policy::default()).unwrap();
    let info = finding(Severity::Info, RuleCode::MediaType, "layer 1");
    let two = judge(vec![info], &outcomes(passed()), &Policy::default()).unwrap();
    assert_ne!(one.evidence(), two.evidence());
}

impl Answer {
    fn failed_for_test(evidence: &str) -> Self {
        Self::Failed { evidence: evidence.to_owned(), cause: String::new(), tail: Vec::new() }
    }
}
