//! No layer is too large for the registry.

use super::super::finding::{Finding, RuleCode, Severity};
use super::{Rule, Subject, human};

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::LargeLayer],
    promise: "Every layer is smaller than what Amazon ECR takes, and small enough to be pulled in parallel.",
    story: "ECR refuses a layer above its quota only after all of it was uploaded. And a node pulls layers in parallel, three at \
            a time: one layer of 15 GB keeps eight p5 instances waiting where five of 3 GB would not.",
    run,
};

/// Amazon ECR's quota for a layer, the lower of the two published figures (42,000 MiB).
const QUOTA: u64 = 42_000 << 20;
/// Above this a layer is the one that everybody waits for.
const SLOW: u64 = 10 << 30;

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let judge = |(at, layer): (usize, &super::Layer)| {
        let size = layer.summary.size;
        let (severity, evidence) = if size > QUOTA {
            (Severity::Error, format!("{}, and Amazon ECR takes at most {}", human(size), human(QUOTA)))
        } else if size > SLOW {
            (
                Severity::Warning,
                format!("{} in one piece: nothing else is left to pull beside it", human(size)),
            )
        } else {
            return None;
        };
        Some(Finding::new(
            severity,
            RuleCode::LargeLayer,
            format!("layer {}", at + 1),
            evidence,
            "install large components in stages of their own and copy each into its own layer",
        ))
    };
    subject.image.layers.iter().enumerate().filter_map(judge).collect()
}
