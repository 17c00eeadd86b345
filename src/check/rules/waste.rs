//! Upper layers do not delete or overwrite much of lower ones.

use super::super::finding::{Finding, RuleCode, Severity};
use super::{Rule, Subject, human};

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::WastedSpace],
    promise: "Little of what is pulled is hidden again by a later layer.",
    story: "`RUN rm -rf /var/cache` in a line of its own frees nothing: the bytes stay in the layer below, and every node pulls \
            them. A `pip install` that replaces PyTorch pulls two of them.",
    run,
};

const FLOOR: u64 = 20_000_000;

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let root = &subject.image.root;
    let total: u64 = subject.image.layers.iter().map(|layer| layer.summary.unpacked).sum();
    // Five per cent is what package databases and caches rewritten by each step come to in a well-made image.
    if root.wasted < FLOOR || root.wasted.saturating_mul(20) < total {
        return Vec::new();
    }
    let mut largest = root.waste.clone();
    largest.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let named: Vec<String> =
        largest.iter().take(3).map(|(path, size)| format!("/{path} ({})", human(*size))).collect();
    let examples = if named.is_empty() { String::new() } else { format!(": {}", named.join(", ")) };
    vec![Finding::new(
        Severity::Warning,
        RuleCode::WastedSpace,
        "layers",
        format!(
            "{} of {} are pulled and then hidden by later layers{examples}",
            human(root.wasted),
            human(total)
        ),
        "delete in the step that writes, or copy only the result from a build stage",
    )]
}
