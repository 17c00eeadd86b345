//! Every blob is what its digest says, and every layer can be unpacked.

use super::super::finding::{Finding, RuleCode, Severity};
use super::{Rule, Subject};

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::DigestMismatch, RuleCode::UnreadableLayer],
    promise: "The bytes of every blob have the digests that manifest and configuration promise.",
    story: "A disk that lies, a registry mirror that truncates, a proxy that re-packs: the image pulls and then fails on the \
            node, or runs with another file than the one that was tested.",
    run,
};

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let mismatches = subject.image.mismatches.iter().map(|mismatch| {
        Finding::new(
            Severity::Error,
            RuleCode::DigestMismatch,
            mismatch.subject.clone(),
            format!("{} is promised, {} was read", mismatch.expected, mismatch.found),
            "export or pull the image again; if it stays, check the engine's disk",
        )
    });
    let damaged = subject.image.layers.iter().enumerate().filter_map(|(at, layer)| {
        let damage = layer.damage.as_ref()?;
        Some(Finding::new(
            Severity::Error,
            RuleCode::UnreadableLayer,
            format!("layer {}", at + 1),
            format!("{} cannot be unpacked: {damage}", layer.summary.digest),
            "build the image again without the cache; nothing can be said about what this layer holds",
        ))
    });
    mismatches.chain(damaged).collect()
}
