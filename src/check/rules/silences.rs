//! What the recipe silences is there.

use super::super::finding::{Finding, RuleCode, Severity};
use super::super::target::Silence;
use super::Rule;

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::SilencesNothing],
    promise: "Every silence of the recipe still silences something.",
    story: "A silence outlives its reason: the base image was mended, the silence stayed, and one day it hides a new fault of the same \
            rule. So reports print every silence with its reason, and say which ones are idle.",
    // What was silenced is known after all other rules: see `idle`.
    run: |_| Vec::new(),
};

/// Says that `silence` covered no finding.
pub(super) fn idle(silence: &Silence) -> Finding {
    Finding::new(
        Severity::Info,
        RuleCode::SilencesNothing,
        silence.shown(),
        "the recipe silences it, and nothing of the kind was found",
        "take the silence out of the recipe",
    )
}
