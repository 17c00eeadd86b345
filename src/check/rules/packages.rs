//! Packages are installed whole.

use super::super::finding::{Finding, RuleCode, Severity};
use super::{Rule, Subject};

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::HalfInstalled],
    promise: "No package of the distribution is half installed.",
    story: "NVIDIA's nemo:26.02 image holds half-installed EFA packages: the EFA installer on top fails with dpkg naming \
            ld.so.conf.d/000_efa.conf, until they are purged by force (awslabs/awsome-distributed-ai, 3.test_cases/megatron/nemo).",
    run,
};

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let half = subject.image.inventory.half.iter();
    half.map(|(name, state)| {
        Finding::new(
            Severity::Warning,
            RuleCode::HalfInstalled,
            name.clone(),
            format!("dpkg says that it is {state}"),
            format!("`dpkg --purge --force-all {name}` and install it again, in one step"),
        )
    })
    .collect()
}
